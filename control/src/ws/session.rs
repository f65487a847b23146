//! The machine of one WebSocket (RFC 6455): bytes in, messages out, frames in, bytes out.
//!
//! A payload is unmasked straight into its message, so nothing but the rest of a header ever waits
//! in the input, and a client that is silent costs no buffer.

use super::wire::{self, Code, MAX_CONTROL};
use crate::http::At;
use lensd_ffi::time::Nanos;
use std::collections::VecDeque;
use std::io::{Cursor, IoSlice};
use std::sync::Arc;
use tungstenite::protocol::frame::FrameHeader;
use tungstenite::protocol::frame::coding::{Control, Data, OpCode};

/// Longest message.
pub const MAX_MESSAGE: usize = 1024 * 1024;
/// The same before a login: strangers must not fill the memory, however many they are.
pub const MAX_STRANGE: usize = 64 * 1024;
/// Messages per second (SURFACE section 4). What is over is answered and not processed.
pub const MAX_RATE: u32 = 100;
/// Messages in one second with which a client loses its connection.
const FLOOD: u32 = 10 * MAX_RATE;
/// Seconds in a row over the limit with which it does.
const MAX_STRIKES: u32 = 10;
/// Frames per second, fragments and control frames included: more are sent only to waste time.
const MAX_FRAMES: u32 = 20_000;
/// Most bytes that wait to be taken in at a time.
const MAX_INPUT: usize = 16 * 1024;
/// While this many bytes wait to be sent, no further message of the client is taken.
const HIGH_WATER: usize = 64 * 1024;
/// A client for whom this much waits does not read, and is dropped. What is sent when nothing waits is
/// not counted: a large picture may take its time on a slow line, and news may come meanwhile.
const MAX_QUEUED: usize = 1024 * 1024;
const MAX_QUEUED_FRAMES: usize = 8192;
/// A client for whom this much waits gets no more video until a key frame.
const MAX_BEHIND: usize = 512 * 1024;
/// From ping to ping. Who has not answered the last by then is gone.
const PING_TIME: Nanos = Nanos::from_secs(30);
/// How long a peer may take to answer our close frame.
const CLOSE_TIME: Nanos = Nanos::from_secs(2);
/// How long a peer may refuse to take any byte.
const STALL_TIME: Nanos = Nanos::from_secs(30);
const SECOND: Nanos = Nanos::from_secs(1);

/// What a client is told whose message was over the limit.
const LIMITED: &str =
    r#"{"error":"Rate limit exceeded","limit":100,"period":"second","retry_after":1}"#;

