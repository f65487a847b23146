//! RTP sequence numbers (RFC 3550 appendix A.1, with a window like RFC 3711's replay list).

/// What the number of a packet says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrival {
    /// The next one.
    InOrder,
    /// So many are missing before it.
    Gap(u16),
    /// One that was missing came late.
    Late,
    /// One that came before, or one too old to tell.
    Duplicate,
}

/// Follows the numbers of one source.
#[derive(Debug, Default, Clone)]
pub struct Sequence {
    newest: u16,
    /// Bit i: number `newest - i` has come.
    seen: u64,
    started: bool,
    /// Places at which numbers were missing.
    pub gaps: u64,
    /// Packets missing now, late ones taken off again.
    pub lost: u64,
    /// Packets that came late.
    pub reordered: u64,
    /// Packets that came twice.
    pub duplicates: u64,
}

impl Sequence {
    /// Notes number `seq`.
    #[inline]
    pub fn arrive(&mut self, seq: u16) -> Arrival {
        if !self.started {
            self.started = true;
            self.newest = seq;
            // What was before the first is not missing.
            self.seen = u64::MAX;
            return Arrival::InOrder;
        }
        let ahead = seq.wrapping_sub(self.newest);
        match ahead {
            1 => {
                self.seen = self.seen << 1 | 1;
                self.newest = seq;
                Arrival::InOrder
            }
            2..0x8000 => {
                self.seen = self.seen.checked_shl(u32::from(ahead)).unwrap_or(0) | 1;
                self.newest = seq;
                self.gaps += 1;
                self.lost += u64::from(ahead - 1);
                Arrival::Gap(ahead - 1)
            }
            _ => {
                let behind = self.newest.wrapping_sub(seq);
                let bit = 1u64.checked_shl(u32::from(behind)).unwrap_or(0);
                if bit == 0 || self.seen & bit != 0 {
                    self.duplicates += 1;
                    return Arrival::Duplicate;
                }
                self.seen |= bit;
                self.lost = self.lost.saturating_sub(1);
                self.reordered += 1;
                Arrival::Late
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wraps_without_a_gap() {
        let mut sequence = Sequence::default();
        for seq in [65534, 65535, 0, 1] {
            assert_eq!(sequence.arrive(seq), Arrival::InOrder);
        }
        assert_eq!(sequence.arrive(65535), Arrival::Duplicate);
        assert_eq!((sequence.gaps, sequence.lost), (0, 0));
    }

    #[test]
    fn a_gap_across_the_wrap_that_fills_late() {
        let mut sequence = Sequence::default();
        sequence.arrive(65534);
        assert_eq!(sequence.arrive(1), Arrival::Gap(2));
        assert_eq!(sequence.arrive(0), Arrival::Late);
        assert_eq!(sequence.arrive(0), Arrival::Duplicate);
        assert_eq!((sequence.gaps, sequence.lost, sequence.reordered), (1, 1, 1));
    }

    #[test]
    fn far_jumps() {
        let mut sequence = Sequence::default();
        sequence.arrive(0);
        assert_eq!(sequence.arrive(1000), Arrival::Gap(999));
        assert_eq!(sequence.arrive(999), Arrival::Late);
        assert_eq!(sequence.arrive(900), Arrival::Duplicate);
    }
}
