//! V4L2 devices of this machine: cameras, encoders and scalers, and what they can do.

use crate::camera::controls::{self, Control};
use crate::camera::tree::{Identity, Name, Tree};
use crate::sys::v4l2::format::{FourCc, Interval, IntervalEntry, SizeEntry};
use crate::sys::v4l2::{Device as Node, QueueType, Refusal};
use rustix::io::Errno;
use serde::Serialize;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

/// What a device is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Pictures are captured from it.
    Camera,
    /// It codes pictures: memory to memory, stateful.
    Encoder,
    /// It makes raw pictures of raw pictures, memory to memory: scales them, if it can.
    Scaler,
    /// It could not be asked.
    Unknown,
}

/// A device.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Device {
    /// Its node, e.g. `/dev/video0`; may be another after it was unplugged.
    pub path: PathBuf,
    /// A name that stays the same: by serial number, else by where it is attached.
    pub id: String,
    /// What it is for.
    pub role: Role,
    /// Name for people.
    pub card: String,
    /// Driver.
    pub driver: String,
    /// Where it is attached.
    pub bus: String,
    /// USB serial number.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub serial: String,
    /// Why it cannot be used now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// Inputs, the chosen one first named in [`Device::input`].
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub inputs: Vec<String>,
    /// The input that is chosen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input: Option<u32>,
    /// Formats that a camera gives, or an encoder or a scaler takes.
    pub formats: Vec<FormatCaps>,
    /// Codings that an encoder gives.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub codings: Vec<FourCc>,
    /// Controls.
    pub controls: Vec<Control>,
}

/// A format and its sizes.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FormatCaps {
    /// Its four characters.
    pub fourcc: FourCc,
    /// In words.
    pub description: String,
    /// Whether it is coded.
    pub compressed: bool,
    /// Sizes; empty if the driver does not say.
    pub sizes: Vec<SizeCaps>,
}

/// A size, or a range of sizes, and its frame rates.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SizeCaps {
    /// Least size; the only one if `max` is the same.
    pub min: (u32, u32),
    /// Greatest size.
    pub max: (u32, u32),
    /// Steps between sizes.
    pub step: (u32, u32),
    /// Rates; empty if the driver does not say.
    pub rates: Vec<Rate>,
}

/// A frame rate, or a range of them.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Rate {
    /// Exactly this interval.
    Interval(Interval),
    /// Any interval between the fastest and the slowest.
    Range {
        /// The shortest interval.
        fastest: Interval,
        /// The longest interval.
        slowest: Interval,
    },
}

/// Where enumerations of broken drivers end.
const MOST: u32 = 512;

/// All cameras, encoders and scalers, in the order of their numbers. Metadata, output and radio
/// nodes and decoders are left out; what is busy or denied is listed with the reason.
pub fn list() -> Vec<Device> {
    listed(true)
}

/// As [`list`], without formats, inputs, controls: which devices there are, and what for. Asking for
/// all takes seconds with some drivers, and disturbs cameras whose controls are asked over USB.
pub fn outline() -> Vec<Device> {
    listed(false)
}

fn listed(detailed: bool) -> Vec<Device> {
    let tree = Tree::default();
    let known = tree.identities();
    let mut devices: Vec<_> =
        known.into_iter().filter_map(|i| Some((examine(&i, detailed)?, i.full()))).collect();
    tell_apart(&mut devices);
    devices.into_iter().map(|(device, _)| device).collect()
}

/// The device that a SPEC's name means now: of several, the one that was used last, else the first
/// that captures. Those that `taken` says are somebody else's are left out.
///
/// # Errors
/// There is none, in words.
pub fn find(
    tree: &Tree,
    name: Name<'_>,
    last: &str,
    taken: impl Fn(&Identity) -> bool,
) -> Result<Identity, String> {
    let mut found = tree.named(name);
    if let (Name::Bus(bus), true) = (name, found.is_empty()) {
        // Drivers have words of their own, such as `platform:bcm2835-isp`.
        let says = |i: &Identity| Some(Node::open(&i.path).ok()?.querycap().ok()?.bus == bus);
        found = tree.identities().into_iter().filter(|i| says(i) == Some(true)).collect();
    }
    found.retain(|i| !taken(i));
    if found.len() > 1 {
        let place = found.iter().position(|i| i.full() == last);
        let place = place.or_else(|| found.iter().position(|i| captures(&i.path) == Some(true)));
        found.swap(0, place.unwrap_or(0));
    }
    found.into_iter().next().ok_or_else(|| missing(&name.words(), None))
}

/// Whether a node is one that pictures are captured from; `None` if it cannot be asked now.
pub fn captures(path: &Path) -> Option<bool> {
    let cap = Node::open(path).and_then(|node| node.querycap()).ok()?;
    Some(cap.streams() && cap.capture_queue().is_some())
}

