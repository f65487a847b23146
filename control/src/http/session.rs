//! The machine of one connection: bytes in, requests out, answers in, bytes out.
//!
//! One request at a time is in the hands of the caller, so pipelined requests are answered in
//! their order by construction; what comes meanwhile waits in a bounded buffer, and when that is
//! full the caller must not read from its socket ([`Session::room`]).

use super::parse::{self, BodyReader, Framing, Head, HeadScan, Method, Request};
use super::respond::{self, Fault, Payload, Response, Tail};
use super::shape::Wants;
use super::{At, parse::MAX_HEADERS, parse::MAX_LINE};
use lensd_ffi::time::Nanos;
use std::collections::VecDeque;
use std::fs::File;
use std::io::IoSlice;
use std::sync::Arc;

/// Most bytes that wait to be parsed: one head and a little of what follows.
const MAX_INPUT: usize = MAX_LINE + MAX_HEADERS + 8 * 1024;
/// While this many bytes wait to be sent, no further request is begun.
const HIGH_WATER: usize = 64 * 1024;
/// Most bytes of a file that are in memory at a time.
const CHUNK: u64 = 64 * 1024;
/// From the first byte of a head to its last; also from the connection to its first byte.
const HEAD_TIME: Nanos = Nanos::from_secs(10);
/// From a head to the end of its body.
const BODY_TIME: Nanos = Nanos::from_secs(30);
/// How long a connection may rest between requests.
const IDLE_TIME: Nanos = Nanos::from_secs(60);
/// How long a peer may refuse to take any byte.
const STALL_TIME: Nanos = Nanos::from_secs(30);

/// What the caller must do next.
#[derive(Debug, PartialEq, Eq)]
pub enum Event {
    /// A request announces a body: look at it ([`Session::offered`]), then [`Session::accept`] or
    /// [`Session::answer`] at once, so that a body that nobody wants is never kept.
    Offer,
    /// A whole request: [`Session::answer`] it, now or later.
    Request(Box<Request>),
    /// A piece of the body of a request that [`Request::is_streamed`]: **call [`Session::resume`]
    /// when the next one may come,** or [`Session::answer`] if none is wanted. The request itself
    /// follows the last piece.
    Piece(Vec<u8>),
}

#[derive(Debug)]
enum State {
    /// Waits for a head.
    Head,
    /// The caller has to decide about a body.
    Offer(Box<Head>),
    /// Reads a body; without `keep` it is thrown away.
    Body { request: Box<Request>, reader: BodyReader, keep: bool },
    /// Hands a body on as it comes; while `waits`, the caller has a piece of it.
    Stream { request: Box<Request>, reader: BodyReader, waits: bool },
    /// A whole request that the caller did not take yet.
    Ready(Box<Request>),
    /// The caller has it.
    Answering,
    /// It is answered, but the rest of its body has to pass.
    Discard(BodyReader),
    /// An endless answer.
    Live,
    /// Nothing more is read; what is to be sent is sent.
    Closing,
}

/// One connection.
#[derive(Debug)]
pub struct Session {
    state: State,
    input: Vec<u8>,
    scan: HeadScan,
    output: VecDeque<Payload>,
    /// Bytes of the first payload that are sent.
    sent: usize,
    queued: usize,
    /// Of the request at hand.
    tail: Tail,
    wants: Wants,
    head_only: bool,
    expects: bool,
    /// End of the present state's patience.
    deadline: Option<Nanos>,
    stalled: Option<Nanos>,
    /// When the present request was waited for.
    since: Nanos,
    ended: bool,
}

impl Session {
    /// A connection that was accepted now.
    pub fn new(at: At) -> Self {
        Self {
            state: State::Head,
            input: Vec::new(),
            scan: HeadScan::default(),
            output: VecDeque::new(),
            sent: 0,
            queued: 0,
            tail: Tail::Close,
            wants: Wants::default(),
            head_only: false,
            expects: false,
            deadline: Some(at.mono.plus(HEAD_TIME)),
            stalled: None,
            since: at.mono,
            ended: false,
        }
    }

    /// How many bytes [`Session::handle_input`] takes now.
    pub fn room(&self) -> usize {
        match self.state {
            State::Live | State::Closing => MAX_INPUT,
            _ => MAX_INPUT.saturating_sub(self.input.len()),
        }
    }

