use super::*;
use lensd_ffi::mux::ReadAt;
use lensd_ffi::mux::{Init, Reference, Sample, begin, sealed};
use lensd_ffi::unit::Codec;
use std::collections::HashSet;

/// A device that has done something to its bytes that is not safe yet.
#[derive(Debug, Clone)]
enum Done {
    Write(u64, Vec<u8>),
    Truncate(u64),
}

/// A file on a device that can lose power.
#[derive(Debug, Clone, Default)]
struct Memory {
    /// As programs see it.
    now: Vec<u8>,
    /// As it is after a power cut, if nothing of `pending` came through.
    safe: Vec<u8>,
    pending: Vec<Done>,
    /// All that a power cut at some moment can leave.
    left: HashSet<Vec<u8>>,
    /// Calls that write.
    calls: usize,
}

impl Memory {
    fn new(bytes: &[u8]) -> Self {
        let bytes = bytes.to_vec();
        let left = HashSet::from([bytes.clone()]);
        Self { now: bytes.clone(), safe: bytes, left, ..Self::default() }
    }

    fn cut(&mut self, done: Done) {
        self.calls += 1;
        apply(&done, &mut self.now, Fate::Kept);
        self.pending.push(done);
        // Each of them is kept, lost or torn, whatever became of the others.
        let fates = [Fate::Lost, Fate::Kept, Fate::Torn, Fate::Zeros];
        let combinations = fates.len().pow(u32::try_from(self.pending.len()).unwrap());
        for n in 0..combinations {
            let (mut bytes, mut n) = (self.safe.clone(), n);
            for done in &self.pending {
                apply(done, &mut bytes, fates[n % fates.len()]);
                n /= fates.len();
            }
            self.left.insert(bytes);
        }
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Fate {
    Lost,
    Kept,
    /// Its first half.
    Torn,
    /// Its length, but nothing in it.
    Zeros,
}

fn apply(done: &Done, bytes: &mut Vec<u8>, fate: Fate) {
    match (done, fate) {
        (_, Fate::Lost) | (Done::Truncate(_), Fate::Torn | Fate::Zeros) => {}
        (Done::Truncate(size), Fate::Kept) => bytes.resize(usize::try_from(*size).unwrap(), 0),
        (Done::Write(at, new), fate) => {
            let from = usize::try_from(*at).unwrap();
            let length = if fate == Fate::Torn { new.len() / 2 } else { new.len() };
            if bytes.len() < from + length {
                bytes.resize(from + length, 0);
            }
            if fate != Fate::Zeros {
                bytes[from..from + length].copy_from_slice(&new[..length]);
            }
        }
    }
}

impl ReadAt for Memory {
    fn read_at(&self, at: u64, into: &mut [u8]) -> io::Result<usize> {
        self.now[..].read_at(at, into)
    }

    fn size(&self) -> io::Result<u64> {
        self.now[..].size()
    }
}

impl Disk for Memory {
    fn write_at(&mut self, at: u64, bytes: &[u8]) -> io::Result<()> {
        self.cut(Done::Write(at, bytes.to_vec()));
        Ok(())
    }

    fn truncate(&mut self, size: u64) -> io::Result<()> {
        self.cut(Done::Truncate(size));
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        self.pending.clear();
        self.safe.clone_from(&self.now);
        self.left.insert(self.safe.clone());
        Ok(())
    }
}

/// Seconds of NTP at 2026-11-21T14:00:00Z.
const NTP: u64 = 4_004_258_400;

fn append(n: u32, out: &mut Vec<u8>) {
    let picture = [u8::try_from(n).unwrap(); 40];
    let sample = Sample {
        codec: Codec::Jpeg,
        bytes: &picture,
        nals: &[],
        key: true,
        duration: 3600,
        offset: 0,
    };
    let decode = u64::from(n) * 7200;
    let reference = Reference { ntp: NTP << 32, time: decode };
    sealed(n + 1, decode, reference, &[sample, sample], out).unwrap();
}

fn recording(fragments: u32) -> Vec<u8> {
    let mut out = Vec::new();
    begin(&Init::jpeg(64, 48).unwrap(), &mut out);
    (0..fragments).for_each(|n| append(n, &mut out));
    out
}

fn closed(bytes: &[u8]) -> (Vec<u8>, Mended) {
    let mut disk = Memory::new(bytes);
    let mended = close(&mut disk, None).unwrap();
    (disk.now, mended)
}

#[test]
fn what_is_closed_has_all_pictures_where_they_were() {
    let open = recording(3);
    let (whole, mended) = closed(&open);
    assert_eq!((mended.fragments, mended.pictures, mended.trimmed), (3, 6, 0));
    assert_eq!((mended.duration_ms, mended.bytes), (240, whole.len() as u64));
    assert_eq!(mended.captured_ms, 1_795_269_600_000);
    // All fragments say the same time: one picture of 40 ms behind it.
    assert_eq!(mended.until_ms, 1_795_269_600_040);
    let lid = usize::try_from(Header::read(&open[..]).unwrap().lid).unwrap();
    let differ: Vec<_> = (0..open.len()).filter(|at| open[*at] != whole[*at]).collect();
    assert!(differ.iter().all(|at| (lid..lid + 16).contains(at)), "{differ:?}");
    let day = whole.windows(24).any(|w| w == b"2026-11-21T14:00:00.000Z");
    assert!(day, "the date of the first picture");
    // And once more, nothing is done.
    let mut again = Memory::new(&whole);
    assert_eq!(close(&mut again, None).unwrap(), mended);
    assert_eq!((again.now, again.calls), (whole, 0));
}

#[test]
fn a_title_of_before_stays() {
    let mut disk = Memory::new(&recording(2));
    close(&mut disk, Some("moov udta")).unwrap();
    assert!(disk.now.windows(9).any(|w| w == b"moov udta"));
    let before = disk.clone();
    close(&mut disk, None).unwrap();
    assert_eq!((disk.now, disk.calls), (before.now, before.calls));
}

/// Wherever mending is cut off, and that mending again, all ends the same.
#[test]
fn mending_that_is_cut_off_is_mended() {
    let good = recording(3);
    let wanted = closed(&good).0;
    let mut stale = wanted[..good.len() + 50].to_vec();
    stale[..good.len()].copy_from_slice(&good);
    let mut grown = good.clone();
    append(3, &mut grown);
    grown.truncate(grown.len() - 10);
    let mut wrong = good.clone();
    append(3, &mut wrong);
    *wrong.last_mut().unwrap() ^= 1;
    let mut movie = wanted.clone();
    let at = movie.len() - 200;
    movie[at..at + 40].fill(0);
    let longer = [&wanted[..], &[0; 5000]].concat();
    let zeros = [&good[..], &[0; 5000]].concat();
    let mut states: Vec<Vec<u8>> = vec![good, stale, grown, wrong, movie, longer, zeros];
    let mut seen = HashSet::new();
    while let Some(state) = states.pop() {
        if !seen.insert(state.clone()) {
            continue;
        }
        let mut disk = Memory::new(&state);
        close(&mut disk, None).unwrap();
        assert_eq!(disk.now, wanted);
        assert_eq!(disk.safe, wanted, "nothing waits to be written");
        states.extend(disk.left);
    }
    assert!(seen.len() > 20, "{}", seen.len());
}

#[test]
fn wherever_a_recording_is_cut_off_its_whole_fragments_stay() {
    let open = recording(3);
    let ends: Vec<usize> = (0..=3).map(|n| recording(n).len()).collect();
    for cut in 0..open.len() {
        let (mended, said) = closed(&open[..cut]);
        let fits = ends.iter().filter(|end| **end <= cut).count().saturating_sub(1);
        assert_eq!(said.fragments, fits, "{cut}");
        if fits == 0 {
            assert_eq!(mended, open[..cut], "nothing was recorded, nothing is done");
            continue;
        }
        assert_eq!(mended, closed(&open[..ends[fits]]).0, "{cut}");
        assert_eq!(said.trimmed, (cut - ends[fits]) as u64);
    }
}

#[test]
fn damage_in_the_middle_is_no_crash() {
    let good = recording(3);
    let second = recording(1).len();
    for (state, at) in [(good.clone(), second), (closed(&good).0, second)] {
        let mut state = state;
        state[at + 9] ^= 1;
        let mut disk = Memory::new(&state);
        let error = close(&mut disk, None).unwrap_err();
        assert!(matches!(error, Failed::Damaged(byte) if byte == at as u64), "{error}");
        assert_eq!((disk.now, disk.calls), (state, 0));
    }
    // The front.
    let mut state = good.clone();
    state[5] ^= 1;
    assert!(matches!(close(&mut Memory::new(&state), None), Err(Failed::Damaged(0))));
    // The last fragment of a file that was closed, and so was safe.
    let mut state = closed(&good).0;
    state[good.len() - 1] ^= 1;
    assert!(matches!(close(&mut Memory::new(&state), None), Err(Failed::Damaged(_))));
    // A file that never was one.
    assert_eq!(closed(&[0; 9000]).1, Mended { bytes: 9000, ..Mended::default() });
}

#[test]
fn a_seal_across_two_blocks_is_found() {
    let mut fragment = Vec::new();
    append(0, &mut fragment);
    for before in (1 << 20) - 60..(1 << 20) + 8 {
        let mut state = vec![7; before];
        state.extend_from_slice(&fragment);
        assert!(seal_behind(&Memory::new(&state), 0, u64::MAX).unwrap(), "{before}");
        state.pop();
        assert!(!seal_behind(&Memory::new(&state), 0, u64::MAX).unwrap());
    }
    // It is looked for only so far.
    let far = [&vec![7; 3 << 20][..], &fragment].concat();
    let far = Memory::new(&far);
    assert!(seal_behind(&far, 0, 4 << 20).unwrap() && !seal_behind(&far, 0, 2 << 20).unwrap());
}

/// A device without room.
struct Full(Memory);

impl ReadAt for Full {
    fn read_at(&self, at: u64, into: &mut [u8]) -> io::Result<usize> {
        self.0.read_at(at, into)
    }

    fn size(&self) -> io::Result<u64> {
        self.0.size()
    }
}

impl Disk for Full {
    fn write_at(&mut self, at: u64, bytes: &[u8]) -> io::Result<()> {
        self.0.write_at(at, &bytes[..bytes.len() / 2])?;
        Err(io::ErrorKind::StorageFull.into())
    }

    fn truncate(&mut self, size: u64) -> io::Result<()> {
        self.0.truncate(size)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.0.sync()
    }
}

#[test]
fn without_room_for_the_index_the_file_stays_as_it_was() {
    let open = recording(3);
    let mut disk = Full(Memory::new(&open));
    assert!(matches!(close(&mut disk, None), Err(Failed::Io(_))));
    assert_eq!(disk.0.now, open);
}

#[test]
fn files_are_mended() {
    let path = std::env::temp_dir().join(format!("lensd-mend-{}.mp4", std::process::id()));
    std::fs::write(&path, &recording(2)[..]).unwrap();
    let mended = mend(&path, None).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), closed(&recording(2)).0);
    assert_eq!(mended.fragments, 2);
    std::fs::remove_file(&path).unwrap();
    assert!(matches!(mend(&path, None), Err(Failed::Io(_))));
}

#[test]
fn all_seals_of_a_file_that_is_found_are_looked_at() {
    let good = recording(5);
    let second = recording(1).len();
    for state in [good.clone(), closed(&good).0] {
        let mut damaged = state.clone();
        // A picture's bytes: what is around them is whole.
        damaged[recording(2).len() - 5] ^= 1;
        assert_eq!(closed(&damaged).1.fragments, 5, "files of our own are not read whole");
        let mut disk = Memory::new(&damaged);
        let error = close_found(&mut disk, None, &mut || true).unwrap_err();
        assert!(matches!(error, Failed::Damaged(byte) if byte == second as u64), "{error}");
        assert_eq!((disk.now, disk.calls), (damaged, 0));
        let mended = close_found(&mut Memory::new(&state), None, &mut || true).unwrap();
        assert_eq!(mended, closed(&state).1);
    }
}
