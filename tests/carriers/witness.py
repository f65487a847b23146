"""Plays a stream with nothing but sockets, and prints what its capture times are by each carrier.

    witness.py tcp|udp|multicast RTSP-URL FRAMES [--pause]

One line of JSON for each thing that came, in the order in which it was sent:
  {"sdp": TEXT}
  {"play": true}                   the answer to PLAY has come (again after a PAUSE)
  {"sr": NTP, "rtp": TIME}         a sender report (RFC 3550 6.4.1)
  {"frame": NUMBER, "mono": NS, "utc": NS, "rtp": TIME, "1": NTP, "2": NTP}
                                   the first packet of a frame of the test camera: what its SEI
                                   says, its RTP time, and its header extensions by identifier
NTP times are the 64 bits as an integer. Written after the RFCs, knowing nothing of the server.
"""

import json
import select
import socket
import struct
import sys
from urllib.parse import urlsplit

UUID = b"lensd-capture-01"


def say(**what):
    print(json.dumps(what), flush=True)


class Rtsp:
    """A connection, and what came on it (RFC 2326)."""

    def __init__(self, url):
        parts = urlsplit(url)
        self.url = url
        self.base = url.split("?")[0]
        self.query = "?" + parts.query if parts.query else ""
        self.socket = socket.create_connection((parts.hostname, parts.port or 554))
        self.buffer = b""
        self.cseq = 0

    def read(self, n):
        while len(self.buffer) < n:
            more = self.socket.recv(65536)
            if not more:
                raise EOFError("the server has closed")
            self.buffer += more
        taken, self.buffer = self.buffer[:n], self.buffer[n:]
        return taken

    def item(self):
        """(channel, packet), or (None, (status, headers, body))."""
        first = self.read(1)
        if first == b"$":
            channel, length = struct.unpack("!BH", self.read(3))
            return channel, self.read(length)
        head = first
        while not head.endswith(b"\r\n\r\n"):
            head += self.read(1)
        lines = head.decode().split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines[1:] if ": " in line)
        body = self.read(int(headers.get("Content-Length", 0)))
        return None, (int(lines[0].split()[1]), headers, body)

    def ask(self, method, url, early=None, **headers):
        self.cseq += 1
        text = f"{method} {url} RTSP/1.0\r\nCSeq: {self.cseq}\r\n"
        text += "".join(f"{k}: {v}\r\n" for k, v in headers.items())
        self.socket.sendall((text + "\r\n").encode())
        while True:
            channel, what = self.item()
            if channel is None:
                if what[0] != 200:
                    raise SystemExit(f"{method}: {what}")
                return what
            if early is not None:
                early(channel, what)


def rtcp(packet):
    while len(packet) >= 8:
        kind, words = packet[1], struct.unpack("!H", packet[2:4])[0]
        if kind == 200:
            ntp, time = struct.unpack("!QI", packet[8:20])
            say(sr=ntp, rtp=time)
        packet = packet[4 * (words + 1):]


class Frames:
    def __init__(self):
        self.count = 0
        self.time = None

    def rtp(self, packet):
        """RFC 3550 5.1, RFC 8285 4.2, RFC 6184 5.4."""
        first, _, _, time, _ = struct.unpack("!BBHII", packet[:12])
        at = 12 + 4 * (first & 15)
        elements = {}
        if first & 0x10:
            profile, words = struct.unpack("!HH", packet[at:at + 4])
            data, at = packet[at + 4:at + 4 + 4 * words], at + 4 + 4 * words
            assert profile == 0xBEDE, hex(profile)
            while data:
                identifier, length = data[0] >> 4, (data[0] & 15) + 1
                if data[0] == 0:
                    data = data[1:]
                    continue
                elements[str(identifier)] = int.from_bytes(data[1:1 + length], "big")
                data = data[1 + length:]
        if time == self.time:
            assert not elements, "only a frame's first packet has extensions"
            return
        self.time = time
        payload = packet[at:]
        sei = payload.find(UUID)
        assert sei >= 0, "a frame without a message"
        digits = payload[sei + 16:sei + 16 + 48].decode()
        self.count += 1
        say(frame=int(digits[32:40], 16), mono=int(digits[:16], 16), utc=int(digits[16:32], 16),
            rtp=time, **elements)


def main():
    transport, url, wanted = sys.argv[1], sys.argv[2], int(sys.argv[3])
    pause = "--pause" in sys.argv
    rtsp, frames = Rtsp(url), Frames()
    _, _, sdp = rtsp.ask("DESCRIBE", url, Accept="application/sdp")
    say(sdp=sdp.decode())
    media = control = None
    if transport == "tcp":
        offer = "RTP/AVP/TCP;unicast;interleaved=0-1"
    elif transport == "udp":
        media, control = pair("127.0.0.1")
        ports = media.getsockname()[1], control.getsockname()[1]
        offer = f"RTP/AVP;unicast;client_port={ports[0]}-{ports[1]}"
    else:
        offer = "RTP/AVP;multicast"
    track = f"{rtsp.base}/trackID=0{rtsp.query}"
    _, headers, _ = rtsp.ask("SETUP", track, Transport=offer)
    session = headers["Session"].split(";")[0]
    if transport == "multicast":
        fields = dict(f.split("=", 1) for f in headers["Transport"].split(";") if "=" in f)
        port = int(fields["port"].split("-")[0])
        media, control = (member(fields["destination"], p) for p in (port, port + 1))

    def tcp(channel, packet):
        (frames.rtp if channel == 0 else rtcp)(packet)

    for begin in [0, wanted] if pause else [0]:
        rtsp.ask("PLAY", url, early=tcp, Session=session)
        say(play=True)
        while frames.count < begin + wanted:
            if transport == "tcp":
                channel, packet = rtsp.item()
                tcp(channel, packet)
                continue
            select.select([media, control], [], [])
            # A report is sent before the packets behind it, on a socket of its own.
            drain(control, rtcp)
            drain(media, frames.rtp, 1)
        if pause and begin == 0:
            rtsp.ask("PAUSE", url, early=tcp, Session=session)
            if media:
                drain(media, lambda packet: None)
                drain(control, lambda packet: None)
    rtsp.ask("TEARDOWN", url, early=lambda *_: None, Session=session)


def drain(sock, take, most=1 << 30):
    try:
        for _ in range(most):
            take(sock.recv(65536))
    except BlockingIOError:
        pass


def bound(address, port):
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    sock.setblocking(False)
    sock.bind((address, port))
    return sock


def pair(address):
    """An even port and the next."""
    while True:
        media = bound(address, 0)
        port = media.getsockname()[1]
        if port % 2 == 0:
            try:
                return media, bound(address, port + 1)
            except OSError:
                pass
        media.close()


def member(group, port):
    sock = bound("", port)
    request = socket.inet_aton(group) + socket.inet_aton("127.0.0.1")
    sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, request)
    return sock


main()
