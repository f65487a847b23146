//! Memory of pictures that are made here: lent, and free again once nobody holds it.

use super::Canvas;
use crate::frame::{Frame, PixelFormat, packed_planes};
use std::sync::Arc;

/// Pictures that may be held at a time. Encoders hold one each while they work, the inset of
/// another camera one, programs at the frame tap some.
const MOST: usize = 16;

/// Buffers that are used in turn; nothing is allocated after the first pictures.
#[derive(Debug, Default)]
pub struct Pool(Vec<Arc<Vec<u8>>>);

impl Pool {
    /// A picture of this size that `draw` has drawn, with the times and the number of `model`. The
    /// pixels that it finds are those of an earlier picture.
    ///
    /// # Errors
    /// When every buffer is held, or `draw` fails.
    pub fn draw(
        &mut self,
        model: &Frame,
        (width, height): (usize, usize),
        draw: impl FnOnce(Canvas<'_>) -> Result<(), String>,
    ) -> Result<Frame, String> {
        let (planes, used) = packed_planes(PixelFormat::I420, width, height);
        let free = self.0.iter_mut().position(|buffer| Arc::get_mut(buffer).is_some());
        let mut buffer = match free {
            Some(free) => self.0.remove(free),
            None if self.0.len() < MOST => Arc::default(),
            None => return Err(format!("readers hold all {MOST} pictures")),
        };
        let drawn = match Arc::get_mut(&mut buffer) {
            Some(bytes) => {
                bytes.resize(used, 0);
                let (y, chroma) = bytes.split_at_mut(planes[1].offset);
                let (u, v) = chroma.split_at_mut(planes[2].offset - planes[1].offset);
                let canvas = Canvas::new(width, height, [y, u, v], planes.map(|p| p.stride));
                canvas.ok_or_else(|| "a picture without a size".to_owned()).and_then(draw)
            }
            None => Err("a picture that is free and held".to_owned()),
        };
        let memory = Arc::clone(&buffer);
        self.0.push(buffer);
        drawn?;
        Ok(Frame {
            format: PixelFormat::I420,
            width,
            height,
            planes,
            used,
            memory,
            ..model.clone()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::Colour;

    #[test]
    fn what_is_held_is_not_drawn_on() {
        let model = Frame {
            format: PixelFormat::Grey,
            width: 0,
            height: 0,
            planes: Default::default(),
            used: 0,
            colour: Colour::OURS,
            memory: Arc::new(Vec::new()),
            capture: Default::default(),
            number: 7,
            crc: None,
        };
        let mut pool = Pool::default();
        let mut draw = |value: u8| {
            pool.draw(&model, (5, 3), |mut canvas| {
                (0..3).for_each(|p| canvas.rows_mut(p).for_each(|row| row.fill(value)));
                Ok(())
            })
        };
        let held: Vec<_> = (0..16).map(|n| draw(n).unwrap()).collect();
        for (n, frame) in held.iter().enumerate() {
            assert_eq!((frame.number, frame.used, frame.format), (7, 15 + 12, PixelFormat::I420));
            assert!(frame.memory.bytes().iter().all(|&b| usize::from(b) == n));
        }
        assert!(draw(9).unwrap_err().contains("all 16"));
        drop(held);
        assert!(draw(9).is_ok());
    }
}
