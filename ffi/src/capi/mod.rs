//! The C API: a thin skin over [`tap`](crate::tap). Its reference is `ffi/include/lensd.h`, which
//! tests compare with what is here, function by function and field by field.
//!
//! Every function checks its pointers for null, catches what panics, and says in
//! [`lensd_error`] what went wrong. That a pointer which is not null is one of ours, and is still
//! open, only the caller can know.
#![allow(unsafe_code)]
#![allow(non_camel_case_types, reason = "the names of the header")]

#[cfg(test)]
mod header;
mod tap;
mod units;

pub use tap::*;
pub use units::*;

use crate::tap::client::{Options, TapError};
use crate::tap::wire::Mode;
use crate::time::Nanos;
use std::cell::RefCell;
use std::ffi::{CStr, CString, c_char, c_int};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;

/// It is done.
pub const LENSD_OK: c_int = 0;
/// Nothing came in time, or a signal did.
pub const LENSD_TIMEOUT: c_int = 1;
/// The server has taken the frame back: what was read of it may be of two pictures.
pub const LENSD_REVOKED: c_int = 2;
/// An argument is null or makes no sense.
pub const LENSD_INVALID: c_int = -1;
/// There is no server.
pub const LENSD_UNREACHABLE: c_int = -2;
/// The server has refused.
pub const LENSD_REFUSED: c_int = -3;
/// The server has ended, or has ended this: open it again.
pub const LENSD_CLOSED: c_int = -4;
/// Too many frames are held: return one first.
pub const LENSD_FULL: c_int = -5;
/// The server says what cannot be.
pub const LENSD_BROKEN: c_int = -6;
/// The system refuses.
pub const LENSD_SYSTEM: c_int = -7;
/// A fault of this library.
pub const LENSD_FAULT: c_int = -8;

/// What is wanted; see the header.
#[repr(C)]
pub struct lensd_options {
    /// `sizeof(lensd_options)`: later versions may have more fields.
    pub size: usize,
    /// The server's socket; null: `LENSD_TAP`, then `data/run/tap.sock`.
    pub socket: *const c_char,
    /// `stream1`, `cam1`, `cam1/sub` …; null: `stream1`.
    pub stream: *const c_char,
    /// An API token; null: `LENSD_TOKEN`.
    pub token: *const c_char,
    /// `WIDTHxHEIGHT` or `camera`; null: as the server is set.
    pub frame_size: *const c_char,
    /// `I420`, `NV12`, `GREY`, `RGB24`, `BGR24` or `camera`; null: as the server is set.
    pub format: *const c_char,
    /// `LENSD_LATEST` or `LENSD_EVERY`.
    pub mode: c_int,
    /// Frames that may wait with `LENSD_EVERY`; 0: four.
    pub queue: u32,
}

thread_local! {
    static ERROR: RefCell<CString> = RefCell::default();
}

/// What a function was asked cannot be done.
type Failure = (c_int, String);

fn say(message: &str) {
    let text = message.replace('\0', " ");
    ERROR.with_borrow_mut(|error| *error = CString::new(text).unwrap_or_default());
}

/// Does something for C: what fails is said, what panics is caught.
fn guard(act: impl FnOnce() -> Result<c_int, Failure>) -> c_int {
    match catch_unwind(AssertUnwindSafe(act)) {
        Ok(Ok(code)) => code,
        Ok(Err((code, message))) => {
            say(&message);
            code
        }
        Err(_) => {
            say("a fault of liblensd; its message is on the standard error stream");
            LENSD_FAULT
        }
    }
}

fn invalid(what: &str) -> Failure {
    (LENSD_INVALID, what.to_owned())
}

impl From<TapError> for Failure {
    fn from(e: TapError) -> Self {
        let code = match e {
            TapError::Unreachable(_) => LENSD_UNREACHABLE,
            TapError::Refused { .. } => LENSD_REFUSED,
            TapError::Closed(_) => LENSD_CLOSED,
            TapError::Full => LENSD_FULL,
            TapError::Broken(_) => LENSD_BROKEN,
            TapError::Io(_) => LENSD_SYSTEM,
        };
        (code, e.to_string())
    }
}

