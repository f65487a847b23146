//! Settings as clients meet them: REST by curl, WebSocket by Python's `websockets`, light by a fake
//! LED, and through every death of a process.
#![allow(missing_docs)]

mod play;

use play::{Folder, LENSD, Play, Running, Server, ann, linked_tool, run, until};
use rustix::process::Signal;
use serde_json::{Value, json};
use std::fs;
use std::process::Command;

const CAMERA: &str = "test:?size=320x180&fps=30&pattern=still";

fn value(server: &Server, key: &str) -> Value {
    let (status, body) = ann(server, "GET", &format!("api/settings/{key}"), "");
    if status == 200 { body["data"]["value"].clone() } else { Value::Null }
}

fn set(server: &Server, key: &str, value: &str) -> (u16, Value) {
    ann(server, "POST", &format!("api/settings/{key}"), value)
}

/// Mean luma of a still picture of 640x360 below the marks, by OpenCV.
fn brightness(server: &Server) -> f64 {
    let script = "import cv2, numpy, sys; data = numpy.frombuffer(sys.stdin.buffer.read(), 'u1')\n\
                  print(cv2.imdecode(data, 0)[180:310, :].mean())";
    let url = server.http("api/snapshot?token=tok-bob");
    let shell = format!("curl -sS -m 60 '{url}' | \"$0\" -c \"$1\"");
    let done = run(Command::new("sh").args(["-c", &shell]).arg(linked_tool("python3")).arg(script));
    String::from_utf8(done.out).unwrap().trim().parse().unwrap()
}

/// The server again, on the same data.
fn again(mut server: Server, cameras: &[&str]) -> Server {
    assert!(server.end(Signal::TERM).success());
    let folder = std::mem::replace(&mut server.folder, Folder::new());
    let mut command = Command::new(LENSD);
    command.arg("--config").arg(folder.file("lensd.toml")).arg("--data").arg(folder.file("data"));
    for option in ["--http", "--https", "--rtsp", "--rtsps"] {
        command.args([option, "127.0.0.1:0"]);
    }
    for camera in cameras {
        command.args(["--camera", camera]);
    }
    Server::start(command, folder)
}

#[test]
fn a_setting_is_seen_in_the_picture() {
    let server = Play::new().users().camera("test:?size=640x360&pattern=still").start();
    until("the camera", || (value(&server, "cam1-exists") == true).then_some(()));
    // As seed 002 sends it: a bare value.
    let (status, body) = set(&server, "brightness", "0");
    assert_eq!((status, &body["data"]["value"]), (200, &json!(0)), "{body}");
    assert_eq!(body["data"]["hardware"]["min"], body["data"]["hardware"]["value"], "{body}");
    let dark = until("a dark picture", || Some(brightness(&server)).filter(|b| *b < 60.0));
    let (status, body) = set(&server, "brightness", "{\"value\": 100}");
    assert_eq!((status, &body["data"]["value"]), (200, &json!(100)), "{body}");
    until("a bright picture", || (brightness(&server) > dark + 80.0).then_some(()));

    // The size of the picture, and back where the camera cannot.
    assert_eq!(set(&server, "resolution", "\"320x180\"").1["data"]["value"], "320x180");
    let (status, body) = set(&server, "resolution", "\"100x100\"");
    assert_eq!((status, &body["code"]), (422, &json!("INVALID_VALUE")), "{body}");
    assert!(body["message"].as_str().unwrap().contains("320x180"), "{body}");
    assert_eq!(value(&server, "resolution"), "320x180");
    until("the stream", || (server.state()["engine"]["streams"][0]["width"] == 320).then_some(()));
}

