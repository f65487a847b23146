//! The proof in the pictures: each frame of the test camera says its number and its capture time
//! in its pixels, and in a message beside them.

use super::{Server, until};
use lensd_engine::camera::marks::{Marks, read_marks};
use lensd_engine::syntax::sei::{self, Capture};
use lensd_ffi::unit::{Codec, split_annex_b};

/// Reads the marks of pictures of this size that lie one after the other, each with `bytes` bytes
/// of which the first are luma.
pub fn marks_of(raw: &[u8], width: usize, height: usize, bytes: usize) -> Vec<Marks> {
    assert_eq!(raw.len() % bytes, 0, "{} bytes are no whole pictures of {bytes}", raw.len());
    let pictures = raw.chunks_exact(bytes).enumerate();
    pictures
        .map(|(i, picture)| {
            read_marks(picture, width, width, height)
                .unwrap_or_else(|| panic!("picture {i} has no marks or they are damaged"))
        })
        .collect()
}

/// The capture messages of an H.264 byte stream.
pub fn messages_of(stream: &[u8]) -> Vec<Capture> {
    let mut nals = Vec::new();
    split_annex_b(stream, &mut nals);
    let nal =
        |n: &lensd_ffi::unit::NalSpan| &stream[n.offset as usize..(n.offset + n.len) as usize];
    nals.iter().filter_map(|n| sei::parse(Codec::H264, nal(n))).collect()
}

/// Frames come one after the other; what is missing was never made, as the camera itself says.
pub fn check_numbers(server: &Server, camera: usize, numbers: &[u32]) {
    let mut missing = 0u64;
    for pair in numbers.windows(2) {
        assert!(pair[1] > pair[0], "frame {} came after frame {}", pair[1], pair[0]);
        missing += u64::from(pair[1] - pair[0] - 1);
    }
    if missing > 0 {
        // Its count is published twice a second, so the newest may not be known yet.
        let told = (0..40).any(|_| {
            std::thread::sleep(std::time::Duration::from_millis(50));
            server.camera_lost(camera) >= missing
        });
        assert!(told, "{missing} frames are lost, of which the camera knows nothing: {numbers:?}");
    }
}

/// Marks come one after the other, and time goes on with them.
pub fn check_marks(server: &Server, marks: &[Marks], at_least: usize) {
    assert!(marks.len() >= at_least, "{} frames of {at_least}", marks.len());
    check_numbers(server, 1, &marks.iter().map(|m| m.number).collect::<Vec<_>>());
    for pair in marks.windows(2) {
        assert!(pair[1].capture > pair[0].capture, "{pair:?}");
    }
}

/// Messages likewise, with the checksums of their pictures.
pub fn check_messages(server: &Server, messages: &[Capture], at_least: usize) {
    assert!(messages.len() >= at_least, "{} messages of {at_least}", messages.len());
    check_numbers(server, 1, &messages.iter().map(|m| m.number).collect::<Vec<_>>());
    for message in messages {
        assert_ne!(message.crc, 0, "{message:?}");
        assert!(message.utc.0 > 0 && message.mono.0 > 0, "{message:?}");
    }
}

/// Pixels and messages say the same.
pub fn check_agreement(marks: &[Marks], messages: &[Capture]) {
    for mark in marks {
        if let Some(message) = messages.iter().find(|m| m.number == mark.number) {
            assert_eq!(message.mono, mark.capture, "frame {}", mark.number);
        }
    }
}

/// Waits until the camera has delivered this many frames more.
pub fn let_frames_pass(server: &Server, frames: u64) {
    let count = || server.state()["engine"]["cameras"][0]["frames"].as_u64().unwrap_or(0);
    let begin = count();
    // A camera that was started again counts from nothing.
    until("frames", || (count().saturating_sub(begin) >= frames || count() < begin).then_some(()));
}
