use super::*;
use lensd_ffi::mux::Placed;
use lensd_ffi::time::Stamp;

/// How the streams here are cut if nothing else is said: 2 s, 250 ms, 8 segments.
pub(in crate::hls) const RULES: Rules = Rules { segment: 2 * TICKS, part: TICKS / 4, segments: 8 };
/// A window's first number.
pub(in crate::hls) const BIRTH: u64 = 1000;

/// A source of fragments.
pub(in crate::hls) struct Source {
    pub(in crate::hls) at: u64,
    init: Arc<Init>,
    count: u64,
}

impl Source {
    pub(in crate::hls) fn new() -> Self {
        Self { at: 90_000, init: make_init(320), count: 0 }
    }

    /// The next fragment, of so many ticks; its bytes say its number.
    pub(in crate::hls) fn make(&mut self, ticks: u32, key: bool) -> News {
        let decode = self.at;
        self.at += u64::from(ticks);
        self.count += 1;
        let utc = UtcNanos(i64::try_from(decode * 1_000_000 / 90).unwrap());
        News {
            frame: Arc::new([&[0x82, 8][..], &self.count.to_be_bytes()].concat()),
            header: 2,
            key,
            placed: Placed { decode, duration: ticks, offset: 0 },
            capture: Stamp { utc, mono: Nanos(decode * 1_000_000 / 90), ..Stamp::default() },
            init: Arc::clone(&self.init),
        }
    }

    /// So many of them at 30 a second, with a key frame every `group`.
    fn feed(&mut self, window: &mut Window, count: u64, group: u64) {
        for n in 0..count {
            let news = self.make(3000, n % group == 0);
            window.push(&news, 5000, Nanos(self.at * 1_000_000_000 / TICKS));
            hold(window);
        }
    }
}

fn make_init(width: u16) -> Arc<Init> {
    let mime = "video/mp4; codecs=\"avc1.42c01e\"".to_owned();
    Arc::new(Init { bytes: vec![1], mime, width, height: 180 })
}

/// What holds of every window at any time.
fn hold(window: &Window) {
    let Some(promise) = window.promise() else { return };
    let all: Vec<&Segment> = window.closed.iter().chain(window.open()).collect();
    for pair in all.windows(2) {
        assert_eq!(pair[1].msn, pair[0].msn + 1);
        assert_eq!(pair[1].discontinuity, pair[1].breaks != pair[0].breaks);
    }
    for segment in &all {
        assert!(segment.duration <= promise.target * TICKS, "{segment:?}");
        for (n, part) in segment.parts.iter().enumerate().filter(|_| segment.has_parts) {
            assert!(part.duration <= promise.part, "{part:?}");
            let last = n + 1 == segment.parts.len();
            assert!(last || part.duration * 100 >= promise.part * 85, "{part:?} of {promise:?}");
        }
    }
    for segment in &window.closed {
        let sum: u64 = segment.parts.iter().map(|part| part.duration).sum();
        assert_eq!(sum, segment.duration);
        assert!(window.inits.iter().any(|(number, _)| *number == segment.init));
    }
}

/// The numbers in a body.
fn numbers(body: Option<Payload>) -> Vec<u64> {
    let Some(Payload::Chain(slices)) = body else { return Vec::new() };
    slices.iter().map(|s| u64::from_be_bytes(s.as_bytes().try_into().unwrap())).collect()
}

#[test]
fn segments_begin_with_key_frames_and_parts_make_them_up() {
    let (mut source, mut window) = (Source::new(), Window::new(RULES, BIRTH, 0));
    source.feed(&mut window, 30, 30);
    assert_eq!(window.promise(), None, "a group is not over before the next one begins");
    source.feed(&mut window, 1, 30);
    assert_eq!(window.promise(), Some(Promise { target: 4, part: 26_460 }));
    assert_eq!(numbers(window.segment(BIRTH)), (1..=30).collect::<Vec<_>>());
    for _ in 0..5 {
        // The key frame that begins a group is in already.
        for n in 1..=30 {
            let news = source.make(3000, n == 30);
            window.push(&news, 0, Nanos(0));
            hold(&window);
        }
    }
    let listed: Vec<u64> = window.listed().map(|segment| segment.duration / 3000).collect();
    assert_eq!(listed, [30, 60, 60], "two groups fit the two seconds that are aimed at");
    assert!(window.listed().all(|s| s.parts[0].independent), "each begins with a key frame");
    let parts: Vec<u64> = window.listed().nth(1).unwrap().parts.iter().map(|p| p.number).collect();
    assert_eq!(parts, (4..=11).collect::<Vec<_>>());
    let first: Vec<u64> = window.listed().next().unwrap().parts.iter().map(|p| p.number).collect();
    assert_eq!(first, [0, 1, 2, 3], "the first one's parts are known once their length is");
    let bytes: Vec<u64> = parts.iter().flat_map(|p| numbers(window.part(BIRTH, *p))).collect();
    assert_eq!(bytes, numbers(window.segment(BIRTH + 1)), "and nothing is missing");
    assert!(window.part(BIRTH, window.next_part()).is_none());
    assert!(window.part(BIRTH - 1, 1).is_none(), "of another window");
}

