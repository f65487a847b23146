//! A client that is written by hand, so that a test can say anything to the server. What it
//! receives it takes apart by itself: the product's own parsers are not their own witness.

use super::LIMIT;
use lensd_engine::syntax::sei::{self, Capture};
use lensd_ffi::unit::Codec;
use std::io::{self, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name));
        found.map(|(_, v)| v.as_str())
    }

    /// The session's name.
    pub fn session(&self) -> String {
        self.header("Session").unwrap().split(';').next().unwrap().to_owned()
    }
}

/// Something that the server sent.
#[derive(Debug)]
pub enum Item {
    Answer(Answer),
    Packet(u8, Vec<u8>),
}

/// A connection.
pub struct Talk {
    pub stream: TcpStream,
    reader: BufReader<TcpStream>,
    pub base: String,
    cseq: u32,
    /// Packets that came while an answer was awaited.
    pub early: Vec<(u8, Vec<u8>)>,
}

pub const TCP: &str = "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n";

impl Talk {
    pub fn to(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(LIMIT.duration())).unwrap();
        stream.set_write_timeout(Some(LIMIT.duration())).unwrap();
        let reader = BufReader::new(stream.try_clone().unwrap());
        Self { stream, reader, base: format!("rtsp://{address}/"), cseq: 0, early: Vec::new() }
    }

    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// A request as text.
    pub fn request(&mut self, method: &str, path: &str, headers: &str) -> String {
        self.cseq += 1;
        format!("{method} {}{path} RTSP/1.0\r\nCSeq: {}\r\n{headers}\r\n", self.base, self.cseq)
    }

    /// Asks and waits for the answer.
    pub fn ask(&mut self, method: &str, path: &str, headers: &str) -> Answer {
        let text = self.request(method, path, headers);
        self.send(text.as_bytes()).unwrap();
        self.answer()
    }

    /// Sends bytes as they are and returns the status of the answer.
    pub fn status_of(&mut self, bytes: &[u8]) -> u16 {
        self.send(bytes).unwrap();
        self.answer().status
    }

    pub fn answer(&mut self) -> Answer {
        loop {
            match self.next().expect("an answer") {
                Item::Answer(answer) => return answer,
                Item::Packet(channel, packet) => self.early.push((channel, packet)),
            }
        }
    }

    /// DESCRIBE, SETUP and PLAY over this connection.
    pub fn play(&mut self, path: &str) -> String {
        // A camera without a first picture yet is 503: on a busy machine that may take a while.
        super::until("a description", || {
            let status = self.ask("DESCRIBE", path, "Accept: application/sdp\r\n").status;
            assert!([200, 503].contains(&status), "{path}: {status}");
            (status == 200).then_some(())
        });
        let answer = self.ask("SETUP", &format!("{path}/trackID=0"), TCP);
        assert_eq!(answer.status, 200, "{answer:?}");
        let session = answer.session();
        let answer = self.ask("PLAY", path, &format!("Session: {session}\r\n"));
        assert_eq!(answer.status, 200, "{answer:?}");
        session
    }

    /// The next thing; an error when the server has closed.
    pub fn next(&mut self) -> io::Result<Item> {
        let mut first = [0];
        self.reader.read_exact(&mut first)?;
        if first[0] == b'$' {
            let mut head = [0; 3];
            self.reader.read_exact(&mut head)?;
            let mut packet = vec![0; usize::from(u16::from_be_bytes([head[1], head[2]]))];
            self.reader.read_exact(&mut packet)?;
            return Ok(Item::Packet(head[0], packet));
        }
        let mut head = vec![first[0]];
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            self.reader.read_exact(&mut byte)?;
            head.push(byte[0]);
        }
        let text = String::from_utf8(head).unwrap();
        let mut lines = text.lines();
        let first = lines.next().unwrap();
        let status = first.split(' ').nth(1).and_then(|s| s.parse().ok());
        let status = status.unwrap_or_else(|| panic!("no status line: {first:?}"));
        let headers: Vec<(String, String)> = lines
            .filter_map(|l| l.split_once(": "))
            .map(|(n, v)| (n.to_owned(), v.to_owned()))
            .collect();
        let mut answer = Answer { status, headers, body: Vec::new() };
        let length = answer.header("Content-Length").map_or(0, |l| l.parse().unwrap());
        answer.body.resize(length, 0);
        self.reader.read_exact(&mut answer.body)?;
        Ok(Item::Answer(answer))
    }

    /// The next packet.
    pub fn packet(&mut self) -> io::Result<(u8, Vec<u8>)> {
        if !self.early.is_empty() {
            return Ok(self.early.remove(0));
        }
        loop {
            if let Item::Packet(channel, packet) = self.next()? {
                return Ok((channel, packet));
            }
        }
    }

    /// Whether the server has closed the connection, all else read.
    pub fn is_closed(&mut self) -> bool {
        loop {
            match self.next() {
                Ok(_) => {}
                Err(e) => return e.kind() != io::ErrorKind::WouldBlock,
            }
        }
    }
}

