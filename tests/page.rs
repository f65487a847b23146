//! The web page in a real browser.
#![allow(missing_docs)]

mod play;

use play::browser::Browser;
use play::{Play, Server, until};
use serde_json::json;

/// The number in the picture that is shown.
fn shown(browser: &mut Browser) -> Option<u32> {
    let element = "(document.getElementById('video').hidden
        ? document.getElementById('picture') : document.getElementById('video'))";
    Some(browser.marks(element)?.number)
}

fn open(server: &Server) -> Browser {
    let mut browser = Browser::start();
    browser.open(&server.http(""));
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
    browser.open(&server.http(""));
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
    browser.open(&page);
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
