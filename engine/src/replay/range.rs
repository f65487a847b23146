//! What a client may ask for: a range of time (RFC 2326 sections 3.6, 3.7 and 12.29) and a scale
//! (12.34).

use super::nanos;
use lensd_ffi::time::UtcNanos;

/// A point in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Point {
    /// Ticks of 90 kHz from the beginning of the recording.
    Ticks(i64),
    /// The newest of what is recorded.
    Now,
    /// Then.
    Utc(UtcNanos),
}

/// A range, open at either end.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    /// Where it begins; none: where it is now.
    pub from: Option<Point>,
    /// Where it ends; none: with the recording.
    pub until: Option<Point>,
}

/// The least and the most that a scale can be, either way.
pub const SCALES: std::ops::RangeInclusive<f64> = 0.125..=16.0;
/// Beyond this, forwards, only key frames are sent; backwards always.
pub const KEYS_BEYOND: f64 = 2.0;

/// A century in seconds: no recording is longer, and its nanoseconds can be told.
const LONGEST: u64 = 100 * 365 * 86_400;

impl Range {
    /// Reads the header: `npt=12.5-`, `npt=0:00:12.5-60`, `npt=now-`, `npt=-30`,
    /// `clock=20261121T140557.25Z-`. None: it is none of these.
    pub fn parse(header: &str) -> Option<Self> {
        // When to begin with it, which no player says, is not kept.
        let header = header.split(';').next()?.trim();
        let (unit, range) = header.split_once('=')?;
        let (from, until) = range.split_once('-')?;
        let point = |text: &str| match (text.trim(), unit.trim()) {
            ("", _) => Some(None),
            ("now", "npt") => Some(Some(Point::Now)),
            (text, "npt") => npt(text).map(|at| Some(Point::Ticks(at))),
            (text, "clock") => clock(text).map(|at| Some(Point::Utc(at))),
            _ => None,
        };
        let out = Self { from: point(from)?, until: point(until)? };
        (out != Self::default()).then_some(out)
    }
}

/// `SS.sss` or `HH:MM:SS.sss` in ticks.
fn npt(text: &str) -> Option<i64> {
    let mut parts = text.rsplit(':');
    let (seconds, fraction) = split_fraction(parts.next()?)?;
    let minutes = parts.next().map_or(Some(0), |m| number(m).filter(|m| *m < 60))?;
    let hours = parts.next().map_or(Some(0), number)?;
    if parts.next().is_some() {
        return None;
    }
    let seconds = seconds.checked_add(minutes * 60)?.checked_add(hours.checked_mul(3600)?)?;
    if seconds > LONGEST {
        return None;
    }
    // To the nearest tick: what we have told in microseconds comes back as it was.
    let ticks = (fraction * 9 + 50_000) / 100_000;
    i64::try_from(seconds.checked_mul(90_000)?.checked_add(ticks)?).ok()
}

/// `YYYYMMDDTHHMMSS.sssZ`.
fn clock(text: &str) -> Option<UtcNanos> {
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    let part = |text: &str, at: std::ops::Range<usize>| number(text.get(at)?);
    if date.len() != 8 || time.find('.').unwrap_or(time.len()) != 6 {
        return None;
    }
    let (year, month, day) = (part(date, 0..4)?, part(date, 4..6)?, part(date, 6..8)?);
    let (hour, minute) = (part(time, 0..2)?, part(time, 2..4)?);
    let (second, fraction) = split_fraction(&time[4..])?;
    let date = jiff::civil::Date::new(
        i16::try_from(year).ok()?,
        i8::try_from(month).ok()?,
        i8::try_from(day).ok()?,
    );
    let time = jiff::civil::Time::new(
        i8::try_from(hour).ok()?,
        i8::try_from(minute).ok()?,
        // A leap second is the one before to all clocks that we know.
        i8::try_from(second.min(59)).ok()?,
        i32::try_from(fraction).ok()?,
    );
    let zoned = date.ok()?.to_datetime(time.ok()?).to_zoned(jiff::tz::TimeZone::UTC).ok()?;
    i64::try_from(zoned.timestamp().as_nanosecond()).ok().map(UtcNanos)
}

/// Whole seconds and nanoseconds.
fn split_fraction(text: &str) -> Option<(u64, u64)> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let digits = fraction.bytes().chain(std::iter::repeat(b'0')).take(9);
    let nanos = digits.fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0'));
    Some((number(whole)?, nanos))
}

