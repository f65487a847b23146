//! What the planes tell each other through their memories, besides units: one cell each.
//!
//! `engine.mem` holds an [`EngineState`], `control.mem` a [`ControlState`], both as JSON.

use crate::auth::Users;
use crate::cell::{CellPlace, CellReader, CellWriter};
use crate::ring::Words;
use crate::time::ClockState;
use crate::unit::Codec;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::sync::Arc;

/// The cell of a plane's memory. Room for the longest table of users: a hundred of them and a
/// thousand sessions. What is not used takes no memory.
pub const STATE_CELL: CellPlace = CellPlace { at: 8, bytes: 512 * 1024 };

/// Where the bank of settings begins ([`crate::settings::bank`]).
pub const BANK_AT: usize = STATE_CELL.end();

/// Room for the bank, in words. What is not used costs only addresses.
pub const BANK_ROOM: usize = 128 * 1024;

/// Words of a plane's memory.
pub const PLANE_WORDS: usize = BANK_AT + BANK_ROOM;

/// Everything about the engine that others may see.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
pub struct EngineState {
    /// Process id.
    pub pid: u32,
    /// UTC milliseconds since 1970 at which this incarnation started.
    pub started_ms: i64,
    /// The active camera, from 1; 0 if there is none.
    pub main_camera: u32,
    /// Cameras in order of their numbers.
    pub cameras: Vec<CameraState>,
    /// Streams.
    pub streams: Vec<StreamState>,
    /// RTSP sessions that play or record now.
    pub sessions: u32,
    /// WebRTC sessions now.
    #[serde(default)]
    pub webrtc_sessions: u32,
    /// How good the clock is that capture times are told by.
    #[serde(default)]
    pub clock: ClockState,
    /// What became of the cameras, oldest first; the last [`MAX_EVENTS`].
    #[serde(default)]
    pub events: Vec<CameraEvent>,
    /// Streams that are recorded, or of which the last seconds are kept.
    #[serde(default)]
    pub recordings: Vec<RecordingState>,
    /// Where recordings go.
    #[serde(default)]
    pub storage: StorageState,
    /// What became of recordings, snapshots and storage, oldest first; the last [`MAX_EVENTS`].
    #[serde(default)]
    pub media_events: Vec<MediaEvent>,
    /// Where the cameras look, in order of their numbers.
    #[serde(default)]
    pub ptz: Vec<crate::ptz::PtzStatus>,
    /// What is seen before the cameras that are looked at, or were.
    #[serde(default)]
    pub scenes: Vec<SceneState>,
    /// What began and ended before the cameras, oldest first; the last [`MAX_EVENTS`].
    #[serde(default)]
    pub scene_events: Vec<SceneEvent>,
}

/// What is seen before a camera.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
pub struct SceneState {
    /// Camera number.
    pub camera: u32,
    /// Whether motion is looked for now.
    pub motion_watched: bool,
    /// Whether tampering is.
    pub tamper_watched: bool,
    /// Whether something moves.
    pub motion: bool,
    /// Part of the region that has changed, in percent.
    pub area: f64,
    /// How the camera is tampered with: `black`, `covered`, `blurred`, `test`; empty if it is not.
    pub tamper: String,
    /// Pictures that were looked at.
    pub looks: u64,
    /// Bytes of them that were read.
    pub read: u64,
    /// Microseconds that a look takes, a running mean.
    pub cost_us: u64,
    /// Why a picture cannot be looked at; empty if it can.
    pub error: String,
}

/// Motion or tampering began or ended.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
pub struct SceneEvent {
    /// Counts from 1 in each incarnation of the engine.
    pub number: u64,
    /// When, in UTC milliseconds since 1970.
    pub time_ms: i64,
    /// Camera number.
    pub camera: u32,
    /// `motion` or `tamper`.
    pub kind: String,
    /// Whether it began.
    pub active: bool,
    /// Of motion: the part of the region that changed, in percent.
    pub area: f64,
    /// Of tampering: how, as in [`SceneState::tamper`].
    pub why: String,
    /// Whether somebody only tries what follows from it.
    pub test: bool,
}

