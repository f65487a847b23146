//! Who may come in, as clients meet it: curl, Python's requests, FFmpeg, and `lensd user`.
#![allow(missing_docs)]

mod play;

use play::{CAMERA, Folder, LENSD, Play, Running, Server, linked_tool, run, until};
use serde_json::{Value, json};
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::Builder;
use std::time::Duration;

/// Status, head and body of what curl gets.
struct Got {
    status: u16,
    head: String,
    body: Value,
}

fn curl(server: &Server, path: &str, args: &[&str]) -> Got {
    let done = run(Command::new("curl").args(["-sS", "-i", &server.http(path)]).args(args));
    let text = String::from_utf8(done.out).unwrap();
    // With a digest the challenge comes first.
    let mut rest = text.as_str();
    let (mut head, mut body) = ("", "");
    while rest.starts_with("HTTP/") {
        (head, body) = rest.split_once("\r\n\r\n").unwrap();
        let next = body.find("HTTP/1.1 ");
        rest = next.map_or("", |at| &body[at..]);
    }
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let body = serde_json::from_str(body).unwrap_or(Value::Null);
    Got { status, head: head.to_owned(), body }
}

fn log_in(server: &Server, name: &str, password: &str) -> Got {
    let body = json!({ "username": name, "password": password }).to_string();
    curl(server, "api/login", &["-d", &body])
}

/// As the administrator.
fn ask(server: &Server, method: &str, path: &str, body: &Value) -> Got {
    curl(server, path, &["-u", "ann:secret123", "-X", method, "-d", &body.to_string()])
}

fn status(server: &Server, path: &str, args: &[&str]) -> u16 {
    curl(server, path, args).status
}

