//! Controls of the test camera, so that what turns a real camera's can be tried and tested without
//! one: numbered, named and ranged as V4L2 drivers do it, and seen in the pictures. At their
//! defaults they change nothing, and never the marks.

use super::controls::{Control, ControlError, Item, Kind, Value};
use super::knobs::Knobs;
use crate::frame::Plane;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

/// `V4L2_CID_*` of videodev2.h and v4l2-controls.h.
const BRIGHTNESS: u32 = 0x0098_0900;
const CONTRAST: u32 = 0x0098_0901;
const SATURATION: u32 = 0x0098_0902;
const HUE: u32 = 0x0098_0903;
const AUTO_WHITE: u32 = 0x0098_090c;
const RED: u32 = 0x0098_090e;
const BLUE: u32 = 0x0098_090f;
const GAMMA: u32 = 0x0098_0910;
const GAIN: u32 = 0x0098_0913;
const SHARPNESS: u32 = 0x0098_091b;
const EXPOSURE_AUTO: u32 = 0x009a_0901;
const EXPOSURE_TIME: u32 = 0x009a_0902;
/// No standard control: V4L2 leaves it to drivers, which number from `V4L2_CID_PRIVATE_BASE` on.
const NOISE: u32 = 0x0800_0000;

struct Row {
    id: u32,
    name: &'static str,
    kind: Kind,
    min: i64,
    max: i64,
    default: i64,
}

const fn row(id: u32, name: &'static str, kind: Kind, min: i64, max: i64, default: i64) -> Row {
    Row { id, name, kind, min, max, default }
}

const ROWS: &[Row] = &[
    row(BRIGHTNESS, "Brightness", Kind::Integer, -64, 64, 0),
    row(CONTRAST, "Contrast", Kind::Integer, 0, 255, 128),
    row(SATURATION, "Saturation", Kind::Integer, 0, 255, 128),
    row(HUE, "Hue", Kind::Integer, -180, 180, 0),
    row(AUTO_WHITE, "White Balance, Automatic", Kind::Boolean, 0, 1, 1),
    row(RED, "Red Balance", Kind::Integer, -64, 64, 0),
    row(BLUE, "Blue Balance", Kind::Integer, -64, 64, 0),
    row(GAMMA, "Gamma", Kind::Integer, 50, 300, 100),
    row(GAIN, "Gain", Kind::Integer, 0, 255, 0),
    row(SHARPNESS, "Sharpness", Kind::Integer, 0, 16, 8),
    row(EXPOSURE_AUTO, "Auto Exposure", Kind::Menu, 0, 1, 0),
    row(EXPOSURE_TIME, "Exposure Time, Absolute", Kind::Integer, 1, 333, 100),
    row(NOISE, "Noise Reduction", Kind::Boolean, 0, 1, 0),
];

/// The controls' values.
#[derive(Debug)]
pub struct Look {
    values: [AtomicI64; ROWS.len()],
    /// How often one was set.
    changes: AtomicU64,
}

impl Default for Look {
    fn default() -> Self {
        Self {
            values: std::array::from_fn(|i| AtomicI64::new(ROWS[i].default)),
            changes: AtomicU64::new(0),
        }
    }
}

impl Look {
    fn value(&self, id: u32) -> i64 {
        let at = ROWS.iter().position(|r| r.id == id);
        at.map_or(0, |at| self.values[at].load(Ordering::Relaxed))
    }

    /// How often a control was set: 0 means that every picture is as it always was.
    pub(super) fn changes(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }

