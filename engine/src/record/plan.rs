//! What is recorded, and how: settings and requests come down to this.

use crate::publish::Kind;
use lensd_ffi::time::Nanos;
use serde::{Deserialize, Serialize};

/// How file time follows capture time.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "mode", rename_all = "kebab-case")]
pub enum Mode {
    /// As it was.
    Video,
    /// One picture each so often.
    TimeLapse {
        /// From one picture to the next as captured, in milliseconds.
        interval_ms: u64,
        /// Pictures a second as played.
        rate: u32,
    },
    /// Every picture, played slower than it was captured.
    SlowMotion {
        /// Pictures a second as played.
        rate: u32,
    },
}

impl Mode {
    /// Its name in the catalogue and in settings.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Video => "video",
            Self::TimeLapse { .. } => "time-lapse",
            Self::SlowMotion { .. } => "slow-motion",
        }
    }
}

/// How one stream is recorded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// How file time follows capture time.
    #[serde(flatten)]
    pub mode: Mode,
    /// Files end at the first key frame after so long; 0: never.
    pub segment_secs: u64,
    /// Files end at the first key frame after so many bytes; 0: never.
    pub segment_bytes: u64,
    /// Recording ends after so long; 0: never.
    pub limit_secs: u64,
    /// Title of the files.
    #[serde(default)]
    pub title: String,
}

impl Default for Plan {
    fn default() -> Self {
        // FAT's files end at 4 GiB, and sticks have it.
        let (segment_secs, segment_bytes) = (3600, 4_000_000_000);
        Self { mode: Mode::Video, segment_secs, segment_bytes, limit_secs: 0, title: String::new() }
    }
}

/// Which cameras a request without one means.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Which {
    /// The active one.
    #[default]
    Active,
    /// All of them.
    All,
}

/// What the settings say of recording.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// How streams are recorded; `limit_secs` and the mode as set.
    pub plan: Plan,
    /// Name of the mode: the other modes' numbers are kept while it is another.
    pub mode: &'static str,
    /// Of time-lapse.
    pub interval_ms: u64,
    /// Pictures a second of time-lapse as played.
    pub lapse_rate: u32,
    /// Pictures a second of slow motion as played.
    pub slow_rate: u32,
    /// Which cameras.
    pub which: Which,
    /// Which of their streams.
    pub kinds: Vec<Kind>,
    /// How much from before the start is part of the file.
    pub before: Nanos,
    /// When to record by itself.
    pub schedule: super::schedule::Schedule,
    /// Whether it goes on after a restart, and when storage is there again.
    pub resume: bool,
    /// Whether the oldest recordings make room for new ones.
    pub replace: bool,
    /// What is kept.
    pub keep: Keep,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            plan: Plan::default(),
            mode: Mode::Video.name(),
            interval_ms: 10_000,
            lapse_rate: 30,
            slow_rate: 30,
            which: Which::Active,
            kinds: vec![Kind::Main],
            before: Nanos(0),
            schedule: super::schedule::Schedule::default(),
            resume: true,
            replace: false,
            keep: Keep::default(),
        }
    }
}

impl Options {
    /// The plan with the mode that is set.
    pub fn plan(&self) -> Plan {
        let mode = match self.mode {
            "time-lapse" => {
                Mode::TimeLapse { interval_ms: self.interval_ms, rate: self.lapse_rate }
            }
            "slow-motion" => Mode::SlowMotion { rate: self.slow_rate },
            _ => Mode::Video,
        };
        Plan { mode, ..self.plan.clone() }
    }
}

/// How long recordings are kept that nobody has tagged or protected. 0: no bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keep {
    /// Days since their end.
    pub days: u64,
    /// Bytes of all together.
    pub bytes: u64,
    /// How many.
    pub count: u64,
    /// Bytes that stay free on the disk.
    pub free: u64,
}

impl Default for Keep {
    fn default() -> Self {
        // A full disk would take the settings along.
        Self { days: 0, bytes: 0, count: 0, free: 500_000_000 }
    }
}
