//! Motion and tampering, from what is read of pictures: without a clock, a camera or a thread.
//!
//! Motion: each cell has its usual brightness and how much it usually differs from that, both learnt
//! as running means. A cell that differs by several times as much has changed, once what all cells
//! do together (a cloud, the exposure) is taken off. Cells that always flicker come to be expected
//! to. Enough changed cells side by side, twice in a row, are motion.
//!
//! Tampering: a picture that is black, that has no contours (covered), or that has lost most of the
//! detail that it usually has while its brightness still varies (blurred, out of focus), for a while.

use super::Options;
use super::grid::{CELLS, COLUMNS, Grid, ROWS};
use lensd_ffi::time::Nanos;

/// Seconds after which what is new is half as usual as what was before.
const SETTLE: f32 = 5.0;
/// The same of what has changed: who stands still is furniture after a while.
const ABSORB: f32 = 60.0;
/// The same of how much cells differ: what flickers is expected to after some ten seconds, what walks
/// by is not.
const ADAPT: f32 = 20.0;
/// How long is learnt before anything is said.
const LEARN: Nanos = Nanos::from_secs(2);
/// Pictures that must be read before anything is said.
const FIRST: u32 = 5;
/// A change of more cells than this is no motion, but another scene: light that is switched on.
const SCENE: f32 = 0.7;

/// Darker than this, and without anything brighter, is black.
const BLACK: f32 = 30.0;
/// Cells of a picture that differ less than this show nothing.
const FLAT: f32 = 6.0;
/// What is left of the usual detail where a picture is blurred.
const BLUR: f32 = 0.4;
/// Less usual detail than this, and nobody could say that it is lost.
const DETAILED: f32 = 1.5;

/// What has become otherwise.
#[derive(Debug, Clone, PartialEq)]
pub enum News {
    /// Motion began or ended; how much of the region changed, in percent.
    Motion(bool, f32),
    /// Tampering began or ended: `black`, `covered`, `blurred`.
    Tamper(bool, &'static str),
}

/// See the module.
#[derive(Debug)]
pub struct Detector {
    usual: Vec<f32>,
    noise: Vec<f32>,
    changed: Vec<bool>,
    scratch: Vec<f32>,
    begun: Option<Nanos>,
    last: Nanos,
    seen: u32,
    /// Pictures in a row with enough change.
    row: u32,
    moved: Option<Nanos>,
    motion: bool,
    area: f32,
    usual_detail: f32,
    usual_spread: f32,
    /// Pictures that these are the mean of, up to a limit.
    usual_of: f32,
    suspicion: Option<(&'static str, Nanos)>,
    fine_since: Option<Nanos>,
    tamper: Option<&'static str>,
}

impl Default for Detector {
    fn default() -> Self {
        Self {
            usual: vec![0.0; CELLS],
            noise: vec![0.0; CELLS],
            changed: vec![false; CELLS],
            scratch: Vec::with_capacity(CELLS),
            begun: None,
            last: Nanos(0),
            seen: 0,
            row: 0,
            moved: None,
            motion: false,
            area: 0.0,
            usual_detail: 0.0,
            usual_spread: 0.0,
            usual_of: 0.0,
            suspicion: None,
            fine_since: None,
            tamper: None,
        }
    }
}

impl Detector {
    /// Whether something moves.
    pub const fn motion(&self) -> bool {
        self.motion
    }

    /// How much of the region changed in the last picture, in percent.
    pub const fn area(&self) -> f32 {
        self.area
    }

    /// How the camera is tampered with, if it is.
    pub const fn tamper(&self) -> Option<&'static str> {
        self.tamper
    }

    /// Takes what was read of the next picture.
    pub fn look(&mut self, grid: &Grid, options: &Options, at: Nanos) -> Vec<News> {
        let begun = *self.begun.get_or_insert(at);
        let span = (at.since(self.last).0 as f32 / 1e9).clamp(0.001, 1.0);
        self.last = at;
        self.seen = self.seen.saturating_add(1);
        let learnt = self.seen > FIRST && at.since(begun) >= LEARN;
        let mut news = Vec::new();
        self.judge_tampering(grid, options, learnt, at, &mut news);
        if self.seen == 1 {
            self.usual.copy_from_slice(&grid.luma);
            self.noise.fill(2.0);
            return news;
        }
        self.compare(grid, options, span, learnt);
        self.judge_motion(options, learnt, at, &mut news);
        news
    }

