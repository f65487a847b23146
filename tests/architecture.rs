//! The floor plan of the house, as data: who may import whom, and where `unsafe` lives.
//!
//! A room imports only rooms on lower floors. The test fails with file and line.

use std::fs;
use std::path::{Path, PathBuf};

/// The crates of this workspace that a crate may name.
const CRATES: &[(&str, &[&str])] = &[
    ("ffi", &[]),
    ("fpga", &[]),
    ("engine", &["lensd_ffi", "lensd_fpga"]),
    ("control", &["lensd_ffi"]),
    ("benches", &["lensd_ffi"]),
];

/// The engine's rooms from the ground up: a frame's way from the bottom to the top. Rooms of one
/// line are on one floor and do not import each other.
const ENGINE: &[&[&str]] = &[
    &["sys", "frame", "coded", "finish", "ptz", "style", "thread", "users"],
    &["config", "glimpse", "scene"],
    &["clock", "syntax", "picture", "hardware"],
    &["camera"],
    &["hotplug", "m2m"],
    &["encode"],
    &["change", "publish"],
    &["switchboard"],
    &["record", "tap"],
    &["pipeline", "rtp"],
    &["nosignal", "replay", "sdp"],
    &["ingest"],
    &["publisher", "rtsp", "webrtc"],
    &["pull"],
    &["capture", "ops"],
    &["apply"],
    &["requests"],
    &["run"],
];

/// The control plane's rooms, from what knows nobody to what turns the loop.
const CONTROL: &[&[&str]] = &[
    &["config", "files", "listeners", "live", "media", "password", "presets", "profiles", "signed"],
    &["audit", "store"],
    &["accounts", "soap"],
    &["http"],
    &["discovery", "export", "external", "page", "tls", "upload", "work", "ws"],
    &["fmp4"],
    &["engine"],
    &["hls"],
    &["board", "broker", "catalogue", "clients", "outbox"],
    &["carry"],
    &["desk"],
    &["face", "inputs", "local", "login", "settings"],
    &["ptz"],
    &["onvif", "v1"],
    &["rest"],
    &["net"],
    &["run"],
];

/// Where `unsafe` may stand.
const UNSAFE: &[&str] = &["engine/src/sys/", "ffi/src/region.rs", "ffi/src/capi"];

fn sources(folder: &Path, out: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            sources(&path, out);
        } else if path.extension().is_some_and(|e| e == "rs") {
            out.push(path);
        }
    }
}

fn files(folder: &str) -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut paths = Vec::new();
    sources(&root.join(folder), &mut paths);
    paths.sort();
    paths
        .into_iter()
        .map(|p| {
            let name = p.strip_prefix(root).unwrap().display().to_string();
            (name, fs::read_to_string(&p).unwrap())
        })
        .collect()
}

/// Lines of code: no comments, and nothing from the first test module on.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines()
        .enumerate()
        .take_while(|(_, line)| !line.starts_with("#[cfg(test)]"))
        .map(|(i, line)| (i + 1, line.trim_start()))
        .filter(|(_, line)| !line.starts_with("//"))
}

#[test]
fn planes_meet_in_the_contract_alone() {
    let mut wrong = Vec::new();
    for (krate, allowed) in CRATES {
        for (file, text) in files(&format!("{krate}/src")) {
            for (line, words) in code(&text) {
                for other in
                    ["lensd_ffi", "lensd_fpga", "lensd_engine", "lensd_control", "lensd_benches"]
                {
                    let own = other == format!("lensd_{krate}");
                    if words.contains(other) && !own && !allowed.contains(&other) {
                        wrong.push(format!("{file}:{line}: {krate} may not import {other}"));
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn rooms_import_only_lower_floors() {
    let mut wrong = Vec::new();
    for (krate, plan) in [("engine", ENGINE), ("control", CONTROL)] {
        check_floors(krate, plan, &mut wrong);
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

fn check_floors(krate: &str, plan: &[&[&str]], wrong: &mut Vec<String>) {
    let floor = |room: &str| plan.iter().position(|rooms| rooms.contains(&room));
    let folder = format!("{krate}/src/");
    for (file, text) in files(&folder) {
        let room = file.trim_start_matches(&folder).split(['/', '.']).next().unwrap();
        if room == "lib" {
            continue;
        }
        let Some(own) = floor(room) else {
            wrong.push(format!("{file}:1: the room {room} is not in the floor plan"));
            continue;
        };
        for (line, words) in code(&text) {
            let Some((_, path)) = words.split_once("crate::") else { continue };
            let other = path.split([':', ';', ' ', '{', ',']).next().unwrap();
            if let Some(theirs) = floor(other)
                && other != room
                && theirs >= own
            {
                wrong.push(format!("{file}:{line}: {room} may not import {other}"));
            }
        }
    }
}

#[test]
fn unsafe_has_its_rooms() {
    let mut wrong = Vec::new();
    for folder in ["src", "engine/src", "control/src", "ffi/src", "fpga/src", "benches/src"] {
        for (file, text) in files(folder) {
            let allowed = UNSAFE.iter().any(|place| file.starts_with(place));
            for (line, words) in code(&text) {
                let found = words.contains("unsafe ") || words.contains("unsafe{");
                if found && !allowed {
                    wrong.push(format!("{file}:{line}: {words}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
