//! What is to be done to a camera's pictures before they are encoded, as the settings say it.

pub mod osd;

use osd::Osd;
use std::path::PathBuf;

/// A turn of the picture, clockwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Turn {
    /// As it is.
    #[default]
    None,
    /// By 90 degrees: width and height change places.
    Quarter,
    /// By 180 degrees.
    Half,
    /// By 270 degrees: width and height change places.
    ThreeQuarters,
}

/// Where something lies on the picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(missing_docs, reason = "they are their names")]
pub enum Corner {
    #[default]
    TopLeft,
    TopRight,
    BottomLeft,
    BottomRight,
}

/// Where the other camera's picture is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Inset {
    /// Nowhere.
    #[default]
    Off,
    /// A quarter as wide, in a corner.
    Corner(Corner),
    /// Both half as wide, this camera's on the left.
    Beside,
}

/// Whose clock is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Clock {
    /// None.
    #[default]
    Off,
    /// UTC.
    Utc,
    /// The machine's time zone.
    Local,
}

/// What is written on the picture.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Overlay {
    /// The time of capture.
    pub clock: Clock,
    /// A line of text.
    pub text: String,
    /// Where both are.
    pub corner: Corner,
    /// 1 to 3: a line is about a 36th, a 24th or a 16th of the picture's height.
    pub size: u8,
    /// A PNG file that is laid over the picture.
    pub watermark: Option<PathBuf>,
    /// Where it is.
    pub watermark_corner: Corner,
    /// Further texts, each at its place.
    pub texts: Vec<Osd>,
}

/// All that is done. The default does nothing, and then no stage exists.
#[derive(Debug, Clone, PartialEq)]
pub struct Finish {
    /// How many times as large a part of the picture is shown, 1 to 16.
    pub zoom: f64,
    /// Where that part is: -1 at the left and at the bottom, 1 at the right and at the top.
    pub pan: f64,
    /// See `pan`.
    pub tilt: f64,
    /// Pixels by which the picture is moved to the right and downwards, even.
    pub offset: (i32, i32),
    /// Left and right swapped, by the processor.
    pub mirror: bool,
    /// Top and bottom swapped, by the processor.
    pub flip: bool,
    /// Turned, after all of that.
    pub turn: Turn,
    /// The other camera's picture.
    pub inset: Inset,
    /// What is written on it.
    pub overlay: Overlay,
}

impl Default for Finish {
    fn default() -> Self {
        Self {
            zoom: 1.0,
            pan: 0.0,
            tilt: 0.0,
            offset: (0, 0),
            mirror: false,
            flip: false,
            turn: Turn::None,
            inset: Inset::Off,
            overlay: Overlay {
                size: 2,
                watermark_corner: Corner::BottomRight,
                ..Overlay::default()
            },
        }
    }
}

impl Finish {
    /// Whether there is nothing to do.
    pub fn is_plain(&self) -> bool {
        self.keeps_place() && self.inset == Inset::Off && !self.draws()
    }

    /// Whether every pixel stays where it is.
    pub fn keeps_place(&self) -> bool {
        let moved = self.mirror || self.flip || self.offset != (0, 0);
        !moved && !self.zooms() && self.turn == Turn::None
    }

    /// Whether a part is shown larger.
    pub fn zooms(&self) -> bool {
        self.zoom > 1.0
    }

    /// Whether something is written on the picture.
    pub fn draws(&self) -> bool {
        let Overlay { clock, text, watermark, texts, .. } = &self.overlay;
        *clock != Clock::Off || !text.is_empty() || watermark.is_some() || !texts.is_empty()
    }

    /// What is done, in words, for the pipeline's description; empty if nothing is.
    pub fn words(&self) -> String {
        let mut all = Vec::new();
        if self.zooms() {
            all.push(format!("zoom {:.1}", self.zoom));
        }
        if self.offset != (0, 0) {
            all.push(format!("move by {},{}", self.offset.0, self.offset.1));
        }
        for (on, word) in [(self.mirror, "mirror"), (self.flip, "flip")] {
            if on {
                all.push(word.to_owned());
            }
        }
        match self.turn {
            Turn::None => {}
            Turn::Quarter => all.push("turn by 90".to_owned()),
            Turn::Half => all.push("turn by 180".to_owned()),
            Turn::ThreeQuarters => all.push("turn by 270".to_owned()),
        }
        if self.inset != Inset::Off {
            all.push("inset of another camera".to_owned());
        }
        if self.draws() {
            all.push("overlay".to_owned());
        }
        all.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_done_is_said() {
        assert!(Finish::default().is_plain());
        assert_eq!(Finish::default().words(), "");
        let wish = Finish { zoom: 2.0, turn: Turn::Half, ..Finish::default() };
        assert!(!wish.is_plain());
        assert_eq!(wish.words(), "zoom 2.0, turn by 180");
        let mut wish = Finish::default();
        wish.overlay.text = "door".into();
        assert!(wish.keeps_place() && !wish.is_plain());
        assert_eq!(wish.words(), "overlay");
    }
}
