//! The machine of one connection: bytes in, requests out, answers in, bytes out.
//!
//! One request at a time is in the hands of the caller, so pipelined requests are answered in
//! their order by construction; what comes meanwhile waits in a bounded buffer, and when that is
//! full the caller must not read from its socket ([`Session::room`]).

use super::parse::{self, BodyReader, Framing, Head, HeadScan, Method, Request};
use super::respond::{self, Fault, Payload, Response, Tail};
use super::{At, parse::MAX_HEADERS, parse::MAX_LINE};
use lensd_ffi::time::Nanos;
use std::collections::VecDeque;
use std::sync::Arc;

/// Most bytes that wait to be parsed: one head and a little of what follows.
const MAX_INPUT: usize = MAX_LINE + MAX_HEADERS + 8 * 1024;
/// While this many bytes wait to be sent, no further request is begun.
const HIGH_WATER: usize = 64 * 1024;
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
}

#[derive(Debug)]
enum State {
    /// Waits for a head.
    Head,
    /// The caller has to decide about a body.
    Offer(Box<Head>),
    /// Reads a body; without `keep` it is thrown away.
    Body { request: Box<Request>, reader: BodyReader, keep: bool },
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
        matches!(self.state, State::Head | State::Body { .. } | State::Discard(_))
            && self.queued <= HIGH_WATER
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
            State::Offer(head) => {
                self.invite();
                let reader = BodyReader::new(head.framing);
                self.state = State::Body { request: Box::new(head.request), reader, keep: true };
            }
            state => self.state = state,
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
            State::Answering | State::Ready(_) | State::Offer(_) => self.tail = Tail::Close,
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

    /// So many bytes of [`Session::poll_output`] were sent.
    pub fn output_sent(&mut self, n: usize, at: At) {
        self.sent += n;
        self.queued -= n;
        if self.output.front().is_some_and(|p| self.sent >= p.bytes().len()) {
            self.output.pop_front();
            self.sent = 0;
        }
        self.stalled = None;
        if !self.output.is_empty() {
            self.note_stall(at);
        }
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
                || matches!(self.state, State::Body { .. })
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
        self.push(Payload::Own(respond::head(&response, self.tail, at)));
        if !self.head_only {
            self.push(response.body);
        }
    }

    fn push(&mut self, payload: Payload) {
        if !payload.bytes().is_empty() {
            self.queued += payload.bytes().len();
            self.output.push_back(payload);
        }
    }
}

