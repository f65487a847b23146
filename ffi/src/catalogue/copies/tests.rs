use super::super::schema::{migrate, migrate_by, version};
use super::super::tests::{Folder, end, new};
use super::super::{FoundRecord, MediaType, NewRecord, NewTag, VERSION};
use super::*;

const ALL: CopyWish = CopyWish { videos: true, images: true, tagged_only: false };

fn adopt(catalogue: &mut Catalogue, number: i64, media_type: MediaType) -> i64 {
    let record = NewRecord { media_type, ..new(number) };
    catalogue.adopt(&[FoundRecord { record, end: end(number) }]).unwrap()[0]
}

fn states(catalogue: &Catalogue) -> Vec<(i64, CopyState)> {
    let all = catalogue.copies(&CopyQuery { limit: 99, ..CopyQuery::default() }).unwrap();
    all.into_iter().map(|copy| (copy.id, copy.state)).collect()
}

#[test]
fn what_is_done_and_wanted_is_queued_once() {
    let folder = Folder::new("copies");
    let mut catalogue = folder.open();
    let (video, image) = (1, 2);
    adopt(&mut catalogue, video, MediaType::Video);
    adopt(&mut catalogue, image, MediaType::Image);
    let running = catalogue.begin(&new(3)).unwrap();
    let tagged = CopyWish { tagged_only: true, ..ALL };
    assert_eq!(catalogue.queue_copies(tagged, 10, 5).unwrap(), 0);
    catalogue.add_tag(&NewTag { record_id: image, timestamp: 2_100, ..NewTag::default() }).unwrap();
    let videos = CopyWish { images: false, ..tagged };
    assert_eq!(catalogue.queue_copies(videos, 10, 5).unwrap(), 0);
    assert_eq!(catalogue.queue_copies(tagged, 10, 5).unwrap(), 1);
    assert_eq!(catalogue.queue_copies(ALL, 10, 6).unwrap(), 1);
    assert_eq!(catalogue.queue_copies(ALL, 10, 7).unwrap(), 0, "once");
    assert_eq!(states(&catalogue), [(video, CopyState::Queued), (image, CopyState::Queued)]);
    catalogue.finish(running, &end(3)).unwrap();
    assert_eq!(catalogue.queue_copies(ALL, 10, 8).unwrap(), 1, "what has ended since");
    let copy = catalogue.copy(video).unwrap().unwrap();
    assert_eq!((copy.size, copy.queued_at, &*copy.filename), (100, 6, "recordings/r1.mp4"));
    assert_eq!(catalogue.record(video).unwrap().unwrap().copy, Some(CopyState::Queued));
    // A few at a time.
    for number in 10..20 {
        adopt(&mut catalogue, number, MediaType::Video);
    }
    let queued: Vec<_> = (0..4).map(|_| catalogue.queue_copies(ALL, 4, 9).unwrap()).collect();
    assert_eq!(queued, [4, 4, 2, 0]);
}

#[test]
fn a_copy_from_the_queue_to_the_storage_and_in_vain() {
    let folder = Folder::new("copying");
    let mut catalogue = folder.open();
    for number in 1..=3 {
        adopt(&mut catalogue, number, MediaType::Video);
    }
    catalogue.queue_copies(ALL, 10, 0).unwrap();
    assert_eq!(catalogue.next_copy(50).unwrap().map(|c| c.id), Some(1));
    catalogue.copy_failed(1, &"x".repeat(1000), Some(100)).unwrap();
    // What is new comes before what was in vain, which waits for its time.
    assert_eq!(catalogue.next_copy(50).unwrap().map(|c| c.id), Some(2));
    catalogue.copy_begun(2, "s3", "p/2", "upload").unwrap();
    catalogue.copy_done(2, "s3", "p/2", 101, 60).unwrap();
    catalogue.copy_failed(3, "no", None).unwrap();
    assert_eq!(catalogue.next_copy(99).unwrap(), None);
    let again = catalogue.next_copy(100).unwrap().unwrap();
    assert_eq!((again.id, again.attempts), (1, 1));
    assert_eq!(again.error.map(|e| e.len()), Some(MAX_ERROR));
    let totals = catalogue.copy_totals().unwrap();
    let total = |count, bytes| Total { count, bytes };
    assert_eq!((totals.queued, totals.failed), (total(1, 100), total(1, 100)));
    assert_eq!((totals.copied, totals.dropped), (total(1, 101), total(0, 0)));
    assert_eq!(catalogue.copy_remains("s3").unwrap(), None, "an upload that was finished");
    assert_eq!(catalogue.copied_removable(0, 9).unwrap(), [2]);
    assert_eq!(catalogue.copied_removable(2, 9).unwrap(), [] as [i64; 0]);

    assert_eq!(catalogue.retry_copies(None).unwrap(), 2);
    assert_eq!(catalogue.next_copy(0).unwrap().map(|c| (c.id, c.attempts)), Some((1, 0)));
    assert_eq!(catalogue.drop_copies(&[1]).unwrap(), 1);
    assert!(matches!(catalogue.drop_copies(&[3, 2]), Err(CatalogueError::NotFound(2))));
    assert!(matches!(catalogue.retry_copies(Some(&[3, 9])), Err(CatalogueError::NotFound(9))));
    let now = states(&catalogue);
    assert_eq!(now, [(1, CopyState::Dropped), (2, CopyState::Copied), (3, CopyState::Queued)]);
    let failed = CopyQuery { state: Some(CopyState::Dropped), after: 0, limit: 9 };
    assert_eq!(catalogue.copies(&failed).unwrap().len(), 1);
    assert_eq!(catalogue.queue_copies(ALL, 9, 0).unwrap(), 0, "what was dropped stays so");
    assert_eq!(catalogue.retry_copies(Some(&[1, 2])).unwrap(), 2);
}

