//! Answers of an S3 server; the laws stand beside what reads them.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| lensd_control::fuzz_answer(data));
