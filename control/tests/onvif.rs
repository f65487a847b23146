//! ONVIF against the plane alone: requests that nobody should send, logins, and subscriptions.
#![allow(missing_docs)]

mod house;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use house::{House, until};
use lensd_control::config::Input;
use lensd_control::{Config, soap};
use lensd_ffi::time::utc_now;
use serde_json::json;
use std::io::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};

const DEVICE: &str = "/onvif/device_service";
const SOAP: &str = "http://www.w3.org/2003/05/soap-envelope";
const TDS: &str = "http://www.onvif.org/ver10/device/wsdl";
const TEV: &str = "http://www.onvif.org/ver10/events/wsdl";
const WSNT: &str = "http://docs.oasis-open.org/wsn/b-2";
const INFO: &str = "<GetDeviceInformation xmlns='http://www.onvif.org/ver10/device/wsdl'/>";

fn house(name: &str) -> House {
    let house = House::start(name, |_| Config::default());
    // A log-in by password makes known what a UsernameToken is checked against.
    for (name, password) in [("ann", "secret123"), ("bob", "secret456")] {
        let body = format!(r#"{{"username":"{name}","password":"{password}"}}"#);
        assert_eq!(house.curl("/api/login", &["-d", &body]).0, 200);
    }
    house
}

fn envelope(header: &str, body: &str) -> String {
    format!(
        "<s:Envelope xmlns:s='{SOAP}'><s:Header>{header}</s:Header><s:Body>{body}</s:Body>\
         </s:Envelope>"
    )
}

/// Posts a document as it is.
fn post(house: &House, path: &str, text: &[u8], options: &[&str]) -> (u16, String) {
    let file = house.folder.file("request");
    std::fs::File::create(&file).unwrap().write_all(text).unwrap();
    let data = format!("@{}", file.display());
    let mut all = vec!["-H", "Content-Type: application/soap+xml", "--data-binary", &*data];
    all.extend(options);
    house.curl(path, &all)
}

/// A security header that was not used before.
fn login(user: &str, password: &str) -> String {
    static NUMBER: AtomicU64 = AtomicU64::new(1 << 40);
    let nonce = NUMBER.fetch_add(1, Ordering::Relaxed).to_be_bytes();
    token_of(user, password, now_ms(), &nonce)
}

/// Calls an operation as the administrator.
fn call(house: &House, path: &str, body: &str) -> (u16, String) {
    post(house, path, envelope(&login("ann", "secret123"), body).as_bytes(), &[])
}

/// The same as one who only looks on. (curl's own Digest sends nothing at first, which is no
/// request of SOAP's.)
fn look(house: &House, path: &str, body: &str) -> (u16, String) {
    post(house, path, envelope(&login("bob", "secret456"), body).as_bytes(), &[])
}

fn token(password: &str, created_ms: i64, nonce: &[u8]) -> String {
    token_of("ann", password, created_ms, nonce)
}

/// A security header, made at a moment with a nonce.
fn token_of(user: &str, password: &str, created_ms: i64, nonce: &[u8]) -> String {
    let created = soap::time::date_time(created_ms);
    let hash = soap::password_digest(nonce, &created, password);
    let nonce = STANDARD.encode(nonce);
    let base = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity";
    format!(
        "<w:Security xmlns:w='{base}-secext-1.0.xsd' xmlns:u='{base}-utility-1.0.xsd'>\
         <w:UsernameToken><w:Username>{user}</w:Username>\
         <w:Password Type='x#PasswordDigest'>{hash}</w:Password><w:Nonce>{nonce}</w:Nonce>\
         <u:Created>{created}</u:Created></w:UsernameToken></w:Security>"
    )
}

fn now_ms() -> i64 {
    utc_now().millis()
}

#[test]
fn documents_that_nobody_should_send() {
    let house = house("onvif-documents");
    let bomb = "<!DOCTYPE x [<!ENTITY a 'aaaa'>]>";
    let attributes: String = (0..100_000).map(|i| format!("a{i}='' ")).collect();
    let many: String = (0..3000).map(|i| format!("a{i}='' ")).collect();
    let op =
        |inside: &str| envelope("", &format!("<GetHostname xmlns='{TDS}'>{inside}</GetHostname>"));
    for (what, text, want) in [
        ("a document type", format!("{bomb}{}", op("")), 400),
        ("an entity", op("&a;"), 400),
        ("depth", op(&format!("{}{}", "<a>".repeat(1000), "</a>".repeat(1000))), 400),
        ("3,000 attributes", op(&format!("<a {many}/>")), 400),
        ("100,000 attributes", op(&format!("<a {attributes}/>")), 413),
        ("1,000,000 bytes", op(&"x".repeat(1_000_000)), 413),
        ("nothing", String::new(), 400),
        ("half of it", op("")[..40].to_owned(), 400),
        ("no envelope", "<a/>".to_owned(), 400),
        ("no operation", envelope("", ""), 400),
        ("an undeclared prefix", op("<p:a/>"), 400),
    ] {
        let (status, body) = post(&house, DEVICE, text.as_bytes(), &[]);
        assert_eq!(status, want, "{what}: {body}");
        assert!(body.contains("env:Fault") && !body.contains("aaaa"), "{what}: {body}");
    }
    let more = op(&"x".repeat(2 << 20));
    assert_eq!(post(&house, DEVICE, more.as_bytes(), &[]).0, 413, "whoever says so");
    let old = "<Envelope xmlns='http://schemas.xmlsoap.org/soap/envelope/'/>";
    assert!(post(&house, DEVICE, old.as_bytes(), &[]).1.contains("env:VersionMismatch"));
    assert_eq!(house.curl(DEVICE, &[]).0, 405);
    let json = ["-H", "Content-Type: application/json", "-d", "{}"];
    assert_eq!(house.curl(DEVICE, &json).0, 415);
    let (status, body) = post(&house, DEVICE, op("").as_bytes(), &[]);
    assert_eq!(status, 200, "it goes on: {body}");
}

#[test]
fn who_may_not_learns_nothing() {
    let house = house("onvif-access");
    let anonymous = |body: &str| post(&house, DEVICE, envelope("", body).as_bytes(), &["-i"]);
    for body in [INFO, "<NoSuchThing xmlns='urn:x'/>", "<a/>"] {
        let (status, text) = anonymous(body);
        assert_eq!(status, 401, "{body}");
        let challenges: Vec<&str> =
            text.lines().filter(|l| l.starts_with("WWW-Authenticate: ")).collect();
        assert!(
            challenges[0].contains("Digest realm=") && challenges[0].contains("algorithm=MD5,")
        );
        assert!(challenges[1].contains("SHA-256") && challenges.len() == 2, "{challenges:?}");
        assert!(text.contains("ter:NotAuthorized"));
    }
    // Known, but in another namespace; and not known at all.
    let wrong = "<GetDeviceInformation xmlns='http://www.onvif.org/ver10/media/wsdl'/>";
    for body in [wrong, "<a/>"] {
        let (status, text) = call(&house, DEVICE, body);
        assert_eq!(status, 500, "{body}");
        assert!(text.contains("ter:ActionNotSupported") && text.contains("Not Implemented"));
    }
    // A viewer reads, and changes nothing.
    assert_eq!(look(&house, "/onvif/any", INFO).0, 200);
    let users = format!("<GetUsers xmlns='{TDS}'/>");
    let (status, text) = look(&house, DEVICE, &users);
    assert!(status == 400 && text.contains("ter:NotAuthorized"), "{text}");
    let text = envelope(&login("ann", "secret123"), INFO);
    assert_eq!(post(&house, DEVICE, text.as_bytes(), &["-H", "Origin: http://evil"]).0, 403);
}

#[test]
fn tokens_count_once_and_in_their_time() {
    let house = house("onvif-tokens");
    let ask = |header: &str| post(&house, DEVICE, envelope(header, INFO).as_bytes(), &[]);
    let good = token("secret123", now_ms(), b"0123456789abcdef");
    let (status, text) = ask(&good);
    assert_eq!(status, 200, "{text}");
    assert!(text.contains("<tds:Manufacturer>"));
    let (status, text) = ask(&good);
    assert!(status == 400 && text.contains("used before"), "{text}");
    for (ahead, word) in [(3_600_000, "ahead of"), (-3_600_000, "behind")] {
        let (status, text) = ask(&token("secret123", now_ms() + ahead, b"another"));
        assert!(status == 400 && text.contains(word), "{text}");
    }
    let (status, text) = ask(&token("secret123", now_ms(), &[7; 100]));
    assert!(status == 400 && text.contains("Nonce"), "{text}");
    let (status, text) = ask(&token("wrong", now_ms(), b"a third"));
    assert!(status == 400 && text.contains("ter:NotAuthorized"), "{text}");
    // What everybody may ask is answered whatever the login.
    let time = format!("<GetSystemDateAndTime xmlns='{TDS}'/>");
    let text = envelope(&token("wrong", 0, b"x"), &time);
    assert_eq!(post(&house, DEVICE, text.as_bytes(), &[]).0, 200);
    // Guessing costs time, and locks nobody out: the answers come late, but they come.
    for i in 0..12_u8 {
        assert_eq!(ask(&token("wrong", now_ms(), &[i; 8])).0, 400);
    }
    assert_eq!(ask(&token("secret123", now_ms(), b"the right one")).0, 200);
}

#[test]
fn addresses_are_ours() {
    let house = house("onvif-addresses");
    let services = format!("<GetServices xmlns='{TDS}'/>");
    let text = envelope("", &services);
    let foreign = post(&house, DEVICE, text.as_bytes(), &["-H", "Host: evil.example"]).1;
    let own = format!("http://127.0.0.1:{}/onvif/", house.port);
    assert!(foreign.contains(&own) && !foreign.contains("evil"), "{foreign}");
    assert_eq!(house.set("onvif-hosts", "cam.example".into()).0, 200);
    let listed = post(&house, DEVICE, text.as_bytes(), &["-H", "Host: cam.example:99"]).1;
    assert!(listed.contains("http://cam.example:99/onvif/event_service"), "{listed}");
    assert_eq!(house.set("onvif", false.into()).0, 200);
    assert_eq!(post(&house, DEVICE, text.as_bytes(), &[]).0, 404);
}

/// The path of the subscription that an answer names.
fn subscription(text: &str) -> String {
    let at = text.find("/onvif/subscription/").unwrap_or_else(|| panic!("{text}"));
    text[at..].split('<').next().unwrap().to_owned()
}

#[test]
fn subscriptions_are_bounded_and_end() {
    let house = house("onvif-subscriptions");
    let create = format!("<CreatePullPointSubscription xmlns='{TEV}'/>");
    let mut last = String::new();
    for _ in 0..30 {
        let (status, text) = call(&house, "/onvif/event_service", &create);
        assert_eq!(status, 200, "{text}");
        last = subscription(&text);
    }
    until("the count", || (house.value("onvif-subscriptions") == 4).then_some(()));
    let pull = |timeout: &str, limit: &str| {
        let body = format!(
            "<PullMessages xmlns='{TEV}'><Timeout>{timeout}</Timeout>\
             <MessageLimit>{limit}</MessageLimit></PullMessages>"
        );
        call(&house, &last, &body)
    };
    for (timeout, limit) in
        [("x", "1"), ("-PT5S", "1"), ("PT0S", "0"), ("PT0S", "-1"), ("PT0S", "x")]
    {
        let (status, text) = pull(timeout, limit);
        assert_eq!(status, 400, "{timeout} {limit}: {text}");
    }
    let (status, text) = pull("PT0S", "100");
    assert!(status == 200 && text.contains("PullMessagesResponse"), "{text}");
    let renew = |time: &str| {
        let body =
            format!("<Renew xmlns='{WSNT}'><TerminationTime>{time}</TerminationTime></Renew>");
        call(&house, &last, &body)
    };
    assert_eq!(renew("PT600S").0, 200);
    for bad in ["PT0S", "1999-01-01T00:00:00Z", "soon", "-PT1S"] {
        let (status, text) = renew(bad);
        assert!(status == 400 && text.contains("UnacceptableTerminationTimeFault"), "{bad} {text}");
    }
    // Somebody else's is none.
    let unsubscribe = format!("<Unsubscribe xmlns='{WSNT}'/>");
    let (status, text) = look(&house, &last, &unsubscribe);
    assert!(status == 400 && text.contains("ResourceUnknownFault"), "{text}");
    assert_eq!(call(&house, &last, &unsubscribe).0, 200);
    assert_eq!(call(&house, &last, &unsubscribe).0, 400);
    assert_eq!(pull("PT5S", "1").0, 400);
}

#[test]
fn what_there_is_not_is_told_in_the_words_that_clients_look_for() {
    let house = house("onvif-words");
    let (status, text) = call(&house, DEVICE, &format!("<GetDot11Status xmlns='{TDS}'/>"));
    for words in ["ter:ActionNotSupported", "Optional Action Not Implemented", "not implemented"] {
        assert!(status >= 400 && text.contains(words), "{words}: {text}");
    }
}

#[test]
fn a_soft_reset_is_answered() {
    let house = house("onvif-soft");
    let reset = format!(
        "<SetSystemFactoryDefault xmlns='{TDS}'><FactoryDefault>Soft</FactoryDefault>\
         </SetSystemFactoryDefault>"
    );
    let (status, text) = call(&house, DEVICE, &reset);
    assert!(status == 200 && text.contains("SetSystemFactoryDefaultResponse"), "{text}");
}

#[test]
fn users_are_set_together() {
    let house = house("onvif-users");
    let user = |name: &str, level: &str| {
        format!(
            "<User><s:Username xmlns:s='http://www.onvif.org/ver10/schema'>{name}</s:Username>\
             <s:UserLevel xmlns:s='http://www.onvif.org/ver10/schema'>{level}</s:UserLevel></User>"
        )
    };
    // Nobody would administer any more: bob stays what he is.
    let both = user("bob", "Operator") + &user("ann", "User");
    let (status, text) = call(&house, DEVICE, &format!("<SetUser xmlns='{TDS}'>{both}</SetUser>"));
    assert!(status == 400 && text.contains("FixedUser"), "{text}");
    let (_, listed) = call(&house, DEVICE, &format!("<GetUsers xmlns='{TDS}'/>"));
    assert!(!listed.contains("Operator"), "{listed}");
    let twice = "<Username>bob</Username><Username>bob</Username>";
    let (status, text) =
        call(&house, DEVICE, &format!("<DeleteUsers xmlns='{TDS}'>{twice}</DeleteUsers>"));
    assert_eq!(status, 200, "{text}");
}

#[test]
fn events_are_not_pushed_to_where_the_subscriber_is_not() {
    let house = house("onvif-push");
    let subscribe = |address: &str| {
        let body = format!(
            "<Subscribe xmlns='{WSNT}'><ConsumerReference><Address>{address}</Address>\
             </ConsumerReference></Subscribe>"
        );
        call(&house, "/onvif/event_service", &body)
    };
    let own = format!("http://127.0.0.1:{}/onvif/device_service", house.port);
    for bad in [
        "http://10.0.0.1/x",
        "http://169.254.169.254/latest",
        "http://224.0.0.1/",
        "http://0.0.0.0/",
        "http://[::1]/",
        "http://127.0.0.1@10.0.0.1/",
        "http://10.0.0.1@127.0.0.1/",
        "https://127.0.0.1/",
        "file:///etc/passwd",
        "nonsense",
        &own,
    ] {
        let (status, text) = subscribe(bad);
        assert_eq!(status, 400, "{bad}: {text}");
        assert!(text.contains("SubscribeCreationFailedFault"), "{bad}: {text}");
    }
    for _ in 0..20 {
        assert_eq!(subscribe("http://127.0.0.1:9/x").0, 200);
    }
    until("the count", || (house.value("onvif-subscriptions") == 1).then_some(()));
    let filtered = format!(
        "<CreatePullPointSubscription xmlns='{TEV}'><Filter>\
         <TopicExpression xmlns='{WSNT}'>tns1:NoSuch//.</TopicExpression></Filter>\
         </CreatePullPointSubscription>"
    );
    let (status, text) = call(&house, "/onvif/event_service", &filtered);
    assert!(status == 400 && text.contains("TopicNotSupportedFault"), "{text}");
}

#[test]
fn a_stream_that_was_found_is_taken_up() {
    let house = house("onvif-discover");
    let path = "/api/onvif/discover";
    // Whoever is on this network: that is not a test's to say.
    let (status, found) = house.ask("GET", path, None);
    println!("{found:#}");
    let list = found["data"]["devices"].is_array();
    assert!(status == 200 && list || status == 503, "{status} {found}");
    let login = r#"{"username":"admin","password":"Secret-123"}"#;
    let (status, found) = house.ask("POST", path, Some(login));
    println!("{found:#}");
    assert!(status == 200 || status == 503, "{status} {found}");
    for bad in [r#"{"add":"http://h/"}"#, r#"{"username":"u"}"#, r#"{"other":1}"#, "[]"] {
        let (status, body) = house.ask("POST", path, Some(bad));
        assert!((400..500).contains(&status), "{bad} {body}");
    }
    let add = r#"{"username":"u","password":"p@/","add":"rtsp://10.0.0.7/x"}"#;
    let (status, body) = house.ask("POST", path, Some(add));
    assert_eq!((status, &body["data"]["added"]), (200, &"rtsp://10.0.0.7/x".into()), "{body}");
    assert!(matches!(house.report(), lensd_ffi::link::Report::Restart));
    // The same by settings, where nobody is told of a password.
    assert_eq!(house.set("external-stream-add", json!("http://h/x")).0, 422);
    assert_eq!(house.set("external-stream-remove", json!("rtsp://10.0.0.8/x")).0, 422);
    let (status, body) = house.set("external-stream-add", json!("rtsp://u:secret@10.0.0.8/x"));
    assert!(status == 200 && !body.to_string().contains("secret"), "{status} {body}");
    assert!(matches!(house.report(), lensd_ffi::link::Report::Restart));
    // As the next start finds them.
    let folder = house.stop();
    let store = lensd_control::store::Store::open(&folder.file("data")).unwrap();
    let kept = ["rtsp://u:p%40%2F@10.0.0.7/x", "rtsp://u:secret@10.0.0.8/x"];
    assert_eq!(lensd_control::external::read(&store), kept);
    drop(store);
    let house = House::start_in(folder, |_| Config::default());
    let (status, body) = house.set("external-stream-remove", json!("rtsp://10.0.0.7/x"));
    assert_eq!(status, 200, "{body}");
    let (_, made) = house.ask("POST", "/api/config/export", None);
    assert_eq!(made["cameras"], json!(["rtsp://10.0.0.8/x"]));
}

#[test]
fn time_servers_are_those_of_the_setting() {
    let house = House::start("ntp", |folder| {
        let mut config = Config::default();
        config.system.timesyncd = folder.file("timesyncd");
        config.system.time_servers_command = "true".to_owned();
        config.system.allow_time = true;
        config
    });
    let body = r#"{"username":"ann","password":"secret123"}"#;
    assert_eq!(house.curl("/api/login", &["-d", body]).0, 200);
    let get = format!("<GetNTP xmlns='{TDS}'/>");
    let set = |servers: &str| {
        let body = format!(
            "<t:SetNTP xmlns:t='{TDS}' xmlns:tt='http://www.onvif.org/ver10/schema'>{servers}</t:SetNTP>"
        );
        call(&house, DEVICE, &body)
    };
    assert!(call(&house, DEVICE, &get).1.contains("<tt:FromDHCP>true</tt:FromDHCP>"));
    let (status, body) = set("<t:FromDHCP>false</t:FromDHCP>\
         <t:NTPManual><tt:Type>DNS</tt:Type><tt:DNSname>ntp.example</tt:DNSname></t:NTPManual>\
         <t:NTPManual><tt:Type>IPv4</tt:Type><tt:IPv4Address>10.0.0.1</tt:IPv4Address></t:NTPManual>");
    assert_eq!(status, 200, "{body}");
    assert_eq!(house.value("time-servers"), "ntp.example 10.0.0.1");
    let (_, body) = call(&house, DEVICE, &get);
    for part in ["<tt:FromDHCP>false<", "<tt:DNSname>ntp.example<", "<tt:IPv4Address>10.0.0.1<"] {
        assert!(body.contains(part), "{body}");
    }
    for (kind, part, wrong, code) in [
        ("DNS", "DNSname", "a b", "InvalidDnsName"),
        ("DNS", "DNSname", "$(x)", "InvalidDnsName"),
        ("IPv4", "IPv4Address", "::1", "InvalidIPv4Address"),
        ("IPv6", "IPv6Address", "10.0.0.1", "InvalidIPv6Address"),
    ] {
        let server = format!(
            "<t:NTPManual><tt:Type>{kind}</tt:Type><tt:{part}>{wrong}</tt:{part}></t:NTPManual>"
        );
        let (status, body) = set(&format!("<t:FromDHCP>false</t:FromDHCP>{server}"));
        assert!(status == 400 && body.contains(code), "{status} {body}");
    }
    assert_eq!(set("<t:FromDHCP>true</t:FromDHCP>").0, 200);
    assert_eq!(house.value("time-servers"), "");
}

#[test]
fn digital_inputs_are_told_when_they_change() {
    let house = House::start("inputs", |folder| {
        let mut config = Config::default();
        let (door, gate) = (folder.file("door"), folder.file("gate"));
        std::fs::write(&door, "0\n").unwrap();
        std::fs::write(&gate, "0\n").unwrap();
        let list = format!("door={} gate=!{}", door.display(), gate.display());
        config.system.inputs = Input::list(&list).unwrap();
        config
    });
    let body = r#"{"username":"ann","password":"secret123"}"#;
    assert_eq!(house.curl("/api/login", &["-d", body]).0, 200);
    let door = |text: &str| std::fs::write(house.folder.file("door"), text).unwrap();
    let want = |door: bool| {
        let want = json!([{"name": "door", "on": door}, {"name": "gate", "on": true}]);
        until("inputs", || (house.value("digital-inputs") == want).then_some(()));
    };
    want(false);
    let list = "<GetDigitalInputs xmlns='http://www.onvif.org/ver10/deviceIO/wsdl'/>";
    let (_, text) = call(&house, "/onvif/deviceio_service", list);
    for part in [r#"token="door" IdleState="open""#, r#"token="gate" IdleState="closed""#] {
        assert!(text.contains(part), "{text}");
    }
    let create = format!(
        "<t:CreatePullPointSubscription xmlns:t='{TEV}' xmlns:n='{WSNT}'><t:Filter>\
         <n:TopicExpression xmlns:tns1='http://www.onvif.org/ver10/topics' \
         Dialect='http://docs.oasis-open.org/wsn/t-1/TopicExpression/Concrete'>\
         tns1:Device/Trigger/DigitalInput</n:TopicExpression></t:Filter>\
         </t:CreatePullPointSubscription>"
    );
    let (status, text) = call(&house, "/onvif/event_service", &create);
    assert_eq!(status, 200, "{text}");
    let point = subscription(&text);
    let pull = || {
        let body = format!(
            "<PullMessages xmlns='{TEV}'><Timeout>PT20S</Timeout><MessageLimit>9</MessageLimit>\
             </PullMessages>"
        );
        call(&house, &point, &body).1
    };
    // A client that waits for its answer no more takes nothing with it.
    let leave = || {
        let body = format!(
            "<PullMessages xmlns='{TEV}'><Timeout>PT20S</Timeout><MessageLimit>9</MessageLimit>\
             </PullMessages>"
        );
        let text = envelope(&login("ann", "secret123"), &body);
        let mut stream = std::net::TcpStream::connect(("127.0.0.1", house.port)).unwrap();
        write!(
            stream,
            "POST {point} HTTP/1.1\r\nHost: x\r\nContent-Type: application/soap+xml\r\n\
             Content-Length: {}\r\n\r\n{text}",
            text.len()
        )
        .unwrap();
        stream
    };
    let first = pull();
    assert!(first.matches("Initialized").count() == 2, "{first}");
    for on in [true, false] {
        let gone = leave();
        // Its request is there when one that came later is answered.
        assert_eq!(house.curl("/health", &[]).0, 200);
        drop(gone);
        assert_eq!(house.curl("/health", &[]).0, 200);
        door(if on { "1\n" } else { "0\n" });
        let text = pull();
        assert!(text.contains(r#"Name="InputToken" Value="door""#), "{text}");
        assert!(text.contains(&format!(r#"Name="LogicalState" Value="{on}""#)), "{text}");
        want(on);
    }
    let (_, events) = house.curl("/api/events", &["-u", "ann:secret123"]);
    assert!(events.contains("input.on") && events.contains("input.off"), "{events}");
    // What cannot be read has no level, and says why.
    door("?\n");
    let error = until("the reason", || {
        let text = house.value("digital-inputs")[0]["error"].as_str()?.to_owned();
        Some(text)
    });
    assert!(error.contains("neither 0 nor 1"), "{error}");
    door("0\n");
    want(false);
}
