//! Settings of the program: one table, from which the command line, the environment's names, the
//! settings file and their help are made.
//!
//! Precedence: command line, environment, file, factory variant, built-in default.

mod table;

pub(crate) use table::{CAMERA_SETTINGS, SETTINGS};

use lensd_control::System;
use lensd_engine::camera::spec::CameraSpec;
use lensd_engine::config::{CameraConfig, Config as EngineConfig};
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use toml_edit::{Document, Item, Table, Value as Toml};

/// Everything that the program is told.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// Factory variant.
    pub(crate) variant: String,
    /// Logs as JSON lines.
    pub(crate) json_logs: bool,
    /// Address of HTTP; none: off.
    pub(crate) http: Option<String>,
    /// Address of HTTPS; none: off.
    pub(crate) https: Option<String>,
    /// Other sites whose pages may use this server.
    pub(crate) origins: Vec<String>,
    /// The UDP port of WS-Discovery.
    pub(crate) discovery_port: u16,
    /// The machine, as the control plane may use it.
    pub(crate) system: System,
    /// The engine's part.
    pub(crate) engine: EngineConfig,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            variant: "DEFAULT".to_owned(),
            json_logs: false,
            http: Some("0.0.0.0:8080".to_owned()),
            https: Some("0.0.0.0:8443".to_owned()),
            origins: Vec::new(),
            discovery_port: 3702,
            system: System::default(),
            engine: EngineConfig::default(),
        }
    }
}

/// What is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    /// `FILE:LINE`, `--option` or `LENSD_NAME`.
    pub(crate) place: String,
    /// The key.
    pub(crate) key: String,
    /// What is wrong and what would be right.
    pub(crate) message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.key.is_empty() {
            write!(f, "{}: {}", self.place, self.message)
        } else {
            write!(f, "{}: {}: {}", self.place, self.key, self.message)
        }
    }
}

/// What a value must be.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    /// `true` or `false`.
    Flag,
    /// Any text.
    Text,
    /// `IP:PORT`, or `off`.
    Address,
    /// A whole number in a range.
    Whole(i64, i64),
    /// A number in a range.
    Number(f64, f64),
    /// One of these words.
    Choice(&'static [&'static str]),
    /// An IPv4 multicast group.
    Group,
    /// Origins of web pages, separated by blanks.
    Origins,
    /// Digital inputs, separated by blanks.
    Inputs,
    /// An Ed25519 public key.
    Key,
    /// A camera SPEC.
    Camera,
}

/// A value that fits its kind.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    /// Flag.
    Flag(bool),
    /// Text, address, choice, group, SPEC.
    Text(String),
    /// Whole number.
    Whole(i64),
    /// Number.
    Number(f64),
}

/// One setting.
pub(crate) struct Setting {
    /// Key in the file: `table.key`.
    pub(crate) key: &'static str,
    /// Option on the command line, if it has one.
    pub(crate) option: Option<&'static str>,
    /// What it takes.
    pub(crate) kind: Kind,
    /// One line of help.
    pub(crate) help: &'static str,
    pub(super) apply: fn(&mut Settings, Value),
}

/// The same for a key of a `[[camera]]` table.
pub(crate) struct CameraSetting {
    /// Key.
    pub(crate) key: &'static str,
    /// What it takes.
    pub(crate) kind: Kind,
    /// One line of help.
    pub(crate) help: &'static str,
    pub(super) apply: fn(&mut CameraConfig, Value),
}

impl Value {
    fn text(self) -> String {
        match self {
            Self::Text(text) => text,
            Self::Whole(n) => n.to_string(),
            Self::Number(n) => n.to_string(),
            Self::Flag(b) => b.to_string(),
        }
    }

    fn flag(self) -> bool {
        self == Self::Flag(true)
    }

    /// The kinds' ranges keep this inside the target's.
    fn whole<T: TryFrom<i64> + Default>(self) -> T {
        match self {
            Self::Whole(n) => T::try_from(n).unwrap_or_default(),
            _ => T::default(),
        }
    }

    fn address(self) -> Option<String> {
        Some(self.text()).filter(|a| a != "off")
    }