#[test]
fn it_keeps_what_players_may_ask_for_and_no_more() {
    let (mut source, mut window) = (Source::new(), Window::new(RULES, BIRTH, 0));
    source.feed(&mut window, 6000, 60);
    assert_eq!(window.listed().count(), 8);
    let first = window.listed().next().unwrap().msn;
    assert!(window.segment(first - 1).is_some(), "who has an older playlist still gets it");
    assert!(window.closed.len() <= 8 + 11, "{}", window.closed.len());
    let large = Arc::new(vec![0; 1 << 20]);
    for n in 0..600_u64 {
        let news = News { frame: Arc::clone(&large), ..source.make(3000, n % 60 == 0) };
        window.push(&news, 0, Nanos(0));
        assert!(window.bytes() <= MAX_BYTES + MAX_SEGMENT + (1 << 20), "{}", window.bytes());
    }
    assert!(window.listed().count() >= 1);
}

#[test]
fn short_segments_are_kept_for_three_target_durations() {
    let rules = Rules { segment: TICKS, segments: 3, ..RULES };
    let (mut source, mut window) = (Source::new(), Window::new(rules, BIRTH, 0));
    source.feed(&mut window, 3000, 30);
    let listed: u64 = window.listed().map(|segment| segment.duration).sum();
    assert_eq!(listed, 12 * TICKS);
}

#[test]
fn a_break_is_said_and_goes_on_with_a_key_frame() {
    let (mut source, mut window) = (Source::new(), Window::new(RULES, BIRTH, 0));
    source.feed(&mut window, 100, 60);
    let before = window.open().unwrap().msn;
    source.at += 10 * TICKS;
    let parts = window.next_part();
    window.push(&source.make(3000, false), 0, Nanos(0));
    assert_eq!((window.next_part(), window.open().unwrap().msn), (parts, before), "left out");
    source.feed(&mut window, 30, 60);
    assert!(window.open().unwrap().discontinuity);
    assert_eq!(window.open().unwrap().init, 0, "the same init segment");
    // Other parameters are another init segment, at once.
    source.init = make_init(640);
    source.feed(&mut window, 61, 60);
    let (last, open) = (window.closed.back().unwrap(), window.open().unwrap());
    assert!(last.discontinuity && last.init == 1 && !open.discontinuity && open.init == 1);
    assert_eq!(window.init(BIRTH, 1).unwrap().width, 640);
    assert_eq!(window.init(BIRTH, 0).unwrap().width, 320, "as long as a segment needs it");
    source.feed(&mut window, 6000, 60);
    assert!(window.init(BIRTH, 0).is_none());
    // Another source goes on where it is.
    let breaks = window.breaks;
    window.cut();
    source.feed(&mut window, 10, 60);
    assert_eq!(window.breaks, breaks + 1);
}

#[test]
fn long_groups_are_cut_and_key_frames_asked_for() {
    let (mut source, mut window) = (Source::new(), Window::new(RULES, BIRTH, 0));
    source.feed(&mut window, 180, 1000);
    assert!(!window.wants_key() && window.promise().is_none());
    let more = |window: &mut Window, source: &mut Source, count: u64, key: bool| {
        for n in 0..count {
            window.push(&source.make(3000, key && n == 0), 0, Nanos(0));
            hold(window);
        }
    };
    more(&mut window, &mut source, 1, false);
    assert!(window.wants_key(), "six seconds without one");
    more(&mut window, &mut source, 190, true);
    assert_eq!(window.promise().map(|p| p.target), Some(7));
    assert!(!window.wants_key(), "what came is waited for again");
    // Nobody obeys: players begin where they can.
    more(&mut window, &mut source, 400, false);
    assert!(window.wants_key());
    assert_eq!(window.listed().map(|s| s.duration / TICKS).collect::<Vec<_>>(), [6, 7, 7]);
}

