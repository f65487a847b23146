//! Streams by HLS.

use super::streams::{asked, unknown};
use super::{Call, Reply};
use crate::hls::{File, Since, Wish};
use crate::http::respond::Fault;
use std::fmt::Write as _;

/// The file's name is the last segment of the path, whatever the route.
pub(super) fn serve(call: &mut Call<'_>) -> Result<Reply, Fault> {
    if !call.desk.hls.settings().on {
        return Err(Fault::not_found("HLS is switched off; the setting hls switches it on"));
    }
    let file = call.request.segments.last().and_then(|name| File::parse(name));
    let file = file.ok_or_else(|| {
        Fault::not_found("a stream has index.m3u8, live.m3u8, and what they name")
    })?;
    let refused = |why| Fault::new(400, "INVALID_VALUE", "Invalid value", why);
    let since = Since::parse(&call.request.query).map_err(refused)?;
    let name = asked(call);
    let Some(source) = call.desk.engine.video_of(&name) else {
        return Err(match call.desk.engine.pictures_of(&name) {
            Some(_) => Fault::not_found("this stream has JPEG pictures, which HLS does not know"),
            None => unknown(call, &name),
        });
    };
    let stream = match name.as_str() {
        "stream1" | "active" => "stream1".to_owned(),
        "stream2" => name,
        _ => source.clone(),
    };
    let token = call.request.query("token").map(encode);
    let query = token.map_or_else(String::new, |token| format!("?token={token}"));
    let wish = Wish { stream, file, since, query };
    let desk = &mut *call.desk;
    let answer = desk.hls.ask(&mut desk.engine, call.key, wish, &source, call.at)?;
    Ok(answer.map_or(Reply::Later, Reply::Now))
}

/// Percent-encoded but for what is `unreserved` (RFC 3986 2.3): tokens are that anyway.
fn encode(text: &str) -> String {
    text.bytes().fold(String::with_capacity(text.len()), |mut out, byte| {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                out.push(byte.into());
            }
            // Writing to a String cannot fail.
            byte => _ = write!(out, "%{byte:02X}"),
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_cannot_leave_its_place_in_a_playlist() {
        assert_eq!(encode("tok-bob_1.~Z"), "tok-bob_1.~Z");
        assert_eq!(encode("a\"\n#&=é"), "a%22%0A%23%26%3D%C3%A9");
    }
}
