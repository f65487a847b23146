use super::super::Found;
use super::super::walk::tests::{closed, number, recording};
use super::*;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

/// A shelf with one recording, number 5, that opens only when the door does.
struct One {
    path: PathBuf,
    growing: AtomicBool,
    door: Arc<(Mutex<bool>, Condvar)>,
}

impl Shelf for One {
    fn find(&self, id: Option<i64>) -> Option<Found> {
        let mut open = self.door.0.lock();
        while !*open {
            self.door.1.wait(&mut open);
        }
        let growing = self.growing.load(Ordering::Acquire);
        id.is_none_or(|id| id == 5).then(|| Found { id: 5, path: self.path.clone(), growing })
    }
}

fn shelf(name: &str, bytes: &[u8], growing: bool) -> Arc<One> {
    let path = std::env::temp_dir().join(format!("lensd-reader-{}-{name}", std::process::id()));
    std::fs::write(&path, bytes).unwrap();
    let door = Arc::new((Mutex::new(true), Condvar::new()));
    Arc::new(One { path, growing: AtomicBool::new(growing), door })
}

fn until<T>(mut ask: impl FnMut() -> Option<T>) -> T {
    for _ in 0..10_000 {
        if let Some(answer) = ask() {
            return answer;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    panic!("waited for ten seconds");
}

fn open(shelf: &Arc<One>, id: Option<i64>) -> (Reader, Bell) {
    let bell = Bell::new().unwrap();
    let shelf = Arc::clone(shelf) as Arc<dyn Shelf>;
    (Reader::open(shelf, id, bell.try_clone().unwrap(), &Permits::default()).unwrap(), bell)
}

fn taken(reader: &Reader) -> (Vec<u8>, Item) {
    let mut out = Vec::new();
    loop {
        match until(|| reader.take()) {
            Item::Picture(picture) => out.push(number(&picture)),
            end => return (out, end),
        }
    }
}

const ALL: Order = Order { at: Point::Ticks(0), which: Which::All, until: None };

#[test]
fn what_is_ordered_is_read_and_what_was_read_before_is_forgotten() {
    let shelf = shelf("order", &closed(200, 8), false);
    let (reader, bell) = open(&shelf, None);
    let opened = until(|| reader.opened()).unwrap();
    assert_eq!((opened.id, reader.duration()), (5, 200 * 3600));
    assert!(until(|| bell.take().then_some(true)));
    reader.order(ALL);
    assert!(until(|| reader.peek(|item| matches!(item, Item::Picture(p) if number(p) == 0))));
    // It reads ahead only so far.
    until(|| (reader.shared.desk.lock().queue.len() == AHEAD).then_some(()));
    assert!(!reader.shared.desk.lock().has_room());
    assert_eq!(taken(&reader), ((0..200).collect(), Item::End));
    reader.order(ALL);
    until(|| reader.peek(|_| ()));
    reader.order(Order { at: Point::Ticks(55 * 3600), ..ALL });
    assert_eq!(taken(&reader), ((50..200).collect(), Item::End));
    reader.order(Order { at: Point::Ticks(55 * 3600), which: Which::KeysBack, until: None });
    // The file is deleted, and played on.
    std::fs::remove_file(&shelf.path).unwrap();
    assert_eq!(taken(&reader), (vec![50, 40, 30, 20, 10, 0], Item::End));
    reader.order(ALL);
    assert_eq!(taken(&reader).0.len(), 200);
}

#[test]
fn what_grows_is_read_until_nobody_writes() {
    let write = |path: &Path, n: u8| {
        use std::os::unix::fs::FileExt;
        let file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
        file.write_all_at(&recording(n, 5), 0).unwrap();
    };
    let shelf = shelf("grows", &recording(10, 5), true);
    let (reader, _bell) = open(&shelf, Some(5));
    assert_eq!(until(|| reader.opened()).unwrap().duration, None);
    reader.order(ALL);
    until(|| (reader.shared.desk.lock().queue.len() == 10).then_some(()));
    write(&shelf.path, 30);
    until(|| (reader.shared.desk.lock().queue.len() == 30).then_some(()));
    shelf.growing.store(false, Ordering::Release);
    assert_eq!(taken(&reader), ((0..30).collect(), Item::End));
    std::fs::remove_file(&shelf.path).unwrap();
}

#[test]
fn what_is_not_there_is_refused() {
    let shelf = shelf("refused", &[7; 100], false);
    let (reader, _bell) = open(&shelf, Some(6));
    assert_eq!(until(|| reader.opened()), Err(Refused::NotFound));
    let (reader, _bell) = open(&shelf, Some(5));
    assert!(matches!(until(|| reader.opened()), Err(Refused::Unreadable(_))));
    std::fs::remove_file(&shelf.path).unwrap();
    let (reader, _bell) = open(&shelf, Some(5));
    assert!(matches!(until(|| reader.opened()), Err(Refused::Unreadable(_))));
}

#[test]
fn readers_are_bounded_also_while_their_disk_stalls() {
    let shelf = shelf("stall", &recording(10, 5), false);
    *shelf.door.0.lock() = false;
    let permits = Permits::default();
    let another = || {
        let shelf = Arc::clone(&shelf) as Arc<dyn Shelf>;
        Reader::open(shelf, None, Bell::new().unwrap(), &permits)
    };
    let readers: Vec<_> = (0..MAX_READERS).map(|_| another().unwrap()).collect();
    assert!(another().is_none());
    // Nobody waits for them; but they count as long as they are there.
    drop(readers);
    assert!(another().is_none());
    *shelf.door.0.lock() = true;
    shelf.door.1.notify_all();
    until(|| (permits.0.load(Ordering::Acquire) == 0).then_some(()));
    assert!(another().is_some());
    std::fs::remove_file(&shelf.path).unwrap();
}
