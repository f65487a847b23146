//! Laws of the catalogue's list: whatever is asked, it answers or refuses the query and never says
//! that SQL is wrong; and two pages hold what one page of both holds.
#![no_main]

use lensd_ffi::catalogue::{
    Catalogue, CatalogueError, Encoding, Finished, FoundRecord, MediaType, NewRecord, Query, Sort,
    State,
};
use std::sync::{Mutex, OnceLock};

static CATALOGUE: OnceLock<Mutex<Catalogue>> = OnceLock::new();

fn filled() -> Mutex<Catalogue> {
    let folder = std::env::temp_dir().join(format!("lensd-fuzz-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let mut catalogue = Catalogue::open(&folder.join("catalog.db")).unwrap();
    let found = |n: i64| FoundRecord {
        record: NewRecord {
            filename: format!("r{n}"),
            media_type: if n % 3 == 0 { MediaType::Image } else { MediaType::Video },
            encoding: Encoding::H264,
            camera: u32::try_from(n % 2).unwrap(),
            stream: String::new(),
            mode: String::new(),
            timestamp_start_ms: n / 2,
            resolution: String::new(),
            fps: 30.0,
            title: ["", "gate", "gateway to all"][usize::try_from(n % 3).unwrap()].to_owned(),
        },
        end: Finished {
            timestamp_end_ms: n,
            duration_ms: n % 5,
            size: u64::try_from(n % 7).unwrap(),
            state: State::Ready,
            error: None,
        },
    };
    catalogue.adopt(&(0..60).map(found).collect::<Vec<_>>()).unwrap();
    Mutex::new(catalogue)
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let [order, flags, limit, from, to, rest @ ..] = data else { return };
    let text = String::from_utf8_lossy(rest).into_owned();
    let on = |bit: u8| flags >> bit & 1 == 1;
    let mut query = Query {
        sort: Sort::ALL[usize::from(order % 4)],
        descending: order & 4 != 0,
        limit: u32::from(limit % 40) + 1,
        from_ms: on(0).then(|| i64::from(*from)),
        to_ms: on(1).then(|| i64::from(*to)),
        camera: on(2).then_some(1),
        size_min: on(3).then(|| u64::from(*from % 8)),
        text: on(4).then(|| text.clone()),
        tag: on(5).then(|| text.clone()),
        mode: on(6).then(|| text.clone()),
        after: on(7).then_some(text),
        ..Query::default()
    };
    let catalogue = CATALOGUE.get_or_init(filled).lock().unwrap();
    let first = match catalogue.list(&query) {
        Ok(page) => page,
        Err(CatalogueError::Invalid(..)) => return,
        Err(e) => panic!("{e} of {query:?}"),
    };
    let mut ids: Vec<i64> = first.records.iter().map(|r| r.id).collect();
    let before = std::mem::replace(&mut query.after, first.next);
    if query.after.is_some() {
        ids.extend(catalogue.list(&query).unwrap().records.iter().map(|r| r.id));
        query.after = before;
        query.limit *= 2;
        let both = catalogue.list(&query).unwrap();
        assert_eq!(both.records.iter().map(|r| r.id).collect::<Vec<_>>(), ids);
    }
});
