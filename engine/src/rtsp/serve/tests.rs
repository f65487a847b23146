//! The loop over real sockets, without cameras.

use super::*;
use crate::rtsp::replay::Replays;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use std::io::{Read, Write as _};
use std::net::TcpStream;

mod replay;

/// A server without cameras that lets everybody in, on a free port, in a thread of its own.
struct Running {
    view: Arc<View>,
    bell: Arc<Bell>,
    address: SocketAddr,
    secure: SocketAddr,
    trust: Arc<ClientConfig>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Running {
    fn start(options: crate::config::RtspOptions) -> Self {
        Self::start_with(options, |_| {})
    }

    fn start_with(
        options: crate::config::RtspOptions,
        change_it: impl FnOnce(&mut Server),
    ) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let users = Arc::new(crate::users::UserTable::new(true, lensd_ffi::auth::Lockout::new()));
        let bell = Arc::new(Bell::new().unwrap());
        let world = World {
            options,
            switchboard: Arc::default(),
            posts: std::collections::HashMap::new(),
            udp: super::super::udp::Pair::bind(address.ip(), 0).unwrap(),
            way: Way { segment_ok: true, ..Way::default() },
            addresses: std::collections::HashMap::new(),
            guard: users.guard([0; 32]),
            users,
            bell: Arc::clone(&bell),
            sessions: 0,
            ingest: Arc::default(),
            groups: std::collections::HashMap::new(),
            unfit: std::collections::HashMap::new(),
            logins: Vec::new(),
            random: || 1,
            replays: Replays::default(),
            scenes: Arc::default(),
            feeds: Vec::new(),
        };
        let view = Arc::new(View::default());
        let change = Bell::new().unwrap();
        let (config, trust) = tls();
        let tls_listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let secure = tls_listener.local_addr().unwrap();
        let identity: Identity = Box::new(move || Arc::clone(&config));
        let tls = Some((tls_listener, identity));
        let mut server =
            Server::new(Some(listener), tls, world, change, Arc::clone(&view)).unwrap();
        change_it(&mut server);
        let thread = std::thread::Builder::new()
            .name("rtsp".to_owned())
            .spawn(move || server.run().unwrap())
            .unwrap();
        Self { view, bell, address, secure, trust, thread: Some(thread) }
    }

    /// A connection with TLS that has sent this.
    fn connect_tls(&self, bytes: &str) -> StreamOwned<ClientConnection, TcpStream> {
        let stream = TcpStream::connect(self.secure).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let name = "localhost".try_into().unwrap();
        let session = ClientConnection::new(Arc::clone(&self.trust), name).unwrap();
        let mut stream = StreamOwned::new(session, stream);
        stream.write_all(bytes.as_bytes()).unwrap();
        stream
    }

    /// A connection that has sent this.
    fn connect(&self, bytes: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        stream.write_all(bytes.as_bytes()).unwrap();
        stream
    }
}

/// What a server with a certificate of its own needs, and a client that trusts it.
fn tls() -> (Arc<ServerConfig>, Arc<ClientConfig>) {
    let own = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(own.signing_key.serialize_der()));
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let server = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![own.cert.der().clone()], key)
        .unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(own.cert.der().clone()).unwrap();
    let client = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    (Arc::new(server), Arc::new(client))
}

