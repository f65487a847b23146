//! A whole RTSP connection over a doll's house, with arbitrary bytes and time. Laws: no panic; each
//! request has one answer at most, of a bounded size; nothing follows a close; what was set up is
//! torn down.
#![no_main]

use lensd_engine::replay::range::{Range, scale};
use lensd_engine::rtsp::path::Path;
use lensd_engine::rtsp::session::{Described, House, Output, Session, Start, State, Uses, Wanted};
use lensd_engine::rtsp::transport::{Chosen, Lower, Offer};
use lensd_engine::rtsp::wire::Status;
use lensd_engine::sdp::Announced;
use lensd_ffi::auth::{Login, Request, Verdict};
use lensd_ffi::time::Nanos;
use libfuzzer_sys::fuzz_target;

/// Says yes to most, and no or "wait" to paths that ask for it.
#[derive(Default)]
struct Doll {
    taken: bool,
    playing: bool,
    numbers: u64,
}

impl Doll {
    fn open(&mut self, path: &Path, offers: &[Offer]) -> Result<Chosen, Status> {
        if path.name.contains("full") {
            return Err(Status(453));
        }
        let offer = offers.first().ok_or(Status(461))?;
        self.taken = true;
        Ok(match offer.lower {
            Lower::Tcp => Chosen::Tcp { channels: offer.interleaved.unwrap_or((0, 1)) },
            Lower::Udp => {
                Chosen::Udp { client: offer.client_port.unwrap_or((2, 3)), server: (4, 5) }
            }
        })
    }
}

impl House for Doll {
    fn verdict(&mut self, request: &Request<'_>) -> Verdict {
        if request.uri.contains("secret") {
            return Verdict::Login { stale: false, failed: false };
        }
        Verdict::Allow(Login { user: "doll".into(), ..Login::default() })
    }
    fn challenges(&mut self, _stale: bool) -> Vec<String> {
        vec!["Basic realm=\"doll\"".into()]
    }
    fn uses(&mut self, path: &Path) -> Uses {
        Uses {
            play: !path.name.contains("publish"),
            publish: !path.name.contains("play"),
            stored: path.name.contains("recording"),
        }
    }
    fn describe(&mut self, path: &Path) -> Described {
        match path.name.as_str() {
            name if name.contains("wait") => Described::Wait,
            name if name.contains("gone") => Described::Unavailable("gone".into()),
            name if name.len() > 20 => Described::NotFound,
            _ => Described::Sdp("v=0\r\n".into()),
        }
    }
    fn setup(&mut self, path: &Path, offers: &[Offer]) -> Result<(Chosen, u32), Status> {
        self.open(path, offers).map(|chosen| (chosen, 7))
    }
    fn play(&mut self, path: &Path, wanted: &Wanted<'_>) -> Result<Option<Start>, Status> {
        assert!(self.taken, "PLAY without a transport");
        if path.name.contains("recording") {
            let Some(range) = wanted.range else { return Ok(None) };
            let range = Some(Range::parse(range).map(|_| range.to_owned()).ok_or(Status(457))?);
            let scale = wanted.scale.and_then(scale);
            self.playing = true;
            return Ok(Some(Start { range, scale, ..Start::default() }));
        }
        self.playing = true;
        Ok(Some(Start::default()))
    }
    fn pause(&mut self) {
        self.playing = false;
    }
    fn teardown(&mut self) {
        (self.taken, self.playing) = (false, false);
    }
    fn announce(&mut self, _path: &Path, _what: &Announced) -> Result<(), Status> {
        Ok(())
    }
    fn setup_ignored(&mut self, offers: &[Offer]) -> Result<Chosen, Status> {
        self.setup_record(&Path::default(), offers)
    }
    fn setup_record(&mut self, path: &Path, offers: &[Offer]) -> Result<Chosen, Status> {
        self.open(path, offers)
    }
    fn record(&mut self) -> Result<(), Status> {
        assert!(self.taken, "RECORD without a transport");
        Ok(())
    }
    fn interleaved(&mut self, _channel: u8, _payload: &[u8]) {}
    fn random(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }
    fn timeout_secs(&self) -> u64 {
        60
    }
}

fuzz_target!(|data: &[u8]| {
    let (mut house, mut now) = (Doll::default(), Nanos(1));
    let mut session = Session::new(now);
    let (mut requests, mut answers, mut closed) = (0, 0, false);
    // 0xff cuts: the byte behind it is how long nothing comes, in tenths of a second.
    for piece in data.split(|&b| b == 0xff) {
        let (&pause, bytes) = piece.split_first().unwrap_or((&0, &[]));
        now = now.plus(Nanos::from_millis(u64::from(pause) * 100));
        session.handle_timeout(now, &mut house);
        session.handle_input(bytes, now, &mut house);
        // A request is two lines at least, and the end of one may have come before.
        requests += 2 + bytes.iter().filter(|&&b| b == b'\n').count();
        while let Some(output) = session.poll_output() {
            assert!(!closed, "{output:?} follows a close");
            match output {
                Output::Bytes(bytes) => {
                    answers += 1;
                    assert!(bytes.len() <= 128 * 1024 && bytes.ends_with(b"\n"), "{bytes:?}");
                }
                Output::Tunnel { rest, .. } => {
                    assert!(rest.len() <= data.len());
                    return;
                }
                Output::Close => closed = true,
            }
        }
        assert!(answers <= requests, "{answers} answers to {requests} requests");
        if matches!(session.state(), State::Playing | State::Recording) {
            assert!(house.taken && session.id().is_some());
        }
    }
    session.end(&mut house);
    assert!(!house.taken, "a transport is left");
});
