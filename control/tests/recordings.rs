//! Recordings, tags, categories and files over HTTP, asked for by curl and by Python's requests,
//! with an engine that only removes and makes small pictures.
#![allow(missing_docs)]

mod house;

use house::{Folder, House};
use lensd_control::Config;
use lensd_ffi::catalogue::{
    Catalogue, Encoding, Finished, FoundRecord, MediaType, NewRecord, State,
};
use lensd_ffi::link::{Answer, Answered, Ask, Asked, Link, Received};
use lensd_ffi::time::{Nanos, now};
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::Builder;
use std::time::Duration;

const START: i64 = 1_790_000_000_000;

fn record(number: i64, camera: u32, media_type: MediaType) -> NewRecord {
    let image = media_type == MediaType::Image;
    NewRecord {
        filename: format!(
            "{}/2026/09/21/{}_20260921_14{number:04}_cam{camera}.{}",
            if image { "snapshots" } else { "recordings" },
            if image { "snapshot" } else { "recording" },
            if image { "jpg" } else { "mp4" }
        ),
        media_type,
        encoding: if image { Encoding::Jpeg } else { Encoding::H264 },
        camera,
        stream: format!("cam{camera}/main"),
        mode: if image { "snapshot" } else { "video" }.into(),
        timestamp_start_ms: START + 60_000 * number,
        resolution: "1280x720".into(),
        fps: 30.0,
        title: if number == 2 { "Front gate".into() } else { String::new() },
    }
}

/// Bytes of which each place can be told.
fn bytes(number: i64) -> Vec<u8> {
    let length = 200_000 * number;
    (0..length).map(|at| u8::try_from((at * 7 + at / 251 + number) % 256).unwrap()).collect()
}

/// Five recordings and a snapshot with their files; the newest is under way.
fn fill(data: &Path) {
    let mut catalogue = Catalogue::open(&data.join("catalog.db")).unwrap();
    for number in 1..=6 {
        let kind = if number == 5 { MediaType::Image } else { MediaType::Video };
        let record = record(number, u32::try_from(1 + number % 2).unwrap(), kind);
        let file = data.join("media").join(&record.filename);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, bytes(number)).unwrap();
        let end = Finished {
            timestamp_end_ms: record.timestamp_start_ms + 9_000,
            duration_ms: 9_000,
            size: bytes(number).len() as u64,
            state: State::Ready,
            error: None,
        };
        if number == 6 {
            catalogue.begin(&record).unwrap();
        } else {
            catalogue.adopt(&[FoundRecord { record, end }]).unwrap();
        }
    }
}

/// What the engine does with the files of recordings.
fn engine(link: &Link, data: &Path) {
    while let Ok(Received::Message(Asked { id, ask }, _)) = link.receive::<Asked>() {
        let mut catalogue = Catalogue::open(&data.join("catalog.db")).unwrap();
        let answer = match ask {
            Ask::Remove { ids } => {
                let (mut gone, mut kept) = (Vec::new(), Vec::new());
                for id in ids {
                    match catalogue.record(id).unwrap() {
                        None => kept.push((id, "NOT_FOUND".to_owned())),
                        Some(r) if r.protected => kept.push((id, "PROTECTED".to_owned())),
                        Some(r) if r.state == State::Recording => {
                            kept.push((id, "RECORDING_IN_PROGRESS".to_owned()));
                        }
                        Some(r) => {
                            fs::remove_file(data.join("media").join(r.filename)).unwrap();
                            catalogue.remove(&[id]).unwrap();
                            gone.push(id);
                        }
                    }
                }
                Answer::Removed { gone, kept }
            }
            Ask::Thumbnail { id: 4 } => {
                Answer::Fault { code: "INVALID_VALUE".into(), message: "no picture in it".into() }
            }
            Ask::Thumbnail { id } => {
                let folder = data.join("media/thumbnails");
                fs::create_dir_all(&folder).unwrap();
                fs::write(folder.join(format!("{id}.jpg")), format!("small {id}")).unwrap();
                Answer::Done
            }
            _ => Answer::Done,
        };
        if link.send(&Answered { id, answer }, &[]).is_err() {
            return;
        }
    }
}

