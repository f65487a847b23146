use super::window::tests::Source;
use super::*;
use lensd_ffi::time::UtcNanos;

const SOURCE: &str = "cam1/main";

fn at(ms: u64) -> At {
    let utc = 1_800_000_000_000_000_000 + i64::try_from(ms).unwrap() * 1_000_000;
    At { mono: Nanos::from_millis(ms), utc: UtcNanos(utc) }
}

fn key(index: usize) -> ConnKey {
    ConnKey { index, generation: 1 }
}

fn wish(name: &str, query: &str) -> Wish {
    let pair = |item: &str| item.split_once('=').map(|(n, v)| (n.to_owned(), v.to_owned()));
    let pairs: Vec<_> = query.split('&').filter_map(pair).collect();
    Wish {
        stream: SOURCE.to_owned(),
        file: File::parse(name).unwrap(),
        since: Since::parse(&pairs).unwrap(),
        query: String::new(),
    }
}

struct Play {
    hls: Hls,
    engine: Engine,
    source: Source,
    pictures: u64,
}

impl Play {
    fn new() -> Self {
        let (hls, engine) = (Hls::default(), Engine::new().unwrap());
        Self { hls, engine, source: Source::new(), pictures: 0 }
    }

    fn ask(&mut self, index: usize, wish: Wish, ms: u64) -> Result<Option<String>, Fault> {
        let answer = self.hls.ask(&mut self.engine, key(index), wish, SOURCE, at(ms))?;
        Ok(answer.map(|response| body(&response)))
    }

    /// So many pictures, 30 a second, a key frame a second.
    fn feed(&mut self, count: u64, ms: u64) {
        for _ in 0..count {
            let news = self.source.make(3000, self.pictures.is_multiple_of(30));
            self.pictures += 1;
            self.hls.push(&mut self.engine, SOURCE, &news, at(ms));
        }
    }
}

fn body(response: &Response) -> String {
    String::from_utf8_lossy(response.body.bytes()).into_owned()
}

#[test]
fn who_is_first_waits_for_the_first_segment() {
    let mut play = Play::new();
    assert_eq!(play.ask(1, wish("index.m3u8", ""), 0), Ok(None));
    assert_eq!(play.ask(2, wish("live.m3u8", ""), 0), Ok(None));
    assert!(play.ask(3, wish("segment-5.mp4", ""), 0).unwrap_err().status == 404);
    play.feed(30, 1000);
    assert!(play.hls.take_ready(at(1000)).is_empty());
    play.feed(1, 1030);
    let ready = play.hls.take_ready(at(1030));
    assert_eq!(ready.iter().map(|(key, _)| key.index).collect::<Vec<_>>(), [1, 2]);
    let index = body(&ready[0].1);
    assert!(
        index.contains("CODECS=\"avc1.42c01e\",RESOLUTION=320x180,FRAME-RATE=30.000"),
        "{index}"
    );
    assert!(body(&ready[1].1).contains("#EXT-X-PART-INF:PART-TARGET=0.294000\n"));
    assert!(play.hls.take_ready(at(1030)).is_empty(), "once");
}

#[test]
fn a_request_is_parked_until_its_part_is_there() {
    let mut play = Play::new();
    assert_eq!(play.ask(1, wish("live.m3u8", ""), 0), Ok(None));
    play.feed(31, 0);
    assert_eq!(play.hls.take_ready(at(0)).len(), 1);
    let birth = Births::default().number(at(0));
    let blocking = format!("_HLS_msn={}&_HLS_part=0", birth + 1);
    assert_eq!(play.ask(1, wish("live.m3u8", &blocking), 0), Ok(None));
    // What is hinted at comes with it.
    let hinted = format!("part-{birth}-4.mp4");
    assert_eq!(play.ask(2, wish(&hinted, ""), 0), Ok(None));
    let next = format!("part-{birth}-5.mp4");
    assert_eq!(play.ask(3, wish(&next, ""), 0).unwrap_err().status, 404);
    let far = format!("_HLS_msn={}", birth + 9);
    let refused = play.ask(3, wish("live.m3u8", &far), 0).unwrap_err();
    assert_eq!(refused.status, 400);
    assert!(refused.message.contains("too far ahead"));
    // Of who has gone nobody hears again.
    assert_eq!(play.ask(4, wish("live.m3u8", &blocking), 0), Ok(None));
    play.hls.forget(key(4));
    play.feed(7, 0);
    let ready = play.hls.take_ready(at(0));
    assert_eq!(ready.iter().map(|(key, _)| key.index).collect::<Vec<_>>(), [1, 2]);
    let playlist = body(&ready[0].1);
    assert!(playlist.contains(&format!("URI=\"{hinted}\",INDEPENDENT=YES\n")), "{playlist}");
    assert!(playlist.ends_with(&format!("#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"{next}\"\n")));
    assert_eq!(ready[1].1.body.len(), 64, "eight fragments of eight bytes");
}

#[test]
fn a_token_is_in_every_uri() {
    let mut play = Play::new();
    let with = |name: &str| Wish { query: "?token=abc".to_owned(), ..wish(name, "") };
    assert_eq!(play.ask(1, with("live.m3u8"), 0), Ok(None));
    play.feed(100, 0);
    let live = play.ask(1, with("live.m3u8"), 0).unwrap().unwrap();
    let index = play.ask(1, with("index.m3u8"), 0).unwrap().unwrap();
    let uris = live.matches(".mp4").count();
    assert!(uris > 5 && live.matches(".mp4?token=abc").count() == uris, "{live}");
    assert!(index.ends_with("\nlive.m3u8?token=abc\n"), "{index}");
    let plain = play.ask(1, wish("live.m3u8", ""), 0).unwrap().unwrap();
    assert!(!plain.contains("abc"));
}

