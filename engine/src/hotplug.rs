//! Cameras that come and go: notices it, and knows which device is which camera's.
//!
//! What wakes is a uevent of the kernel, or time: a container may have no such socket, or one that
//! stays silent. What counts is what `/dev` and `/sys` show then.
//!
//! A device belongs to the camera that had it last, whatever number its node has now. A camera that
//! was configured by the number of a node (`/dev/video0`) is looked for by what was found there
//! first; only if that is away and the node is nobody else's is the node taken as it is.

use crate::camera::devices;
use crate::camera::tree::{Identity, Name, Trace, Tree};
use crate::sys::uevent::{Heard, MAX_MESSAGE, Socket};
use crate::thread::{Stop, Thread};
use lensd_ffi::bell::Bell;
use lensd_ffi::state::{CameraEvent, MAX_EVENTS};
use lensd_ffi::time::{Nanos, utc_now};
use parking_lot::Mutex;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// How often devices are looked at without a word of the kernel, and while a camera is away.
const PERIOD: Nanos = Nanos::from_secs(1);
const QUICK: Nanos = Nanos::from_millis(250);
/// Most messages that are taken before what they mean is looked at.
const MAX_AT_ONCE: usize = 256;

/// A device that a camera has, had, or waits for.
#[derive(Debug, Clone, Default)]
struct Claim {
    /// What its SPEC says.
    name: String,
    /// What was opened last; without a path: nothing was.
    device: Identity,
    /// Whether it is open now.
    open: bool,
}

/// What became of the cameras, for those who ask.
#[derive(Debug, Default)]
struct Journal {
    events: VecDeque<CameraEvent>,
    last: u64,
    /// What was said of each camera.
    said: BTreeMap<u32, bool>,
}

/// What is known of devices, for all threads.
#[derive(Debug, Default)]
pub struct Watch {
    tree: Tree,
    /// Counts changes of the devices.
    changes: AtomicU64,
    claims: Mutex<BTreeMap<u32, Claim>>,
    bells: Mutex<Vec<Bell>>,
    /// Devices that capture, if somebody wants to know of all of them.
    cameras: Option<Mutex<Vec<Identity>>>,
    journal: Mutex<Journal>,
}

/// Where a camera is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The node to open.
    pub path: PathBuf,
    /// The device behind it; none if it is no video node.
    pub device: Option<Identity>,
}

impl Watch {
    /// Nothing known yet. `automatic`: all devices that capture are to become cameras.
    pub fn new(tree: Tree, automatic: bool) -> Self {
        Self { tree, cameras: automatic.then(Mutex::default), ..Self::default() }
    }

    /// How often devices have changed.
    pub fn changes(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }

    /// Rings whenever they change.
    pub fn wake(&self, bell: Bell) {
        self.bells.lock().push(bell);
    }

    /// A camera whose SPEC names its device so.
    pub fn expect(&self, camera: u32, name: &str) {
        let mut claims = self.claims.lock();
        let claim = claims.entry(camera).or_default();
        if claim.name != name {
            *claim = Claim { name: name.to_owned(), ..Claim::default() };
        }
    }