/// A message that came.
#[derive(Debug, PartialEq, Eq)]
pub enum Event {
    /// Text.
    Text(String),
    /// Bytes.
    Binary(Vec<u8>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    /// Our close frame is out; the peer's must come until then.
    Closing(Nanos),
    /// What is to be sent is sent, nothing is read.
    Done,
}

/// A frame whose payload is coming.
#[derive(Debug)]
struct Frame {
    opcode: OpCode,
    last: bool,
    mask: [u8; 4],
    /// Bytes of the payload so far, and all.
    at: usize,
    length: usize,
}

/// A message of which frames are coming.
#[derive(Debug)]
struct Message {
    text: bool,
    bytes: Vec<u8>,
    /// Up to here it is UTF-8.
    checked: usize,
}

/// What came in this second.
#[derive(Debug, Default)]
struct Rate {
    since: Nanos,
    messages: u32,
    frames: u32,
    /// Seconds in a row in which it was too much.
    strikes: u32,
}

/// Why the peer cannot go on.
type Refusal = (Code, &'static str);

/// One connection.
#[derive(Debug)]
pub struct Session {
    state: State,
    input: Vec<u8>,
    frame: Option<Frame>,
    message: Option<Message>,
    /// Longest message at present.
    limit: usize,
    /// Payload of the control frame at hand.
    control: Vec<u8>,
    output: VecDeque<Arc<Vec<u8>>>,
    /// Bytes of the first output that are sent.
    sent: usize,
    queued: usize,
    /// What is left of bytes that were put there when nothing waited.
    alone: usize,
    rate: Rate,
    next_ping: Nanos,
    awaits_pong: bool,
    stalled: Option<Nanos>,
}

impl Session {
    /// A connection that was upgraded now.
    pub fn new(at: At) -> Self {
        Self {
            state: State::Open,
            input: Vec::new(),
            frame: None,
            message: None,
            limit: MAX_STRANGE,
            control: Vec::new(),
            output: VecDeque::new(),
            sent: 0,
            queued: 0,
            alone: 0,
            rate: Rate { since: at.mono, ..Rate::default() },
            next_ping: at.mono.plus(PING_TIME),
            awaits_pong: false,
            stalled: None,
        }
    }

    /// How many bytes [`Session::handle_input`] takes now.
    pub fn room(&self) -> usize {
        match self.state {
            State::Done => MAX_INPUT,
            _ => MAX_INPUT.saturating_sub(self.input.len()),
        }
    }

    /// Bytes came. **Then call [`Session::poll`] until it returns `None`.**
    pub fn handle_input(&mut self, bytes: &[u8]) {
        if self.state != State::Done {
            self.input.extend_from_slice(bytes);
        }
    }

    /// No more bytes will come. Without a close frame that is a break (7.1.5), so nothing is owed.
    pub fn handle_end(&mut self) {
        if self.state != State::Done {
            self.abort();
        }
    }

    /// The next message.
    pub fn poll(&mut self, at: At) -> Option<Event> {
        let mut from = 0;
        let mut found = None;
        while self.state != State::Done && self.queued <= HIGH_WATER {
            match self.step(&mut from, at) {
                Ok(Step::Message(event)) if self.state == State::Open => {
                    found = Some(event);
                    break;
                }
                Ok(Step::On | Step::Message(_)) => {}
                Ok(Step::Wait) => break,
                Err((code, reason)) => self.fail(code, reason),
            }
        }
        self.input.drain(..from.min(self.input.len()));
        if self.input.is_empty() {
            self.input = Vec::new();
        }
        found
    }

    /// Goes on by a header or a piece of payload.
    fn step(&mut self, from: &mut usize, at: At) -> Result<Step, Refusal> {
        if self.frame.is_none() {
            let rest = self.input.get(*from..).unwrap_or_default();
            let mut cursor = Cursor::new(rest);
            let parsed = FrameHeader::parse(&mut cursor)
                .map_err(|_| (Code::Protocol, "malformed frame header"))?;
            let Some((header, length)) = parsed else { return Ok(Step::Wait) };
            *from += usize::try_from(cursor.position()).unwrap_or(rest.len());
            self.begin(&header, length, at)?;
        }
        let Some(frame) = &mut self.frame else { return Ok(Step::Wait) };
        let rest = self.input.get(*from..).unwrap_or_default();
        let take = rest.len().min(frame.length - frame.at);
        let target = match (&frame.opcode, &mut self.message) {
            (OpCode::Data(_), Some(message)) => &mut message.bytes,
            _ => &mut self.control,
        };
        let unmasked = rest[..take].iter().enumerate();
        target.extend(unmasked.map(|(i, b)| b ^ frame.mask[(frame.at + i) % 4]));
        frame.at += take;
        *from += take;
        if let Some(message) = &mut self.message {
            message.check()?;
        }
        if frame.at < frame.length {
            return Ok(Step::Wait);
        }
        let (opcode, last) = (frame.opcode, frame.last);
        self.frame = None;
        match opcode {
            OpCode::Control(control) => self.handle_control(control).map(|()| Step::On),
            OpCode::Data(_) if !last => Ok(Step::On),
            OpCode::Data(_) => self.finish_message(at),
        }
    }

    /// A header is there: what follows it must fit (5.2, 5.4, 5.5).
    fn begin(&mut self, header: &FrameHeader, length: u64, at: At) -> Result<(), Refusal> {
        let wrong = |why| Err((Code::Protocol, why));
        if header.rsv1 || header.rsv2 || header.rsv3 {
            return wrong("reserved bits are set, but no extension was agreed");
        }
        let Some(mask) = header.mask else {
            return wrong("a client's frames must be masked");
        };
        self.turn_second(at);
        self.rate.frames += 1;
        if self.rate.frames > MAX_FRAMES {
            return Err((Code::Policy, "too many frames"));
        }
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        match header.opcode {
            OpCode::Control(_) if !header.is_final => return wrong("a fragmented control frame"),
            OpCode::Control(_) if length > MAX_CONTROL => return wrong("a long control frame"),
            OpCode::Control(_) => self.control.clear(),
            OpCode::Data(Data::Continue) if self.message.is_none() => {
                return wrong("a continuation of nothing");
            }
            OpCode::Data(Data::Continue) => {}
            OpCode::Data(_) if self.message.is_some() => {
                return wrong("a message inside another");
            }
            OpCode::Data(data) => {
                let text = data == Data::Text;
                self.message = Some(Message { text, bytes: Vec::new(), checked: 0 });
            }
        }
        let so_far = self.message.as_ref().map_or(0, |m| m.bytes.len());
        if length > self.limit.saturating_sub(so_far) {
            return Err((Code::TooLong, "a message may have 1 MiB, and 64 KiB before a login"));
        }
        let last = header.is_final;
        self.frame = Some(Frame { opcode: header.opcode, last, mask, at: 0, length });
        Ok(())
    }

    fn handle_control(&mut self, control: Control) -> Result<(), Refusal> {
        let payload = std::mem::take(&mut self.control);
        match control {
            Control::Ping if self.state == State::Open => {
                self.push(Arc::new(wire::frame_pong(&payload)));
            }
            Control::Ping => {}
            // One that nobody asked for is good too (5.5.3).
            Control::Pong => self.awaits_pong = false,
            Control::Close => {
                let code =
                    wire::parse_close(&payload).map_err(|code| (code, "malformed close frame"))?;
                if self.state == State::Open {
                    self.push(Arc::new(wire::frame_close(code, "")));
                }
                self.finish();
            }
            Control::Reserved(_) => return Err((Code::Protocol, "a reserved opcode")),
        }
        Ok(())
    }

    fn finish_message(&mut self, at: At) -> Result<Step, Refusal> {
        let Some(message) = self.message.take() else { return Ok(Step::On) };
        self.turn_second(at);
        self.rate.messages += 1;
        if self.rate.messages > FLOOD || self.rate.strikes >= MAX_STRIKES {
            return Err((Code::Policy, "too many messages"));
        }
        if !message.text {
            return Ok(self.counted(Event::Binary(message.bytes)));
        }
        match String::from_utf8(message.bytes) {
            Ok(text) => Ok(self.counted(Event::Text(text))),
            Err(_) => Err((Code::Data, "text must be UTF-8")),
        }
    }

    /// The message, or the answer that there were too many.
    fn counted(&mut self, event: Event) -> Step {
        if self.rate.messages <= MAX_RATE {
            return Step::Message(event);
        }
        if self.state == State::Open {
            self.push(wire::frame_text(LIMITED));
        }
        Step::On
    }

    fn turn_second(&mut self, at: At) {
        let past = at.mono.since(self.rate.since);
        if past >= SECOND {
            let over = self.rate.messages > MAX_RATE && past < Nanos(2 * SECOND.0);
            let strikes = if over { self.rate.strikes + 1 } else { 0 };
            self.rate = Rate { since: at.mono, strikes, ..Rate::default() };
        }
    }

    /// Sends a frame that [`wire::frame_text`] or [`wire::frame_binary`] made. A client for whom too
    /// much waits already is dropped: false.
    pub fn send(&mut self, frame: Arc<Vec<u8>>) -> bool {
        if self.state != State::Open {
            return true;
        }
        let waiting = self.queued - self.alone + frame.len();
        if self.output.is_empty() {
            self.alone = frame.len();
        } else if waiting > MAX_QUEUED || self.output.len() >= MAX_QUEUED_FRAMES {
            self.abort();
            return false;
        }
        self.push(frame);
        true
    }

    /// Sends frames that belong together, all or none. False: what was sent before has not left.
    pub fn send_together(&mut self, frames: &[Arc<Vec<u8>>]) -> bool {
        if self.state != State::Open {
            return true;
        }
        let bytes: usize = frames.iter().map(|frame| frame.len()).sum();
        let fits = self.queued + bytes <= MAX_BEHIND
            && self.output.len() + frames.len() <= MAX_QUEUED_FRAMES;
        if self.output.is_empty() {
            self.alone = bytes;
        } else if !fits {
            return false;
        }
        for frame in frames {
            self.push(Arc::clone(frame));
        }
        true
    }

    /// Whether something came that is not taken yet.
    pub const fn has_input(&self) -> bool {
        !self.input.is_empty()
    }

    /// Whether nothing waits to be sent, so that a live picture would be seen soon.
    pub fn is_clear(&self) -> bool {
        self.state == State::Open && self.output.is_empty()
    }

    /// The client has logged in, and may send messages of full length.
    pub const fn trust(&mut self) {
        self.limit = MAX_MESSAGE;
    }

    /// Begins the end.
    pub fn close(&mut self, code: Code, reason: &str, at: At) {
        if self.state == State::Open {
            self.push(Arc::new(wire::frame_close(Some(code), reason)));
            self.state = State::Closing(at.mono.plus(CLOSE_TIME));
        }
    }

    /// The peer cannot go on: it is told why, and not listened to any more (7.1.7).
    fn fail(&mut self, code: Code, reason: &str) {
        if self.state == State::Open {
            self.push(Arc::new(wire::frame_close(Some(code), reason)));
        }
        self.finish();
    }

    fn finish(&mut self) {
        self.state = State::Done;
        (self.input, self.control, self.message, self.frame) = (vec![], vec![], None, None);
    }

    /// Ends at once.
    fn abort(&mut self) {
        self.finish();
        self.output = VecDeque::new();
        (self.sent, self.queued, self.alone) = (0, 0, 0);
    }

    /// Whether messages are exchanged.
    pub fn is_open(&self) -> bool {
        self.state == State::Open
    }

    /// Whether everything is sent and nothing more is to be done.
    pub fn is_done(&self) -> bool {
        self.state == State::Done && self.output.is_empty()
    }

    /// The next bytes to send, in as many pieces as `slices` holds. Returns how many there are.
    pub fn poll_output<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let mut count = 0;
        for (slice, frame) in slices.iter_mut().zip(&self.output) {
            let from = if count == 0 { self.sent } else { 0 };
            *slice = IoSlice::new(&frame[from..]);
            count += 1;
        }
        count
    }

    /// So many bytes of [`Session::poll_output`] were sent.
    pub fn output_sent(&mut self, n: usize, at: At) {
        self.sent += n;
        self.queued -= n;
        self.alone = self.alone.saturating_sub(n);
        while let Some(first) = self.output.front()
            && self.sent >= first.len()
        {
            self.sent -= first.len();
            self.output.pop_front();
        }
        self.stalled = None;
        if self.output.is_empty() {
            // A burst's room is given back.
            if self.output.capacity() > 64 {
                self.output = VecDeque::new();
            }
        } else {
            self.note_stall(at);
        }
    }

    /// The peer takes nothing now.
    pub fn note_stall(&mut self, at: At) {
        self.stalled.get_or_insert(at.mono.plus(STALL_TIME));
    }

    /// When [`Session::handle_timeout`] has something to do.
    pub fn deadline(&self) -> Option<Nanos> {
        let own = match self.state {
            State::Open => Some(self.next_ping),
            State::Closing(by) => Some(by),
            State::Done => None,
        };
        own.into_iter().chain(self.stalled).min()
    }

    /// The time has come: pings, or ends what has taken too long.
    pub fn handle_timeout(&mut self, at: At) {
        if self.stalled.is_some_and(|by| by <= at.mono) {
            return self.abort();
        }
        match self.state {
            State::Closing(by) if by <= at.mono => self.finish(),
            State::Open if self.next_ping <= at.mono && self.awaits_pong => self.abort(),
            State::Open if self.next_ping <= at.mono => {
                self.awaits_pong = true;
                self.next_ping = at.mono.plus(PING_TIME);
                self.push(Arc::new(wire::frame_ping()));
            }
            _ => {}
        }
    }

    fn push(&mut self, frame: Arc<Vec<u8>>) {
        self.queued += frame.len();
        self.output.push_back(frame);
    }
}

/// How far [`Session::step`] came.
enum Step {
    /// There is more.
    On,
    /// More bytes are needed.
    Wait,
    /// A message is whole.
    Message(Event),
}

impl Message {
    /// Text must be UTF-8 as far as it has come; a letter may still be cut at its end.
    fn check(&mut self) -> Result<(), Refusal> {
        if !self.text {
            return Ok(());
        }
        match std::str::from_utf8(&self.bytes[self.checked..]) {
            Ok(_) => self.checked = self.bytes.len(),
            Err(e) if e.error_len().is_none() => self.checked += e.valid_up_to(),
            Err(_) => return Err((Code::Data, "text must be UTF-8")),
        }
        Ok(())
    }
}

/// What a session does with `data` that comes in pieces of the given sizes, in turn: the messages,
/// and the bytes it sends, when every message is answered with its length.
pub(super) fn replay(data: &[u8], sizes: &[usize]) -> (Vec<Event>, Vec<u8>, bool) {
    let at = At::default();
    let mut session = Session::new(at);
    session.trust();
    let (mut events, mut output) = (Vec::new(), Vec::new());
    let mut rest = data;
    let mut sizes = sizes.iter().cycle();
    while !rest.is_empty() && !session.is_done() {
        let size = sizes.next().copied().unwrap_or(1).max(1);
        let take = size.min(rest.len()).min(session.room());
        session.handle_input(&rest[..take]);
        rest = &rest[take..];
        loop {
            let event = session.poll(at);
            let idle = event.is_none();
            if let Some(event) = event {
                let length = match &event {
                    Event::Text(text) => text.len(),
                    Event::Binary(bytes) => bytes.len(),
                };
                assert!(length <= MAX_MESSAGE, "bounded messages");
                session.send(wire::frame_text(&length.to_string()));
                events.push(event);
            }
            assert!(session.queued <= 2 * HIGH_WATER, "bounded output");
            assert!(session.input.len() <= MAX_INPUT, "bounded input");
            let mut slices = [IoSlice::new(&[]); 4];
            let count = session.poll_output(&mut slices);
            let sent: usize = slices[..count].iter().map(|s| s.len()).sum();
            slices[..count].iter().for_each(|s| output.extend_from_slice(s));
            session.output_sent(sent, at);
            if idle && sent == 0 {
                break;
            }
        }
        assert!(session.is_done() || session.input.len() < 14 || session.room() == 0);
    }
    (events, output, session.is_done())
}

#[cfg(test)]
mod tests;
