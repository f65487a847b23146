//! A writer process and reader processes over one ring in real shared memory, killed and stopped at
//! random moments: `SIGKILL` is the one thing that no code can prepare for.
//!
//! The test starts itself again as `writer` or `reader`. Every unit's fields and bytes follow from
//! its sequence number, so that a reader verifies all it believes. Five seconds; two minutes with
//! `LENSD_LONG=1`.
#![cfg(not(loom))]

use lensd_ffi::link::{Link, Received};
use lensd_ffi::region::Region;
use lensd_ffi::ring::{Cursor, Geometry, Missed, Next, RingReader, RingWriter, UnitView};
use lensd_ffi::time::{Nanos, now};
use lensd_ffi::unit::{NalSpan, UnitMeta};
use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::Arc;
use std::time::Duration;

/// Small, so that a reader is lapped within a millisecond.
const GEOMETRY: Geometry = Geometry { slots: 64, bytes: 1 << 18 };
const READERS: usize = 4;
/// Every so many units is a key frame.
const GOP: u64 = 16;

/// From the children to the test.
#[derive(Debug, Default, Clone, Copy, Serialize, Deserialize)]
struct Told {
    /// Units written, or read whole.
    units: u64,
    /// How often a reader was lapped.
    laps: u64,
    /// How often it went on at a key frame afterwards.
    keys: u64,
}

fn main() -> ExitCode {
    let role = std::env::var("LENSD_STRESS").unwrap_or_default();
    match role.as_str() {
        "writer" => write_for_ever(&inherited()),
        "reader" => read_for_ever(&inherited()),
        _ => {
            // What `cargo nextest` and `cargo test` ask of a test without the standard harness.
            let args: Vec<String> = std::env::args().skip(1).collect();
            if args.iter().any(|a| a == "--list") {
                if !args.iter().any(|a| a == "--ignored") {
                    println!("killed_at_random: test");
                }
                return ExitCode::SUCCESS;
            }
            let name = args.iter().find(|a| !a.starts_with('-'));
            if name.is_none_or(|n| "killed_at_random".contains(n.as_str())) {
                killed_at_random();
            }
        }
    }
    ExitCode::SUCCESS
}

/// The link to the test is the child's standard input.
fn inherited() -> Link {
    Link::from_fd(std::io::stdin().as_fd().try_clone_to_owned().expect("stdin is the link"))
}

/// A generator of chance and of content (splitmix64).
fn mix(x: u64) -> u64 {
    let x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ x >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ x >> 31
}

fn small(x: u64, below: u64) -> usize {
    usize::try_from(x % below).unwrap_or(0)
}

/// All of unit `seq`.
fn unit(seq: u64, bytes: &mut Vec<u8>, nals: &mut Vec<NalSpan>) -> UnitMeta {
    let len = 64 + small(mix(seq), 12_000);
    bytes.clear();
    let mut word = mix(!seq);
    while bytes.len() < len {
        word = word.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(seq);
        bytes.extend_from_slice(&word.to_le_bytes());
    }
    bytes.truncate(len);
    nals.clear();
    let piece = u32::try_from(1 + small(mix(seq ^ 7), 60)).unwrap_or(1);
    nals.extend((0..seq % 5).map(|i| {
        let offset = u32::try_from(i).unwrap_or(0);
        NalSpan { offset, len: piece }
    }));
    UnitMeta {
        key: seq.is_multiple_of(GOP),
        frame: mix(seq ^ 1),
        encoded: Nanos(mix(seq ^ 2)),
        width: u16::try_from(seq % 0xffff).unwrap_or(0),
        ..UnitMeta::default()
    }
}

/// Makes the region, sends it, and publishes until it is killed.
fn write_for_ever(link: &Link) {
    let region = Arc::new(Region::create("stress", GEOMETRY.words()).expect("memory"));
    let mut writer = RingWriter::create(Arc::clone(&region), GEOMETRY);
    let fd = region.share().expect("descriptor");
    link.send(&Told::default(), &[fd.as_fd()]).expect("send");
    link.set_nonblocking(true).expect("nonblocking");
    let (mut bytes, mut nals) = (Vec::new(), Vec::new());
    loop {
        let seq = writer.next_seq();
        let meta = unit(seq, &mut bytes, &mut nals);
        // In pieces, as an encoder gives them.
        let (a, b) = bytes.split_at(small(mix(seq ^ 3), bytes.len() as u64));
        writer.publish(&meta, &nals, &[a, b]).expect("the unit fits");
        if seq.is_multiple_of(256) {
            // A full link loses the news, not the writer's time.
            let _ = link.send(&Told { units: seq + 1, ..Told::default() }, &[]);
        }
        // At times a breath, so that readers see it at rest too, and may be killed then.
        if mix(seq ^ 4).is_multiple_of(64) {
            std::thread::sleep(Duration::from_micros(mix(seq ^ 5) % 2000));
        }
    }
}

