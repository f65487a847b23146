#![forbid(unsafe_code)]
//! `lensd bench` as a program of its own, for machines without the server.

use std::ffi::OsString;
use std::process::ExitCode;

fn main() -> ExitCode {
    let args: Vec<OsString> = std::env::args_os().skip(1).collect();
    lensd_benches::main(&args, &[])
}
