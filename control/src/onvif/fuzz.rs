//! The laws of what is read out of requests, for a fuzzer.

use super::ptz::spaces;
use super::{encoders, multicast, osds};
use crate::profiles;
use crate::soap::Document;
use lensd_ffi::ptz::{PtzAxis, PtzReach, PtzStatus};

/// Whatever stands in a configuration, an OSD, a group or a vector, nothing panics, and what is taken
/// lies within its range. What is kept of profiles reads as it was written.
///
/// # Panics
/// When a law is broken.
pub fn fuzz_onvif(data: &[u8]) {
    if let Ok(value) = serde_json::from_slice(data)
        && let Ok(list) = profiles::parse(&value)
    {
        let again = serde_json::json!(list);
        assert_eq!(profiles::parse(&again).as_ref(), Ok(&list));
    }
    let Ok(document) = Document::parse(data) else { return };
    let axis = PtzAxis { reach: PtzReach::Position, ..PtzAxis::default() };
    let status = PtzStatus { pan: axis, tilt: axis, zoom: axis, ..PtzStatus::default() };
    for node in document.root().descendants() {
        let ranges = ((-1.0, 1.0), (0.0, 1.0));
        let to =
            spaces::read_vector(node, &status, spaces::POSITION, ranges, "ter:InvalidPosition");
        if let Ok(to) = to {
            let [pan, tilt, zoom] = to.axes();
            assert!(pan.into_iter().chain(tilt).all(|part| (-1.0..=1.0).contains(&part)));
            assert!(zoom.is_none_or(|near| (0.0..=1.0).contains(&near)));
        }
        osds::fuzz(node);
        multicast::fuzz(node);
        encoders::fuzz(node);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each with every byte of it changed in turn.
    #[test]
    fn what_clients_send_keeps_the_laws_however_it_is_damaged() {
        for text in [
            "<C token='cam1-main'><Encoding>H264</Encoding><Resolution><Width>1280</Width>\
             <Height>720</Height></Resolution><Quality>50</Quality><RateControl><FrameRateLimit>10\
             </FrameRateLimit><EncodingInterval>1</EncodingInterval><BitrateLimit>900</BitrateLimit>\
             </RateControl><H264><GovLength>20</GovLength><H264Profile>High</H264Profile></H264>\
             <Multicast><Address><Type>IPv4</Type><IPv4Address>239.1.2.3</IPv4Address></Address>\
             <Port>6000</Port><TTL>4</TTL></Multicast></C>",
            "<O token='a'><Type>Text</Type><Position><Type>Custom</Type><Pos x='0.5' y='-1'/>\
             </Position><TextString><Type>Plain</Type><FontSize>24</FontSize><FontColor><Color \
             X='1' Y='2' Z='255'/></FontColor><PlainText>a &amp; b</PlainText></TextString></O>",
            "<P><PanTilt x='0.5' y='-0.5'/><Zoom x='1'/></P>",
            "[{\"token\":\"a\",\"name\":\"b\",\"source\":\"cam1-view\",\"fixed\":true}]",
        ] {
            fuzz_onvif(text.as_bytes());
            for at in 0..text.len() {
                for other in [b'0', b'9', b'-', b'<', b' ', 0xff] {
                    let mut damaged = text.as_bytes().to_vec();
                    damaged[at] = other;
                    fuzz_onvif(&damaged);
                }
            }
        }
    }
}
