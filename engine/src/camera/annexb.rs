//! H.264 byte streams (Annex B) cut into access units (7.4.1.2.3, 7.4.1.2.4), read piece by piece.
//!
//! The second field of a frame stays with the first, as it has no capture time of its own. Slices
//! in arbitrary order (extended profile, and baseline encoders that nobody uses) are not known.

use crate::syntax::sps::{Bits, Sps, parse_sps};
use lensd_ffi::unit::NalSpan;
use std::io::Read;
use std::ops::Range;

/// Largest access unit that is taken.
pub const MAX_UNIT: usize = 32 << 20;
/// Bytes that are read at once.
const CHUNK: usize = 128 << 10;

/// What tells the slices of one picture from those of the next (7.4.1.2.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Slice {
    idr: bool,
    reference: bool,
    pps: u32,
    /// `frame_num` and `bottom_field_flag`, `None` while the parameter sets are unknown.
    order: Option<(u32, bool, bool)>,
}

/// Tells where access units begin, NAL unit by NAL unit.
#[derive(Debug, Default)]
pub struct Boundaries {
    sps: [Option<Sps>; 32],
    /// Sequence parameter set of each picture parameter set.
    pps: Vec<(u32, u8)>,
    slice: Option<Slice>,
    /// Whether both fields of the picture have been seen.
    paired: bool,
}

impl Boundaries {
    /// Whether this NAL unit (without start code) is the first of an access unit after the one of
    /// the slices so far. Call it for every NAL unit in order.
    pub fn begins(&mut self, nal: &[u8]) -> bool {
        let Some(&header) = nal.first() else { return false };
        match header & 31 {
            7 => {
                if let Some(sps) = parse_sps(nal) {
                    self.sps[usize::from(sps.id) & 31] = Some(sps);
                }
            }
            8 => self.learn_pps(nal),
            1 | 2 | 5 => return self.begins_with_slice(nal),
            6 | 9 | 14..=18 => {}
            // Ends, fillers, partitions, auxiliary pictures: they belong to what was before.
            _ => return false,
        }
        self.slice.take().is_some()
    }

    /// The sequence parameter set seen last with the lowest number.
    pub fn sps(&self) -> Option<&Sps> {
        self.sps.iter().flatten().next()
    }

    fn learn_pps(&mut self, nal: &[u8]) {
        let mut bits = Bits::new(&nal[1..]);
        let (Some(id @ 0..=255), Some(sps @ 0..=31)) = (bits.ue(), bits.ue()) else { return };
        self.pps.retain(|(known, _)| *known != id);
        self.pps.push((id, sps as u8));
    }

    fn begins_with_slice(&mut self, nal: &[u8]) -> bool {
        let Some((first_mb, slice)) = self.read_slice(nal) else {
            // Cut or foreign: with the picture before, if there is one.
            return false;
        };
        let Some(before) = self.slice.replace(slice) else {
            self.paired = false;
            return false;
        };
        let second_field = match (before.order, slice.order) {
            // Consecutive pictures that nobody refers to have the same frame_num.
            (Some((number, true, bottom)), Some((same, true, other))) => {
                !self.paired && number == same && bottom != other
            }
            _ => false,
        };
        if second_field {
            self.paired = true;
            return false;
        }
        let begins = first_mb == 0
            || before.idr != slice.idr
            || before.pps != slice.pps
            || before.reference != slice.reference
            || before.order != slice.order;
        self.paired &= !begins;
        begins
    }

    /// `first_mb_in_slice`, and the rest of interest of a slice header (7.3.3).
    fn read_slice(&self, nal: &[u8]) -> Option<(u32, Slice)> {
        let header = *nal.first()?;
        let mut bits = Bits::new(&nal[1..]);
        let first_mb = bits.ue()?;
        bits.ue()?; // slice_type
        let pps = bits.ue()?;
        let sps = self
            .pps
            .iter()
            .find(|(id, _)| *id == pps)
            .and_then(|(_, id)| self.sps[usize::from(*id) & 31]);
        let order = sps.and_then(|sps| {
            if sps.separate_colour_plane {
                bits.u(2)?;
            }
            let frame_num = bits.u(sps.log2_max_frame_num)?;
            let field = !sps.frame_mbs_only && bits.flag()?;
            let bottom = field && bits.flag()?;
            Some((frame_num, field, bottom))
        });
        let (idr, reference) = (header & 31 == 5, header >> 5 & 3 != 0);
        Some((first_mb, Slice { idr, reference, pps, order }))
    }
}

