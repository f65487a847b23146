//! Texts on pictures: the setting `osd` as `tt:OSDConfiguration`.

use super::call::{Answer, Call, Done, needed};
use super::encoders::range;
use super::entities::{cameras, source_camera};
use super::profiles;
use crate::desk::Desk;
use crate::soap::{Fault, Node, Writer};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::collections::BTreeSet;

/// The setting that keeps them.
const KEY: &str = "osd";
/// Most texts of a camera, as the engine has it.
const MOST: usize = 8;
/// Longest text, in characters.
const LONGEST: usize = 120;
/// Heights of lines, in pixels.
const SIZES: (u32, u32) = (8, 256);
const DATES: [&str; 9] = [
    "yyyy-MM-dd",
    "yyyy/MM/dd",
    "M/d/yyyy",
    "MM/dd/yyyy",
    "dd/MM/yyyy",
    "dd.MM.yyyy",
    "dddd, MMMM dd, yyyy",
    "MMMM dd, yyyy",
    "dd MMMM, yyyy",
];
const TIMES: [&str; 4] = ["HH:mm:ss", "H:mm:ss", "hh:mm:ss tt", "h:mm:ss tt"];
/// Kinds, as ONVIF and the setting name them.
const KINDS: [(&str, &str); 4] =
    [("Plain", "text"), ("Date", "date"), ("Time", "time"), ("DateAndTime", "date-time")];
/// Places, likewise.
const PLACES: [(&str, &str); 5] = [
    ("UpperLeft", "top-left"),
    ("UpperRight", "top-right"),
    ("LowerLeft", "bottom-left"),
    ("LowerRight", "bottom-right"),
    ("Custom", "custom"),
];
/// Colours are told by red, green and blue, from 0 to 255.
const RGB: &str = "http://www.onvif.org/ver10/colorspace/RGB";

/// A text, as the setting has it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct Osd {
    token: String,
    camera: u32,
    kind: String,
    text: String,
    date_format: String,
    time_format: String,
    utc: bool,
    position: String,
    x: f64,
    y: f64,
    size: u32,
    colour: String,
    transparent: bool,
}

impl Default for Osd {
    fn default() -> Self {
        Self {
            token: String::new(),
            camera: 0,
            kind: "text".to_owned(),
            text: String::new(),
            date_format: DATES[0].to_owned(),
            time_format: TIMES[0].to_owned(),
            utc: false,
            position: "top-left".to_owned(),
            x: 0.0,
            y: 0.0,
            size: 0,
            colour: "#ffffff".to_owned(),
            transparent: false,
        }
    }
}

fn list(desk: &Desk) -> Vec<Osd> {
    serde_json::from_value(desk.board.value(KEY).clone()).unwrap_or_default()
}

fn invalid(why: impl Into<String>) -> Fault {
    Fault::invalid_value("ter:InvalidOSD", why.into())
}

fn outer(table: &[(&'static str, &'static str)], inner: &str) -> &'static str {
    table.iter().find(|(_, own)| *own == inner).map_or(table[0].0, |(name, _)| *name)
}

fn inner(table: &[(&'static str, &'static str)], outer: &str) -> Option<&'static str> {
    table.iter().find(|(name, _)| *name == outer).map(|(_, own)| *own)
}

/// The camera that a text is told to be of: those that are on all are told of the first.
fn shown_on(desk: &mut Desk, osd: &Osd) -> u32 {
    if osd.camera > 0 { osd.camera } else { cameras(desk).first().map_or(1, |c| c.id) }
}

fn write(camera: u32, name: &'static str, osd: &Osd, w: &mut Writer) {
    w.open(name).attribute("token", &osd.token);
    w.leaf("tt:VideoSourceConfigurationToken", format!("cam{camera}-view"));
    w.leaf("tt:Type", "Text");
    w.open("tt:Position").leaf("tt:Type", outer(&PLACES, &osd.position));
    if osd.position == "custom" {
        w.open("tt:Pos").attribute("x", osd.x).attribute("y", osd.y).close();
    }
    w.close();
    w.open("tt:TextString").attribute("IsPersistentText", true);
    w.leaf("tt:Type", outer(&KINDS, &osd.kind));
    if matches!(osd.kind.as_str(), "date" | "date-time") {
        w.leaf("tt:DateFormat", &osd.date_format);
    }
    if matches!(osd.kind.as_str(), "time" | "date-time") {
        w.leaf("tt:TimeFormat", &osd.time_format);
    }
    w.maybe("tt:FontSize", Some(osd.size).filter(|size| *size > 0));
    if let Some([red, green, blue]) = rgb(&osd.colour) {
        w.open("tt:FontColor").open("tt:Color");
        w.attribute("X", red).attribute("Y", green).attribute("Z", blue);
        w.attribute("Colorspace", RGB).close().close();
    }
    if osd.kind == "text" {
        w.leaf("tt:PlainText", &osd.text);
    }
    w.close().close();
}

