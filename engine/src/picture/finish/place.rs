//! Where pixels go: moved, mirrored, turned.

use crate::finish::{Finish, Turn};
use crate::frame::Colour;
use crate::picture::{Canvas, View};

/// Mirror and flip of the source, then its rows as columns.
#[derive(Debug, Clone, Copy)]
pub(super) struct Move {
    pub(super) mirrors: bool,
    pub(super) flips: bool,
    pub(super) transposes: bool,
    /// To the right and downwards, in pixels of the source, before all else; even.
    pub(super) offset: (i32, i32),
}

impl Move {
    pub(super) fn of(wish: &Finish) -> Self {
        let (mirror, flip) = match wish.turn {
            Turn::None => (false, false),
            Turn::Half => (true, true),
            // Clockwise: what is at the bottom comes to the left.
            Turn::Quarter => (false, true),
            Turn::ThreeQuarters => (true, false),
        };
        Self {
            mirrors: wish.mirror ^ mirror,
            flips: wish.flip ^ flip,
            transposes: matches!(wish.turn, Turn::Quarter | Turn::ThreeQuarters),
            offset: (wish.offset.0 & !1, wish.offset.1 & !1),
        }
    }

    /// Whether everything stays where it is.
    pub(super) fn is_none(&self) -> bool {
        !self.is_turn() && self.offset == (0, 0)
    }

    /// Whether the order of pixels changes.
    pub(super) fn is_turn(&self) -> bool {
        self.mirrors || self.flips || self.transposes
    }

    /// Blackens what no pixel of the source comes to.
    pub(super) fn clear(&self, colour: Colour, canvas: &mut Canvas<'_>) {
        if self.offset != (0, 0) {
            black(colour, canvas);
        }
    }

    /// Puts some rows of a picture of size `source`, from row `first` on, where they belong.
    pub(super) fn place(
        &self,
        rows: &View<'_>,
        first: usize,
        source: (usize, usize),
        canvas: &mut Canvas<'_>,
    ) {
        for p in 0..3 {
            let shift = u32::from(p > 0);
            let (width, height) = (source.0 >> shift, source.1 >> shift);
            let offset = (self.offset.0 >> shift, self.offset.1 >> shift);
            let count = rows.height() >> shift;
            let stride = canvas.strides()[p];
            let Some(plane) = canvas.plane_mut(p) else { continue };
            let rows = (0..count).map(|y| (y + (first >> shift), rows.row(p, y)));
            for (y, row) in rows {
                let Some(y) = shifted(y, offset.1, height) else { continue };
                let y = if self.flips { height - 1 - y } else { y };
                // What is left of the row, and where it begins.
                let (from, to) = overlap(offset.0, width);
                let row = &row[from..][..width - from - to];
                let x = if self.mirrors { from } else { to };
                if self.transposes {
                    let column = plane[y..].iter_mut().step_by(stride).skip(x);
                    if self.mirrors {
                        column.zip(row.iter().rev()).for_each(|(to, from)| *to = *from);
                    } else {
                        column.zip(row).for_each(|(to, from)| *to = *from);
                    }
                } else {
                    let to = &mut plane[y * stride + x..][..row.len()];
                    to.copy_from_slice(row);
                    if self.mirrors {
                        to.reverse();
                    }
                }
            }
        }
    }
}

/// Where a row lies that is moved; `None`: outside.
fn shifted(y: usize, offset: i32, height: usize) -> Option<usize> {
    let offset = isize::try_from(offset).ok()?;
    y.checked_add_signed(offset).filter(|&y| y < height)
}

/// How much of a moved row is lost on its left, and how much stays empty there; only one is not 0.
/// The sum is what it is shorter by.
fn overlap(offset: i32, width: usize) -> (usize, usize) {
    let by = usize::try_from(offset.unsigned_abs()).unwrap_or(width).min(width);
    if offset < 0 { (by, 0) } else { (0, by) }
}

/// Fills with the black of pictures of this range.
pub(super) fn black(colour: Colour, canvas: &mut Canvas<'_>) {
    fill(canvas, if colour.full_range { 0 } else { 16 });
}

fn fill(canvas: &mut Canvas<'_>, luma: u8) {
    for (plane, value) in [luma, 128, 128].into_iter().enumerate() {
        canvas.rows_mut(plane).for_each(|row| row.fill(value));
    }
}

/// Copies a picture of the same size.
pub(super) fn copy(view: &View<'_>, mut to: Canvas<'_>) {
    for plane in 0..3 {
        to.rows_mut(plane).enumerate().for_each(|(y, to)| to.copy_from_slice(view.row(plane, y)));
    }
}