#[test]
fn curl_comes_in_by_every_door() {
    let server = Play::new().users().start();
    let streams = |args: &[&str]| status(&server, "api/streams", args);
    assert_eq!(streams(&[]), 401);
    assert_eq!(streams(&["-u", "bob:secret456"]), 200);
    assert_eq!(streams(&["--digest", "-u", "bob:secret456"]), 200);
    assert_eq!(streams(&["--digest", "-u", "bob:wrong"]), 401);
    assert_eq!(streams(&["-H", "Authorization: Bearer tok-bob"]), 200);
    assert_eq!(streams(&["-H", "X-API-Key: tok-bob"]), 200);
    assert_eq!(status(&server, "api/streams?token=tok-bob", &[]), 200);

    // As seed 002 writes it: curl calls it a form, and the token stands at the top.
    let jar = server.folder.file("jar");
    let jar = jar.to_str().unwrap();
    let got = curl(
        &server,
        "api/login",
        &["-X", "POST", "-c", jar, "-d", r#"{"username":"ann","password":"secret123"}"#],
    );
    assert_eq!(got.status, 200, "{}", got.body);
    let (token, csrf) = (got.body["token"].as_str().unwrap(), got.body["data"]["csrf"].as_str());
    assert_eq!(got.body["data"]["token"], token);
    assert_eq!(got.body["data"]["role"], "administrator");
    assert!(got.body["data"]["permissions"].as_array().unwrap().contains(&json!("User_rw")));
    let cookie = got.head.lines().find(|l| l.starts_with("Set-Cookie:")).unwrap();
    assert!(cookie.contains("HttpOnly; SameSite=Strict") && !cookie.contains("Secure"), "{cookie}");
    let bearer = format!("Authorization: Bearer {token}");
    assert_eq!(streams(&["-H", &bearer]), 200);

    // The cookie reads by itself and writes with its companion only.
    assert_eq!(streams(&["-b", jar]), 200);
    let who = curl(&server, "api/session", &["-b", jar]).body;
    assert_eq!((&who["data"]["user"], who["data"]["csrf"].as_str()), (&json!("ann"), csrf));
    let role = ["-b", jar, "-d", r#"{"name":"night","permissions":["Light_rw"]}"#];
    assert_eq!(status(&server, "api/roles", &role), 403);
    let field = format!("X-CSRF-Token: {}", csrf.unwrap());
    assert_eq!(status(&server, "api/roles", &[&role[..], &["-H", &field]].concat()), 200);

    let sessions = curl(&server, "api/sessions", &["-b", jar]).body;
    let own = &sessions["data"]["sessions"][0];
    assert_eq!((&own["user"], &own["current"]), (&json!("ann"), &json!(true)), "{sessions}");
    assert!(!sessions.to_string().contains(token));
    assert_eq!(status(&server, "api/logout", &["-X", "POST", "-b", jar]), 403, "no companion");
    let out = curl(&server, "api/logout", &["-X", "POST", "-b", jar, "-H", &field]);
    assert!(out.status == 200 && out.head.contains("Max-Age=0"), "{}", out.head);
    assert_eq!(streams(&["-H", &bearer]), 401);
}

#[test]
fn requests_comes_in() {
    let server = Play::new().users().start();
    let script = "
import sys, requests
from requests.auth import HTTPBasicAuth, HTTPDigestAuth
base = sys.argv[1]
def check(what, response, want):
    assert response.status_code == want, (what, response.status_code, response.text)
check('none', requests.get(base + 'api/streams'), 401)
check('basic', requests.get(base + 'api/streams', auth=HTTPBasicAuth('bob', 'secret456')), 200)
digest = requests.Session()
digest.auth = HTTPDigestAuth('bob', 'secret456')
for _ in range(3):
    check('digest', digest.get(base + 'api/streams'), 200)
check('wrong', requests.get(base + 'api/streams', auth=HTTPDigestAuth('bob', 'no')), 401)
s = requests.Session()
r = s.post(base + 'api/login', json={'username': 'ann', 'password': 'secret123'})
check('login', r, 200)
check('cookie', s.get(base + 'api/users'), 200)
check('no csrf', s.delete(base + 'api/users/bob'), 403)
s.headers['X-CSRF-Token'] = r.json()['data']['csrf']
check('csrf', s.delete(base + 'api/users/bob'), 200)
check('gone', requests.get(base + 'api/streams', auth=('bob', 'secret456')), 401)
check('logout', s.post(base + 'api/logout'), 200)
check('over', s.get(base + 'api/users'), 401)
";
    run(Command::new(linked_tool("python3")).args(["-c", script, &server.http("")]));
}

#[test]
fn users_and_roles_are_made_changed_and_removed() {
    let server = Play::new().users().start();
    let ann = |method: &str, path: &str, body: &Value| ask(&server, method, path, body);
    let made = ann("POST", "api/roles", &json!({"name": "night", "permissions": ["Media_r"]}));
    assert_eq!(made.status, 200, "{}", made.body);
    let eve = json!({"username": "eve", "password": "eve's own 1", "role": "night",
        "permissions": ["Light_rw"]});
    let made = ann("POST", "api/users", &eve);
    assert_eq!(made.body["data"]["permissions"], json!(["Media_r", "Light_rw"]), "{}", made.body);
    assert_eq!(ann("POST", "api/users", &eve).status, 409);
    let login = ["-u", "eve:eve's own 1"];
    assert_eq!(status(&server, "api/streams", &login), 200);
    assert_eq!(status(&server, "api/users", &login), 403);
    assert_eq!(status(&server, "api/users/bob", &login), 403);
    let own = curl(&server, "api/users/eve/permissions", &login);
    assert_eq!(own.body["data"]["own_permissions"], json!(["Light_rw"]));

    // Nobody gets beyond himself.
    let rights = json!({"permissions": ["User_rw"]});
    assert_eq!(ann("PUT", "api/users/eve/permissions", &rights).status, 200);
    let by_eve = |method, path: &str, body: Value| {
        let args = ["-u", "eve:eve's own 1", "-X", method, "-d", &body.to_string()];
        status(&server, path, &args)
    };
    assert_eq!(by_eve("PATCH", "api/users/eve", json!({"role": "administrator"})), 403);
    assert_eq!(by_eve("PUT", "api/users/ann/password", json!({"password": "taken over"})), 403);
    assert_eq!(by_eve("DELETE", "api/users/ann", json!({})), 403);
    let more = json!({"name": "more", "permissions": ["System_rw"]});
    assert_eq!(by_eve("POST", "api/roles", more), 403);

    // Every refusal says which key is meant.
    for (method, path, body, want, key) in [
        ("POST", "api/users", json!({"username": "x"}), 422, "password"),
        ("POST", "api/users", json!({"username": "x", "password": "short"}), 422, "password"),
        (
            "POST",
            "api/users",
            json!({"username": "a/b", "password": "long enough"}),
            422,
            "username",
        ),
        (
            "POST",
            "api/users",
            json!({"username": "x", "password": "long enough", "role": "king"}),
            422,
            "role",
        ),
        (
            "POST",
            "api/users",
            json!({"username": "x", "password": "long enough", "rolle": "viewer"}),
            422,
            "rolle",
        ),
        ("POST", "api/users", json!({"username": 5, "password": "long enough"}), 422, "username"),
        ("PUT", "api/users/eve/permissions", json!(["Everything"]), 422, "permissions"),
        ("PUT", "api/roles/guest", json!(["Media_rw"]), 422, "permissions"),
        ("POST", "api/token", json!({"expires_in": -1}), 422, "expires_in"),
    ] {
        let got = ann(method, path, &body);
        assert_eq!((got.status, &got.body["key"]), (want, &json!(key)), "{body}: {}", got.body);
        assert_eq!(got.body["status"], "error");
    }
    for (method, path, body, want) in [
        ("DELETE", "api/users/nobody", json!({}), 404),
        ("DELETE", "api/users/ann", json!({}), 409),
        ("PATCH", "api/users/ann", json!({"role": "viewer"}), 409),
        ("DELETE", "api/roles/night", json!({}), 409),
        ("PUT", "api/roles/viewer", json!([]), 409),
        ("POST", "api/users", json!([]), 400),
    ] {
        assert_eq!(ann(method, path, &body).status, want, "{method} {path}");
    }
    let twice = ["-u", "ann:secret123", "-d", r#"{"name":"a","name":"b"}"#];
    assert_eq!(status(&server, "api/roles", &twice), 400);

    // What comes in without a login is the administrator's choice.
    assert_eq!(status(&server, "api/streams", &[]), 401);
    assert_eq!(ann("PUT", "api/roles/guest", &json!(["System_r", "Media_r"])).status, 200);
    assert_eq!(status(&server, "api/streams", &[]), 200);
    assert_eq!(ann("DELETE", "api/roles/guest", &json!({})).status, 200);
    assert_eq!(status(&server, "api/streams", &[]), 401);

    // A program's token, limited to a role.
    let token = ann("POST", "api/token", &json!({"name": "door", "role": "viewer"}));
    let bearer = format!("Authorization: Bearer {}", token.body["token"].as_str().unwrap());
    assert_eq!(status(&server, "api/streams", &["-H", &bearer]), 200);
    assert_eq!(status(&server, "api/users", &["-H", &bearer]), 403);
    assert_eq!(status(&server, "api/token", &["-H", &bearer, "-X", "POST"]), 403);
    let id = token.body["data"]["id"].as_str().unwrap();
    assert_eq!(ann("DELETE", &format!("api/tokens/{id}"), &json!({})).status, 200);
    assert_eq!(status(&server, "api/streams", &["-H", &bearer]), 401);
}

#[test]
fn who_guesses_waits() {
    let mut server = Play::new().users().start();
    // RTSP has no other status for it.
    let play = |server: &Server, password: &str| {
        use base64::Engine as _;
        let login = base64::engine::general_purpose::STANDARD.encode(format!("bob:{password}"));
        let basic = format!("Authorization: Basic {login}\r\n");
        server.connect().ask("DESCRIBE", "stream1", &basic).status
    };
    assert_eq!(play(&server, "secret456"), 200);
    // Whichever way they come by, five are five.
    for _ in 0..2 {
        assert_eq!(play(&server, "wrong"), 401);
        assert_eq!(log_in(&server, "bob", "wrong").status, 401);
    }
    assert_eq!(play(&server, "secret456"), 200, "not yet");
    assert_eq!(play(&server, "wrong"), 401);
    let got = log_in(&server, "bob", "secret456");
    assert_eq!(got.status, 429, "the right one, too: {}", got.body);
    assert_eq!(got.body["code"], "RATE_LIMITED");
    let wait = got.body["retry_after"].as_u64().unwrap();
    assert!((1..=300).contains(&wait) && got.head.contains("Retry-After: "), "{}", got.head);
    assert_eq!(status(&server, "api/streams", &["-u", "bob:secret456"]), 429);
    assert_eq!(play(&server, "secret456"), 401);
    let bearer = ["-H", "Authorization: Bearer tok-bob"];
    assert_eq!(status(&server, "api/streams", &bearer), 200, "who is logged in stays so");
    assert_eq!(status(&server, "health", &[]), 200, "what needs no login goes on");

    // It is not forgotten by whom a guesser can make fall over.
    for plane in ["control", "engine"] {
        server.kill_plane(plane);
        server.state();
        assert_eq!(log_in(&server, "bob", "secret456").status, 429, "{plane}");
        assert_eq!(play(&server, "secret456"), 401, "{plane}");
    }
    let elsewhere = ["--interface", "127.0.0.2", "-u", "ann:secret123"];
    assert_eq!(status(&server, "api/streams", &elsewhere), 200);
}

/// Who comes before the engine knows the users waits: he is not sent away, nor counted as one who
/// guesses.
#[test]
fn who_comes_at_once_is_known() {
    let mut server = Play::new().users().start();
    let address = server.address("rtsp");
    let over = Arc::new(AtomicBool::new(false));
    let ask = "DESCRIBE rtsp://localhost/stream1 RTSP/1.0\r\nCSeq: 1\r\n\
               Authorization: Basic Ym9iOnNlY3JldDQ1Ng==\r\n\r\n";
    let callers: Vec<_> = (0..4)
        .map(|_| {
            let over = Arc::clone(&over);
            let body = move || {
                let mut heard = Vec::new();
                while !over.load(Ordering::Relaxed) {
                    let Ok(mut talk) = TcpStream::connect(address) else { continue };
                    talk.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
                    let mut status = [0; 12];
                    // An engine that is killed answers nobody.
                    if talk.write_all(ask.as_bytes()).is_ok()
                        && talk.read_exact(&mut status).is_ok()
                    {
                        heard.push(String::from_utf8_lossy(&status).into_owned());
                    }
                }
                heard
            };
            Builder::new().name("caller".into()).spawn(body).unwrap()
        })
        .collect();
    for _ in 0..5 {
        server.kill_plane("engine");
        server.state();
    }
    over.store(true, Ordering::Relaxed);
    let heard: Vec<String> = callers.into_iter().flat_map(|c| c.join().unwrap()).collect();
    // While the first cameras come up, there may be no stream yet.
    let bad: Vec<&String> = heard.iter().filter(|h| h.contains(" 401")).collect();
    assert!(bad.is_empty() && heard.iter().any(|h| h.contains(" 200")), "{bad:?}");
}

/// FFmpeg reads a stream until it ends.
fn watch(server: &Server, url: &str) -> Running {
    let before = server.clients().len();
    let running = Running::start(
        Command::new("ffmpeg")
            .args(["-v", "error", "-rtsp_transport", "tcp", "-i", url])
            .args(["-c", "copy", "-f", "null", "-"]),
    );
    until("the player", || {
        let clients = server.clients();
        let plays = clients.iter().filter(|c| c["state"] == "playing").count();
        (clients.len() > before && plays > before).then_some(())
    });
    running
}

#[test]
fn another_password_ends_what_was_open() {
    let server = Play::new().users().start();
    let token = log_in(&server, "bob", "secret456").body["token"].as_str().unwrap().to_owned();
    let bearer = format!("Authorization: Bearer {token}");
    let mut ann = watch(&server, &server.rtsp_as("ann:secret123", "stream1"));
    let players = [
        watch(&server, &server.rtsp_as("bob:secret456", "stream1")),
        watch(&server, &server.rtsp(&format!("stream1?token={token}"))),
    ];
    let wrong = json!({"password": "another one", "old_password": "secret457"});
    let own = |body: &Value| {
        let args = ["-H", &bearer, "-X", "PUT", "-d", &body.to_string()];
        curl(&server, "api/users/bob/password", &args)
    };
    let got = own(&wrong);
    assert_eq!((got.status, &got.body["key"]), (401, &json!("old_password")), "{}", got.body);
    assert_eq!(own(&json!({"password": "another one"})).status, 422);
    let right = json!({"password": "another one", "old_password": "secret456"});
    assert_eq!(own(&right).status, 200);
    for player in players {
        player.finish();
    }
    assert_eq!(status(&server, "api/streams", &["-H", &bearer]), 401);
    assert_eq!(log_in(&server, "bob", "secret456").status, 401);
    assert_eq!(log_in(&server, "bob", "another one").status, 200);
    assert_eq!(status(&server, "api/streams", &["--digest", "-u", "bob:another one"]), 200);
    assert!(!ann.is_over(), "others go on");

    // Ending a session ends what plays with its token.
    let token = log_in(&server, "bob", "another one").body["token"].as_str().unwrap().to_owned();
    let player = watch(&server, &server.rtsp(&format!("stream1?token={token}")));
    let bearer = format!("Authorization: Bearer {token}");
    assert_eq!(status(&server, "api/logout", &["-X", "POST", "-H", &bearer]), 200);
    player.finish();
    assert_eq!(ask(&server, "DELETE", "api/users/bob", &json!({})).status, 200);
    assert!(!ann.is_over(), "others go on");
}

/// All files below a folder.
fn files(folder: &Path, out: &mut Vec<std::path::PathBuf>) {
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            files(&entry.path(), out);
        } else if kind.is_file() {
            out.push(entry.path());
        }
    }
}

#[test]
fn nothing_is_lost_with_the_process_and_nothing_told() {
    let mut server = Play::new().users().start();
    let token = log_in(&server, "bob", "secret456").body["token"].as_str().unwrap().to_owned();
    let eve = json!({"username": "eve", "password": "eve's own 1"});
    assert_eq!(ask(&server, "POST", "api/users", &eve).status, 200);
    assert_eq!(log_in(&server, "eve", "no such word").status, 401);
    server.kill_plane("control");
    let bearer = format!("Authorization: Bearer {token}");
    until("control", || {
        let done = Running::start(Command::new("curl").args(["-s", &server.http("health")]));
        done.finish().status.success().then_some(())
    });
    assert_eq!(status(&server, "api/streams", &["-H", &bearer]), 200);
    assert_eq!(status(&server, "api/streams", &["--digest", "-u", "eve:eve's own 1"]), 200);
    assert_eq!(log_in(&server, "eve", "eve's own 1").status, 200);

    let audit = fs::read_to_string(server.folder.file("data/logs/audit.log")).unwrap();
    let events: Vec<Value> = audit.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    let has = |what: &str, user: &str, subject: &str| {
        events.iter().any(|e| {
            e["event"] == what
                && e["user"].as_str().unwrap_or("") == user
                && e["subject"].as_str().unwrap_or("") == subject
        })
    };
    until("the log", || {
        let audit = fs::read_to_string(server.folder.file("data/logs/audit.log")).unwrap();
        audit.contains("login failed").then_some(())
    });
    assert!(has("user added", "ann", "eve"), "{audit}");

    let mut all = Vec::new();
    files(&server.folder.file("data"), &mut all);
    all.push(server.folder.file("log"));
    for file in all {
        let bytes = fs::read(&file).unwrap();
        for secret in ["secret456", "eve's own 1", "no such word", &token] {
            let told = bytes.windows(secret.len()).any(|w| w == secret.as_bytes());
            assert!(!told, "{secret} stands in {}", file.display());
        }
        let open = fs::metadata(&file).unwrap().mode() & 0o077 != 0;
        let public = ["cert.pem", "ports.json", "log"]
            .contains(&file.file_name().unwrap().to_str().unwrap());
        assert!(
            !open || public || file.ends_with("run/lock"),
            "{} is open to others",
            file.display()
        );
    }
}

/// `lensd user`: whether it went well, and what it said.
fn user(data: &Path, args: &[&str], input: &str) -> (bool, String) {
    let mut command = Command::new(LENSD);
    command.arg("user").args(args).arg("--data").arg(data).current_dir(data.parent().unwrap());
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("LENSD_")) {
        command.env_remove(name);
    }
    let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = child.spawn().unwrap();
    // A verb that takes no password may be gone already.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let done = child.wait_with_output().unwrap();
    let said = String::from_utf8([done.stdout, done.stderr].concat()).unwrap();
    (done.status.success(), said)
}

