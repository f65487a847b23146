//! Where a camera looks, and what it can be told about that.
//!
//! All of it counts in ONVIF's generic spaces (PTZ Service Specification, section 5.7): pan from -1
//! at the left to 1 at the right, tilt from -1 down to 1 up, zoom from 0 wide to 1 near; speeds from
//! -1 to 1, where 1 is as fast as it goes.

use serde::{Deserialize, Serialize};

/// Values of the three axes; none: not meant, or not known.
#[derive(Debug, Default, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct PtzVector {
    /// Left to right.
    #[serde(default)]
    pub pan: Option<f64>,
    /// Down to up.
    #[serde(default)]
    pub tilt: Option<f64>,
    /// Wide to near.
    #[serde(default)]
    pub zoom: Option<f64>,
}

impl PtzVector {
    /// In the order pan, tilt, zoom.
    pub const fn axes(&self) -> [Option<f64>; 3] {
        [self.pan, self.tilt, self.zoom]
    }

    /// From that order.
    pub const fn of([pan, tilt, zoom]: [Option<f64>; 3]) -> Self {
        Self { pan, tilt, zoom }
    }
}

/// What a camera is told.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "act", rename_all = "snake_case")]
pub enum PtzAct {
    /// Nothing: only how it stands is asked.
    Look,
    /// Go to a position; an axis that is not named goes on with what it does.
    Absolute {
        /// Where to.
        to: PtzVector,
        /// How fast, each above 0 up to 1; none: as the settings say.
        #[serde(default)]
        speed: PtzVector,
    },
    /// Go so far from where it is; what lies beyond a limit ends there.
    Relative {
        /// How far.
        by: PtzVector,
        /// How fast, each above 0 up to 1; none: as the settings say.
        #[serde(default)]
        speed: PtzVector,
    },
    /// Go on until told otherwise, until a limit, or for a time; an axis with 0 stops.
    Continuous {
        /// How fast and which way.
        velocity: PtzVector,
        /// Milliseconds; none: as the settings say.
        #[serde(default)]
        timeout_ms: Option<u64>,
    },
    /// Stop.
    Stop {
        /// Pan and tilt.
        pan_tilt: bool,
        /// Zoom.
        zoom: bool,
    },
}

/// What an axis can do.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PtzReach {
    /// Nothing: there is none.
    #[default]
    None,
    /// Go at a speed; nobody knows where it is.
    Speed,
    /// All: it goes where it is told, and says where it is.
    Position,
}

/// An axis as it is.
#[derive(Debug, Default, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct PtzAxis {
    /// What it can do.
    pub reach: PtzReach,
    /// Least position that is allowed; of an axis without positions the least speed.
    pub least: f64,
    /// Greatest.
    pub most: f64,
    /// Where it is; none: nobody knows.
    pub position: Option<f64>,
    /// Whether it moves.
    pub moving: bool,
}

/// Where a camera looks now.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
pub struct PtzStatus {
    /// Its number, from 1.
    pub camera: u32,
    /// Who moves it: `camera` (controls of V4L2), `motor`, `digital` (a part of the picture), `off`.
    pub backend: String,
    /// Pan.
    pub pan: PtzAxis,
    /// Tilt.
    pub tilt: PtzAxis,
    /// Zoom.
    pub zoom: PtzAxis,
    /// Why it cannot be moved, or was not; empty if all is well.
    #[serde(default)]
    pub error: String,
}

impl PtzStatus {
    /// In the order pan, tilt, zoom.
    pub const fn axes(&self) -> [&PtzAxis; 3] {
        [&self.pan, &self.tilt, &self.zoom]
    }

    /// Where it is.
    pub const fn position(&self) -> PtzVector {
        PtzVector { pan: self.pan.position, tilt: self.tilt.position, zoom: self.zoom.position }
    }

    /// Whether anything can be moved.
    pub fn is_movable(&self) -> bool {
        self.axes().iter().any(|axis| axis.reach != PtzReach::None)
    }

    /// Whether pan or tilt moves.
    pub const fn pan_tilt_moves(&self) -> bool {
        self.pan.moving || self.tilt.moving
    }
}