impl Drop for Running {
    fn drop(&mut self) {
        self.view.stop.store(true, Ordering::Release);
        self.bell.ring();
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

/// Reads until a text was there; `false` at the end of the stream.
fn wait_for(stream: &mut impl Read, text: &str) -> bool {
    let mut got = Vec::new();
    let mut buffer = [0; 4096];
    while !String::from_utf8_lossy(&got).contains(text) {
        match stream.read(&mut buffer) {
            Ok(n) if n > 0 => got.extend_from_slice(&buffer[..n]),
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                panic!("no {text:?}: {}", got.escape_ascii())
            }
            _ => return false,
        }
    }
    true
}

fn half(method: &str, cookie: &str) -> String {
    format!("{method} /s HTTP/1.0\r\nx-sessioncookie: {cookie}\r\n\r\n")
}

#[test]
fn a_tunnel_that_is_used_outlives_the_time_out() {
    let options = crate::config::RtspOptions { timeout_secs: 1, ..Default::default() };
    let server = Running::start(options);
    let mut out = server.connect(&half("GET", "a"));
    assert!(wait_for(&mut out, "200 OK"));
    let mut feed = server.connect(&half("POST", "a"));
    for cseq in 0..6 {
        let request = format!("OPTIONS * RTSP/1.0\r\nCSeq: 10{cseq}\r\n\r\n");
        feed.write_all(STANDARD.encode(request).as_bytes()).unwrap();
        assert!(wait_for(&mut out, &format!("CSeq: 10{cseq}")));
        std::thread::sleep(Duration::from_millis(400));
    }
}

#[test]
fn a_tunnel_in_a_tunnel_is_closed() {
    let server = Running::start(crate::config::RtspOptions::default());
    let mut a = server.connect(&half("GET", "a"));
    let mut b = server.connect(&half("GET", "b"));
    assert!(wait_for(&mut a, "200 OK") && wait_for(&mut b, "200 OK"));
    let mut feed = server.connect(&half("POST", "a"));
    feed.write_all(STANDARD.encode(half("POST", "b")).as_bytes()).unwrap();
    // Both halves end, so that no feeder is left that speaks for whoever comes next.
    assert!(!wait_for(&mut a, "never"));
    assert!(!wait_for(&mut feed, "never"));
}

#[test]
fn a_tunnel_is_decoded_wherever_it_is_cut() {
    let text = format!("{}{}", STANDARD.encode("OPTIONS *"), STANDARD.encode("PLAY x y"));
    for cut in 0..text.len() {
        let mut pending = Vec::new();
        let mut got = decode_tunnel(&mut pending, &text.as_bytes()[..cut]).unwrap();
        got.extend(decode_tunnel(&mut pending, &text.as_bytes()[cut..]).unwrap());
        assert_eq!(got, b"OPTIONS *PLAY x y");
    }
    assert_eq!(decode_tunnel(&mut Vec::new(), b"!!!!"), None);
}

/// A request whose body is cut off.
fn half_announce() -> String {
    let head = "ANNOUNCE rtsp://h/x RTSP/1.0\r\nCSeq: 1\r\nContent-Length: 60000\r\n\r\n";
    format!("{head}{}", "x".repeat(20_000))
}

#[test]
fn half_requests_of_many_are_bounded_and_shut_nobody_out() {
    let options = crate::config::RtspOptions::default();
    let server = Running::start_with(options, |server| server.max_held = 128 * 1024);
    let mut greedy: Vec<TcpStream> = (0..20).map(|_| server.connect(&half_announce())).collect();
    // The last one is over what all may hold.
    assert!(!wait_for(&mut greedy[19], "never"));
    greedy[0].set_nonblocking(true).unwrap();
    let alive = greedy[0].read(&mut [0]).unwrap_err();
    assert_eq!(alive.kind(), io::ErrorKind::WouldBlock);
    // Who is modest is served all the same.
    let mut modest = server.connect("OPTIONS * RTSP/1.0\r\nCS");
    modest.write_all(b"eq: 1\r\n\r\n").unwrap();
    assert!(wait_for(&mut modest, "200 OK"));
    // And when they have gone, there is room again.
    drop(greedy);
    let served = (0..1000).any(|_| {
        let mut late = server.connect(&half_announce());
        let _ = late.write_all("x".repeat(40_000).as_bytes());
        wait_for(&mut late, "RTSP/1.0 4")
    });
    assert!(served);
}

#[test]
fn an_end_under_tls_is_said() {
    let server = Running::start(crate::config::RtspOptions::default());
    let mut stream = server.connect_tls("OPTIONS * RTSP/2.0\r\nCSeq: 1\r\n\r\n");
    let mut answer = String::new();
    // An end without close_notify is an error of this reader.
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("RTSP/1.0 505"), "{answer}");
}

#[test]
fn what_tls_has_decrypted_already_is_not_forgotten() {
    // One record holds more than a connection may read in one turn.
    let options = crate::config::RtspOptions::default();
    let server = Running::start_with(options, |server| server.buffer = vec![0; 64]);
    let request = |n: usize| format!("OPTIONS * RTSP/1.0\r\nCSeq: {n}\r\n\r\n");
    let all: String = (1000..1250).map(request).collect();
    assert!(all.len() > READS_AT_ONCE * 64 && all.len() < 16 * 1024);
    let mut stream = server.connect_tls(&all);
    assert!(wait_for(&mut stream, "CSeq: 1249"));
}