/// An access unit that came whole.
#[derive(Debug)]
pub struct Unit {
    pub key: bool,
    pub first_seq: u16,
    pub capture: Option<Capture>,
    pub bytes: usize,
}

/// Puts RTP packets together (RFC 6184) and panics at everything that a decoder would choke on.
#[derive(Default)]
pub struct Assembler {
    unit: Option<(u32, Unit)>,
    fragment: Option<Vec<u8>>,
    pub last_seq: Option<u16>,
    pub last_time: Option<u32>,
    /// Places at which sequence numbers were left out.
    pub gaps: usize,
}

impl Assembler {
    pub fn push(&mut self, packet: &[u8]) -> Option<Unit> {
        assert!(packet.len() > 12 && packet[0] >> 6 == 2, "no RTP: {packet:02x?}");
        let marker = packet[1] & 0x80 != 0;
        let seq = u16::from_be_bytes([packet[2], packet[3]]);
        let time = u32::from_be_bytes([packet[4], packet[5], packet[6], packet[7]]);
        let skip = self.last_seq.replace(seq).map_or(1, |last| seq.wrapping_sub(last));
        if skip != 1 {
            assert!(self.unit.is_none(), "the gap before {seq} is inside of a frame");
            self.gaps += 1;
        }
        let (at, unit) = self
            .unit
            .get_or_insert((time, Unit { key: false, first_seq: seq, capture: None, bytes: 0 }));
        assert_eq!(*at, time, "two times in one frame");
        let extension = if packet[0] & 0x10 == 0 {
            0
        } else {
            4 + 4 * usize::from(u16::from_be_bytes([packet[14], packet[15]]))
        };
        let payload = &packet[12 + extension..];
        let mut nals: Vec<Vec<u8>> = Vec::new();
        match payload[0] & 31 {
            24 => {
                let mut rest = &payload[1..];
                while let Some((len, tail)) = rest.split_first_chunk::<2>() {
                    let (nal, tail) = tail.split_at(usize::from(u16::from_be_bytes(*len)));
                    nals.push(nal.to_vec());
                    rest = tail;
                }
            }
            28 => {
                if payload[1] & 0x80 != 0 {
                    assert!(self.fragment.is_none(), "a fragment begins in another");
                    self.fragment = Some(vec![payload[0] & 0xe0 | payload[1] & 31]);
                }
                let fragment = self.fragment.as_mut().expect("the first part of a fragment");
                fragment.extend_from_slice(&payload[2..]);
                if payload[1] & 0x40 != 0 {
                    nals.extend(self.fragment.take());
                }
            }
            1..=23 => nals.push(payload.to_vec()),
            other => panic!("a packet of kind {other}"),
        }
        for nal in nals {
            unit.key |= nal[0] & 31 == 5;
            unit.bytes += nal.len();
            unit.capture = unit.capture.or_else(|| sei::parse(Codec::H264, &nal));
        }
        if !marker {
            return None;
        }
        assert!(self.fragment.is_none(), "the frame ends inside of a fragment");
        if let Some(last) = self.last_time.replace(time) {
            assert!(time.wrapping_sub(last).cast_signed() > 0, "time goes back");
        }
        self.unit.take().map(|(_, unit)| unit)
    }
}