/// A stream that is recorded.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordingState {
    /// Number of the open file in the catalogue; 0 before it has one.
    pub id: i64,
    /// Camera number.
    pub camera: u32,
    /// Name of the stream, such as `cam1/main`.
    pub stream: String,
    /// `video`, `time-lapse`, `slow-motion`.
    pub mode: String,
    /// `off`, `armed` (only the last seconds are kept), `waiting` (for a key frame), `recording`,
    /// `paused`, `full` (no room), `gone` (storage), `stalled` (storage does not answer).
    pub state: String,
    /// The open file, relative to `DATA/media`; empty before there is one.
    pub filename: String,
    /// UTC milliseconds since 1970 of the start that was asked for; 0 while armed.
    pub started_ms: i64,
    /// Playing time of the open file so far, in milliseconds.
    pub duration_ms: i64,
    /// Its bytes.
    pub bytes: u64,
    /// Units that are in no file because the disk was too slow.
    pub dropped_units: u64,
    /// How often that was.
    pub dropped_groups: u64,
    /// What went wrong last; empty if nothing did.
    pub error: String,
}

/// Where recordings go.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StorageState {
    /// `ok`, `full`, `read-only`, `gone`, `stalled`, `starting`.
    pub state: String,
    /// What is wrong; empty if nothing is.
    pub error: String,
    /// Bytes of the disk.
    pub total: u64,
    /// Bytes that are free on it for us.
    pub free: u64,
    /// Recordings in the catalogue.
    pub videos: u64,
    /// Their bytes.
    pub video_bytes: u64,
    /// Snapshots in the catalogue.
    pub images: u64,
    /// Their bytes.
    pub image_bytes: u64,
}

/// Something became of a recording, a snapshot, or of storage.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MediaEvent {
    /// Counts from 1 in each incarnation of the engine.
    pub number: u64,
    /// When, in UTC milliseconds since 1970.
    pub time_ms: i64,
    /// `recording.start`, `recording.stop`, `recording.error`, `snapshot.taken`, `snapshot.error`,
    /// `storage`.
    pub topic: String,
    /// Camera; 0: none.
    pub camera: u32,
    /// The file, relative to `DATA/media`; empty without one.
    pub filename: String,
    /// What else is to say.
    pub text: String,
}

/// Most events that are kept for who looks late.
pub const MAX_EVENTS: usize = 32;

/// A camera began to deliver, or ceased to.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CameraEvent {
    /// Counts from 1 in each incarnation of the engine.
    pub number: u64,
    /// When, in UTC milliseconds since 1970.
    pub time_ms: i64,
    /// The camera, from 1.
    pub camera: u32,
    /// Its name.
    pub name: String,
    /// Whether it delivers now.
    pub connected: bool,
    /// Why not; empty if it does.
    pub reason: String,
}

/// A camera.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
pub struct CameraState {
    /// Number from 1.
    pub id: u32,
    /// Name that a person knows it by.
    pub name: String,
    /// The SPEC that it was configured with.
    pub source: String,
    /// What it is known by wherever it is plugged in; empty for what is no device.
    #[serde(default)]
    pub stable_id: String,
    /// The device's node now, or when it was there last.
    #[serde(default)]
    pub node: String,
    /// Whether it delivers.
    pub connected: bool,
    /// Why it does not; empty if it does.
    pub error: String,
    /// What the driver really gives, e.g. `NV12 1280x720 30 fps`.
    pub format: String,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Pictures per second as negotiated.
    pub fps: f64,
    /// Frames that came since it was opened.
    pub frames: u64,
    /// Frames that the driver says it lost.
    pub lost: u64,
    /// What the capture time of its pictures says: `start-of-exposure`, `end-of-frame`, `dequeued`,
    /// `made` or `arrived`; empty before the first picture.
    #[serde(default)]
    pub stamped_at: String,
    /// Sizes that it can be set to, largest first, at most [`MAX_MODES`]; none: its pictures come as
    /// they are.
    #[serde(default)]
    pub modes: Vec<CameraMode>,
}

/// Most sizes of a camera that are told.
pub const MAX_MODES: usize = 24;

/// A size that a camera can be set to.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct CameraMode {
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Most pictures per second at this size.
    pub fps: f64,
}

