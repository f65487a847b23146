//! Raw frames for C.

use super::{
    LENSD_OK, LENSD_REVOKED, LENSD_TIMEOUT, copy_out, guard, held, invalid, lensd_options, options,
    patience, put, take,
};
use crate::tap::block::MAX_PLANES;
use crate::tap::client::{Frame, Tap};
use std::ffi::c_int;
use std::os::fd::AsRawFd;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A connection that gives frames.
pub struct lensd_tap {
    tap: Mutex<Tap>,
    bell: c_int,
    socket: c_int,
}

/// A frame that is lent.
pub struct lensd_frame(Mutex<Frame>);

/// A plane of a picture.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct lensd_plane {
    /// First byte of the first row.
    pub data: *const u8,
    /// Bytes from one row to the next.
    pub stride: u32,
    /// Bytes of a row without padding.
    pub row: u32,
    /// Number of rows.
    pub rows: u32,
    /// Nothing yet.
    pub reserved: u32,
}

/// Everything about a frame.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct lensd_frame_info {
    /// The camera's frame number, with gaps where it lost some.
    pub number: u64,
    /// Which frame of this connection, from 0.
    pub seq: u64,
    /// When it was captured, `CLOCK_MONOTONIC`.
    pub capture_mono_ns: u64,
    /// The same instant in UTC, since 1970.
    pub capture_utc_ns: i64,
    /// When the server gave it, `CLOCK_MONOTONIC`.
    pub given_mono_ns: u64,
    /// When this library took it, `CLOCK_MONOTONIC`.
    pub taken_mono_ns: u64,
    /// Its whole buffer, as far as it is used.
    pub data: *const u8,
    /// Length of that in bytes.
    pub len: usize,
    /// Bound of the error of `capture_utc_ns`.
    pub capture_error_ns: u32,
    /// V4L2's code of the layout, such as `YU12`, little-endian.
    pub fourcc: u32,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// CRC-32 (IEEE) of the bytes at `data`, if `has_crc`.
    pub crc: u32,
    /// Whether the camera has computed it.
    pub has_crc: u32,
    /// Number of the camera, from 1.
    pub camera: u32,
    /// Planes that there are.
    pub plane_count: u32,
    /// Planes.
    pub planes: [lensd_plane; MAX_PLANES],
    /// `ColourPrimaries`, `TransferCharacteristics`, `MatrixCoefficients` and `VideoFullRangeFlag` of
    /// ITU-T H.273, a byte each, the first in the lowest.
    pub colour: u32,
    /// 0.
    pub reserved: u32,
}

/// How a connection has fared.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct lensd_tap_counts {
    /// Frames that the server has given.
    pub given: u64,
    /// Frames that were not got because this program was slow.
    pub lost: u64,
    /// Frames that the server took back while they were held.
    pub revoked: u64,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic under the lock was told; what it left is whole, only maybe not the newest.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Connects.
///
/// # Safety
/// As the header says: `wanted` is null or options with texts, `tap` can be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lensd_tap_open(
    wanted: *const lensd_options,
    tap: *mut *mut lensd_tap,
) -> c_int {
    guard(|| {
        // SAFETY: the caller's promise.
        let options = unsafe { options(wanted) }?;
        let open = Tap::open(&options)?;
        let (bell, socket) = (open.bell().as_raw_fd(), open.socket().as_raw_fd());
        // SAFETY: the caller's promise.
        unsafe { put(lensd_tap { tap: Mutex::new(open), bell, socket }, tap) }
    })
}

/// The next frame.
///
/// # Safety
/// `tap` is open, `frame` can be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lensd_tap_next(
    tap: *mut lensd_tap,
    timeout_ms: c_int,
    frame: *mut *mut lensd_frame,
) -> c_int {
    guard(|| {
        // SAFETY: the caller's promise.
        let tap = unsafe { held(tap) }?;
        match lock(&tap.tap).next(patience(timeout_ms))? {
            // SAFETY: the caller's promise.
            Some(next) => unsafe { put(lensd_frame(Mutex::new(next)), frame) },
            None => Ok(LENSD_TIMEOUT),
        }
    })
}

/// A descriptor that is readable when there is a frame.
///
/// # Safety
/// `tap` is open.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lensd_tap_fd(tap: *const lensd_tap) -> c_int {
    // SAFETY: the caller's promise.
    guard(|| Ok(unsafe { held(tap) }?.bell))
}