    /// What the values mean for pictures.
    pub(super) fn filter(&self) -> Filter {
        #[expect(clippy::cast_precision_loss, reason = "small numbers")]
        let value = |id| self.value(id) as f64;
        let manual = self.value(EXPOSURE_AUTO) == 1;
        let exposure = if manual { value(EXPOSURE_TIME) / 100.0 } else { 1.0 };
        let gain = exposure * (1.0 + value(GAIN) / 255.0) * value(CONTRAST) / 128.0;
        let gamma = 100.0 / value(GAMMA).max(1.0);
        let luma = std::array::from_fn(|y| {
            let level = ((f64::from(u8::try_from(y).unwrap_or(0)) - 16.0) / 219.0).max(0.0);
            let level = level.powf(gamma) * gain;
            byte(16.0 + 219.0 * level + value(BRIGHTNESS))
        });
        let automatic = self.value(AUTO_WHITE) == 1;
        let (red, blue) = if automatic { (0.0, 0.0) } else { (value(RED), value(BLUE)) };
        let (sin, cos) = value(HUE).to_radians().sin_cos();
        let saturation = value(SATURATION) / 128.0;
        Filter {
            luma,
            turn: [saturation * cos, saturation * sin],
            shift: [blue, red],
            // Eighths of the difference to the neighbours: negative blurs.
            sharpness: self.value(SHARPNESS) - 8,
            calm: self.value(NOISE) == 1,
        }
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped")]
fn byte(level: f64) -> u8 {
    level.round().clamp(0.0, 255.0) as u8
}

/// What is done to a picture.
#[derive(Debug, Clone)]
pub(super) struct Filter {
    luma: [u8; 256],
    /// Chroma is multiplied and turned by this.
    turn: [f64; 2],
    /// Then moved by this: blue, red.
    shift: [f64; 2],
    sharpness: i64,
    calm: bool,
}

impl Filter {
    /// Applies itself to an I420 picture.
    pub(super) fn apply(&self, bytes: &mut [u8], planes: &[Plane; 3], width: usize, height: usize) {
        for y in 0..height {
            let row = planes[0].offset + y * planes[0].stride;
            let row = &mut bytes[row..row + width];
            if self.calm {
                // Noise reduction: the mean of neighbours, which no edge of the bars survives whole
                // either, as with real ones.
                let mut before = row.first().copied().unwrap_or(0);
                for x in row.iter_mut() {
                    let now = *x;
                    *x = before.midpoint(now);
                    before = now;
                }
            }
            if self.sharpness != 0 {
                let mut before = i64::from(row.first().copied().unwrap_or(0));
                for x in row.iter_mut() {
                    let now = i64::from(*x);
                    let sharp = now + (now - before) * self.sharpness / 8;
                    *x = u8::try_from(sharp.clamp(0, 255)).unwrap_or(0);
                    before = now;
                }
            }
            for x in row {
                *x = self.luma[usize::from(*x)];
            }
        }
        if self.turn == [1.0, 0.0] && self.shift == [0.0, 0.0] {
            return;
        }
        let map = self.chroma();
        for y in 0..height / 2 {
            for x in 0..width / 2 {
                let u = planes[1].offset + y * planes[1].stride + x;
                let v = planes[2].offset + y * planes[2].stride + x;
                let at = usize::from(bytes[u] >> 2) * 64 + usize::from(bytes[v] >> 2);
                [bytes[u], bytes[v]] = map[at];
            }
        }
    }

    /// New chroma for each pair, in steps of four.
    fn chroma(&self) -> Vec<[u8; 2]> {
        let [cos, sin] = self.turn;
        let centre = |i: usize| f64::from(u8::try_from(i * 4).unwrap_or(0)) - 128.0;
        (0..64 * 64)
            .map(|i| {
                let (u, v) = (centre(i / 64), centre(i % 64));
                let turned = [u * cos - v * sin, u * sin + v * cos];
                std::array::from_fn(|c| byte(128.0 + turned[c] + self.shift[c]))
            })
            .collect()
    }
}

impl Knobs for Look {
    fn controls(&self) -> Vec<Control> {
        ROWS.iter()
            .map(|row| {
                let ignored = match row.id {
                    RED | BLUE => self.value(AUTO_WHITE) == 1,
                    EXPOSURE_TIME => self.value(EXPOSURE_AUTO) == 0,
                    _ => false,
                };
                let items = if row.kind == Kind::Menu {
                    let names = ["Auto Mode", "Manual Mode"];
                    let item = |(i, name): (i64, &str)| Item { index: i, name: name.to_owned() };
                    (0..).zip(names).map(item).collect()
                } else {
                    Vec::new()
                };
                Control {
                    id: row.id,
                    key: row.name.to_lowercase().replace(", ", "_").replace(' ', "_"),
                    name: row.name.to_owned(),
                    kind: row.kind,
                    minimum: row.min,
                    maximum: row.max,
                    step: 1,
                    default: row.default,
                    value: Some(Value::Number(self.value(row.id))),
                    items,
                    flags: if ignored { vec!["inactive"] } else { Vec::new() },
                }
            })
            .collect()
    }

    fn set(&self, control: &Control, value: &Value) -> Result<Value, ControlError> {
        let at = ROWS.iter().position(|r| r.id == control.id);
        let (Some(at), Value::Number(n)) = (at, value) else {
            return Err(ControlError(format!("{} takes a number", control.name)));
        };
        let taken = (*n).clamp(ROWS[at].min, ROWS[at].max);
        self.values[at].store(taken, Ordering::Relaxed);
        self.changes.fetch_add(1, Ordering::Release);
        Ok(Value::Number(taken))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::{PixelFormat, packed_planes};

    fn picture(look: &Look, colour: [u8; 3]) -> [u8; 3] {
        let (planes, bytes) = packed_planes(PixelFormat::I420, 32, 16);
        let mut picture = vec![0; bytes];
        for (p, plane) in planes.iter().enumerate() {
            let end = planes.get(p + 1).map_or(bytes, |next| next.offset);
            picture[plane.offset..end].fill(colour[p]);
        }
        look.filter().apply(&mut picture, &planes, 32, 16);
        std::array::from_fn(|p| picture[planes[p].offset + 5])
    }

    fn set(look: &Look, id: u32, value: i64) -> Value {
        let control = look.controls().into_iter().find(|c| c.id == id).unwrap();
        look.set(&control, &Value::Number(value)).unwrap()
    }

    #[test]
    fn defaults_change_nothing() {
        let look = Look::default();
        assert_eq!(look.changes(), 0);
        for luma in 16..=235 {
            assert_eq!(picture(&look, [luma, 90, 200]), [luma, 90, 200]);
        }
    }

    #[test]
    fn each_control_is_seen() {
        let grey = [100, 128, 128];
        for (id, value, brighter) in
            [(BRIGHTNESS, 20, true), (CONTRAST, 64, false), (GAIN, 99, true)]
        {
            let look = Look::default();
            set(&look, id, value);
            assert_eq!(picture(&look, grey)[0] > 100, brighter, "{id:x}");
        }
        let look = Look::default();
        set(&look, SATURATION, 0);
        assert_eq!(picture(&look, [100, 40, 200]), [100, 128, 128]);
        let look = Look::default();
        set(&look, RED, 40);
        assert_eq!(picture(&look, grey), grey, "white balance is automatic");
        set(&look, AUTO_WHITE, 0);
        assert_eq!(picture(&look, grey), [100, 128, 168]);
    }

    #[test]
    fn values_are_clamped_like_a_driver_does() {
        let look = Look::default();
        assert_eq!(set(&look, BRIGHTNESS, 1000), Value::Number(64));
        assert!(look.controls().iter().any(|c| c.flags.contains(&"inactive")));
        let control = &look.controls()[0];
        assert!(look.set(control, &Value::Text("x".into())).is_err());
    }
}
