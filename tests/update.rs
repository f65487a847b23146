//! The real supervisor, and versions that come up or do not.
#![allow(missing_docs)]

mod play;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lensd_control::signed::package::message;
use lensd_ffi::auth::digest::hex;
use lensd_ffi::update::Ended;
use play::{LENSD, Play, Server, run, until};
use sha2::{Digest as _, Sha256};
use std::fs;
use std::path::PathBuf;
use std::process::Command;

fn vendor() -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(&[42; 32]).unwrap()
}

/// The program that is replaced, with what is put beside it.
struct Program(PathBuf);

impl Drop for Program {
    fn drop(&mut self) {
        for beside in ["", ".old", ".new"] {
            let _ = fs::remove_file(format!("{}{beside}", self.0.display()));
        }
    }
}

fn start(name: &str) -> (Server, Program) {
    let binary = std::env::temp_dir().join(format!("lensd-updated-{}-{name}", std::process::id()));
    fs::copy(LENSD, &binary).unwrap();
    let key = STANDARD.encode(vendor().public_key().as_ref());
    let settings =
        format!("[system]\nupdate-key = \"{key}\"\nupdate-binary = \"{}\"\n", binary.display());
    (Play::new().users().settings(&settings).start(), Program(binary))
}

/// Sends a package of a program that says it is 9.9.9 and otherwise does `then`.
fn update(server: &Server, then: &str) {
    let program =
        format!("#!/bin/sh\nif [ \"$1\" = version ]; then echo lensd 9.9.9; exit; fi\n{then}\n");
    let hash = hex(&Sha256::digest(program.as_bytes()));
    let signature = STANDARD.encode(vendor().sign(message("9.9.9", &hash).as_bytes()));
    let head = serde_json::json!({"lensd-package": 1, "version": "9.9.9", "sha256": hash, "signature": signature});
    let file = server.folder.file("package");
    fs::write(&file, format!("{head}\n{program}")).unwrap();
    let data = format!("@{}", file.display());
    run(Command::new("curl")
        .args(["-sSf", "-u", "ann:secret123", "--data-binary", &data])
        .arg(server.http("api/update")));
}

fn ended(server: &Server) -> Ended {
    until("the end of the update", || Ended::find(&server.folder.file("data")))
}

fn answers(server: &Server) {
    until("an answer", || {
        let text = fs::read_to_string(server.folder.file("data/run/ports.json")).ok()?;
        let ports: serde_json::Value = serde_json::from_str(&text).ok()?;
        let url = format!("http://127.0.0.1:{}/health/ready", ports["http"]);
        let done = Command::new("curl").args(["-sf", "-m", "5", &url]).output().unwrap();
        done.status.success().then_some(())
    });
}

#[test]
fn a_version_that_does_not_come_up_is_rolled_back() {
    let (server, _program) = start("bad");
    update(&server, "exit 7");
    let ended = ended(&server);
    assert_eq!((ended.state.as_str(), ended.version.as_str()), ("rolled back", "9.9.9"));
    assert!(ended.reason.contains("ended before it came up"), "{}", ended.reason);
    answers(&server);
}

#[test]
fn a_version_that_comes_up_stays() {
    let (server, _program) = start("good");
    update(&server, &format!("exec {LENSD} \"$@\""));
    let ended = ended(&server);
    assert_eq!((ended.state.as_str(), ended.reason.as_str()), ("installed", ""));
    answers(&server);
}
