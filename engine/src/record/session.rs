//! What becomes of a stream's units: files, fragments, their times. No clock, no disk.

use super::plan::{Mode, Plan};
use lensd_ffi::mux::{self, Init, Reference, Sample, Skipped, TIMESCALE, Track, ticks};
use lensd_ffi::time::{Nanos, Stamp};
use lensd_ffi::unit::{Codec, NalSpan, UnitMeta};
use std::collections::VecDeque;

/// Fragments are not longer than this, plus a picture: with what writing takes, a power cut then
/// loses less than half a second.
const FRAGMENT: u64 = TIMESCALE as u64 * 3 / 10;
/// Most pictures of a fragment, whatever their times say.
const MOST_PICTURES: usize = 256;
/// Most bytes of a fragment before it is closed.
const MOST_BYTES: usize = 16 << 20;
/// When no picture comes, those that are there are written so long after the capture of the first:
/// with what writing takes that is half a second, however few pictures come.
const IDLE: Nanos = Nanos::from_millis(380);
/// Pictures that come late wait for others at least so long, so that each is not one fragment.
const GATHER: Nanos = Nanos::from_millis(200);
/// What a picture is thought to last that no other follows: 30 a second.
const USUAL: u64 = TIMESCALE as u64 / 30;

/// A unit with its own bytes.
#[derive(Debug, Clone)]
pub struct Unit {
    /// What is known of it.
    pub meta: UnitMeta,
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Where its NAL units lie.
    pub nals: Vec<NalSpan>,
}

/// What is to be done next.
#[derive(Debug)]
pub enum Output {
    /// A file begins with these bytes; a fragment follows.
    Open {
        /// `ftyp`, lid, `moov`.
        head: Vec<u8>,
        /// Of the first picture.
        first: UnitMeta,
    },
    /// The next fragment of the open file.
    Fragment {
        /// With its seal.
        bytes: Vec<u8>,
        /// When its last picture was captured.
        until: Stamp,
        /// How long the file plays with it, in ticks.
        played: u64,
    },
    /// The file is complete.
    Close,
    /// A key frame would be good now.
    WantKey,
    /// The plan's limit is reached: there is no more to come.
    Done,
}

/// The file that is being written.
#[derive(Debug)]
struct Part {
    /// Capture time at file time 0; time-lapse does not use it.
    zero: u64,
    /// Ticks that were left out by pauses.
    paused: u64,
    /// Where the last picture's time ends: the next one is decoded then or later.
    end: u64,
    /// Number of the last fragment.
    sequence: u32,
    /// Pictures so far.
    pictures: u64,
    bytes: u64,
    /// Whether a key frame was asked for, to end with.
    asked: bool,
    /// The first picture after a pause: it follows without a gap.
    joins: bool,
    /// Ticks between the last two pictures.
    step: u64,
    /// How many ticks of the file a tick of capture takes.
    slower: f64,
}

/// For how long was recorded, in ticks of capture time, whatever rate it is played at.
#[derive(Debug, Default)]
struct Spent {
    ticks: u64,
    /// The newest capture time that counts; none: what comes next counts from itself on.
    last: Option<u64>,
}

impl Spent {
    fn take(&mut self, capture: u64) {
        let last = self.last.unwrap_or(capture);
        self.ticks += capture.saturating_sub(last);
        self.last = Some(last.max(capture));
    }

    /// What comes until the next picture does not count; the last one took `step`.
    fn interrupt(&mut self, step: u64) {
        if self.last.take().is_some() {
            self.ticks += step;
        }
    }
}

#[derive(Debug)]
struct Held {
    unit: Unit,
    /// Its file time.
    at: u64,
}

/// One stream being recorded.
#[derive(Debug)]
pub struct Session {
    plan: Plan,
    /// Pictures a second as captured; for slow motion.
    captured_fps: f64,
    track: Track,
    part: Option<Part>,
    group: Vec<Held>,
    group_bytes: usize,
    /// When the group is written at the latest.
    until: Nanos,
    paused: bool,
    /// When the next picture of a time-lapse is due, in ticks of capture time.
    due: Option<u64>,
    asked: bool,
    spent: Spent,
    /// The open file is to end with the next key frame, whatever its limits.
    renew: bool,
    done: bool,
    out: VecDeque<Output>,
}

