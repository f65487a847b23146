//! The control plane's transports, over the real binary and with clients that others wrote: TLS by
//! curl, openssl and rustls, and everything hostile over TLS too.
#![allow(missing_docs)]

mod play;

use play::{LIMIT, Play, Running, Server, linked_tool, run};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::sync::Arc;

const ANN: [&str; 2] = ["-u", "ann:secret123"];

/// Status and body, as curl gets them by trusting the server's certificate alone.
fn curl(server: &Server, path: &str, options: &[&str]) -> (u16, String) {
    let trust = server.folder.file("data/tls/cert.pem");
    let done = run(Command::new("curl")
        .args(["-sS", "-m", "120", "-w", "\n%{http_code}", "--cacert"])
        .arg(trust)
        .args(options)
        .arg(server.https(path)));
    let text = String::from_utf8(done.out).unwrap();
    let (body, status) = text.rsplit_once('\n').unwrap();
    (status.parse().unwrap(), body.to_owned())
}

type Tls = StreamOwned<ClientConnection, TcpStream>;

/// A TLS connection whose bytes we choose.
fn connect(server: &Server) -> Tls {
    let pem = fs::read(server.folder.file("data/tls/cert.pem")).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(&pem).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("127.0.0.1").unwrap();
    let tls = ClientConnection::new(Arc::new(config), name).unwrap();
    let tcp = TcpStream::connect(server.address("https")).unwrap();
    tcp.set_read_timeout(Some(LIMIT.duration())).unwrap();
    StreamOwned::new(tls, tcp)
}

/// What comes back up to the end of the connection, which must be said (close_notify).
fn exchange(server: &Server, request: &[u8]) -> String {
    let mut stream = connect(server);
    stream.write_all(request).unwrap();
    let mut out = Vec::new();
    stream.read_to_end(&mut out).expect("an end with close_notify");
    String::from_utf8_lossy(&out).into_owned()
}

#[test]
fn curl_over_both_versions_of_tls() {
    let server = Play::new().users().start();
    for version in [&["--tlsv1.2", "--tls-max", "1.2"][..], &["--tlsv1.3"]] {
        let (status, body) = curl(&server, "api/info", &[version, &ANN].concat());
        assert_eq!(status, 200, "{body}");
        assert!(body.contains(&format!("https://127.0.0.1:{}/", server.port("https"))), "{body}");
        assert_eq!(curl(&server, "api/info", &[version, &["--digest"], &ANN].concat()).0, 200);
        assert_eq!(curl(&server, "api/cameras", version).0, 401);
    }
    // Two requests, of which the second needs no connection of its own.
    let both = ["-o", "/dev/null", "-o", "/dev/null", &server.https("health")];
    let trust = server.folder.file("data/tls/cert.pem");
    let counted = run(Command::new("curl")
        .args(["-sS", "-w", "%{http_code} %{num_connects}\n", "--cacert"])
        .arg(trust)
        .args(both)
        .arg(server.https("health")));
    assert_eq!(String::from_utf8(counted.out).unwrap(), "200 1\n200 0\n");
}

#[test]
fn text_is_compressed_for_curl() {
    let server = Play::new().users().start();
    let page = |options: &[&str]| curl(&server, "", &[options, &ANN, &["-i"]].concat()).1;
    let (plain, zipped) = (page(&[]), page(&["--compressed"]));
    assert!(!plain.contains("Content-Encoding") && plain.contains("Vary: Accept-Encoding"));
    assert!(zipped.contains("Content-Encoding: gzip\r\n"), "{zipped}");
    let body = |text: &str| text.split_once("\r\n\r\n").unwrap().1.len();
    assert_eq!(body(&plain), body(&zipped), "and is the same (but for its nonce)");
}

#[test]
fn openssl_finds_nothing_old_and_nothing_weak() {
    let server = Play::new().users().start();
    let probe = |options: &[&str]| {
        let address = server.address("https").to_string();
        let done = Running::start(
            Command::new("openssl").args(["s_client", "-connect", &address]).args(options),
        )
        .finish();
        (String::from_utf8_lossy(&done.out).into_owned(), done.status.success())
    };
    let (text, good) = probe(&["-tls1_3", "-alpn", "h2,http/1.1"]);
    assert!(good && text.contains("TLSv1.3") && text.contains("ALPN protocol: http/1.1"), "{text}");
    let (text, good) = probe(&["-tls1_2"]);
    assert!(good && text.contains("ECDHE-ECDSA-"), "{text}");
    assert!(text.contains("Secure Renegotiation IS supported"), "{text}");
    for old in ["-tls1", "-tls1_1"] {
        let (text, good) = probe(&[old, "-cipher", "ALL:@SECLEVEL=0"]);
        assert!(!good, "{old}\n{text}");
    }
    for weak in ["AES128-SHA", "AES256-GCM-SHA384", "ECDHE-ECDSA-AES128-SHA256", "NULL", "3DES"] {
        let cipher = format!("{weak}:@SECLEVEL=0");
        let (text, good) = probe(&["-tls1_2", "-cipher", &cipher]);
        assert!(!good, "{weak}\n{text}");
    }
    assert!(!probe(&["-alpn", "h2"]).1, "no other protocol is agreed on");
}

