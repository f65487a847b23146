//! How an encoder spends its bits.

use std::fmt;

/// Which tools of the coding are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Profile {
    /// The encoder's own: constrained baseline of openh264, which is fastest; the highest of
    /// hardware.
    #[default]
    Auto,
    /// Constrained baseline.
    Baseline,
    /// Main: CABAC, a tenth fewer bits for some more time.
    Main,
    /// High.
    High,
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::Baseline => "baseline",
            Self::Main => "main",
            Self::High => "high",
        })
    }
}

/// What stays the same from picture to picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RateMode {
    /// The bit rate: what networks like.
    #[default]
    Constant,
    /// The quality, as far as the bit rate allows on average.
    Variable,
}

/// All of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Style {
    /// Tools.
    pub profile: Profile,
    /// Rate control.
    pub mode: RateMode,
    /// Least quantizer, 0 to 51: a picture is not made better than this.
    pub qp_min: u8,
    /// Largest quantizer, 0 to 51: nor worse than this.
    pub qp_max: u8,
}

impl Default for Style {
    fn default() -> Self {
        Self { profile: Profile::Auto, mode: RateMode::Constant, qp_min: 0, qp_max: 51 }
    }
}
