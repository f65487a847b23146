//! Pages against a model that looks at every row.

use super::super::tests::{Folder, end, new};
use super::super::{FoundRecord, NewTag, RecordChange};
use super::*;

/// Numbers from a fixed seed.
struct Random(u64);

impl Random {
    fn below(&mut self, most: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % most
    }

    fn maybe<T>(&mut self, one_of: u64, value: impl FnOnce(&mut Self) -> T) -> Option<T> {
        (self.below(one_of) == 0).then(|| value(self))
    }
}

const MODES: [&str; 3] = ["video", "time-lapse", "slow-motion"];
const WORDS: [&str; 5] = ["gate", "Tor", "née", "gateway", "rare"];

fn fill(catalogue: &mut Catalogue, rows: u64, random: &mut Random) {
    let category = catalogue.add_category("Alarm", "", 0).unwrap().id;
    for number in 0..rows {
        let n = i64::try_from(number).unwrap();
        let mut record = new(n);
        record.timestamp_start_ms = i64::try_from(random.below(400)).unwrap();
        record.camera = u32::try_from(1 + random.below(3)).unwrap();
        record.mode = MODES[usize::try_from(random.below(3)).unwrap()].into();
        record.filename = format!("r{}-{number}", random.below(50));
        if random.below(5) == 0 {
            (record.media_type, record.encoding) = (MediaType::Image, super::super::Encoding::Jpeg);
        }
        let word = WORDS[usize::try_from(random.below(4)).unwrap()];
        record.title = if random.below(100) == 0 { "rare".into() } else { word.into() };
        let mut end = end(n);
        end.size = random.below(300);
        end.duration_ms = i64::try_from(random.below(20)).unwrap();
        if random.below(20) == 0 {
            end.state = State::Defect;
        }
        let id = catalogue.adopt(&[FoundRecord { record, end }]).unwrap()[0];
        if random.below(10) == 0 {
            let category_id = random.maybe(2, |_| category);
            let title = if random.below(4) == 0 { "seldom" } else { "often" };
            let tag =
                NewTag { record_id: id, category_id, title: title.into(), ..NewTag::default() };
            let tag = catalogue.add_tag(&tag).unwrap();
            if random.below(5) == 0 {
                catalogue.delete_tag(tag.id).unwrap();
            }
        }
    }
}

/// Whether a row fits, with its tags as (title, is an alarm).
fn fits(query: &Query, r: &Record, tags: &[(String, bool)]) -> bool {
    let text = |text: &String| {
        let begins = |words: &str| words.to_lowercase().replace('é', "e").starts_with(&**text);
        begins(&r.title) || tags.iter().any(|(title, _)| begins(title))
    };
    query.from_ms.is_none_or(|from| r.timestamp_start >= from)
        && query.to_ms.is_none_or(|to| r.timestamp_start < to)
        && query.camera.is_none_or(|c| r.camera == c)
        && query.mode.as_ref().is_none_or(|m| r.mode == *m)
        && query.media_type.is_none_or(|m| r.media_type == m)
        && query.state.is_none_or(|s| r.state == s)
        && query.size_min.is_none_or(|n| r.size >= n)
        && query.size_max.is_none_or(|n| r.size <= n)
        && query.tag.as_ref().is_none_or(|t| {
            tags.iter()
                .any(|(title, alarm)| title.eq_ignore_ascii_case(t) || *alarm && t == "alarm")
        })
        && query.text.as_ref().is_none_or(text)
}

fn place(query: &Query, r: &Record) -> Place {
    let key = match query.sort {
        Sort::Time => Key::Number(r.timestamp_start),
        Sort::Size => Key::Number(i64::try_from(r.size).unwrap()),
        Sort::Duration => Key::Number(r.duration),
        Sort::Name => Key::Text(r.filename.clone()),
    };
    (key, r.id)
}

fn any_query(random: &mut Random) -> Query {
    let number = |r: &mut Random, below| i64::try_from(r.below(below)).unwrap();
    Query {
        from_ms: random.maybe(3, |r| number(r, 420)),
        to_ms: random.maybe(3, |r| number(r, 420)),
        camera: random.maybe(4, |r| u32::try_from(r.below(4)).unwrap()),
        mode: random.maybe(4, |r| MODES[usize::try_from(r.below(3)).unwrap()].to_owned()),
        media_type: random.maybe(5, |_| MediaType::Video),
        state: random.maybe(5, |r| State::ALL[usize::try_from(r.below(3)).unwrap()]),
        size_min: random.maybe(4, |r| r.below(310)),
        size_max: random.maybe(4, |r| r.below(310)),
        tag: random.maybe(5, |r| {
            ["alarm", "Often", "seldom", "none"][usize::try_from(r.below(4)).unwrap()].to_owned()
        }),
        text: random.maybe(5, |r| {
            ["ga", "gateway", "nee", "rare", "seld", "x"][usize::try_from(r.below(6)).unwrap()]
                .to_owned()
        }),
        sort: Sort::ALL[usize::try_from(random.below(4)).unwrap()],
        descending: random.below(2) == 0,
        limit: u32::try_from(1 + random.below(100)).unwrap(),
        ..Query::default()
    }
}