/// All video nodes, whatever they are for.
pub fn paths() -> Vec<PathBuf> {
    let tree = Tree::default();
    tree.nodes().iter().map(|trace| tree.node(trace.number)).collect()
}

/// What a device is, and what it can do if that is asked for (`detailed`); `None` if it is neither
/// camera nor encoder nor scaler.
fn examine(identity: &Identity, detailed: bool) -> Option<Device> {
    let path = identity.path.as_path();
    let mut device = Device {
        path: path.to_owned(),
        id: identity.id.clone(),
        role: Role::Unknown,
        card: identity.name.clone(),
        driver: String::new(),
        bus: identity.place.clone(),
        serial: identity.serial.clone(),
        problem: None,
        inputs: Vec::new(),
        input: None,
        formats: Vec::new(),
        codings: Vec::new(),
        controls: Vec::new(),
    };
    let asked = Node::open(path).and_then(|node| node.querycap().map(|cap| (node, cap)));
    let (node, cap) = match asked {
        Ok(found) => found,
        Err(refusal) => {
            device.problem = Some(reason(path, &refusal));
            return Some(device);
        }
    };
    if let Some(queue) = cap.capture_queue() {
        device.role = Role::Camera;
        if detailed {
            device.formats = formats(&node, queue, |_| true);
            device.inputs = (0..64).map_while(|i| node.enuminput(i)).map(|i| i.name).collect();
            device.input = node.g_input().ok().filter(|_| !device.inputs.is_empty());
        }
        if !cap.streams() {
            device.problem = Some("its driver has no streaming I/O".into());
        }
    } else {
        let (output, capture) = cap.m2m_queues()?;
        device.codings = codings(&node, output, capture);
        device.role = match device.codings.as_slice() {
            [] if converts(&node, output, capture) => Role::Scaler,
            [] => return None,
            _ => Role::Encoder,
        };
        if detailed {
            device.formats = formats(&node, output, |_| true);
        }
    }
    (device.card, device.driver, device.bus) = (cap.card, cap.driver, cap.bus);
    if detailed {
        device.controls = controls::list(&node);
    }
    Some(device)
}

/// Codings that a memory-to-memory device makes of raw pictures; none if it is no encoder.
pub(crate) fn codings(node: &Node, output: QueueType, capture: QueueType) -> Vec<FourCc> {
    let takes_raw = (0..MOST).map_while(|i| node.enum_fmt(output, i)).any(|f| !f.compressed());
    let coded = (0..MOST).map_while(|i| node.enum_fmt(capture, i)).filter(|f| f.compressed());
    if takes_raw { coded.map(|f| f.fourcc).collect() } else { Vec::new() }
}

/// Whether a memory-to-memory device has raw pictures on both sides, and nothing else.
pub(crate) fn converts(node: &Node, output: QueueType, capture: QueueType) -> bool {
    [output, capture].into_iter().all(|queue| {
        let mut formats = (0..MOST).map_while(|i| node.enum_fmt(queue, i)).peekable();
        formats.peek().is_some() && formats.all(|format| !format.compressed())
    })
}

/// Formats of a queue, those that are `detailed` with their sizes and rates: asking for all takes
/// thousands of calls with some drivers.
pub(crate) fn formats(
    node: &Node,
    queue: QueueType,
    detailed: impl Fn(FourCc) -> bool,
) -> Vec<FormatCaps> {
    (0..MOST)
        .map_while(|i| node.enum_fmt(queue, i))
        .filter(|format| !format.emulated())
        .map(|format| FormatCaps {
            fourcc: format.fourcc,
            compressed: format.compressed(),
            sizes: if detailed(format.fourcc) { sizes(node, format.fourcc) } else { Vec::new() },
            description: format.description,
        })
        .collect()
}

fn sizes(node: &Node, fourcc: FourCc) -> Vec<SizeCaps> {
    (0..MOST)
        .map_while(|i| node.enum_framesizes(i, fourcc))
        .filter_map(|entry| match entry {
            SizeEntry::Discrete(w, h) => Some(((w, h), (w, h), (0, 0))),
            SizeEntry::Stepwise(min, max, step) => Some((min, max, step)),
            SizeEntry::Unknown => None,
        })
        // A range's rates are those of its greatest size: what it can do at least.
        .map(|(min, max, step)| SizeCaps { min, max, step, rates: rates(node, fourcc, max) })
        .collect()
}

fn rates(node: &Node, fourcc: FourCc, size: (u32, u32)) -> Vec<Rate> {
    (0..MOST)
        .map_while(|i| node.enum_frameintervals(i, fourcc, size))
        .filter_map(|entry| match entry {
            IntervalEntry::Discrete(interval) => Some(Rate::Interval(interval)),
            IntervalEntry::Range(fastest, slowest) => Some(Rate::Range { fastest, slowest }),
            IntervalEntry::Unknown => None,
        })
        .collect()
}

