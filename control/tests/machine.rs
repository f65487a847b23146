//! What the machine takes, with a machine that is made of folders and commands of the test.
#![allow(missing_docs)]

mod house;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use house::{Folder, House, until};
use lensd_control::Config;
use serde_json::{Value, json};
use std::fs;

fn vendor() -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(&[42; 32]).unwrap()
}

/// A machine with one interface, whose commands write down what they are told.
fn machine(folder: &Folder) -> Config {
    let log = folder.file("log").display().to_string();
    fs::create_dir_all(folder.file("sys/class/net/eth0")).unwrap();
    fs::create_dir_all(folder.file("networkd")).unwrap();
    fs::write(folder.file("machine-id"), "0123456789abcdef\n").unwrap();
    let said = |what: &str| format!("echo \"{what} $1\" >> {log}");
    let mut config = Config::default();
    let system = &mut config.system;
    system.sys = folder.file("sys");
    system.machine_id = folder.file("machine-id");
    system.networkd = folder.file("networkd");
    system.network_command = format!(
        "{}; if [ -e {} ]; then echo broken >&2; exit 1; fi",
        said("network"),
        folder.file("broken").display()
    );
    system.time_zone_command = format!(
        "{}; ln -sfn /usr/share/zoneinfo/\"$1\" {}",
        said("zone"),
        folder.file("localtime").display()
    );
    system.ntp_command = format!("{}; echo $1 > {}", said("ntp"), folder.file("ntp").display());
    system.ntp_query = format!("cat {}", folder.file("ntp").display());
    system.timesyncd = folder.file("etc/timesyncd");
    system.time_servers_command = format!(
        "{}; if [ -e {} ]; then echo broken >&2; exit 1; fi",
        said("servers"),
        folder.file("broken").display()
    );
    system.time_command = said("time");
    system.localtime = folder.file("localtime");
    system.synchronized = folder.file("synchronized");
    (system.allow_network, system.allow_time) = (true, true);
    system.licence_key = Some(STANDARD.encode(vendor().public_key().as_ref()));
    config
}