#[test]
fn pages_are_what_a_look_at_every_row_says() {
    let folder = Folder::new("pages");
    let mut catalogue = folder.open();
    let mut random = Random(0x2545_f491_4f6c_dd1d);
    fill(&mut catalogue, 1_500, &mut random);
    let rows = catalogue.records("", &[]).unwrap();
    let tags: Vec<Vec<(String, bool)>> = rows
        .iter()
        .map(|r| {
            let query =
                super::super::TagQuery { record_id: Some(r.id), limit: 9, ..Default::default() };
            let tags = catalogue.tags(&query).unwrap();
            tags.into_iter().map(|t| (t.title, t.category_id.is_some())).collect()
        })
        .collect();
    for round in 0..200 {
        let mut query = any_query(&mut random);
        let mut want: Vec<Place> = rows
            .iter()
            .zip(&tags)
            .filter(|(r, tags)| fits(&query, r, tags))
            .map(|(r, _)| place(&query, r))
            .collect();
        want.sort_by(|a, b| query.order(a, b));
        let mut got = Vec::new();
        loop {
            let page = catalogue.list(&query).unwrap();
            let all = want.len() as u64;
            assert!(if page.total_at_least { page.total <= all } else { page.total == all });
            got.extend(page.records.iter().map(|r| place(&query, r)));
            assert!(page.next.is_none() || page.records.len() == query.limit as usize);
            query.after = page.next;
            if query.after.is_none() {
                break;
            }
        }
        assert_eq!(got, want, "round {round}: {query:?}");
        query.offset = random.below(50);
        let page = catalogue.list(&query).unwrap();
        let got: Vec<Place> = page.records.iter().map(|r| place(&query, r)).collect();
        let want = want.into_iter().skip(usize::try_from(query.offset).unwrap());
        assert_eq!(got, want.take(query.limit as usize).collect::<Vec<_>>(), "{query:?}");
    }
}

#[test]
fn a_page_stays_where_it_is_when_rows_come_and_go() {
    let folder = Folder::new("stable");
    let mut catalogue = folder.open();
    fill(&mut catalogue, 30, &mut Random(7));
    let mut query = Query { limit: 10, ..Query::default() };
    let first = catalogue.list(&query).unwrap();
    query.after = first.next.clone();
    let second = catalogue.list(&query).unwrap();
    let mut newest = new(99);
    newest.timestamp_start_ms = 9_000;
    catalogue.begin(&newest).unwrap();
    catalogue.remove(&[first.records[3].id, first.records[9].id]).unwrap();
    let again = catalogue.list(&query).unwrap();
    assert_eq!(again.records, second.records);
}

#[test]
fn what_cannot_be_asked_is_said() {
    let folder = Folder::new("refused");
    let mut catalogue = folder.open();
    fill(&mut catalogue, 3, &mut Random(7));
    let key = |query: Query| match catalogue.list(&query) {
        Err(CatalogueError::Invalid(key, _)) => key,
        other => panic!("{other:?}"),
    };
    assert_eq!(key(Query { limit: 0, ..Query::default() }), "limit");
    assert_eq!(key(Query { limit: MAX_LIMIT + 1, ..Query::default() }), "limit");
    assert_eq!(key(Query { offset: MAX_OFFSET + 1, ..Query::default() }), "offset");
    for text in ["", " ", "- \" *", &"a".repeat(MAX_TEXT + 1)] {
        assert_eq!(key(Query { text: Some(text.into()), ..Query::default() }), "text");
    }
    let one = Query { limit: 1, ..Query::default() };
    let next = catalogue.list(&one).unwrap().next;
    for query in [
        Query { after: next.clone(), sort: Sort::Name, ..Query::default() },
        Query { after: next, descending: false, ..Query::default() },
        Query { after: Some("x".into()), ..Query::default() },
        Query { after: Some(URL_SAFE_NO_PAD.encode("{}")), ..Query::default() },
    ] {
        assert_eq!(key(query), "after");
    }
    // Nothing that is looked for is taken for an operator.
    for text in ["a OR b", "NEAR(a b)", "title:a", "a\"b", "a*", "(a", "^a", "-a", "a\0b", "AND"] {
        catalogue.list(&Query { text: Some(text.into()), ..Query::default() }).unwrap();
    }
    let title = Some("Größe am Tor".to_owned());
    catalogue.label(1, &RecordChange { title, ..RecordChange::default() }).unwrap();
    let found = |text: &str| {
        let query = Query { text: Some(text.into()), ..Query::default() };
        catalogue.list(&query).unwrap().records.len()
    };
    assert_eq!((found("größe tor"), found("GRO"), found("größe x")), (1, 1, 0));
}