#[test]
fn it_ends_when_nobody_asks_or_it_is_switched_off() {
    let mut play = Play::new();
    assert_eq!(play.ask(1, wish("live.m3u8", ""), 0), Ok(None));
    assert!(play.hls.tick(&mut play.engine, at(19_000)).is_empty());
    assert_eq!(play.hls.load().0, 1);
    // A camera that does not come: 503, and nobody waits any more.
    let late = play.hls.tick(&mut play.engine, at(20_000));
    assert_eq!(late.iter().map(|(_, r)| r.status).collect::<Vec<_>>(), [503]);
    assert!(play.hls.tick(&mut play.engine, at(41_000)).is_empty());
    assert_eq!(play.hls.load(), (0, 0));
    // Pictures that stop: the playlist stays as it is.
    assert_eq!(play.ask(1, wish("live.m3u8", ""), 50_000), Ok(None));
    play.feed(100, 50_000);
    assert_eq!(play.hls.take_ready(at(50_000)).len(), 1);
    let next = format!("_HLS_msn={}", Births::default().number(at(50_000)) + 3);
    assert_eq!(play.ask(1, wish("live.m3u8", &next), 50_000), Ok(None));
    let hint = format!("part-{}-13.mp4", Births::default().number(at(50_000)));
    assert_eq!(play.ask(2, wish(&hint, ""), 50_000), Ok(None));
    let late = play.hls.tick(&mut play.engine, at(62_000));
    assert_eq!(late.iter().map(|(_, r)| r.status).collect::<Vec<_>>(), [200, 404]);
    assert_eq!(play.ask(1, wish("live.m3u8", &next), 62_000), Ok(None));
    play.hls.set(Settings { on: false, ..Settings::default() });
    let over = play.hls.tick(&mut play.engine, at(62_000));
    assert_eq!(over.iter().map(|(_, r)| r.status).collect::<Vec<_>>(), [404]);
    assert_eq!(play.hls.load(), (0, 0));
}

#[test]
fn streams_and_those_who_wait_are_bounded() {
    let mut play = Play::new();
    for n in 0..MAX_STREAMS {
        let wish = Wish { stream: format!("cam{n}/main"), ..wish("live.m3u8", "") };
        assert_eq!(play.ask(n, wish, 0), Ok(None));
    }
    let more = Wish { stream: "cam99/main".to_owned(), ..wish("live.m3u8", "") };
    assert_eq!(play.ask(99, more, 0).unwrap_err().status, 503);
    let again = |n: usize| (n, Wish { stream: "cam0/main".to_owned(), ..wish("live.m3u8", "") });
    for (n, wish) in (MAX_STREAMS..MAX_WAITING).map(again) {
        assert_eq!(play.ask(n, wish, 0), Ok(None));
    }
    assert_eq!(play.ask(MAX_WAITING, again(0).1, 0).unwrap_err().status, 503);
}

#[test]
fn numbers_never_run_backwards() {
    let births = Births::default();
    let by_utc = |utc: i64| At { utc: UtcNanos(utc), ..at(0) };
    let (early, late) = (births.number(at(0)), births.number(at(500)));
    assert_eq!(late, early + 1);
    assert!(births.number(by_utc(2_600_000_000_000_000_000)) < 1 << 31);
    assert!(births.breaks(by_utc(2_600_000_000_000_000_000)) < 1 << 18);
    assert_eq!(births.breaks(at(3_600_000)), births.breaks(at(0)) + 1);
}

#[test]
fn a_machine_without_the_time_does_not_begin_with_the_same_names_again() {
    // 1970, and what a build's time may be set to.
    for utc in [0, 1_600_000_000_000_000_000] {
        let at = |ms: u64| At { mono: Nanos::from_millis(ms), utc: UtcNanos(utc) };
        let (mut one, other) = (Births::default(), Births::default());
        assert_ne!(one.number(at(0)), other.number(at(0)), "another process");
        assert_eq!(one.number(at(500)), one.number(at(0)) + 1);
        assert!(one.number(at(0)) < Births { chance: 0, ..one }.number(super::tests::at(0)));
        // What was reached before UTC was set back stays behind.
        let window = Window::new(Settings::default().rules(), 900_000_000, 7);
        one = Births::default();
        one.pass(&window);
        assert_eq!((one.number(at(0)), one.breaks(at(0))), (900_000_001, 8));
    }
}

#[test]
fn the_next_window_of_a_stream_begins_behind_the_last_one() {
    let mut play = Play::new();
    let past = |ms: u64| At { utc: UtcNanos(0), ..at(ms) };
    let live = wish("live.m3u8", "");
    for ms in [0, 1] {
        let asked = play.hls.ask(&mut play.engine, key(1), live.clone(), SOURCE, past(ms));
        assert!(asked.unwrap().is_none());
        play.feed(301, ms);
        assert_eq!(play.hls.take_ready(past(ms)).len(), 1);
        let window = &play.hls.streams[SOURCE].window;
        let (birth, beyond) = (window.birth(), window.beyond().0);
        assert!(birth >= play.hls.births.floor.0 && beyond > birth + 3);
        // Nobody asks any more.
        play.hls.set(Settings { on: false, ..Settings::default() });
        play.hls.tick(&mut play.engine, past(ms));
        play.hls.set(Settings::default());
        assert_eq!(play.hls.births.floor.0, beyond);
    }
}
