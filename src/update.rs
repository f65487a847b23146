//! Another version of the program takes over, or does not.
//!
//! Control puts it in place and leaves a marker. The supervisor that runs starts it as a child and
//! watches: it has come up when it has taken the marker away. If it ends before that, or takes too
//! long, the old program is put back and goes on. Else the old supervisor only waits, so that
//! whoever started it sees one process. A marker that was tried already and is found at a start was
//! left by a power failure: the old program is put back then, too.

use lensd_ffi::time::{Nanos, now};
use lensd_ffi::update::Marker;
use rustix::process::{Pid, Signal, kill_process};
use signal_hook_mio::v1_0::Signals;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::Duration;

/// How long the new version may take to come up.
const PATIENCE: Nanos = Nanos::from_secs(60);
/// How long it may take to end when it has not.
const LAST: Nanos = Nanos::from_secs(10);
/// How often it is looked at.
const LOOK: Duration = Duration::from_millis(20);

/// At the start of the supervisor: whether this is a version on trial. Ends in another program if
/// its trial has failed before.
pub(crate) fn begin(data: &Path) -> Option<Marker> {
    let mut marker = Marker::find(data)?;
    if marker.tries > 0 {
        let reason = "it was tried, and did not come up before the machine or the server ended";
        if let Err(e) = marker.roll_back(data, reason) {
            tracing::error!("the old version cannot be put back: {e}");
            return None;
        }
        tracing::error!("version {} is rolled back: {reason}", marker.to);
        let e = Command::new(&marker.binary).args(std::env::args_os().skip(1)).exec();
        tracing::error!("the old version cannot be started, going on with this one: {e}");
        return None;
    }
    marker.tries += 1;
    if let Err(e) = marker.leave(data) {
        tracing::error!("the trial of this version cannot be written down: {e}");
    }
    Some(marker)
}

/// The version on trial has come up.
pub(crate) fn came_up(marker: &Marker, data: &Path) {
    match marker.end(data, "") {
        Ok(()) => tracing::info!("version {} is installed, {} is kept", marker.to, marker.from),
        Err(e) => tracing::error!("the end of the update cannot be written down: {e}"),
    }
}

/// Starts the version that is in place, and watches it. `Some`: it has come up and ended since, and
/// so does this one. `None`: it has not come up, the old program is back, and this one goes on.
pub(crate) fn hand_over(data: &Path, signals: &mut Signals) -> Option<ExitCode> {
    let Some(marker) = Marker::find(data) else {
        tracing::error!("there is no version to hand over to");
        return None;
    };
    tracing::warn!("version {} takes over from {}", marker.to, marker.from);
    let reason = match watch(&marker, data, signals) {
        Ok(code) => return Some(code),
        Err(reason) => reason,
    };
    tracing::error!("version {} is rolled back: {reason}", marker.to);
    if let Err(e) = marker.roll_back(data, &reason) {
        tracing::error!("the old version cannot be put back: {e}");
    }
    None
}

fn watch(marker: &Marker, data: &Path, signals: &mut Signals) -> Result<ExitCode, String> {
    let mut child = Command::new(&marker.binary)
        .args(std::env::args_os().skip(1))
        .spawn()
        .map_err(|e| format!("it cannot be started: {e}"))?;
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let tell = |signal| pid.map(|pid| kill_process(pid, signal));
    let mut until = now().plus(PATIENCE);
    let (mut up, mut late, mut told) = (false, false, false);
    loop {
        // Looked at before the child: it takes the marker away and may end at once.
        up |= Marker::find(data).is_none();
        if let Some(status) = child.try_wait().map_err(|e| e.to_string())? {
            up |= Marker::find(data).is_none();
            return match (up, late) {
                // Told to end, it has; whether it would have come up nobody knows, so it is tried
                // no more: the next start rolls back.
                _ if told && !late => Ok(ExitCode::SUCCESS),
                (true, _) => {
                    let code = status.code().and_then(|c| u8::try_from(c).ok());
                    Ok(ExitCode::from(code.unwrap_or(1)))
                }
                (false, true) => Err("it did not come up within a minute".to_owned()),
                (false, false) => Err(format!("it ended before it came up ({status})")),
            };
        }
        if signals.pending().next().is_some() {
            told = true;
            tell(Signal::TERM);
        }
        if !up && now() >= until {
            // First in order, then for good.
            tell(if late { Signal::KILL } else { Signal::TERM });
            (late, until) = (true, now().plus(LAST));
        }
        std::thread::sleep(LOOK);
    }
}
