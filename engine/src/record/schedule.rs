//! When to record by itself: windows of the week in local time, `Mon-Fri 08:00-18:00; Sat 10:00-12:00`.

use jiff::civil::Weekday;

/// Minutes of a week.
const WEEK: u32 = 7 * DAY;
/// Minutes of a day.
const DAY: u32 = 24 * 60;
/// Most windows.
const MOST: usize = 64;
const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/// Windows of the week. None: never.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Schedule {
    /// First and one past the last minute of the week, from Monday 0:00. May go past its end.
    windows: Vec<(u32, u32)>,
}

impl Schedule {
    /// Reads it. `always` is the whole week, an empty text nothing. A window that ends before it
    /// begins ends on the next day; without days it is every day's.
    ///
    /// # Errors
    /// What was not understood.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.trim().eq_ignore_ascii_case("always") {
            return Ok(Self { windows: vec![(0, WEEK)] });
        }
        let mut windows = Vec::new();
        for part in text.split(';').map(str::trim).filter(|part| !part.is_empty()) {
            let wrong = || {
                format!(
                    "{part:?} is no window: they look like \"Mon-Fri 08:00-18:00\", with ; between \
                     them, or \"always\""
                )
            };
            let (days, hours) = match part.rsplit_once(char::is_whitespace) {
                Some((days, hours)) => (days_of(days).ok_or_else(wrong)?, hours),
                None => ((0..7).collect(), part),
            };
            let (from, to) = hours.split_once('-').ok_or_else(wrong)?;
            let (from, to) = (minute(from).ok_or_else(wrong)?, minute(to).ok_or_else(wrong)?);
            if from >= DAY || from == to {
                return Err(wrong());
            }
            let to = if to < from { to + DAY } else { to };
            windows.extend(days.into_iter().map(|day: u32| (day * DAY + from, day * DAY + to)));
        }
        if windows.len() > MOST {
            return Err(format!("more than {MOST} windows"));
        }
        Ok(Self { windows })
    }

    /// Whether there is no window.
    pub const fn is_empty(&self) -> bool {
        self.windows.is_empty()
    }

    /// Whether a local time is in a window.
    pub fn holds(&self, day: Weekday, hour: i8, minute: i8) -> bool {
        let whole = |n: i8| u32::try_from(n).unwrap_or(0);
        let at = whole(day.to_monday_zero_offset()) * DAY + whole(hour) * 60 + whole(minute);
        self.windows.iter().any(|(from, to)| {
            // Sunday's night belongs to the week before.
            (*from..*to).contains(&at) || (*from..*to).contains(&(at + WEEK))
        })
    }

    /// Whether now is in a window, in the zone of the machine.
    pub fn holds_now(&self) -> bool {
        if self.windows.is_empty() {
            return false;
        }
        let now = jiff::Zoned::now();
        self.holds(now.weekday(), now.hour(), now.minute())
    }
}

fn days_of(text: &str) -> Option<Vec<u32>> {
    let day = |name: &str| {
        let name = name.trim().to_ascii_lowercase();
        DAYS.iter().position(|day| *day == name).and_then(|day| u32::try_from(day).ok())
    };
    let mut days = Vec::new();
    for part in text.split(',') {
        match part.split_once('-') {
            None => days.push(day(part)?),
            Some((from, to)) => {
                let (from, to) = (day(from)?, day(to)?);
                let count = (to + 7 - from) % 7;
                days.extend((0..=count).map(|n| (from + n) % 7));
            }
        }
    }
    Some(days)
}

/// `08:30`, up to `24:00`.
fn minute(text: &str) -> Option<u32> {
    let (hour, minute) = text.trim().split_once(':')?;
    let whole = |text: &str| {
        (text.len() == 2 && text.bytes().all(|b| b.is_ascii_digit()))
            .then(|| text.parse::<u32>().ok())
            .flatten()
    };
    let at = whole(hour)? * 60 + whole(minute).filter(|m| *m < 60)?;
    (at <= DAY).then_some(at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use Weekday::{Friday, Monday, Saturday, Sunday, Wednesday};

    #[test]
    fn windows_of_the_week() {
        let office = Schedule::parse("Mon-Fri 08:00-18:00; Sat 10:00-12:00").unwrap();
        for (day, hour, minute, holds) in [
            (Monday, 8, 0, true),
            (Monday, 7, 59, false),
            (Friday, 17, 59, true),
            (Friday, 18, 0, false),
            (Saturday, 11, 0, true),
            (Sunday, 11, 0, false),
        ] {
            assert_eq!(office.holds(day, hour, minute), holds, "{day:?} {hour}:{minute}");
        }
        let nights = Schedule::parse("22:00-06:00").unwrap();
        assert!(nights.holds(Monday, 5, 0) && nights.holds(Sunday, 23, 0));
        assert!(!nights.holds(Wednesday, 12, 0));
        let weekend = Schedule::parse("sat,sun 00:00-24:00").unwrap();
        assert!(weekend.holds(Sunday, 23, 59) && !weekend.holds(Monday, 0, 0));
        let around = Schedule::parse("Fri-Mon 12:00-13:00").unwrap();
        assert!(around.holds(Monday, 12, 0) && !around.holds(Wednesday, 12, 0));
        assert!(Schedule::parse("always").unwrap().holds(Wednesday, 3, 3));
        assert!(Schedule::parse("  ").unwrap().is_empty());
    }

    #[test]
    fn what_is_no_window_is_quoted() {
        for text in [
            "Mon",
            "8-18",
            "Mon 08:00",
            "Foo 08:00-09:00",
            "08:00-25:00",
            "08:60-09:00",
            "08:00-08:00",
            "24:00-01:00",
        ] {
            let why = Schedule::parse(text).unwrap_err();
            assert!(why.contains(&format!("{text:?}")), "{why}");
        }
    }
}