fn start(name: &str) -> House {
    let house = House::start(name, |folder| {
        fill(&folder.file("data"));
        Config::default()
    });
    let data = house.folder.file("data");
    let link = house.meet_engine();
    Builder::new().name("engine".into()).spawn(move || engine(&link, &data)).unwrap();
    house.wait_for_engine();
    house
}

fn ids(body: &Value) -> Vec<i64> {
    let list = body["data"]["recordings"].as_array().unwrap_or_else(|| panic!("{body}"));
    list.iter().map(|r| r["id"].as_i64().unwrap()).collect()
}

#[test]
fn recordings_are_listed_filtered_sorted_and_paged() {
    let house = start("listed");
    let list = |query: &str| {
        let (status, body) = house.ask("GET", &format!("/api/recordings{query}"), None);
        assert_eq!(status, 200, "{body}");
        body
    };
    let all = list("");
    assert_eq!(ids(&all), [6, 5, 4, 3, 2, 1]);
    let data = &all["data"];
    assert_eq!((&data["total"], &data["total_at_least"]), (&json!(6), &json!(false)));
    let two = &data["recordings"][4];
    assert_eq!((&two["title"], &two["state"]), (&json!("Front gate"), &json!("ready")));
    assert_eq!(two["url"], "/api/recordings/2");
    for (query, want) in [
        ("?type=image", &[5][..]),
        ("?camera=cam1&sort=time", &[2, 4, 6]),
        ("?sort=-size&limit=2&offset=1", &[4, 3]),
        ("?text=gat", &[2]),
        ("?state=recording", &[6]),
        ("?from=1790000120000&to=1790000240000", &[3, 2]),
        ("?size_min=600000&size_max=800000&order=asc", &[3, 4]),
        ("?mode=video&sort=-name&limit=1", &[6]),
    ] {
        assert_eq!(ids(&list(query)), want, "{query}");
    }
    let page = list("?limit=4");
    let next = page["data"]["next"].as_str().unwrap();
    assert_eq!(ids(&list(&format!("?limit=4&after={next}"))), [2, 1]);
    for (query, key) in [("limit=0", "limit"), ("after=x", "after"), ("form=1", "form")] {
        let (status, body) = house.ask("GET", &format!("/api/recordings?{query}"), None);
        assert_eq!((status, &body["key"]), (422, &json!(key)), "{body}");
    }
    // Not for everybody.
    assert_eq!(house.curl("/api/recordings", &[]).0, 401);
    assert_eq!(house.curl("/api/recordings/1", &["-u", "bob:secret456", "-X", "DELETE"]).0, 403);
}