    fn compare(&mut self, grid: &Grid, options: &Options, span: f32, learnt: bool) {
        self.scratch.clear();
        self.scratch.extend(grid.luma.iter().zip(&self.usual).map(|(now, usual)| now - usual));
        let (_, median, _) = self.scratch.select_nth_unstable_by(CELLS / 2, f32::total_cmp);
        // What all cells do together; of more than a few levels the rest is told by itself.
        let common = *median;
        let blunt = f32::from(100 - options.sensitivity.clamp(1, 100));
        let (floor, times) = (5.0 + 0.3 * blunt, 3.0 + 0.04 * blunt);
        let mut all = 0_usize;
        for (i, now) in grid.luma.iter().enumerate() {
            let off = (now - self.usual[i] - common).abs();
            self.changed[i] = off > (times * self.noise[i]).max(floor);
            all += usize::from(self.changed[i]);
        }
        // While nothing is known yet, everything is learnt as it comes.
        let scene = all as f32 > SCENE * CELLS as f32;
        for (i, now) in grid.luma.iter().enumerate() {
            let off = now - self.usual[i];
            let (usual_in, noise_in) = if scene || !learnt {
                (0.5, 1.0)
            } else if self.changed[i] {
                (ABSORB, ADAPT)
            } else {
                (SETTLE, ADAPT)
            };
            self.usual[i] += off * (span / usual_in).min(1.0);
            let off = (off - common).abs();
            self.noise[i] += (off - self.noise[i]) * (span / noise_in).min(1.0);
        }
        if scene {
            self.changed.fill(false);
        }
        let beside = |i: usize| {
            let (x, y) = (i % COLUMNS, i / COLUMNS);
            (x > 0 && self.changed[i - 1])
                || (x + 1 < COLUMNS && self.changed[i + 1])
                || (y > 0 && self.changed[i - COLUMNS])
                || (y + 1 < ROWS && self.changed[i + COLUMNS])
        };
        let counts = |i: &usize| self.changed[*i] && options.region.has(*i) && beside(*i);
        let count = (0..CELLS).filter(counts).count();
        self.area = count as f32 * 100.0 / options.region.count() as f32;
    }

    fn judge_motion(&mut self, options: &Options, learnt: bool, at: Nanos, news: &mut Vec<News>) {
        let enough = learnt && self.area >= options.area;
        self.row = if enough { self.row.saturating_add(1) } else { 0 };
        if self.row >= 2 {
            self.moved = Some(at);
        }
        let recent = self.moved.is_some_and(|moved| at.since(moved) <= options.hold);
        if recent != self.motion {
            self.motion = recent;
            news.push(News::Motion(recent, self.area));
        }
    }