fn rgb(colour: &str) -> Option<[u8; 3]> {
    let hex = colour.strip_prefix('#').filter(|h| h.len() == 6 && h.is_ascii())?;
    let part = |i: usize| u8::from_str_radix(&hex[i..i + 2], 16).ok();
    Some([part(0)?, part(2)?, part(4)?])
}

/// What a client's `OSD` element means; of what it does not say, `before`.
fn read(node: Node<'_>, before: Osd) -> Result<Osd, Fault> {
    let mut osd = before;
    let kind = needed(node, "Type")?;
    if kind != "Text" {
        return Err(invalid(format!("Type must be Text, not {kind:?}")));
    }
    let place = node.child("Position").and_then(|p| p.value("Type")).unwrap_or_default();
    let place_found = inner(&PLACES, place);
    let known = PLACES.map(|(name, _)| name).join(", ");
    place_found
        .ok_or_else(|| invalid(format!("Position must be one of {known}, not {place:?}")))?
        .clone_into(&mut osd.position);
    if osd.position == "custom" {
        let pos = node.path(&["Position", "Pos"]);
        let side = |name: &str| {
            let number = pos.and_then(|p| p.attribute(name)).and_then(|t| t.parse::<f64>().ok());
            number
                .filter(|n| (-1.0..=1.0).contains(n))
                .ok_or_else(|| invalid(format!("a custom position needs {name} between -1 and 1")))
        };
        (osd.x, osd.y) = (side("x")?, side("y")?);
    }
    let text = node.child("TextString");
    let text = text.ok_or_else(|| Fault::invalid_args("TextString is missing"))?;
    let kind = needed(text, "Type")?;
    inner(&KINDS, kind)
        .ok_or_else(|| {
            invalid(format!(
                "TextString's Type must be Plain, Date, Time or DateAndTime, not {kind:?}"
            ))
        })?
        .clone_into(&mut osd.kind);
    if osd.kind == "text" {
        let plain = text.child("PlainText").map(Node::raw_text).unwrap_or_default();
        let fits = plain.chars().count() <= LONGEST && !plain.chars().any(char::is_control);
        if plain.is_empty() || !fits {
            return Err(invalid(format!(
                "PlainText must have 1 to {LONGEST} characters in one line"
            )));
        }
        plain.clone_into(&mut osd.text);
    }
    for (name, table, to) in [
        ("DateFormat", &DATES[..], &mut osd.date_format),
        ("TimeFormat", &TIMES[..], &mut osd.time_format),
    ] {
        let Some(format) = text.value(name).filter(|f| !f.is_empty()) else { continue };
        if !table.contains(&format) {
            return Err(invalid(format!("{name} must be one of {}", table.join(" | "))));
        }
        format.clone_into(to);
    }
    if let Some(size) = super::call::number::<u32>(text, "FontSize")? {
        let (least, most) = SIZES;
        if !(least..=most).contains(&size) {
            return Err(invalid(format!("FontSize must be between {least} and {most} pixels")));
        }
        osd.size = size;
    }
    if let Some(colour) = text.path(&["FontColor", "Color"]) {
        osd.colour = read_colour(colour)?;
    }
    Ok(osd)
}

/// The law of texts: what is read is written so that it reads the same.
pub(super) fn fuzz(node: Node<'_>) {
    let Ok(osd) = read(node, Osd { camera: 1, ..Osd::default() }) else { return };
    let mut w = Writer::new();
    write(1, "OSD", &osd, &mut w);
    let text = w.finish().replacen("<OSD", "<OSD xmlns:tt=\"x\"", 1);
    // What is longer once escaped than what is taken cannot be read again.
    let Ok(again) = crate::soap::Document::parse(text.as_bytes()) else { return };
    let before = Osd { size: osd.size, camera: 1, ..Osd::default() };
    // What its kind has no use for is not told.
    let shown = |osd: &Osd| (osd.kind.clone(), osd.text.clone(), osd.colour.clone(), osd.size);
    assert_eq!(read(again.root(), before).as_ref().map(shown), Ok(shown(&osd)));
}

fn read_colour(node: Node<'_>) -> Result<String, Fault> {
    let space = node.attribute("Colorspace").unwrap_or(RGB);
    if space != RGB {
        return Err(invalid(format!("Colorspace must be {RGB}")));
    }
    let mut out = "#".to_owned();
    for name in ["X", "Y", "Z"] {
        let part = node.attribute(name).and_then(|t| t.parse::<f64>().ok());
        let part = part.filter(|p| (0.0..=255.0).contains(p));
        let part = part.ok_or_else(|| invalid("a colour has X, Y and Z between 0 and 255"))?;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 255")]
        let part = part.round() as u8;
        out.push_str(&format!("{part:02x}"));
    }
    Ok(out)
}