#[test]
fn lensd_user_with_and_without_a_server() {
    let folder = Folder::new();
    let data = folder.file("data");
    let say = |args: &[&str], input: &str| user(&data, args, input);
    let good = |args: &[&str], input: &str| {
        let (good, said) = say(args, input);
        assert!(good, "{args:?}: {said}");
        said
    };
    let bad = |args: &[&str], input: &str, why: &str| {
        let (good, said) = say(args, input);
        assert!(!good && said.contains(why), "{args:?}: {said}");
    };
    bad(&["list"], "", "--data names");
    assert!(!data.exists(), "who only looks makes nothing");
    good(&["add", "root", "--role", "administrator"], "root's word\n");
    let made = good(&["add", "bob"], "");
    let made = made.trim().strip_prefix("password: ").unwrap().to_owned();
    bad(&["add", "bob"], "another one\n", "already");
    bad(&["add", "eve", "--role", "king"], "another one\n", "administrator, operator, viewer");
    bad(&["add", "eve"], "short\n", "8 characters");
    bad(&["rm", "root"], "", "last administrator");
    bad(&["rm", "eve"], "", "no user");
    good(&["role", "bob", "operator"], "");
    let list = good(&["list"], "");
    assert!(list.contains("bob   operator") && list.contains("root  administrator"), "{list}");

    let mut command = Command::new(LENSD);
    command.arg("--data").arg(&data).args(["--camera", CAMERA, "--http", "127.0.0.1:0"]);
    command.args(["--rtsp", "127.0.0.1:0", "--rtsps", "127.0.0.1:0"]);
    let server = Server::start(command, folder);
    assert_eq!(log_in(&server, "bob", &made).body["data"]["role"], "operator");
    assert!(!server.log().contains("password"), "users were there: {}", server.log());

    // With the server running, a change is valid when the command is over.
    good(&["passwd", "bob"], "bobs-new-word\n");
    assert_eq!(log_in(&server, "bob", "bobs-new-word").status, 200);
    good(&["add", "eve", "--role", "viewer", "--generate"], "ignored\n");
    bad(&["rm", "root"], "", "last administrator");
    let player = watch(&server, &server.rtsp_as("bob:bobs-new-word", "stream1"));
    good(&["rm", "bob"], "");
    player.finish();
    assert_eq!(status(&server, "api/streams", &["-u", "bob:bobs-new-word"]), 401);
    let list: Value = serde_json::from_str(&good(&["list", "--json"], "")).unwrap();
    assert_eq!(list.as_array().unwrap().len(), 2, "{list}");
    let mode = fs::metadata(data.join("run/control.sock")).unwrap().mode() & 0o777;
    assert_eq!(mode, 0o600);
}

