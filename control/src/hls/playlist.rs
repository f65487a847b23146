//! Playlists as text (RFC 8216 and draft-pantos-hls-rfc8216bis section 4).

use super::window::{Part, Promise, Segment, Window};
use super::wish::File;
use lensd_ffi::mux::TIMESCALE;
use lensd_ffi::time::UtcNanos;
use std::fmt::Write as _;

/// The media type of playlists (RFC 8216 4).
pub(crate) const MEDIA_TYPE: &str = "application/vnd.apple.mpegurl";

/// The multivariant playlist of one stream: what browsers want to know before they begin. `query`
/// is appended to each URI. None: nobody knows yet.
pub(crate) fn index(window: &Window, query: &str) -> Option<String> {
    window.promise()?;
    let init = window.newest_init()?;
    let codecs = init.mime.split('"').nth(1)?;
    let (peak, mean) = window.rates();
    Some(format!(
        "#EXTM3U\n#EXT-X-VERSION:9\n\
         #EXT-X-STREAM-INF:BANDWIDTH={peak},AVERAGE-BANDWIDTH={mean},CODECS=\"{codecs}\",\
         RESOLUTION={}x{},FRAME-RATE={:.3},CLOSED-CAPTIONS=NONE\n{}{query}\n",
        init.width,
        init.height,
        window.pace(),
        File::Live,
    ))
}

/// The media playlist. None: there is none yet.
pub(crate) fn live(window: &Window, query: &str) -> Option<String> {
    let Promise { target, part } = window.promise()?;
    let first = window.listed().next()?;
    let mut out = String::with_capacity(8 * 1024);
    let breaks = first.breaks - u64::from(first.discontinuity);
    // Writing to a String cannot fail.
    let _ = write!(
        out,
        "#EXTM3U\n#EXT-X-VERSION:9\n#EXT-X-TARGETDURATION:{target}\n\
         #EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK={}\n\
         #EXT-X-PART-INF:PART-TARGET={}\n\
         #EXT-X-MEDIA-SEQUENCE:{}\n#EXT-X-DISCONTINUITY-SEQUENCE:{breaks}\n",
        seconds(3 * part),
        seconds(part),
        first.msn,
    );
    let mut init = None;
    // Parts are of use near the end only (6.2.2).
    let near = 3 * target * u64::from(TIMESCALE);
    let open = window.open().map_or(0, |segment| segment.duration);
    let mut left = open + window.listed().map(|segment| segment.duration).sum::<u64>();
    for segment in window.listed() {
        begin(&mut out, window, segment, &mut init, query);
        if segment.has_parts && left <= near {
            parts(&mut out, window, &segment.parts, query);
        }
        left -= segment.duration;
        let (duration, file) = (seconds(segment.duration), File::Segment(segment.msn));
        let _ = write!(out, "#EXTINF:{duration},\n{file}{query}\n");
    }
    if let Some(segment) = window.open().filter(|segment| !segment.parts.is_empty()) {
        begin(&mut out, window, segment, &mut init, query);
        parts(&mut out, window, &segment.parts, query);
    }
    let next = File::Part(window.birth(), window.next_part());
    let _ = writeln!(out, "#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"{next}{query}\"");
    Some(out)
}

/// What stands before a segment and its parts.
fn begin(
    out: &mut String,
    window: &Window,
    segment: &Segment,
    init: &mut Option<u64>,
    query: &str,
) {
    if segment.discontinuity {
        out.push_str("#EXT-X-DISCONTINUITY\n");
    }
    if *init != Some(segment.init) {
        *init = Some(segment.init);
        let file = File::Init(window.birth(), segment.init);
        let _ = writeln!(out, "#EXT-X-MAP:URI=\"{file}{query}\"");
    }
    let _ = writeln!(out, "#EXT-X-PROGRAM-DATE-TIME:{}", date_time(segment.utc));
}

fn parts(out: &mut String, window: &Window, parts: &[Part], query: &str) {
    for part in parts {
        let file = File::Part(window.birth(), part.number);
        let independent = if part.independent { ",INDEPENDENT=YES" } else { "" };
        let duration = seconds(part.duration);
        let _ = writeln!(out, "#EXT-X-PART:DURATION={duration},URI=\"{file}{query}\"{independent}");
    }
}

/// Ticks as a `decimal-floating-point` of seconds, rounded down to the microsecond: what is not
/// longer than something else is not written longer either.
fn seconds(ticks: u64) -> String {
    let micros = ticks * 1_000_000 / u64::from(TIMESCALE);
    format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000)
}

/// ISO 8601, to the millisecond (RFC 8216 4.3.2.6).
fn date_time(utc: UtcNanos) -> String {
    let ms = utc.millis();
    let time = jiff::Timestamp::from_millisecond(ms).unwrap_or_default();
    time.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_as_text() {
        assert_eq!(seconds(0), "0.000000");
        assert_eq!(seconds(180_001), "2.000011");
        assert_eq!(date_time(UtcNanos(1_709_208_000_001_999_999)), "2024-02-29T12:00:00.001Z");
        assert_eq!(date_time(UtcNanos(1_709_208_000_000_000_000)), "2024-02-29T12:00:00.000Z");
    }
}
