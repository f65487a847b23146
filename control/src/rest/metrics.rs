//! Figures for people (latency) and for Prometheus.

use super::{Call, Reply};
use crate::config::is_among;
use crate::http::auth::forbidden;
use crate::http::respond::{Fault, Payload, Response};
use lensd_ffi::auth::{Access, Permission};
use lensd_ffi::settings::{Entry, find};
use lensd_ffi::state::{EngineState, StageState};
use serde_json::{Value, json};
use std::fmt::{Display, Write as _};

/// How long the stages of a frame's way take, by streams, and how good the clock is.
pub(super) fn latency(call: &mut Call<'_>) -> Result<Reply, Fault> {
    let engine = super::system::engine_word(call);
    let state = call.desk.engine.state();
    let streams: Vec<Value> = state
        .streams
        .iter()
        .map(|s| json!({ "stream": s.name, "running": s.running, "stages": s.stages }))
        .collect();
    let data = json!({ "engine": engine, "clock": state.clock, "streams": streams });
    Ok(Reply::Now(Response::success(data, call.at)))
}

/// For who may read the system's state, and for the addresses that `metrics-allow` names.
pub(super) fn metrics(call: &mut Call<'_>) -> Result<Reply, Fault> {
    let list = call.desk.board.value("metrics-allow").as_str().unwrap_or_default();
    let access = Access::read(Permission::System);
    if !is_among(list, call.peer.ip()).unwrap_or(false) && !call.who.allows(access) {
        let fault = forbidden(access);
        let status = if call.who.user.is_empty() { 401 } else { fault.status };
        return Err(Fault { status, ..fault });
    }
    let running = call.desk.engine.is_running();
    let state = call.desk.engine.state().clone();
    let mut out = Text(String::new());
    out.one("up", "gauge", "Whether the engine runs", u8::from(running));
    out.one("uptime_seconds", "gauge", "Since control started", call.desk.uptime(call.at));
    out.one("http_connections", "gauge", "Open connections", call.desk.connections);
    out.one("websocket_clients", "gauge", "Clients of /api/v1", call.desk.clients.map.len());
    out.one("events_total", "counter", "Events in the log so far", call.desk.events.last());
    out.one("rtsp_sessions", "gauge", "Who plays or publishes", state.sessions);
    out.one("webrtc_sessions", "gauge", "Who plays by WebRTC", state.webrtc_sessions);
    clock(&state, &mut out);
    cameras(&state, &mut out);
    streams(&state, &mut out);
    settings(call, &mut out);
    let kind = "text/plain; version=0.0.4; charset=utf-8";
    let response = Response::new(200, kind, Payload::Own(out.0.into_bytes()));
    Ok(Reply::Now(response.header("Cache-Control", "no-store")))
}

/// Prometheus's text format, version 0.0.4.
struct Text(String);

impl Text {
    fn head(&mut self, name: &str, kind: &str, doc: &str) {
        // Writing to a String cannot fail.
        let _ = writeln!(self.0, "# HELP lensd_{name} {doc}\n# TYPE lensd_{name} {kind}");
    }

    fn one(&mut self, name: &str, kind: &str, doc: &str, value: impl Display) {
        self.head(name, kind, doc);
        let _ = writeln!(self.0, "lensd_{name} {value}");
    }

    /// `rows`: labels without their braces, and values.
    fn many<V: Display>(
        &mut self,
        name: &str,
        kind: &str,
        doc: &str,
        rows: impl Iterator<Item = (String, V)>,
    ) {
        self.head(name, kind, doc);
        for (labels, value) in rows {
            let _ = writeln!(self.0, "lensd_{name}{{{labels}}} {value}");
        }
    }
}

fn clock(state: &EngineState, out: &mut Text) {
    let clock = state.clock;
    let kept = u8::from(clock.is_synchronized());
    out.one("clock_synchronized", "gauge", "Whether UTC is kept right", kept);
    out.one("clock_steps_total", "counter", "How often UTC was set", clock.steps);
    if let Some(ns) = clock.error_ns {
        let doc = "How far capture times may be from UTC";
        out.one("clock_error_seconds", "gauge", doc, seconds(ns.div_ceil(1000)));
    }
}

