//! Low-Latency HLS (RFC 8216, draft-pantos-hls-rfc8216bis): streams as playlists, segments and
//! parts, for as long as somebody asks for them. Without a socket and a clock.
//!
//! A request that asks for what is not there yet is parked: its connection is noted, and answered
//! when that comes or its time is over.

mod playlist;
mod window;
mod wish;

pub use wish::fuzz_hls;
pub(crate) use wish::{File, Since};

use crate::engine::{ConnKey, Engine};
use crate::fmp4::News;
use crate::http::At;
use crate::http::respond::{Fault, Payload, Response};
use lensd_ffi::link::Ask;
use lensd_ffi::mux::TIMESCALE;
use lensd_ffi::time::Nanos;
use std::collections::BTreeMap;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use window::{Rules, Verdict, Window};

/// Most streams at a time, each of which keeps its last seconds in memory.
const MAX_STREAMS: usize = 16;
/// Most requests that wait.
const MAX_WAITING: usize = 4096;
/// A stream that nobody has asked for this long is no longer made. Players come at least every one
/// and a half target durations (RFC 8216 6.3.4).
const IDLE: Nanos = Nanos::from_secs(20);
/// How long the first playlist may take: a group, and a camera that has to wake up.
const FIRST: Nanos = Nanos::from_secs(20);
/// Who plays a segment may keep it: its name never means another one.
const KEEP: &str = "private, max-age=60, immutable";
/// Ticks in a millisecond.
const MS: u64 = TIMESCALE as u64 / 1000;

/// What is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Settings {
    pub(crate) on: bool,
    /// Length of a segment that is aimed at, in seconds.
    pub(crate) segment_s: u32,
    /// Length of a part that is aimed at, in milliseconds.
    pub(crate) part_ms: u32,
    /// Segments in a playlist.
    pub(crate) segments: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self { on: true, segment_s: 2, part_ms: 250, segments: 8 }
    }
}

impl Settings {
    /// With another value of one of the keys. None: the key is none of these.
    pub(crate) fn with(self, key: &str, flag: Option<bool>, number: Option<u32>) -> Option<Self> {
        match (key, flag, number) {
            ("hls", Some(on), _) => Some(Self { on, ..self }),
            ("hls-segment", _, Some(segment_s)) => Some(Self { segment_s, ..self }),
            ("hls-part", _, Some(part_ms)) => Some(Self { part_ms, ..self }),
            ("hls-segments", _, Some(segments)) => Some(Self { segments, ..self }),
            _ => None,
        }
    }

    fn rules(self) -> Rules {
        Rules {
            segment: u64::from(self.segment_s) * u64::from(TIMESCALE),
            part: u64::from(self.part_ms) * MS,
            segments: self.segments as usize,
        }
    }
}

/// A stream that is played.
#[derive(Debug)]
struct Stream {
    /// The stream's own name: another camera's once that is the active one.
    source: String,
    window: Window,
    /// When somebody asked last.
    asked: Nanos,
    /// Whether the engine was asked for a key frame since the last one came.
    key_asked: bool,
    /// The playlist without a token, made once for all who ask for it.
    text: Option<(u64, Arc<Vec<u8>>)>,
}

/// A request for something of a stream.
#[derive(Debug, Clone)]
pub(crate) struct Wish {
    /// The stream as it is named in the URL, once per stream: see [`Hls::ask`].
    pub(crate) stream: String,
    pub(crate) file: File,
    pub(crate) since: Option<Since>,
    /// What is appended to the URIs of a playlist: `?token=`, if the request came with one, since
    /// players do not send it by themselves.
    pub(crate) query: String,
}

#[derive(Debug)]
struct Waiting {
    wish: Wish,
    until: Nanos,
}

/// Streams that are played by HLS, and who waits for what.
#[derive(Debug, Default)]
pub(crate) struct Hls {
    settings: Settings,
    streams: BTreeMap<String, Stream>,
    waiting: BTreeMap<ConnKey, Waiting>,
    births: Births,
    /// Whether something has come that somebody may wait for.
    news: bool,
}

impl Hls {
    /// What is set.
    pub(crate) const fn settings(&self) -> Settings {
        self.settings
    }

    /// Other settings: windows begin anew with them at the next key frame.
    pub(crate) fn set(&mut self, settings: Settings) {
        self.settings = settings;
        for stream in self.streams.values_mut() {
            stream.window.set_rules(settings.rules());
        }
        self.news = true;
    }

    /// Streams that are made now, and the bytes that are kept for them. Fragments that are shared
    /// count for each stream.
    pub(crate) fn load(&self) -> (usize, usize) {
        (self.streams.len(), self.streams.values().map(|stream| stream.window.bytes()).sum())
    }

