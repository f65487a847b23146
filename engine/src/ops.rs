//! The operations socket, `DATA/run/engine-ops.sock`: HTTP by which the engine can be examined
//! while the control plane is down. For the owner of the data folder only.

use crate::rtsp::serve::View;
use crate::tap::view::{ClientView, Figures};
use lensd_ffi::state::{EngineState, StageState, StreamState};
use parking_lot::Mutex;
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use tiny_http::{Header, Response, Server};

/// What the socket shows besides the clients.
#[derive(Debug, Default, Clone)]
pub struct Shown {
    /// What everybody sees.
    pub engine: EngineState,
    /// How often each camera, in order of their numbers, or one of its stages has panicked.
    pub panics: Vec<u64>,
    /// Counts of the frame tap.
    pub tap: Figures,
    /// Its clients.
    pub tap_clients: Vec<ClientView>,
}

/// The socket and the thread that answers.
pub struct Ops {
    server: Arc<Server>,
    thread: Option<JoinHandle<()>>,
    path: PathBuf,
}

impl Ops {
    /// Listens.
    ///
    /// # Errors
    /// When the socket cannot be made.
    pub fn start(data: &Path, shown: Arc<Mutex<Shown>>, view: Arc<View>) -> io::Result<Self> {
        let folder = data.join("run");
        fs::create_dir_all(&folder)?;
        let path = folder.join("engine-ops.sock");
        // A socket of an engine that was killed is in the way of a new one.
        let _ = fs::remove_file(&path);
        let server = Server::http_unix(&path).map_err(io::Error::other)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
        let server = Arc::new(server);
        let own = Arc::clone(&server);
        let thread = std::thread::Builder::new().name("ops".to_owned()).spawn(move || {
            for request in own.incoming_requests() {
                let (status, kind, body) = answer(request.url(), &shown.lock().clone(), &view);
                let mut response = Response::from_string(body).with_status_code(status);
                if let Ok(header) = Header::from_bytes("Content-Type", kind) {
                    response.add_header(header);
                }
                // Whoever asked and left misses nothing.
                let _ = request.respond(response);
            }
        })?;
        Ok(Self { server, thread: Some(thread), path })
    }
}

impl Drop for Ops {
    fn drop(&mut self) {
        self.server.unblock();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        let _ = fs::remove_file(&self.path);
    }
}

