//! Text in a picture, of glyphs that are pixels already.

use super::Picture;
use noto_sans_mono_bitmap::{FontWeight, RasterHeight, get_raster, get_raster_width};

/// Pixels of a line's height.
pub const HEIGHT: usize = 16;
/// Pixels from one character to the next.
pub const ADVANCE: usize = get_raster_width(FontWeight::Bold, RasterHeight::Size16);

/// Fills a picture with one colour: Y, U, V.
pub fn fill(picture: &mut Picture, colour: [u8; 3]) {
    for (plane, value) in picture.planes_mut().into_iter().zip(colour) {
        plane.fill(value);
    }
}

/// Writes a line with its top left corner at `x`, `y`, each point `scale` pixels wide and high, in
/// this brightness. What does not fit is left out; what the font lacks is a question mark.
pub fn write(picture: &mut Picture, text: &str, x: usize, y: usize, scale: usize, bright: u8) {
    let (width, height) = (picture.width(), picture.height());
    let [luma, ..] = picture.planes_mut();
    for (place, c) in text.chars().enumerate() {
        let glyph = |c| get_raster(c, FontWeight::Bold, RasterHeight::Size16);
        let Some(glyph) = glyph(c).or_else(|| glyph('?')) else { return };
        let left = x + place * ADVANCE * scale;
        for (row, points) in glyph.rows().enumerate() {
            for line in (y + row * scale..y + (row + 1) * scale).take_while(|line| *line < height) {
                for (column, cover) in points.iter().enumerate().filter(|(_, cover)| **cover > 0) {
                    let from = (left + column * scale).min(width);
                    let to = (from + scale).min(width);
                    for pixel in &mut luma[line * width + from..line * width + to] {
                        *pixel = blend(*pixel, bright, *cover);
                    }
                }
            }
        }
    }
}

fn blend(below: u8, above: u8, cover: u8) -> u8 {
    let (below, above, cover) = (u16::from(below), u16::from(above), u16::from(cover));
    // At most 255 * 255.
    ((below * (255 - cover) + above * cover) / 255) as u8
}

/// Breaks a text into at most `most` lines of at most `columns` characters, between words where it
/// can; what is too long ends in an ellipsis.
pub fn wrap(text: &str, columns: usize, most: usize) -> Vec<String> {
    let columns = columns.max(4);
    let mut lines: Vec<String> = vec![String::new()];
    let mut long = false;
    for word in text.split_whitespace() {
        let mut letters: Vec<char> = word.chars().collect();
        while !letters.is_empty() {
            let Some(line) = lines.last_mut() else { break };
            let used = line.chars().count();
            let gap = usize::from(used > 0);
            if used + gap + letters.len() <= columns || used == 0 {
                line.extend(std::iter::repeat_n(' ', gap));
                line.extend(letters.drain(..letters.len().min(columns)));
            } else if lines.len() == most {
                long = true;
                break;
            } else {
                lines.push(String::new());
            }
        }
    }
    if let Some(last) = lines.last_mut().filter(|_| long) {
        let kept: String = last.chars().take(columns - 3).collect();
        *last = kept + "...";
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lit(picture: &Picture) -> Vec<(usize, usize)> {
        let (width, luma) = (picture.width(), picture.width() * picture.height());
        let points = picture.bytes()[..luma].iter().enumerate().filter(|(_, v)| **v > 16);
        points.map(|(i, _)| (i % width, i / width)).collect()
    }

    #[test]
    fn a_character_is_where_it_should_be_and_nothing_runs_over() {
        let mut picture = Picture::default();
        picture.resize(64, 48);
        fill(&mut picture, [16, 128, 128]);
        write(&mut picture, "-", 8, 4, 1, 200);
        let points = lit(&picture);
        assert!(!points.is_empty());
        let place =
            |p: &(usize, usize)| (8..8 + ADVANCE).contains(&p.0) && (4..4 + HEIGHT).contains(&p.1);
        assert!(points.iter().all(place), "{points:?}");
        // Twice the size has four times the points.
        fill(&mut picture, [16, 128, 128]);
        write(&mut picture, "-", 8, 0, 2, 200);
        assert_eq!(lit(&picture).len(), 4 * points.len());
        for (x, y, scale) in [(60, 44, 3), (1000, 1000, 1), (0, 0, 100)] {
            write(&mut picture, "Wort \u{fc}ber\u{1f600} \n", x, y, scale, 200);
        }
        assert_eq!(picture.bytes().len(), 64 * 48 * 3 / 2);
    }

    #[test]
    fn lines_break_between_words_and_end_in_time() {
        assert_eq!(wrap("the camera is away", 10, 3), ["the camera", "is away"]);
        assert_eq!(wrap("/dev/v4l/by-path/x gone", 8, 9), ["/dev/v4l", "/by-path", "/x gone"]);
        assert_eq!(wrap("one two three four", 9, 1), ["one tw..."]);
        assert_eq!(wrap("", 9, 1), [""]);
    }
}
