//! What the device is, and what time it is there.

use crate::desk::Desk;
use crate::onvif::call::{Answer, Call, Done};
use crate::soap::time::Civil;
use crate::soap::{Node, Writer};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use lensd_ffi::auth::Token;
use serde_json::Value;
use std::fs;

/// `GetWsdlUrl`: where the descriptions of the services are kept.
pub(super) fn wsdl_url(_: &mut Call<'_>, _: Node<'_>, w: &mut Writer) -> Answer {
    w.open("tds:GetWsdlUrlResponse");
    w.leaf("tds:WsdlUrl", "http://www.onvif.org/onvif/ver10/").close();
    Ok(Done::Now)
}

/// `GetEndpointReference`.
pub(super) fn endpoint_reference(call: &mut Call<'_>, _: Node<'_>, w: &mut Writer) -> Answer {
    w.open("tds:GetEndpointReferenceResponse");
    w.leaf("tds:GUID", endpoint(call.desk)).close();
    Ok(Done::Now)
}

/// By what this device is known wherever it is: made of the machine's identity and the data folder,
/// so that it survives a factory reset and two servers of one machine are two.
pub(crate) fn endpoint(desk: &Desk) -> String {
    let machine = fs::read_to_string(&desk.config.system.machine_id).unwrap_or_default();
    let folder = fs::canonicalize(&desk.config.data).unwrap_or_else(|_| desk.config.data.clone());
    let hash = Token::hash(&format!("lensd endpoint {} {}", machine.trim(), folder.display()));
    // RFC 9562 5.8: a version for what others do not know how it was made.
    let part = |from: usize, to: usize| hash.get(from..to).unwrap_or_default();
    format!(
        "urn:uuid:{}-{}-8{}-a{}-{}",
        part(0, 8),
        part(8, 12),
        part(12, 15),
        part(15, 18),
        part(18, 30)
    )
}

/// `GetDeviceInformation`.
pub(super) fn device(call: &mut Call<'_>, _: Node<'_>, w: &mut Writer) -> Answer {
    let serial = match call.text("serial-number") {
        serial if serial.is_empty() => {
            endpoint(call.desk).rsplit('-').next().unwrap_or_default().to_uppercase()
        }
        serial => serial,
    };
    w.open("tds:GetDeviceInformationResponse");
    w.leaf("tds:Manufacturer", MANUFACTURER).leaf("tds:Model", model(call.desk));
    w.leaf("tds:FirmwareVersion", env!("CARGO_PKG_VERSION"));
    w.leaf("tds:SerialNumber", serial).leaf("tds:HardwareId", std::env::consts::ARCH).close();
    Ok(Done::Now)
}

/// Who made this.
pub(crate) const MANUFACTURER: &str = "lensd";

/// What it is.
pub(crate) fn model(desk: &Desk) -> String {
    format!("{MANUFACTURER} {}", desk.config.variant)
}

/// `GetHostname`.
pub(super) fn hostname(call: &mut Call<'_>, _: Node<'_>, w: &mut Writer) -> Answer {
    let name = call.text("hostname");
    w.open("tds:GetHostnameResponse").open("tds:HostnameInformation");
    w.leaf("tt:FromDHCP", false).maybe("tt:Name", Some(name).filter(|n| !n.is_empty()));
    w.close().close();
    Ok(Done::Now)
}

/// `GetSystemDateAndTime`.
pub(super) fn date_and_time(call: &mut Call<'_>, _: Node<'_>, w: &mut Writer) -> Answer {
    let ms = call.at.utc.millis();
    let (rule, zone) = time_zone(call);
    let offset = Timestamp::from_millisecond(ms).map(|at| zone.to_offset_info(at));
    let (shift, saves) =
        offset.map_or((0, false), |o| (i64::from(o.offset().seconds()), o.dst().is_dst()));
    w.open("tds:GetSystemDateAndTimeResponse").open("tds:SystemDateAndTime");
    w.leaf("tt:DateTimeType", date_time_type(call)).leaf("tt:DaylightSavings", saves);
    w.open("tt:TimeZone").leaf("tt:TZ", rule).close();
    moment("tt:UTCDateTime", ms, w);
    moment("tt:LocalDateTime", ms + shift * 1000, w);
    w.close().close();
    Ok(Done::Now)
}

/// Who sets the clock: clients do not try to where it is `NTP`.
pub(super) fn date_time_type(call: &Call<'_>) -> &'static str {
    let on = |key: &str| call.value(key) == Value::Bool(true);
    if on("time-ntp") || on("time-synchronized") { "NTP" } else { "Manual" }
}

/// The machine's time zone as POSIX writes its rule (the last line of a TZif file, RFC 9636 3.3),
/// and as what computes with it.
pub(super) fn time_zone(call: &Call<'_>) -> (String, TimeZone) {
    let rule = fs::read(&call.desk.config.system.localtime).ok().and_then(|bytes| {
        let text = bytes.strip_suffix(b"\n")?;
        let begin = text.iter().rposition(|b| *b == b'\n')? + 1;
        let rule = std::str::from_utf8(&text[begin..]).ok()?.to_owned();
        let zone = TimeZone::posix(&rule).ok()?;
        Some((rule, zone))
    });
    rule.unwrap_or_else(|| ("UTC0".to_owned(), TimeZone::UTC))
}

fn moment(name: &'static str, ms: i64, w: &mut Writer) {
    let c = Civil::of(ms);
    w.open(name);
    w.open("tt:Time").leaf("tt:Hour", c.hour).leaf("tt:Minute", c.minute);
    w.leaf("tt:Second", c.second).close();
    w.open("tt:Date").leaf("tt:Year", c.year).leaf("tt:Month", c.month);
    w.leaf("tt:Day", c.day).close().close();
}

/// The name that people gave this device.
pub(crate) fn name(desk: &Desk) -> String {
    desk.board.value("device-name").as_str().unwrap_or(MANUFACTURER).to_owned()
}
