//! YUV4MPEG2 files: a line of text, then raw pictures, each behind a line of its own.

use super::spec::MAX_SIDE;

/// Longest line that is taken, in bytes.
const MAX_LINE: usize = 1024;

/// What the first line says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Y4mHeader {
    /// Width in pixels.
    pub width: usize,
    /// Height in pixels.
    pub height: usize,
    /// Pictures per second.
    pub fps: f64,
    /// Whether there is luma only.
    pub mono: bool,
    /// Length of the line in bytes, its end included.
    pub length: usize,
}

impl Y4mHeader {
    /// Bytes of a picture.
    pub fn picture_bytes(&self) -> usize {
        let luma = self.width * self.height;
        let chroma = self.width.div_ceil(2) * self.height.div_ceil(2);
        if self.mono { luma } else { luma + 2 * chroma }
    }
}

/// Length of the line that `bytes` begin with, its end included.
fn line(bytes: &[u8]) -> Result<&str, String> {
    let window = &bytes[..bytes.len().min(MAX_LINE)];
    let end = window.iter().position(|&b| b == b'\n').ok_or("no end of line")?;
    std::str::from_utf8(&window[..=end]).map_err(|_| "not text".into())
}

/// Reads the first line of a file.
///
/// # Errors
/// When it is no YUV4MPEG2 file, or one of a layout, size or rate that cannot be shown.
pub fn parse_header(bytes: &[u8]) -> Result<Y4mHeader, String> {
    if !bytes.starts_with(b"YUV4MPEG2 ") {
        let found = String::from_utf8_lossy(&bytes[..bytes.len().min(10)]).into_owned();
        return Err(format!("offset 0: \"YUV4MPEG2 \" is expected and {found:?} is there"));
    }
    let line = line(bytes).map_err(|why| format!("offset 0: YUV4MPEG2 header: {why}"))?;
    let (mut width, mut height, mut fps, mut layout) = (0, 0, None, "420");
    for word in line.split_ascii_whitespace().skip(1) {
        let Some(value) = word.get(1..) else { continue };
        let number = || value.parse::<usize>().map_err(|_| format!("YUV4MPEG2 header: {word}"));
        match word.as_bytes()[0] {
            b'W' => width = number()?,
            b'H' => height = number()?,
            b'F' => fps = parse_rate(value),
            b'C' => layout = value,
            // Interlacing and aspect ratio change nothing here.
            _ => {}
        }
    }
    let mono = layout == "mono";
    if !mono && !matches!(layout, "420" | "420jpeg" | "420paldv" | "420mpeg2") {
        return Err(format!(
            "YUV4MPEG2 layout C{layout}: there are C420, C420jpeg, C420paldv, C420mpeg2 and Cmono \
             (ffmpeg -pix_fmt yuv420p makes the first)"
        ));
    }
    if !(1..=MAX_SIDE).contains(&width) || !(1..=MAX_SIDE).contains(&height) {
        return Err(format!("YUV4MPEG2 size {width}x{height}: sides may be 1 to {MAX_SIDE}"));
    }
    let fps = fps.filter(|fps| (0.1..=1000.0).contains(fps)).unwrap_or(25.0);
    Ok(Y4mHeader { width, height, fps, mono, length: line.len() })
}

fn parse_rate(value: &str) -> Option<f64> {
    let (num, den) = value.split_once(':')?;
    Some(f64::from(num.parse::<u32>().ok()?) / f64::from(den.parse::<u32>().ok()?))
}

/// Length of the line before a picture, its end included.
///
/// # Errors
/// When it does not begin with `FRAME`, or does not end.
pub fn parse_frame_line(bytes: &[u8]) -> Result<usize, String> {
    let line = line(bytes)?;
    let sound = line.strip_prefix("FRAME").is_some_and(|rest| rest.starts_with(['\n', ' ']));
    if sound { Ok(line.len()) } else { Err(format!("\"FRAME\" is expected, not {line:?}")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_read() {
        let header = parse_header(
            b"YUV4MPEG2 W321 H181 F30000:1001 Ip A1:1 C420jpeg XYSCSS=420JPEG\nFRAME\n",
        );
        let header = header.unwrap();
        assert_eq!(
            (header.width, header.height, header.mono, header.length),
            (321, 181, false, 64)
        );
        assert!((header.fps - 29.97).abs() < 0.001);
        assert_eq!(header.picture_bytes(), 321 * 181 + 2 * 161 * 91);
        let mono = parse_header(b"YUV4MPEG2 W2 H2 Cmono\n").unwrap();
        assert_eq!((mono.picture_bytes(), mono.fps), (4, 25.0));
        assert_eq!(parse_frame_line(b"FRAME\nxyz"), Ok(6));
        assert_eq!(parse_frame_line(b"FRAME Ip\nxyz"), Ok(9));
    }

    #[test]
    fn refusals_say_what_is_there_and_what_should_be() {
        for (bytes, part) in [
            (&b"RIFF0000AVI "[..], "RIFF"),
            (b"", "YUV4MPEG2"),
            (b"YUV4MPEG2 W2 H2", "no end of line"),
            (b"YUV4MPEG2 W2 H2 C444\n", "C420jpeg"),
            (b"YUV4MPEG2 W2 H2 C420p10\n", "C420jpeg"),
            (b"YUV4MPEG2 H2\n", "0x2"),
            (b"YUV4MPEG2 W99999 H2\n", "8192"),
            (b"YUV4MPEG2 W-1 H2\n", "W-1"),
            (b"YUV4MPEG2 \xff\xff\n", "not text"),
        ] {
            let why = parse_header(bytes).unwrap_err();
            assert!(why.contains(part), "{why}");
        }
        for bytes in [&b"FRAM"[..], b"FRAMES\n", b"\n", b""] {
            assert!(parse_frame_line(bytes).is_err());
        }
    }
}
