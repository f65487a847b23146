//! Text in a picture: the 8x8 font, each of its points a square.

use super::Picture;
use font8x8::legacy::BASIC_LEGACY;

/// Points of a character's side.
pub const CELL: usize = 8;

/// Fills a picture with one colour: Y, U, V.
pub fn fill(picture: &mut Picture, colour: [u8; 3]) {
    for (plane, value) in picture.planes_mut().into_iter().zip(colour) {
        plane.fill(value);
    }
}

/// Writes a line with its top left corner at `x`, `y`, each point `scale` pixels wide and high, in
/// this brightness. What does not fit is left out; what is not ASCII is a question mark.
pub fn write(picture: &mut Picture, text: &str, x: usize, y: usize, scale: usize, bright: u8) {
    let (width, height) = (picture.width(), picture.height());
    let [luma, ..] = picture.planes_mut();
    for (place, c) in text.chars().enumerate() {
        let glyph = BASIC_LEGACY[if c.is_ascii() && !c.is_control() { c as usize } else { 63 }];
        let left = x + place * CELL * scale;
        for (row, bits) in glyph.iter().enumerate() {
            for line in (y + row * scale..y + (row + 1) * scale).take_while(|line| *line < height) {
                for column in (0..CELL).filter(|column| bits >> column & 1 == 1) {
                    let from = (left + column * scale).min(width);
                    let to = (from + scale).min(width);
                    luma[line * width + from..line * width + to].fill(bright);
                }
            }
        }
    }
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
        let points = picture.bytes()[..luma].iter().enumerate().filter(|(_, v)| **v == 200);
        points.map(|(i, _)| (i % width, i / width)).collect()
    }

    #[test]
    fn a_character_is_where_it_should_be_and_nothing_runs_over() {
        let mut picture = Picture::default();
        picture.resize(32, 16);
        fill(&mut picture, [16, 128, 128]);
        write(&mut picture, "-", 8, 4, 1, 200);
        let points = lit(&picture);
        assert!(!points.is_empty());
        assert!(points.iter().all(|(x, y)| (8..16).contains(x) && (4..12).contains(y)));
        // Twice the size has four times the points.
        fill(&mut picture, [16, 128, 128]);
        write(&mut picture, "-", 8, 0, 2, 200);
        assert_eq!(lit(&picture).len(), 4 * points.len());
        for (x, y, scale) in [(30, 14, 3), (1000, 1000, 1), (0, 0, 100)] {
            write(&mut picture, "Wort \u{fc}ber\u{1f600} \n", x, y, scale, 200);
        }
        assert_eq!(picture.bytes().len(), 32 * 16 * 3 / 2);
    }

    #[test]
    fn lines_break_between_words_and_end_in_time() {
        assert_eq!(wrap("the camera is away", 10, 3), ["the camera", "is away"]);
        assert_eq!(wrap("/dev/v4l/by-path/x gone", 8, 9), ["/dev/v4l", "/by-path", "/x gone"]);
        assert_eq!(wrap("one two three four", 9, 1), ["one tw..."]);
        assert_eq!(wrap("", 9, 1), [""]);
    }
}