#[test]
fn a_picture_that_is_late_is_in_no_part_and_breaks_no_promise() {
    let (mut source, mut window) = (Source::new(), Window::new(RULES, BIRTH, 0));
    source.feed(&mut window, 130, 60);
    window.push(&source.make(270_000, false), 0, Nanos(0));
    hold(&window);
    let last = window.closed.back().unwrap();
    assert!(!last.has_parts && last.msn == BIRTH + 2);
    assert_eq!(window.has(last.msn, Some(3)), Verdict::Now, "so the segment is told at once");
    for n in 0..200 {
        window.push(&source.make(3000, n % 60 == 59), 0, Nanos(0));
        hold(&window);
    }
    assert_eq!(window.birth(), BIRTH, "once is no reason to begin anew");
}

#[test]
fn another_pace_or_other_rules_begin_anew_with_higher_numbers() {
    let (mut source, mut window) = (Source::new(), Window::new(RULES, BIRTH, 0));
    source.feed(&mut window, 300, 60);
    let version = window.version();
    for n in 0..60 {
        window.push(&source.make(30_000, n % 5 == 0), 5000, Nanos(0));
    }
    assert_eq!(window.birth(), 5000, "3 pictures a second need longer parts");
    assert!(window.version() > version);
    assert_eq!(window.promise().map(|p| p.part), Some(33_030));
    window.set_rules(Rules { part: TICKS, ..RULES });
    for n in 0..20 {
        window.push(&source.make(30_000, n % 5 == 0), 0, Nanos(0));
    }
    assert!(window.birth() > 5000 && window.birth() < 5100, "never the same twice");
    assert_eq!(window.breaks, 2, "each is a break to players");
    assert_eq!(window.promise().map(|p| p.part), Some(99_000));
}

#[test]
fn what_is_waited_for_comes_or_is_refused() {
    let (mut source, mut window) = (Source::new(), Window::new(RULES, BIRTH, 0));
    assert_eq!(window.has(7, None), Verdict::Wait, "nobody knows yet");
    source.feed(&mut window, 60, 60);
    source.feed(&mut window, 60, 60);
    source.feed(&mut window, 20, 60);
    let last = BIRTH + 1;
    assert_eq!(window.open().unwrap().parts.len(), 2);
    for (msn, part, verdict) in [
        (0, None, Verdict::Now),
        (last, None, Verdict::Now),
        (last, Some(7), Verdict::Now),
        (last, Some(8), Verdict::Now),
        (last, Some(u64::MAX), Verdict::Now),
        (last + 1, None, Verdict::Wait),
        (last + 1, Some(1), Verdict::Now),
        (last + 1, Some(2), Verdict::Wait),
        (last + 1, Some(13), Verdict::Wait),
        (last + 1, Some(14), Verdict::Far),
        (last + 2, None, Verdict::Wait),
        (last + 2, Some(0), Verdict::Wait),
        (last + 2, Some(100), Verdict::Far),
        (last + 3, None, Verdict::Far),
        (u64::MAX, Some(0), Verdict::Far),
    ] {
        assert_eq!(window.has(msn, part), verdict, "{msn} {part:?}");
    }
}

#[test]
fn another_camera_comes_in_at_a_key_frame_that_is_not_of_the_past() {
    let (mut source, mut window) = (Source::new(), Window::new(RULES, BIRTH, 0));
    source.feed(&mut window, 301, 30);
    let newest = source.at - 3000;
    // The other one has a group of ten seconds in its ring, and begins with that.
    let mut other = Source { at: newest - 10 * 90_000, init: make_init(640), ..Source::new() };
    window.cut();
    let before = window.version();
    for n in 0..299 {
        window.push(&other.make(3000, n == 0), 0, Nanos(0));
        assert!(window.wants_key() && window.version() == before, "{n}");
    }
    assert_eq!(other.at, newest - 3000);
    window.push(&other.make(3000, true), 0, Nanos(0));
    assert_eq!(window.version(), before, "it was captured before");
    window.push(&other.make(3000, false), 0, Nanos(0));
    window.push(&other.make(3000, true), 0, Nanos(0));
    assert!(!window.wants_key());
    let open = window.open().unwrap();
    assert_eq!((open.discontinuity, open.init, open.duration), (true, 1, 3000));
    assert!(open.utc >= window.closed.back().unwrap().utc);
    hold(&window);
}

#[test]
fn a_promise_that_fits_again_stays() {
    let (mut source, mut window) = (Source::new(), Window::new(RULES, BIRTH, 0));
    source.feed(&mut window, 61, 30);
    let promise = window.promise();
    // Some seconds of ten pictures a second, without a key frame, then as before.
    while window.misfits < MISFITS {
        window.push(&source.make(9000, false), 5000, Nanos(0));
    }
    while window.misfits > 0 {
        window.push(&source.make(3000, false), 5000, Nanos(0));
    }
    for n in 0..31 {
        window.push(&source.make(3000, n == 0), 5000, Nanos(0));
    }
    assert_eq!((window.birth(), window.promise()), (BIRTH, promise));
}