/// An access unit within the splitter's buffer.
#[derive(Debug)]
pub struct Unit<'a> {
    /// All its bytes, start codes and zeros between NAL units included.
    pub bytes: &'a [u8],
    /// Its NAL units.
    pub nals: &'a [NalSpan],
}

/// Cuts a byte stream into access units. Their concatenation is the stream.
pub struct Splitter<R> {
    reader: R,
    buffer: Vec<u8>,
    /// Where the unit begins that is being collected.
    start: usize,
    /// Where to look for the next start code.
    scan: usize,
    /// First byte of the NAL unit whose end is looked for, and of its start code.
    open: Option<(usize, usize)>,
    nals: Vec<NalSpan>,
    boundaries: Boundaries,
    /// Bytes of the stream before the buffer.
    passed: u64,
    ended: bool,
    finished: Option<Range<usize>>,
}

impl<R: Read> Splitter<R> {
    /// A splitter of what `reader` gives.
    pub fn new(reader: R) -> Self {
        Self {
            reader,
            buffer: Vec::new(),
            start: 0,
            scan: 0,
            open: None,
            nals: Vec::new(),
            boundaries: Boundaries::default(),
            passed: 0,
            ended: false,
            finished: None,
        }
    }

    /// Its reader.
    pub fn reader_mut(&mut self) -> &mut R {
        &mut self.reader
    }

    /// Parameter sets seen so far.
    pub fn boundaries(&self) -> &Boundaries {
        &self.boundaries
    }

    /// Offset in the stream of the unit that comes next.
    pub fn offset(&self) -> u64 {
        self.passed + self.finished.as_ref().map_or(self.start, |r| r.end) as u64
    }

    /// The next access unit; `None` at the end.
    ///
    /// # Errors
    /// When reading fails, or a unit is larger than [`MAX_UNIT`].
    pub fn next_unit(&mut self) -> Result<Option<Unit<'_>>, String> {
        self.forget_finished();
        loop {
            match find_start_code(&self.buffer, self.scan) {
                Some(at) => {
                    // The zero_byte of a long start code belongs to it (B.1.1).
                    let zero = at > self.start && self.buffer[at - 1] == 0;
                    let code = if zero { at - 1 } else { at };
                    self.scan = at + 3;
                    if let Some(cut) = self.close_nal(at) {
                        self.open = Some((at + 3, code));
                        return Ok(Some(self.finish(cut)));
                    }
                    self.open = Some((at + 3, code));
                }
                None if self.ended => {
                    let end = self.buffer.len();
                    self.scan = end;
                    if let Some(cut) = self.close_nal(end) {
                        return Ok(Some(self.finish(cut)));
                    }
                    self.open = None;
                    return Ok((end > self.start).then(|| self.finish_last(end)));
                }
                None => self.read_more()?,
            }
        }
    }

    /// Ends the open NAL unit before `end`. If it begins a new unit, tells where that one's first
    /// byte is; the NAL unit then waits in `pending`.
    fn close_nal(&mut self, end: usize) -> Option<usize> {
        let (from, code) = self.open.take()?;
        let mut to = end;
        while to > from && self.buffer[to - 1] == 0 {
            to -= 1;
        }
        let begins = to > from && self.boundaries.begins(&self.buffer[from..to]);
        let span = (to > from).then_some(NalSpan {
            offset: (from - if begins { code } else { self.start }) as u32,
            len: (to - from) as u32,
        });
        if begins {
            // Kept at the end of the table until the unit before it has been taken.
            self.nals.extend(span);
            return Some(code);
        }
        self.nals.extend(span);
        None
    }

    fn finish(&mut self, cut: usize) -> Unit<'_> {
        self.finished = Some(self.start..cut);
        let nals = &self.nals[..self.nals.len() - 1];
        Unit { bytes: &self.buffer[self.start..cut], nals }
    }

    fn finish_last(&mut self, end: usize) -> Unit<'_> {
        self.finished = Some(self.start..end);
        // Marks that no NAL unit of a next unit is waiting.
        self.nals.push(NalSpan::default());
        let nals = &self.nals[..self.nals.len() - 1];
        Unit { bytes: &self.buffer[self.start..end], nals }
    }

    fn forget_finished(&mut self) {
        let Some(done) = self.finished.take() else { return };
        self.start = done.end;
        let waiting = self.nals.pop().filter(|nal| nal.len > 0);
        self.nals.clear();
        self.nals.extend(waiting);
        // Moving what is left only when it is the smaller part keeps the cost linear.
        if self.start > self.buffer.len() / 2 {
            let moved = self.start;
            self.buffer.drain(..moved);
            self.passed += moved as u64;
            self.start = 0;
            self.scan -= moved;
            self.open = self.open.map(|(from, code)| (from - moved, code - moved));
        }
    }

    fn read_more(&mut self) -> Result<(), String> {
        if self.buffer.len() - self.start > MAX_UNIT {
            return Err(format!(
                "offset {}: no access unit ends within {} MiB: is this H.264 with start codes?",
                self.passed + self.start as u64,
                MAX_UNIT >> 20
            ));
        }
        // The last two bytes may be the beginning of a start code.
        self.scan = self.scan.max(self.buffer.len().saturating_sub(2).max(self.start));
        let from = self.buffer.len();
        self.buffer.resize(from + CHUNK, 0);
        let got = loop {
            match self.reader.read(&mut self.buffer[from..]) {
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                other => break other,
            }
        };
        self.buffer.truncate(from + *got.as_ref().unwrap_or(&0));
        let got = got.map_err(|e| format!("offset {}: {e}", self.passed + from as u64))?;
        self.ended = got == 0;
        Ok(())
    }
}

