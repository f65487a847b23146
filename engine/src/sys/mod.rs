//! The wall to the kernel and to C libraries: every `unsafe` of the engine is in here, one function
//! per call, named as its manual names it.
#![allow(unsafe_code)]

pub mod openh264;
pub mod socket;

pub mod clock;
pub mod dmabuf;
pub mod jpeg;
pub mod uevent;
pub mod unix;
pub mod v4l2;