#[test]
fn what_is_removed_leaves_the_queue_and_its_upload_is_remembered() {
    let folder = Folder::new("remains");
    let mut catalogue = folder.open();
    for number in 1..=3 {
        adopt(&mut catalogue, number, MediaType::Video);
    }
    catalogue.queue_copies(ALL, 10, 0).unwrap();
    catalogue.copy_begun(1, "s3", "p/1", "one").unwrap();
    catalogue.remove(&[1]).unwrap();
    assert_eq!(states(&catalogue).len(), 2);
    assert_eq!(catalogue.copy_totals().unwrap().queued.count, 2);
    assert!(matches!(catalogue.copy_done(1, "s3", "p/1", 1, 1), Err(CatalogueError::NotFound(1))));
    assert!(matches!(catalogue.copy_begun(1, "s3", "", ""), Err(CatalogueError::NotFound(1))));
    let remains = catalogue.copy_remains("s3").unwrap().unwrap();
    assert_eq!((&*remains.path, &*remains.upload), ("p/1", "one"));
    assert_eq!(catalogue.copy_remains("other").unwrap(), None);
    catalogue.copy_remains_gone(remains.id).unwrap();
    // Begun anew, and dropped in the middle.
    catalogue.copy_begun(2, "s3", "p/2", "two").unwrap();
    catalogue.copy_begun(2, "s3", "p/2", "three").unwrap();
    catalogue.drop_copies(&[2]).unwrap();
    let mut left = Vec::new();
    while let Some(remains) = catalogue.copy_remains("s3").unwrap() {
        left.push(remains.upload);
        catalogue.copy_remains_gone(remains.id).unwrap();
    }
    assert_eq!(left, ["two", "three"]);
}

#[test]
fn a_file_of_the_first_version_gets_a_queue_and_keeps_what_it_has() {
    let folder = Folder::new("first-version");
    let path = folder.0.join("catalog.db");
    let mut db = rusqlite::Connection::open(&path).unwrap();
    migrate_by(&mut db, &super::super::schema::first_version(), 1).unwrap();
    db.execute_batch(
        "INSERT INTO records(filename, media_type, encoding, timestamp_start, size, state, title)
            VALUES('recordings/a.mp4', 'video', 'h264', 5, 100, 'ready', 'Door'),
            ('recordings/b.mp4', 'video', 'h264', 6, 50, 'recording', '');
         INSERT INTO tags(record_id, timestamp, title) VALUES(1, 6, 'Bell');",
    )
    .unwrap();
    assert_eq!(version(&db).unwrap(), 1);
    drop(db);
    let mut catalogue = folder.open();
    assert_eq!(version(&catalogue.db).unwrap(), VERSION);
    let row = catalogue.record(1).unwrap().unwrap();
    assert_eq!((&*row.title, row.copy, &row.tag_markers[..]), ("Door", None, &[1][..]));
    assert_eq!(catalogue.totals().unwrap().video, Total { count: 2, bytes: 150 });
    assert_eq!(catalogue.queue_copies(ALL, 9, 0).unwrap(), 1);
    assert_eq!(catalogue.copy_totals().unwrap().queued, Total { count: 1, bytes: 100 });
    let applied: i64 = catalogue
        .db
        .query_row("SELECT count(*) FROM migrations WHERE version IN (1, 2)", (), |r| r.get(0))
        .unwrap();
    assert_eq!(applied, 2);
    migrate(&mut catalogue.db, 9).unwrap();
}

#[test]
fn what_is_to_be_queued_is_found_by_an_index() {
    let folder = Folder::new("copy-plan");
    let catalogue = folder.open();
    for (query, index) in [
        (
            "SELECT id FROM records WHERE state = 'ready' AND copy IS NULL AND media_type = 'video'
             AND (tag_markers <> '[]') = 0 ORDER BY id LIMIT 9",
            "records_uncopied",
        ),
        (
            "SELECT id FROM records WHERE state = 'ready' AND copy = 'copied' AND protected = 0
             AND tag_markers = '[]' AND id > 3 ORDER BY id LIMIT 9",
            "records_copied",
        ),
        (
            "SELECT record_id FROM copies WHERE state = 'queued' AND next_at <= 5
             ORDER BY next_at, record_id LIMIT 1",
            "copies_next",
        ),
    ] {
        let mut plan = catalogue.db.prepare(&format!("EXPLAIN QUERY PLAN {query}")).unwrap();
        let steps: Vec<String> =
            plan.query_map((), |row| row.get(3)).unwrap().map(Result::unwrap).collect();
        let steps = steps.join("; ");
        assert!(steps.contains(index) && !steps.contains("TEMP"), "{steps}");
    }
}