fn cameras(state: &EngineState, out: &mut Text) {
    let all = || state.cameras.iter().map(|c| (format!("camera=\"{}\"", c.id), c));
    let connected = all().map(|(l, c)| (l, u8::from(c.connected)));
    out.many("camera_connected", "gauge", "Whether it delivers", connected);
    out.many("camera_frames_total", "counter", "Frames", all().map(|(l, c)| (l, c.frames)));
    out.many("camera_lost_total", "counter", "Lost frames", all().map(|(l, c)| (l, c.lost)));
}

fn streams(state: &EngineState, out: &mut Text) {
    let all = || state.streams.iter().map(|s| (format!("stream=\"{}\"", s.name), s));
    out.many("stream_units_total", "counter", "Units", all().map(|(l, s)| (l, s.units)));
    out.many("stream_bytes_total", "counter", "Bytes", all().map(|(l, s)| (l, s.bytes)));
    out.many("stream_readers", "gauge", "Readers now", all().map(|(l, s)| (l, s.readers)));
    out.many("stream_fps", "gauge", "Pictures per second", all().map(|(l, s)| (l, s.fps)));
    out.many("stream_bits_per_second", "gauge", "Rate", all().map(|(l, s)| (l, s.bitrate)));
    let copied = all().map(|(l, s)| (l, s.copied_pixel_bytes));
    let doc = "Bytes of raw pictures that the processor copied";
    out.many("stream_copied_pixel_bytes_total", "counter", doc, copied);
    let stages = all().flat_map(|(labels, s)| {
        s.stages.iter().flat_map(move |stage| {
            let labels = format!("{labels},stage=\"{}\"", stage.stage);
            [("0.5", stage.p50_us), ("0.99", stage.p99_us), ("1", stage.max_us)]
                .map(|(q, us)| (format!("{labels},quantile=\"{q}\""), seconds(us)))
        })
    });
    let doc = "How long the stages of a frame's way took in the last seconds";
    out.many("stage_seconds", "gauge", doc, stages);
    let counts = all().flat_map(|(labels, s)| {
        let of = move |g: &StageState| (format!("{labels},stage=\"{}\"", g.stage), g.units);
        s.stages.iter().map(of)
    });
    out.many("stage_units", "gauge", "How many units these figures are of", counts);
}

fn seconds(us: u64) -> String {
    format!("{}.{:06}", us / 1_000_000, us % 1_000_000)
}

/// Measured numbers of the registry that stand for themselves.
fn settings(call: &Call<'_>, out: &mut Text) {
    const NAMES: &[&str] = &[
        "cpu-load",
        "cpu-temperature",
        "memory-total",
        "memory-used",
        "disk-total",
        "disk-free",
        "head-temperature",
        "fpga-temperature",
        "pressure",
    ];
    for entry in NAMES.iter().filter_map(|name| find(name)) {
        let Entry { key, .. } = entry;
        if let Some(value) = call.desk.board.held(entry).value.as_f64() {
            let unit = key.unit.replace('%', "percent").to_ascii_lowercase();
            let name = format!("{}_{unit}", key.name.replace('-', "_"));
            out.one(&name, "gauge", key.doc, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn microseconds_are_seconds_without_rounding() {
        assert_eq!(seconds(1), "0.000001");
        assert_eq!(seconds(12_345_678), "12.345678");
    }

    #[test]
    fn rows_are_prometheus_text() {
        let mut text = Text(String::new());
        text.many("x_total", "counter", "Xs", [("a=\"1\"".to_owned(), 2)].into_iter());
        assert_eq!(
            text.0,
            "# HELP lensd_x_total Xs\n# TYPE lensd_x_total counter\nlensd_x_total{a=\"1\"} 2\n"
        );
    }
}
