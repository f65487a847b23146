//! Digital inputs: contacts and sensors that are on or off, each a file of the kernel (such as
//! `/sys/class/gpio/gpio17/value`, kernel's `Documentation/admin-guide/gpio/sysfs.rst`).
//!
//! A thread reads them, since a chip behind a slow bus takes its time. Where the file's `edge` is
//! set the kernel wakes it; else it looks 50 times a second.

use crate::config::Input;
use crate::desk::Desk;
use crate::http::At;
use crate::work::Work;
use lensd_ffi::settings::bank::Held;
use lensd_ffi::time::{Nanos, now};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde_json::{Value, json};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::fs::FileExt as _;

/// How often inputs are read that nobody wakes us for.
const LOOK: Timespec = Timespec { tv_sec: 0, tv_nsec: 20_000_000 };
/// How long one job waits: so often the thread is free to end.
const TURN: Nanos = Nanos::from_secs(1);

/// Whether an input is on, or why that is not known.
pub(crate) type Level = Result<bool, String>;

fn read(file: &File, input: &Input) -> Level {
    let mut text = [0; 8];
    let fail = |e: io::Error| format!("{}: {e}", input.path.display());
    let length = file.read_at(&mut text, 0).map_err(fail)?;
    match text[..length].trim_ascii() {
        b"0" => Ok(input.inverted),
        b"1" => Ok(!input.inverted),
        _ => Err(format!("{} is neither 0 nor 1", input.path.display())),
    }
}

/// Waits until an input is another than before, but not for long.
fn watch(inputs: &[Input], before: &[Level]) -> Vec<Level> {
    let end = now().plus(TURN);
    let open = |input: &Input| {
        File::open(&input.path).map_err(|e| format!("{}: {e}", input.path.display()))
    };
    let files: Vec<Result<File, String>> = inputs.iter().map(open).collect();
    loop {
        let levels: Vec<Level> = files
            .iter()
            .zip(inputs)
            .map(|(file, input)| file.as_ref().map_err(Clone::clone).and_then(|f| read(f, input)))
            .collect();
        if levels != before || now() >= end {
            return levels;
        }
        // What was read is what waiting begins with (sysfs tells of a change by POLLPRI).
        let mut all: Vec<PollFd<'_>> =
            files.iter().flatten().map(|file| PollFd::new(file, PollFlags::PRI)).collect();
        let _ = poll(&mut all, Some(&LOOK));
    }
}

/// Begins to follow the inputs, if there are any. Returns what rings when something is to be noted.
///
/// # Errors
/// There is no thread to be had.
pub(crate) fn begin(desk: &mut Desk, at: At) -> io::Result<Option<BorrowedFd<'_>>> {
    if desk.config.system.inputs.is_empty() {
        let why = "none is configured: set hardware.inputs".to_owned();
        desk.board.own("digital-inputs", Held::missing(why), None);
        return Ok(None);
    }
    desk.sense = Some(Work::new("sense")?.without_end());
    follow(desk, at);
    Ok(desk.sense.as_ref().map(|work| work.bell().as_fd()))
}

fn follow(desk: &mut Desk, at: At) {
    let (inputs, before) = (desk.config.system.inputs.clone(), desk.inputs.clone());
    let Some(work) = &mut desk.sense else { return };
    // Nobody else gives this pool work, so there is room.
    let begun = work.run(
        move || watch(&inputs, &before),
        |desk: &mut Desk, levels, at| {
            note(desk, levels, at);
            follow(desk, at);
        },
    );
    if let Err(fault) = begun {
        tracing::error!("digital inputs are not read: {}", fault.message);
        desk.board.notices.add("error", "digital inputs are not read", at);
    }
}

/// What is known now, and events of what has changed since.
fn note(desk: &mut Desk, levels: Vec<Level>, at: At) {
    if levels == desk.inputs {
        return;
    }
    let names: Vec<String> = desk.config.system.inputs.iter().map(|i| i.name.clone()).collect();
    let mut list = Vec::new();
    for (n, (name, level)) in names.iter().zip(&levels).enumerate() {
        let before = desk.inputs.get(n);
        list.push(match level {
            Ok(on) => json!({ "name": name, "on": on }),
            Err(why) => json!({ "name": name, "on": null, "error": why }),
        });
        match level {
            // The first level is no event: nothing has happened.
            Ok(on) if before.is_some_and(|before| before != level) => {
                let what = if *on { "input.on" } else { "input.off" };
                let body =
                    json!({ "event": what, "input": name, "active": on, "time": at.utc.millis() });
                desk.events.note_input(body);
            }
            Err(why) if before != Some(level) => {
                tracing::warn!(input = name.as_str(), "{why}");
                desk.board.notices.add("warning", format!("input {name}: {why}"), at);
            }
            _ => {}
        }
    }
    desk.inputs = levels;
    desk.board.own("digital-inputs", Held::of(Value::Array(list)), None);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_file_is_on_or_off_or_it_is_told_why_that_is_not_known() {
        let path = std::env::temp_dir().join(format!("lensd-input-{}", std::process::id()));
        let inputs = [
            Input { name: "door".into(), path: path.clone(), inverted: false },
            Input { name: "gate".into(), path: path.clone(), inverted: true },
        ];
        let missing = watch(&inputs[..1], &[]);
        assert!(missing[0].as_ref().unwrap_err().contains("lensd-input"), "{missing:?}");
        for (text, want) in [("1\n", true), ("0\n", false)] {
            fs::write(&path, text).unwrap();
            assert_eq!(watch(&inputs, &[]), [Ok(want), Ok(!want)]);
        }
        for bad in ["", "2\n", "on", "10000000000\n"] {
            fs::write(&path, bad).unwrap();
            assert!(watch(&inputs[..1], &[])[0].is_err(), "{bad:?}");
        }
        fs::remove_file(path).unwrap();
    }
}