    /// Where a camera's device is now.
    ///
    /// # Errors
    /// It is not there, or what is there is another camera's; in words.
    pub fn find(&self, camera: u32, name: &str) -> Result<Found, String> {
        let claims = self.claims.lock().clone();
        let own = claims.get(&camera).filter(|c| c.name == name).map(|c| &c.device);
        let own = own.filter(|device| !device.id.is_empty());
        let owner = |i: &Identity| {
            let full = i.full();
            let theirs = |c: &Claim| {
                let named = c.name.strip_prefix("id=") == Some(&full);
                named || c.device.full() == full || c.open && c.device.path == i.path
            };
            claims.iter().find(|(id, c)| **id != camera && theirs(c)).map(|(id, _)| *id)
        };
        let found = |device: Identity| Found { path: device.path.clone(), device: Some(device) };
        let named = Name::of(name);
        let Name::Path(path) = named else {
            let last = own.map(Identity::full).unwrap_or_default();
            return devices::find(&self.tree, named, &last, |i| owner(i).is_some()).map(found);
        };
        let there = self.tree.behind(path);
        if let Some(own) = own.filter(|_| named.is_numbered()) {
            let all = self.tree.identities();
            let same = all.iter().find(|i| i.full() == own.full());
            let moved = || all.iter().find(|i| !own.serial.is_empty() && i.id == own.id);
            if let Some(device) = same.or_else(moved).filter(|i| owner(i).is_none()) {
                return Ok(found(device.clone()));
            }
            if let Some(other) = there.as_ref().and_then(owner) {
                return Err(format!(
                    "{name} is camera {other}'s device now; this camera's ({}) is away",
                    own.id
                ));
            }
        }
        Ok(there.map_or_else(|| Found { path: self.tree.place(path), device: None }, found))
    }

    /// Whether a camera's device is there now, as far as can be seen without opening it.
    pub fn is_there(&self, camera: u32, name: &str) -> bool {
        self.find(camera, name).is_ok_and(|found| found.path.exists())
    }

    /// A camera has opened a device.
    pub fn opened(&self, camera: u32, name: &str, found: &Found) {
        let mut claims = self.claims.lock();
        let device = found.device.clone().unwrap_or_default();
        claims.insert(camera, Claim { name: name.to_owned(), device, open: true });
    }

    /// The device that a camera has open.
    pub fn device(&self, camera: u32) -> Option<Identity> {
        let claims = self.claims.lock();
        claims.get(&camera).filter(|c| c.open && !c.device.id.is_empty()).map(|c| c.device.clone())
    }

    /// It has closed it.
    pub fn closed(&self, camera: u32) {
        if let Some(claim) = self.claims.lock().get_mut(&camera) {
            claim.open = false;
        }
    }

    /// Devices that capture and are no camera's, as SPECs name them. Only where that was wished.
    pub fn newcomers(&self) -> Vec<String> {
        let Some(cameras) = &self.cameras else { return Vec::new() };
        let claims = self.claims.lock();
        let mut new: Vec<String> = Vec::new();
        for device in cameras.lock().iter() {
            let known = |c: &Claim| {
                let awaited = !c.open && self.means(&c.name, device);
                awaited
                    || c.device.full() == device.full()
                    || c.device.path == device.path && c.open
            };
            if claims.values().any(known) {
                continue;
            }
            // A serial number that another has, too, is not enough.
            let id = format!("id={}", device.id);
            let same = |name: &str| name.split_once('@').map_or(name, |(base, _)| base) == id;
            let twin = claims.values().any(|c| c.device.id == device.id || same(&c.name))
                || new.iter().any(|name| same(name));
            new.push(if twin { format!("id={}", device.full()) } else { id });
        }
        new
    }

    fn means(&self, name: &str, device: &Identity) -> bool {
        match Name::of(name) {
            Name::Path(path) => self.tree.place(path) == device.path,
            Name::Serial(serial) => device.serial == serial,
            Name::Bus(bus) => device.place == bus,
            Name::Id(id) => device.is(id),
        }
    }

    /// Whether a camera waits for its device.
    fn awaits(&self) -> bool {
        self.claims.lock().values().any(|claim| !claim.open)
    }