#[test]
fn hostile_requests_over_tls() {
    let server = Play::new().users().start();
    for (request, status) in [
        (
            "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            400,
        ),
        ("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nabcd", 400),
        ("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: xchunked\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: h\r\nX: a\nContent-Length: 9\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: h\r\n X: folded\r\n\r\n", 400),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    ] {
        let answer = exchange(&server, request.as_bytes());
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{request:?}\n{answer}");
        assert_eq!(answer.matches("Server: lensd\r\n").count(), 1, "one answer only\n{answer}");
    }
    let long = format!("GET /{} HTTP/1.1\r\nHost: h\r\n\r\n", "a".repeat(9000));
    assert!(exchange(&server, long.as_bytes()).starts_with("HTTP/1.1 431 "));
    // What is no TLS is told so in TLS's words, and nothing else.
    let mut plain = TcpStream::connect(server.address("https")).unwrap();
    plain.set_read_timeout(Some(LIMIT.duration())).unwrap();
    plain.write_all(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n").unwrap();
    let mut alert = Vec::new();
    let _ = plain.read_to_end(&mut alert);
    assert_eq!(alert.first(), Some(&0x15), "{alert:?}");
}

#[test]
fn who_is_slow_over_tls_is_sent_away() {
    let server = Play::new().users().start();
    // One says nothing, one half of a handshake, one half of a request: each ends by itself.
    let silent = TcpStream::connect(server.address("https")).unwrap();
    let mut half = TcpStream::connect(server.address("https")).unwrap();
    half.write_all(&[0x16, 3, 1, 2, 0, 1, 0]).unwrap();
    for stream in [&silent, &half] {
        stream.set_read_timeout(Some(LIMIT.duration())).unwrap();
    }
    let mut slow = connect(&server);
    slow.write_all(b"GET /health HTTP/1.1\r\nHo").unwrap();
    let mut answer = String::new();
    slow.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    for mut stream in [silent, half] {
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest);
        assert!(rest.len() < 100, "no more than an alert");
    }
    assert_eq!(curl(&server, "health", &[]).0, 200);
}

