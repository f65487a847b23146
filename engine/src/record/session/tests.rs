use super::*;
use lensd_ffi::mux::{Header, Next, Scanner};
use lensd_ffi::time::UtcNanos;

const MS: u64 = 1_000_000;

fn unit(ms: u64, key: bool) -> Unit {
    // JPEG needs no parameter sets; for the rest of it a unit is a unit.
    let mono = Nanos(ms * MS);
    let utc = UtcNanos(i64::try_from(ms * MS).unwrap());
    let capture = Stamp { mono, utc, ..Stamp::default() };
    let meta =
        UnitMeta { codec: Codec::Jpeg, key, width: 64, height: 48, capture, ..UnitMeta::default() };
    Unit { meta, bytes: vec![7; 100], nals: Vec::new() }
}

/// Files that come out: presentation times of their pictures in ms, and how long they play.
#[derive(Default)]
struct Files {
    open: Option<Vec<u8>>,
    closed: Vec<Vec<u8>>,
    wanted: usize,
    done: bool,
    played: u64,
}

impl Files {
    fn take(&mut self, session: &mut Session) {
        while let Some(output) = session.poll_output() {
            assert!(!self.done, "there is no more to come");
            match output {
                Output::Open { head, .. } => assert!(self.open.replace(head).is_none()),
                Output::Fragment { bytes, played, .. } => {
                    self.open.as_mut().unwrap().extend(bytes);
                    self.played = played;
                }
                Output::Close => self.closed.extend(self.open.take()),
                Output::WantKey => self.wanted += 1,
                Output::Done => self.done = true,
            }
        }
    }
}

fn feed(session: &mut Session, files: &mut Files, times: impl IntoIterator<Item = u64>) {
    for ms in times {
        session.handle_unit(unit(ms, true), Nanos(ms * MS)).unwrap();
        files.take(session);
    }
}

fn times(file: &[u8]) -> Vec<f64> {
    let header = Header::read(file).unwrap();
    let mut scanner = Scanner::new(&header);
    let (mut out, mut end) = (Vec::new(), 0);
    while let Next::Fragment(fragment) = scanner.next(file).unwrap() {
        assert!(fragment.check(file).unwrap());
        assert!(fragment.decode >= end, "decode times go on");
        let mut decode = fragment.decode;
        for sample in &fragment.samples {
            let shown = decode.saturating_add_signed(sample.cts.into());
            out.push(f64::from(u32::try_from(shown).unwrap()) / 90.0);
            decode += u64::from(sample.duration);
        }
        end = decode;
    }
    out
}

fn same(file: &[u8], expected: impl IntoIterator<Item = f64>) {
    let (got, expected) = (times(file), expected.into_iter().collect::<Vec<_>>());
    assert_eq!(got.len(), expected.len(), "{got:?}");
    for (a, b) in got.iter().zip(&expected) {
        assert!((a - b).abs() < 0.02, "{got:?} {expected:?}");
    }
}

#[test]
fn file_times_are_capture_times_whatever_these_are() {
    let mut session = Session::new(Plan::default(), 25.0, Nanos(0));
    let mut files = Files::default();
    // Jitter, a gap, and pictures out of order as with B pictures.
    let captured = [5000, 5040, 5083, 5120, 5900, 6020, 5940, 5980, 6060, 6060, 7000];
    feed(&mut session, &mut files, captured);
    session.close();
    files.take(&mut session);
    assert_eq!(files.closed.len(), 1);
    same(&files.closed[0], captured.iter().map(|ms| (ms - 5000) as f64));
}

#[test]
fn nothing_waits_longer_than_it_must() {
    let mut session = Session::new(Plan::default(), 25.0, Nanos(0));
    let mut files = Files::default();
    feed(&mut session, &mut files, (0..100).map(|n| 1000 + n * 40));
    // 4 s came, and what is not written yet is less than a fragment.
    assert!(files.played / 90 >= 4000 - 40 - 300, "{} ms", files.played / 90);
    session.handle_time(Nanos(6600 * MS));
    files.take(&mut session);
    assert_eq!(files.played / 90, 4000);
}