    /// Answers a request. None: it waits, and [`Hls::take_ready`] answers it. The wish's stream is
    /// `stream1` and `stream2` for what follows the active camera, and else `source`, which is what
    /// it is made of now.
    ///
    /// # Errors
    /// 400, 404, 503.
    pub(crate) fn ask(
        &mut self,
        engine: &mut Engine,
        key: ConnKey,
        wish: Wish,
        source: &str,
        at: At,
    ) -> Result<Option<Response>, Fault> {
        if !self.streams.contains_key(&wish.stream) {
            // Media comes after a playlist that named it: who asks for it now is too late.
            if !matches!(wish.file, File::Index | File::Live) {
                return Err(gone(wish.file));
            }
            self.begin(engine, &wish.stream, source, at)?;
        }
        let Some(stream) = self.streams.get_mut(&wish.stream) else { return Err(gone(wish.file)) };
        stream.asked = at.mono;
        if let Some(response) = stream.answer(&wish, false)? {
            return Ok(Some(response));
        }
        if self.waiting.len() >= MAX_WAITING {
            return Err(Fault::unavailable("BUSY", "too many players wait for the next part"));
        }
        let patience = stream.window.promise().map_or(FIRST, |p| Nanos::from_secs(3 * p.target));
        self.waiting.insert(key, Waiting { wish, until: at.mono.plus(patience) });
        Ok(None)
    }

    fn begin(
        &mut self,
        engine: &mut Engine,
        name: &str,
        source: &str,
        at: At,
    ) -> Result<(), Fault> {
        if self.streams.len() >= MAX_STREAMS {
            let message = format!("{MAX_STREAMS} streams are played by HLS already");
            return Err(Fault::unavailable("BUSY", message));
        }
        engine.watch(source, at.mono);
        let (number, breaks) = (self.births.number(at), self.births.breaks(at));
        let mut window = Window::new(self.settings.rules(), number, breaks);
        // Others may play it already: then there is something to begin with.
        for news in engine.video(source).map(|video| video.group()).unwrap_or_default() {
            window.push(news, 0, at.mono);
        }
        let source = source.to_owned();
        let stream = Stream { source, window, asked: at.mono, key_asked: false, text: None };
        self.streams.insert(name.to_owned(), stream);
        Ok(())
    }

    /// Names of the engine's streams that fragments are wanted of.
    pub(crate) fn sources(&self) -> impl Iterator<Item = &str> {
        self.streams.values().map(|stream| stream.source.as_str())
    }

    /// Takes a fragment of one of them.
    pub(crate) fn push(&mut self, engine: &mut Engine, source: &str, news: &News, at: At) {
        let number = self.births.number(at);
        for stream in self.streams.values_mut().filter(|stream| stream.source == source) {
            let before = stream.window.version();
            stream.window.push(news, number, at.mono);
            self.news |= stream.window.version() != before;
            stream.key_asked &= !news.key;
            if stream.window.wants_key() && !stream.key_asked {
                // An encoder makes one; of a camera that encodes by itself segments are cut.
                let ask = Ask::KeyFrame { stream: source.to_owned() };
                stream.key_asked = engine.tell(ask, at.mono).is_ok();
            }
        }
    }

    /// A connection is gone.
    pub(crate) fn forget(&mut self, key: ConnKey) {
        self.waiting.remove(&key);
    }

    /// Answers to requests whose wish has come true.
    pub(crate) fn take_ready(&mut self, at: At) -> Vec<(ConnKey, Response)> {
        if !std::mem::take(&mut self.news) {
            return Vec::new();
        }
        self.answer_waiting(at, false)
    }

    fn answer_waiting(&mut self, at: At, late_only: bool) -> Vec<(ConnKey, Response)> {
        let (streams, on) = (&mut self.streams, self.settings.on);
        let mut ready = Vec::new();
        self.waiting.retain(|key, Waiting { wish, until }| {
            let late = *until <= at.mono;
            if late_only && !late {
                return true;
            }
            let answer = match streams.get_mut(&wish.stream).filter(|_| on) {
                Some(stream) => stream.answer(wish, late),
                None => Err(gone(wish.file)),
            };
            match answer.unwrap_or_else(|fault| Some(fault.response(at))) {
                Some(response) => {
                    ready.push((*key, response));
                    false
                }
                None => true,
            }
        });
        ready
    }

    /// Four times a second: streams that nobody asks for end, others follow the active camera, and
    /// who has waited too long is answered.
    pub(crate) fn tick(&mut self, engine: &mut Engine, at: At) -> Vec<(ConnKey, Response)> {
        let on = self.settings.on;
        for Waiting { wish, .. } in self.waiting.values() {
            if let Some(stream) = self.streams.get_mut(&wish.stream) {
                stream.asked = at.mono;
            }
        }
        self.streams.retain(|name, stream| {
            let stays = on && at.mono.since(stream.asked) < IDLE;
            if !stays {
                self.births.pass(&stream.window);
                engine.unwatch(&stream.source, at.mono);
                return false;
            }
            // Its camera may be away meanwhile: then the playlist stays as it is.
            if let Some(now) = engine.video_of(name).filter(|now| *now != stream.source) {
                engine.watch(&now, at.mono);
                engine.unwatch(&stream.source, at.mono);
                stream.source = now;
                stream.window.cut();
            }
            true
        });
        self.answer_waiting(at, on)
    }
}

