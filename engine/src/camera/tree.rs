//! Which video nodes there are, and which device each belongs to, as `/dev` and `/sys` show it
//! (kernel documentation `admin-guide/sysfs-rules`, `ABI/testing/sysfs-bus-usb`).
//!
//! Numbers of nodes are given out anew whenever a device comes; what stays is the serial number, or
//! the place where it is attached. No device is opened for that: it may be busy, asleep or ours.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Most nodes that are looked at: the minor numbers of a major one.
const MAX_NODES: usize = 256;
/// Most bytes of a serial number or name; USB strings have at most 126 characters.
const MAX_TEXT: usize = 126;

/// Where the kernel shows devices.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tree {
    dev: PathBuf,
    sys: PathBuf,
}

/// A node as it is there now: another trace whenever its device came back, or who may open it
/// changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trace {
    /// N of `videoN`.
    pub number: u32,
    /// Inode of its entry in sysfs, made anew for each device that comes.
    birth: u64,
    /// Mode, user, group and device number of the node; none while there is no node.
    node: Option<(u32, u32, u32, u64)>,
}

/// The device behind a node.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Identity {
    /// The node.
    pub path: PathBuf,
    /// Stays with the device: USB vendor, product and serial number where it has one, else `place`
    /// and, if that is no USB port, `name`; then interface and number of the node among those of the
    /// device, unless they are 0.
    pub id: String,
    /// Where it is attached, e.g. `usb-0000:00:14.0-1` (as uvcvideo has it in `bus_info`) or
    /// `platform-vivid.0`.
    pub place: String,
    /// USB serial number; empty without one.
    pub serial: String,
    /// What the driver calls the node.
    pub name: String,
}

impl Identity {
    /// Tells devices apart that have one serial number, of which cheap cameras have many.
    pub fn full(&self) -> String {
        format!("{}@{}", self.id, slug(&self.place))
    }

    /// Whether `id` means it, with or without its place.
    pub fn is(&self, id: &str) -> bool {
        id == self.id || id == self.full()
    }
}