    /// Bytes came. **Then call [`Session::poll`] until it returns `None`.**
    pub fn handle_input(&mut self, bytes: &[u8], at: At) {
        if matches!(self.state, State::Live | State::Closing) || bytes.is_empty() {
            return;
        }
        if self.input.is_empty() && matches!(self.state, State::Head) {
            self.deadline = Some(at.mono.plus(HEAD_TIME));
        }
        self.input.extend_from_slice(bytes);
    }

    /// No more bytes will come. What was asked is still answered.
    pub fn handle_end(&mut self) {
        self.ended = true;
        match self.state {
            State::Head if self.input.is_empty() => self.state = State::Closing,
            State::Live => self.abort(),
            _ => {}
        }
    }

    /// What to do next.
    pub fn poll(&mut self, at: At) -> Option<Event> {
        loop {
            let before = self.input.len();
            let went_on = match self.step(at) {
                Ok(went_on) => went_on,
                Err(fault) => {
                    self.refuse(&fault, at);
                    return None;
                }
            };
            if let State::Offer(_) = self.state {
                return Some(Event::Offer);
            }
            if let State::Ready(_) = self.state
                && let State::Ready(request) = std::mem::replace(&mut self.state, State::Answering)
            {
                self.deadline = None;
                return Some(Event::Request(request));
            }
            if let State::Stream { request, waits, .. } = &mut self.state
                && !request.body.is_empty()
            {
                *waits = true;
                self.deadline = None;
                return Some(Event::Piece(std::mem::take(&mut request.body)));
            }
            if !went_on && self.input.len() == before {
                if self.ended && self.is_reading() {
                    // Half a request, and no more of it will come.
                    self.state = State::Closing;
                }
                return None;
            }
        }
    }

    const fn is_reading(&self) -> bool {
        let reads = matches!(
            self.state,
            State::Head
                | State::Body { .. }
                | State::Discard(_)
                | State::Stream { waits: false, .. }
        );
        reads && self.queued <= HIGH_WATER
    }

    /// Goes on by one state; false if there is nothing to go on with.
    fn step(&mut self, at: At) -> Result<bool, Fault> {
        match &mut self.state {
            State::Head if self.queued <= HIGH_WATER => {
                let Some(range) = self.scan.advance(&self.input)? else { return Ok(false) };
                let head = parse::parse_head(&self.input[range.clone()])?;
                self.input.drain(..range.end);
                self.scan = HeadScan::default();
                self.begin(head, at);
                Ok(true)
            }
            State::Body { request, reader, keep } => {
                let out = keep.then_some(&mut request.body);
                let took = reader.feed(&self.input, out)?;
                self.input.drain(..took);
                if !reader.is_done() {
                    return Ok(false);
                }
                if let State::Body { request, .. } =
                    std::mem::replace(&mut self.state, State::Answering)
                {
                    self.state = State::Ready(request);
                }
                Ok(true)
            }
            State::Stream { waits: true, .. } => Ok(false),
            State::Stream { request, reader, .. } => {
                let took = reader.feed(&self.input, Some(&mut request.body))?;
                self.input.drain(..took);
                // The request follows its last piece.
                if !reader.is_done() || !request.body.is_empty() {
                    return Ok(false);
                }
                if let State::Stream { request, .. } =
                    std::mem::replace(&mut self.state, State::Answering)
                {
                    self.state = State::Ready(request);
                }
                Ok(true)
            }
            State::Discard(reader) => {
                let took = reader.feed(&self.input, None)?;
                self.input.drain(..took);
                if reader.is_done() {
                    self.next_request(at);
                    return Ok(true);
                }
                Ok(false)
            }
            _ => Ok(false),
        }
    }

    fn begin(&mut self, head: Head, at: At) {
        self.head_only = head.request.method == Method::Head;
        self.tail = if head.keep_alive { Tail::Keep { old: head.old } } else { Tail::Close };
        self.expects = head.expects;
        self.wants = Wants::of(&head.request);
        self.deadline = Some(at.mono.plus(BODY_TIME));
        self.state = match head.framing {
            Framing::Length(0) => State::Ready(Box::new(head.request)),
            // A body has no meaning here (RFC 9110 9.3.1), but it has to pass.
            framing if head.request.method.is_safe() => {
                self.invite();
                let reader = BodyReader::new(framing);
                State::Body { request: Box::new(head.request), reader, keep: false }
            }
            _ => State::Offer(Box::new(head)),
        };
    }