    /// A text that may be empty: none.
    fn word(self) -> Option<String> {
        Some(self.text()).filter(|text| !text.is_empty())
    }

    fn path(self) -> Option<PathBuf> {
        self.word().map(PathBuf::from)
    }
}

/// What a factory variant sets: the packaged products use the well-known ports.
fn variant(name: &str) -> &'static [(&'static str, &'static str)] {
    const PRODUCT: &[(&str, &str)] = &[
        ("http.listen", "0.0.0.0:80"),
        ("https.listen", "0.0.0.0:443"),
        ("rtsp.listen", "0.0.0.0:554"),
        ("rtsps.listen", "0.0.0.0:322"),
    ];
    match name {
        "EDU" | "rc_DMG" | "VB" => PRODUCT,
        _ => &[],
    }
}

impl Setting {
    /// The environment's name: that of the option, or of the key.
    pub(crate) fn environment(&self) -> String {
        let name = self.option.unwrap_or(self.key);
        format!("LENSD_{}", name.to_uppercase().replace(['-', '.'], "_"))
    }
}

impl Kind {
    /// A value from text, as the command line and the environment give it.
    fn parse(self, text: &str) -> Result<Value, String> {
        match self {
            Self::Flag => match text {
                "1" | "true" | "yes" | "on" => Ok(Value::Flag(true)),
                "0" | "false" | "no" | "off" | "" => Ok(Value::Flag(false)),
                _ => Err(format!("{text:?} is not true or false")),
            },
            Self::Whole(..) => {
                let n = text.parse().map_err(|_| format!("{text:?} is not a whole number"))?;
                self.check(Value::Whole(n))
            }
            Self::Number(..) => {
                let n = text.parse().map_err(|_| format!("{text:?} is not a number"))?;
                self.check(Value::Number(n))
            }
            _ => self.check(Value::Text(text.to_owned())),
        }
    }

    /// A value from the file.
    fn take(self, value: &Toml) -> Result<Value, String> {
        let typed = match value {
            Toml::Boolean(b) => Value::Flag(*b.value()),
            Toml::Integer(n) => Value::Whole(*n.value()),
            Toml::Float(n) => Value::Number(*n.value()),
            Toml::String(s) => Value::Text(s.value().clone()),
            other => return Err(format!("a {} does not belong here", other.type_name())),
        };
        self.check(typed)
    }

    fn check(self, value: Value) -> Result<Value, String> {
        match (self, &value) {
            (Self::Flag, Value::Flag(_)) | (Self::Text, Value::Text(_)) => Ok(value),
            (Self::Whole(from, to), Value::Whole(n)) if (from..=to).contains(n) => Ok(value),
            (Self::Whole(from, to), Value::Whole(n)) => {
                Err(format!("{n} is not from {from} to {to}"))
            }
            (Self::Number(from, to), Value::Number(n)) if (from..=to).contains(n) => Ok(value),
            #[expect(clippy::cast_precision_loss, reason = "small numbers")]
            (Self::Number(from, to), Value::Whole(n)) if (from..=to).contains(&(*n as f64)) => {
                Ok(Value::Number(*n as f64))
            }
            (Self::Number(from, to), Value::Number(_) | Value::Whole(_)) => {
                Err(format!("{} is not from {from} to {to}", value.text()))
            }
            (Self::Choice(words), Value::Text(word)) => words
                .iter()
                .find(|w| w.eq_ignore_ascii_case(word))
                .map(|w| Value::Text((*w).to_owned()))
                .ok_or_else(|| format!("{word:?} is none of {}", words.join(", "))),
            (Self::Address, Value::Text(text)) => address(text).map(Value::Text),
            (Self::Group, Value::Text(text)) => match text.parse::<Ipv4Addr>() {
                Ok(ip) if ip.is_multicast() => Ok(value),
                _ => {
                    Err(format!("{text:?} is not an IPv4 group from 224.0.0.0 to 239.255.255.255"))
                }
            },
            (Self::Origins, Value::Text(text)) => {
                match text
                    .split_whitespace()
                    .find(|word| !lensd_control::http::cors::is_origin(word))
                {
                    None => Ok(value),
                    Some(word) => {
                        Err(format!("{word:?} is not an origin such as https://nvr.example:8443"))
                    }
                }
            }
            (Self::Inputs, Value::Text(text)) => {
                lensd_control::config::Input::list(text).map(|_| value)
            }
            (Self::Key, Value::Text(text)) if text.is_empty() => Ok(value),
            (Self::Key, Value::Text(text)) => lensd_control::signed::key(text).map(|_| value),
            (Self::Camera, Value::Text(text)) => match text.parse::<CameraSpec>() {
                Ok(_) => Ok(value),
                Err(e) => Err(e.0),
            },
            (Self::Flag, _) => Err("must be true or false".to_owned()),
            (Self::Whole(from, to), _) => {
                Err(format!("must be a whole number from {from} to {to}"))
            }
            (Self::Number(from, to), _) => Err(format!("must be a number from {from} to {to}")),
            _ => Err("must be a text in quotes".to_owned()),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag => f.write_str("true or false"),
            Self::Text => f.write_str("text"),
            Self::Address => f.write_str("IP:PORT or off"),
            Self::Whole(from, to) => write!(f, "{from} to {to}"),
            Self::Number(from, to) => write!(f, "{from:.1} to {to:.1}"),
            Self::Choice(words) => f.write_str(&words.join(", ")),
            Self::Group => f.write_str("IPv4 group"),
            Self::Origins => f.write_str("origins, separated by blanks"),
            Self::Inputs => f.write_str("NAME=FILE, separated by blanks"),
            Self::Key => f.write_str("32 bytes as hex or Base64"),
            Self::Camera => f.write_str("camera SPEC"),
        }
    }
}