impl Stream {
    /// The answer to a wish; none: it must wait. `late`: it must not wait any longer.
    fn answer(&mut self, wish: &Wish, late: bool) -> Result<Option<Response>, Fault> {
        let window = &self.window;
        let media =
            |body: Payload| Response::new(200, "video/mp4", body).header("Cache-Control", KEEP);
        let found = match wish.file {
            File::Index => playlist::index(window, &wish.query).map(text),
            File::Live => return self.live(wish, late),
            File::Init(birth, number) => {
                let init = window.init(birth, number).ok_or_else(|| gone(wish.file))?;
                Some(media(Payload::Own(init.bytes.clone())))
            }
            File::Segment(msn) => Some(media(window.segment(msn).ok_or_else(|| gone(wish.file))?)),
            File::Part(birth, number) => match window.part(birth, number) {
                Some(body) => Some(media(body)),
                // What a playlist has hinted at.
                None if birth == window.birth() && number == window.next_part() && !late => None,
                None => return Err(gone(wish.file)),
            },
        };
        match found {
            None if late => Err(silent()),
            found => Ok(found),
        }
    }

    fn live(&mut self, wish: &Wish, late: bool) -> Result<Option<Response>, Fault> {
        if let Some(Since { msn, part }) = wish.since {
            match self.window.has(msn, part) {
                Verdict::Far => {
                    let message = "_HLS_msn or _HLS_part is too far ahead of the playlist; ask for \
                                   the next part, or without them";
                    return Err(Fault::new(400, "INVALID_VALUE", "Invalid value", message));
                }
                // A camera that is away comes back: players go on with what they have.
                Verdict::Wait if !late => return Ok(None),
                Verdict::Wait | Verdict::Now => {}
            }
        }
        if wish.query.is_empty() {
            return match self.shared_text() {
                Some(text) => Ok(Some(playlist_response(Payload::Shared(text)))),
                None if late => Err(silent()),
                None => Ok(None),
            };
        }
        match playlist::live(&self.window, &wish.query) {
            Some(made) => Ok(Some(text(made))),
            None if late => Err(silent()),
            None => Ok(None),
        }
    }

    fn shared_text(&mut self) -> Option<Arc<Vec<u8>>> {
        let version = self.window.version();
        if let Some((_, text)) = self.text.as_ref().filter(|(made, _)| *made == version) {
            return Some(Arc::clone(text));
        }
        let made = Arc::new(playlist::live(&self.window, "")?.into_bytes());
        self.text = Some((version, Arc::clone(&made)));
        Some(made)
    }
}

fn text(made: String) -> Response {
    playlist_response(Payload::Own(made.into_bytes()))
}

fn playlist_response(body: Payload) -> Response {
    Response::new(200, playlist::MEDIA_TYPE, body).header("Cache-Control", "no-store")
}

fn gone(file: File) -> Fault {
    Fault::not_found(format!("{file} is not there, or no longer; see the playlist"))
}

fn silent() -> Fault {
    Fault::camera_away("the stream has no pictures now; try again")
}

/// What windows begin with, so that a segment's name never means two: players keep segments.
#[derive(Debug)]
struct Births {
    /// Of this process, for a machine that does not know the time.
    chance: u64,
    /// Beyond all windows that have ended.
    floor: (u64, u64),
}

impl Default for Births {
    fn default() -> Self {
        Self { chance: RandomState::new().hash_one(0) % CHANCES, floor: (0, 0) }
    }
}

/// Beginnings of a process that does not know the time. They are below those by UTC, so that
/// numbers go upwards when it is set.
const CHANCES: u64 = 1 << 28;
/// The beginning of 2026, before which UTC is not believed, in ms.
const PLAUSIBLE_MS: i64 = 1_767_225_600_000;

impl Births {
    /// The number of a first segment: half seconds since 2020. Segments last longer, so it is beyond
    /// every number of a window that began before, also in a process that has died. 32 bits with a
    /// sign last until 2054.
    fn number(&self, at: At) -> u64 {
        const BEGIN_MS: i64 = 1_577_836_800_000;
        const HALF: u64 = 500_000_000;
        let known = u64::try_from((at.utc.millis() - BEGIN_MS) / 500);
        let number = match known.ok().filter(|_| at.utc.millis() >= PLAUSIBLE_MS) {
            Some(number) => number,
            None => self.chance + at.mono.0 / HALF,
        };
        number.max(self.floor.0)
    }

    /// A discontinuity sequence number: hours since 2026. It is beyond that of a process that has
    /// died, unless that met more breaks than hours. It cannot be as large as [`Births::number`]:
    /// hls.js counts up to it at every turn (1.7: seconds, for some hundred millions).
    fn breaks(&self, at: At) -> u64 {
        let hours = (at.utc.millis() - PLAUSIBLE_MS) / 3_600_000;
        u64::try_from(hours).unwrap_or(0).max(self.floor.1)
    }

    /// A window has ended.
    fn pass(&mut self, window: &Window) {
        let (number, breaks) = window.beyond();
        self.floor = (self.floor.0.max(number), self.floor.1.max(breaks));
    }
}

#[cfg(test)]
mod tests;