fn by_token<'a>(list: &'a [Osd], token: &str) -> Result<&'a Osd, Fault> {
    let found = list.iter().find(|osd| osd.token == token);
    found.ok_or_else(|| Fault::invalid_value("ter:NoConfig", format!("there is no OSD {token:?}")))
}

/// `GetOSDs`: all, of a configuration, or one.
pub(super) fn get_all(
    call: &mut Call<'_>,
    node: Node<'_>,
    (response, item): (&'static str, &'static str),
    w: &mut Writer,
) -> Answer {
    let mut list = list(call.desk);
    if let Some(token) = node.value("OSDToken").filter(|t| !t.is_empty()) {
        list = vec![by_token(&list, token)?.clone()];
    }
    if let Some(token) = node.value("ConfigurationToken").filter(|t| !t.is_empty()) {
        let camera = source_camera(call.desk, token).ok_or_else(|| profiles::no_config(token))?;
        list.retain(|osd| osd.camera == 0 || osd.camera == camera);
    }
    w.open(response);
    for osd in &list {
        write(shown_on(call.desk, osd), item, osd, w);
    }
    w.close();
    Ok(Done::Now)
}

/// `GetOSD` of Media1.
pub(super) fn get(call: &mut Call<'_>, node: Node<'_>, w: &mut Writer) -> Answer {
    let list = list(call.desk);
    let osd = by_token(&list, needed(node, "OSDToken")?)?;
    w.open("trt:GetOSDResponse");
    write(shown_on(call.desk, osd), "trt:OSD", osd, w);
    w.close();
    Ok(Done::Now)
}

/// `GetOSDOptions`.
pub(super) fn options(
    call: &mut Call<'_>,
    node: Node<'_>,
    (response, item): (&'static str, &'static str),
    w: &mut Writer,
) -> Answer {
    let token = needed(node, "ConfigurationToken")?;
    source_camera(call.desk, token).ok_or_else(|| profiles::no_config(token))?;
    w.open(response).open(item);
    w.open("tt:MaximumNumberOfOSDs").attribute("Total", MOST);
    for kind in ["PlainText", "Date", "Time", "DateAndTime"] {
        w.attribute(kind, MOST);
    }
    w.close().leaf("tt:Type", "Text");
    for (place, _) in PLACES {
        w.leaf("tt:PositionOption", place);
    }
    w.open("tt:TextOption");
    for (kind, _) in KINDS {
        w.leaf("tt:Type", kind);
    }
    range("tt:FontSizeRange", SIZES, w);
    for date in DATES {
        w.leaf("tt:DateFormat", date);
    }
    for time in TIMES {
        w.leaf("tt:TimeFormat", time);
    }
    w.open("tt:FontColor").open("tt:Color").open("tt:ColorspaceRange");
    for axis in ["tt:X", "tt:Y", "tt:Z"] {
        range(axis, (0, 255), w);
    }
    w.leaf("tt:Colorspace", RGB).close().close().close();
    w.close().close().close();
    Ok(Done::Now)
}

/// Changes the list, and answers with what `write` writes of what `make` has made.
fn keep<T: 'static>(
    call: &mut Call<'_>,
    make: impl FnOnce(&mut Vec<Osd>) -> Result<T, Fault> + 'static,
    write: impl FnOnce(T, &mut Writer) + 'static,
) -> Answer {
    let make = |desk: &mut Desk| {
        let mut all = list(desk);
        let made = make(&mut all)?;
        Ok((vec![(KEY.to_owned(), json!(all))], made))
    };
    call.edit(KEY, "ter:InvalidOSD", make, write)
}