/// A negative time-out is for ever.
fn patience(timeout_ms: c_int) -> Option<Nanos> {
    u64::try_from(timeout_ms).ok().map(Nanos::from_millis)
}

/// The version of this library.
#[unsafe(no_mangle)]
pub extern "C" fn lensd_version() -> *const c_char {
    const VERSION: &CStr =
        match CStr::from_bytes_with_nul(concat!(env!("CARGO_PKG_VERSION"), "\0").as_bytes()) {
            Ok(version) => version,
            Err(_) => c"",
        };
    VERSION.as_ptr()
}

/// What went wrong last in this thread. Valid until the next call of this library in it.
#[unsafe(no_mangle)]
pub extern "C" fn lensd_error() -> *const c_char {
    ERROR.with_borrow(|error| error.as_ptr())
}

/// A text of C.
///
/// # Safety
/// Null, or a string that ends with a zero and stays for the call.
unsafe fn text(from: *const c_char, what: &str) -> Result<Option<String>, Failure> {
    if from.is_null() {
        return Ok(None);
    }
    // SAFETY: the caller's promise.
    let text = unsafe { CStr::from_ptr(from) };
    let text = text.to_str().map_err(|_| invalid(&format!("{what} is not UTF-8")))?;
    Ok(Some(text.to_owned()))
}

/// The options of C.
///
/// # Safety
/// Null, or options whose `size` is true and whose texts are as in [`text`].
unsafe fn options(from: *const lensd_options) -> Result<Options, Failure> {
    if from.is_null() {
        return Ok(Options::default());
    }
    // SAFETY: the first field is there in every version.
    let size = unsafe { (&raw const (*from).size).read() };
    if size < size_of::<lensd_options>() {
        return Err(invalid("options.size must be sizeof(lensd_options)"));
    }
    // SAFETY: it is at least as large as this version of it.
    let from = unsafe { &*from };
    let mode = match from.mode {
        0 => Mode::Latest,
        1 => Mode::Every,
        _ => return Err(invalid("options.mode is neither LENSD_LATEST nor LENSD_EVERY")),
    };
    // SAFETY: the caller's promise, for each of them.
    let text = |at, what| unsafe { text(at, what) };
    Ok(Options {
        socket: text(from.socket, "options.socket")?.map(PathBuf::from),
        stream: text(from.stream, "options.stream")?.unwrap_or_default(),
        token: text(from.token, "options.token")?,
        mode,
        size: text(from.frame_size, "options.frame_size")?,
        format: text(from.format, "options.format")?,
        queue: from.queue,
    })
}

/// Puts a value on the heap for C, which gives it back to [`take`].
///
/// # Safety
/// `to` is null or can be written.
unsafe fn put<T>(value: T, to: *mut *mut T) -> Result<c_int, Failure> {
    if to.is_null() {
        return Err(invalid("there is no place for the result"));
    }
    // SAFETY: the caller's promise.
    unsafe { to.write(Box::into_raw(Box::new(value))) };
    Ok(LENSD_OK)
}

/// What C holds.
///
/// # Safety
/// Null, or what [`put`] gave and nobody has taken since.
unsafe fn held<'a, T>(at: *const T) -> Result<&'a T, Failure> {
    // SAFETY: the caller's promise; C never has more than a shared reference.
    unsafe { at.as_ref() }.ok_or_else(|| invalid("the handle is null"))
}

/// Takes back what C holds.
///
/// # Safety
/// As [`held`]; it is not used after this.
unsafe fn take<T>(at: *mut T) -> Option<Box<T>> {
    // SAFETY: the caller's promise.
    (!at.is_null()).then(|| unsafe { Box::from_raw(at) })
}

/// Copies a struct to C, whose version of it may be shorter or longer.
///
/// # Safety
/// `to` is null or has room for `size` bytes.
unsafe fn copy_out<T: Copy>(value: &T, to: *mut T, size: usize) -> Result<c_int, Failure> {
    if to.is_null() {
        return Err(invalid("there is no place for the result"));
    }
    let (from, to) = (std::ptr::from_ref(value).cast::<u8>(), to.cast::<u8>());
    // SAFETY: both have that many bytes, and they do not overlap.
    unsafe { std::ptr::copy_nonoverlapping(from, to, size.min(size_of::<T>())) };
    Ok(LENSD_OK)
}
