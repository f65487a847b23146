//! What is to be stored, group by group: while one transaction is on its way to the disk, what
//! comes is gathered for the next. So a slow disk makes groups larger, not queues longer, and the
//! order of changes is that of their confirmations.

use crate::desk::Desk;
use lensd_ffi::settings::entries;
use serde_json::Value;
use std::sync::Arc;

/// Begins the next transaction if there is something to store and none is under way.
pub(super) fn go_on(desk: &mut Desk) {
    let saves = &mut desk.board.saves;
    if saves.under_way || saves.thens.is_empty() {
        return;
    }
    let changes: Vec<(String, Option<Value>)> = saves
        .changes
        .iter()
        .map(|(index, value)| (entries()[*index].key.name.to_owned(), value.clone()))
        .collect();
    let store = Arc::clone(&desk.store);
    let job = move || store.save_settings(&changes).map_err(|e| e.to_string());
    let begun = desk.work.try_run(job, |desk: &mut Desk, stored, at| {
        desk.board.saves.under_way = false;
        desk.board.saves.over += 1;
        let stored = stored.unwrap_or_else(|_| Err("the store has panicked".to_owned()));
        if let Err(why) = &stored {
            tracing::error!("settings cannot be stored: {why}");
        }
        let thens = std::mem::take(&mut desk.board.saves.saved);
        for then in thens {
            then(desk, stored.clone(), at);
        }
        go_on(desk);
    });
    // Refused: the next tick tries again.
    if begun.is_ok() {
        let saves = &mut desk.board.saves;
        saves.under_way = true;
        saves.changes.clear();
        saves.saved = std::mem::take(&mut saves.thens);
    }
}
