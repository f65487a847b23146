//! Recordings: files of the form that [`lensd_ffi::mux`] describes.

pub mod disk;
pub mod mend;
