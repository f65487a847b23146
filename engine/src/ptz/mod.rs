//! Where a camera looks: the machine that turns what it is told into a course over time, and the
//! window by which a camera without a drive looks around within its own picture.
//!
//! A course is a function of time, not a row of steps: whoever wants to know where an axis is asks
//! for a moment. So a picture is cut where the window is when it is taken, a status is exact, and
//! nothing wakes while nothing moves.

mod course;
mod machine;

pub use course::Course;
pub use machine::{Machine, Refusal};

use lensd_ffi::time::Nanos;
use parking_lot::Mutex;

/// How many times as large a part of the picture is shown at zoom 1: as much as `digital-zoom` can.
pub const MOST_MAGNIFIED: f64 = 16.0;

/// Who moves a camera.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Backend {
    /// The camera's own drive if it has one, else the window.
    #[default]
    Automatic,
    /// Controls of V4L2.
    Camera,
    /// The motor of the head turns it; the rest is the window.
    Motor,
    /// The window within the picture.
    Digital,
    /// Nobody.
    Off,
}

/// What the settings say.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// Who moves it.
    pub backend: Backend,
    /// Seconds from one end to the other at full speed.
    pub travel_secs: f64,
    /// Speed of a move that names none, up to 1.
    pub speed: f64,
    /// How long a move goes on that names neither an end nor a time.
    pub timeout: Nanos,
    /// Least positions of pan, tilt, zoom.
    pub least: [f64; 3],
    /// Greatest.
    pub most: [f64; 3],
}

impl Default for Options {
    fn default() -> Self {
        Self {
            backend: Backend::Automatic,
            travel_secs: 4.0,
            speed: 1.0,
            timeout: Nanos::from_secs(10),
            least: [-1.0, -1.0, 0.0],
            most: [1.0, 1.0, 1.0],
        }
    }
}

/// The part of the picture that is shown, as [`crate::finish::Finish`] counts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Window {
    /// How many times as large it is shown.
    pub zoom: f64,
    /// Left to right, -1 to 1.
    pub pan: f64,
    /// Down to up, -1 to 1.
    pub tilt: f64,
}

impl Window {
    /// Positions of pan, tilt and zoom.
    pub fn of_position([pan, tilt, zoom]: [f64; 3]) -> Self {
        // Each step of zoom enlarges by the same factor, so that a constant speed looks like one.
        Self { zoom: MOST_MAGNIFIED.powf(zoom.clamp(0.0, 1.0)), pan, tilt }
    }

    /// The positions.
    pub fn position(&self) -> [f64; 3] {
        let zoom = self.zoom.clamp(1.0, MOST_MAGNIFIED).ln() / MOST_MAGNIFIED.ln();
        [self.pan, self.tilt, zoom]
    }
}

/// The window of a camera on its way, for the thread that cuts pictures.
#[derive(Debug, Default)]
pub struct Aim(Mutex<Option<[Course; 3]>>);

impl Aim {
    /// Lets the window follow these courses of pan, tilt and zoom; none: it is as the settings say.
    pub fn set(&self, courses: Option<[Course; 3]>) {
        *self.0.lock() = courses;
    }

    /// Whether it has been moved.
    pub fn is_set(&self) -> bool {
        self.0.lock().is_some()
    }

    /// Where it is at a moment.
    pub fn window(&self, at: Nanos) -> Option<Window> {
        let courses = *self.0.lock();
        Some(Window::of_position(courses?.map(|course| course.position(at))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_and_its_position_are_the_same() {
        for position in [[0.0, 0.0, 0.0], [-1.0, 0.5, 0.25], [1.0, -1.0, 1.0]] {
            let back = Window::of_position(position).position();
            assert!(back.iter().zip(position).all(|(a, b)| (a - b).abs() < 1e-9), "{back:?}");
        }
        assert!((Window::of_position([0.0, 0.0, 0.5]).zoom - 4.0).abs() < 1e-9);
    }

    #[test]
    fn an_aim_is_where_its_courses_are() {
        let aim = Aim::default();
        assert_eq!(aim.window(Nanos(5)), None);
        let second = Nanos::from_secs(1);
        let pan = Course::to(0.0, 1.0, 0.5, Nanos(0), None);
        aim.set(Some([pan, Course::rest(0.0), Course::rest(0.5)]));
        assert!((aim.window(second).unwrap().pan - 0.5).abs() < 1e-9);
        aim.set(None);
        assert!(!aim.is_set());
    }
}
