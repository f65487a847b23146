//! Moments and spans as XML Schema writes them (XSD part 2, 3.3.6 and 3.3.7).

use lensd_ffi::time::UtcNanos;

/// A day and a time of it, in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Civil {
    /// From 1970 to 9999.
    pub year: i64,
    /// From 1.
    pub month: i64,
    /// From 1.
    pub day: i64,
    /// To 23.
    pub hour: i64,
    /// To 59.
    pub minute: i64,
    /// To 60: some minutes have a leap second, which counts as the next second here.
    pub second: i64,
}

impl Civil {
    /// Of milliseconds since 1970.
    pub fn of(ms: i64) -> Self {
        let secs = ms.max(0) / 1000;
        let (mut days, secs) = (secs / 86_400, secs % 86_400);
        // Days since 0000-03-01, so that the leap day is a year's last (Hinnant's algorithm).
        days += 719_468;
        let era = days / 146_097;
        let of_era = days % 146_097;
        let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted = (5 * of_year + 2) / 153;
        let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
        Self {
            year: year_of_era + era * 400 + i64::from(month <= 2),
            month,
            day: of_year - (153 * shifted + 2) / 5 + 1,
            hour: secs / 3600,
            minute: secs / 60 % 60,
            second: secs % 60,
        }
    }

    /// Milliseconds since 1970, if there is such a moment.
    pub fn millis(self) -> Option<i64> {
        let Self { year, month, day, hour, minute, second } = self;
        let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        let length = match month {
            2 => 28 + i64::from(leap),
            4 | 6 | 9 | 11 => 30,
            1..=12 => 31,
            _ => return None,
        };
        let real = (1970..=9999).contains(&year)
            && (1..=length).contains(&day)
            && (0..24).contains(&hour)
            && (0..60).contains(&minute)
            && (0..=60).contains(&second);
        if !real {
            return None;
        }
        let (year, shifted) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
        let (era, of_era) = (year / 400, year % 400);
        let of_year = (153 * shifted + 2) / 5 + day - 1;
        let days = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468;
        Some((days * 86_400 + hour * 3600 + minute * 60 + second) * 1000)
    }
}

/// A moment in UTC, with the `Z` that clients look for.
pub fn date_time(ms: i64) -> String {
    let c = Civil::of(ms);
    let (year, month, day) = (c.year, c.month, c.day);
    let (hour, minute, second) = (c.hour, c.minute, c.second);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// The same with milliseconds.
pub fn precise(utc: UtcNanos) -> String {
    let ms = utc.millis();
    let whole = date_time(ms);
    format!("{}.{:03}Z", whole.trim_end_matches('Z'), ms.max(0) % 1000)
}

/// Milliseconds since 1970 of an `xs:dateTime`. One without a zone is in UTC.
pub fn parse_date_time(text: &str) -> Option<i64> {
    let (date, rest) = text.trim().split_once('T')?;
    let mut date = date.splitn(3, '-').map(|p| digits(p, 4));
    let (year, month, day) = (date.next()??, date.next()??, date.next()??);
    let zone = rest.find(['Z', '+', '-']).unwrap_or(rest.len());
    let (clock, zone) = rest.split_at(zone);
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, "0"));
    let mut clock = clock.splitn(3, ':').map(|p| digits(p, 2));
    let (hour, minute, second) = (clock.next()??, clock.next()??, clock.next()??);
    let ms = Civil { year, month, day, hour, minute, second }.millis()?;
    let plain = !fraction.is_empty() && fraction.bytes().all(|b| b.is_ascii_digit());
    if !plain || fraction.len() > 30 {
        return None;
    }
    let thousandths: i64 = format!("{fraction}00").get(..3)?.parse().ok()?;
    let offset = match zone {
        "" | "Z" => 0,
        zone => {
            let sign = if zone.starts_with('-') { -1 } else { 1 };
            let (hours, minutes) = zone.get(1..)?.split_once(':')?;
            let (hours, minutes) = (digits(hours, 2)?, digits(minutes, 2)?);
            if hours > 14 || minutes > 59 {
                return None;
            }
            sign * (hours * 60 + minutes) * 60_000
        }
    };
    Some(ms + thousandths - offset)
}

/// A number of no more than so many digits, and nothing else.
fn digits(text: &str, most: usize) -> Option<i64> {
    let plain = (1..=most).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    plain.then(|| text.parse().ok()).flatten()
}