fn told(house: &House) -> Vec<String> {
    let text = fs::read_to_string(house.folder.file("log")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

fn becomes(house: &House, key: &str, want: &Value) {
    until(key, || (house.value(key) == *want).then_some(()));
}

#[test]
fn nothing_of_the_machine_is_set_where_that_is_not_allowed() {
    let house = House::start("locked", |folder| {
        let mut config = machine(folder);
        (config.system.allow_network, config.system.allow_time) = (false, false);
        config
    });
    for (key, value, setting) in [
        ("network-config", json!({"interface": "eth0", "dhcp": true}), "system.allow-network"),
        ("time-zone", json!("Europe/Berlin"), "system.allow-time"),
        ("time-ntp", json!(true), "system.allow-time"),
        ("time-set", json!(1000), "system.allow-time"),
    ] {
        let (status, body) = house.set(key, value);
        assert_eq!(status, 422, "{body}");
        assert!(body["message"].as_str().unwrap().contains(setting), "{body}");
    }
    until("time-error", || house.value("time-error").as_str().map(|_| ()));
    assert!(told(&house).is_empty());
}

#[test]
fn the_network_is_set_and_set_back_when_that_fails() {
    let house = House::start("network", machine);
    let file = house.folder.file("networkd/50-lensd-eth0.network");
    let fixed = json!({"interface": "eth0", "address": "10.0.0.2/24", "gateway": "10.0.0.1"});
    let (status, body) = house.set("network-config", fixed.clone());
    assert_eq!((status, &body["data"]["value"]), (200, &fixed));
    let text = fs::read_to_string(&file).unwrap();
    assert!(text.contains("\nAddress=10.0.0.2/24\nGateway=10.0.0.1\n"), "{text}");
    assert_eq!(told(&house), ["network eth0"]);

    fs::write(house.folder.file("broken"), "").unwrap();
    let (status, body) = house.set("network-config", json!({"interface": "eth0", "dhcp": true}));
    assert_eq!(status, 422);
    assert!(body["message"].as_str().unwrap().contains("broken"), "{body}");
    assert_eq!(fs::read_to_string(&file).unwrap(), text, "as it was");
    assert_eq!(told(&house).len(), 3, "and networkd was told to read it again");
    assert_eq!(house.value("network-config"), fixed);

    let (status, _) = house.set("network-config", json!({"interface": "eth7", "dhcp": true}));
    assert_eq!(status, 422, "there is none");
    // The file is what is kept.
    let folder = house.stop();
    let house = House::start_in(folder, machine);
    becomes(&house, "network-config", &fixed);
}

#[test]
fn a_reset_takes_cameras_and_what_the_machine_was_given() {
    let house = House::start("forget", machine);
    let files = ["networkd/50-lensd-eth0.network", "etc/timesyncd/90-lensd.conf"];
    assert_eq!(house.set("network-config", json!({"interface": "eth0", "dhcp": true})).0, 200);
    assert_eq!(house.set("time-servers", json!("10.0.0.1")).0, 200);
    assert_eq!(house.set("external-stream-add", json!("rtsp://joe:secret77@h/1")).0, 200);
    house.report();
    let cameras = |house: &House| {
        house.ask("POST", "/api/config/export", None).1["cameras"].as_array().map(Vec::len)
    };
    assert_eq!(cameras(&house), Some(1));
    assert!(files.iter().all(|file| house.folder.file(file).exists()));
    fs::write(house.folder.file("networkd/10-theirs.network"), "").unwrap();
    let (status, body) = house.ask("POST", "/api/reset", Some("{\"confirm\":true,\"x\":1}"));
    assert_eq!((status, &body["key"]), (422, &json!("x")), "{body}");
    let identity = house.folder.file("data/tls/key.pem");
    fs::create_dir_all(identity.parent().unwrap()).unwrap();
    fs::write(&identity, "the owner's").unwrap();
    assert_eq!(house.ask("POST", "/api/reset", Some("{\"confirm\":true}")).0, 200);
    house.report();
    assert!(!identity.exists());
    assert!(!files.iter().any(|file| house.folder.file(file).exists()));
    assert!(house.folder.file("networkd/10-theirs.network").exists());
    assert_eq!(told(&house)[2..], ["network eth0", "servers "]);
    let folder = house.stop();
    let store = lensd_control::store::Store::open(&folder.file("data")).unwrap();
    assert!(lensd_control::external::read(&store).is_empty());
}

#[test]
fn the_clock_is_set_by_the_commands_of_the_configuration() {
    let house = House::start("clock", machine);
    let (status, body) = house.set("time-zone", json!("Europe/Berlin"));
    assert_eq!(status, 200, "{body}");
    becomes(&house, "time-zone", &json!("Europe/Berlin"));
    assert_eq!(house.set("time-zone", json!("../../etc/passwd")).0, 422);
    assert_eq!(house.set("time-ntp", json!(false)).0, 200);
    becomes(&house, "time-ntp", &json!(false));
    assert_eq!(house.set("time-set", json!(1_700_000_000_050_i64)).0, 200);
    assert_eq!(told(&house), ["zone Europe/Berlin", "ntp false", "time 1700000000.050"]);
    assert_eq!(house.value("time-synchronized"), json!(false));
    fs::write(house.folder.file("synchronized"), "").unwrap();
    becomes(&house, "time-synchronized", &json!(true));
}

#[test]
fn time_servers_are_a_file_that_is_put_back_if_nobody_reads_it() {
    let house = House::start("servers", machine);
    let file = house.folder.file("etc/timesyncd/90-lensd.conf");
    becomes(&house, "time-servers", &json!(""));
    let (status, body) = house.set("time-servers", json!(" ntp.example.org  10.0.0.1 "));
    assert_eq!(status, 200, "{body}");
    becomes(&house, "time-servers", &json!("ntp.example.org 10.0.0.1"));
    let text = fs::read_to_string(&file).unwrap();
    assert!(text.ends_with("\n[Time]\nNTP=\nNTP=ntp.example.org 10.0.0.1\n"), "{text}");
    for wrong in ["a b\nc;d", "$(reboot)", "-x", "[Time]", "1 2 3 4 5 6 7 8 9"] {
        assert_eq!(house.set("time-servers", json!(wrong)).0, 422, "{wrong}");
    }
    fs::write(house.folder.file("broken"), "").unwrap();
    let (status, body) = house.set("time-servers", json!("::1"));
    assert!(status == 422 && body.to_string().contains("broken"), "{status} {body}");
    assert_eq!(fs::read_to_string(&file).unwrap(), text);
    fs::remove_file(house.folder.file("broken")).unwrap();
    // The file is what is kept.
    let folder = house.stop();
    let house = House::start_in(folder, machine);
    becomes(&house, "time-servers", &json!("ntp.example.org 10.0.0.1"));
    assert_eq!(house.set("time-servers", json!("")).0, 200);
    assert!(!file.exists());
    assert_eq!(told(&house).last().map(|line| line.trim()), Some("servers"));
}

#[test]
fn changes_of_one_set_wait_for_each_other_and_are_answered_together() {
    let house = House::start("set", machine);
    let body = json!({
        "device-name": "one", "time-zone": "no zone", "time-ntp": true,
        "network-config": {"interface": "eth0", "dhcp": true}, "limit-user": 200,
    });
    let (status, body) = house.ask("POST", "/api/settings", Some(&body.to_string()));
    assert_eq!(status, 200, "{body}");
    assert_eq!(body["data"].as_object().unwrap().len(), 4, "{body}");
    assert_eq!(body["errors"][0]["key"], "time-zone");
    assert_eq!(house.value("limit-user"), json!(200));
}

#[test]
fn a_licence_is_taken_if_the_vendor_signed_it_for_this_device() {
    let house = House::start("licence", machine);
    until("the serial number", || house.value("serial-number").as_str().map(|_| ()));
    let serial = house.value("serial-number");
    let sign = |pair: &Ed25519KeyPair, licence: &Value| {
        let text = licence.to_string();
        let signature = pair.sign(text.as_bytes());
        json!(format!("{}.{}", STANDARD.encode(&text), STANDARD.encode(signature)))
    };
    let licence = json!({"features": ["tracking"], "serial": serial});
    let (status, body) = house.set("licence", sign(&vendor(), &licence));
    assert_eq!(status, 200, "{body}");
    let want = json!([{"feature": "tracking", "until": null}]);
    becomes(&house, "licences", &want);
    let stranger = Ed25519KeyPair::from_seed_unchecked(&[1; 32]).unwrap();
    for (value, why) in [
        (sign(&stranger, &licence), "not signed"),
        (sign(&vendor(), &json!({"features": [], "serial": "X"})), "for device X"),
        (sign(&vendor(), &json!({"features": [], "serial": serial, "until": 1})), "has ended"),
    ] {
        let (status, body) = house.set("licence", value);
        assert_eq!(status, 422);
        assert!(body["message"].as_str().unwrap().contains(why), "{body}");
    }
    let folder = house.stop();
    let house = House::start_in(folder, machine);
    becomes(&house, "licences", &want);
    assert_eq!(house.set("licence", json!("")).0, 200);
    becomes(&house, "licences", &json!([]));
}

#[test]
fn people_and_the_certificate_are_shown() {
    let house = House::start("people", machine);
    becomes(&house, "session-count", &json!(0));
    let login = r#"{"username":"bob","password":"secret456"}"#;
    assert_eq!(house.curl("/api/login", &["-d", login]).0, 200);
    becomes(&house, "session-count", &json!(1));
    assert_eq!(house.value("sessions")[0]["user"], json!("bob"));
    let roles = house.value("roles");
    assert!(roles.as_array().unwrap().iter().any(|r| r["name"] == "operator"), "{roles}");
    assert!(house.value("certificate-error").as_str().unwrap().contains("cert.pem"));
    let made = house.ask("POST", "/api/certificate", Some("{\"generate\":true}"));
    assert_eq!(made.0, 200, "{}", made.1);
    becomes(&house, "certificate-error", &Value::Null);
    let expires = house.value("certificate-expires").as_i64().unwrap();
    assert_eq!(Value::from(expires), made.1["data"]["not_after"]);
}