fn element(node: Node<'_>) -> Result<Node<'_>, Fault> {
    node.child("OSD").ok_or_else(|| Fault::invalid_args("OSD is missing"))
}

/// The camera that a client's `OSD` element names.
fn camera_of(call: &mut Call<'_>, osd: Node<'_>) -> Result<u32, Fault> {
    let token = needed(osd, "VideoSourceConfigurationToken")?;
    source_camera(call.desk, token).ok_or_else(|| profiles::no_config(token))
}

/// `CreateOSD`.
pub(super) fn create(
    call: &mut Call<'_>,
    node: Node<'_>,
    (response, item): (&'static str, &'static str),
) -> Answer {
    let node = element(node)?;
    let camera = camera_of(call, node)?;
    let mut osd = read(node, Osd { camera, ..Osd::default() })?;
    let add = move |all: &mut Vec<Osd>| {
        if all.iter().filter(|o| o.camera == camera).count() >= MOST {
            let why = format!("a camera has at most {MOST} texts; delete one");
            return Err(Fault::receiver(&["ter:Action", "ter:MaxOSDs"], why));
        }
        let taken: BTreeSet<&str> = all.iter().map(|o| o.token.as_str()).collect();
        let mut free = (1..).map(|n| format!("cam{camera}-osd-{n}"));
        osd.token = free.find(|token| !taken.contains(token.as_str())).unwrap_or_default();
        let token = osd.token.clone();
        all.push(osd);
        Ok(token)
    };
    keep(call, add, move |token, w| {
        w.open(response).leaf(item, token).close();
    })
}

/// `SetOSD`.
pub(super) fn set(call: &mut Call<'_>, node: Node<'_>, response: &'static str) -> Answer {
    let node = element(node)?;
    let camera = camera_of(call, node)?;
    let token = node.attribute("token").unwrap_or_default();
    let before = by_token(&list(call.desk), token)?.clone();
    if shown_on(call.desk, &before) != camera {
        return Err(invalid(format!("{token:?} is of another video source configuration")));
    }
    let osd = read(node, before)?;
    let replace = move |all: &mut Vec<Osd>| {
        by_token(all, &osd.token)?;
        for own in all.iter_mut().filter(|o| o.token == osd.token) {
            own.clone_from(&osd);
        }
        Ok(())
    };
    keep(call, replace, move |(), w| _ = w.empty(response))
}

/// `DeleteOSD`.
pub(super) fn delete(call: &mut Call<'_>, node: Node<'_>, response: &'static str) -> Answer {
    let token = needed(node, "OSDToken")?.to_owned();
    let remove = move |all: &mut Vec<Osd>| {
        by_token(all, &token)?;
        all.retain(|osd| osd.token != token);
        Ok(())
    };
    keep(call, remove, move |(), w| _ = w.empty(response))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::soap::{Document, Ns};

    fn read_text(text: &str) -> Result<Osd, Fault> {
        let document = Document::parse(text.as_bytes()).unwrap();
        read(document.root(), Osd::default())
    }

    #[test]
    fn a_text_is_read_as_it_is_written() {
        for osd in [
            Osd { token: "a".into(), camera: 1, text: "a & <b>".into(), ..Osd::default() },
            Osd {
                token: "b".into(),
                camera: 1,
                kind: "date-time".into(),
                date_format: DATES[6].into(),
                time_format: TIMES[3].into(),
                position: "custom".into(),
                x: -0.5,
                y: 1.0,
                size: 24,
                colour: "#ff8000".into(),
                ..Osd::default()
            },
        ] {
            let mut w = Writer::new();
            write(1, "tt:OSD", &osd, &mut w);
            let text = w.finish().replacen("<tt:OSD", "<tt:OSD xmlns:tt=\"x\"", 1);
            let before = Osd { token: osd.token.clone(), camera: 1, ..Osd::default() };
            let document = Document::parse(text.as_bytes()).unwrap();
            assert_eq!(document.root().ns(), Ns::Other);
            assert_eq!(read(document.root(), before).unwrap(), osd);
        }
    }

    #[test]
    fn others_are_refused() {
        let osd = |place: &str, text: &str| {
            format!(
                "<O><Type>Text</Type><Position><Type>{place}</Type></Position>\
                 <TextString>{text}</TextString></O>"
            )
        };
        let plain = "<Type>Plain</Type><PlainText>x</PlainText>";
        assert!(read_text(&osd("UpperLeft", plain)).is_ok());
        for (text, word) in [
            ("<O><Type>Image</Type></O>".to_owned(), "Text"),
            (osd("Middle", plain), "UpperLeft"),
            (osd("Custom", plain), "between -1 and 1"),
            (osd("UpperLeft", "<Type>Plain</Type><PlainText/>"), "PlainText"),
            (osd("UpperLeft", "<Type>Song</Type>"), "DateAndTime"),
            (osd("UpperLeft", "<Type>Date</Type><DateFormat>%Y</DateFormat>"), "DateFormat"),
            (osd("UpperLeft", &format!("{plain}<FontSize>1</FontSize>")), "FontSize"),
            (
                osd("UpperLeft", &format!("{plain}<FontColor><Color X='1' Y='2'/></FontColor>")),
                "X, Y and Z",
            ),
        ] {
            let fault = read_text(&text).unwrap_err();
            assert!(fault.reason.contains(word), "{text}: {}", fault.reason);
        }
    }

    #[test]
    fn every_word_of_onvif_has_one_of_the_setting() {
        for (name, own) in KINDS.into_iter().chain(PLACES) {
            let table: &[_] = if KINDS.contains(&(name, own)) { &KINDS } else { &PLACES };
            assert_eq!((inner(table, name), outer(table, own)), (Some(own), name));
        }
        assert_eq!(json!(Osd::default())["kind"], json!("text"));
    }
}