    /// The request whose body is offered.
    pub fn offered(&self) -> Option<&Request> {
        match &self.state {
            State::Offer(head) => Some(&head.request),
            _ => None,
        }
    }

    /// The body is wanted.
    pub fn accept(&mut self) {
        match std::mem::replace(&mut self.state, State::Answering) {
            State::Offer(head) if head.request.is_streamed() => {
                self.invite();
                let reader = BodyReader::streamed(head.framing);
                self.state =
                    State::Stream { request: Box::new(head.request), reader, waits: false };
            }
            State::Offer(head) => {
                self.invite();
                let reader = BodyReader::new(head.framing);
                self.state = State::Body { request: Box::new(head.request), reader, keep: true };
            }
            state => self.state = state,
        }
    }

    /// The next piece of a body may come.
    pub fn resume(&mut self, at: At) {
        if let State::Stream { waits, .. } = &mut self.state {
            *waits = false;
            self.deadline = Some(at.mono.plus(BODY_TIME));
        }
    }

    /// RFC 9110 10.1.1. Said also if the body is here already, so that the answer does not depend
    /// on how the bytes were split.
    fn invite(&mut self) {
        if std::mem::take(&mut self.expects) {
            self.push(Payload::Own(b"HTTP/1.1 100 Continue\r\n\r\n".to_vec()));
        }
    }

    /// Answers the request at hand. Without one, nothing happens: the peer is gone.
    pub fn answer(&mut self, response: Response, at: At) {
        match std::mem::replace(&mut self.state, State::Closing) {
            State::Answering => {
                self.send(response, at);
                self.next_request(at);
            }
            // The rest of it may be long: nobody waits for that.
            State::Stream { .. } => {
                self.tail = Tail::Close;
                self.send(response, at);
                self.next_request(at);
            }
            State::Offer(head) if head.request.is_streamed() => {
                self.tail = Tail::Close;
                self.send(response, at);
                self.next_request(at);
            }
            State::Offer(head) => {
                // A client that waits for 100 may send its body or not: nobody can tell what the
                // next bytes are.
                if head.expects {
                    self.tail = Tail::Close;
                }
                self.send(response, at);
                self.state = State::Discard(BodyReader::new(head.framing));
                if self.tail == Tail::Close {
                    self.next_request(at);
                }
            }
            state => self.state = state,
        }
    }

    /// Answers the request at hand without an end: [`Session::push_live`] follows.
    pub fn start_live(&mut self, response: &Response, at: At) {
        if !matches!(self.state, State::Answering) {
            return;
        }
        self.push(Payload::Own(respond::head(response, Tail::Endless, at)));
        self.state = if self.head_only { State::Closing } else { State::Live };
        self.input = Vec::new();
    }

    /// Answers the request at hand with another protocol, which takes over: what came behind the
    /// request, and what is still to be sent. None: it cannot be, and the session has ended.
    pub fn upgrade(&mut self, response: &Response, at: At) -> Option<(Vec<u8>, Vec<u8>)> {
        if !matches!(self.state, State::Answering) {
            return None;
        }
        self.push(Payload::Own(respond::head(response, Tail::Upgrade, at)));
        let mut output = Vec::with_capacity(self.queued);
        if self.output.iter().any(|p| matches!(p, Payload::File(_))) {
            // Further requests wait while a file is sent, so this does not happen.
            self.abort();
            return None;
        }
        while !self.output.is_empty() {
            output.extend_from_slice(self.poll_output());
            self.output_sent(self.poll_output().len(), at);
        }
        self.state = State::Closing;
        Some((std::mem::take(&mut self.input), output))
    }

    /// A piece of an endless answer, all of it or nothing: only if all before it is sent.
    pub fn push_live(&mut self, part: Arc<Vec<u8>>) -> bool {
        let ready = self.wants_live();
        if ready {
            self.push(Payload::Shared(part));
        }
        ready
    }

    /// Ends an endless answer with a last piece: only if all before it is sent.
    pub fn end_live(&mut self, part: Option<Arc<Vec<u8>>>) {
        if self.wants_live() {
            if let Some(part) = part {
                self.push(Payload::Shared(part));
            }
            self.state = State::Closing;
        }
    }