fn find_start_code(bytes: &[u8], from: usize) -> Option<usize> {
    let mut i = from;
    while i + 3 <= bytes.len() {
        // The third byte tells how far no start code can begin.
        match bytes[i + 2] {
            0 => i += 1,
            1 if bytes[i] == 0 && bytes[i + 1] == 0 => return Some(i),
            _ => i += 3,
        }
    }
    None
}

/// The access units of a byte stream in memory, one behind the other.
pub fn split_units(bytes: &[u8]) -> Vec<Range<usize>> {
    let mut splitter = Splitter::new(bytes);
    let mut units = Vec::new();
    let mut at = 0;
    while let Ok(Some(unit)) = splitter.next_unit() {
        units.push(at..at + unit.bytes.len());
        at += unit.bytes.len();
    }
    units
}

#[cfg(test)]
mod tests {
    use super::*;
    use lensd_ffi::unit::split_annex_b;

    /// Gives its bytes in pieces of changing size.
    struct Dribble<'a>(&'a [u8], usize);

    impl Read for Dribble<'_> {
        fn read(&mut self, to: &mut [u8]) -> std::io::Result<usize> {
            self.1 = self.1 * 5 % 17;
            let n = self.1.max(1).min(self.0.len()).min(to.len());
            to[..n].copy_from_slice(&self.0[..n]);
            self.0 = &self.0[n..];
            Ok(n)
        }
    }

    /// The laws of a splitter: units joined are the input, their tables are those of a plain
    /// search, and it does not matter how the bytes arrive.
    fn check(bytes: &[u8]) -> usize {
        let mut splitter = Splitter::new(Dribble(bytes, 3));
        let mut joined = Vec::new();
        let mut lengths = Vec::new();
        while let Some(unit) = splitter.next_unit().unwrap() {
            let mut spans = Vec::new();
            split_annex_b(unit.bytes, &mut spans);
            assert_eq!(unit.nals, spans, "{:?}", unit.bytes);
            assert!(!unit.bytes.is_empty());
            joined.extend_from_slice(unit.bytes);
            lengths.push(unit.bytes.len());
            assert!(splitter.offset() == joined.len() as u64);
        }
        assert_eq!(joined, bytes);
        let whole: Vec<usize> = split_units(bytes).iter().map(ExactSizeIterator::len).collect();
        assert_eq!(whole, lengths);
        lengths.len()
    }

    #[test]
    fn units_joined_are_the_input_whatever_it_is() {
        let mut state = 7u64;
        let mut random = move |n: u64| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state % n
        };
        for _ in 0..3000 {
            let mut bytes = Vec::new();
            for _ in 0..random(12) {
                match random(4) {
                    0 => bytes.extend(vec![0; random(4) as usize]),
                    1 => bytes.extend((0..random(9)).map(|_| random(3) as u8)),
                    _ => {
                        bytes.extend([
                            0,
                            0,
                            1,
                            [0x67, 0x68, 0x65, 0x41, 0x01, 9, 6, 12][random(8) as usize],
                        ]);
                        bytes.extend((0..random(9)).map(|_| random(256) as u8));
                    }
                }
            }
            check(&bytes);
        }
        assert_eq!(check(&[]), 0);
    }

    #[test]
    fn pictures_are_told_apart_by_their_first_macroblock_and_delimiters() {
        let nal = |header: u8, first: u8| vec![0, 0, 0, 1, header, first, 0x55];
        // ue(v) of 0 is a 1 bit: 0x88 begins a picture; 0x44 continues one.
        let picture = [nal(0x65, 0x88), nal(0x65, 0x44), nal(0x65, 0x44)].concat();
        // Both name picture parameter set 0.
        let delta = [nal(0x41, 0x9a), vec![0, 0, 1, 0x41, 0x46, 0xd5]].concat();
        assert_eq!(check(&[&picture[..], &delta, &delta].concat()), 3);
        let sets = [nal(0x67, 66), nal(0x68, 0xce)].concat();
        let sei = nal(6, 5);
        let delimiter = nal(9, 0xf0);
        let end = nal(11, 0);
        let stream = [
            &delimiter[..],
            &sets,
            &sei,
            &picture,
            &end,
            &delimiter,
            &delta,
            &sei,
            &delta,
            &sets,
            &picture,
        ]
        .concat();
        assert_eq!(check(&stream), 4);
    }

    /// Bits as text, `ue(v)` as numbers in brackets: `"1 [0] 01"`.
    fn nal(header: u8, text: &str) -> Vec<u8> {
        let mut bits = String::new();
        for word in text.split_ascii_whitespace() {
            match word.strip_prefix('[').and_then(|w| w.strip_suffix(']')) {
                Some(number) => {
                    let code = format!("{:b}", number.parse::<u32>().unwrap() + 1);
                    bits += &"0".repeat(code.len() - 1);
                    bits += &code;
                }
                None => bits += word,
            }
        }
        bits += "1";
        while !bits.len().is_multiple_of(8) {
            bits += "0";
        }
        let bytes = bits.as_bytes().chunks(8);
        let bytes = bytes.map(|b| u8::from_str_radix(std::str::from_utf8(b).unwrap(), 2).unwrap());
        [0, 0, 0, 1, header].into_iter().chain(bytes).collect()
    }

    #[test]
    fn the_fields_of_a_frame_stay_together() {
        // Main profile, frame_num of 4 bits, 320x480, fields.
        let sps = "01001101 00000000 00011110 [0] [0] [2] [1] 0 [19] [14] 0 0 1 0 0";
        let sets = [nal(0x67, sps), nal(0x68, "[0] [0]")].concat();
        let field = |header, frame_num: &str, bottom: &str| {
            let slice = |first| nal(header, &format!("{first} [7] [0] {frame_num} 1 {bottom}"));
            [slice("[0]"), slice("[40]")].concat()
        };
        let stream = [
            sets,
            // An IDR picture whose second field refers to the first.
            field(0x65, "0000", "0"),
            field(0x41, "0000", "1"),
            // Two pictures that nobody refers to, with the same frame_num.
            field(0x01, "0001", "0"),
            field(0x01, "0001", "1"),
            field(0x01, "0001", "0"),
            field(0x01, "0001", "1"),
            field(0x41, "0001", "1"),
            field(0x41, "0001", "0"),
        ];
        let lengths: Vec<usize> =
            split_units(&stream.concat()).iter().map(ExactSizeIterator::len).collect();
        let l = stream.each_ref().map(Vec::len);
        assert_eq!(lengths, [l[0] + l[1] + l[2], l[3] + l[4], l[5] + l[6], l[7] + l[8]]);
        check(&stream.concat());
    }
}
