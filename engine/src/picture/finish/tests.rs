use super::*;
use crate::finish::{Clock, Overlay, Turn};
use crate::frame::packed_planes;
use lensd_ffi::time::{Stamp, UtcNanos};
use std::sync::Arc;

/// A frame whose samples tell where they are.
fn frame(format: PixelFormat, width: usize, height: usize) -> Frame {
    let (planes, used) = packed_planes(format, width, height);
    let mut bytes = vec![0; used];
    for (p, plane) in planes.iter().enumerate().take(format.planes()) {
        let row = format.row_bytes(p, width);
        for y in 0..format.rows(p, height) {
            for x in 0..row {
                bytes[plane.offset + y * plane.stride + x] =
                    (16 + (x * 3 + y * 7 + p * 40) % 200) as u8;
            }
        }
    }
    let capture = Stamp { utc: UtcNanos(1_700_000_000_000_000_000), ..Stamp::default() };
    let (memory, colour) = (Arc::new(bytes), Colour::OURS);
    Frame { format, width, height, planes, used, colour, memory, capture, number: 3, crc: Some(1) }
}

fn planes(frame: &Frame) -> [Vec<Vec<u8>>; 3] {
    std::array::from_fn(|p| frame.rows(p).map(<[u8]>::to_vec).collect())
}

/// The slow way, sample by sample, after all was converted.
fn turned(plane: &[Vec<u8>], wish: &Finish, shift: u32, black: u8) -> Vec<Vec<u8>> {
    let (height, width) = (plane.len(), plane[0].len());
    let (dx, dy) = (wish.offset.0 >> shift, wish.offset.1 >> shift);
    let moved = |x: usize, y: usize| {
        let (x, y) = (x as i32 - dx, y as i32 - dy);
        let inside = (0..width as i32).contains(&x) && (0..height as i32).contains(&y);
        if inside { plane[y as usize][x as usize] } else { black }
    };
    let mirrored = |x: usize, y: usize| {
        let x = if wish.mirror { width - 1 - x } else { x };
        moved(x, if wish.flip { height - 1 - y } else { y })
    };
    let (w, h) = match wish.turn {
        Turn::None | Turn::Half => (width, height),
        _ => (height, width),
    };
    (0..h)
        .map(|y| {
            (0..w)
                .map(|x| match wish.turn {
                    Turn::None => mirrored(x, y),
                    Turn::Half => mirrored(width - 1 - x, height - 1 - y),
                    Turn::Quarter => mirrored(y, height - 1 - x),
                    Turn::ThreeQuarters => mirrored(width - 1 - y, x),
                })
                .collect()
        })
        .collect()
}