#[test]
fn a_certificate_is_viewed_made_and_replaced() {
    let server = Play::new().users().start();
    let json = |text: &str| -> serde_json::Value { serde_json::from_str(text).unwrap() };
    let shown = |port: &str| {
        let script = format!(
            "openssl s_client -connect 127.0.0.1:{} </dev/null 2>/dev/null | \
             openssl x509 -noout -fingerprint -sha256 | cut -d= -f2",
            server.port(port)
        );
        let done = run(Command::new("sh").args(["-c", &script]));
        String::from_utf8(done.out).unwrap().trim().to_owned()
    };
    let (status, body) = curl(&server, "api/certificate", &ANN);
    assert_eq!(status, 200, "{body}");
    let first = json(&body)["data"]["fingerprint_sha256"].as_str().unwrap().to_owned();
    assert_eq!((&shown("https"), &shown("rtsps")), (&first, &first));
    assert_eq!(curl(&server, "api/certificate", &["-u", "bob:secret456"]).0, 403);

    // One that is made here: at once for new connections, of the engine too.
    let names = r#"{"generate":true,"names":["127.0.0.1","cam.example"]}"#;
    let (status, body) = curl(&server, "api/certificate", &[&ANN[..], &["-d", names]].concat());
    assert_eq!(status, 200, "{body}");
    assert_eq!(json(&body)["data"]["names"], serde_json::json!(["127.0.0.1", "cam.example"]));
    let second = json(&body)["data"]["fingerprint_sha256"].as_str().unwrap().to_owned();
    assert_ne!(first, second);
    assert_eq!((&shown("https"), &shown("rtsps")), (&second, &second));

    // One that openssl made, with the wrong key and with its own.
    let (key, cert) = (server.folder.file("k.pem"), server.folder.file("c.pem"));
    run(Command::new("openssl")
        .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30"])
        .args(["-subj", "/CN=own", "-addext", "subjectAltName=IP:127.0.0.1"])
        .args(["-addext", "basicConstraints=critical,CA:FALSE", "-keyout"])
        .arg(&key)
        .arg("-out")
        .arg(&cert));
    let read = |path: &std::path::Path| fs::read_to_string(path).unwrap();
    let other = read(&server.folder.file("data/tls/key.pem"));
    let upload = |certificate: &str, key: &str| {
        let body = serde_json::json!({ "certificate": certificate, "key": key }).to_string();
        curl(&server, "api/certificate", &[&ANN[..], &["-d", &body]].concat())
    };
    let (status, body) = upload(&read(&cert), &other);
    assert_eq!((status, json(&body)["key"].as_str()), (422, Some("key")), "{body}");
    assert_eq!(upload("nonsense", &other).0, 422);
    for wrong in [r#"{"certificate":5}"#, r#"{"certificate":"a","foo":1}"#, r#"{"generate":1}"#] {
        let (status, body) = curl(&server, "api/certificate", &[&ANN[..], &["-d", wrong]].concat());
        assert_eq!((status, json(&body)["key"].is_string()), (422, true), "{body}");
    }
    assert_eq!((&shown("https"), &shown("rtsps")), (&second, &second), "a bad one changes nothing");
    let (status, body) = upload(&read(&cert), &read(&key));
    assert_eq!(status, 200, "{body}");
    let third = json(&body)["data"]["fingerprint_sha256"].as_str().unwrap().to_owned();
    assert_eq!(json(&body)["data"]["key_type"], "RSA 2048");
    assert_eq!((&shown("https"), &shown("rtsps")), (&third, &third));
    assert!(!server.log().contains("PRIVATE KEY"));
    // Who has no right changes nothing.
    let viewer = ["-u", "bob:secret456", "-d", r#"{"generate":true}"#];
    assert_eq!(curl(&server, "api/certificate", &viewer).0, 403);
}

/// What a WebSocket client of others must see, in their own words.
const PYTHON: &str = r#"
import asyncio, ssl, sys, websockets
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

async def main(url, cert):
    tls = ssl.create_default_context(cafile=cert) if url.startswith("wss") else None
    async with connect(url, ssl=tls, subprotocols=["x", "lensd.v1"], max_queue=None) as c:
        assert c.subprotocol == "lensd.v1", c.subprotocol
        assert not c.protocol.extensions, "nothing is compressed"
        await asyncio.gather(*[await c.ping() for _ in range(20)])
        for i in range(120):
            await c.send('{"get":[]}')
        while "Rate limit exceeded" not in await c.recv():
            pass
    assert c.close_code == 1000, c.close_code
    for bad, code in [("x" * (1 << 20) + "x", 1009), (b"\xff\xfe", 1007)]:
        async with connect(url, ssl=tls, max_size=None) as c:
            try:
                await c.send(bad, text=True)
                while True:
                    await c.recv()
            except ConnectionClosed as e:
                assert e.rcvd and e.rcvd.code == code, e
    try:
        await connect(url, ssl=tls, origin="https://evil.example")
        raise SystemExit("another site's page got in")
    except InvalidStatus as e:
        assert e.response.status_code == 403, e

asyncio.run(main(*sys.argv[1:]))
"#;

const NODE: &str = r#"
const WebSocket = require(process.argv[1]);
const ca = require("fs").readFileSync(process.argv[3]);
const c = new WebSocket(process.argv[2], { ca });
c.on("open", () => c.ping("hello"));
c.once("pong", (data) => {
    if (String(data) !== "hello") process.exit(2);
    // In fragments, with a ping between them.
    c.send('{"get"', { fin: false });
    c.ping("between");
    c.once("pong", () => { c.send(":[]}", { fin: true }); c.close(3001, "enough"); });
});
c.on("close", (code) => process.exit(code === 3001 ? 0 : 3));
c.on("error", (e) => { console.error(e); process.exit(4); });
"#;

#[test]
fn websocket_clients_of_others() {
    let server = Play::new().users().start();
    let cert = server.folder.file("data/tls/cert.pem");
    let urls = [server.http("api/v1"), server.https("api/v1")].map(|u| u.replace("http", "ws"));
    for url in &urls {
        run(Command::new(linked_tool("venv/bin/python")).args(["-c", PYTHON, url]).arg(&cert));
        let ws = linked_tool("node_modules/ws");
        run(Command::new("node").args(["-e", NODE]).arg(ws).arg(url).arg(&cert));
    }
}
