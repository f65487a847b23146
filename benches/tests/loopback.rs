//! Bare sender and load client face to face on loopback. Nothing here asserts a time: other work
//! on the machine must not fail a test.

use std::thread;

use lensd_benches::load::report::Report;
use lensd_benches::load::{self, Stop};
use lensd_benches::rtsp::url::RtspUrl;
use lensd_benches::sender::{self, Sender};
use lensd_ffi::time::Nanos;

const CLIENTS: usize = 5;

/// Runs a sender of `udp_only` and a load against it, changed by `change`.
fn play(udp_only: Option<bool>, change: impl FnOnce(&mut load::Config)) -> Report {
    let config = sender::Config {
        listen: "127.0.0.1:0".parse().unwrap(),
        udp_only,
        clients: Some(CLIENTS),
        bitrate: 2_000_000,
        fps: 50,
        gop: 10,
    };
    let mut sender = Sender::bind(config).unwrap();
    let mut config = load::Config {
        url: RtspUrl::parse(&sender.url()).unwrap(),
        clients: CLIENTS,
        udp: udp_only == Some(true),
        length: Nanos::from_millis(600),
        login: None,
        join_spread: Nanos::from_millis(50),
        settle: Nanos::from_millis(300),
        stops: Vec::new(),
        server_pids: vec![std::process::id()],
        baseline: Nanos::from_millis(100),
    };
    change(&mut config);
    let thread = thread::Builder::new().name("sender".to_owned()).spawn(move || sender.run());
    let report = load::run(&config).unwrap();
    // After the goodbyes the sender ends by itself; a load that never played would hang it.
    if report.playing == CLIENTS {
        thread.unwrap().join().unwrap().unwrap();
    }
    report
}

fn assert_whole(report: &Report) {
    assert_eq!(report.playing, CLIENTS, "{:?}", report.failures);
    // Datagrams dropped here are a loss of this machine under load, and not of the code.
    if report.client.udp_receive_drops == 0 {
        assert!(report.clean, "{report}");
        assert_eq!((report.total.gaps, report.total.torn), (0, 0));
    }
    let latency = report.latency_ms.expect("latencies");
    assert!(latency.count > 0 && report.first_packet_latency_ms.is_some());
    assert!(report.total.key_frames > 0 && report.total.stamped == report.total.frames);
    assert!(report.server.is_some_and(|server| server.loaded.rss_kib > 0));
    for line in &report.per_client {
        assert!(line.time_to_first_key_frame_ms.is_some() && line.latency_ms.is_some());
    }
}

#[test]
fn tcp_is_whole_and_stamped() {
    assert_whole(&play(Some(false), |_| {}));
}

#[test]
fn udp_is_whole_and_stamped() {
    assert_whole(&play(Some(true), |_| {}));
}

#[test]
fn a_stopped_client_is_told_apart() {
    let report = play(None, |config| {
        config.stops = vec![Stop { client: 1, from: Nanos(0), until: Nanos::from_millis(200) }];
    });
    assert!(report.per_client[1].stopped && !report.per_client[0].stopped);
    let others: u64 = [0, 2, 3, 4].iter().map(|&i| report.per_client[i].counts.packets).sum();
    assert_eq!(report.total.packets, others);
    assert!(report.per_client[1].counts.frames > 0);
}

#[test]
fn a_refused_transport_is_a_failure_with_its_reason() {
    let report = play(Some(true), |config| config.udp = false);
    assert_eq!(report.playing, 0);
    assert_eq!(report.failures[0].clients, CLIENTS);
    assert!(report.failures[0].reason.contains("461"), "{:?}", report.failures);
}

#[test]
fn the_json_reads_back() {
    let report = play(None, |_| {});
    let text = serde_json::to_string(&report).unwrap();
    let back: Report = serde_json::from_str(&text).unwrap();
    assert_eq!(back.total, report.total);
}
