//! WebSocket on the whole control plane, over real TCP, with a client that others wrote.
#![allow(missing_docs)]

use lensd_control::{Config, run};
use lensd_ffi::auth::{Role, User, Users};
use lensd_ffi::link::{Link, Order, Received, Report};
use lensd_ffi::region::blank;
use lensd_ffi::state::PLANE_WORDS;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::ExitCode;
use std::thread::{Builder, JoinHandle};
use std::time::Duration;
use tungstenite::client::IntoClientRequest;
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::{Message, WebSocket};

/// A control plane without an engine.
struct House {
    leash: Link,
    port: u16,
    thread: Option<JoinHandle<ExitCode>>,
    folder: PathBuf,
}

impl House {
    fn start(name: &str, config: Config) -> Self {
        let folder = std::env::temp_dir().join(format!("lensd-web-{}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        for part in ["state", "run", "tls"] {
            std::fs::create_dir_all(folder.join(part)).unwrap();
        }
        let users = Users {
            users: vec![User::new("admin", Role::Administrator, "lensd", "secret")],
            ..Users::default()
        };
        let bytes = serde_json::to_vec(&users).unwrap();
        std::fs::write(folder.join("state/users.json"), bytes).unwrap();
        let config = Config { data: folder.clone(), http: Some("127.0.0.1:0".into()), ..config };
        let (leash, theirs) = Link::pair().unwrap();
        let memory = blank("control", PLANE_WORDS).unwrap();
        let config = serde_json::to_value(config).unwrap();
        leash.send(&Order::Start { config }, &[memory.as_fd()]).unwrap();
        drop(memory);
        let thread = Builder::new().name("control".into()).spawn(move || run(theirs)).unwrap();
        let Ok(Received::Message(Report::Sealed, _)) = leash.receive() else { panic!("sealed") };
        let port = match leash.receive().unwrap() {
            Received::Message(Report::Listening { ports, .. }, _) => ports["http"],
            other => panic!("{other:?}"),
        };
        Self { leash, port, thread: Some(thread), folder }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], self.port))).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        stream
    }

    /// What comes back up to the end of the connection.
    fn raw(&self, request: &str) -> String {
        let mut stream = self.connect();
        stream.write_all(request.as_bytes()).unwrap();
        let mut out = Vec::new();
        let _ = stream.read_to_end(&mut out);
        String::from_utf8_lossy(&out).into_owned()
    }

    /// The socket, or the status of the refusal.
    fn socket(&self, fields: &[(&'static str, &str)]) -> Result<WebSocket<TcpStream>, u16> {
        let url = format!("ws://127.0.0.1:{}/api/v1", self.port);
        let mut request = url.into_client_request().unwrap();
        for (name, value) in fields {
            request.headers_mut().insert(*name, value.parse().unwrap());
        }
        match tungstenite::client(request, self.connect()) {
            Ok((socket, _)) => Ok(socket),
            Err(tungstenite::HandshakeError::Failure(tungstenite::Error::Http(response))) => {
                Err(response.status().as_u16())
            }
            Err(other) => panic!("{other}"),
        }
    }
}

impl Drop for House {
    fn drop(&mut self) {
        let _ = self.leash.send(&Order::Stop, &[]);
        let _ = self.thread.take().map(JoinHandle::join);
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

#[test]
fn a_websocket_is_opened_asked_and_closed() {
    let house = House::start("open", Config::default());
    let mut socket = house.socket(&[]).unwrap();
    socket.send(Message::Ping("still there?".into())).unwrap();
    assert_eq!(socket.read().unwrap(), Message::Pong("still there?".into()));
    socket.close(None).unwrap();
    assert_eq!(socket.read().unwrap(), Message::Close(None));
    assert!(matches!(socket.read(), Err(tungstenite::Error::ConnectionClosed)));
    let mut other = house.socket(&[("sec-websocket-protocol", "x, lensd.v1")]).unwrap();
    drop(house);
    let Message::Close(Some(end)) = other.read().unwrap() else { panic!("no close frame") };
    assert_eq!(end.code, CloseCode::Away, "the server says goodbye");
}

#[test]
fn one_address_does_not_keep_all_places() {
    let house = House::start("crowd", Config { max_connections: 20, ..Config::default() });
    let mut crowd: Vec<_> = (0..20).map(|_| house.socket(&[]).unwrap()).collect();
    let answer = house.raw("GET /health HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    // It was the first one that had to go.
    assert!(crowd[0].read().is_err());
    let last = &mut crowd[19];
    last.send(Message::Ping("still there?".into())).unwrap();
    assert_eq!(last.read().unwrap(), Message::Pong("still there?".into()));
}

#[test]
fn pages_of_other_sites_may_connect_if_they_are_listed() {
    let origins = vec!["https://nvr.example".to_owned()];
    let house = House::start("sites", Config { origins, ..Config::default() });
    assert_eq!(house.socket(&[("origin", "http://evil.example")]).err(), Some(403));
    assert_eq!(house.socket(&[("origin", "null")]).err(), Some(403));
    assert!(house.socket(&[("origin", "https://nvr.example")]).is_ok());
    let own = format!("http://127.0.0.1:{}", house.port);
    assert!(house.socket(&[("origin", &own)]).is_ok());
    let preflight = house.raw(
        "OPTIONS /api/info HTTP/1.1\r\nHost: h\r\nOrigin: https://nvr.example\r\n\
         Access-Control-Request-Method: GET\r\nConnection: close\r\n\r\n",
    );
    for want in [
        "HTTP/1.1 204 ",
        "Access-Control-Allow-Origin: https://nvr.example\r\n",
        "Access-Control-Allow-Credentials: true\r\n",
        "Access-Control-Allow-Methods: GET, HEAD, OPTIONS\r\n",
        "Vary: Origin\r\n",
    ] {
        assert!(preflight.contains(want), "{want}\n{preflight}");
    }
}

#[test]
fn an_upgrade_that_is_none_says_what_would_be() {
    let house = House::start("none", Config::default());
    let answer = house.raw("GET /api/v1 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 426 "), "{answer}");
    assert!(answer.contains("Upgrade: websocket\r\n"), "{answer}");
    assert!(answer.contains("Sec-WebSocket-Version: 13\r\n"), "{answer}");
    // What was asked before is answered before, and what comes behind is a frame.
    let mut stream = house.connect();
    let upgrade = "GET /health/live HTTP/1.1\r\nHost: h\r\n\r\nGET /api/v1 HTTP/1.1\r\nHost: h\r\n\
        Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    stream.write_all(&[upgrade.as_bytes(), b"\x89\x81\0\0\0\0x", b"\x81\x01x"].concat()).unwrap();
    let mut out = Vec::new();
    let _ = stream.read_to_end(&mut out);
    let text = String::from_utf8_lossy(&out);
    let (live, rest) = text.split_once("HTTP/1.1 101 Switching Protocols\r\n").unwrap();
    assert!(live.starts_with("HTTP/1.1 200 OK\r\n"));
    assert!(rest.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n") && !rest.contains("Content-Length"));
    let frames = out.windows(4).rposition(|w| w == b"\r\n\r\n").unwrap() + 4;
    assert_eq!(out[frames..frames + 3], *b"\x8a\x01x", "the pong");
    assert_eq!(out[frames + 3..][..1], [0x88], "and the end, for the frame was not masked");
    assert_eq!(out[frames + 5..frames + 7], 1002_u16.to_be_bytes());
}
