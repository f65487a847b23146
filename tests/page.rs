//! The web page in a real browser.
#![allow(missing_docs)]

mod play;

use base64::Engine as _;
use play::{Folder, Play, Server, linked_tool, until};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// Chromium, spoken to by its DevTools protocol over pipes.
struct Browser {
    child: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
    session: String,
    next: u64,
    /// What a person would see in red in the console.
    complaints: Vec<String>,
    _profile: Folder,
}

impl Browser {
    fn start() -> Self {
        let profile = Folder::new();
        // Its protocol comes on descriptors 3 and 4. As root it has no sandbox.
        let script = "exec \"$0\" --headless=new --no-sandbox --disable-gpu --hide-scrollbars \
                      --disable-dev-shm-usage --no-first-run --window-size=1280,900 \
                      --remote-debugging-pipe --user-data-dir=\"$1\" about:blank \
                      3<&0 4>&1 </dev/null >/dev/null 2>&1";
        let mut child = Command::new("sh")
            .args(["-c", script])
            .arg(linked_tool("chromium"))
            .arg(&profile.0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let to = child.stdin.take().unwrap();
        let from = BufReader::new(child.stdout.take().unwrap());
        let mut browser = Self {
            child,
            to,
            from,
            session: String::new(),
            next: 0,
            complaints: Vec::new(),
            _profile: profile,
        };
        let page = browser.ask("Target.createTarget", json!({ "url": "about:blank" }));
        let target = json!({ "targetId": page["targetId"], "flatten": true });
        let session = browser.ask("Target.attachToTarget", target);
        browser.session = session["sessionId"].as_str().unwrap().to_owned();
        for domain in ["Runtime", "Log", "Page", "Network"] {
            browser.ask(&format!("{domain}.enable"), json!({}));
        }
        browser
    }

    fn ask(&mut self, method: &str, params: Value) -> Value {
        self.next += 1;
        let mut message = json!({ "id": self.next, "method": method, "params": params });
        if !self.session.is_empty() {
            message["sessionId"] = json!(self.session);
        }
        self.to.write_all(message.to_string().as_bytes()).unwrap();
        self.to.write_all(b"\0").unwrap();
        loop {
            let mut text = Vec::new();
            self.from.read_until(0, &mut text).unwrap();
            assert_eq!(text.pop(), Some(0), "the browser is gone");
            let got: Value = serde_json::from_slice(&text).unwrap();
            if got["id"] == self.next {
                assert!(got["error"].is_null(), "{method}: {got}");
                return got["result"].clone();
            }
            let params = &got["params"];
            let bad = match got["method"].as_str().unwrap_or_default() {
                "Runtime.exceptionThrown" => true,
                "Runtime.consoleAPICalled" => params["type"] == "error",
                // A page that is left stops what it was loading.
                "Log.entryAdded" => params["entry"]["level"] == "error",
                _ => false,
            };
            if bad {
                self.complaints.push(params.to_string());
            }
        }
    }

    fn value(&mut self, expression: &str) -> Value {
        let asked =
            json!({ "expression": expression, "returnByValue": true, "awaitPromise": true });
        self.ask("Runtime.evaluate", asked)["result"]["value"].clone()
    }

    /// A PNG of what it shows.
    fn screenshot(&mut self) -> Vec<u8> {
        let shot = self.ask("Page.captureScreenshot", json!({ "format": "png" }));
        base64::engine::general_purpose::STANDARD.decode(shot["data"].as_str().unwrap()).unwrap()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The picture that is shown, as luma in JSON.
const PIXELS: &str = "(() => { const v = document.getElementById('video');
    const p = v.hidden ? document.getElementById('picture') : v;
    const c = document.createElement('canvas');
    c.width = p.naturalWidth || p.videoWidth; c.height = p.naturalHeight || p.videoHeight;
    if (!c.width) return null;
    const x = c.getContext('2d'); x.drawImage(p, 0, 0);
    const d = x.getImageData(0, 0, c.width, c.height).data;
    const luma = []; for (let i = 1; i < d.length; i += 4) luma.push(d[i]);
    return { width: c.width, height: c.height, luma }; })()";

fn shown(browser: &mut Browser) -> Option<u32> {
    let picture = browser.value(PIXELS);
    let luma: Vec<u8> = picture["luma"]
        .as_array()?
        .iter()
        .map(|v| u8::try_from(v.as_u64().unwrap()).unwrap())
        .collect();
    let size = |name: &str| usize::try_from(picture[name].as_u64().unwrap()).unwrap();
    let (width, height) = (size("width"), size("height"));
    let marks = lensd_engine::camera::marks::read_marks(&luma, width, width, height);
    Some(marks.expect("marks in the picture on the page").number)
}

fn open(server: &Server) -> Browser {
    let mut browser = Browser::start();
    browser.ask("Page.navigate", json!({ "url": server.http("") }));
    browser
}

#[test]
fn the_page_shows_the_camera() {
    let mut server = Play::open().start();
    let mut browser = open(&server);
    let first = until("a picture", || shown(&mut browser));
    let later = until("the next picture", || shown(&mut browser).filter(|n| *n > first));
    assert!(later > first);
    until("the tables", || {
        let rows = browser.value("document.querySelectorAll('#streams tr').length");
        (rows.as_u64()? >= 3).then_some(())
    });
    let text = browser.value("document.body.innerText").as_str().unwrap().to_owned();
    for want in ["engine running", "test camera", "cam1/main", "rtsp://127.0.0.1:", "H264"] {
        assert!(text.contains(want), "{want:?} is not in\n{text}");
    }
    let shot = browser.screenshot();
    assert!(shot.len() > 10_000, "{} bytes", shot.len());
    if let Ok(path) = std::env::var("LENSD_SCREENSHOT") {
        std::fs::write(path, &shot).unwrap();
    }
    assert!(browser.complaints.is_empty(), "{:#?}", browser.complaints);
    // On the width of a telephone nothing hangs out.
    let phone = json!({ "width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": true });
    browser.ask("Emulation.setDeviceMetricsOverride", phone);
    let over = browser.value("document.documentElement.scrollWidth - window.innerWidth");
    assert!(over.as_i64().unwrap() <= 0, "{over} pixels too wide");
    if let Ok(path) = std::env::var("LENSD_SCREENSHOT") {
        std::fs::write(format!("{path}.phone.png"), browser.screenshot()).unwrap();
    }
    // The engine's death is shown, and healed without a reload.
    let before = until("a picture", || shown(&mut browser));
    server.kill_plane("engine");
    until("the new engine's pictures", || {
        shown(&mut browser).filter(|n| *n < before || *n > before + 100)
    });
}

#[test]
fn the_page_plays_video() {
    let server = Play::open().start();
    let mut browser = open(&server);
    // The browsers that tests/setup.sh installs have H.264; one without it would show pictures.
    let time = "(() => { const v = document.getElementById('video');
        return v.hidden ? null : v.currentTime; })()";
    let first = until("video", || browser.value(time).as_f64());
    until("its time to go on", || {
        let now = browser.value(time).as_f64()?;
        (now > first + 2.0).then_some(())
    });
    let number = shown(&mut browser).unwrap();
    until("other pictures in it", || shown(&mut browser).filter(|n| *n > number + 20));
    // The clock on the page is the one of the captures. 50 a second arrive; some may be skipped.
    let rate = "parseFloat(document.getElementById('rate').textContent)";
    until("more than stills could be", || browser.value(rate).as_f64().filter(|r| *r > 10.0));
    let size = "document.getElementById('video').videoWidth";
    assert_eq!(browser.value(size), 320);
    assert!(browser.complaints.is_empty(), "{:#?}", browser.complaints);
}