/// Says who he is over a WebSocket, and what he is told then, until he is told that it is over.
const SOCKET: &str = r#"
import asyncio, json, sys
from websockets.asyncio.client import connect

async def main():
    async with connect(sys.argv[1]) as ws:
        await ws.send(json.dumps({"token": sys.argv[2]}))
        while True:
            said = json.loads(await ws.recv())
            print(json.dumps(said), flush=True)
            if said.get("authenticated") is False:
                break
        # A guest now, as whoever comes without a token.
        await ws.send(json.dumps({"brightness": 60}))
        while "error" not in said or "authenticated" in said:
            said = json.loads(await ws.recv())
        print(json.dumps(said), flush=True)

asyncio.run(main())
"#;

#[test]
fn what_a_token_has_opened_ends_with_its_time() {
    let server = Play::new().users().start();
    let wish = json!({"name": "short", "expires_in": 15});
    let token = ask(&server, "POST", "api/token", &wish).body["token"].as_str().unwrap().to_owned();
    let bearer = format!("Authorization: Bearer {token}");
    let curl = |path: &str| {
        let args = ["-sSN", "-H", &bearer, "-H", "Accept: text/event-stream, */*"];
        Running::start(Command::new("curl").args(args).arg(server.http(path)))
    };
    let (events, pictures) = (curl("api/events"), curl("mjpeg/stream1"));
    let url = server.http("api/v1").replace("http:", "ws:");
    let socket = Running::start(
        Command::new(linked_tool("venv/bin/python")).args(["-c", SOCKET, &url, &token]),
    );
    // Each of them ends by itself.
    let told = String::from_utf8(events.succeed().out).unwrap();
    assert!(told.starts_with("retry: ") && told.ends_with("event: over\ndata: {}\n\n"), "{told}");
    let got = pictures.succeed().out;
    assert!(got.starts_with(b"--") && got.ends_with(b"\r\n"), "{} bytes", got.len());
    let said = String::from_utf8(socket.succeed().out).unwrap();
    let said: Vec<Value> = said.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!(said[0]["authenticated"], true, "{said:?}");
    assert!(said.iter().any(|s| s["error"] == "Session ended"), "{said:?}");
    assert_eq!(said[said.len() - 1]["error"], "Permission denied", "{said:?}");
}