/// Panics if a unit that the ring vouches for is not what was published.
fn verify(ring: &RingReader<Region>, view: &UnitView, copy: &mut Buffers) -> Result<(), Missed> {
    let meta = unit(view.seq, &mut copy.bytes, &mut copy.nals);
    assert_eq!((view.meta, view.len), (meta, copy.bytes.len()), "torn descriptor {}", view.seq);
    copy.got.clear();
    copy.spans.clear();
    let spans = ring.nals(view, &mut copy.spans);
    assert!(spans != Err(Missed::Corrupt), "torn NAL table {}", view.seq);
    spans?;
    assert_eq!(copy.spans, copy.nals, "torn NAL table {}", view.seq);
    // A part from the midst, then the whole.
    let from = view.len / 3;
    ring.copy(view, from, view.len / 2, &mut copy.got)?;
    assert!(copy.got == copy.bytes[from..from + view.len / 2], "torn part {}", view.seq);
    copy.got.clear();
    ring.copy(view, 0, view.len, &mut copy.got)?;
    assert!(copy.got == copy.bytes, "torn unit {}", view.seq);
    Ok(())
}

#[derive(Default)]
struct Buffers {
    bytes: Vec<u8>,
    nals: Vec<NalSpan>,
    got: Vec<u8>,
    spans: Vec<NalSpan>,
}

/// Reads and verifies until it is killed or the link ends.
fn read_for_ever(link: &Link) {
    let Ok(Received::Message(Told { .. }, mut fds)) = link.receive::<Told>() else {
        panic!("no region came");
    };
    let ring = open(fds.remove(0));
    link.set_nonblocking(true).expect("nonblocking");
    let (mut told, mut buffers) = (Told::default(), Buffers::default());
    let mut cursor = Cursor::at_key(&ring);
    let mut news = now();
    let mut lapped = false;
    loop {
        match cursor.next(&ring) {
            Next::Unit(view) => {
                if lapped && view.meta.key {
                    told.keys += 1;
                } else if lapped {
                    // At least two groups fit the ring, so there always is a key frame to go on at.
                    panic!("after a lap unit {} is no key frame", view.seq);
                }
                lapped = false;
                if verify(&ring, &view, &mut buffers).is_ok() {
                    told.units += 1;
                }
            }
            Next::Lapped(_) => {
                told.laps += 1;
                lapped = true;
            }
            Next::Empty => std::thread::sleep(Duration::from_micros(200)),
            Next::Corrupt => panic!("the ring is called corrupt at {}", cursor.seq()),
        }
        if now().since(news) > Nanos::from_millis(20) {
            news = now();
            match link.send(&told, &[]) {
                Err(e) if e.kind() != std::io::ErrorKind::WouldBlock => return,
                _ => {}
            }
        }
    }
}

fn open(fd: OwnedFd) -> RingReader<Region> {
    let region = Arc::new(Region::open(fd).expect("the region is sealed"));
    RingReader::attach(region).expect("the ring is sound")
}

/// A child, its link, and what it said last.
struct Process {
    child: Child,
    link: Link,
    told: Told,
}

impl Process {
    fn start(role: &str) -> Self {
        let (ours, theirs) = Link::pair().expect("link");
        let stdin = theirs.as_fd().try_clone_to_owned().expect("descriptor");
        let child = Command::new(std::env::current_exe().expect("own name"))
            .env("LENSD_STRESS", role)
            .stdin(Stdio::from(stdin))
            .spawn()
            .expect("start");
        Self { child, link: ours, told: Told::default() }
    }

    /// A reader of this region.
    fn reader(region: &OwnedFd) -> Self {
        let process = Self::start("reader");
        process.link.send(&Told::default(), &[region.as_fd()]).expect("send");
        process.link.set_nonblocking(true).expect("nonblocking");
        process
    }

    /// A writer and its region.
    fn writer() -> (Self, OwnedFd) {
        let process = Self::start("writer");
        let Ok(Received::Message(Told { .. }, mut fds)) = process.link.receive::<Told>() else {
            panic!("the writer sent no region");
        };
        process.link.set_nonblocking(true).expect("nonblocking");
        (process, fds.remove(0))
    }