/// Why a device could not be opened or used, and what to do.
pub(crate) fn reason(path: &Path, refusal: &Refusal) -> String {
    let path_shown = path.display();
    match refusal.errno {
        Errno::ACCESS | Errno::PERM => format!(
            "no permission for {path_shown}: add the user that runs lensd to the group video \
             (usermod -aG video USER) and log in again"
        ),
        Errno::BUSY => match holders(path) {
            names if names.is_empty() => {
                format!("{path_shown} is busy: another program is using it; stop that first")
            }
            names => format!("{path_shown} is busy: {} has it; stop that first", names.join(", ")),
        },
        Errno::NOENT | Errno::NODEV | Errno::NXIO => missing(&path_shown.to_string(), Some(path)),
        _ => format!("{path_shown}: {refusal}"),
    }
}

/// That a device is not there, and which cameras are.
fn missing(what: &str, but: Option<&Path>) -> String {
    let cameras: Vec<_> = paths()
        .iter()
        .filter(|other| but.is_none_or(|path| *other != path))
        .filter_map(|path| {
            let queue = Node::open(path).ok()?.querycap().ok()?;
            queue.capture_queue()?;
            Some(format!("{} ({})", path.display(), queue.card))
        })
        .collect();
    if cameras.is_empty() {
        format!("{what} does not exist, nor does any other camera")
    } else {
        format!("{what} does not exist; there is {}", cameras.join(", "))
    }
}

/// Programs that have `path` open, as far as /proc lets us see.
fn holders(path: &Path) -> Vec<String> {
    let mut names = Vec::new();
    for process in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Ok(pid) = process.file_name().to_string_lossy().parse::<u32>() else { continue };
        let fds = fs::read_dir(process.path().join("fd")).into_iter().flatten().flatten();
        let count = fds.filter(|fd| fs::read_link(fd.path()).is_ok_and(|to| to == path)).count();
        // Our own attempt is one of them.
        if count > usize::from(pid == std::process::id()) {
            let name = fs::read_to_string(process.path().join("comm")).unwrap_or_default();
            names.push(format!("{} (process {pid})", name.trim()));
        }
    }
    names
}

/// Gives devices whose ids are the same, such as two cameras with one serial number, ids that also
/// say where they are attached.
fn tell_apart(devices: &mut [(Device, String)]) {
    let ids: Vec<_> = devices.iter().map(|(d, _)| d.id.clone()).collect();
    for (device, full) in devices.iter_mut() {
        if ids.iter().filter(|id| **id == device.id).count() > 1 {
            device.id.clone_from(full);
        }
    }
}

impl SizeCaps {
    /// The size for people.
    pub fn words(&self) -> String {
        let ((w, h), (max_w, max_h)) = (self.min, self.max);
        if self.min == self.max {
            return format!("{w}x{h}");
        }
        match self.step {
            (0 | 1, 0 | 1) => format!("{w}x{h} to {max_w}x{max_h}"),
            (x, y) => format!("{w}x{h} to {max_w}x{max_h} in steps of {x}x{y}"),
        }
    }
}

impl Rate {
    /// The rate for people, in frames per second.
    pub fn words(&self) -> String {
        let shown = |interval: &Interval| {
            let text = format!("{:.2}", interval.fps());
            text.trim_end_matches('0').trim_end_matches('.').to_owned()
        };
        match self {
            Self::Interval(interval) => shown(interval),
            Self::Range { fastest, slowest } => format!("{}-{}", shown(slowest), shown(fastest)),
        }
    }
}

