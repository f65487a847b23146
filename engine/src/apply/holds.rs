//! What holds of the keys of pictures and encoders, which may be another thing than what is wished: a
//! camera whose stream is passed through, or an encoder that lacks a tool, does none of it.

use super::keys::{Means, means};
use super::{Apply, Camera};
use crate::finish::{Clock, Corner, Finish, Inset, Turn};
use crate::publish::Kind;
use crate::style::{RateMode, Style};
use lensd_ffi::settings::Entry;
use lensd_ffi::settings::bank::Held;
use lensd_ffi::time::now;
use serde_json::{Value, json};
use std::path::Path;

impl Apply {
    /// The value of such a key as the camera that it is about does it, and why that is not the wish.
    pub(super) fn finish_now(&self, entry: &Entry) -> Held {
        let name = entry.key.name;
        let wish = self.wish(name);
        let index = match name {
            name if name.starts_with("cam1-") => Some(0),
            name if name.starts_with("cam2-") => Some(1),
            _ => self.active(),
        };
        let Some((index, camera)) = index.and_then(|i| Some((i, self.cameras.get(i)?))) else {
            // It will be done once there is one.
            return Held::of(wish);
        };
        let Camera { config, id, .. } = camera;
        let stream = self.switchboard.of(*id, Kind::Main);
        let refusals = stream.map(|stream| stream.refusals()).unwrap_or_default();
        // What its words mean: the name of a file is a path to the camera.
        let meant = self.resolved(name, &wish).unwrap_or_default();
        let (same, value, why) = match means(name) {
            Means::Finish(set) => {
                let why = refusals.finish;
                let mut done =
                    if why.is_empty() { config.finish.clone() } else { Finish::default() };
                if let Some(window) = self.window_of(index, now()).filter(|_| why.is_empty()) {
                    (done.zoom, done.pan, done.tilt) = (window.zoom, window.pan, window.tilt);
                }
                let mut wished = done.clone();
                set(&mut wished, &meant, index);
                (wished == done, finish_value(name, &done), why)
            }
            Means::Style(set) => {
                let why = refusals.style;
                let done = if why.is_empty() { config.style } else { Style::default() };
                let mut wished = done;
                set(&mut wished, &meant, index);
                (wished == done, style_value(name, &done), why)
            }
            _ => (true, Value::Null, String::new()),
        };
        // As it was written: 2 and 2.0 are the same zoom. But pictures are moved by even numbers.
        let same = same && (wish == value || !name.contains("-offset-"));
        if same { Held::of(wish) } else { Held { error: why, ..Held::of(value) } }
    }
}

fn corner(corner: Corner) -> Value {
    json!(match corner {
        Corner::TopLeft => "top-left",
        Corner::TopRight => "top-right",
        Corner::BottomLeft => "bottom-left",
        Corner::BottomRight => "bottom-right",
    })
}

/// What a key of pictures is where `finish` is done.
fn finish_value(key: &str, finish: &Finish) -> Value {
    #[expect(clippy::cast_possible_truncation, reason = "between -100 and 100")]
    let percent = |share: f64| json!((share * 100.0).round() as i64);
    let overlay = &finish.overlay;
    match key {
        "rotate" => json!(match finish.turn {
            Turn::None => "0",
            Turn::Quarter => "90",
            Turn::Half => "180",
            Turn::ThreeQuarters => "270",
        }),
        "digital-zoom" => json!((finish.zoom * 1000.0).round() / 1000.0),
        "digital-pan" => percent(finish.pan),
        "digital-tilt" => percent(finish.tilt),
        "cam1-offset-x" | "cam2-offset-x" => json!(finish.offset.0),
        "cam1-offset-y" | "cam2-offset-y" => json!(finish.offset.1),
        "pip-mode" => match finish.inset {
            Inset::Off => json!("off"),
            Inset::Beside => json!("side-by-side"),
            Inset::Corner(place) => corner(place),
        },
        "overlay-time" => json!(match overlay.clock {
            Clock::Off => "off",
            Clock::Utc => "utc",
            Clock::Local => "local",
        }),
        "overlay-text" => json!(overlay.text),
        "overlay-position" => corner(overlay.corner),
        "overlay-size" => json!(match overlay.size {
            1 => "small",
            3 => "large",
            _ => "medium",
        }),
        "osd" => json!(overlay.texts),
        "overlay-watermark" => {
            let file = overlay.watermark.as_deref().and_then(Path::file_name);
            json!(file.map(|name| name.to_string_lossy()).unwrap_or_default())
        }
        "overlay-watermark-position" => corner(overlay.watermark_corner),
        _ => Value::Null,
    }
}

/// What a key of encoders is where `style` holds.
fn style_value(key: &str, style: &Style) -> Value {
    match key {
        "encoder-profile" => json!(style.profile.to_string()),
        "rate-mode" => json!(match style.mode {
            RateMode::Constant => "constant",
            RateMode::Variable => "variable",
        }),
        "qp-min" => json!(style.qp_min),
        "qp-max" => json!(style.qp_max),
        _ => Value::Null,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lensd_ffi::settings::{Plane, entries};

    #[test]
    fn every_key_reads_as_what_it_was_set_to() {
        let mut seen = 0;
        for entry in entries().iter().filter(|e| e.plane() == Plane::Engine) {
            let name = entry.key.name;
            let index = usize::from(name.starts_with("cam2-"));
            let default = entry.key.default.value();
            let others = [
                json!("90"),
                json!("utc"),
                json!("small"),
                json!("bottom-right"),
                json!("high"),
                json!("top-right"),
                json!("side-by-side"),
                json!("variable"),
                json!("a.png"),
                json!(8),
                json!(2.5),
            ];
            // Lists have their own tests.
            let list = matches!(entry.key.kind, lensd_ffi::settings::Kind::Json(_));
            let fits = |v: &&Value| !list && entry.key.kind.check(v).is_ok();
            let taken = others.iter().filter(fits);
            for value in taken.chain([&default]) {
                let read = match means(name) {
                    Means::Finish(set) => {
                        let mut finish = Finish::default();
                        assert_eq!(finish_value(name, &finish), default, "{name}");
                        set(&mut finish, value, index);
                        finish_value(name, &finish)
                    }
                    Means::Style(set) => {
                        let mut style = Style::default();
                        assert_eq!(style_value(name, &style), default, "{name}");
                        set(&mut style, value, index);
                        style_value(name, &style)
                    }
                    _ => continue,
                };
                assert_eq!(
                    (read.as_f64(), read.as_str()),
                    (value.as_f64(), value.as_str()),
                    "{name}"
                );
                seen += 1;
            }
        }
        assert!(seen > 40, "{seen}");
    }

    #[test]
    fn pictures_are_moved_by_even_numbers() {
        let Means::Finish(set) = means("cam1-offset-x") else { panic!("it is one") };
        let mut finish = Finish::default();
        for (asked, used) in [(3, 2), (-3, -4), (4, 4)] {
            set(&mut finish, &json!(asked), 0);
            assert_eq!(finish_value("cam1-offset-x", &finish), json!(used));
        }
    }
}