/// What a session does with `data` that comes in pieces of the given sizes, in turn: the requests,
/// and the bytes it sends, when each request is answered with its own description.
pub(super) fn replay(data: &[u8], sizes: &[usize]) -> (Vec<Request>, Vec<u8>, bool) {
    let at = At::default();
    let mut session = Session::new(at);
    let (mut requests, mut output) = (Vec::new(), Vec::new());
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
                Some(Event::Request(request)) => {
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
mod tests {
    use super::*;

    const AT: At = At { mono: Nanos(1), utc: lensd_ffi::time::UtcNanos(0) };

    fn later(secs: u64) -> At {
        At { mono: Nanos::from_secs(secs), ..AT }
    }

    fn request(session: &mut Session) -> Request {
        match session.poll(AT) {
            Some(Event::Request(r)) => *r,
            other => panic!("{other:?}"),
        }
    }

    fn drain(session: &mut Session) -> String {
        let mut out = Vec::new();
        while !session.poll_output().is_empty() {
            out.extend_from_slice(session.poll_output());
            session.output_sent(session.poll_output().len(), AT);
        }
        String::from_utf8(out).unwrap()
    }

    fn ok(text: &str) -> Response {
        Response::new(200, "text/plain", Payload::Own(text.into()))
    }

    const CORPUS: &[&str] = &[
        "GET /a HTTP/1.1\r\nHost: h\r\n\r\nGET /b?c=d HTTP/1.1\r\nHost: h\r\n\r\n",
        "POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhelloGET /b HTTP/1.1\r\nHost: h\r\n\r\n",
        "POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x\r\nde\r\n0\r\nT: u\r\n\r\nHEAD /b HTTP/1.1\r\nHost: h\r\n\r\n",
        "POST /a HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nhi",
        "POST /no HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nhiGET /b HTTP/1.1\r\nHost: h\r\n\r\n",
        "POST /no HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nhi",
        "GET /a HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabcGET /b HTTP/1.0\r\n\r\nrest",
        "POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "GET /a HTTP/1.1\r\nHost: h\r\nX: a\nY: b\r\n\r\n",
        "GET /a HTTP/1.1\r\nHost: h\r\n\r\n\r\n\r\n\r\nGET",
        "\r\nGET /a HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\nGET /b HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET /a HTTP/1.1\r\nHo",
        "\u{16}\u{3}\u{1}",
    ];

    #[test]
    fn the_same_at_every_split() {
        for text in CORPUS {
            let data = text.as_bytes();
            let whole = replay(data, &[data.len()]);
            for first in 1..data.len() {
                assert_eq!(whole, replay(data, &[first, data.len()]), "{text:?} at {first}");
            }
            super::super::fuzz_http(data);
        }
    }

    /// Random edits of good requests, in random pieces, from a fixed seed.
    #[test]
    fn the_same_for_random_input_in_random_pieces() {
        let mut seed = 0x2545_f491_4f6c_dd1d_u64;
        let mut random = move |below: usize| {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            usize::try_from(seed % below as u64).unwrap()
        };
        for _ in 0..20_000 {
            let mut data = CORPUS[random(CORPUS.len())].as_bytes().to_vec();
            for _ in 0..random(4) {
                let at = random(data.len());
                match random(3) {
                    0 => data[at] = b"\r\n :0\0AZ%;,\xff"[random(12)],
                    1 => data.insert(at, b"\r\n :0\0AZ%;,\xff"[random(12)]),
                    _ => _ = data.remove(at),
                }
            }
            let sizes: Vec<usize> = (0..4).map(|_| random(data.len() + 1) + 1).collect();
            let whole = replay(&data, &[data.len()]);
            assert_eq!(whole, replay(&data, &sizes), "{:?}", String::from_utf8_lossy(&data));
        }
    }

    #[test]
    fn pipelined_requests_are_answered_in_order_though_answers_are_late() {
        let mut session = Session::new(AT);
        session.handle_input(CORPUS[0].as_bytes(), AT);
        assert_eq!(request(&mut session).target, "/a");
        assert_eq!(session.poll(AT), None, "the second waits");
        session.answer(ok("first"), AT);
        assert_eq!(request(&mut session).target, "/b?c=d");
        session.answer(ok("second"), AT);
        let out = drain(&mut session);
        assert!(out.find("first").unwrap() < out.find("second").unwrap());
        assert!(session.rests_since().is_some());
    }

    #[test]
    fn output_over_the_mark_holds_further_requests_back() {
        let mut session = Session::new(AT);
        session.handle_input(CORPUS[0].as_bytes(), AT);
        let _ = request(&mut session);
        session.answer(ok(&"x".repeat(HIGH_WATER + 1)), AT);
        assert_eq!(session.poll(AT), None);
        drain(&mut session);
        assert_eq!(request(&mut session).target, "/b?c=d");
    }

    #[test]
    fn head_has_no_body_but_its_length() {
        let mut session = Session::new(AT);
        session.handle_input(b"HEAD / HTTP/1.1\r\nHost: h\r\n\r\n", AT);
        let _ = request(&mut session);
        session.answer(ok("twelve bytes"), AT);
        let out = drain(&mut session);
        assert!(out.contains("Content-Length: 12\r\n") && out.ends_with("\r\n\r\n"), "{out}");
    }

    #[test]
    fn a_body_is_invited_only_when_it_is_wanted() {
        let head =
            "POST /x HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n";
        let mut session = Session::new(AT);
        session.handle_input(head.as_bytes(), AT);
        assert_eq!(session.poll(AT), Some(Event::Offer));
        assert!(drain(&mut session).is_empty());
        session.accept();
        assert_eq!(drain(&mut session), "HTTP/1.1 100 Continue\r\n\r\n");
        session.handle_input(b"hi", AT);
        assert_eq!(request(&mut session).body, b"hi");

        let mut session = Session::new(AT);
        session.handle_input(head.as_bytes(), AT);
        assert_eq!(session.poll(AT), Some(Event::Offer));
        session.answer(Response::empty(401), AT);
        let out = drain(&mut session);
        assert!(out.starts_with("HTTP/1.1 401") && out.contains("Connection: close"), "{out}");
        assert!(session.is_done());
    }

    #[test]
    fn deadlines() {
        let mut session = Session::new(AT);
        session.handle_input(b"GET / HT", AT);
        assert_eq!(session.poll(AT), None);
        session.handle_input(b"TP", later(9));
        session.handle_timeout(later(9));
        assert!(!session.is_done());
        session.handle_timeout(later(11));
        assert!(drain(&mut session).starts_with("HTTP/1.1 408"));
        assert!(session.is_done());

        let mut silent = Session::new(AT);
        silent.handle_timeout(later(11));
        assert!(silent.is_done());

        let mut idle = Session::new(AT);
        idle.handle_input(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n", AT);
        let _ = request(&mut idle);
        idle.handle_timeout(later(1000));
        idle.answer(ok(""), AT);
        drain(&mut idle);
        idle.handle_timeout(later(59));
        assert!(idle.rests_since().is_some());
        idle.handle_timeout(later(61));
        assert!(idle.is_done());

        let mut stalled = Session::new(AT);
        stalled.handle_input(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n", AT);
        let _ = request(&mut stalled);
        stalled.answer(ok("x"), AT);
        stalled.note_stall(AT);
        stalled.handle_timeout(later(31));
        assert!(stalled.is_done() && stalled.poll_output().is_empty());
    }

    #[test]
    fn a_live_answer_holds_one_part_at_most() {
        let mut session = Session::new(AT);
        session.handle_input(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n", AT);
        let _ = request(&mut session);
        session.start_live(&Response::empty(200), AT);
        let part = Arc::new(b"part".to_vec());
        assert!(!session.push_live(Arc::clone(&part)), "the head is not sent");
        let head = drain(&mut session);
        assert!(!head.contains("Content-Length") && head.contains("Connection: close"));
        assert!(session.push_live(Arc::clone(&part)) && !session.push_live(part));
        assert_eq!(drain(&mut session), "part");
        session.handle_end();
        assert!(session.is_done());
    }
}