/// A span as seconds.
pub fn duration(ms: i64) -> String {
    let (whole, part) = (ms / 1000, ms.rem_euclid(1000));
    if part == 0 { format!("PT{whole}S") } else { format!("PT{whole}.{part:03}S") }
}

/// Milliseconds of an `xs:duration` that is not negative. A month has 30 days here and a year 365:
/// nobody means a span of them.
pub fn parse_duration(text: &str) -> Option<i64> {
    let rest = text.trim().strip_prefix('P')?;
    let (days, clock) = match rest.split_once('T') {
        Some((_, "")) => return None,
        Some((days, clock)) => (days, clock),
        None => (rest, ""),
    };
    if days.is_empty() && clock.is_empty() {
        return None;
    }
    const DAY: i64 = 86_400_000;
    let days = units(days, &[('Y', 365 * DAY), ('M', 30 * DAY), ('D', DAY)])?;
    let clock = units(clock, &[('H', 3_600_000), ('M', 60_000), ('S', 1000)])?;
    days.checked_add(clock)
}

/// Numbers with their units, in this order.
fn units(mut text: &str, units: &[(char, i64)]) -> Option<i64> {
    let mut units = units.iter();
    let mut sum = 0_i64;
    while !text.is_empty() {
        let at = text.find(|c: char| c.is_ascii_alphabetic())?;
        let (number, rest) = text.split_at(at);
        let unit = rest.chars().next()?;
        let (_, worth) = units.find(|(name, _)| *name == unit)?;
        let (whole, part) = number.split_once('.').unwrap_or((number, ""));
        if part.len() > 30 || !part.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        if !part.is_empty() && unit != 'S' {
            return None;
        }
        let thousandths: i64 = format!("{part}000").get(..3)?.parse().ok()?;
        sum = sum.checked_add(digits(whole, 12)?.checked_mul(*worth)?)?.checked_add(thousandths)?;
        text = &rest[1..];
    }
    Some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_as_clients_write_them() {
        let ms = 1_732_209_874_000;
        assert_eq!(date_time(ms), "2024-11-21T17:24:34Z");
        for (text, more) in [
            ("2024-11-21T17:24:34Z", 0),
            ("2024-11-21T17:24:34", 0),
            ("2024-11-21T17:24:34.5Z", 500),
            ("2024-11-21T17:24:34.123456+00:00", 123),
            ("2024-11-21T19:24:34+02:00", 0),
            (" 2024-11-21T12:54:34-04:30 ", 0),
        ] {
            assert_eq!(parse_date_time(text), Some(ms + more), "{text}");
        }
        for bad in [
            "",
            "T",
            "2024-13-01T00:00:00Z",
            "2023-02-29T00:00:00Z",
            "2024-11-21",
            "2024-11-21T24:00:00Z",
            "2024-11-21T1:2Z",
            "2024-11-21T17:24:34.Z",
            "2024-11-21T17:24:34+25:00",
            "99999-01-01T00:00:00Z",
            "2024-11-21T17:24:34é",
            "+024-11-21T17:24:34Z",
            "1969-12-31T23:59:59Z",
        ] {
            assert_eq!(parse_date_time(bad), None, "{bad:?}");
        }
        for day in (0..3_000_000).step_by(17) {
            let ms = day * 86_400_000 + 1000;
            if let Some(back) = Civil::of(ms).millis() {
                assert_eq!(back, ms);
            }
        }
    }

    #[test]
    fn spans_as_clients_write_them() {
        for (text, ms) in [
            ("PT60S", 60_000),
            ("PT1M", 60_000),
            ("PT0.5S", 500),
            ("P1DT1H", 90_000_000),
            ("PT0S", 0),
            ("P1Y", 31_536_000_000),
        ] {
            assert_eq!(parse_duration(text), Some(ms), "{text}");
        }
        for bad in [
            "",
            "P",
            "PT",
            "60",
            "-PT60S",
            "PT-60S",
            "PT1S1M",
            "PT1.5M",
            "P1S",
            "PT999999999999999S",
            "P1DT",
            "PT1é",
            "PT.S",
            "P999999999999Y",
        ] {
            assert_eq!(parse_duration(bad), None, "{bad:?}");
        }
        assert_eq!((duration(60_000), duration(1_500)), ("PT60S".into(), "PT1.500S".into()));
    }
}