#[test]
fn a_file_is_downloaded_in_parts_and_resumed() {
    let house = start("download");
    let file = house.folder.file("out.mp4");
    let out = file.display().to_string();
    let login = ["-u", "bob:secret456"];
    fs::write(&file, &bytes(3)[..123_456]).unwrap();
    let (status, _) =
        house.curl("/api/recordings/3", &[&login[..], &["-C", "-", "-o", &out]].concat());
    assert_eq!(status, 206);
    assert_eq!(fs::read(&file).unwrap(), bytes(3));
    let (_, head) = house.curl("/api/recordings/3", &[&login[..], &["-I"]].concat());
    let field = |name: &str| {
        let line = head.lines().find(|l| l.to_ascii_lowercase().starts_with(name));
        line.unwrap_or_else(|| panic!("{name} in {head}")).split_once(": ").unwrap().1.to_owned()
    };
    assert_eq!((&*field("content-length"), &*field("content-type")), ("600000", "video/mp4"));
    let name = "inline; filename=\"recording_20260921_140003_cam2.mp4\"";
    assert_eq!(field("content-disposition"), name);
    let tag = field("etag");
    let with = |extra: &[&str]| house.curl("/api/recordings/3", &[&login[..], extra].concat());
    let none_match = format!("If-None-Match: {tag}");
    assert_eq!(with(&["-H", &none_match]).0, 304);
    let part = ["-r", "5-9", "-o", &out];
    let if_range = format!("If-Range: {tag}");
    assert_eq!(with(&[&part[..], &["-H", &if_range]].concat()).0, 206);
    assert_eq!(fs::read(&file).unwrap(), &bytes(3)[5..10]);
    assert_eq!(with(&[&part[..], &["-H", "If-Range: \"old\""]].concat()).0, 200);
    assert_eq!(with(&["-r", "600000-", "-o", &out]).0, 416);
    let why = fs::read_to_string(&file).unwrap();
    assert!(why.contains(r#""status":"error""#) && why.contains("600000 bytes"), "{why}");
    // By path, by name alone, and to be kept.
    let name = "recording_20260921_140003_cam2.mp4";
    for path in [
        format!("/files/recordings/2026/09/21/{name}"),
        format!("/files/recordings/{name}"),
        format!("/download/recordings/{name}"),
        "/download/3".to_owned(),
    ] {
        let (status, _) = house.curl(&path, &[&login[..], &["-o", &out]].concat());
        assert_eq!(status, 200, "{path}");
        assert_eq!(fs::read(&file).unwrap(), bytes(3), "{path}");
    }
    for path in [
        "/files/../state/data.mdb",
        "/files/%2e%2e/state/data.mdb",
        "/files/..%2fstate/data.mdb",
        "/files/recordings",
        "/files/recordings/none.mp4",
        "/api/recordings/77",
        "/api/recordings/x",
        "/api/recordings/-1",
        "/download/77",
    ] {
        let (status, body) = house.curl(path, &[&login[..], &["--path-as-is"]].concat());
        assert!([400, 404].contains(&status), "{path}: {status} {body}");
    }
}

#[test]
fn a_file_that_is_removed_while_it_is_sent_is_sent_to_its_end() {
    use std::io::{Read as _, Write as _};
    let house = start("removed");
    let big = 30_000_000;
    let name = house.folder.file("data/media/uploads/big.bin");
    fs::create_dir_all(name.parent().unwrap()).unwrap();
    fs::write(&name, vec![7; big]).unwrap();
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", house.port)).unwrap();
    let login = "YW5uOnNlY3JldDEyMw==";
    write!(
        stream,
        "GET /files/uploads/big.bin HTTP/1.1\r\nHost: h\r\nAuthorization: Basic {login}\r\n\
         Connection: close\r\n\r\n"
    )
    .unwrap();
    let mut begun = [0; 1000];
    stream.read_exact(&mut begun).unwrap();
    let (status, body) = house.ask("DELETE", "/api/files/uploads/big.bin", None);
    assert_eq!(status, 200, "{body}");
    assert!(!name.exists());
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).unwrap();
    let head = begun.windows(4).position(|w| w == b"\r\n\r\n").unwrap() + 4;
    assert_eq!(begun.len() - head + rest.len(), big);
    assert!(rest.iter().all(|b| *b == 7));
}

/// Then every piece is read by a thread, since the loop must not wait for the disk.
#[test]
fn a_file_that_is_not_in_memory_is_sent_whole() {
    let house = start("cold");
    let name = house.folder.file("data/media/uploads/cold.bin");
    fs::create_dir_all(name.parent().unwrap()).unwrap();
    fs::write(&name, bytes(40)).unwrap();
    let out = house.folder.file("out");
    for _ in 0..3 {
        let file = fs::File::open(&name).unwrap();
        file.sync_all().unwrap();
        rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).unwrap();
        let to = ["-u", "ann:secret123", "-o", out.to_str().unwrap()];
        assert_eq!(house.curl("/files/uploads/cold.bin", &to).0, 200);
        assert_eq!(fs::read(&out).unwrap(), bytes(40));
    }
}