#[test]
fn the_page_records_for_those_who_may() {
    let server = Play::open().users().start();
    let mut browser = Browser::start();
    let log_in = json!({ "headers": { "Authorization": "Basic YW5uOnNlY3JldDEyMw==" } });
    browser.ask("Network.setExtraHTTPHeaders", log_in);
    browser.ask("Page.navigate", json!({ "url": server.http("") }));
    let text = "document.getElementById('media').innerText";
    let word = |browser: &mut Browser, word: &str| {
        until(word, || {
            browser.value(text).as_str().filter(|t| t.contains(word)).map(str::to_owned)
        });
    };
    word(&mut browser, "nothing yet");
    browser.value("document.getElementById('record').click()");
    word(&mut browser, "cam1/main recording");
    browser.value("document.getElementById('snap').click()");
    word(&mut browser, "picture");
    browser.value("document.getElementById('record').click()");
    until("both files to be whole, with small pictures", || {
        let small = "[...document.querySelectorAll('#files img')]
            .filter((i) => i.complete && i.naturalWidth > 0).length";
        (browser.value(small) == 2).then_some(())
    });
    word(&mut browser, "Download");
    if let Ok(path) = std::env::var("LENSD_SCREENSHOT") {
        std::fs::write(format!("{path}.media.png"), browser.screenshot()).unwrap();
    }
    assert!(browser.complaints.is_empty(), "{:#?}", browser.complaints);
}

#[test]
fn the_still_page_turns_and_keeps_the_last_picture() {
    let mut server = Play::open().start();
    let mut browser = Browser::start();
    let page = server.http("still?interval=0.3&rotate=90");
    browser.ask("Page.navigate", json!({ "url": page }));
    let size = "(() => { const c = document.getElementById('canvas');
        return c.width + 'x' + c.height; })()";
    until("a picture on its side", || (browser.value(size) == "180x320").then_some(()));
    let time = "document.getElementById('time').textContent";
    let first = browser.value(time);
    until("another one", || (browser.value(time) != first).then_some(()));
    assert!(browser.complaints.is_empty(), "{:#?}", browser.complaints);
    server.kill_plane("engine");
    let trouble = "document.getElementById('trouble').textContent";
    until("pictures again", || (browser.value(trouble) == "").then_some(()));
    assert_eq!(browser.value(size), "180x320");
}
