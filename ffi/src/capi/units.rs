//! Coded units for C.

use super::{
    LENSD_OK, LENSD_TIMEOUT, copy_out, guard, held, lensd_options, options, patience, put, take,
};
use crate::tap::units::Units;
use crate::unit::Codec;
use std::ffi::c_int;
use std::os::fd::AsRawFd;
use std::sync::{Mutex, PoisonError};

/// A connection that gives units.
pub struct lensd_units {
    units: Mutex<Units>,
    /// Lost units that were told of.
    told: Mutex<u64>,
    bell: c_int,
}

/// An access unit, or a JPEG.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct lensd_unit {
    /// Its bytes: H.264 or H.265 with start codes (Annex B), or a JPEG. Valid until the next call
    /// of `lensd_units_next`.
    pub data: *const u8,
    /// Their number.
    pub len: usize,
    /// Its number in the stream.
    pub seq: u64,
    /// The camera's frame number.
    pub number: u64,
    /// When it was captured, `CLOCK_MONOTONIC`.
    pub capture_mono_ns: u64,
    /// The same instant in UTC, since 1970.
    pub capture_utc_ns: i64,
    /// When encoding was done, `CLOCK_MONOTONIC`.
    pub encoded_mono_ns: u64,
    /// Units that were lost before this one.
    pub lost: u64,
    /// Bound of the error of `capture_utc_ns`.
    pub capture_error_ns: u32,
    /// `LENSD_H264`, `LENSD_H265` or `LENSD_JPEG`.
    pub codec: u32,
    /// Whether decoding can begin here.
    pub key: u32,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Nothing yet.
    pub reserved: u32,
}

/// Connects.
///
/// # Safety
/// `wanted` is null or options with texts, `units` can be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lensd_units_open(
    wanted: *const lensd_options,
    units: *mut *mut lensd_units,
) -> c_int {
    guard(|| {
        // SAFETY: the caller's promise.
        let options = unsafe { options(wanted) }?;
        let open = Units::open(&options)?;
        let bell = open.bell().as_raw_fd();
        // SAFETY: the caller's promise.
        unsafe { put(lensd_units { units: Mutex::new(open), told: Mutex::new(0), bell }, units) }
    })
}

/// The next unit.
///
/// # Safety
/// `units` is open, `unit` has room for `size` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lensd_units_next(
    units: *mut lensd_units,
    timeout_ms: c_int,
    unit: *mut lensd_unit,
    size: usize,
) -> c_int {
    guard(|| {
        // SAFETY: the caller's promise.
        let units = unsafe { held(units) }?;
        let mut told = units.told.lock().unwrap_or_else(PoisonError::into_inner);
        let mut units = units.units.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(next) = units.next(patience(timeout_ms))? else { return Ok(LENSD_TIMEOUT) };
        let meta = next.meta;
        let mut found = lensd_unit {
            data: next.bytes.as_ptr(),
            len: next.bytes.len(),
            seq: next.seq,
            number: meta.frame,
            capture_mono_ns: meta.capture.mono.0,
            capture_utc_ns: meta.capture.utc.0,
            encoded_mono_ns: meta.encoded.0,
            lost: 0,
            capture_error_ns: meta.capture.error_ns,
            codec: match meta.codec {
                Codec::H264 => 1,
                Codec::H265 => 2,
                Codec::Jpeg => 3,
            },
            key: meta.key.into(),
            width: meta.width.into(),
            height: meta.height.into(),
            reserved: 0,
        };
        // Also what was lost in calls that ended without a unit.
        let lost = units.lost();
        found.lost = lost - *told;
        *told = lost;
        // SAFETY: the caller's promise.
        unsafe { copy_out(&found, unit, size) }
    })
}

/// A descriptor that is readable when there is a unit.
///
/// # Safety
/// `units` is open.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lensd_units_fd(units: *const lensd_units) -> c_int {
    // SAFETY: the caller's promise.
    guard(|| Ok(unsafe { held(units) }?.bell))
}

/// Disconnects.
///
/// # Safety
/// `units` is null, or open and not used after this.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn lensd_units_close(units: *mut lensd_units) {
    guard(|| {
        // SAFETY: the caller's promise.
        drop(unsafe { take(units) });
        Ok(LENSD_OK)
    });
}
