//! What the processor does to pixels: conversion, scaling. Each stage is named in the pipeline.

pub(crate) mod bayer;
pub mod convert;
pub mod decode;
pub mod finish;
pub mod pack;
pub mod pool;
pub mod range;
pub mod scale;
pub mod text;

use crate::frame::{Frame, PixelFormat, Plane, packed_planes};

/// A borrowed I420 picture whose planes are long enough for its size.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    width: usize,
    height: usize,
    planes: [&'a [u8]; 3],
    strides: [usize; 3],
}

impl<'a> View<'a> {
    /// A view of three planes, `None` if one is too short or a stride is below the row's length.
    pub fn new(
        width: usize,
        height: usize,
        planes: [&'a [u8]; 3],
        strides: [usize; 3],
    ) -> Option<Self> {
        for (i, (plane, stride)) in planes.iter().zip(strides).enumerate() {
            let row = PixelFormat::I420.row_bytes(i, width);
            let rows = PixelFormat::I420.rows(i, height);
            let needed = rows.checked_sub(1)?.checked_mul(stride)?.checked_add(row)?;
            if row == 0 || stride < row || needed > plane.len() {
                return None;
            }
        }
        Some(Self { width, height, planes, strides })
    }

    /// The planes of an I420 frame in place.
    pub fn of_frame(frame: &'a Frame) -> Option<Self> {
        if frame.format != PixelFormat::I420 {
            return None;
        }
        let bytes = frame.memory.bytes();
        let plane = |i: usize| bytes.get(frame.planes[i].offset..);
        let strides = frame.planes.map(|p| p.stride);
        Self::new(frame.width, frame.height, [plane(0)?, plane(1)?, plane(2)?], strides)
    }

    /// What is on a canvas.
    pub fn of_canvas(canvas: &'a Canvas<'_>) -> Option<Self> {
        let [y, u, v] = &canvas.planes;
        Self::new(canvas.width, canvas.height, [y, u, v], canvas.strides)
    }

    /// Width in pixels.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Height in pixels.
    pub fn height(&self) -> usize {
        self.height
    }

    /// Y, U and V, each from its first row on.
    pub fn planes(&self) -> [&'a [u8]; 3] {
        self.planes
    }

    /// Bytes from one row to the next, of each plane.
    pub fn strides(&self) -> [usize; 3] {
        self.strides
    }

    /// The same without its last column or row where their number is odd.
    pub fn even(self) -> Self {
        Self { width: self.width & !1, height: self.height & !1, ..self }
    }

    /// Row `y` of a plane, without padding.
    pub fn row(&self, plane: usize, y: usize) -> &'a [u8] {
        let from = y * self.strides[plane];
        &self.planes[plane][from..from + PixelFormat::I420.row_bytes(plane, self.width)]
    }
}

/// A borrowed I420 picture that is drawn on, whose planes are long enough for its size.
#[derive(Debug)]
pub struct Canvas<'a> {
    width: usize,
    height: usize,
    planes: [&'a mut [u8]; 3],
    strides: [usize; 3],
}

impl<'a> Canvas<'a> {
    /// As [`View::new`].
    pub fn new(
        width: usize,
        height: usize,
        planes: [&'a mut [u8]; 3],
        strides: [usize; 3],
    ) -> Option<Self> {
        let [y, u, v] = &planes;
        View::new(width, height, [y, u, v], strides)?;
        Some(Self { width, height, planes, strides })
    }

    /// Width in pixels.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Height in pixels.
    pub fn height(&self) -> usize {
        self.height
    }

    /// Bytes from one row to the next, of each plane.
    pub fn strides(&self) -> [usize; 3] {
        self.strides
    }

    /// Y, U and V, each from its first row on.
    pub fn into_planes(self) -> [&'a mut [u8]; 3] {
        self.planes
    }

    /// Width and height of a plane in samples.
    pub fn plane_size(&self, plane: usize) -> (usize, usize) {
        let format = PixelFormat::I420;
        (format.row_bytes(plane, self.width), format.rows(plane, self.height))
    }

    /// A plane as a whole, if its rows have no padding.
    pub fn packed_plane(&mut self, plane: usize) -> Option<&mut [u8]> {
        let (width, height) = self.plane_size(plane);
        (self.strides[plane] == width).then(|| &mut self.planes[plane][..width * height])
    }

    /// A plane with its padding.
    pub fn plane_mut(&mut self, plane: usize) -> Option<&mut [u8]> {
        self.planes.get_mut(plane).map(|plane| &mut plane[..])
    }

    /// The rows of a plane, without padding.
    pub fn rows_mut(&mut self, plane: usize) -> impl Iterator<Item = &mut [u8]> {
        let row = PixelFormat::I420.row_bytes(plane, self.width);
        let rows = PixelFormat::I420.rows(plane, self.height);
        // The last row may be without its padding.
        self.planes[plane].chunks_mut(self.strides[plane]).take(rows).map(move |r| &mut r[..row])
    }

    /// Row `y` of both chroma planes.
    pub fn chroma_row(&mut self, y: usize) -> (&mut [u8], &mut [u8]) {
        let row = self.width.div_ceil(2);
        let [_, u, v] = &mut self.planes;
        let (at_u, at_v) = (y * self.strides[1], y * self.strides[2]);
        (&mut u[at_u..at_u + row], &mut v[at_v..at_v + row])
    }

    /// Rows `first` (even) to `first + count` alone. `None` if it has none such.
    pub fn band(&mut self, first: usize, count: usize) -> Option<Canvas<'_>> {
        self.part(0, first, self.width, count)
    }