impl Session {
    /// Begins with the next key frame. `captured_fps`: pictures a second of the camera; for slow
    /// motion. `spent`: how much was recorded before, for the plan's limit.
    pub fn new(plan: Plan, captured_fps: f64, spent: Nanos) -> Self {
        Self {
            plan,
            captured_fps,
            track: Track::default(),
            part: None,
            group: Vec::new(),
            group_bytes: 0,
            until: Nanos(0),
            paused: false,
            due: None,
            asked: false,
            spent: Spent { ticks: ticks(spent), last: None },
            renew: false,
            done: false,
            out: VecDeque::new(),
        }
    }

    /// What is to be done, until there is nothing.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.out.pop_front()
    }

    /// For how long was recorded as captured: pauses do not count.
    pub fn spent(&self) -> Nanos {
        let ticks = u128::from(self.spent.ticks) * 1_000_000_000 / u128::from(TIMESCALE);
        Nanos(u64::try_from(ticks).unwrap_or(u64::MAX))
    }

    /// When [`Session::handle_time`] has something to do; none: nothing waits.
    pub fn deadline(&self) -> Option<Nanos> {
        (!self.group.is_empty()).then_some(self.until)
    }

    /// The bounds of files and of the recording are others, also for what is recorded already.
    pub const fn set_bounds(&mut self, plan: &Plan) {
        self.plan.segment_secs = plan.segment_secs;
        self.plan.segment_bytes = plan.segment_bytes;
        self.plan.limit_secs = plan.limit_secs;
    }

    /// The camera gives so many pictures a second from now on. What depends on that begins another
    /// file: the catalogue has one rate for each, and what is stretched one scale.
    pub fn set_rate(&mut self, captured_fps: f64) {
        self.captured_fps = captured_fps;
        if let Some(part) = &mut self.part
            && !matches!(self.plan.mode, Mode::TimeLapse { .. })
        {
            self.renew = true;
            part.asked = true;
            self.out.push_back(Output::WantKey);
        }
    }

    /// Units are missing before the next one.
    pub const fn skip_to_key(&mut self) {
        self.track.skip_to_key();
    }

    /// Leaves out what comes until [`Session::resume`]; the file stays the same, and has no gap.
    pub fn pause(&mut self) {
        if !self.paused {
            self.paused = true;
            self.flush(None);
            self.spent.interrupt(self.step());
        }
    }

    /// Goes on with the next key frame.
    pub fn resume(&mut self) {
        if self.paused {
            self.paused = false;
            self.track.skip_to_key();
            self.out.push_back(Output::WantKey);
        }
    }

    /// Ends the file. What comes after begins another one.
    pub fn close(&mut self) {
        self.flush(None);
        if self.part.take().is_some() {
            self.out.push_back(Output::Close);
        }
        self.track.skip_to_key();
    }

    /// The file could not be written and was given up: what is there of it stays.
    pub fn give_up(&mut self) {
        self.group.clear();
        self.group_bytes = 0;
        self.out.clear();
        self.spent.interrupt(self.step());
        self.part = None;
        self.track.skip_to_key();
    }

    /// It is `now`: what has waited long enough is written.
    pub fn handle_time(&mut self, now: Nanos) {
        if self.deadline().is_some_and(|until| now >= until) {
            self.flush(None);
        }
    }

    /// Takes the next unit, at `now`. Why it is not in the file, if it is not.
    ///
    /// # Errors
    /// [`Skipped`].
    pub fn handle_unit(&mut self, unit: Unit, now: Nanos) -> Result<(), Skipped> {
        if self.done || self.paused {
            return Ok(());
        }
        let capture = ticks(unit.meta.capture.mono);
        if matches!(self.plan.mode, Mode::TimeLapse { .. }) {
            // Pictures that are left out tell the time, too.
            if self.part.is_some() {
                self.spent.take(capture);
            }
            if self.limit_reached() {
                self.end_for_good();
                return Ok(());
            }
            if !self.is_due(&unit, capture) {
                return Ok(());
            }
        }
        let init = self.track.take(&unit.meta, &unit.bytes, &unit.nals)?;
        let new = self.track.init().is_none_or(|known| **known != *init);
        if unit.meta.key && (new || self.is_full(capture)) {
            let next = self.file_time(capture);
            self.flush(Some(next));
            self.close();
            if self.limit_reached() {
                self.end_for_good();
                return Ok(());
            }
        }
        if self.part.is_none() {
            self.open(&init, &unit, capture);
        }
        self.track.go_on(init);
        let at = self.file_time(capture);
        let span = self.group.first().map_or(0, |first| at.saturating_sub(first.at));
        // Fragments begin with key frames where that does not make them tiny.
        let long = span >= FRAGMENT || (unit.meta.key && span >= FRAGMENT / 3);
        let much = self.group.len() >= MOST_PICTURES || self.group_bytes >= MOST_BYTES;
        if long || much {
            self.flush(Some(at));
        }
        if self.group.is_empty() {
            let capture = unit.meta.capture.mono;
            self.until = now.plus(IDLE).min(capture.plus(IDLE).max(now.plus(GATHER)));
        }
        if let Some(part) = &mut self.part {
            part.joins = false;
        }
        self.group_bytes += unit.bytes.len();
        self.group.push(Held { unit, at });
        self.spent.take(capture);
        self.look_at_limits(capture);
        Ok(())
    }

    /// Whether a time-lapse takes this unit: only key frames stand for themselves.
    fn is_due(&mut self, unit: &Unit, capture: u64) -> bool {
        let Mode::TimeLapse { interval_ms, .. } = self.plan.mode else { return true };
        let due = *self.due.get_or_insert(capture);
        if capture < due {
            return false;
        }
        if !unit.meta.key {
            if !self.asked {
                self.asked = true;
                self.out.push_back(Output::WantKey);
            }
            return false;
        }
        self.asked = false;
        let step = interval_ms * u64::from(TIMESCALE) / 1000;
        // Late pictures do not move those that follow; what was missed is not made up for.
        let missed = (capture - due) / step.max(1);
        self.due = Some(due + (missed + 1) * step.max(1));
        true
    }

    fn open(&mut self, init: &Init, unit: &Unit, capture: u64) {
        let mut head = Vec::with_capacity(2048);
        mux::begin(init, &mut head);
        self.renew = false;
        let slower = match self.plan.mode {
            Mode::SlowMotion { rate } if rate > 0 => (self.captured_fps / f64::from(rate)).max(1.0),
            _ => 1.0,
        };
        self.part = Some(Part {
            zero: capture,
            paused: 0,
            end: 0,
            sequence: 0,
            pictures: 0,
            bytes: head.len() as u64,
            asked: false,
            joins: false,
            step: USUAL,
            slower,
        });
        self.out.push_back(Output::Open { head, first: unit.meta });
    }

    /// When a picture is shown, in the open file.
    #[expect(clippy::cast_precision_loss, clippy::cast_sign_loss, reason = "a ratio of rates")]
    fn file_time(&mut self, capture: u64) -> u64 {
        let waiting = self.group.len() as u64;
        let Some(part) = &mut self.part else { return 0 };
        if let Mode::TimeLapse { rate, .. } = self.plan.mode {
            return (part.pictures + waiting) * u64::from(TIMESCALE) / u64::from(rate.max(1));
        }
        let mut at = capture.saturating_sub(part.zero);
        if part.slower > 1.0 {
            at = (at as f64 * part.slower).round() as u64;
        }
        if part.joins {
            part.paused = at.saturating_sub(part.end);
        }
        at.saturating_sub(part.paused)
    }

    /// Whether the open file ends where it is.
    fn is_full(&self, capture: u64) -> bool {
        let Some(part) = &self.part else { return false };
        let age = capture.saturating_sub(part.zero) / u64::from(TIMESCALE);
        let written = part.bytes + self.group_bytes as u64;
        let over = |value: u64, limit: u64| limit > 0 && value >= limit;
        over(age, self.plan.segment_secs)
            || over(written, self.plan.segment_bytes)
            || self.renew
            || self.limit_reached()
    }

    /// For how long the last picture stands, as captured.
    #[expect(clippy::cast_precision_loss, clippy::cast_sign_loss, reason = "a ratio of rates")]
    fn step(&self) -> u64 {
        match (&self.part, self.plan.mode) {
            // Other pictures tell when its time is over.
            (None, _) | (_, Mode::TimeLapse { .. }) => 0,
            (Some(part), _) if part.slower > 1.0 => (part.step as f64 / part.slower).round() as u64,
            (Some(part), _) => part.step,
        }
    }

    fn limit_reached(&self) -> bool {
        let limit = self.plan.limit_secs * u64::from(TIMESCALE);
        limit > 0 && self.spent.ticks + self.step() >= limit
    }

    fn end_for_good(&mut self) {
        self.close();
        self.done = true;
        self.out.push_back(Output::Done);
    }

    /// Asks for the key frame with which the next file begins, and ends where the limit is.
    fn look_at_limits(&mut self, capture: u64) {
        if self.limit_reached() {
            self.end_for_good();
        } else if self.is_full(capture)
            && let Some(part) = &mut self.part
            && !part.asked
        {
            part.asked = true;
            self.out.push_back(Output::WantKey);
        }
    }

    /// Makes a fragment of what waits. `next`: the time of the picture that follows, if it is known.
    fn flush(&mut self, next: Option<u64>) {
        let Some(part) = &mut self.part else { return };
        let held = std::mem::take(&mut self.group);
        self.group_bytes = 0;
        if held.is_empty() {
            part.joins |= next.is_none();
            return;
        }
        // Decode times are the presentation times in their order: of streams without B pictures
        // they are the same.
        let mut times: Vec<u64> = held.iter().map(|one| one.at).collect();
        times.sort_unstable();
        let top = times[times.len() - 1];
        if let [.., before, last] = times[..] {
            part.step = (last - before).clamp(1, u64::from(TIMESCALE));
        } else if top > part.end {
            part.step = part.step.max(1);
        }
        times.push(next.filter(|next| *next > top).unwrap_or(top + part.step));
        let mut decode = part.end;
        let begin = decode.max(times[0]);
        let mut samples = Vec::with_capacity(held.len());
        for (one, pair) in held.iter().zip(times.windows(2)) {
            decode = decode.max(pair[0]);
            let duration = pair[1].saturating_sub(decode).max(1);
            let offset = i128::from(one.at) - i128::from(decode);
            samples.push(Sample {
                codec: one.unit.meta.codec,
                bytes: &one.unit.bytes,
                nals: &one.unit.nals,
                key: one.unit.meta.key,
                duration: u32::try_from(duration).unwrap_or(u32::MAX),
                offset: i32::try_from(offset).unwrap_or(0),
            });
            decode += u64::from(samples[samples.len() - 1].duration);
        }
        let first = &held[0];
        let ntp = first.unit.meta.capture.utc.ntp64();
        let reference = Reference { ntp, time: first.at };
        let room = held.iter().map(|one| one.unit.bytes.len() + 64).sum::<usize>() + 512;
        let mut bytes = Vec::with_capacity(room);
        if mux::sealed(part.sequence + 1, begin, reference, &samples, &mut bytes).is_err() {
            // Of what a ring carries nothing is too long; a unit without a picture may be.
            self.track.skip_to_key();
            return;
        }
        part.sequence += 1;
        part.pictures += held.len() as u64;
        part.bytes += bytes.len() as u64;
        part.end = decode;
        part.joins = next.is_none() && self.paused;
        let until = held.iter().map(|one| one.unit.meta.capture).max_by_key(|stamp| stamp.mono);
        let until = until.unwrap_or_default();
        self.out.push_back(Output::Fragment { bytes, until, played: decode });
    }
}

/// Names for the catalogue.
pub const fn encoding(codec: Codec) -> lensd_ffi::catalogue::Encoding {
    use lensd_ffi::catalogue::Encoding;
    match codec {
        Codec::H264 => Encoding::H264,
        Codec::H265 => Encoding::H265,
        Codec::Jpeg => Encoding::Mjpeg,
    }
}

#[cfg(test)]
mod tests;