    fn judge_tampering(
        &mut self,
        grid: &Grid,
        options: &Options,
        learnt: bool,
        at: Nanos,
        news: &mut Vec<News>,
    ) {
        let (mean, spread) = grid.spread();
        let brightest = grid.luma.iter().copied().fold(0.0, f32::max);
        let known = learnt && self.usual_of >= 10.0;
        let why = if mean < BLACK && brightest < BLACK + 20.0 {
            Some("black")
        } else if spread < FLAT && grid.detail < DETAILED {
            Some("covered")
        } else if known
            && self.usual_detail >= DETAILED
            && grid.detail < BLUR * self.usual_detail
            && spread > 0.5 * self.usual_spread
        {
            Some("blurred")
        } else {
            None
        };
        match why {
            Some(why) => {
                self.fine_since = None;
                let since = match self.suspicion {
                    Some((_, since)) => since,
                    None => at,
                };
                self.suspicion = Some((why, since));
                if self.tamper.is_none() && at.since(since) >= options.delay {
                    self.tamper = Some(why);
                    news.push(News::Tamper(true, why));
                }
            }
            None => {
                self.suspicion = None;
                let since = *self.fine_since.get_or_insert(at);
                if let Some(was) = self.tamper.filter(|_| at.since(since) >= options.delay) {
                    self.tamper = None;
                    news.push(News::Tamper(false, was));
                }
                // A minute of pictures at most, so that the day may go by.
                self.usual_of = (self.usual_of + 1.0).min(600.0);
                self.usual_detail += (grid.detail - self.usual_detail) / self.usual_of;
                self.usual_spread += (spread - self.usual_spread) / self.usual_of;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A scene with contours and detail, with noise of a few levels.
    struct Scene {
        random: u32,
        grid: Grid,
    }

    impl Scene {
        fn new() -> Self {
            Self { random: 1, grid: Grid { detail: 10.0, ..Grid::default() } }
        }

        fn paint(&mut self, object: Option<(usize, usize)>, light: f32) -> &Grid {
            for i in 0..CELLS {
                let (x, y) = (i % COLUMNS, i / COLUMNS);
                self.random = self.random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let noise = (self.random >> 24) as f32 / 64.0 - 2.0;
                let base = 60.0 + (x * 2 + y) as f32 / 2.0;
                let object = object
                    .is_some_and(|(ox, oy)| (ox..ox + 8).contains(&x) && (oy..oy + 8).contains(&y));
                self.grid.luma[i] = if object { 220.0 } else { base } + noise + light;
            }
            &self.grid
        }
    }

    const fn at(tenths: u64) -> Nanos {
        Nanos::from_millis(tenths * 100)
    }

    fn options() -> Options {
        Options::default()
    }

    #[test]
    fn what_moves_is_told_once_and_its_end_after_the_hold() {
        let (mut scene, mut detector, options) = (Scene::new(), Detector::default(), options());
        let mut all = Vec::new();
        for t in 0..200 {
            // Ten seconds of nothing, three of a walk, nothing again.
            let object = (100..130).contains(&t).then(|| (t - 100, 10));
            let news = detector.look(scene.paint(object, 0.0), &options, at(t as u64));
            all.extend(news.into_iter().map(|news| (t, news)));
        }
        assert_eq!(all.len(), 2, "{all:?}");
        let (began, News::Motion(true, area)) = &all[0] else { panic!("{all:?}") };
        assert!((100..105).contains(began) && *area > 2.0, "{all:?}");
        let (ended, News::Motion(false, _)) = &all[1] else { panic!("{all:?}") };
        let hold = options.hold.0 / 100_000_000;
        assert!((130..130 + hold as usize + 5).contains(ended), "{all:?}");
    }

    #[test]
    fn noise_light_and_small_things_are_no_motion() {
        let (mut scene, mut detector, options) = (Scene::new(), Detector::default(), options());
        for t in 0..300_usize {
            // A cloud, then a lamp; then a spot of one cell that jumps about.
            let light = if t < 150 { (t as f32 / 10.0).sin() * 10.0 } else { 60.0 };
            scene.paint(None, light);
            if t > 250 {
                scene.grid.luma[(t * 97) % CELLS] = 255.0;
            }
            assert_eq!(detector.look(&scene.grid, &options, at(t as u64)), [], "{t}");
        }
    }

    #[test]
    fn what_always_flickers_comes_to_be_expected() {
        let (mut scene, mut detector, options) = (Scene::new(), Detector::default(), options());
        let mut last = false;
        for t in 0..1200_usize {
            scene.paint(None, 0.0);
            if t > 50 && t % 4 < 2 {
                scene.grid.luma[..COLUMNS * 4].iter_mut().for_each(|l| *l += 40.0);
            }
            detector.look(&scene.grid, &options, at(t as u64));
            last |= t == 63 && detector.motion();
        }
        assert!(last && !detector.motion(), "at first it is motion, after two minutes it is not");
    }

    #[test]
    fn motion_outside_of_the_region_and_below_the_area_does_not_count() {
        let mut scene = Scene::new();
        let region = super::super::Region::of(&serde_json::json!(["10"])).unwrap();
        let outside = Options { region, ..options() };
        let small = Options { area: 5.0, ..options() };
        for (options, moves) in [(outside, false), (small, false), (options(), true)] {
            let mut detector = Detector::default();
            let mut seen = false;
            for t in 0..130_u64 {
                let object = (t > 100).then_some((40 + t as usize % 16, 5));
                detector.look(scene.paint(object, 0.0), &options, at(t));
                seen |= detector.motion();
            }
            assert_eq!(seen, moves, "{}", options.area);
        }
    }

    #[test]
    fn a_camera_that_is_covered_blurred_or_dark_is_told() {
        type Spoil = fn(&mut Grid);
        let spoils: [(&str, Spoil); 3] = [
            ("black", |grid| {
                grid.luma.fill(17.0);
                grid.detail = 0.3;
            }),
            ("covered", |grid| {
                grid.luma.fill(90.0);
                grid.detail = 0.5;
            }),
            ("blurred", |grid| grid.detail = 2.0),
        ];
        for (word, spoil) in spoils {
            let (mut scene, mut detector, options) = (Scene::new(), Detector::default(), options());
            let mut all = Vec::new();
            for t in 0..300 {
                scene.paint(None, 0.0);
                scene.grid.detail = 10.0;
                if (100..200).contains(&t) {
                    spoil(&mut scene.grid);
                }
                let news = detector.look(&scene.grid, &options, at(t));
                all.extend(
                    news.into_iter().filter(|n| matches!(n, News::Tamper(..))).map(|n| (t, n)),
                );
            }
            let delay = options.delay.0 / 100_000_000;
            assert_eq!(
                all,
                [(100 + delay, News::Tamper(true, word)), (200 + delay, News::Tamper(false, word))]
            );
        }
        // What passes by is no tampering, and the night neither.
        let (mut scene, mut detector, options) = (Scene::new(), Detector::default(), options());
        for t in 0..300 {
            scene.paint(None, 0.0);
            let night = 1.0 - f32::from(u16::try_from(t).unwrap()) / 500.0;
            scene.grid.luma.iter_mut().for_each(|l| *l *= night);
            scene.grid.detail = if t % 20 < 10 && t > 150 { 1.0 } else { 10.0 * night };
            let news = detector.look(&scene.grid, &options, at(t));
            assert!(!news.iter().any(|n| matches!(n, News::Tamper(..))), "{t} {news:?}");
        }
    }
}