#[test]
fn the_audit_log_knows_who_came_to_the_streams() {
    use base64::Engine as _;
    let server = Play::new().users().start();
    let describe = |login: &str| {
        let coded = base64::engine::general_purpose::STANDARD.encode(login);
        let header = format!("Authorization: Basic {coded}\r\n");
        server.connect().ask("DESCRIBE", "stream1", &header).status
    };
    assert_eq!(describe("bob:wrong"), 401);
    until("a picture", || (describe("bob:secret456") == 200).then_some(()));
    let by_rtsp = || -> Vec<Value> {
        let log = fs::read_to_string(server.folder.file("data/logs/audit.log")).unwrap_or_default();
        let lines = log.lines().map(|l| serde_json::from_str::<Value>(l).unwrap());
        lines.filter(|l| l["details"]["by"] == "rtsp").collect()
    };
    let lines = until("both lines", || Some(by_rtsp()).filter(|lines| lines.len() >= 2));
    let short = |l: &Value| (l["event"].clone(), l["user"].clone(), l["from"].clone());
    let line = |event: &str| (json!(event), json!("bob"), json!("127.0.0.1"));
    // Once from an address, however many requests he makes.
    let all: Vec<_> = lines.iter().map(short).collect();
    assert_eq!(all, [line("login failed"), line("login")]);
    let told = ask(&server, "GET", "api/events", &Value::Null).body["data"]["events"].to_string();
    assert!(told.contains(r#""by":"rtsp""#), "{told}");
}