/// All keys of the settings file, for people.
pub(crate) fn reference() -> String {
    let rows = SETTINGS
        .iter()
        .map(|s| (s.key.to_owned(), s.kind, s.help))
        .chain(CAMERA_SETTINGS.iter().map(|s| (format!("camera.{}", s.key), s.kind, s.help)));
    rows.map(|(key, kind, help)| format!("{key:<26} {help} ({kind})\n")).collect()
}

/// `IP:PORT`, `:PORT` and `PORT` for all IPv4 addresses, `localhost:PORT`, or `off`.
fn address(text: &str) -> Result<String, String> {
    if text == "off" {
        return Ok(text.to_owned());
    }
    if let Ok(port) = text.strip_prefix(':').unwrap_or(text).parse::<u16>() {
        return Ok(format!("0.0.0.0:{port}"));
    }
    let text = text.replace("localhost:", "127.0.0.1:");
    match text.parse::<SocketAddr>() {
        Ok(address) => Ok(address.to_string()),
        Err(_) => Err(format!(
            "{text:?} is not IP:PORT such as 0.0.0.0:8554 or [::]:8554, a port, or off"
        )),
    }
}

/// Where settings come from.
pub(crate) struct Sources<'a> {
    /// The file, and whether it must exist.
    pub(crate) file: Option<(PathBuf, bool)>,
    /// The environment.
    pub(crate) environment: &'a dyn Fn(&str) -> Option<String>,
    /// The command line: option and value.
    pub(crate) options: Vec<(&'static str, String)>,
    /// `--camera`.
    pub(crate) cameras: Vec<String>,
}

