//! The bit by bit reader of parameter sets (H.264 and H.265 7.2 and 9).

/// The bits of a NAL unit's payload, without `emulation_prevention_three_byte`s.
#[derive(Debug)]
pub struct Bits<'a> {
    bytes: &'a [u8],
    zeros: u8,
    current: u8,
    left: u8,
}

impl<'a> Bits<'a> {
    /// Bits of what follows the NAL unit's header.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, zeros: 0, current: 0, left: 0 }
    }

    /// `u(1)` as a truth.
    pub fn flag(&mut self) -> Option<bool> {
        if self.left == 0 {
            let (&first, rest) = self.bytes.split_first()?;
            self.bytes = rest;
            if self.zeros >= 2 && first == 3 {
                self.zeros = 0;
                return self.flag();
            }
            self.zeros = if first == 0 { self.zeros.saturating_add(1) } else { 0 };
            (self.current, self.left) = (first, 8);
        }
        self.left -= 1;
        Some(self.current >> self.left & 1 == 1)
    }

    /// `u(n)`, n up to 32.
    pub fn u(&mut self, n: u32) -> Option<u32> {
        (0..n).try_fold(0, |value, _| Some(value << 1 | u32::from(self.flag()?)))
    }

    /// `ue(v)` (9.1).
    pub fn ue(&mut self) -> Option<u32> {
        let mut zeros = 0;
        while !self.flag()? {
            zeros += 1;
            if zeros == 32 {
                return None;
            }
        }
        Some((1 << zeros) - 1 + self.u(zeros)?)
    }

    /// `se(v)` (9.1.1).
    pub fn se(&mut self) -> Option<i32> {
        let code = i64::from(self.ue()?);
        i32::try_from(if code % 2 == 1 { code / 2 + 1 } else { -code / 2 }).ok()
    }
}
