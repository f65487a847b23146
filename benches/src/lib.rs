#![forbid(unsafe_code)]
//! `lensd bench`: a load client for any RTSP server, the bare sender that is the kernel's floor,
//! and the comparison of both.
//!
//! The root binary calls [`main`] for `lensd bench …`; the binary `lensd-bench` of this crate is
//! the same without a server around it.

use std::ffi::OsString;
use std::process::ExitCode;

pub mod catalogue;
pub mod cli;
pub mod compare;
pub mod latency;
pub mod load;
pub mod media;
pub mod process;
pub mod record;
pub mod rtsp;
pub mod sender;
pub mod tap;
pub mod ws;

/// Runs one bench command and says how it went: 0 all well, 1 something was lost or failed, 2 the
/// command line is wrong.
///
/// `args` is what follows `bench` on the command line. `again` are the arguments that lead this
/// executable back here (`["bench"]` for `lensd bench`, none for `lensd-bench`): `compare` starts
/// sender and load clients as processes of their own, so that each is measured by itself.
pub fn main(args: &[OsString], again: &[&str]) -> ExitCode {
    let name = OsString::from(if again.is_empty() { "lensd-bench" } else { "lensd bench" });
    let line = std::iter::once(name).chain(args.iter().cloned());
    let matches = match cli::command().try_get_matches_from(line) {
        Ok(matches) => matches,
        Err(refusal) => {
            // A closed stdout is no reason to say anything more.
            let _ = refusal.print();
            return ExitCode::from(if refusal.use_stderr() { 2 } else { 0 });
        }
    };
    match cli::run(&matches, again) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(reason) => {
            eprintln!("bench: {reason}");
            ExitCode::FAILURE
        }
    }
}
