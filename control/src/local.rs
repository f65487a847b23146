//! `DATA/run/control.sock`: how `lensd user` reaches the server that runs.
//!
//! Whoever can open the socket owns the data folder and could as well change the store: nothing
//! else is asked. One line of JSON in ([`Command`]), one out ([`Done`]). A connection is handed to a
//! worker, which may wait for it a little; the loop never does.

use crate::accounts::{self, Command, Done};
use crate::audit::Event;
use crate::desk::Desk;
use crate::http::At;
use mio::net::UnixListener;
use std::fs::{self, Permissions};
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Longest command.
const MAX_LINE: u64 = 4096;
/// How long a command may take to come, and an answer to be taken.
const PATIENCE: Duration = Duration::from_secs(1);

/// Where the socket is.
pub fn socket(data: &Path) -> PathBuf {
    data.join("run/control.sock")
}

/// Makes the socket, in the place of one that was left over.
pub(crate) fn listen(data: &Path) -> io::Result<UnixListener> {
    let path = socket(data);
    let _ = fs::remove_file(&path);
    let listener = UnixListener::bind(&path)?;
    fs::set_permissions(&path, Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Takes those who have come.
pub(crate) fn accept(listener: &UnixListener, desk: &mut Desk) {
    while let Ok((stream, _)) = listener.accept() {
        let stream = UnixStream::from(OwnedFd::from(stream));
        let now_ms = lensd_ffi::time::utc_now().millis();
        let job = move |all: &parking_lot::Mutex<accounts::Accounts>| {
            let command = hear(&stream).ok()?;
            let done = accounts::obey(all, &command, now_ms);
            Some((command, done, stream))
        };
        let then = move |desk: &mut Desk, made, at| {
            // Answered only now that it is valid everywhere: who asked may rely on it.
            if let Ok(Some((command, done, stream))) = made {
                note(desk, &command, &done, at);
                let _ = tell(&stream, &done);
            }
        };
        // Who comes when all are busy is closed on, and tries again.
        let _ = desk.with_accounts(job, then);
    }
}

fn hear(stream: &UnixStream) -> io::Result<Command> {
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut line = zeroize::Zeroizing::new(String::new());
    BufReader::new(stream.take(MAX_LINE)).read_line(&mut line)?;
    Ok(serde_json::from_str(&line)?)
}

fn tell(mut stream: &UnixStream, done: &Done) -> io::Result<()> {
    // It fits into the socket's buffer, so the loop does not wait here; a peer that does not take
    // it gets none.
    stream.set_nonblocking(true)?;
    let mut line = serde_json::to_vec(done)?;
    line.push(b'\n');
    stream.write_all(&line)
}

fn note(desk: &mut Desk, command: &Command, done: &Done, at: At) {
    let (what, subject) = command.subject();
    if done.error.is_none() && !matches!(command, Command::List) {
        let event = Event { what, subject, from: "lensd user", ..Event::default() };
        desk.audit.note(&event, at.utc.millis());
    }
}

/// Asks the server that runs on a data folder.
///
/// # Errors
/// When none answers; `UnexpectedEof` when it was too busy.
pub fn ask(data: &Path, command: &Command) -> io::Result<Done> {
    let mut stream = UnixStream::connect(socket(data))?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    let mut line = zeroize::Zeroizing::new(serde_json::to_vec(command)?);
    line.push(b'\n');
    stream.write_all(&line)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    if answer.is_empty() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(serde_json::from_str(&answer)?)
}