/// A stream: one ring.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
pub struct StreamState {
    /// `cam1/main`, `cam1/sub`, `cam1/mjpeg`.
    pub name: String,
    /// Camera number.
    pub camera: u32,
    /// Coding.
    pub codec: Codec,
    /// Whether it runs: a stream that nobody reads may rest.
    pub running: bool,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Pictures per second, measured.
    pub fps: f64,
    /// Bits per second, measured.
    pub bitrate: u64,
    /// Units published.
    pub units: u64,
    /// Key frames published.
    pub keys: u64,
    /// Bytes published.
    pub bytes: u64,
    /// Readers now, of all protocols.
    pub readers: u32,
    /// Bytes of raw pictures that were copied or converted by the processor.
    pub copied_pixel_bytes: u64,
    /// The way of a frame in words, e.g. `test I420 -> openh264 -> ring`.
    pub pipeline: String,
    /// The last encoder fault; empty if there is none.
    pub error: String,
    /// How long the stages of a frame's way took in the last seconds; none before the first unit.
    #[serde(default)]
    pub stages: Vec<StageState>,
}

/// How long a stage of a frame's way takes.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageState {
    /// `capture`, `convert`, `encode`, `ring`, `total` for all of these, then `send` and `tap`.
    pub stage: String,
    /// Units that were measured; of `send` and `tap` each reader's count for themselves.
    pub units: u64,
    /// Half of them took no longer, in microseconds.
    pub p50_us: u64,
    /// 99 of a hundred took no longer.
    pub p99_us: u64,
    /// None took longer.
    pub max_us: u64,
}

/// A client of a stream.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClientState {
    /// RTSP session identifier, shortened: the whole one would let others end it.
    pub id: String,
    /// Address and port.
    pub address: String,
    /// User, empty without a login.
    pub user: String,
    /// Path that was asked for, without its query.
    pub path: String,
    /// `tcp`, `udp`, `multicast`, `http`, `tls`, `webrtc`.
    pub transport: String,
    /// Product name of the client.
    pub agent: String,
    /// `playing`, `paused`, `recording`; `connecting` before a WebRTC session is connected.
    pub state: String,
    /// UTC milliseconds since 1970 of its PLAY or RECORD.
    pub since_ms: i64,
    /// Units sent whole.
    pub units: u64,
    /// Packets sent.
    pub packets: u64,
    /// Bytes sent, of RTP with headers.
    pub bytes: u64,
    /// Units that it lost because it was slow.
    pub skipped: u64,
    /// Groups that these units belong to.
    pub skipped_groups: u64,
    /// Packets lost, as its last RTCP report says.
    pub reported_lost: i64,
    /// Interarrival jitter in microseconds, as its last RTCP report says.
    pub jitter_us: u64,
    /// Round trip time in microseconds by RTCP; 0 if unknown.
    pub round_trip_us: u64,
    /// How long units took from the ring until the kernel had all of them for this client; none
    /// before the first one, and for who does not receive by RTSP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub send: Option<Spread>,
}

/// How long something took in the last seconds.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spread {
    /// Half of the times were no longer, in microseconds.
    pub p50_us: u64,
    /// 99 of a hundred were no longer.
    pub p99_us: u64,
    /// None was longer.
    pub max_us: u64,
}

/// What control wants of the engine.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
pub struct ControlState {
    /// Who may do what.
    pub users: Users,
}

/// Writes a plane's state.
#[derive(Debug)]
pub struct StateWriter<M: Words>(CellWriter<M>);

impl<M: Words> StateWriter<M> {
    /// In a plane's own memory.
    pub fn new(memory: Arc<M>) -> Self {
        Self(CellWriter::create(memory, STATE_CELL))
    }

    /// Publishes a state. `false` if it is too long for the cell, and nothing changed.
    pub fn set<T: Serialize>(&mut self, state: &T) -> bool {
        serde_json::to_vec(state).is_ok_and(|bytes| self.0.set(&bytes).is_ok())
    }
}

/// Reads the other plane's state.
#[derive(Debug)]
pub struct StateReader<M: Words> {
    cell: CellReader<M>,
    seen: u64,
}

impl<M: Words> StateReader<M> {
    /// In the other plane's memory; `None` if that is too small.
    pub fn attach(memory: Arc<M>) -> Option<Self> {
        Some(Self { cell: CellReader::attach(memory, STATE_CELL)?, seen: 0 })
    }

    /// The newest state.
    pub fn read<T: DeserializeOwned>(&self) -> Option<T> {
        let (_, bytes) = self.cell.read()?;
        serde_json::from_slice(&bytes).ok()
    }

    /// The newest state, if it is another one than at the last call that returned one.
    pub fn read_new<T: DeserializeOwned>(&mut self) -> Option<T> {
        if self.cell.version() == self.seen {
            return None;
        }
        let (version, bytes) = self.cell.read()?;
        self.seen = version;
        serde_json::from_slice(&bytes).ok()
    }
}
