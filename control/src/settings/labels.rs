//! Tags and their categories as settings show them: they are kept in the catalogue, which the engine
//! writes too.

use super::own::error;
use crate::catalogue::moment::Moment;
use crate::desk::Desk;
use crate::http::At;
use lensd_ffi::catalogue::Labels;
use lensd_ffi::settings::bank::Held;
use lensd_ffi::time::Nanos;
use serde_json::{Value, json};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;

/// What was changed by others is seen after this.
const EVERY: Nanos = Nanos::from_secs(5);
/// How long it is left alone when it cannot be read, beyond that.
const REST: Nanos = Nanos::from_secs(60);
/// Room of `categories` in bytes.
const ROOM: usize = 32_768;

/// Tags a moment, as a title or members say it.
pub(super) fn tag(
    desk: &Desk,
    value: &Value,
    user: &str,
    at: At,
) -> Result<impl FnOnce() -> Result<Value, String> + Send + 'static, String> {
    let moment = Moment::of_value(value, user).map_err(|fault| fault.message)?;
    let (shelf, now_ms) = (Arc::clone(&desk.shelf), at.utc.millis());
    Ok(move || shelf.with(moment.tag(now_ms)).map_err(|fault| fault.message))
}

/// Once a second.
pub(super) fn measure(desk: &mut Desk, at: At) {
    let look = &desk.board.meter.labels;
    let due = look.again || look.began.is_none_or(|began| at.mono.since(began) >= EVERY);
    if look.under_way || !due {
        return;
    }
    let file = known_by(&desk.config.data);
    let look = &mut desk.board.meter.labels;
    look.began = Some(at.mono);
    if look.again || look.file != file {
        self::look(desk, at);
        desk.board.meter.labels.file = file;
    }
}

/// By what one sees that the catalogue was written.
fn known_by(data: &Path) -> Vec<Option<(u64, i64, i64)>> {
    ["catalog.db", "catalog.db-wal"]
        .iter()
        .map(|name| {
            let file = std::fs::metadata(data.join(name)).ok()?;
            Some((file.ino(), file.size().cast_signed(), file.mtime_nsec() ^ file.mtime()))
        })
        .collect()
}

/// Looks now, or once the look that is under way is over: somebody here has changed something.
pub(crate) fn look(desk: &mut Desk, at: At) {
    let look = &mut desk.board.meter.labels;
    look.again = look.under_way;
    if look.under_way {
        return;
    }
    look.began = Some(at.mono);
    let shelf = Arc::clone(&desk.shelf);
    let begun = desk.work.try_run(
        move || shelf.with(|catalogue| catalogue.labels()),
        |desk: &mut Desk, made, at| {
            desk.board.meter.labels.under_way = false;
            match made {
                Ok(Ok(labels)) => tell(desk, &labels),
                Ok(Err(fault)) => fail(desk, fault.message, at),
                Err(_) => fail(desk, "the work for it has failed".to_owned(), at),
            }
            if std::mem::take(&mut desk.board.meter.labels.again) {
                self::look(desk, at);
            }
        },
    );
    // No worker is free: a second later.
    let look = &mut desk.board.meter.labels;
    look.under_way = begun.is_ok();
    look.again = begun.is_err();
}

fn tell(desk: &mut Desk, labels: &Labels) {
    let mut room = ROOM - 2;
    let list: Vec<Value> = labels
        .categories
        .iter()
        .map(|c| json!({"id": c.id, "name": c.name, "color": c.color}))
        .take_while(|one| {
            let size = one.to_string().len() + 1;
            let fits = size <= room;
            room = room.saturating_sub(size);
            fits
        })
        .collect();
    for (name, held) in [
        ("tags", Held::of(labels.tags)),
        ("categories", Held::of(json!(list))),
        ("category-counter", Held::of(labels.counter)),
        ("tags-error", error(None)),
    ] {
        desk.board.own(name, held, None);
    }
}

/// It is looked again after a rest, also if nobody writes the file.
fn fail(desk: &mut Desk, why: String, at: At) {
    let look = &mut desk.board.meter.labels;
    look.file.clear();
    look.began = Some(at.mono.plus(REST));
    for name in ["tags", "categories", "category-counter"] {
        desk.board.own(name, Held::default(), None);
    }
    desk.board.own("tags-error", error(Some(why)), None);
}