#[test]
fn wrong_ones_are_refused_in_the_given_words() {
    let server = Play::new().users().camera(CAMERA).start();
    until("the camera", || (value(&server, "cam1-exists") == true).then_some(()));
    let (status, body) = set(&server, "brightness", "150");
    assert_eq!(status, 422);
    assert_eq!(body["message"], "Value must be between 0 and 100");
    assert_eq!((&body["key"], &body["status"]), (&json!("brightness"), &json!("error")));
    for (key, text, status, part) in [
        ("brightness", "\"much\"", 422, "between 0 and 100"),
        ("brightness", "NaN", 400, "line 1"),
        ("brightness", "[[[[", 400, "line 1"),
        ("brightnes", "1", 404, "is it brightness?"),
        ("cam1-exists", "true", 422, "measured"),
        ("main-camera", "7", 422, "no camera 7"),
        ("zoom", "50", 422, "no control for zoom"),
        ("cam1-light", "true", 422, "hardware.light1"),
        ("reboot", "true", 422, "system.reboot-command"),
    ] {
        let (got, body) = set(&server, key, text);
        assert_eq!(got, status, "{key} {text}: {body}");
        assert!(body["message"].as_str().unwrap().contains(part), "{key} {text}: {body}");
    }
    // A module is all or nothing, also when it is the hardware that refuses.
    let before = value(&server, "brightness");
    for changes in
        ["{\"brightness\": 7, \"contrast\": 101}", "{\"brightness\": 7, \"power-line\": \"50hz\"}"]
    {
        let (status, body) = ann(&server, "PATCH", "api/config/image", changes);
        assert_eq!(status, 422, "{body}");
        until("what was", || (value(&server, "brightness") == before).then_some(()));
    }
    let changes = "{\"webserver\": {\"cors-origins\": [\"https://a.example\"]}, \
                    \"time\": {\"time-zone\": \"Mars/Olympus\"}}";
    let (status, body) = ann(&server, "PATCH", "api/config", changes);
    assert_eq!(status, 422, "{body}");
    until("no origins", || (value(&server, "cors-origins") == json!([])).then_some(()));
    // Many keys at once are each for themselves.
    let (status, body) =
        ann(&server, "PATCH", "api/settings", "{\"brightness\": 7, \"contrast\": 101}");
    assert_eq!((status, &body["data"]), (200, &json!({"brightness": 7})), "{body}");
    assert_eq!(body["errors"][0]["key"], "contrast");
    // Who may look may not change, and who has not logged in is asked to.
    let as_bob = ["-sS", "-o", "/dev/null", "-w", "%{http_code}", "-d", "1", "-u", "bob:secret456"];
    let url = server.http("api/settings/brightness");
    assert_eq!(run(Command::new("curl").args(as_bob).arg(&url)).out, b"403");
    assert_eq!(run(Command::new("curl").args(&as_bob[..7]).arg(&url)).out, b"401");
}

#[test]
fn what_a_camera_refuses_changes_no_other() {
    let folder = Folder::new();
    let file = folder.file("coded.h264");
    play::make_h264(&file, 50, 25);
    let coded = format!("file:{}", file.display());
    let server = Play::open().users().camera(&coded).camera(CAMERA).start();
    let second = || {
        let camera = ann(&server, "GET", "api/cameras/2", "").1["data"].clone();
        (camera["connected"] == true).then(|| camera["fps"].as_f64().unwrap())
    };
    assert!((until("the camera", second) - 30.0).abs() < 1.0);
    // The active camera's pictures come as they are.
    let (status, refused) = set(&server, "fps", "12");
    assert_eq!((status, &refused["code"]), (422, &json!("INVALID_VALUE")), "{refused}");
    assert!((until("the camera", second) - 30.0).abs() < 1.0, "it was not asked");
    assert_eq!(set(&server, "main-camera", "2").0, 200);
    assert_eq!(set(&server, "fps", "12").0, 200);
    until("the rate", || ((second()? - 12.0).abs() < 1.0).then_some(()));
}

