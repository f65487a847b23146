//! `lensd`, the camera server: this package only puts the planes together.
#![forbid(unsafe_code)]

mod banner;
mod cli;
mod data;
mod settings;
mod stand_in;
mod supervise;
mod update;
mod user;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
