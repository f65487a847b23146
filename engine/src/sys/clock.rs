//! What the kernel knows of its clock of UTC.

use lensd_ffi::time::{ClockSource, ClockState};
use std::mem::MaybeUninit;

/// Asks the kernel (`adjtimex(2)` with no mode set: it changes nothing and needs no right).
/// [`ClockState::steps`] is left zero, for the kernel does not count them.
pub fn adjtimex() -> ClockState {
    // SAFETY: `timex` is plain data, for which zeros are a value: no mode, nothing to set.
    let mut timex = unsafe { MaybeUninit::<libc::timex>::zeroed().assume_init() };
    // SAFETY: the kernel writes one `timex` into the one that lives here.
    let state = unsafe { libc::adjtimex(&raw mut timex) };
    if state < 0 {
        // A sandbox forbids it: then nothing is known.
        return ClockState::default();
    }
    read(state, timex.status, timex.maxerror, timex.esterror)
}

/// `TIME_ERROR` is also returned for a fault of a pulse that nobody uses for the time; `STA_UNSYNC`
/// is what decides ("adjtimex(2)", and NTP's kernel model, RFC 1589 section 3).
fn read(state: i32, status: i32, maxerror: i64, esterror: i64) -> ClockState {
    /// The kernel counts the error of a clock that nobody sets up to this (`NTP_PHASE_LIMIT`).
    const MOST_US: i64 = 16_000_000;
    let is = |bit: i32| status & bit != 0;
    if is(libc::STA_UNSYNC)
        || maxerror >= MOST_US
        || (state == libc::TIME_ERROR && is(libc::STA_CLOCKERR))
    {
        return ClockState::default();
    }
    let nanos = |us: i64| u64::try_from(us).ok().map(|us| us * 1_000);
    ClockState {
        source: if is(libc::STA_PPSTIME) && is(libc::STA_PPSSIGNAL) {
            ClockSource::Pps
        } else if is(libc::STA_PLL) {
            ClockSource::Pll
        } else {
            ClockSource::Service
        },
        error_ns: nanos(maxerror),
        expected_ns: nanos(esterror),
        steps: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use libc::{
        STA_CLOCKERR, STA_PLL, STA_PPSSIGNAL, STA_PPSTIME, STA_UNSYNC, TIME_ERROR, TIME_OK,
    };

    #[test]
    fn the_kernel_answers() {
        let state = adjtimex();
        assert_eq!(state.is_synchronized(), state.source != ClockSource::None);
    }

    #[test]
    fn who_keeps_it_right_follows_from_the_status() {
        for (status, source) in [
            (STA_PLL, ClockSource::Pll),
            (0, ClockSource::Service),
            (STA_PLL | STA_PPSTIME | STA_PPSSIGNAL, ClockSource::Pps),
            // The pulse has gone: the loop goes on with what it is told.
            (STA_PLL | STA_PPSTIME, ClockSource::Pll),
        ] {
            let state = read(TIME_OK, status, 250, 3);
            assert_eq!(state.source, source, "{status:#x}");
            assert_eq!((state.error_ns, state.expected_ns), (Some(250_000), Some(3_000)));
        }
    }

    #[test]
    fn nobody_knows_the_error_of_a_clock_that_nobody_keeps_right() {
        for (state, status, maxerror) in [
            (TIME_ERROR, STA_UNSYNC, 16_000_000),
            (TIME_ERROR, STA_UNSYNC | STA_PLL, 5),
            (TIME_OK, STA_PLL, 16_000_000),
            (TIME_ERROR, STA_PLL | STA_CLOCKERR, 5),
        ] {
            assert_eq!(read(state, status, maxerror, 0), ClockState::default());
        }
    }
}
