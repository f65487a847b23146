//! What client and engine say to each other over the tap's socket, as JSON packets of
//! [`Link`](crate::link::Link).
//!
//! The client asks once; the engine answers with [`Told::Welcome`] or [`Told::Refused`], and later
//! sends buffers before the first frame that lies in them. Whoever closes the socket has ended it.

use serde::{Deserialize, Serialize};

/// The version of packets and blocks.
pub const VERSION: u32 = 1;

/// Longest request in bytes.
pub const MAX_REQUEST: usize = 4096;

/// What is asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum What {
    /// Pictures.
    #[default]
    Raw,
    /// Coded units: the stream's ring.
    Encoded,
}

/// Which frames a client gets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// The newest one; those that it was too slow for are skipped.
    #[default]
    Latest,
    /// All, as long as no more wait for it than its queue holds.
    Every,
}

/// The client's request.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// [`VERSION`]
    pub version: u32,
    /// `stream1`, `cam1`, `cam1/main`, `cam1/sub` …; empty: `stream1`.
    #[serde(default)]
    pub stream: String,
    /// Pictures or units.
    #[serde(default)]
    pub what: What,
    /// Which frames.
    #[serde(default)]
    pub mode: Mode,
    /// An API token of lensd, if the user's own name does not suffice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// `WIDTHxHEIGHT`, or `camera` for the camera's own; none: as the server is set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<String>,
    /// `I420`, `NV12`, `GREY`, `RGB24`, `BGR24`, or `camera` for the camera's own; none: as the
    /// server is set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<String>,
    /// Frames that may wait in mode `every`; 0: four.
    #[serde(default)]
    pub queue: u32,
}

impl Request {
    /// Parses a packet.
    ///
    /// # Errors
    /// What is wrong with it, for the client.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        if bytes.len() > MAX_REQUEST {
            return Err(format!("a request has at most {MAX_REQUEST} bytes"));
        }
        let request: Self = serde_json::from_slice(bytes)
            .map_err(|e| format!("this is no request of the tap: {e}"))?;
        if request.version != VERSION {
            return Err(format!(
                "the server speaks version {VERSION} of the tap, the client {}; use the library \
                 that came with the server",
                request.version
            ));
        }
        Ok(request)
    }

    /// The size that is asked for: none if it is left to the server, `Some(None)` the camera's.
    ///
    /// # Errors
    /// What would be right.
    pub fn size(&self) -> Result<Option<Option<(u32, u32)>>, String> {
        self.size.as_deref().map(parse_size).transpose()
    }
}

/// `WIDTHxHEIGHT` with even sides from 16 to 8192, or `camera`: none.
///
/// # Errors
/// What would be right.
pub fn parse_size(text: &str) -> Result<Option<(u32, u32)>, String> {
    if text == "camera" {
        return Ok(None);
    }
    let side = |text: &str| {
        let plain = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        let side = text.parse::<u32>().ok().filter(|_| plain)?;
        ((16..=8192).contains(&side) && side.is_multiple_of(2)).then_some(side)
    };
    text.split_once('x')
        .and_then(|(width, height)| Some((side(width)?, side(height)?)))
        .map(Some)
        .ok_or_else(|| {
            format!("size {text:?} is not WIDTHxHEIGHT with even sides from 16 to 8192, or camera")
        })
}

/// What a buffer is to the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BufferKind {
    /// A DMA-buf: looks of the processor are to be announced (`DMA_BUF_IOCTL_SYNC`).
    Dmabuf,
    /// A memfd, whose size is sealed.
    Memfd,
}

/// What the engine says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "told", rename_all = "lowercase")]
pub enum Told {
    /// Go on. Descriptors for pictures: the engine's block, the client's block, the bell; for
    /// units: the ring, the bell.
    Welcome {
        /// The stream that is meant now, such as `cam1/main`.
        stream: String,
    },
    /// No. The socket is closed after it.
    Refused {
        /// A code of SURFACE section 3, such as `PERMISSION_DENIED`.
        code: String,
        /// What is wrong, and what to do.
        message: String,
    },
    /// A buffer that frames will lie in. Descriptor: the buffer. Another pool than before: those of
    /// the last one are not used any more.
    Buffer {
        /// Which set of buffers.
        pool: u32,
        /// Which of these.
        index: u32,
        /// Its length in bytes.
        len: u64,
        /// What it is.
        kind: BufferKind,
    },
    /// The path means another stream now. Descriptors as with the welcome, without the bell, which
    /// stays.
    Moved {
        /// The stream.
        stream: String,
    },
    /// The engine ends it. The socket is closed after it.
    Over {
        /// Why.
        message: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_says_what_is_wrong_with_it() {
        let parse = |text: &str| Request::parse(text.as_bytes());
        let ok = parse(r#"{"version":1,"stream":"cam1","mode":"every","size":"640x360"}"#).unwrap();
        assert_eq!((ok.mode, ok.size()), (Mode::Every, Ok(Some(Some((640, 360))))));
        assert!(parse(r#"{"version":2}"#).unwrap_err().contains("version 1"));
        assert!(parse(r#"{"version":1,"colour":1}"#).unwrap_err().contains("colour"));
        assert!(parse(&format!("{:5000}", "")).unwrap_err().contains("4096"));
    }

    #[test]
    fn sizes() {
        assert_eq!(parse_size("camera"), Ok(None));
        assert_eq!(parse_size("16x8192"), Ok(Some((16, 8192))));
        for bad in ["", "x", "640", "640x", "641x360", "14x16", "640x8194", "+64x64", "64x64x64"] {
            assert!(parse_size(bad).is_err(), "{bad}");
        }
    }
}
