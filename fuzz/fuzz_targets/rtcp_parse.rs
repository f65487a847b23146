//! RTCP datagrams. Laws: no panic, a bounded number of reports; ours are read back.
#![no_main]

use lensd_engine::rtp::rtcp::{Report, parse, receiver_report, round_trip_us};
use lensd_ffi::time::UtcNanos;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let reports = parse(data);
    assert!(reports.len() <= 64 + 31 && reports.len() <= data.len() / 4);
    for report in reports {
        if let Report::Block(block) = report {
            let _ = round_trip_us(&block, UtcNanos(1_700_000_000_000_000_000));
            let again = parse(&receiver_report(7, &block, "name"));
            assert_eq!(again, [Report::Block(block)]);
        }
    }
});