#[test]
fn recordings_are_labelled_shown_and_removed() {
    let house = start("labelled");
    let change = r#"{"title":"Delivery","note":"blue van","protected":true}"#;
    let (status, body) = house.ask("PATCH", "/api/recordings/1", Some(change));
    assert_eq!((status, &body["data"]["title"]), (200, &json!("Delivery")), "{body}");
    let (_, body) = house.ask("GET", "/api/recordings?text=van", None);
    assert_eq!(ids(&body), [1]);
    assert_eq!(house.ask("PATCH", "/api/recordings/1", Some(r#"{"titel":""}"#)).0, 422);
    assert_eq!(house.ask("PATCH", "/api/recordings/77", Some("{}")).0, 404);

    let (status, body) = house.ask("DELETE", "/api/recordings/1", None);
    assert_eq!((status, &body["code"]), (409, &json!("CONFLICT")), "it is protected: {body}");
    let (status, body) = house.ask("DELETE", "/api/recordings/6", None);
    assert_eq!((status, &body["code"]), (409, &json!("RECORDING_IN_PROGRESS")), "{body}");
    assert_eq!(house.ask("DELETE", "/api/recordings/2", None).0, 200);
    assert_eq!(house.ask("DELETE", "/api/recordings/2", None).0, 404);
    let (status, body) = house.ask("DELETE", "/api/recordings", Some(r#"{"ids":[3,1,99]}"#));
    assert_eq!((status, &body["data"]["removed"]), (200, &json!([3])), "{body}");
    let kept = json!([{"id":1,"reason":"PROTECTED"},{"id":99,"reason":"NOT_FOUND"}]);
    assert_eq!(body["data"]["kept"], kept);
    assert_eq!(house.ask("DELETE", "/api/recordings", Some(r#"{"ids":[]}"#)).0, 422);

    let (status, text) = house.curl("/api/recordings/5/thumbnail", &["-u", "bob:secret456"]);
    assert_eq!((status, &*text), (200, "small 5"));
    let (status, body) = house.ask("GET", "/api/recordings/4/thumbnail", None);
    assert_eq!((status, &body["message"]), (422, &json!("no picture in it")));
    assert_eq!(house.ask("GET", "/api/recordings/77/thumbnail", None).0, 404);
    // Its file by name goes with its row.
    let name = "recordings/2026/09/21/recording_20260921_140004_cam1.mp4";
    assert_eq!(house.ask("DELETE", &format!("/api/files/{name}"), None).0, 200);
    let (_, body) = house.ask("GET", "/api/recordings", None);
    assert_eq!(ids(&body), [6, 5, 1]);
    // Who did it is in the log.
    let (_, body) = house.ask("GET", "/api/events", None);
    let said = body["data"]["events"].to_string();
    for what in ["recording labelled", "removal of a recording", "removal of recordings"] {
        assert!(said.contains(what), "{what} in {said}");
    }
}

#[test]
fn tags_also_while_recording_and_categories() {
    let house = start("tags");
    let color = r##"{"name":"Alarm","color":"#ff0000"}"##;
    let (status, body) = house.ask("POST", "/api/categories", Some(color));
    assert_eq!(status, 200, "{body}");
    let alarm = body["data"]["id"].as_i64().unwrap();
    assert_eq!(house.ask("POST", "/api/categories", Some(r#"{"name":"alarm"}"#)).0, 409);
    let tag = r#"{"title":"Bell","category":"alarm"}"#;
    let (status, body) = house.ask("POST", "/api/recording/tag", Some(tag));
    assert_eq!((status, &body["data"]["record_id"]), (200, &json!(6)), "{body}");
    assert_eq!(body["data"]["created_by"], "ann");
    let (status, body) =
        house.ask("POST", "/api/recording/tag", Some(r#"{"title":"x","camera":2}"#));
    assert_eq!((status, &body["code"]), (409, &json!("CONFLICT")), "camera 2 rests: {body}");
    let by_id = r#"{"id":2,"title":"Later","offset":4000}"#;
    let (status, body) = house.ask("POST", "/api/recording/tag", Some(by_id));
    assert_eq!((status, &body["data"]["timestamp"]), (200, &json!(START + 124_000)), "{body}");
    let tag = body["data"]["id"].as_i64().unwrap();
    for (body, key) in [
        (r#"{"record_id":2}"#, "title"),
        (r#"{"title":"x"}"#, "record_id"),
        (r#"{"record_id":2,"title":"x","offset":9001}"#, "timestamp"),
        (r#"{"record_id":2,"title":"x","category":"none"}"#, "category"),
        (r#"{"record_id":2,"title":"x","category_id":99}"#, "category_id"),
        (r#"{"record_id":2,"title":"x","tittle":"y"}"#, "tittle"),
    ] {
        let (status, answer) = house.ask("POST", "/api/tags", Some(body));
        assert_eq!((status, &answer["key"]), (422, &json!(key)), "{body}: {answer}");
    }
    assert_eq!(house.ask("POST", "/api/tags", Some(r#"{"record_id":99,"title":"x"}"#)).0, 404);
    let (_, body) = house.ask("GET", "/api/recordings?tag=ALARM", None);
    assert_eq!(ids(&body), [6]);
    let (_, body) = house.ask("GET", "/api/recordings/2/info", None);
    assert_eq!(body["data"]["tag_markers"], json!([4000]));
    assert_eq!(body["data"]["tags"][0]["title"], "Later");
    let to = format!(r#"{{"category_id":{alarm},"note":"seen"}}"#);
    let (status, body) = house.ask("PATCH", &format!("/api/tags/{tag}"), Some(&to));
    assert_eq!((status, &body["data"]["note"]), (200, &json!("seen")), "{body}");
    let (_, body) = house.ask("GET", &format!("/api/tags?category_id={alarm}&limit=1"), None);
    assert_eq!(body["data"]["tags"][0]["id"], json!(tag));
    let (_, body) = house.ask("GET", "/api/categories", None);
    assert_eq!(body["data"]["categories"][0]["tags"], json!(2));
    assert_eq!(house.ask("DELETE", &format!("/api/tags/{tag}"), None).0, 200);
    assert_eq!(house.ask("GET", &format!("/api/tags/{tag}"), None).0, 404);
    assert_eq!(house.ask("DELETE", &format!("/api/categories/{alarm}"), None).0, 200);
    assert_eq!(house.ask("GET", &format!("/api/categories/{alarm}"), None).0, 404);
    assert_eq!(house.curl("/api/tags", &["-u", "bob:secret456", "-d", "{}"]).0, 403);

    // The tables are as users of the file expect them.
    let sql = "SELECT r.filename, r.media_type, r.encoding, r.timestamp_start, r.timestamp_end, \
        r.duration, r.size, r.resolution, r.fps, r.state, r.tag_markers, r.sha256, t.category_id, \
        t.timestamp, t.title, t.note, t.created_by, t.deleted FROM records r JOIN tags t \
        ON t.record_id = r.id WHERE r.id = 2; SELECT id, name, color, created_at FROM categories; \
        SELECT version FROM migrations WHERE applied_at > 1700000000000;";
    let file = house.folder.file("data/catalog.db");
    let done = Command::new("sqlite3").arg(file).arg(sql).output().unwrap();
    let text = String::from_utf8(done.stdout).unwrap();
    let start = START + 120_000;
    let want = format!(
        "recordings/2026/09/21/recording_20260921_140002_cam1.mp4|video|h264|{start}|{}|9000|\
         400000|1280x720|30.0|ready|[]|||{}|Later|seen|ann|1\n1\n2\n",
        start + 9_000,
        start + 4_000
    );
    assert_eq!((&*text, &*done.stderr), (&*want, &b""[..]));
}

#[test]
fn tags_and_categories_are_settings_too() {
    let house = start("labels");
    let module =
        |name: &str| house.ask("GET", &format!("/api/config/{name}"), None).1["data"].clone();
    let until = |what: &str, name: &str, key: &str, is: &dyn Fn(&Value) -> bool| {
        let end = now().plus(Nanos::from_secs(30));
        let mut seen = Value::Null;
        while now() < end {
            seen = module(name)[key].clone();
            if is(&seen) {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("{what}: {key} stays {seen}; {}", module(name));
    };
    until("at the start", "tags", "tags", &|v| *v == 0);
    let color = r##"{"name":"Alarm","color":"#ff0000"}"##;
    let (_, body) = house.ask("POST", "/api/categories", Some(color));
    let alarm = &body["data"]["id"];
    let list = json!([{"id": alarm, "name": "Alarm", "color": "#ff0000"}]);
    until("a new one", "categories", "categories", &|v| *v == list);
    until("a new one", "categories", "category-counter", &|v| v == alarm);

    let set = |value: Value| {
        let body = json!({ "tag": value }).to_string();
        house.ask("PATCH", "/api/config/tags", Some(&body))
    };
    let (status, body) = set(json!("Bell"));
    assert_eq!(status, 200, "{body}");
    let (status, body) = set(json!({"id": 2, "category": "alarm", "offset": 4000}));
    assert_eq!(status, 200, "{body}");
    until("two tags", "tags", "tags", &|v| *v == 2);
    let (_, body) = house.ask("GET", "/api/tags", None);
    let tags = &body["data"]["tags"];
    assert_eq!((&tags[0]["record_id"], &tags[0]["category_id"]), (&json!(2), alarm), "{tags}");
    assert_eq!((&tags[1]["record_id"], &tags[1]["title"]), (&json!(6), &json!("Bell")), "{tags}");
    for (value, says) in [
        (json!(""), "a title or a category"),
        (json!(7), "a title, or what"),
        (json!({"id": 99, "title": "x"}), "99"),
        (json!({"title": "x", "tittle": "y"}), "tittle"),
        (json!({"title": "x", "camera": 2}), "nothing is being recorded"),
        (json!("x".repeat(9_000)), "at most"),
    ] {
        let (status, body) = set(value);
        assert!(status >= 400 && body.to_string().contains(says), "{says}: {status} {body}");
    }
    // What others write into the file is seen as well.
    let mut catalogue = Catalogue::open(&house.folder.file("data/catalog.db")).unwrap();
    catalogue.add_category("By another program", "", 0).unwrap();
    until("another program", "categories", "categories", &|v| {
        v.as_array().is_some_and(|l| l.len() == 2)
    });
}

#[test]
fn categories_outlive_a_factory_reset() {
    let house = start("reset");
    assert_eq!(house.ask("POST", "/api/categories", Some(r#"{"name":"Kept"}"#)).0, 200);
    assert_eq!(house.ask("POST", "/api/reset", Some(r#"{"confirm":true}"#)).0, 200);
    let catalogue = Catalogue::open(&house.folder.file("data/catalog.db")).unwrap();
    assert_eq!(catalogue.categories().unwrap()[0].name, "Kept");
}

fn file(folder: &Folder, name: &str, bytes: &[u8]) -> PathBuf {
    let path = folder.file(name);
    fs::write(&path, bytes).unwrap();
    path
}

#[test]
fn files_are_uploaded_listed_and_removed() {
    let house = start("uploads");
    let long = file(&house.folder, "long.bin", &bytes(60));
    let login = ["-u", "ann:secret123"];
    let form = format!("file=@{}", long.display());
    let upload = |extra: &[&str]| {
        let (status, body) = house.curl("/upload", &[&login[..], extra].concat());
        (status, serde_json::from_str::<Value>(&body).unwrap_or_default())
    };
    let (status, body) = upload(&["-F", &form, "-F", "note=x", "-F", "b=@/etc/hostname"]);
    assert_eq!(status, 200, "{body}");
    let want = json!({"name":"long.bin","path":"uploads/long.bin","url":"/files/uploads/long.bin","size":12_000_000});
    assert_eq!(body["data"]["files"][0], want);
    assert_eq!(fs::read(house.folder.file("data/media/uploads/long.bin")).unwrap(), bytes(60));
    let chunked = format!("file=@{};filename=../../again.bin", long.display());
    let (status, body) = upload(&["-F", &chunked, "-H", "Transfer-Encoding: chunked"]);
    assert_eq!((status, &body["data"]["files"][0]["path"]), (200, &json!("uploads/again.bin")));
    let again = house.folder.file("data/media/uploads/again.bin");
    assert_eq!(fs::read(&again).unwrap(), bytes(60));
    let (status, body) = upload(&["-F", &form]);
    assert_eq!((status, &body["code"]), (409, &json!("CONFLICT")), "{body}");
    assert_eq!(upload(&["-F", "file=@/etc/hostname;filename=.hidden"]).0, 422);
    assert_eq!(upload(&["-F", "note=x"]).0, 422);
    assert_eq!(upload(&["-d", "{}"]).0, 415);
    assert_eq!(upload(&["-X", "POST"]).0, 422);
    let broken = ["-H", "Content-Type: multipart/form-data; boundary=b", "-d", "--b\r\nno end"];
    assert_eq!(upload(&broken).0, 400);
    assert_eq!(house.curl("/upload", &["-u", "bob:secret456", "-F", &form]).0, 403);
    assert_eq!(house.curl("/upload", &["-F", &form]).0, 401);

    let (status, body) = house.ask("GET", "/api/files?path=uploads", None);
    let names = |body: &Value| {
        let list = body["data"]["files"].as_array().unwrap_or_else(|| panic!("{body}"));
        list.iter().map(|f| f["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(
        (status, names(&body)),
        (200, ["again.bin", "hostname", "long.bin"].map(Into::into).into())
    );
    let (_, body) = house.ask("GET", "/api/files", None);
    assert_eq!(names(&body), ["recordings", "snapshots", "uploads"]);
    let (_, body) = house.ask("GET", "/api/files/uploads?limit=1&offset=2", None);
    assert_eq!((names(&body), &body["data"]["total"]), (vec!["long.bin".to_owned()], &json!(3)));
    assert_eq!(house.ask("GET", "/api/files?path=../state", None).0, 404);
    assert_eq!(house.ask("DELETE", "/api/files/uploads/long.bin", None).0, 200);
    assert_eq!(house.ask("DELETE", "/files/uploads/long.bin", None).0, 404);
    assert_eq!(house.ask("DELETE", "/api/files/uploads", None).0, 404);

    // Too long, said before it comes and while it comes; nothing is left.
    assert_eq!(house.set("limit-upload", json!(5)).0, 200);
    let short = format!("file=@{};filename=y", long.display());
    assert_eq!(upload(&["-F", &short]).0, 413);
    assert_eq!(upload(&["-F", &short, "-H", "Transfer-Encoding: chunked"]).0, 413);
    let left = fs::read_dir(house.folder.file("data/media/uploads")).unwrap().count();
    assert_eq!(left, 2);
}

#[test]
fn an_upload_that_ends_in_the_middle_leaves_nothing() {
    use std::io::Write as _;
    let house = start("cut");
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", house.port)).unwrap();
    write!(
        stream,
        "POST /upload HTTP/1.1\r\nHost: h\r\nAuthorization: Basic YW5uOnNlY3JldDEyMw==\r\n\
         Content-Type: multipart/form-data; boundary=b\r\nContent-Length: 9000000\r\n\r\n\
         --b\r\nContent-Disposition: form-data; name=f; filename=cut.bin\r\n\r\n"
    )
    .unwrap();
    stream.write_all(&vec![1; 1_000_000]).unwrap();
    let folder = house.folder.file("data/media/uploads");
    let count = || fs::read_dir(&folder).map_or(0, Iterator::count);
    house::until("the draft", || (count() == 1).then_some(()));
    drop(stream);
    house::until("its end", || (count() == 0).then_some(()));
}

/// The medium is a folder of the test, on a disk of which a made-up sysfs says what it is.
#[test]
fn recordings_are_exported_to_removable_media_only() {
    use std::os::unix::fs::MetadataExt as _;
    let house = House::start("export", |folder| {
        fill(&folder.file("data"));
        let mut config = Config::default();
        config.system.proc = folder.file("proc");
        config.system.sys = folder.file("sys");
        fs::create_dir_all(folder.file("proc/self")).unwrap();
        fs::create_dir_all(folder.file("my stick")).unwrap();
        let device = fs::metadata(folder.file("my stick")).unwrap().dev();
        let device = format!("{}:{}", rustix::fs::major(device), rustix::fs::minor(device));
        fs::create_dir_all(folder.file(&format!("sys/dev/block/{device}"))).unwrap();
        fs::create_dir_all(folder.file("sys/dev/block/7:77")).unwrap();
        fs::write(folder.file("sys/dev/block/7:77/removable"), "1\n").unwrap();
        let stick = folder.file("my stick").display().to_string().replace(' ', "\\040");
        let line = |device: &str, name: &str| {
            format!("30 1 {device} / {stick} rw,nosuid - vfat /dev/{name} rw\n")
        };
        let lines = line(&device, "sdx1") + &line("7:77", "gone1");
        fs::write(folder.file("proc/self/mountinfo"), lines).unwrap();
        config
    });
    let stick = house.folder.file("my stick");
    let removable = |says: &str| {
        let device = fs::metadata(&stick).unwrap().dev();
        let device = format!("{}:{}", rustix::fs::major(device), rustix::fs::minor(device));
        let file = house.folder.file(&format!("sys/dev/block/{device}/removable"));
        fs::write(file, says).unwrap();
    };
    let begin = |body: &str| house.ask("POST", "/api/recordings/export", Some(body));
    let end = || {
        house::until("the export", || {
            let (_, body) = house.ask("GET", "/api/recordings/export", None);
            (body["data"]["export"]["running"] == false).then(|| body["data"].clone())
        })
    };
    removable("0\n");
    let (status, body) = begin(r#"{"ids":[1],"target":"sdx1"}"#);
    assert_eq!((status, &body["key"]), (422, &json!("target")), "a disk that stays: {body}");
    removable("1\n");
    assert_eq!(begin(r#"{"ids":[1]}"#).0, 422, "which of the two?");
    assert_eq!(begin(r#"{"ids":[1,77],"target":"sdx1"}"#).0, 404);
    let (status, body) = begin(r#"{"ids":[1,3],"target":"sdx1"}"#);
    assert_eq!((status, &body["data"]["files"]), (200, &json!(2)), "{body}");
    let data = end();
    assert_eq!((&data["export"]["done"], &data["export"]["bytes"]), (&json!(2), &json!(800_000)));
    let name = stick.join("lensd/recording_20260921_140003_cam2.mp4");
    assert_eq!(fs::read(&name).unwrap(), bytes(3));
    assert_eq!(fs::read_dir(stick.join("lensd")).unwrap().count(), 2);
    // What is there is not copied again; what is another file is left alone and said.
    fs::write(&name, "mine").unwrap();
    assert_eq!(begin(r#"{"ids":[1,3],"target":"sdx1"}"#).0, 200);
    let data = end();
    assert_eq!((&data["export"]["done"], &data["export"]["bytes"]), (&json!(1), &json!(0)));
    assert_eq!(data["export"]["failed"][0]["id"], 3, "{data}");
    assert_eq!(fs::read_to_string(&name).unwrap(), "mine");
    // A medium that is gone has left its folder on another disk.
    assert_eq!(begin(r#"{"ids":[2],"target":"gone1"}"#).0, 200);
    let data = end();
    assert!(data["export"]["failed"].to_string().contains("gone"), "{data}");
}

/// Another client than curl, with a session as programs use it.
#[test]
fn requests_of_python_get_what_they_ask_for() {
    let python = house::python("requests");
    let house = start("python");
    let script = r#"
import hashlib, io, sys, requests
base = sys.argv[1]
s = requests.Session()
s.auth = requests.auth.HTTPDigestAuth('ann', 'secret123')
page = s.get(base + '/api/recordings', params={'type': 'video', 'limit': 2}).json()['data']
seen = [r['id'] for r in page['recordings']]
while page['next']:
    page = s.get(base + '/api/recordings',
                 params={'type': 'video', 'limit': 2, 'after': page['next']}).json()['data']
    seen += [r['id'] for r in page['recordings']]
assert seen == [6, 4, 3, 2, 1], seen
with s.get(base + '/api/recordings/4', stream=True) as r:
    whole = b''.join(r.iter_content(10000))
parts = b''.join(s.get(base + '/api/recordings/4', headers={'Range': f'bytes={i}-{i+99999}'}).content
                 for i in range(0, len(whole), 100000))
assert parts == whole and len(whole) == 800000
token = requests.post(base + '/api/login', json={'username': 'ann', 'password': 'secret123'}).json()['token']
bearer = {'Authorization': 'Bearer ' + token}
sent = requests.post(base + '/upload', headers=bearer, files={'f': ('ü x.bin', io.BytesIO(whole))}).json()
url = sent['data']['files'][0]['url']
got = requests.get(base + url, headers=bearer)
assert got.content == whole and 'filename*=' in got.headers['Content-Disposition'], got.headers
"#;
    let out = Command::new(python).arg("-c").arg(script).arg(house.url("")).output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
}