/// Puts the settings together.
///
/// # Errors
/// All that is wrong.
pub(crate) fn load(sources: &Sources<'_>) -> Result<Settings, Vec<Problem>> {
    let mut problems = Vec::new();
    // Later entries win: file, environment, command line.
    let mut found: Vec<(&'static Setting, Value)> = Vec::new();
    let mut settings = Settings::default();
    if let Some((path, required)) = &sources.file {
        read_file(path, *required, &mut found, &mut settings.engine.cameras, &mut problems);
    }
    for setting in SETTINGS {
        let name = setting.environment();
        if let Some(text) = (sources.environment)(&name) {
            take(setting, &text, &name, &mut found, &mut problems);
        }
    }
    for (option, text) in &sources.options {
        if let Some(setting) = SETTINGS.iter().find(|s| s.option == Some(option)) {
            take(setting, text, &format!("--{option}"), &mut found, &mut problems);
        }
    }
    let name = found.iter().rev().find(|(s, _)| s.key == "server.variant").map(|f| f.1.clone());
    if let Some(name) = name {
        for (key, text) in variant(&name.text()) {
            if let Some(setting) = SETTINGS.iter().find(|s| s.key == *key)
                && let Ok(value) = setting.kind.parse(text)
            {
                (setting.apply)(&mut settings, value);
            }
        }
    }
    for (setting, value) in found {
        (setting.apply)(&mut settings, value);
    }
    let from_environment = (sources.environment)("LENSD_CAMERA");
    let (place, specs) = if sources.cameras.is_empty() {
        let specs = from_environment.iter().flat_map(|s| s.split_whitespace());
        ("LENSD_CAMERA", specs.map(str::to_owned).collect())
    } else {
        ("--camera", sources.cameras.clone())
    };
    if !specs.is_empty() {
        settings.engine.cameras = specs
            .into_iter()
            .map(|source| {
                if let Err(e) = source.parse::<CameraSpec>() {
                    problems.push(Problem {
                        place: place.to_owned(),
                        key: String::new(),
                        message: e.0,
                    });
                }
                CameraConfig { source, ..CameraConfig::default() }
            })
            .collect();
    }
    if settings.engine.rtsp_options.udp_port % 2 == 1 {
        problems.push(Problem {
            place: "settings".to_owned(),
            key: "rtsp.udp-port".to_owned(),
            message: "must be even: RTCP takes the next one".to_owned(),
        });
    }
    if problems.is_empty() { Ok(settings) } else { Err(problems) }
}

fn take(
    setting: &'static Setting,
    text: &str,
    place: &str,
    found: &mut Vec<(&'static Setting, Value)>,
    problems: &mut Vec<Problem>,
) {
    match setting.kind.parse(text) {
        Ok(value) => found.push((setting, value)),
        Err(message) => {
            problems.push(Problem { place: place.to_owned(), key: String::new(), message });
        }
    }
}

fn read_file(
    path: &Path,
    required: bool,
    found: &mut Vec<(&'static Setting, Value)>,
    cameras: &mut Vec<CameraConfig>,
    problems: &mut Vec<Problem>,
) {
    let shown = path.display().to_string();
    let whole = |message: String| Problem { place: shown.clone(), key: String::new(), message };
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound && !required => return,
        Err(e) => return problems.push(whole(format!("cannot be read: {e}"))),
    };
    let line = |span: Option<std::ops::Range<usize>>| {
        let at = span.map_or(0, |s| s.start).min(text.len());
        format!("{shown}:{}", text[..at].matches('\n').count() + 1)
    };
    let document = match Document::parse(text.as_str()) {
        Ok(document) => document,
        Err(e) => {
            let place = line(e.span());
            let message = e.message().trim().replace('\n', " ");
            return problems.push(Problem { place, key: String::new(), message });
        }
    };
    for (name, item) in document.as_table().iter() {
        let span = |key: &str, table: &Table, item: &Item| {
            table.key(key).and_then(|k| k.span()).or_else(|| item.span())
        };
        match item {
            Item::ArrayOfTables(tables) if name == "camera" => {
                for table in tables {
                    cameras.push(read_camera(table, &line, problems));
                }
            }
            Item::Table(table) if is_table(name) => {
                for (key, item) in table.iter() {
                    let full = format!("{name}.{key}");
                    let place = line(span(key, table, item));
                    match SETTINGS.iter().find(|s| s.key == full) {
                        None => {
                            let near = nearest(&full, SETTINGS.iter().map(|s| s.key));
                            let message = format!("there is no such key; did you mean {near}?");
                            problems.push(Problem { place, key: full, message });
                        }
                        Some(setting) => match value_of(item, setting.kind) {
                            Ok(value) => found.push((setting, value)),
                            Err(message) => problems.push(Problem { place, key: full, message }),
                        },
                    }
                }
            }
            other => problems.push(Problem {
                place: line(span(name, document.as_table(), other)),
                key: name.to_owned(),
                message: format!(
                    "the file has the tables {} and any number of [[camera]]",
                    tables().join(", ")
                ),
            }),
        }
    }
}

/// The tables of the file, in the order of their keys.
fn tables() -> Vec<String> {
    let mut names: Vec<&str> = SETTINGS.iter().filter_map(|s| s.key.split('.').next()).collect();
    names.dedup();
    names.into_iter().map(|name| format!("[{name}]")).collect()
}

/// Whether some key is in a table of this name.
fn is_table(name: &str) -> bool {
    SETTINGS.iter().any(|s| s.key.split('.').next() == Some(name))
}

fn read_camera(
    table: &Table,
    line: &dyn Fn(Option<std::ops::Range<usize>>) -> String,
    problems: &mut Vec<Problem>,
) -> CameraConfig {
    let mut camera = CameraConfig::default();
    for (key, item) in table.iter() {
        let place = line(table.key(key).and_then(|k| k.span()).or_else(|| item.span()));
        let full = format!("camera.{key}");
        match CAMERA_SETTINGS.iter().find(|s| s.key == key) {
            None => {
                let near = nearest(key, CAMERA_SETTINGS.iter().map(|s| s.key));
                let message = format!("there is no such key; did you mean {near}?");
                problems.push(Problem { place, key: full, message });
            }
            Some(setting) => match value_of(item, setting.kind) {
                Ok(value) => (setting.apply)(&mut camera, value),
                Err(message) => problems.push(Problem { place, key: full, message }),
            },
        }
    }
    if !table.contains_key("source") {
        problems.push(Problem {
            place: line(table.span()),
            key: "camera.source".to_owned(),
            message: "is missing, such as source = \"v4l2:/dev/video0\"".to_owned(),
        });
    }
    camera
}

fn value_of(item: &Item, kind: Kind) -> Result<Value, String> {
    match item {
        Item::Value(value) => kind.take(value),
        _ => Err("must be a value, not a table".to_owned()),
    }
}

/// The word that differs least, by the number of letters at the same place.
fn nearest<'a>(word: &str, all: impl Iterator<Item = &'a str>) -> &'a str {
    all.max_by_key(|candidate| {
        let same = candidate.bytes().zip(word.bytes()).filter(|(a, b)| a == b).count();
        let tail = candidate.bytes().rev().zip(word.bytes().rev()).filter(|(a, b)| a == b).count();
        2 * (same + tail) as i64 - (candidate.len() as i64 - word.len() as i64).abs()
    })
    .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use lensd_engine::config::Join;

    fn load_text(
        text: &str,
        environment: &[(&str, &str)],
        options: &[(&'static str, &str)],
    ) -> Result<Settings, Vec<String>> {
        let folder = std::env::temp_dir();
        let unique = format!("lensd-settings-{}-{:p}.toml", std::process::id(), text);
        let path = folder.join(unique);
        std::fs::write(&path, text).unwrap();
        let loaded = load(&Sources {
            file: Some((path.clone(), true)),
            environment: &|name| environment.iter().find(|e| e.0 == name).map(|e| e.1.to_owned()),
            options: options.iter().map(|(k, v)| (*k, (*v).to_owned())).collect(),
            cameras: Vec::new(),
        });
        std::fs::remove_file(&path).unwrap();
        let shown = path.display().to_string();
        loaded.map_err(|all| {
            all.iter().map(|p| p.to_string().replace(&shown, "lensd.toml")).collect()
        })
    }

    #[test]
    fn precedence() {
        let text = "[server]\nvariant = \"VB\"\n[http]\nlisten = \"127.0.0.1:1\"\n";
        let variant = load_text("[server]\nvariant = \"vb\"\n", &[], &[]).unwrap();
        assert_eq!(variant.http.as_deref(), Some("0.0.0.0:80"));
        let file = load_text(text, &[], &[]).unwrap();
        assert_eq!(file.http.as_deref(), Some("127.0.0.1:1"));
        assert_eq!(file.engine.rtsp.as_deref(), Some("0.0.0.0:554"));
        let env = load_text(text, &[("LENSD_HTTP", "2")], &[]).unwrap();
        assert_eq!(env.http.as_deref(), Some("0.0.0.0:2"));
        let line = load_text(text, &[("LENSD_HTTP", "2")], &[("http", "off")]).unwrap();
        assert_eq!(line.http, None);
        assert_eq!(variant.https.as_deref(), Some("0.0.0.0:443"));
        let line = load_text(text, &[("LENSD_HTTPS", "3")], &[]).unwrap();
        assert_eq!(line.https.as_deref(), Some("0.0.0.0:3"));
    }

    #[test]
    fn every_error_is_named_with_its_line_and_key() {
        let text = "[rtsp]\nlisten = 5\njoni = \"gop\"\njoin = \"fast\"\ntimeout = 1\n\n\
                    [[camera]]\nsource = \"tset:\"\nqualty = 3\n[[camera]]\nbitrate = \"x\"\n\
                    [nonsense]\n";
        let got = load_text(text, &[("LENSD_OPEN", "maybe")], &[("rtsps", "x")]).unwrap_err();
        let want = [
            "lensd.toml:2: rtsp.listen: ",
            "lensd.toml:3: rtsp.joni: there is no such key; did you mean rtsp.join?",
            "lensd.toml:4: rtsp.join: \"fast\" is none of key, gop",
            "lensd.toml:5: rtsp.timeout: 1 is not from 5 to 3600",
            "lensd.toml:8: camera.source: ",
            "lensd.toml:9: camera.qualty: there is no such key; did you mean quality?",
            "lensd.toml:11: camera.bitrate: ",
            "lensd.toml:10: camera.source: is missing",
            "lensd.toml:12: nonsense: the file has the tables",
            "LENSD_OPEN: \"maybe\" is not true or false",
            "--rtsps: ",
        ];
        for want in want {
            assert!(got.iter().any(|g| g.starts_with(want)), "{want}\n{got:#?}");
        }
        assert_eq!(got.len(), want.len(), "{got:#?}");
        let broken = load_text("[server]\ndata = \n", &[], &[]).unwrap_err();
        assert!(broken[0].starts_with("lensd.toml:2: "), "{broken:?}");
    }

    #[test]
    fn a_camera_table_reaches_the_engine() {
        let text = "[[camera]]\nsource = \"test:?fps=10\"\ngop-secs = 2\nquality = 50\n\
                    capture-sei = true\n[rtsp]\njoin = \"gop\"\nmax-sessions = 3\n";
        let settings = load_text(text, &[], &[]).unwrap();
        let camera = &settings.engine.cameras[0];
        assert_eq!((camera.gop_secs, camera.quality, camera.capture_sei), (2.0, 50, true));
        assert_eq!(settings.engine.rtsp_options.join, Join::Gop);
        assert_eq!(settings.engine.rtsp_options.max_sessions, 3);
    }

    #[test]
    fn hardware_and_machine_reach_their_planes() {
        let text = "[hardware]\nlight1 = \"/sys/class/leds/x\"\nfpga = \"\"\n\
                    [system]\nreboot-command = \"reboot\"\nsys = \"/host/sys\"\n";
        let settings = load_text(text, &[("LENSD_SYSTEM_PROC", "/host/proc")], &[]).unwrap();
        let hardware = &settings.engine.hardware;
        assert_eq!(hardware.light1, Some(PathBuf::from("/sys/class/leds/x")));
        assert_eq!(hardware.fpga, None);
        assert_eq!(settings.system.reboot_command.as_deref(), Some("reboot"));
        assert_eq!(settings.system.sys, PathBuf::from("/host/sys"));
        assert_eq!(settings.system.proc, PathBuf::from("/host/proc"));
    }

    #[test]
    fn origins_are_a_list() {
        let text = "[http]\norigins = \"https://a http://b:1\"\n";
        assert_eq!(load_text(text, &[], &[]).unwrap().origins, ["https://a", "http://b:1"]);
        let bad = load_text("[http]\norigins = \"a.example\"\n", &[], &[]).unwrap_err();
        assert!(bad[0].starts_with("lensd.toml:2: http.origins: \"a.example\""), "{bad:?}");
    }

    #[test]
    fn names_of_the_environment() {
        let names: Vec<String> = SETTINGS.iter().map(Setting::environment).collect();
        assert!(names.contains(&"LENSD_HTTP".to_owned()));
        assert!(names.contains(&"LENSD_JSON_LOGS".to_owned()));
        assert!(names.contains(&"LENSD_RTSP_JOIN".to_owned()));
    }
}
