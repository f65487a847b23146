//! A browser: Chromium, headless.

use super::{Folder, linked_tool};
use base64::Engine as _;
use lensd_engine::camera::marks::{Marks, read_marks};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// Chromium, spoken to by its DevTools protocol over pipes.
pub struct Browser {
    child: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
    session: String,
    next: u64,
    /// What a person would see in red in the console.
    pub complaints: Vec<String>,
    _profile: Folder,
}

impl Browser {
    pub fn start() -> Self {
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

    pub fn ask(&mut self, method: &str, params: Value) -> Value {
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

    /// Goes to a page, and waits until there is something of it.
    pub fn open(&mut self, url: &str) {
        let gone = self.ask("Page.navigate", json!({ "url": url }));
        assert!(gone["errorText"].is_null(), "{url}: {gone}");
        let there = "location.protocol !== 'about:' && document.body !== null";
        super::until("the page", || (self.value(there) == true).then_some(()));
    }

    pub fn value(&mut self, expression: &str) -> Value {
        let asked =
            json!({ "expression": expression, "returnByValue": true, "awaitPromise": true });
        self.ask("Runtime.evaluate", asked)["result"]["value"].clone()
    }

    /// What the picture says that an element shows, an image or a video. None: it shows nothing.
    ///
    /// # Panics
    /// If that is no whole picture of the test camera.
    pub fn marks(&mut self, element: &str) -> Option<Marks> {
        let pixels = format!(
            "(() => {{ const p = {element}; const c = document.createElement('canvas');
            c.width = p.naturalWidth || p.videoWidth; c.height = p.naturalHeight || p.videoHeight;
            if (!c.width || p.readyState < HTMLMediaElement.HAVE_CURRENT_DATA) return null;
            const x = c.getContext('2d'); x.drawImage(p, 0, 0);
            const d = x.getImageData(0, 0, c.width, c.height).data;
            // It has a picture, but has not painted one yet.
            if (d[3] === 0) return null;
            const luma = []; for (let i = 1; i < d.length; i += 4) luma.push(d[i]);
            return {{ width: c.width, height: c.height, luma }}; }})()"
        );
        let picture = self.value(&pixels);
        let luma = picture["luma"].as_array()?.iter();
        let luma: Vec<u8> = luma.map(|v| u8::try_from(v.as_u64().unwrap()).unwrap()).collect();
        let size = |name: &str| usize::try_from(picture[name].as_u64().unwrap()).unwrap();
        let (width, height) = (size("width"), size("height"));
        let marks = read_marks(&luma, width, width, height);
        if marks.is_none() {
            let shot = std::env::temp_dir().join("lensd-no-marks.png");
            let _ = std::fs::write(&shot, self.screenshot());
            let (least, most) = (luma.iter().min(), luma.iter().max());
            panic!("no marks in {width}x{height}, {least:?} to {most:?}: see {}", shot.display());
        }
        marks
    }

    /// A PNG of what it shows.
    pub fn screenshot(&mut self) -> Vec<u8> {
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