/// The devices for people.
pub fn table(devices: &[Device]) -> String {
    let mut out = String::new();
    if devices.is_empty() {
        out.push_str("No V4L2 camera, encoder or scaler.\n");
    }
    for d in devices {
        let role = match d.role {
            Role::Camera => "camera",
            Role::Encoder => "encoder",
            Role::Scaler => "scaler",
            Role::Unknown => "?",
        };
        let _ = writeln!(out, "{}  {role}  {}  [{}]", d.path.display(), d.card, d.id);
        if !d.driver.is_empty() {
            let _ = writeln!(out, "  driver   {} at {}", d.driver, d.bus);
        }
        if d.role == Role::Camera {
            let _ = writeln!(out, "  SPEC     v4l2:id={}", d.id);
        }
        if !d.serial.is_empty() {
            let _ = writeln!(out, "  serial   {}", d.serial);
        }
        if let Some(problem) = &d.problem {
            let _ = writeln!(out, "  problem  {problem}");
        }
        if d.inputs.len() > 1 {
            let chosen = |i: usize| if d.input.is_some_and(|n| n as usize == i) { "*" } else { "" };
            let inputs: Vec<_> = d
                .inputs
                .iter()
                .enumerate()
                .map(|(i, name)| format!("{name}{}", chosen(i)))
                .collect();
            let _ = writeln!(out, "  inputs   {}", inputs.join(", "));
        }
        if !d.codings.is_empty() {
            let codings: Vec<_> = d.codings.iter().map(ToString::to_string).collect();
            let _ = writeln!(out, "  codings  {}", codings.join(", "));
        }
        for format in &d.formats {
            let _ = writeln!(out, "  format   {:<5} {}", format.fourcc, format.description);
            for size in &format.sizes {
                let rates: Vec<_> = size.rates.iter().map(Rate::words).collect();
                let fps = if rates.is_empty() { "" } else { " fps" };
                let _ = writeln!(out, "             {:<12} {}{fps}", size.words(), rates.join(" "));
            }
        }
        for c in &d.controls {
            let value = c.value.as_ref().map_or_else(String::new, |v| format!("= {v}"));
            let range = match c.items.is_empty() {
                true => format!("{}..{} step {}", c.minimum, c.maximum, c.step),
                false => c
                    .items
                    .iter()
                    .map(|item| format!("{} {}", item.index, item.name))
                    .collect::<Vec<_>>()
                    .join(", "),
            };
            let flags =
                if c.flags.is_empty() { String::new() } else { format!(" {}", c.flags.join(" ")) };
            let _ = writeln!(out, "  control  {:<32} {value} ({range}){flags}", c.key);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(path: &str, id: &str, bus: &str) -> Device {
        Device {
            path: path.into(),
            id: id.into(),
            role: Role::Camera,
            card: "A camera".into(),
            driver: "uvcvideo".into(),
            bus: bus.into(),
            serial: "SN7".into(),
            problem: None,
            inputs: Vec::new(),
            input: None,
            formats: vec![FormatCaps {
                fourcc: FourCc::new(b"YUYV"),
                description: "YUYV 4:2:2".into(),
                compressed: false,
                sizes: vec![SizeCaps {
                    min: (16, 16),
                    max: (1920, 1080),
                    step: (8, 2),
                    rates: vec![
                        Rate::Interval(Interval { numerator: 1001, denominator: 30_000 }),
                        Rate::Range {
                            fastest: Interval { numerator: 1, denominator: 60 },
                            slowest: Interval { numerator: 1, denominator: 5 },
                        },
                    ],
                }],
            }],
            codings: Vec::new(),
            controls: Vec::new(),
        }
    }

    #[test]
    fn two_cameras_with_one_serial_number() {
        let twin = |path, id: &str, place| (device(path, id, place), format!("{id}@{place}"));
        let mut devices = [
            twin("/dev/video0", "usb-1-2-SN", "usb-1"),
            twin("/dev/video2", "usb-1-2-SN", "usb-2"),
            twin("/dev/video4", "usb-1-2-SM", "usb-3"),
        ];
        tell_apart(&mut devices);
        let ids = devices.each_ref().map(|(d, _)| d.id.as_str());
        assert_eq!(ids, ["usb-1-2-SN@usb-1", "usb-1-2-SN@usb-2", "usb-1-2-SM"]);
    }

    #[test]
    fn the_table_says_sizes_and_rates() {
        let table = table(&[device("/dev/video0", "x", "y")]);
        assert!(table.contains("/dev/video0  camera  A camera  [x]"), "{table}");
        assert!(table.contains("SPEC     v4l2:id=x\n  serial   SN7"), "{table}");
        assert!(table.contains("16x16 to 1920x1080 in steps of 8x2 29.97 5-60 fps"), "{table}");
    }

    #[test]
    fn json_says_a_rate_as_a_fraction() {
        let json = serde_json::to_value([device("/dev/video0", "x", "y")]).unwrap();
        let format = &json[0]["formats"][0];
        assert_eq!(format["fourcc"], "YUYV");
        assert_eq!(format["sizes"][0]["rates"][0]["denominator"], 30_000);
        assert_eq!(format["sizes"][0]["rates"][1]["fastest"]["denominator"], 60);
    }

    #[test]
    fn reasons_say_what_to_do() {
        let refusal = |errno| Refusal { call: "open", errno, why: "" };
        let path = Path::new("/dev/video4711");
        assert!(reason(path, &refusal(Errno::ACCESS)).contains("group video"));
        assert!(reason(path, &refusal(Errno::BUSY)).contains("another program is using it"));
        assert!(reason(path, &refusal(Errno::NOENT)).contains("does not exist"));
    }

    #[test]
    fn a_machine_without_cameras() {
        assert_eq!(table(&[]), "No V4L2 camera, encoder or scaler.\n");
    }
}