    /// Whether [`Session::push_live`] takes something now.
    pub fn wants_live(&self) -> bool {
        matches!(self.state, State::Live) && self.output.is_empty()
    }

    /// Whether the answer at hand is endless.
    pub const fn is_live(&self) -> bool {
        matches!(self.state, State::Live)
    }

    /// Ends: what is being answered is answered, nothing new is read.
    pub fn close(&mut self) {
        match self.state {
            State::Answering | State::Ready(_) | State::Offer(_) | State::Stream { .. } => {
                self.tail = Tail::Close;
            }
            State::Live => self.abort(),
            _ => self.state = State::Closing,
        }
    }

    /// Since when nothing is asked and nothing is being answered.
    pub fn rests_since(&self) -> Option<Nanos> {
        let rests =
            matches!(self.state, State::Head) && self.input.is_empty() && self.output.is_empty();
        rests.then_some(self.since)
    }

    /// Whether everything is sent and nothing more is to be done.
    pub fn is_done(&self) -> bool {
        matches!(self.state, State::Closing) && self.output.is_empty()
    }

    /// The next bytes to send; empty if there are none.
    pub fn poll_output(&self) -> &[u8] {
        self.output.front().map_or(&[], |p| &p.bytes()[self.sent..])
    }

    /// The same in as many pieces as there are and `pieces` holds, so that a head and its body
    /// leave together. Returns how many.
    pub fn poll_pieces<'a>(&'a self, pieces: &mut [IoSlice<'a>]) -> usize {
        let mut count = 0;
        for (piece, payload) in pieces.iter_mut().zip(&self.output) {
            if matches!(payload, Payload::File(_)) {
                break;
            }
            let from = if count == 0 { self.sent } else { 0 };
            *piece = IoSlice::new(&payload.bytes()[from..]);
            count += 1;
        }
        count
    }

    /// So many bytes of [`Session::poll_output`] or [`Session::poll_pieces`] were sent.
    pub fn output_sent(&mut self, n: usize, at: At) {
        self.sent += n;
        self.queued -= n;
        while let Some(first) = self.output.front()
            && !matches!(first, Payload::File(_))
            && self.sent >= first.bytes().len()
        {
            self.sent -= first.bytes().len();
            self.output.pop_front();
        }
        self.stalled = None;
        if !self.output.is_empty() {
            self.note_stall(at);
        }
    }

    /// The piece of a file that is to be sent next: where it begins, and how long it is. **Read it
    /// and call [`Session::take_chunk`].**
    pub fn wants_chunk(&self) -> Option<(Arc<File>, u64, usize)> {
        let Payload::File(body) = self.output.front()? else { return None };
        let length = usize::try_from(body.length.min(CHUNK)).unwrap_or_default();
        Some((Arc::clone(&body.file), body.offset, length))
    }

    /// The piece. None at all, or more than was wanted: the file has become shorter, and the
    /// connection ends, so that the client sees that it has not everything.
    pub fn take_chunk(&mut self, bytes: Vec<u8>) {
        let Some(Payload::File(body)) = self.output.front_mut() else { return };
        let length = bytes.len() as u64;
        if bytes.is_empty() || length > body.length {
            return self.abort();
        }
        body.offset += length;
        body.length -= length;
        if body.length == 0
            && let Some(file) = self.output.pop_front()
        {
            self.queued -= weight(&file);
        }
        self.queued += bytes.len();
        self.output.push_front(Payload::Own(bytes));
    }

    /// The peer takes nothing now.
    pub fn note_stall(&mut self, at: At) {
        self.stalled.get_or_insert(at.mono.plus(STALL_TIME));
    }