    /// The part at (`x`, `y`), both even, of this size. `None` if it is not within.
    pub fn part(&mut self, x: usize, y: usize, width: usize, height: usize) -> Option<Canvas<'_>> {
        let within = x.checked_add(width)? <= self.width && y.checked_add(height)? <= self.height;
        if !within || x % 2 == 1 || y % 2 == 1 {
            return None;
        }
        let strides = self.strides;
        let mut shift = [0, 1, 1].into_iter().zip(strides);
        let planes = self.planes.each_mut().map(|plane| {
            let (shift, stride) = shift.next().unwrap_or_default();
            &mut plane[(y >> shift) * stride + (x >> shift)..]
        });
        Canvas::new(width, height, planes, strides)
    }
}

/// An I420 picture of our own, whose buffer is reused.
#[derive(Debug, Default, Clone)]
pub struct Picture {
    width: usize,
    height: usize,
    planes: [Plane; 3],
    bytes: Vec<u8>,
}

impl Picture {
    /// Gives it a size. Nothing is allocated or cleared if it had that size before.
    pub fn resize(&mut self, width: usize, height: usize) {
        if (width, height) != (self.width, self.height) {
            let (planes, size) = packed_planes(PixelFormat::I420, width, height);
            self.bytes.resize(size, 0);
            (self.width, self.height, self.planes) = (width, height, planes);
        }
    }

    /// Takes over a picture's pixels.
    pub fn copy_from(&mut self, view: &View<'_>) {
        self.resize(view.width, view.height);
        if view.width == 0 || view.height == 0 {
            return;
        }
        for (p, plane) in self.planes_mut().into_iter().enumerate() {
            for (y, row) in plane.chunks_exact_mut(view.row(p, 0).len()).enumerate() {
                row.copy_from_slice(view.row(p, y));
            }
        }
    }

    /// Width in pixels.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Height in pixels.
    pub fn height(&self) -> usize {
        self.height
    }

    /// All bytes: the planes without padding, one after the other.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// All bytes, for the taking; the picture is then empty.
    pub fn take_bytes(&mut self) -> Vec<u8> {
        std::mem::take(self).bytes
    }

    /// The planes, without padding.
    pub fn planes_mut(&mut self) -> [&mut [u8]; 3] {
        let (y, chroma) = self.bytes.split_at_mut(self.planes[1].offset);
        let half = chroma.len() / 2;
        let (u, v) = chroma.split_at_mut(half);
        [y, u, v]
    }

    /// Its pixels, to be drawn on. `None` while it has no size.
    pub fn canvas(&mut self) -> Option<Canvas<'_>> {
        let (width, height) = (self.width, self.height);
        let strides = self.planes.map(|p| p.stride);
        Canvas::new(width, height, self.planes_mut(), strides)
    }

    /// Its pixels. `None` while it has no size.
    pub fn view(&self) -> Option<View<'_>> {
        let [y, u, v] = self.planes;
        let planes = [&self.bytes[y.offset..], &self.bytes[u.offset..], &self.bytes[v.offset..]];
        View::new(self.width, self.height, planes, [y.stride, u.stride, v.stride])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_view_is_only_made_of_planes_that_are_long_enough() {
        let bytes = [0; 64];
        let planes = [&bytes[..32], &bytes[..8], &bytes[..8]];
        assert!(View::new(8, 4, planes, [8, 4, 4]).is_some());
        assert!(View::new(8, 4, planes, [9, 4, 4]).is_none());
        assert!(View::new(8, 4, planes, [7, 4, 4]).is_none());
        assert!(View::new(8, 5, planes, [8, 4, 4]).is_none());
        assert!(View::new(0, 0, planes, [8, 4, 4]).is_none());
        assert!(View::new(8, usize::MAX, planes, [8, 4, 4]).is_none());
    }

    #[test]
    fn a_copy_has_the_pixels_without_the_padding() {
        let bytes: Vec<u8> = (0..100).collect();
        let view = View::new(3, 3, [&bytes, &bytes[40..], &bytes[60..]], [7, 5, 4]).unwrap();
        let mut picture = Picture::default();
        assert!(picture.view().is_none());
        picture.copy_from(&view);
        assert_eq!(picture.bytes()[..9], [0, 1, 2, 7, 8, 9, 14, 15, 16]);
        assert_eq!(picture.bytes()[9..], [40, 41, 45, 46, 60, 61, 64, 65]);
    }
}