/// At most ten digits, so that nothing overflows.
fn number(text: &str) -> Option<u64> {
    let fits = (1..=10).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    fits.then(|| text.parse().ok()).flatten()
}

/// Ticks as a normal play time, in seconds with microseconds.
pub fn to_npt(ticks: i64) -> String {
    let micros = nanos(u64::try_from(ticks).unwrap_or(0)) / 1000;
    format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000)
}

/// A moment of the clock: `20261121T140557.250000Z`.
pub fn to_clock(at: UtcNanos) -> String {
    // All that 64 bits of nanoseconds can say lies in the calendar.
    let Ok(at) = jiff::Timestamp::from_nanosecond(at.0.into()) else { return String::new() };
    at.strftime("%Y%m%dT%H%M%S.%6fZ").to_string()
}

/// Reads the header `Scale`: the nearest that is played. None: it is no number, or none at all.
pub fn scale(header: &str) -> Option<f64> {
    let value: f64 = header.trim().parse().ok()?;
    if !value.is_finite() || value == 0.0 {
        return None;
    }
    Some(value.abs().clamp(*SCALES.start(), *SCALES.end()).copysign(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_behind_a_century_are_none() {
        assert_eq!(Range::parse("npt=8023500:01:02.53-1:0:00.5"), None);
        assert_eq!(Range::parse("npt=3153600001-"), None);
        let last = Range::parse("npt=3153600000-").and_then(|range| range.from);
        let Some(Point::Ticks(ticks)) = last else { panic!("{last:?}") };
        let told = format!("npt={}-", to_npt(ticks));
        assert_eq!(Range::parse(&told).and_then(|range| range.from), last);
    }

    fn range(header: &str) -> Option<(Option<Point>, Option<Point>)> {
        Range::parse(header).map(|range| (range.from, range.until))
    }

    #[test]
    fn ranges_of_play_time() {
        let at = |ticks| Some(Point::Ticks(ticks));
        assert_eq!(range("npt=0-"), Some((at(0), None)));
        assert_eq!(range("npt=12.5-20"), Some((at(1_125_000), at(1_800_000))));
        assert_eq!(range("npt=0:01:02.5-"), Some((at(5_625_000), None)));
        assert_eq!(range("npt=now-"), Some((Some(Point::Now), None)));
        assert_eq!(range("npt=-30;time=19970123T143720Z"), Some((None, at(2_700_000))));
        assert_eq!(range(" npt = 1.000011- "), Some((at(90_001), None)));
        for bad in [
            "",
            "npt",
            "npt=",
            "npt=-",
            "npt=x-",
            "npt=-x",
            "npt=1",
            "npt=1:60:00-",
            "npt=1:2:3:4-",
            "npt=1.x-",
            "npt=+1-",
            "npt=99999999999-",
            "smpte=0:10:20-",
            "clock=now-",
        ] {
            assert_eq!(range(bad), None, "{bad}");
        }
    }

    #[test]
    fn ranges_of_the_clock() {
        let utc = |ns| Some(Point::Utc(UtcNanos(ns)));
        let (from, until) = (1_795_269_958_000_000_000, 1_795_269_960_250_000_000);
        let both = range("clock=20261121T140558Z-20261121T140600.25Z");
        assert_eq!(both, Some((utc(from), utc(until))));
        assert_eq!(to_clock(UtcNanos(until)), "20261121T140600.250000Z");
        for bad in
            ["20261321T140558Z", "20261121T240558Z", "20261121T140558", "2026", "20261121T1405Z"]
        {
            assert_eq!(Range::parse(&format!("clock={bad}-")), None, "{bad}");
        }
    }

    #[test]
    fn what_is_told_comes_back() {
        for ticks in [0, 1, 2, 89_999, 90_001, 3_003, 123_456_789_012] {
            assert_eq!(npt(&to_npt(ticks)), Some(ticks), "{}", to_npt(ticks));
        }
        assert_eq!(to_npt(1_125_000), "12.500000");
        assert_eq!(to_npt(-5), "0.000000");
    }

    #[test]
    fn scales_are_the_nearest() {
        let scales = ["1", "2.5", "-1", "0.01", "-100", "0", "x", "nan", "inf", ""].map(scale);
        let wanted = [
            Some(1.0),
            Some(2.5),
            Some(-1.0),
            Some(0.125),
            Some(-16.0),
            None,
            None,
            None,
            None,
            None,
        ];
        assert_eq!(scales, wanted);
    }
}