    /// Reads the news. Panics if the child has failed by itself.
    fn look(&mut self) -> Told {
        while let Ok(Received::Message(told, _)) = self.link.receive::<Told>() {
            self.told = told;
        }
        if let Some(status) = self.child.try_wait().expect("wait") {
            panic!("a child ended by itself: {status}");
        }
        self.told
    }

    /// Waits until the news are as wanted.
    fn wait(&mut self, what: &str, wanted: impl Fn(Told) -> bool) {
        let start = now();
        while !wanted(self.look()) {
            assert!(now().since(start) < Nanos::from_secs(20), "{what}: {:?}", self.told);
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.child.id().cast_signed()).expect("pid");
        kill_process(pid, signal).expect("kill");
    }

    /// Kills it, whatever it does just now; what it had told stays.
    fn kill(&mut self) -> Told {
        let told = self.look();
        self.child.kill().expect("kill");
        self.child.wait().expect("wait");
        told
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn killed_at_random() {
    let long = std::env::var("LENSD_LONG").is_ok_and(|v| v == "1");
    let end = now().plus(Nanos::from_secs(if long { 120 } else { 5 }));
    let mut chance = now().0;
    println!("chance begins at {chance}");
    let mut roll = move |below: u64| {
        chance = mix(chance);
        chance % below
    };
    let mut sum = Told::default();
    let mut add = |told: Told| {
        sum.units += told.units;
        sum.laps += told.laps;
        sum.keys += told.keys;
    };
    let (mut writers, mut killed, mut stopped, mut written) = (0, 0, 0, 0);
    while now() < end {
        let (mut writer, region) = Process::writer();
        writers += 1;
        let mut readers: Vec<_> = (0..READERS).map(|_| Process::reader(&region)).collect();
        let until = now().plus(Nanos::from_millis(200 + roll(1200)));
        while now() < until {
            std::thread::sleep(Duration::from_micros(roll(30_000)));
            let which = small(roll(READERS as u64), READERS as u64);
            let reader = &mut readers[which];
            match roll(4) {
                // Stopped for longer than a ring lasts: it was lapped, and goes on.
                0 => {
                    let before = reader.look();
                    reader.signal(Signal::STOP);
                    let at = writer.look().units;
                    writer.wait("the writer waits for a stopped reader", |w| {
                        w.units > at + 4 * GEOMETRY.slots as u64
                    });
                    reader.signal(Signal::CONT);
                    reader.wait("a stopped reader does not go on", |r| {
                        r.laps > before.laps && r.keys > before.keys && r.units > before.units
                    });
                    stopped += 1;
                }
                _ => {
                    add(reader.kill());
                    killed += 1;
                    let at = writer.look().units;
                    writer.wait("the writer misses a dead reader", |w| w.units > at);
                    *reader = Process::reader(&region);
                }
            }
        }
        written += writer.kill().units;
        dead_writers_units(region);
        for reader in &mut readers {
            add(reader.kill());
        }
    }
    println!(
        "{writers} writers killed after {written} units; {killed} readers killed and {stopped} \
         stopped; {} units verified, {} laps, {} of them ended at a key frame",
        sum.units, sum.laps, sum.keys
    );
    assert!(sum.units > 0 && sum.laps > 0 && sum.keys > 0, "the readers did nothing");
}

/// Whatever the writer did when it died: all that it had published and not yet begun to overwrite
/// is there, nothing else is, and a reader that comes late starts at a key frame.
fn dead_writers_units(region: OwnedFd) {
    let ring = open(region);
    let (tail, head) = (ring.tail(), ring.head());
    let mut buffers = Buffers::default();
    for seq in tail..head {
        let view = ring.view(seq).unwrap_or_else(|e| panic!("{seq} of {tail}..{head}: {e:?}"));
        verify(&ring, &view, &mut buffers).unwrap_or_else(|e| panic!("{seq}: {e:?}"));
    }
    assert_eq!(ring.view(head), Err(Missed::NotYet));
    if tail > 0 {
        assert_eq!(ring.view(tail - 1), Err(Missed::Overwritten));
    }
    if head > tail {
        let newest = (head - 1) / GOP * GOP;
        let key = ring.newest_key().map(|u| u.seq);
        assert_eq!(key, (newest >= tail).then_some(newest), "{tail}..{head}");
    }
    assert!(!ring.is_closed(), "it was killed, it did not close");
}