/// What a SPEC names a device by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Name<'a> {
    /// A node, or a link of udev below `/dev/v4l`.
    Path(&'a Path),
    /// `serial=`: USB serial number.
    Serial(&'a str),
    /// `bus=`: where it is attached, [`Identity::place`] or what its driver says (`bus_info`).
    Bus(&'a str),
    /// `id=`: [`Identity::id`], as `lensd devices` shows it.
    Id(&'a str),
}

impl<'a> Name<'a> {
    /// Reads a device's name; without a `key=` it is an id.
    pub fn of(text: &'a str) -> Self {
        match text.split_once('=') {
            _ if text.starts_with('/') => Self::Path(Path::new(text)),
            Some(("serial", serial)) => Self::Serial(serial),
            Some(("bus", bus)) => Self::Bus(bus),
            Some(("id", id)) => Self::Id(id),
            _ => Self::Id(text),
        }
    }

    /// Whether it means a node by its number, which the next device to come may get.
    pub fn is_numbered(self) -> bool {
        matches!(self, Self::Path(path) if number_of(path).is_some())
    }

    /// In words.
    pub fn words(self) -> String {
        match self {
            Self::Path(path) => path.display().to_string(),
            Self::Serial(serial) => format!("a camera with the serial number {serial}"),
            Self::Bus(bus) => format!("a camera at {bus}"),
            Self::Id(id) => format!("the camera {id}"),
        }
    }
}

impl Default for Tree {
    /// This machine's.
    fn default() -> Self {
        Self { dev: "/dev".into(), sys: "/sys".into() }
    }
}

impl Tree {
    /// A tree whose `/dev` and `/sys` are in a folder.
    pub fn below(folder: &Path) -> Self {
        Self { dev: folder.join("dev"), sys: folder.join("sys") }
    }

    /// All video nodes, whatever they are for, in the order of their numbers.
    pub fn nodes(&self) -> Vec<Trace> {
        // sysfs knows them even where /dev is not the kernel's; without it, /dev has to do.
        let from = |folder: &Path| -> Vec<(u32, u64)> {
            let entries = fs::read_dir(folder).into_iter().flatten().flatten();
            entries
                .filter_map(|entry| {
                    let number = number_of(Path::new(&entry.file_name()))?;
                    Some((number, fs::symlink_metadata(entry.path()).ok()?.ino()))
                })
                .take(MAX_NODES)
                .collect()
        };
        let mut found = from(&self.sys.join("class/video4linux"));
        if found.is_empty() {
            found = from(&self.dev);
        }
        found.sort_unstable();
        let trace = |(number, birth)| {
            let node = fs::metadata(self.node(number)).ok();
            let node = node.map(|m| (m.mode(), m.uid(), m.gid(), m.rdev()));
            Trace { number, birth, node }
        };
        found.into_iter().map(trace).collect()
    }

    /// The path of a node.
    pub fn node(&self, number: u32) -> PathBuf {
        self.dev.join(format!("video{number}"))
    }

    /// The device behind a node of this number; nothing but the path if there is no such node.
    pub fn identity(&self, number: u32) -> Identity {
        let path = self.node(number);
        let found = self.identities().into_iter().find(|i| i.path == path);
        found.unwrap_or_else(|| Identity { path, ..Identity::default() })
    }

    /// The devices behind all nodes, in the order of their numbers.
    pub fn identities(&self) -> Vec<Identity> {
        let (mut all, mut known) = (Vec::new(), Vec::new());
        for trace in self.nodes() {
            let mut new = self.read_identity(trace.number);
            // Alike in all: the order in which the driver makes them has to do.
            let full = new.full();
            let alike = known.iter().filter(|other| **other == full).count();
            known.push(full);
            if alike > 0 {
                new.id.push_str(&format!("-{}", alike + 1));
            }
            all.push(new);
        }
        all
    }

    fn read_identity(&self, number: u32) -> Identity {
        let entry = self.sys.join(format!("class/video4linux/video{number}"));
        let part = |folder: &Path, attribute: &str, prefix: &str| {
            let number = read(folder, attribute).filter(|n| n.bytes().any(|b| b != b'0'));
            number.map(|n| format!("-{prefix}{}", slug(&n))).unwrap_or_default()
        };
        let index = part(&entry, "index", "");
        let name = read(&entry, "name").unwrap_or_default();
        let path = self.node(number);
        let node = format!("video{number}");
        let Ok(device) = fs::canonicalize(entry.join("device")) else {
            // A device that is made up has no place.
            return Identity { path, id: node.clone(), place: node, serial: String::new(), name };
        };
        let usb = device.ancestors().take(4).find(|folder| folder.join("idVendor").exists());
        let (base, place, serial) = match usb {
            Some(usb) => {
                let vendor = read(usb, "idVendor").unwrap_or_default();
                let product = read(usb, "idProduct").unwrap_or_default();
                let place = usb_place(usb);
                let serial = read(usb, "serial").unwrap_or_default();
                let unique = if slug(&serial).is_empty() { &place } else { &serial };
                let interface = part(&device, "bInterfaceNumber", "if");
                let base = format!("usb-{vendor}-{product}-{}{interface}", slug(unique));
                (base, place, serial)
            }
            None => {
                let bus = fs::read_link(device.join("subsystem")).ok();
                let bus = bus.as_deref().and_then(Path::file_name).unwrap_or_default();
                let own = device.file_name().unwrap_or_default();
                let place = format!("{}-{}", bus.to_string_lossy(), own.to_string_lossy());
                // One such device may have several cameras, or coders.
                (slug(&format!("{place}-{name}")), place, String::new())
            }
        };
        Identity { path, id: format!("{base}{index}"), place, serial, name }
    }

    /// The device behind a path, be it a link; `None` if it leads to no video node that there is.
    pub fn behind(&self, path: &Path) -> Option<Identity> {
        let node = fs::canonicalize(self.place(path)).ok()?;
        let path = self.node(number_of(Path::new(node.file_name()?))?);
        self.identities().into_iter().find(|i| i.path == path)
    }

    /// A path of `/dev` in this tree.
    pub fn place(&self, path: &Path) -> PathBuf {
        path.strip_prefix("/dev").map_or_else(|_| path.to_owned(), |rest| self.dev.join(rest))
    }

    /// Devices that a name means, but for drivers' own words of where they are.
    pub fn named(&self, name: Name<'_>) -> Vec<Identity> {
        match name {
            Name::Path(path) => self.behind(path).into_iter().collect(),
            Name::Serial(serial) => self.those(|i| !i.serial.is_empty() && i.serial == serial),
            Name::Bus(bus) => self.those(|i| i.place == bus),
            Name::Id(id) => self.those(|i| i.is(id)),
        }
    }

    fn those(&self, wanted: impl Fn(&Identity) -> bool) -> Vec<Identity> {
        self.identities().into_iter().filter(wanted).collect()
    }
}

/// N of `videoN`.
fn number_of(path: &Path) -> Option<u32> {
    let digits = path.file_name()?.to_str()?.strip_prefix("video")?;
    let canonical = !digits.starts_with('0') || digits == "0";
    digits.parse().ok().filter(|_| canonical && digits.bytes().all(|b| b.is_ascii_digit()))
}

/// Where a USB device is attached: its controller and the ports on the way, which stay the same
/// over a restart, unlike the bus's number (`usb_make_path` of the kernel).
fn usb_place(device: &Path) -> String {
    let hub = device.ancestors().take(10).find(|folder| {
        let name = folder.file_name().unwrap_or_default().to_string_lossy();
        name.strip_prefix("usb").is_some_and(|n| n.parse::<u32>().is_ok())
    });
    let controller = hub.and_then(Path::parent).and_then(Path::file_name);
    match (controller, read(device, "devpath")) {
        (Some(controller), Some(ports)) => format!("usb-{}-{ports}", controller.to_string_lossy()),
        _ => format!("usb-{}", device.file_name().unwrap_or_default().to_string_lossy()),
    }
}

/// An attribute: its first line, without control characters, cut where it is long.
fn read(folder: &Path, attribute: &str) -> Option<String> {
    let text = String::from_utf8_lossy(&fs::read(folder.join(attribute)).ok()?).into_owned();
    let line = text.lines().next().unwrap_or_default().trim();
    Some(line.chars().filter(|c| !c.is_control()).take(MAX_TEXT).collect())
}

/// Letters, digits, `.`, `_` and `-`, as ids have them.
pub(crate) fn slug(text: &str) -> String {
    let keep = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let slug: String = text.trim().chars().map(|c| if keep(c) { c } else { '-' }).collect();
    slug.trim_matches('-').to_owned()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    /// A folder that is removed in the end, with the tree in it.
    pub(crate) struct Fake {
        root: PathBuf,
    }

    impl Fake {
        pub(crate) fn new(name: &str) -> Self {
            let root =
                std::env::temp_dir().join(format!("lensd-tree-{name}-{}", std::process::id()));
            let _ = fs::remove_dir_all(&root);
            fs::create_dir_all(root.join("dev/v4l/by-path")).unwrap();
            fs::create_dir_all(root.join("sys/class/video4linux")).unwrap();
            Self { root }
        }

        pub(crate) fn tree(&self) -> Tree {
            Tree::below(&self.root)
        }

        fn node(&self, number: u32, index: u32, device: &Path) {
            let own = device.join(format!("video4linux/video{number}"));
            fs::create_dir_all(&own).unwrap();
            fs::write(own.join("index"), format!("{index}\n")).unwrap();
            fs::write(own.join("name"), "A camera\n").unwrap();
            symlink(device, own.join("device")).unwrap();
            let class = self.root.join(format!("sys/class/video4linux/video{number}"));
            symlink(&own, class).unwrap();
            fs::write(self.root.join(format!("dev/video{number}")), "").unwrap();
        }

        /// Plugs a camera in, with a second node for metadata.
        pub(crate) fn plug(&self, number: u32, ports: &str, serial: &str) {
            let hub = self.root.join("sys/devices/pci0000:00/0000:00:14.0/usb3");
            let device = hub.join(format!("3-{ports}"));
            let interface = device.join(format!("3-{ports}:1.0"));
            fs::create_dir_all(&interface).unwrap();
            for (name, text) in [("idVendor", "1d6b"), ("idProduct", "0102"), ("devpath", ports)] {
                fs::write(device.join(name), format!("{text}\n")).unwrap();
            }
            if !serial.is_empty() {
                fs::write(device.join("serial"), format!("{serial}\n")).unwrap();
            }
            self.node(number, 0, &interface);
            self.node(number + 1, 1, &interface);
            let link = self.root.join(format!("dev/v4l/by-path/pci-usb-{ports}-index0"));
            symlink(format!("../../video{number}"), link).unwrap();
        }

        /// Pulls it out again.
        pub(crate) fn pull(&self, number: u32, ports: &str) {
            for n in [number, number + 1] {
                fs::remove_file(self.root.join(format!("dev/video{n}"))).unwrap();
                fs::remove_file(self.root.join(format!("sys/class/video4linux/video{n}"))).unwrap();
            }
            let device = format!("sys/devices/pci0000:00/0000:00:14.0/usb3/3-{ports}");
            fs::remove_dir_all(self.root.join(device)).unwrap();
            fs::remove_file(self.root.join(format!("dev/v4l/by-path/pci-usb-{ports}-index0")))
                .unwrap();
        }

        fn platform(&self, number: u32, name: &str) {
            let device = self.root.join("sys/devices/platform/vivid.0");
            fs::create_dir_all(&device).unwrap();
            let _ = symlink("../../../bus/platform", device.join("subsystem"));
            self.node(number, 0, &device);
            fs::write(device.join(format!("video4linux/video{number}/name")), name).unwrap();
        }
    }

    impl Drop for Fake {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.root);
        }
    }

    #[test]
    fn a_camera_is_known_by_its_serial_number_wherever_it_is_plugged_in() {
        let fake = Fake::new("serial");
        let tree = fake.tree();
        fake.plug(0, "1.2", "SN 7");
        let first = tree.identity(0);
        assert_eq!((first.id.as_str(), first.serial.as_str()), ("usb-1d6b-0102-SN-7", "SN 7"));
        assert_eq!(first.place, "usb-0000:00:14.0-1.2");
        assert_eq!(tree.identity(1).id, "usb-1d6b-0102-SN-7-1", "its second node");
        fake.pull(0, "1.2");
        assert_eq!((tree.nodes(), tree.named(Name::Serial("SN 7"))), (vec![], vec![]));
        fake.plug(4, "3", "SN 7");
        let again = tree.named(Name::Id("usb-1d6b-0102-SN-7"));
        assert_eq!(again.len(), 1);
        assert_eq!((again[0].id.clone(), again[0].path.clone()), (first.id, tree.node(4)));
        assert_ne!(again[0].place, first.place);
    }

    #[test]
    fn without_a_serial_number_the_port_is_what_it_is_known_by() {
        let fake = Fake::new("port");
        let tree = fake.tree();
        fake.plug(0, "1", "");
        fake.plug(2, "2", "");
        assert_eq!(tree.identity(0).id, "usb-1d6b-0102-usb-0000-00-14.0-1");
        let named = |name: &str| {
            let paths = tree.named(Name::of(name)).into_iter().map(|i| i.path);
            paths.filter_map(|p| number_of(&p)).collect::<Vec<_>>()
        };
        assert_eq!(named("bus=usb-0000:00:14.0-2"), [2, 3]);
        assert_eq!(named("id=usb-1d6b-0102-usb-0000-00-14.0-2"), [2]);
        assert_eq!(named("/dev/v4l/by-path/pci-usb-2-index0"), [2]);
        assert_eq!(named("/dev/video0"), [0]);
        assert!(named("serial=").is_empty(), "none is no serial number");
        assert!(named("/dev/video9").is_empty() && named("/dev/null").is_empty());
    }

    #[test]
    fn two_cameras_with_one_serial_number_are_told_apart_by_their_places() {
        let fake = Fake::new("twins");
        let tree = fake.tree();
        fake.plug(0, "1", "0001");
        fake.plug(2, "2", "0001");
        let twins = tree.named(Name::Id("usb-1d6b-0102-0001"));
        assert_eq!(twins.len(), 2);
        let full = twins[1].full();
        assert_eq!(full, "usb-1d6b-0102-0001@usb-0000-00-14.0-2");
        assert_eq!(tree.named(Name::Id(&full)), [twins[1].clone()]);
    }

    #[test]
    fn cameras_of_one_device_are_told_apart() {
        let fake = Fake::new("siblings");
        let tree = fake.tree();
        for (number, name) in [(0, "cap 0"), (1, "cap 1"), (2, "cap 1"), (3, "cap 1")] {
            fake.platform(number, name);
        }
        let ids: Vec<String> = tree.identities().into_iter().map(|i| i.id).collect();
        let place = "platform-vivid.0-cap";
        assert_eq!(ids, ["0", "1", "1-2", "1-3"].map(|n| format!("{place}-{n}")));
        fake.plug(4, "1", "S");
        let interface = fs::canonicalize(fake.root.join("sys/class/video4linux/video4/device"));
        fs::write(interface.unwrap().join("bInterfaceNumber"), "03\n").unwrap();
        assert_eq!(tree.identity(4).id, "usb-1d6b-0102-S-if03");
    }

    #[test]
    fn a_device_that_came_back_leaves_another_trace() {
        let fake = Fake::new("trace");
        let tree = fake.tree();
        fake.platform(0, "cap");
        assert_eq!(tree.identity(0).id, "platform-vivid.0-cap");
        let before = tree.nodes();
        assert_eq!(before, tree.nodes());
        let link = fake.root.join("sys/class/video4linux/video0");
        let to = fs::read_link(&link).unwrap();
        // The old one is kept, so that its inode is not given out again at once.
        fs::rename(&link, fake.root.join("old")).unwrap();
        symlink(to, &link).unwrap();
        assert_ne!(before, tree.nodes());
        fs::remove_file(fake.root.join("dev/video0")).unwrap();
        assert!(tree.nodes()[0].node.is_none());
    }

    #[test]
    fn names_of_nodes_are_read_strictly() {
        let number = |name: &str| number_of(Path::new(name));
        assert_eq!((number("/dev/video0"), number("video63")), (Some(0), Some(63)));
        for wrong in ["video", "video+1", "video01", "videox", "vbi0", "video4294967296"] {
            assert_eq!(number(wrong), None, "{wrong}");
        }
        assert!(Name::of("/dev/video0").is_numbered());
        assert!(!Name::of("/dev/v4l/by-id/usb-x-index0").is_numbered());
    }
}