    /// Looks at the devices; whether they have changed, or must have. Then all are woken.
    fn look(&self, seen: &mut Seen, told: bool) -> bool {
        let nodes = self.tree.nodes();
        let news = told || nodes != seen.nodes;
        if news {
            // First of all: who waits for a device need not wait until all were asked.
            self.tell();
        }
        let unsure = seen.capturing.iter().any(|(_, captures)| captures.is_none());
        if let Some(cameras) = &self.cameras
            && (news || unsure)
        {
            let before = std::mem::take(&mut seen.capturing);
            let ask = |trace: &Trace| {
                let known = before.iter().find(|(known, _)| known == trace);
                let known = known.and_then(|(_, captures)| *captures);
                let captures = known.or_else(|| devices::captures(&self.tree.node(trace.number)));
                (trace.clone(), captures)
            };
            seen.capturing = nodes.iter().map(ask).collect();
            let capturing = seen.capturing.iter().filter(|(_, captures)| *captures == Some(true));
            let paths: Vec<_> = capturing.map(|(t, _)| self.tree.node(t.number)).collect();
            let mut all = self.tree.identities();
            all.retain(|i| paths.contains(&i.path));
            if *cameras.lock() != all {
                *cameras.lock() = all;
                self.tell();
            }
        }
        seen.nodes = nodes;
        news
    }

    /// Wakes all.
    fn tell(&self) {
        self.changes.fetch_add(1, Ordering::AcqRel);
        for bell in self.bells.lock().iter() {
            bell.ring();
        }
    }

    /// As the thread does, for tests that have none.
    #[cfg(test)]
    pub(crate) fn look_now(&self) {
        self.look(&mut Seen::default(), true);
    }

    /// Notes that a camera delivers, or why it does not; once each time.
    pub fn note(&self, camera: u32, name: &str, outcome: Result<(), &str>) {
        let mut journal = self.journal.lock();
        if journal.said.insert(camera, outcome.is_ok()) == Some(outcome.is_ok()) {
            return;
        }
        journal.last += 1;
        let event = CameraEvent {
            number: journal.last,
            time_ms: utc_now().millis(),
            camera,
            name: name.to_owned(),
            connected: outcome.is_ok(),
            reason: outcome.err().unwrap_or_default().chars().take(300).collect(),
        };
        journal.events.push_back(event);
        if journal.events.len() > MAX_EVENTS {
            journal.events.pop_front();
        }
    }

    /// The number of the newest event; 0 before the first.
    pub fn newest_event(&self) -> u64 {
        self.journal.lock().last
    }

    /// What became of the cameras, oldest first.
    pub fn events(&self) -> Vec<CameraEvent> {
        self.journal.lock().events.iter().cloned().collect()
    }
}

/// What was seen at the last look.
#[derive(Debug, Default)]
struct Seen {
    nodes: Vec<Trace>,
    /// Whether each captures: a node is opened once for that. None: it could not be asked yet.
    capturing: Vec<(Trace, Option<bool>)>,
}

/// Starts the thread that looks.
///
/// # Errors
/// When there is no thread or descriptor to be had.
pub fn start(watch: Arc<Watch>) -> io::Result<Thread> {
    let bell = Arc::new(Bell::new()?);
    let own = Arc::clone(&bell);
    let socket = match Socket::open() {
        Ok(socket) => Some(socket),
        Err(e) => {
            tracing::info!("the kernel does not tell of devices here ({e}): they are polled");
            None
        }
    };
    Thread::start("hotplug", Stop::new(bell), move |stop| run(&watch, socket, &own, stop))
}

fn run(watch: &Watch, mut socket: Option<Socket>, bell: &Bell, stop: &Stop) {
    let mut seen = Seen { nodes: watch.tree.nodes(), ..Seen::default() };
    // What came between the start of the cameras and now.
    let mut told = true;
    while !stop.is_set() {
        watch.look(&mut seen, told);
        let span = if watch.awaits() { QUICK } else { PERIOD };
        let timeout = Timespec {
            tv_sec: (span.0 / 1_000_000_000).cast_signed(),
            tv_nsec: (span.0 % 1_000_000_000).cast_signed(),
        };
        let mut fds = vec![PollFd::new(bell, PollFlags::IN)];
        fds.extend(socket.as_ref().map(|socket| PollFd::new(socket, PollFlags::IN)));
        let _ = poll(&mut fds, Some(&timeout));
        told = match socket.as_ref().map(hear) {
            Some(Ok(told)) => told,
            Some(Err(e)) => {
                tracing::warn!("the kernel's word of devices has ended ({e}): they are polled");
                socket = None;
                true
            }
            None => false,
        };
    }
}