#[test]
fn every_turn_of_every_layout_is_the_definition() {
    let mut finisher = Finisher::default();
    let turns = [Turn::None, Turn::Quarter, Turn::Half, Turn::ThreeQuarters];
    for format in [PixelFormat::I420, PixelFormat::Yuyv, PixelFormat::Nv12, PixelFormat::Rgb24] {
        for (width, height) in [(64, 48), (38, 22), (20, 34)] {
            let frame = frame(format, width, height);
            let plain = planes(&finisher.convert(&frame).unwrap());
            for turn in turns {
                for (mirror, flip) in [(false, false), (true, false), (false, true), (true, true)] {
                    for offset in [(0, 0), (6, -4), (-8, 10), (200, 0)] {
                        let wish = Finish { turn, mirror, flip, offset, ..Finish::default() };
                        let made = finisher.make(&frame, &wish, None).unwrap();
                        assert_eq!((made.number, made.crc), (3, None));
                        for (p, plane) in planes(&made).iter().enumerate() {
                            let (shift, black) = if p == 0 { (0, 16) } else { (1, 128) };
                            let want = turned(&plain[p], &wish, shift, black);
                            assert!(*plane == want, "{format} {width}x{height} {wish:?} {p}");
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn an_odd_picture_loses_a_column_and_a_row() {
    let mut finisher = Finisher::default();
    for format in [PixelFormat::I420, PixelFormat::Yuyv, PixelFormat::Grey] {
        let frame = frame(format, 33, 17);
        let wish = Finish { turn: Turn::Quarter, ..Finish::default() };
        let made = finisher.make(&frame, &wish, None).unwrap();
        assert_eq!((made.width, made.height), (16, 32), "{format}");
    }
}

#[test]
fn each_pixel_is_written_once() {
    let mut finisher = Finisher::default();
    let frame = frame(PixelFormat::Yuyv, 64, 48);
    let once = 64 * 48 * 3 / 2;
    finisher.convert(&frame).unwrap();
    assert_eq!(finisher.copied_pixel_bytes(), once);
    let wish = Finish { turn: Turn::Quarter, mirror: true, ..Finish::default() };
    finisher.make(&frame, &wish, None).unwrap();
    assert_eq!(finisher.copied_pixel_bytes(), 2 * once);
}

#[test]
fn zoom_shows_the_part_that_was_asked_for() {
    let mut source = frame(PixelFormat::I420, 128, 128);
    // Four quarters of their own brightness.
    let mut bytes = vec![128; source.used];
    for y in 0..128 {
        for x in 0..128 {
            bytes[y * 128 + x] = [40, 90, 140, 190][y / 64 * 2 + x / 64];
        }
    }
    source.memory = Arc::new(bytes);
    let mut finisher = Finisher::default();
    for (pan, tilt, want) in [(-1.0, 1.0, 40), (1.0, 1.0, 90), (-1.0, -1.0, 140), (1.0, -1.0, 190)]
    {
        for (turn, mirror) in [(Turn::None, false), (Turn::Quarter, true)] {
            let wish = Finish { zoom: 3.0, pan, tilt, turn, mirror, ..Finish::default() };
            let made = finisher.make(&source, &wish, None).unwrap();
            assert!(
                made.rows(0).all(|row| row.iter().all(|&y| y == want)),
                "{pan} {tilt} {turn:?}"
            );
        }
    }
    let wild = Finish { zoom: 99.0, pan: 7.0, offset: (-9000, 9000), ..Finish::default() };
    assert!(finisher.make(&source, &wild, None).is_ok());
}

#[test]
fn the_other_camera_is_shown_where_it_was_asked_for() {
    let mut finisher = Finisher::default();
    let flat = |width, height, value| {
        let mut frame = frame(PixelFormat::I420, width, height);
        frame.memory = Arc::new(vec![value; frame.used]);
        frame
    };
    let (own, other) = (flat(320, 180, 60), flat(640, 480, 200));
    let at = |frame: &Frame, x: usize, y: usize| frame.rows(0).nth(y).unwrap()[x];
    let wish = |inset| Finish { inset, ..Finish::default() };
    for (corner, x, y) in [
        (Corner::TopLeft, 10, 10),
        (Corner::TopRight, 310, 10),
        (Corner::BottomLeft, 10, 170),
        (Corner::BottomRight, 310, 170),
    ] {
        let made = finisher.make(&own, &wish(Inset::Corner(corner)), Some(&other)).unwrap();
        assert_eq!((at(&made, x, y), at(&made, 160, 90)), (200, 60), "{corner:?}");
    }
    let alone = finisher.make(&own, &wish(Inset::Corner(Corner::TopLeft)), None).unwrap();
    assert_eq!(at(&alone, 10, 10), 60);
    let both = finisher.make(&own, &wish(Inset::Beside), Some(&other)).unwrap();
    assert_eq!((at(&both, 80, 90), at(&both, 240, 90), at(&both, 80, 5)), (60, 200, 16));
    let full = Frame { colour: Colour::JPEG, ..own.clone() };
    let both = finisher.make(&full, &wish(Inset::Beside), Some(&other)).unwrap();
    assert_eq!(at(&both, 80, 5), 0);
    let tiny = flat(16, 16, 90);
    assert!(finisher.make(&tiny, &wish(Inset::Corner(Corner::TopLeft)), Some(&other)).is_ok());
}

#[test]
fn text_is_seen_where_it_belongs_and_nowhere_else() {
    let mut finisher = Finisher::default();
    let mut source = frame(PixelFormat::I420, 640, 360);
    source.memory = Arc::new(vec![100; source.used]);
    for (corner, left, top) in [(Corner::TopLeft, true, true), (Corner::BottomRight, false, false)]
    {
        let overlay = Overlay {
            clock: Clock::Utc,
            text: "Gate 7 äöü €".into(),
            corner,
            size: 2,
            ..Overlay::default()
        };
        let wish = Finish { overlay, ..Finish::default() };
        let made = finisher.make(&source, &wish, None).unwrap();
        let mut bright = 0;
        for (y, row) in made.rows(0).enumerate() {
            for (x, &luma) in row.iter().enumerate() {
                if luma > 200 {
                    bright += 1;
                    assert_eq!((x < 400, y < 180), (left || x < 400, top), "{corner:?} {x} {y}");
                }
            }
        }
        assert!(bright > 500, "{corner:?} {bright}");
    }
}

#[test]
fn what_cannot_be_is_refused() {
    let mut finisher = Finisher::default();
    let mut lying = frame(PixelFormat::Yuyv, 64, 48);
    lying.height = 480;
    let turn = Finish { turn: Turn::Half, ..Finish::default() };
    for wish in [turn, Finish { zoom: 2.0, ..Finish::default() }] {
        assert!(finisher.make(&lying, &wish, None).is_err());
    }
    assert!(finisher.decode(&frame(PixelFormat::Grey, 8, 8)).is_err());
}