#[test]
fn a_module_can_be_sent_back_as_it_was_got() {
    let server = Play::open().users().camera(CAMERA).start();
    until("the camera", || value(&server, "resolution").is_string().then_some(()));
    let modules = ann(&server, "GET", "api/config", "").1["data"].clone();
    for (name, got) in modules.as_object().unwrap() {
        // What the machine's network is, is not ours to set here; what lasts only a moment is past.
        if ["network", "time"].contains(&name.as_str()) {
            continue;
        }
        let path = format!("api/config/{name}");
        let (status, answer) = ann(&server, "PUT", &path, &got.to_string());
        assert_eq!(status, 200, "{name}: {answer}");
    }
    // By two of its names, one key would be confirmed with two values.
    let twins = r#"{"jpeg-quality":20,"pictureQuality":30}"#;
    let (status, answer) = ann(&server, "PATCH", "api/settings", twins);
    assert_eq!(status, 422, "{answer}");
    assert!(answer["message"].as_str().unwrap().contains("names of one key"), "{answer}");
    // What is measured is refused where it is another than it is.
    let (status, answer) = ann(&server, "PATCH", "api/config/recording", r#"{"record-dropped":7}"#);
    assert_eq!((status, &answer["key"]), (422, &json!("record-dropped")), "{answer}");
}

#[test]
fn each_key_says_who_may_set_it() {
    let server = Play::open().users().camera(CAMERA).start();
    let role = r#"{"name":"image","permissions":["Device_rw"]}"#;
    assert_eq!(ann(&server, "POST", "api/roles", role).0, 200);
    let eve = r#"{"username":"eve","password":"secret789","role":"image"}"#;
    assert_eq!(ann(&server, "POST", "api/users", eve).0, 200);
    let ask = |method: &str, path: &str, body: &str| {
        play::ask(&server, "eve:secret789", method, path, body)
    };
    until("the camera", || value(&server, "brightness").is_number().then_some(()));
    let (status, answer) = ask("POST", "api/settings/brightness", "60");
    assert_eq!((status, &answer["data"]["value"]), (200, &json!(60)), "{answer}");
    assert_eq!(ask("PATCH", "api/config/image", r#"{"brightness":61}"#).0, 200);
    assert_eq!(ask("GET", "api/settings/brightness", "").1["data"]["value"], 61);
    let (status, answer) = ask("POST", "api/settings/limit-upload", "5");
    assert_eq!((status, &answer["code"]), (403, &json!("PERMISSION_DENIED")), "{answer}");
    assert_eq!(ask("GET", "api/settings/version", "").0, 403);
    let all = ask("GET", "api/settings", "").1;
    let keys = all["data"].as_object().unwrap();
    assert!(keys.contains_key("brightness") && !keys.contains_key("version"), "{all}");
}

#[test]
fn settings_outlive_control_the_engine_and_the_server() {
    let cameras = ["test:?size=640x360&fps=30", CAMERA];
    let mut server = Play::new().users().camera(cameras[0]).camera(cameras[1]).start();
    until("the camera", || (value(&server, "cam2-exists") == true).then_some(()));
    let want = [
        ("contrast", "61", json!(61)),
        ("fps", "12", json!(12)),
        ("bitrate", "1500000", json!(1_500_000)),
        ("device-name", "\"hall 7\"", json!("hall 7")),
        ("rtsp-join", "\"gop\"", json!("gop")),
        ("main-camera", "2", json!(2)),
    ];
    for (key, text, _) in &want {
        let (status, body) = set(&server, key, text);
        assert_eq!(status, 200, "{key}: {body}");
    }
    let holds = |server: &Server, when: &str| {
        for (key, _, value_wanted) in &want {
            until(&format!("{key} {when}"), || (value(server, key) == *value_wanted).then_some(()));
        }
        until("the active camera", || (server.state()["engine"]["main_camera"] == 2).then_some(()));
    };
    holds(&server, "at once");
    server.kill_plane("control");
    holds(&server, "after control");
    server.kill_plane("engine");
    holds(&server, "after the engine");
    let server = again(server, &cameras);
    holds(&server, "after the server");
    // And the factory's again, but for what it has of the command line.
    let (status, body) = set(&server, "factory-reset", "true");
    assert_eq!(status, 200, "{body}");
    // With the first user's password made up anew, as at the very first start.
    let log = || server.log();
    let password = until("another password", || {
        let log = log();
        let line = log.lines().rev().find(|l| l.contains("with the password "))?;
        Some(line.rsplit(' ').next()?.to_owned())
    });
    let admin = ["-sS", "-u", &format!("admin:{password}")];
    until("the defaults", || {
        let url = server.http("api/settings/device-name");
        let body = Running::start(Command::new("curl").args(admin).arg(url)).finish().out;
        let body: Value = serde_json::from_slice(&body).ok()?;
        (body["data"]["value"] == "lensd").then_some(())
    });
}

#[test]
fn what_an_import_cannot_have_meant_is_said() {
    let server = Play::new().users().camera(CAMERA).start();
    let password = "{\"password\": \"secret123\", \"old_password\": \"secret123\"}";
    assert_eq!(ann(&server, "PUT", "api/users/ann/password", password).0, 200);
    assert_eq!(set(&server, "record-segment", "5").0, 200);
    let (status, mut all) = ann(&server, "POST", "api/config/export", "");
    assert_eq!(status, 200, "{all}");
    // Of the right kind, so that only the engine can know.
    all["settings"]["record-schedule"] = json!("sometimes");
    all["settings"]["record-segment"] = json!(7);
    let (status, body) = ann(&server, "POST", "api/config/import", &all.to_string());
    assert_eq!(status, 200, "{body}");
    let started = |log: String| log.matches("start 12/12 servers").count() == 2;
    until("another start", || started(server.log()).then_some(()));
    until("what was imported", || (value(&server, "record-segment") == 7).then_some(()));
    let refused = until("the reason", || {
        let (_, body) = ann(&server, "GET", "api/settings/record-schedule", "");
        body["data"]["error"].as_str().filter(|e| e.contains("not in force")).map(|_| body.clone())
    });
    assert_eq!(refused["data"]["value"], "", "{refused}");
    assert!(refused["data"]["error"].as_str().unwrap().contains("sometimes"), "{refused}");
    // All is published anew twice a second.
    std::thread::sleep(std::time::Duration::from_millis(1100));
    let (_, later) = ann(&server, "GET", "api/settings/record-schedule", "");
    assert_eq!(later["data"], refused["data"]);
    // The next one that is good is all that is said.
    assert_eq!(set(&server, "record-schedule", "\"\"").0, 200);
    let (_, body) = ann(&server, "GET", "api/settings/record-schedule", "");
    assert!(body["data"]["error"].is_null(), "{body}");
}

#[test]
fn a_light_is_a_led() {
    let folder = Folder::new();
    let led = folder.file("led");
    fs::create_dir(&led).unwrap();
    fs::write(led.join("max_brightness"), "255\n").unwrap();
    fs::write(led.join("brightness"), "0\n").unwrap();
    fs::write(folder.file("temp1_input"), "36600\n").unwrap();
    let settings = format!(
        "[hardware]\nlight1 = {:?}\nhead-temperature = {:?}\n[[camera]]\nsource = {CAMERA:?}\n",
        led,
        folder.file("temp1_input")
    );
    let server = Play::new().users().settings(&settings).start();
    let light = || fs::read_to_string(led.join("brightness")).unwrap();
    let (status, body) = set(&server, "cam1-light", "true");
    assert_eq!((status, &body["data"]["value"]), (200, &json!(true)), "{body}");
    assert_eq!(light(), "255");
    assert_eq!(set(&server, "cam1-light-level", "20").0, 200);
    assert_eq!(light(), "51");
    assert_eq!(set(&server, "light0", "false").1["data"]["value"], false);
    assert_eq!(light(), "0");
    until("a temperature", || (value(&server, "head-temperature") == 36.6).then_some(()));
    assert_eq!(value(&server, "cam2-light"), Value::Null);
}

/// The documented conversation, by a client that others wrote.
const PYTHON: &str = r#"
import asyncio, json, sys
import websockets

async def main(url):
    async def ask(ws, message, answers=1):
        await ws.send(json.dumps(message))
        got = [json.loads(await asyncio.wait_for(ws.recv(), 120)) for _ in range(answers)]
        return got[0] if answers == 1 else got

    async with websockets.connect(url) as a, websockets.connect(url) as b, \
            websockets.connect(url) as guest:
        denied = await ask(guest, {'brightness': 75})
        assert denied['error'] == 'Permission denied' and denied['key'] == 'brightness', denied
        assert await ask(guest, {'get': ['cam1-exists']}) == {'cam1-exists': True}

        wrong = await ask(a, {'username': 'ann', 'password': 'wrong'})
        assert wrong['authenticated'] is False and 'error' in wrong, wrong
        welcome = await ask(a, {'username': 'ann', 'password': 'secret123'})
        assert welcome['authenticated'] is True and 'Device_rw' in welcome['permissions'], welcome
        other = await ask(b, {'username': 'bob', 'token': welcome['token']})
        assert other['authenticated'] is False and 'error' in other, other
        again = await ask(b, {'username': 'ann', 'token': welcome['token']})
        assert again['authenticated'] is True and again['user'] == 'ann', again
        again = await ask(b, {'token': welcome['token']})
        assert again['authenticated'] is True, again

        assert await ask(a, {'brightness': 75}) == {'brightness': 75, 'info': ['brightness']}
        assert json.loads(await asyncio.wait_for(b.recv(), 120)) == {'brightness': 75}
        batch = {'brightness': 74, 'contrast': 60, 'saturation': 50, 'sharpness': 45}
        got = await ask(a, batch)
        assert 'info' in got, got
        assert got.pop('info') == list(batch), got
        assert got['brightness'] == 74 and got['contrast'] == 60, got
        news = json.loads(await asyncio.wait_for(b.recv(), 120))
        assert news['brightness'] == 74 and news['contrast'] == 60, news
        assert (await ask(a, {'get': ['brightness', 'redGain']}))['brightness'] == 74

        refused = await ask(a, {'brightness': 150})
        assert refused == {'error': 'Invalid value', 'key': 'brightness',
                           'message': 'Value must be between 0 and 100'}, refused
        unknown = await ask(a, {'bright': 1})
        assert unknown['error'] == 'Unknown key' and unknown['key'] == 'bright', unknown
        taken, bad = await ask(a, {'contrast': 1, 'gain': -1}, 2)
        assert taken == {'contrast': 1, 'info': ['contrast']} and bad['key'] == 'gain', (taken, bad)
        for text in ['', '[]', '{"a":1,"a":2}', '{', '{}', '{"get":7}', '{"x":' + '[' * 99]:
            await a.send(text)
            error = json.loads(await asyncio.wait_for(a.recv(), 120))
            assert 'error' in error, (text, error)

        everything = await ask(b, {'get': '*'}, 2)
        everything = max(everything, key=len)
        assert everything['resolution'] == '320x180' and len(everything) > 60, everything

        await b.send(json.dumps({'subscribe': 'frames', 'stream': 'stream1', 'format': 'jpeg'}))
        pictures = 0
        while pictures < 5:
            message = await asyncio.wait_for(b.recv(), 120)
            if isinstance(message, bytes):
                assert message[:2] == b'\xff\xd8' and message[-2:] == b'\xff\xd9'
                pictures += 1
        print('ok')

asyncio.run(main(sys.argv[1]))
"#;

/// What many clients see of what many set.
const ORDER: &str = r#"
import asyncio, base64, json, sys, urllib.request
import websockets

async def main(http):
    url = http.replace('http', 'ws') + '/api/v1'

    async def next(ws):
        return json.loads(await asyncio.wait_for(ws.recv(), 120))

    async def seen(ws):
        # All that came so far: the answer to a question comes behind it.
        await ws.send(json.dumps({'get': ['contrast']}))
        all = []
        while True:
            all.append(await next(ws))
            if list(all[-1]) == ['contrast']:
                return all[:-1]

    async with websockets.connect(url) as a, websockets.connect(url) as b, \
            websockets.connect(url) as guest:
        for ws in (a, b):
            await ws.send(json.dumps({'username': 'ann', 'password': 'secret123'}))
            # Messages behind it wait for the log-in.
            await ws.send(json.dumps({'get': ['brightness']}))
            assert (await next(ws))['authenticated'] is True
            assert 'brightness' in await next(ws)
        for i in range(5):
            await a.send(json.dumps({'brightness': 30 + i, 'device-name': 'first'}))
            await a.send(json.dumps({'device-name': f'second {i}'}))
            await a.send(json.dumps({'get': ['device-name', 'brightness']}))
            first, second, told = [await next(a) for _ in range(3)]
            assert first['device-name'] == 'first' and second['device-name'] == f'second {i}', second
            assert told == {'device-name': f'second {i}', 'brightness': 30 + i}, told
        await a.send(json.dumps({'sharpness': 50, 'brightness': 50}))
        assert (await next(a))['info'] == ['sharpness', 'brightness']
        for i in range(10):
            await asyncio.gather(a.send(json.dumps({'brightness': 10 + i})),
                                 b.send(json.dumps({'brightness': 60 + i})))
            await asyncio.sleep(0.3)
            last = [[m['brightness'] for m in await seen(ws) if 'brightness' in m][-1]
                    for ws in (a, b)]
            await a.send(json.dumps({'get': ['brightness']}))
            holds = (await next(a))['brightness']
            assert last == [holds, holds], (last, holds)

        async def answer_of(ws):
            # What others are told comes in between.
            while True:
                got = await next(ws)
                assert got.get('error') != 'Session ended', got
                if 'error' in got or 'brightness' in got:
                    return got

        await guest.send(json.dumps({'get': ['brightness']}))
        assert (await answer_of(guest))['error'] == 'Permission denied'
        body = json.dumps({'permissions': ['System_r', 'Device_r']}).encode()
        request = urllib.request.Request(http + '/api/roles/guest', body, method='PUT', headers={
            'Authorization': 'Basic ' + base64.b64encode(b'ann:secret123').decode(),
            'Content-Type': 'application/json'})
        assert urllib.request.urlopen(request, timeout=60).status == 200
        for _ in range(100):
            await guest.send(json.dumps({'get': ['brightness']}))
            answer = await answer_of(guest)
            if answer == {'brightness': holds}:
                break
            await asyncio.sleep(0.1)
        else:
            raise AssertionError('a guest who is there does not get what guests may')

        await a.send(json.dumps({'username': 'ann', 'password': 'wrong'}))
        assert (await answer_of(a))['authenticated'] is False
        await a.send(json.dumps({'contrast': 1}))
        assert (await answer_of(a))['error'] == 'Permission denied'
        print('ok')

asyncio.run(main(sys.argv[1]))
"#;

#[test]
fn clients_agree_on_what_holds() {
    let server = Play::new().users().camera(CAMERA).start();
    until("the camera", || (value(&server, "cam1-exists") == true).then_some(()));
    let url = format!("http://127.0.0.1:{}", server.port("http"));
    let python = linked_tool("venv/bin/python");
    let done = run(Command::new(python).args(["-c", ORDER, &url]));
    assert_eq!(String::from_utf8_lossy(&done.out).trim(), "ok", "{}", done.err);
}

#[test]
fn the_websocket_by_python() {
    let server = Play::new().users().camera(CAMERA).start();
    until("the camera", || (value(&server, "cam1-exists") == true).then_some(()));
    let url = format!("ws://127.0.0.1:{}/api/v1", server.port("http"));
    let python = linked_tool("venv/bin/python");
    let done = run(Command::new(python).args(["-c", PYTHON, &url]));
    assert_eq!(String::from_utf8_lossy(&done.out).trim(), "ok");
}

/// Who is connected stays so when the engine dies, and is told.
#[test]
fn clients_are_told_of_the_engines_death() {
    let mut server = Play::new().users().camera(CAMERA).start();
    until("the camera", || (value(&server, "cam1-exists") == true).then_some(()));
    let script = r#"
import asyncio, json, sys, websockets
async def main(url):
    async with websockets.connect(url) as ws:
        await ws.send(json.dumps({'username': 'ann', 'password': 'secret123'}))
        print(await ws.recv(), flush=True)
        while True:
            message = json.loads(await asyncio.wait_for(ws.recv(), 120))
            for notice in message.get('notifications', []):
                if 'engine has ended' in notice['text']:
                    return
asyncio.run(main(sys.argv[1]))
"#;
    let url = format!("ws://127.0.0.1:{}/api/v1", server.port("http"));
    let mut python = Command::new(linked_tool("venv/bin/python"));
    let client = Running::start(python.args(["-c", script, &url]));
    until("the login", || {
        let (_, body) = ann(&server, "GET", "api/settings/api-clients", "");
        (body["data"]["value"] == 1).then_some(())
    });
    server.kill_plane("engine");
    client.succeed();
}
