//! Bytes of an RTSP connection. Laws: the same messages wherever TCP cuts; a request that is
//! written again is read as the same.
#![no_main]

use lensd_engine::rtsp::parse::{Item, Parser};
use lensd_engine::rtsp::wire::{MAX_HEAD, MAX_LINE, Method};
use libfuzzer_sys::fuzz_target;

/// All messages, and whether the connection ended with an error.
fn read<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> (Vec<Item>, bool) {
    let (mut parser, mut items) = (Parser::default(), Vec::new());
    for piece in pieces {
        parser.push(piece);
        loop {
            match parser.next_item() {
                Ok(Some(item)) => items.push(item),
                Ok(None) => break,
                Err(_) => return (items, true),
            }
        }
    }
    (items, false)
}

fuzz_target!(|data: &[u8]| {
    let whole = read(std::iter::once(data));
    assert_eq!(whole, read(data.chunks(1)), "byte by byte");
    let size = usize::from(data.first().copied().unwrap_or(0)) + 1;
    assert_eq!(whole, read(data.chunks(size)), "in pieces of {size}");
    for item in whole.0 {
        let Item::Request(request) = item else { continue };
        let http = matches!(request.method, Method::HttpGet | Method::HttpPost);
        let bytes = request.to_bytes();
        // Written with spaces and line ends that it may have come without.
        let long = bytes.len() > MAX_HEAD || request.uri.len() + 300 > MAX_LINE;
        if request.version_ok && !http && !long {
            let again = read(std::iter::once(&bytes[..]));
            assert_eq!(again, (vec![Item::Request(request)], false));
        }
    }
});
