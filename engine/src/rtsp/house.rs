//! What a connection's machine needs of the world.

use super::path::Path;
use super::transport::{Chosen, Offer};
use super::wire::Status;
use crate::sdp::Announced;
use lensd_ffi::auth::Verdict;

/// What the house says of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Described {
    /// Its SDP.
    Sdp(String),
    /// Its camera has not delivered a key frame yet, or its file is being opened; ask again.
    Wait,
    /// There is no such stream.
    NotFound,
    /// It exists, but cannot be had now: why.
    Unavailable(String),
    /// Its pictures are coded in a way that RTP cannot carry: why.
    Unfit(&'static str),
    /// Too many recordings are played.
    Full,
}

/// What a path is there for. Neither: there is no such path.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Uses {
    /// It leads to a stream.
    pub play: bool,
    /// It takes a publisher's stream.
    pub publish: bool,
    /// What can be played is a recording, with a beginning and an end.
    pub stored: bool,
}

/// What a PLAY asks for besides.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Wanted<'a> {
    /// The header `Range`.
    pub range: Option<&'a str>,
    /// The header `Scale`.
    pub scale: Option<&'a str>,
    /// What ONVIF adds for recordings, if it is required.
    pub onvif: Option<Onvif>,
}

/// ONVIF's replay (Streaming Specification, "Replay"): headers of a PLAY with
/// `Require: onvif-replay`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Onvif {
    /// The lowest byte of its `CSeq`.
    pub cseq: u8,
    /// `Rate-Control: no`: as fast as the client reads.
    pub unpaced: bool,
    /// `Frames: intra`: only key frames.
    pub keys: bool,
}

/// Where a client begins.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Start {
    /// Sequence number of the first packet, if it is known already.
    pub seq: Option<u16>,
    /// RTP time of the first packet, likewise.
    pub time: Option<u32>,
    /// What is played of a recording, as the header `Range` says it; of a stream: from now on.
    pub range: Option<String>,
    /// How fast, if that was asked for.
    pub scale: Option<f64>,
    /// Whether the client sets the pace.
    pub unpaced: bool,
    /// A recording plays on as it did.
    pub same: bool,
}

/// What the session needs of the world.
pub trait House {
    /// Whether a request may do this.
    fn verdict(&mut self, request: &lensd_ffi::auth::Request<'_>) -> Verdict;
    /// The challenges of a 401.
    fn challenges(&mut self, stale: bool) -> Vec<String>;
    /// What a path is there for.
    fn uses(&mut self, path: &Path) -> Uses;
    /// What is known of a path.
    fn describe(&mut self, path: &Path) -> Described;
    /// Chooses one of the offered transports and gets it ready; the SSRC, too. What an earlier call
    /// got is given back, whatever comes of this one.
    ///
    /// # Errors
    /// 404, 453, 461, 503.
    fn setup(&mut self, path: &Path, offers: &[Offer]) -> Result<(Chosen, u32), Status>;
    /// Begins or resumes to send; a recording also from elsewhere. None: that is not known yet.
    ///
    /// # Errors
    /// 503 when the stream is gone, 400 and 457 for what a recording does not have.
    fn play(&mut self, path: &Path, wanted: &Wanted<'_>) -> Result<Option<Start>, Status>;
    /// Stops sending for a while.
    fn pause(&mut self);
    /// Frees what `setup` got.
    fn teardown(&mut self);
    /// Whether this may be published here.
    ///
    /// # Errors
    /// 404 when no such path is configured, 403 when somebody publishes there already.
    fn announce(&mut self, path: &Path, what: &Announced) -> Result<(), Status>;
    /// As [`House::setup`], to receive what was announced, which stays so after a refusal.
    ///
    /// # Errors
    /// As [`House::setup`].
    fn setup_record(&mut self, path: &Path, offers: &[Offer]) -> Result<Chosen, Status>;
    /// A transport for a publisher's other tracks (sound), whose packets nobody reads.
    ///
    /// # Errors
    /// 461.
    fn setup_ignored(&mut self, offers: &[Offer]) -> Result<Chosen, Status>;
    /// Begins to receive.
    ///
    /// # Errors
    /// 503 when the camera is gone.
    fn record(&mut self) -> Result<(), Status>;
    /// A packet from the client on one of its channels.
    fn interleaved(&mut self, channel: u8, payload: &[u8]);
    /// Fresh randomness for a session's name.
    fn random(&mut self) -> u64;
    /// How long a silent client is kept, in seconds.
    fn timeout_secs(&self) -> u64;
}
