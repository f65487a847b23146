//! Which of a camera's formats, sizes and rates to ask for: pure functions of what it can do.

use super::layout::Delivers;
use crate::camera::devices::{FormatCaps, Rate, SizeCaps};
use crate::camera::spec::USUAL_SIZES;
use crate::frame::PixelFormat;
use crate::sys::v4l2::format::{FourCc, Interval};
use lensd_ffi::state::{CameraMode, MAX_MODES};

/// What the configuration asks for; what is absent is chosen.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Wanted {
    /// Format or coding. H.264 and H.265 are only taken if they are asked for.
    pub format: Option<Delivers>,
    /// Width and height.
    pub size: Option<(u32, u32)>,
    /// Frames per second.
    pub fps: Option<f64>,
    /// Input, from 0.
    pub input: Option<u32>,
}

/// The size that is looked for if none is asked for.
pub const DEFAULT_SIZE: (u32, u32) = (1280, 720);
/// The rate that is looked for if none is asked for.
pub const DEFAULT_FPS: f64 = 30.0;

/// What to ask the driver for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Choice {
    /// Format.
    pub fourcc: FourCc,
    /// What that is to lensd.
    pub delivers: Delivers,
    /// Width and height.
    pub size: (u32, u32),
    /// Interval.
    pub interval: Interval,
}

/// Chooses from what a camera offers.
///
/// # Errors
/// A sentence that says what there is instead.
pub fn choose(offered: &[FormatCaps], wanted: &Wanted) -> Result<Choice, String> {
    let usable = || offered.iter().filter_map(|caps| Some((caps, Delivers::of(caps.fourcc)?)));
    if usable().next().is_none() {
        return Err(match offered {
            [] => "it offers no format at all".into(),
            _ => format!("it offers no format that lensd knows, only {}", names(offered)),
        });
    }
    let mut best: Option<(Key, Choice)> = None;
    for (caps, delivers) in usable() {
        let fits = match wanted.format {
            Some(format) => format == delivers,
            None => !matches!(delivers, Delivers::Coded(_)),
        };
        if !fits {
            continue;
        }
        let (size, interval) = nearest(&caps.sizes, wanted);
        let choice = Choice { fourcc: caps.fourcc, delivers, size, interval };
        let key = key(&choice, wanted);
        if best.as_ref().is_none_or(|(other, _)| key < *other) {
            best = Some((key, choice));
        }
    }
    best.map(|(_, choice)| choice).ok_or_else(|| match wanted.format {
        Some(format) => format!("it has no format {format}; it offers {}", names(offered)),
        None => format!("it offers only {}: ask for one with ?format=", names(offered)),
    })
}

/// What makes a choice better, the most important first: less is better.
type Key = (bool, u64, u32, usize);

fn key(choice: &Choice, wanted: &Wanted) -> Key {
    let fps = wanted.fps.unwrap_or(DEFAULT_FPS);
    // A tenth of the rate is not worth another format: 25 and 30 are, 29.97 and 30 are not.
    let missing = ((fps - choice.interval.fps()).max(0.0) / fps * 10.0) as u32;
    (
        // Colour is worth more than size.
        choice.delivers == Delivers::Pixels(PixelFormat::Grey),
        distance(choice.size, wanted.size.unwrap_or(DEFAULT_SIZE)),
        missing,
        Delivers::rank(choice.fourcc),
    )
}

fn distance(a: (u32, u32), b: (u32, u32)) -> u64 {
    u64::from(a.0.abs_diff(b.0)) + u64::from(a.1.abs_diff(b.1))
}

/// The size nearest to the wanted one, and its rate nearest to the wanted one. What a driver does
/// not say is taken as possible: setting it will tell.
fn nearest(sizes: &[SizeCaps], wanted: &Wanted) -> ((u32, u32), Interval) {
    let want = wanted.size.unwrap_or(DEFAULT_SIZE);
    let fps = wanted.fps.unwrap_or(DEFAULT_FPS);
    sizes
        .iter()
        .map(|caps| (fit(caps, want), rate(&caps.rates, fps)))
        // Of the same size in two entries, the one with the better rate.
        .min_by(|(a, x), (b, y)| {
            distance(*a, want)
                .cmp(&distance(*b, want))
                .then((x.fps() - fps).abs().total_cmp(&(y.fps() - fps).abs()))
        })
        .unwrap_or((want, Interval::of_fps(fps)))
}