    /// When [`Session::handle_timeout`] has something to do.
    pub fn deadline(&self) -> Option<Nanos> {
        match (self.deadline, self.stalled) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    /// The time has come; ends the session if its patience is at an end.
    pub fn handle_timeout(&mut self, at: At) {
        if self.stalled.is_some_and(|d| d <= at.mono) {
            self.abort();
        } else if self.deadline.is_some_and(|d| d <= at.mono) {
            if matches!(self.state, State::Head) && !self.output.is_empty() {
                // Still taking the last answer, slowly: the next request is not late yet.
                self.deadline = Some(at.mono.plus(HEAD_TIME));
                return;
            }
            if self.is_reading() && !self.input.is_empty()
                || matches!(self.state, State::Body { .. } | State::Stream { .. })
            {
                let fault = Fault::new(
                    408,
                    "REQUEST_TIMEOUT",
                    "Request timeout",
                    "the request did not come in time",
                );
                self.refuse(&fault, at);
            } else {
                self.state = State::Closing;
            }
            self.deadline = None;
        }
    }

    /// Ends at once.
    fn abort(&mut self) {
        self.state = State::Closing;
        self.output.clear();
        (self.sent, self.queued) = (0, 0);
    }

    /// Answers what cannot be understood, and ends.
    pub fn refuse(&mut self, fault: &Fault, at: At) {
        self.tail = Tail::Close;
        self.send(fault.response(at), at);
        self.state = State::Closing;
        self.input = Vec::new();
        self.deadline = None;
    }

    fn next_request(&mut self, at: At) {
        let again = matches!(self.tail, Tail::Keep { .. });
        self.state = if again { State::Head } else { State::Closing };
        self.head_only = false;
        self.since = at.mono;
        let time = if self.input.is_empty() { IDLE_TIME } else { HEAD_TIME };
        self.deadline = again.then(|| at.mono.plus(time));
        if self.input.is_empty() {
            // An idle connection costs no buffer.
            self.input = Vec::new();
            if self.ended {
                self.state = State::Closing;
            }
        }
    }

    fn send(&mut self, response: Response, at: At) {
        let response = std::mem::take(&mut self.wants).shape(response);
        self.push(Payload::Own(respond::head(&response, self.tail, at)));
        if !self.head_only {
            self.push(response.body);
        }
    }

    fn push(&mut self, payload: Payload) {
        if let Payload::Chain(slices) = payload {
            return slices.into_iter().for_each(|slice| self.push(Payload::Slice(slice)));
        }
        if !payload.is_empty() {
            self.queued += weight(&payload);
            self.output.push_back(payload);
        }
    }
}

/// What a payload counts for in the output. While a file waits, no further request is begun.
fn weight(payload: &Payload) -> usize {
    match payload {
        Payload::File(_) => HIGH_WATER + 1,
        payload => payload.bytes().len(),
    }
}

/// What a session does with `data` that comes in pieces of the given sizes, in turn: the requests,
/// and the bytes it sends, when each request is answered with its own description.
pub(super) fn replay(data: &[u8], sizes: &[usize]) -> (Vec<Request>, Vec<u8>, bool) {
    let at = At::default();
    let mut session = Session::new(at);
    let (mut requests, mut output, mut streamed) = (Vec::new(), Vec::new(), Vec::new());
    let mut rest = data;
    let mut sizes = sizes.iter().cycle();
    loop {
        let size = sizes.next().copied().unwrap_or(1).max(1);
        let take = size.min(rest.len()).min(session.room());
        session.handle_input(&rest[..take], at);
        rest = &rest[take..];
        if rest.is_empty() {
            session.handle_end();
        }
        loop {
            match session.poll(at) {
                Some(Event::Offer) if session.offered().is_some_and(|r| r.target == "/no") => {
                    session.answer(Response::empty(401), at);
                }
                Some(Event::Offer) => session.accept(),
                Some(Event::Piece(piece)) => {
                    assert!(!piece.is_empty() && piece.len() <= MAX_INPUT, "bounded pieces");
                    streamed.extend_from_slice(&piece);
                    session.resume(at);
                }
                Some(Event::Request(mut request)) => {
                    if request.is_streamed() {
                        assert!(request.body.is_empty());
                        request.body = std::mem::take(&mut streamed);
                    }
                    let text = format!("{} {}", request.target, request.body.len());
                    requests.push(*request);
                    session.answer(Response::new(200, "t", Payload::Own(text.into())), at);
                }
                None => {
                    assert!(session.queued <= 2 * HIGH_WATER + MAX_LINE, "bounded output");
                    assert!(session.input.len() <= MAX_INPUT, "bounded input");
                    let n = session.poll_output().len();
                    if n == 0 {
                        break;
                    }
                    output.extend_from_slice(session.poll_output());
                    session.output_sent(n, at);
                }
            }
        }
        if rest.is_empty() || session.is_done() {
            return (requests, output, session.is_done());
        }
    }
}

#[cfg(test)]
mod tests;