/// Takes what the kernel has said; whether it was about video devices.
fn hear(socket: &Socket) -> io::Result<bool> {
    let mut buffer = [0; MAX_MESSAGE];
    let mut told = false;
    for _ in 0..MAX_AT_ONCE {
        match socket.hear(&mut buffer)? {
            Heard::Event(event) => told |= event.subsystem == "video4linux",
            Heard::Lost => told = true,
            Heard::Noise => {}
            Heard::Empty => break,
        }
    }
    Ok(told)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::camera::tree::tests::Fake;

    fn watch(fake: &Fake) -> Watch {
        Watch::new(fake.tree(), true)
    }

    /// As a camera's thread does.
    fn open(watch: &Watch, camera: u32, name: &str) -> Result<String, String> {
        watch.expect(camera, name);
        let found = watch.find(camera, name)?;
        if !found.path.exists() {
            return Err("no node".to_owned());
        }
        watch.opened(camera, name, &found);
        Ok(found.path.file_name().unwrap().to_string_lossy().into_owned())
    }

    fn capture(watch: &Watch, numbers: &[u32]) {
        // Files instead of nodes do not say that they capture.
        *watch.cameras.as_ref().unwrap().lock() =
            numbers.iter().map(|n| watch.tree.identity(*n)).collect();
    }

    #[test]
    fn a_camera_is_the_same_under_another_number() {
        let fake = Fake::new("number");
        let watch = watch(&fake);
        fake.plug(0, "1", "A");
        fake.plug(2, "2", "B");
        for (camera, name) in [(1, "/dev/video0"), (2, "/dev/video2")] {
            assert_eq!(open(&watch, camera, name).unwrap(), name[5..]);
        }
        fake.pull(0, "1");
        fake.pull(2, "2");
        watch.closed(1);
        watch.closed(2);
        assert!(!watch.is_there(1, "/dev/video0") && !watch.is_there(2, "/dev/video2"));
        // Camera 2 comes first, under the number that camera 1 had.
        fake.plug(0, "2", "B");
        assert!(watch.is_there(2, "/dev/video2"));
        let refused = open(&watch, 1, "/dev/video0").unwrap_err();
        assert!(refused.contains("camera 2's device now"), "{refused}");
        assert_eq!(open(&watch, 2, "/dev/video2").unwrap(), "video0");
        fake.plug(5, "3", "A");
        assert_eq!(open(&watch, 1, "/dev/video0").unwrap(), "video5", "in another port, too");
    }

    #[test]
    fn a_camera_that_was_exchanged_is_taken_at_its_number() {
        let fake = Fake::new("exchanged");
        let watch = watch(&fake);
        fake.plug(0, "1", "A");
        open(&watch, 1, "/dev/video0").unwrap();
        fake.pull(0, "1");
        watch.closed(1);
        fake.plug(0, "1", "C");
        assert_eq!(open(&watch, 1, "/dev/video0").unwrap(), "video0");
        // By its serial number it is only itself.
        let refused = open(&watch, 2, "serial=A").unwrap_err();
        assert!(
            refused.starts_with("a camera with the serial number A does not exist"),
            "{refused}"
        );
    }

    #[test]
    fn a_link_of_udev_means_what_it_leads_to() {
        let fake = Fake::new("link");
        let watch = watch(&fake);
        let name = "/dev/v4l/by-path/pci-usb-1-index0";
        fake.plug(0, "1", "A");
        assert_eq!(open(&watch, 1, name).unwrap(), "video0");
        fake.pull(0, "1");
        watch.closed(1);
        assert!(!watch.is_there(1, name));
        fake.plug(2, "1", "Z");
        assert_eq!(open(&watch, 1, name).unwrap(), "video2");
    }

    #[test]
    fn who_is_new_and_who_came_back() {
        let fake = Fake::new("new");
        let watch = watch(&fake);
        fake.plug(0, "1", "A");
        fake.plug(2, "2", "A");
        capture(&watch, &[0, 2]);
        let id = "id=usb-1d6b-0102-A";
        // One serial number, two cameras: the second is known by its place.
        let twin = format!("{id}@usb-0000-00-14.0-2");
        assert_eq!(watch.newcomers(), [id, &twin]);
        assert_eq!(open(&watch, 1, id).unwrap(), "video0");
        assert_eq!(watch.newcomers(), [twin.as_str()]);
        assert_eq!(open(&watch, 2, &twin).unwrap(), "video2");
        assert_eq!(watch.newcomers(), [""; 0]);
        fake.pull(0, "1");
        watch.closed(1);
        capture(&watch, &[2]);
        assert!(!watch.is_there(1, id), "its twin is camera 2's");
        fake.plug(7, "1", "A");
        capture(&watch, &[2, 7]);
        assert_eq!(watch.newcomers(), [""; 0]);
        assert_eq!(open(&watch, 1, id).unwrap(), "video7");
        fake.plug(9, "3", "B");
        capture(&watch, &[2, 7, 9]);
        assert_eq!(watch.newcomers(), ["id=usb-1d6b-0102-B"]);
    }

    #[test]
    fn a_change_of_the_devices_wakes_and_nothing_else_does() {
        let fake = Fake::new("wake");
        let watch = watch(&fake);
        let bell = Bell::new().unwrap();
        watch.wake(bell.try_clone().unwrap());
        let mut seen = Seen::default();
        fake.plug(0, "1", "A");
        assert!(watch.look(&mut seen, false) && bell.take());
        assert!(!watch.look(&mut seen, false) && !bell.take());
        assert!(watch.look(&mut seen, true) && bell.take(), "the kernel said so");
        fake.pull(0, "1");
        assert!(watch.look(&mut seen, false) && bell.take());
        assert_eq!(watch.changes(), 3);
    }

    #[test]
    fn without_the_kernels_word_devices_are_polled() {
        let fake = Fake::new("polled");
        let watch = Arc::new(watch(&fake));
        let woken = Bell::new().unwrap();
        watch.wake(woken.try_clone().unwrap());
        let bell = Arc::new(Bell::new().unwrap());
        let (own, seen) = (Arc::clone(&watch), Arc::clone(&bell));
        let _thread = Thread::start("hotplug", Stop::new(Arc::clone(&bell)), move |stop| {
            run(&own, None, &seen, stop);
        })
        .unwrap();
        let wait = || {
            let _ = poll(&mut [PollFd::new(&woken, PollFlags::IN)], None);
            assert!(woken.take());
        };
        // What it finds at its start is news, too.
        wait();
        let before = watch.changes();
        fake.plug(0, "1", "A");
        wait();
        assert!(watch.changes() > before);
    }

    #[test]
    fn what_became_of_a_camera_is_told_once_and_bounded() {
        let watch = Watch::default();
        watch.note(1, "cam", Err("unplugged"));
        watch.note(1, "cam", Err("still unplugged"));
        watch.note(1, "cam", Ok(()));
        let events = watch.events();
        assert_eq!(events.len(), 2);
        assert_eq!((events[0].number, events[0].reason.as_str()), (1, "unplugged"));
        assert!(events[1].connected && events[1].reason.is_empty());
        for n in 0..3 * MAX_EVENTS {
            watch.note(2, "cam", if n % 2 == 0 { Ok(()) } else { Err("x") });
        }
        assert_eq!(watch.events().len(), MAX_EVENTS);
    }
}