#[test]
fn a_pause_shifts_what_follows() {
    let mut session = Session::new(Plan::default(), 25.0, Nanos(0));
    let mut files = Files::default();
    feed(&mut session, &mut files, [1000, 1040, 1080]);
    session.pause();
    feed(&mut session, &mut files, [1120, 2000]);
    session.resume();
    assert_eq!(files.wanted, 0);
    feed(&mut session, &mut files, [9000, 9040]);
    assert_eq!(files.wanted, 1);
    session.close();
    files.take(&mut session);
    same(&files.closed[0], [0.0, 40.0, 80.0, 120.0, 160.0]);
}

#[test]
fn files_end_at_their_limits_and_the_last_one_with_all() {
    let plan = Plan { segment_secs: 2, limit_secs: 5, ..Plan::default() };
    let mut session = Session::new(plan, 25.0, Nanos(0));
    let mut files = Files::default();
    feed(&mut session, &mut files, (0..200).map(|n| n * 40).take_while(|ms| *ms < 5000));
    assert!(files.done && files.open.is_none());
    let count: usize = files.closed.iter().map(|file| times(file).len()).sum();
    assert_eq!((files.closed.len(), count), (3, 125));
    feed(&mut session, &mut files, [9000]);
    let plan = Plan { segment_bytes: 2000, ..Plan::default() };
    let mut session = Session::new(plan, 25.0, Nanos(0));
    let mut files = Files::default();
    feed(&mut session, &mut files, (0..50).map(|n| n * 40));
    session.close();
    files.take(&mut session);
    assert!(files.closed.len() > 2);
    assert_eq!(files.closed.iter().map(|file| times(file).len()).sum::<usize>(), 50);
}

#[test]
fn a_time_lapse_takes_a_key_frame_each_interval() {
    let mode = Mode::TimeLapse { interval_ms: 1000, rate: 10 };
    let mut session = Session::new(Plan { mode, ..Plan::default() }, 25.0, Nanos(0));
    let mut files = Files::default();
    for n in 0..100 {
        // A key frame every 8th, a third of a second.
        let ms = 1000 + n * 40;
        session.handle_unit(unit(ms, n % 8 == 0), Nanos(ms * MS)).unwrap();
        files.take(&mut session);
    }
    session.close();
    files.take(&mut session);
    same(&files.closed[0], [0.0, 100.0, 200.0, 300.0]);
    assert_eq!(files.wanted, 3, "each is asked for once");
}

#[test]
fn slow_motion_stretches_time() {
    let mode = Mode::SlowMotion { rate: 25 };
    let mut session = Session::new(Plan { mode, ..Plan::default() }, 100.0, Nanos(0));
    let mut files = Files::default();
    feed(&mut session, &mut files, (0..10).map(|n| 3000 + n * 10));
    session.close();
    files.take(&mut session);
    same(&files.closed[0], (0..10).map(|n| f64::from(n) * 40.0));
}

#[test]
fn after_a_failure_another_file_begins() {
    let mut session = Session::new(Plan::default(), 25.0, Nanos(0));
    let mut files = Files::default();
    feed(&mut session, &mut files, (0..20).map(|n| n * 40));
    session.give_up();
    files.open = None;
    feed(&mut session, &mut files, (30..40).map(|n| n * 40));
    session.close();
    files.take(&mut session);
    same(&files.closed[0], (0..10).map(|n| f64::from(n) * 40.0));
}

#[test]
fn a_limit_counts_capture_time_whatever_rate_it_is_played_at() {
    // Ten seconds as captured: a time-lapse plays for a part of that, slow motion for longer.
    let lapse = Mode::TimeLapse { interval_ms: 1000, rate: 10 };
    for (mode, count) in [(lapse, 10), (Mode::SlowMotion { rate: 25 }, 1000)] {
        let plan = Plan { mode, limit_secs: 10, ..Plan::default() };
        let mut session = Session::new(plan, 100.0, Nanos(0));
        let mut files = Files::default();
        for ms in (0..20_000).step_by(10).take_while(|_| !files.done).collect::<Vec<_>>() {
            if !files.done {
                feed(&mut session, &mut files, [ms]);
            }
        }
        assert!(files.done && files.open.is_none());
        assert_eq!(times(&files.closed[0]).len(), count, "{mode:?}");
    }
}

