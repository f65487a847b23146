//! Whether a stream's pictures come in the order in which they are shown.

use lensd_ffi::time::Nanos;

/// Watches captures, which go back where pictures are decoded before those that they are shown
/// after (B pictures). Clocks that are set, and cameras that are late, make one go back now and
/// then.
#[derive(Debug, Default)]
pub(super) struct Order {
    newest: Nanos,
    weight: u16,
}

impl Order {
    /// What a step back weighs, and each step forth makes up for one: an encoder that reorders takes
    /// one back in a dozen or more often.
    const BACK: u16 = 16;
    /// From which weight on it is no accident, and to which it grows, so that a stream which is in
    /// order again is soon known to be.
    const MOST: u16 = 5 * Self::BACK;

    /// A picture, in the order of decoding.
    pub(super) fn note(&mut self, capture: Nanos) {
        self.weight = if capture < self.newest {
            (self.weight + Self::BACK).min(Self::MOST)
        } else {
            self.weight.saturating_sub(1)
        };
        self.newest = capture;
    }

    /// Whether it reorders: half of the weight that shows it keeps it so.
    pub(super) fn reorders(&self, before: bool) -> bool {
        self.weight >= if before { Self::MOST / 2 } else { Self::MOST - Self::BACK }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(steps: impl Iterator<Item = i64>) -> bool {
        let (mut order, mut at, mut reorders) = (Order::default(), 1_000_000_i64, false);
        for step in steps {
            at += step;
            order.note(Nanos(u64::try_from(at).unwrap()));
            reorders = order.reorders(reorders);
        }
        reorders
    }

    #[test]
    fn encoders_that_reorder_are_told_from_clocks_that_are_set() {
        let groups: [&[i64]; 4] = [&[2, -1, 2], &[3, -2, 1], &[4, -2, -1, 2], &[8, -7, 1, 1, 1, 1]];
        for group in groups {
            assert!(after(group.iter().copied().cycle().take(60)), "{group:?}");
        }
        assert!(!after(std::iter::repeat_n(1, 300)));
        assert!(!after((0..300).map(|n| if n % 30 == 0 { -5 } else { 1 })), "once a second");
        // In order again.
        let mixed = [2, -1, 2].into_iter().cycle().take(60).chain(std::iter::repeat_n(1, 100));
        assert!(!after(mixed));
    }
}
