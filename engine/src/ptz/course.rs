//! The way of one axis.

use lensd_ffi::time::Nanos;

/// From somewhere to somewhere, at a constant rate.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Course {
    from: f64,
    to: f64,
    /// Positions per second, not negative.
    rate: f64,
    since: Nanos,
    /// When it ends wherever it is.
    until: Option<Nanos>,
}

impl Course {
    /// Stays at a place.
    pub const fn rest(at: f64) -> Self {
        Self { from: at, to: at, rate: 0.0, since: Nanos(0), until: None }
    }

    /// Goes from one place to another, at `rate` positions per second, no longer than `until`.
    pub const fn to(from: f64, to: f64, rate: f64, since: Nanos, until: Option<Nanos>) -> Self {
        Self { from, to, rate: rate.abs(), since, until }
    }

    /// Where it is at a moment.
    pub fn position(&self, at: Nanos) -> f64 {
        let at = self.until.map_or(at, |until| at.min(until));
        let way = self.to - self.from;
        let done = self.rate * (at.since(self.since).0 as f64 / 1e9);
        if done >= way.abs() { self.to } else { self.from + done.copysign(way) }
    }

    /// When it comes to rest; `None`: it has.
    pub fn end(&self, at: Nanos) -> Option<Nanos> {
        let way = (self.to - self.from).abs();
        if way == 0.0 || self.rate <= 0.0 {
            return None;
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "rounded up")]
        let arrival = self.since.plus(Nanos((way / self.rate * 1e9).ceil() as u64));
        let end = self.until.map_or(arrival, |until| arrival.min(until));
        (end > at).then_some(end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Nanos {
        Nanos::from_millis(ms)
    }

    #[test]
    fn a_course_goes_at_its_rate_and_ends_where_it_should() {
        let course = Course::to(0.5, -0.5, 0.5, ms(1000), None);
        assert!((course.position(ms(0)) - 0.5).abs() < 1e-9, "before it begins");
        assert!((course.position(ms(2000)) - 0.0).abs() < 1e-9);
        assert!((course.position(ms(9000)) + 0.5).abs() < 1e-9);
        assert_eq!(course.end(ms(1500)), Some(ms(3000)));
        assert_eq!(course.end(ms(3000)), None);
        let cut = Course::to(0.0, 1.0, 0.5, ms(0), Some(ms(500)));
        assert_eq!(cut.end(ms(0)), Some(ms(500)));
        assert!((cut.position(ms(5000)) - 0.25).abs() < 1e-9);
        assert_eq!(Course::rest(0.3).end(ms(0)), None);
    }
}
