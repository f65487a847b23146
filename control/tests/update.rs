//! Updates, of a program that is a file of the test.
#![allow(missing_docs)]

mod house;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use house::{Folder, House};
use lensd_control::Config;
use lensd_control::signed::package::message;
use lensd_ffi::auth::digest::hex;
use lensd_ffi::link::Report;
use lensd_ffi::update::Marker;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::fs;

fn vendor() -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(&[42; 32]).unwrap()
}

fn machine(folder: &Folder) -> Config {
    fs::write(folder.file("lensd"), "the old program").unwrap();
    let mut config = Config::default();
    config.system.update_binary = Some(folder.file("lensd"));
    config.system.update_key = Some(STANDARD.encode(vendor().public_key().as_ref()));
    config
}

fn program(version: &str) -> String {
    format!("#!/bin/sh\necho lensd {version}\n")
}

fn package(pair: &Ed25519KeyPair, version: &str, program: &str) -> Vec<u8> {
    let hash = hex(&Sha256::digest(program.as_bytes()));
    let signature = STANDARD.encode(pair.sign(message(version, &hash).as_bytes()));
    let head =
        json!({"lensd-package": 1, "version": version, "sha256": hash, "signature": signature});
    format!("{head}\n{program}").into_bytes()
}

fn send(house: &House, query: &str, bytes: &[u8]) -> (u16, Value) {
    let file = house.folder.file("piece");
    fs::write(&file, bytes).unwrap();
    let data = format!("@{}", file.display());
    let options = ["-u", "ann:secret123", "--data-binary", &data];
    let (status, body) = house.curl(&format!("/api/update{query}"), &options);
    (status, serde_json::from_str(&body).unwrap())
}

#[test]
fn a_signed_package_takes_the_place_of_the_program() {
    let house = House::start("package", machine);
    let binary = house.folder.file("lensd");
    let data = house.folder.file("data");
    assert_eq!(house.value("update-state"), json!("none"));
    let bytes = package(&vendor(), "9.9.9", &program("9.9.9"));
    let size = bytes.len();
    let (first, rest) = bytes.split_at(40);
    let (status, body) = send(&house, &format!("?offset=0&size={size}"), first);
    assert_eq!((status, &body["data"]["received"]), (200, &json!(40)));
    let (status, body) = send(&house, &format!("?offset=39&size={size}"), rest);
    assert_eq!((status, &body["key"]), (409, &json!("offset")), "{body}");
    assert_eq!(fs::read_to_string(&binary).unwrap(), "the old program");
    let (status, body) = send(&house, &format!("?offset=40&size={size}"), rest);
    assert_eq!((status, &body["data"]["version"]), (200, &json!("9.9.9")), "{body}");
    assert!(matches!(house.report(), Report::Update));
    assert_eq!(fs::read_to_string(&binary).unwrap(), program("9.9.9"));
    let marker = Marker::find(&data).unwrap();
    assert_eq!((marker.to.as_str(), marker.tries), ("9.9.9", 0));
    assert_eq!(fs::read_to_string(&marker.old).unwrap(), "the old program");
    house::until("under way", || (house.value("update-state") == "under way").then_some(()));
    marker.roll_back(&data, "the test says so").unwrap();
    house::until("rolled back", || (house.value("update-state") == "rolled back").then_some(()));
    assert_eq!(house.value("update-error"), json!("the test says so"));
    assert_eq!(fs::read_to_string(&binary).unwrap(), "the old program");
}

#[test]
fn anything_else_leaves_the_program_as_it_is() {
    let house = House::start("refused", machine);
    let stranger = Ed25519KeyPair::from_seed_unchecked(&[1; 32]).unwrap();
    let good = package(&vendor(), "9.9.9", &program("9.9.9"));
    let mut damaged = good.clone();
    *damaged.last_mut().unwrap() ^= 1;
    for (bytes, why) in [
        (package(&stranger, "9.9.9", &program("9.9.9")), "not signed"),
        (package(&vendor(), "0.0.1", &program("0.0.1")), "not newer"),
        (package(&vendor(), env!("CARGO_PKG_VERSION"), "x"), "not newer"),
        (package(&vendor(), "9.9.9", &program("9.9.8")), "says that it is"),
        (package(&vendor(), "9.9.9", "no program"), "does not"),
        (package(&vendor(), "9.9.9", "#!/bin/sh\nexit 3\n"), "does not work"),
        (damaged, "damaged"),
        (good[..good.len() - 1].to_vec(), "damaged"),
        (b"x".to_vec(), "no package"),
    ] {
        let (status, body) = send(&house, "", &bytes);
        assert_eq!((status, &body["key"]), (422, &json!("package")), "{body}");
        assert!(body["message"].as_str().unwrap().contains(why), "{why}: {body}");
    }
    assert_eq!(send(&house, "?offset=x", b"x").0, 422);
    assert_eq!(send(&house, "?size=1", b"xx").0, 422);
    let names: Vec<_> = fs::read_dir(&house.folder.0).unwrap().flatten().collect();
    assert!(names.iter().all(|n| !n.file_name().to_string_lossy().contains("lensd.")));
    let binary = house.folder.file("lensd");
    assert_eq!(fs::read_to_string(binary).unwrap(), "the old program");
    assert!(Marker::find(&house.folder.file("data")).is_none());
    let options = ["-u", "bob:secret456", "-d", "x"];
    assert_eq!(house.curl("/api/update", &options).0, 403);
}

#[test]
fn without_a_key_nobody_may() {
    let house = House::start("keyless", |_| Config::default());
    let (status, body) = send(&house, "", b"x");
    assert_eq!(status, 409);
    assert!(body["message"].as_str().unwrap().contains("system.update-key"), "{body}");
}
