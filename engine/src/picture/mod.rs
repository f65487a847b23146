//! What the processor does to pixels: conversion, scaling. Each stage is named in the pipeline.

pub mod convert;
pub mod decode;
pub mod pack;
pub mod range;
pub mod scale;

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