fn fit(caps: &SizeCaps, want: (u32, u32)) -> (u32, u32) {
    let side = |want: u32, min: u32, max: u32, step: u32| {
        let step = step.max(1);
        let at = want.clamp(min, max.max(min)) - min;
        // Up or down to the next step, whichever is nearer, but not past the end.
        let up = (at + step / 2) / step * step;
        min + if up > max.saturating_sub(min) { at / step * step } else { up }
    };
    (
        side(want.0, caps.min.0, caps.max.0, caps.step.0),
        side(want.1, caps.min.1, caps.max.1, caps.step.1),
    )
}

/// Sizes that a camera can be set to, largest first, and the most pictures per second of each; of a
/// range those that people know.
pub fn modes(offered: &[FormatCaps], wanted: &Wanted) -> Vec<CameraMode> {
    let taken = |caps: &&FormatCaps| match (wanted.format, Delivers::of(caps.fourcc)) {
        (_, None) => false,
        (Some(format), delivers) => Some(format) == delivers,
        (None, delivers) => !matches!(delivers, Some(Delivers::Coded(_))),
    };
    let mut modes: Vec<CameraMode> = Vec::new();
    for caps in offered.iter().filter(taken).flat_map(|format| &format.sizes) {
        let fps = caps.rates.iter().map(|rate| match rate {
            Rate::Interval(interval) => interval.fps(),
            Rate::Range { fastest, .. } => fastest.fps(),
        });
        let fps = fps.fold(0.0, f64::max);
        let sizes = if caps.min == caps.max { &[caps.max][..] } else { USUAL_SIZES };
        for &(width, height) in sizes.iter().filter(|size| fit(caps, **size) == **size) {
            match modes.iter_mut().find(|m| (m.width, m.height) == (width, height)) {
                Some(known) => known.fps = known.fps.max(fps),
                None => modes.push(CameraMode { width, height, fps }),
            }
        }
    }
    modes.sort_by_key(|m| std::cmp::Reverse((u64::from(m.width) * u64::from(m.height), m.width)));
    modes.truncate(MAX_MODES);
    modes
}

fn rate(rates: &[Rate], fps: f64) -> Interval {
    rates
        .iter()
        .map(|rate| match rate {
            Rate::Interval(interval) => *interval,
            Rate::Range { fastest, .. } if fps >= fastest.fps() => *fastest,
            Rate::Range { slowest, .. } if fps <= slowest.fps() => *slowest,
            Rate::Range { .. } => Interval::of_fps(fps),
        })
        .min_by(|a, b| {
            let off = |i: &Interval| (i.fps() - fps).abs();
            off(a).total_cmp(&off(b)).then(b.fps().total_cmp(&a.fps()))
        })
        .unwrap_or(Interval::of_fps(fps))
}

/// What was asked for and is not given, a sentence each; `what` exists is named if it is known.
pub fn remarks(
    offered: &[FormatCaps],
    fourcc: FourCc,
    wanted: &Wanted,
    size: (u32, u32),
    fps: f64,
) -> Vec<String> {
    let mut remarks = Vec::new();
    let sizes = offered.iter().find(|caps| caps.fourcc == fourcc).map_or(&[][..], |c| &c.sizes);
    if let Some((width, height)) = wanted.size
        && size != (width, height)
    {
        let there: Vec<_> = sizes.iter().map(SizeCaps::words).collect();
        let there = if there.is_empty() {
            String::new()
        } else {
            format!(" (it has {})", there.join(", "))
        };
        let (w, h) = size;
        remarks.push(format!("asked for {width}x{height}, the driver gives {w}x{h}{there}"));
    }
    let asked = wanted.fps.unwrap_or(DEFAULT_FPS);
    if (wanted.fps.is_some() || fps < asked) && (fps - asked).abs() > 0.05 {
        let covers = |c: &&SizeCaps| {
            (c.min.0..=c.max.0).contains(&size.0) && (c.min.1..=c.max.1).contains(&size.1)
        };
        let there: Vec<_> = sizes
            .iter()
            .filter(covers)
            .flat_map(|caps| caps.rates.iter().map(Rate::words))
            .collect();
        let there = match there.as_slice() {
            [] => String::new(),
            rates => format!(" (at that size it has {})", rates.join(", ")),
        };
        let verb = if wanted.fps.is_some() { "asked for" } else { "looked for" };
        remarks.push(format!("{verb} {asked} fps, the driver gives {fps:.2}{there}"));
    }
    remarks
}