#[test]
fn pauses_do_not_count_for_the_limit() {
    let lapse = Mode::TimeLapse { interval_ms: 100, rate: 10 };
    for mode in [Mode::Video, lapse] {
        let plan = Plan { mode, limit_secs: 2, ..Plan::default() };
        let mut session = Session::new(plan, 25.0, Nanos(0));
        let mut files = Files::default();
        feed(&mut session, &mut files, (0..25).map(|n| n * 40));
        session.pause();
        feed(&mut session, &mut files, (25..500).map(|n| n * 40));
        session.resume();
        feed(&mut session, &mut files, (500..524).map(|n| n * 40));
        assert!(!files.done, "{mode:?}");
        feed(&mut session, &mut files, [524 * 40]);
        files.take(&mut session);
        let late = matches!(mode, Mode::TimeLapse { .. });
        if late {
            feed(&mut session, &mut files, [525 * 40, 526 * 40]);
        }
        assert!(files.done, "{mode:?}");
    }
}

#[test]
fn what_was_recorded_before_counts_for_the_limit() {
    let plan = Plan { limit_secs: 5, ..Plan::default() };
    let mut session = Session::new(plan, 25.0, Nanos::from_secs(3));
    let mut files = Files::default();
    feed(&mut session, &mut files, (0..50).map(|n| n * 40));
    assert!(files.done);
    assert_eq!(times(&files.closed[0]).len(), 50);
    assert!(session.spent() >= Nanos::from_millis(4900), "{:?}", session.spent());
}

#[test]
fn few_pictures_are_written_soon_after_their_capture() {
    let lapse = Mode::TimeLapse { interval_ms: 1000, rate: 10 };
    for mode in [Mode::Video, lapse] {
        let mut session = Session::new(Plan { mode, ..Plan::default() }, 1.0, Nanos(0));
        let mut files = Files::default();
        for n in 0..5 {
            let captured = 10_000 + n * 1000;
            // It takes 50 ms from the camera to here.
            session.handle_unit(unit(captured, true), Nanos((captured + 50) * MS)).unwrap();
            files.take(&mut session);
            let until = session.deadline().unwrap();
            assert!(until <= Nanos((captured + 400) * MS), "{until:?}");
            session.handle_time(until);
            files.take(&mut session);
            assert_eq!(times(files.open.as_ref().unwrap()).len() as u64, n + 1);
            assert_eq!(session.deadline(), None);
        }
        session.close();
        files.take(&mut session);
        let step = if mode == Mode::Video { 1000.0 } else { 100.0 };
        same(&files.closed[0], (0..5).map(|n| f64::from(n) * step));
    }
}

#[test]
fn pictures_that_come_late_are_not_one_fragment_each() {
    let mut session = Session::new(Plan::default(), 25.0, Nanos(0));
    for n in 0..25 {
        let captured = 1000 + n * 40;
        let at = Nanos((captured + 900) * MS);
        session.handle_unit(unit(captured, n == 0), at).unwrap();
        session.handle_time(at);
    }
    let fragments = std::iter::from_fn(|| session.poll_output())
        .filter(|output| matches!(output, Output::Fragment { .. }))
        .count();
    assert!(fragments <= 5, "{fragments}");
}

#[test]
fn another_rate_begins_another_file_with_its_own_stretch() {
    let mode = Mode::SlowMotion { rate: 25 };
    let mut session = Session::new(Plan { mode, ..Plan::default() }, 100.0, Nanos(0));
    let mut files = Files::default();
    feed(&mut session, &mut files, (0..10).map(|n| n * 10));
    session.set_rate(50.0);
    feed(&mut session, &mut files, (5..15).map(|n| n * 20));
    session.close();
    files.take(&mut session);
    assert_eq!((files.closed.len(), files.wanted), (2, 1));
    same(&files.closed[0], (0..10).map(|n| f64::from(n) * 40.0));
    same(&files.closed[1], (0..10).map(|n| f64::from(n) * 40.0));
}

#[test]
fn bounds_that_are_set_meanwhile_hold_for_what_is_recorded() {
    let mut session = Session::new(Plan::default(), 25.0, Nanos(0));
    let mut files = Files::default();
    feed(&mut session, &mut files, (0..50).map(|n| n * 40));
    assert!(files.closed.is_empty());
    session.set_bounds(&Plan { segment_secs: 2, limit_secs: 4, ..Plan::default() });
    feed(&mut session, &mut files, (50..99).map(|n| n * 40));
    assert_eq!((files.closed.len(), files.done), (1, false));
    feed(&mut session, &mut files, [99 * 40]);
    assert!(files.done);
    assert_eq!(files.closed.iter().map(|file| times(file).len()).sum::<usize>(), 100);
}