fn answer(url: &str, shown: &Shown, view: &View) -> (u16, &'static str, String) {
    const JSON: &str = "application/json";
    let state = &shown.engine;
    match url.split('?').next().unwrap_or_default() {
        "/health" => {
            let connected = state.cameras.iter().filter(|c| c.connected).count();
            let body = serde_json::json!({
                "status": if connected == state.cameras.len() { "ok" } else { "degraded" },
                "cameras": state.cameras.len(),
                "connected": connected,
            });
            (200, JSON, body.to_string())
        }
        "/debug/pipeline" => {
            let body = serde_json::json!({
                "engine": state,
                "clients": *view.clients.lock(),
                "camera_panics": shown.panics,
                "tap": shown.tap,
                "tap_clients": shown.tap_clients,
            });
            (200, JSON, body.to_string())
        }
        "/metrics" => (200, "text/plain; version=0.0.4", metrics(shown)),
        _ => (404, JSON, r#"{"error":"there are /health, /metrics and /debug/pipeline"}"#.into()),
    }
}

/// Prometheus text.
fn metrics(shown: &Shown) -> String {
    let state = &shown.engine;
    let mut out = String::new();
    let mut gauge = |name: &str, kind: &str, rows: &mut dyn Iterator<Item = (String, f64)>| {
        // Writing to a String cannot fail.
        let _ = writeln!(out, "# TYPE lensd_{name} {kind}");
        for (labels, value) in rows {
            let _ = writeln!(out, "lensd_{name}{labels} {value}");
        }
    };
    gauge("sessions", "gauge", &mut std::iter::once((String::new(), state.sessions.into())));
    let cameras = || state.cameras.iter().map(|c| (format!("{{camera=\"{}\"}}", c.id), c));
    gauge("camera_connected", "gauge", &mut cameras().map(|(l, c)| (l, c.connected.into())));
    #[expect(clippy::cast_precision_loss, reason = "Prometheus has floats only")]
    {
        gauge("camera_frames_total", "counter", &mut cameras().map(|(l, c)| (l, c.frames as f64)));
        gauge("camera_lost_total", "counter", &mut cameras().map(|(l, c)| (l, c.lost as f64)));
        let panics = state.cameras.iter().zip(&shown.panics);
        let mut panics = panics.map(|(c, n)| (format!("{{camera=\"{}\"}}", c.id), *n as f64));
        gauge("camera_panics_total", "counter", &mut panics);
        let tap = &shown.tap;
        for (name, kind, value) in [
            ("tap_clients", "gauge", tap.clients),
            ("tap_loans", "gauge", tap.loans),
            ("tap_frames_total", "counter", tap.frames),
            ("tap_lost_total", "counter", tap.lost),
            ("tap_revoked_total", "counter", tap.revoked),
            ("tap_refused_total", "counter", tap.refused),
            ("tap_copied_pixel_bytes_total", "counter", tap.copied_pixel_bytes),
        ] {
            gauge(name, kind, &mut std::iter::once((String::new(), value as f64)));
        }
        let streams = || state.streams.iter().map(|s| (format!("{{stream=\"{}\"}}", s.name), s));
        gauge("stream_units_total", "counter", &mut streams().map(|(l, s)| (l, s.units as f64)));
        gauge("stream_bytes_total", "counter", &mut streams().map(|(l, s)| (l, s.bytes as f64)));
        gauge("stream_readers", "gauge", &mut streams().map(|(l, s)| (l, s.readers.into())));
        gauge(
            "stream_copied_pixel_bytes_total",
            "counter",
            &mut streams().map(|(l, s)| (l, s.copied_pixel_bytes as f64)),
        );
        let stage = |stream: &str, g: &StageState| {
            [("0.5", g.p50_us), ("0.99", g.p99_us), ("1", g.max_us)].map(|(q, us)| {
                let labels = format!("stream=\"{stream}\",stage=\"{}\"", g.stage);
                (format!("{{{labels},quantile=\"{q}\"}}"), us as f64 / 1e6)
            })
        };
        let of = |s: &StreamState| -> Vec<_> {
            s.stages.iter().flat_map(|g| stage(&s.name, g)).collect()
        };
        gauge("stage_seconds", "gauge", &mut state.streams.iter().flat_map(of));
    }
    let kept = f64::from(state.clock.is_synchronized());
    gauge("clock_synchronized", "gauge", &mut std::iter::once((String::new(), kept)));
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;

    #[test]
    fn the_socket_answers_its_owner_and_goes_away() {
        let folder = std::env::temp_dir().join(format!("lensd-ops-{}", std::process::id()));
        let mut shown = Shown { panics: vec![3], ..Shown::default() };
        shown.engine.cameras.push(lensd_ffi::state::CameraState {
            id: 1,
            connected: true,
            ..Default::default()
        });
        let send = StageState { stage: "send".to_owned(), p99_us: 2500, ..Default::default() };
        shown.engine.streams.push(StreamState {
            name: "cam1/main".to_owned(),
            stages: vec![send],
            ..Default::default()
        });
        let ops = Ops::start(&folder, Arc::new(Mutex::new(shown)), Arc::default()).unwrap();
        let path = folder.join("run/engine-ops.sock");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        for (url, want) in [
            ("/health", "\"ok\""),
            ("/metrics", "lensd_sessions 0"),
            ("/metrics", "lensd_camera_panics_total{camera=\"1\"} 3"),
            (
                "/metrics",
                "lensd_stage_seconds{stream=\"cam1/main\",stage=\"send\",quantile=\"0.99\"} 0.0025",
            ),
            ("/debug/pipeline", "\"camera_panics\":[3]"),
            ("/x", "404"),
        ] {
            let mut stream = UnixStream::connect(&path).unwrap();
            write!(stream, "GET {url} HTTP/1.0\r\n\r\n").unwrap();
            let mut text = String::new();
            stream.read_to_string(&mut text).unwrap();
            assert!(text.contains(want), "{url}: {text}");
        }
        drop(ops);
        assert!(!path.exists());
        fs::remove_dir_all(&folder).unwrap();
    }
}