fn names(offered: &[FormatCaps]) -> String {
    offered.iter().map(|caps| caps.fourcc.to_string()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use lensd_ffi::unit::Codec;

    fn discrete(code: &[u8; 4], sizes: &[(u32, u32, &[u32])]) -> FormatCaps {
        FormatCaps {
            fourcc: FourCc::new(code),
            description: String::new(),
            compressed: false,
            sizes: sizes
                .iter()
                .map(|&(w, h, rates)| SizeCaps {
                    min: (w, h),
                    max: (w, h),
                    step: (0, 0),
                    rates: rates
                        .iter()
                        .map(|&fps| Rate::Interval(Interval { numerator: 1, denominator: fps }))
                        .collect(),
                })
                .collect(),
        }
    }

    fn webcam() -> Vec<FormatCaps> {
        vec![
            discrete(b"YUYV", &[(640, 480, &[30, 15]), (1280, 720, &[10]), (1920, 1080, &[5])]),
            discrete(b"MJPG", &[(640, 480, &[30]), (1280, 720, &[30]), (1920, 1080, &[30])]),
            discrete(b"H264", &[(1280, 720, &[30])]),
        ]
    }

    fn chosen(offered: &[FormatCaps], wanted: Wanted) -> (String, (u32, u32), f64) {
        let choice = choose(offered, &wanted).unwrap();
        (choice.fourcc.to_string(), choice.size, choice.interval.fps())
    }

    #[test]
    fn jpeg_only_where_the_raw_rate_is_too_low() {
        let want = |size, fps| Wanted { size: Some(size), fps: Some(fps), ..Wanted::default() };
        let webcam = webcam();
        assert_eq!(chosen(&webcam, Wanted::default()), ("MJPG".into(), (1280, 720), 30.0));
        assert_eq!(chosen(&webcam, want((640, 480), 30.0)), ("YUYV".into(), (640, 480), 30.0));
        assert_eq!(chosen(&webcam, want((1280, 720), 10.0)), ("YUYV".into(), (1280, 720), 10.0));
        assert_eq!(chosen(&webcam, want((1920, 1080), 25.0)), ("MJPG".into(), (1920, 1080), 30.0));
    }

    #[test]
    fn coded_streams_only_when_asked_for() {
        let wanted = Wanted { format: Some(Delivers::Coded(Codec::H264)), ..Wanted::default() };
        assert_eq!(chosen(&webcam(), wanted).0, "H264");
        let only = [discrete(b"H264", &[])];
        let refused = choose(&only, &Wanted::default()).unwrap_err();
        assert_eq!(refused, "it offers only H264: ask for one with ?format=");
    }

    #[test]
    fn planar_before_packed_and_colour_before_grey() {
        let all: Vec<_> = [b"GREY", b"BGR3", b"RGB3", b"UYVY", b"YUYV", b"NV21", b"YU12", b"NV12"]
            .iter()
            .map(|code| discrete(code, &[(1280, 720, &[30])]))
            .collect();
        for (last, best) in
            [(8, "NV12"), (7, "YU12"), (6, "NV21"), (5, "YUYV"), (4, "UYVY"), (3, "RGB3")]
        {
            assert_eq!(chosen(&all[..last], Wanted::default()).0, best);
        }
        assert_eq!(chosen(&all[..1], Wanted::default()).0, "GREY");
    }

    #[test]
    fn a_format_that_it_lacks_and_none_at_all() {
        let wanted =
            Wanted { format: Some(Delivers::Pixels(PixelFormat::Nv12)), ..Wanted::default() };
        let refused = choose(&webcam(), &wanted).unwrap_err();
        assert_eq!(refused, "it has no format NV12; it offers YUYV, MJPG, H264");
        assert!(choose(&[], &wanted).is_err());
        let bayer = choose(&[discrete(b"pBAA", &[])], &Wanted::default()).unwrap_err();
        assert_eq!(bayer, "it offers no format that lensd knows, only pBAA");
    }

    #[test]
    fn modes_are_what_the_camera_can_be_set_to() {
        let offered = [
            discrete(b"YUYV", &[(640, 480, &[30]), (1280, 720, &[10])]),
            discrete(b"MJPG", &[(1280, 720, &[30])]),
            discrete(b"H264", &[(1920, 1080, &[30])]),
        ];
        let shown = |wanted: &Wanted| {
            let list = modes(&offered, wanted);
            list.iter().map(|m| format!("{}x{}@{}", m.width, m.height, m.fps)).collect::<Vec<_>>()
        };
        assert_eq!(shown(&Wanted::default()), ["1280x720@30", "640x480@30"]);
        let coded = Delivers::of(offered[2].fourcc);
        assert_eq!(shown(&Wanted { format: coded, ..Wanted::default() }), ["1920x1080@30"]);
        let range = SizeCaps { min: (16, 16), max: (1280, 720), step: (16, 2), rates: Vec::new() };
        let ranged = [FormatCaps { sizes: vec![range], ..offered[0].clone() }];
        let sizes: Vec<_> =
            modes(&ranged, &Wanted::default()).iter().map(|m| (m.width, m.height)).collect();
        assert_eq!((sizes[0], sizes.last()), ((1280, 720), Some(&(320, 180))));
    }

    #[test]
    fn sizes_of_a_range() {
        let caps = SizeCaps { min: (16, 16), max: (1000, 1000), step: (16, 2), rates: Vec::new() };
        assert_eq!(fit(&caps, (1280, 721)), (992, 722));
        assert_eq!(fit(&caps, (1, 1)), (16, 16));
        assert_eq!(fit(&caps, (641, 481)), (640, 482));
        let strange = SizeCaps { min: (64, 64), max: (0, 0), step: (0, 0), rates: Vec::new() };
        assert_eq!(fit(&strange, (640, 480)), (64, 64));
    }

    #[test]
    fn rates_of_a_range() {
        let of = |denominator| Interval { numerator: 1, denominator };
        let rates = [Rate::Range { fastest: of(60), slowest: of(10) }];
        assert_eq!(rate(&rates, 100.0), of(60));
        assert_eq!(rate(&rates, 5.0), of(10));
        assert_eq!(rate(&rates, 25.0), of(25));
        assert_eq!(rate(&[], 25.0), of(25));
    }

    #[test]
    fn a_driver_that_says_nothing_of_sizes() {
        let silent = [discrete(b"YUYV", &[])];
        assert_eq!(chosen(&silent, Wanted::default()), ("YUYV".into(), (1280, 720), 30.0));
    }

    #[test]
    fn remarks_name_what_there_is() {
        let wanted = Wanted { size: Some((800, 600)), fps: Some(60.0), ..Wanted::default() };
        let remarks = remarks(&webcam(), FourCc::new(b"YUYV"), &wanted, (640, 480), 30.0);
        assert_eq!(
            remarks,
            [
                "asked for 800x600, the driver gives 640x480 (it has 640x480, 1280x720, 1920x1080)",
                "asked for 60 fps, the driver gives 30.00 (at that size it has 30, 15)",
            ]
        );
        let none = Wanted::default();
        assert!(
            super::remarks(&webcam(), FourCc::new(b"YUYV"), &none, (640, 480), 30.0).is_empty()
        );
    }
}