/// A descriptor that is readable when the server has said something, also that it ends.
///
/// # Safety
/// `tap` is open.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lensd_tap_socket(tap: *const lensd_tap) -> c_int {
    // SAFETY: the caller's promise.
    guard(|| Ok(unsafe { held(tap) }?.socket))
}

/// How it has fared.
///
/// # Safety
/// `tap` is open, `counts` has room for `size` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lensd_tap_get_counts(
    tap: *const lensd_tap,
    counts: *mut lensd_tap_counts,
    size: usize,
) -> c_int {
    guard(|| {
        // SAFETY: the caller's promise.
        let all = lock(&unsafe { held(tap) }?.tap).counts();
        let all = lensd_tap_counts { given: all.given, lost: all.lost, revoked: all.revoked };
        // SAFETY: the caller's promise.
        unsafe { copy_out(&all, counts, size) }
    })
}

/// Disconnects.
///
/// # Safety
/// `tap` is null, or open and not used after this.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lensd_tap_close(tap: *mut lensd_tap) {
    guard(|| {
        // SAFETY: the caller's promise.
        drop(unsafe { take(tap) });
        Ok(LENSD_OK)
    });
}

/// Everything about a frame.
///
/// # Safety
/// `frame` is held, `info` has room for `size` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lensd_frame_get_info(
    frame: *const lensd_frame,
    info: *mut lensd_frame_info,
    size: usize,
) -> c_int {
    guard(|| {
        // SAFETY: the caller's promise.
        let frame = lock(&unsafe { held(frame) }?.0);
        // SAFETY: the caller's promise.
        unsafe { copy_out(&info_of(&frame), info, size) }
    })
}

fn info_of(frame: &Frame) -> lensd_frame_info {
    let (r, pixels) = (&frame.record, frame.pixels());
    // The record was checked against the buffer: every plane lies inside it.
    let at = |offset: u32| pixels.address().wrapping_add(offset as usize);
    let plane = |i: usize| {
        let p = r.planes[i];
        let there = i < r.plane_count as usize;
        let data = if there { at(p.offset) } else { std::ptr::null() };
        lensd_plane { data, stride: p.stride, row: p.row, rows: p.rows, reserved: 0 }
    };
    lensd_frame_info {
        number: r.number,
        seq: r.seq,
        capture_mono_ns: r.capture.mono.0,
        capture_utc_ns: r.capture.utc.0,
        given_mono_ns: r.given.0,
        taken_mono_ns: frame.woken.0,
        data: at(0),
        len: r.used as usize,
        capture_error_ns: r.capture.error_ns,
        fourcc: r.fourcc,
        width: r.width,
        height: r.height,
        crc: r.crc.unwrap_or(0),
        has_crc: r.crc.is_some().into(),
        camera: r.camera,
        plane_count: r.plane_count,
        planes: [0, 1, 2].map(plane),
        colour: r.colour,
        reserved: 0,
    }
}

/// Whether the frame is still lent.
///
/// # Safety
/// `frame` is held.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lensd_frame_check(frame: *const lensd_frame) -> c_int {
    guard(|| {
        // SAFETY: the caller's promise.
        let valid = lock(&unsafe { held(frame) }?.0).is_valid();
        Ok(if valid { LENSD_OK } else { LENSD_REVOKED })
    })
}

/// Gives the frame back; its memory stays until it is released.
///
/// # Safety
/// `frame` is held.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lensd_frame_return(frame: *mut lensd_frame) -> c_int {
    guard(|| {
        // SAFETY: the caller's promise.
        let valid = lock(&unsafe { held(frame) }?.0).give_back();
        Ok(if valid { LENSD_OK } else { LENSD_REVOKED })
    })
}

/// Gives the frame back and frees the handle.
///
/// # Safety
/// `frame` is held and not used after this.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lensd_frame_release(frame: *mut lensd_frame) -> c_int {
    guard(|| {
        // SAFETY: the caller's promise.
        let frame = unsafe { take(frame) }.ok_or_else(|| invalid("the handle is null"))?;
        let valid = lock(&frame.0).give_back();
        Ok(if valid { LENSD_OK } else { LENSD_REVOKED })
    })
}
