"""Plays a stream by low-latency HLS as its rules say, and holds each playlist and each byte against them.

    python rules.py URL SEGMENTS [--breaks N] [--patient] [--no-date] [--begun FILE] [--file OUT]

Stops when it has seen so many whole segments, and so many breaks (discontinuities, or windows that
begin anew) followed by three whole segments. Patient: a server that does not answer is asked again.
FILE is there once it has seen two segments; OUT gets all that was played.
The playlists are read twice: by the unmodified package m3u8, and here by the letter. Prints what it
has seen as JSON. Clauses are those of draft-pantos-hls-rfc8216bis.
"""

import argparse
import datetime
import json
import re
import struct
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

import m3u8

SEI = b"lensd-capture-01"
UTC_0 = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)


def get(url, patient=False):
    end = time.monotonic() + 120
    while True:
        try:
            with urllib.request.urlopen(url, timeout=60) as answer:
                return answer.status, answer.headers, answer.read()
        except urllib.error.HTTPError as error:
            if patient and error.code == 503 and time.monotonic() < end:
                time.sleep(0.1)
                continue
            return error.code, error.headers, error.read()
        except OSError:
            if not patient or time.monotonic() > end:
                raise
            time.sleep(0.1)


def attributes(text):
    return {name: value.strip('"') for name, value in re.findall(r'([A-Z-]+)=("[^"]*"|[^,]*)', text)}


def read(text):
    """A media playlist by the letter: [(msn, {…}), …] and its head."""
    lines = text.split("\n")
    assert lines[0] == "#EXTM3U" and lines[-1] == "", text
    head, segments, parts, hint = {}, [], [], None
    date = breaks = None
    init, broken = None, False
    for line in lines[1:-1]:
        tag, _, rest = line.partition(":")
        if tag in ("#EXT-X-VERSION", "#EXT-X-TARGETDURATION", "#EXT-X-MEDIA-SEQUENCE", "#EXT-X-DISCONTINUITY-SEQUENCE"):
            assert tag not in head and not segments, line
            head[tag] = int(rest)
        elif tag in ("#EXT-X-SERVER-CONTROL", "#EXT-X-PART-INF"):
            assert tag not in head, line
            head[tag] = attributes(rest)
        elif tag == "#EXT-X-MAP":
            assert not parts, "a map within a segment"
            init = attributes(rest)["URI"]
        elif tag == "#EXT-X-DISCONTINUITY":
            assert not parts, "a break within a segment"
            broken = True
        elif tag == "#EXT-X-PROGRAM-DATE-TIME":
            assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", rest), line
            date = (datetime.datetime.fromisoformat(rest[:-1] + "+00:00") - UTC_0) / datetime.timedelta(milliseconds=1)
        elif tag == "#EXT-X-PART":
            part = attributes(rest)
            parts.append((part["URI"], float(part["DURATION"]), part.get("INDEPENDENT") == "YES"))
        elif tag == "#EXT-X-PRELOAD-HINT":
            hint = attributes(rest)
            assert hint["TYPE"] == "PART" and hint is not None
        elif tag == "#EXTINF":
            duration = float(rest.rstrip(","))
        elif not line.startswith("#"):
            segments.append({"uri": line, "duration": duration, "date": date, "parts": parts, "init": init, "broken": broken})
            parts, broken, date = [], False, None
        else:
            raise AssertionError(f"an unknown line: {line}")
    first, breaks = head["#EXT-X-MEDIA-SEQUENCE"], head["#EXT-X-DISCONTINUITY-SEQUENCE"]
    for n, segment in enumerate(segments):
        breaks += segment["broken"]
        segment.update(msn=first + n, breaks=breaks)
    head["open"] = {"parts": parts, "date": date, "init": init, "breaks": breaks + broken, "broken": broken}
    head["hint"] = hint["URI"]
    return head, segments


def check(head, segments, text):
    """What holds of each playlist."""
    target, part_target = head["#EXT-X-TARGETDURATION"], float(head["#EXT-X-PART-INF"]["PART-TARGET"])
    control = head["#EXT-X-SERVER-CONTROL"]
    assert control["CAN-BLOCK-RELOAD"] == "YES"
    # 4.4.3.8: at least twice, and it should be three times.
    assert float(control["PART-HOLD-BACK"]) >= 3 * part_target - 1e-6, control
    assert segments[0]["init"], "no map"
    for segment in segments:
        assert segment["duration"] <= target, segment
        sums = sum(part[1] for part in segment["parts"])
        assert not segment["parts"] or abs(sums - segment["duration"]) < 1e-4, segment
        assert segment["date"], segment
    for parts in [s["parts"] for s in segments] + [head["open"]["parts"]]:
        for _, duration, _ in parts:
            assert duration <= part_target, (duration, part_target)
    # Parts near the end are listed, so the last segment has its own.
    theirs = m3u8.loads(text)
    assert theirs.media_sequence == segments[0]["msn"] and theirs.target_duration == target
    # That reader counts the one that is not whole yet as a segment.
    whole = [segment for segment in theirs.segments if segment.uri]
    assert [s.uri for s in whole] == [s["uri"] for s in segments]
    for ours, other in zip(segments, whole):
        assert other.duration == ours["duration"] and other.init_section.uri == ours["init"]
        assert [p.uri for p in other.parts] == [p[0] for p in ours["parts"]]
        assert (other.program_date_time - UTC_0) / datetime.timedelta(milliseconds=1) == ours["date"]
        assert other.discontinuity == ours["broken"]
    assert theirs.preload_hint.uri == head["hint"]


def boxes(data):
    at = 0
    while at < len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        assert size >= 8 and at + size <= len(data), "a torn box"
        yield kind, data[at + 8 : at + size]
        at += size


def inside(data, *path):
    for kind in path:
        data = next(body for found, body in boxes(data) if found == kind)
    return data


def fragments(data):
    """Decode time, duration, key flag, capture time (UTC in ms, or none) and number of each fragment."""
    out = []
    for kind, body in boxes(data):
        assert kind in (b"prft", b"moof", b"mdat"), kind
        if kind == b"moof":
            decode = struct.unpack_from(">Q", inside(body, b"traf", b"tfdt"), 4)[0]
            # One sample, whose flags stand ahead of it: the writer's choice (ISO/IEC 14496-12 8.8.8.2).
            trun = inside(body, b"traf", b"trun")
            assert struct.unpack_from(">II", trun)[0] & 0xFFFFFF == 0xB05 and trun[7] == 1, trun.hex()
            flags, duration = struct.unpack_from(">II", trun, 12)
        elif kind == b"mdat":
            at = body.find(SEI)
            utc = int(body[at + 32 : at + 48], 16) / 1e6 if at >= 0 else None
            number = int(body[at + 48 : at + 56], 16) if at >= 0 else 0
            out.append((decode, duration, flags == 0x02000000, utc, number))
    return out


class Player:
    def __init__(self, url, options):
        self.options = options
        self.known = {}  # msn -> segment as it was listed first
        self.bytes = {}  # URI -> bytes
        self.promise = None
        self.births = []
        self.latencies = []
        self.reloads = 0
        self.order = []
        status, headers, body = get(url, options.patient)
        assert status == 200 and headers["Content-Type"] == "application/vnd.apple.mpegurl", (status, body)
        index = m3u8.loads(body.decode(), uri=url)
        (self.variant,) = index.playlists
        assert self.variant.stream_info.codecs and self.variant.stream_info.bandwidth > 0
        self.base = self.variant.absolute_uri
        self.live = self.base

    def media(self, uri):
        if uri not in self.bytes:
            status, headers, body = get(urllib.parse.urljoin(self.base, uri), self.options.patient)
            if status != 200:
                return None
            assert headers["Content-Type"] == "video/mp4" and "no-store" not in headers["Cache-Control"]
            self.bytes[uri] = body
        return self.bytes[uri]

    def load(self, msn=None, part=None):
        asked = "" if msn is None else f"_HLS_msn={msn}" + ("" if part is None else f"&_HLS_part={part}")
        glue = "&" if "?" in self.live else "?"
        status, headers, body = get(self.live + (glue + asked if asked else ""), self.options.patient)
        assert status == 200, (status, body)
        assert "no-store" in headers["Cache-Control"]
        text = body.decode()
        head, segments = read(text)
        try:
            check(head, segments, text)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{text}") from error
        self.reloads += 1
        return head, segments

    def hinted(self, head, got):
        """Asks for the next part before it is there."""
        status, _, body = get(urllib.parse.urljoin(self.base, head["hint"]), self.options.patient)
        if status == 200:
            got[head["hint"]] = (body, time.time())

    def follow(self):
        head, segments = self.load()
        while True:
            promise = (head["#EXT-X-TARGETDURATION"], head["#EXT-X-PART-INF"]["PART-TARGET"])
            birth = segments[0]["init"].split("-")[1]
            if not self.births or self.births[-1] != birth:
                self.births.append(birth)
            elif promise != self.promise:
                raise AssertionError(f"{promise} instead of {self.promise}")
            self.promise = promise
            for segment in segments:
                segment["part_target"] = float(promise[1])
                before = self.known.setdefault(segment["msn"], segment)
                same = ("uri", "duration", "date", "init", "broken", "breaks")
                assert [before[k] for k in same] == [segment[k] for k in same], (before, segment)
                before["parts"] = before["parts"] or segment["parts"]
            newest = max(self.known)
            assert segments[-1]["msn"] == newest, "numbers run backwards"
            for uri, _, _ in head["open"]["parts"]:
                self.media(uri)
            if len(self.known) >= 2 and self.options.begun:
                with open(self.options.begun, "w"):
                    pass
            if self.is_enough():
                return
            msn, part = segments[-1]["msn"] + 1, len(head["open"]["parts"])
            got = {}
            ahead = threading.Thread(target=self.hinted, args=(head, got))
            ahead.start()
            head, segments = self.load(msn, part)
            there = segments[-1]["msn"] >= msn or len(head["open"]["parts"]) > part
            assert there or self.options.patient, "a reload that did not wait"
            ahead.join()
            for uri, (body, when) in got.items():
                self.bytes[uri] = body
                newest = [f[3] for f in fragments(body)][-1]
                if newest:
                    self.latencies.append(when * 1000 - newest)
            # The two came over different connections: a part that was hinted at is in the playlist.
            assert not there or self.is_listed(got, head, segments) or self.options.patient, (got.keys(), head)

    def is_listed(self, got, head, segments):
        listed = {uri for parts in [head["open"]["parts"]] + [s["parts"] for s in segments] for uri, _, _ in parts}
        # One that is too long, since a picture was late, is in its segment only.
        return set(got) <= listed or any(not s["parts"] for s in segments[-2:])

    def breaks(self):
        """Numbers of segments that do not go on from the one before."""
        order = sorted(self.known)
        return [b for a, b in zip(order, order[1:]) if self.known[b]["broken"] or b != a + 1]

    def is_enough(self):
        breaks = self.breaks()
        after = len([msn for msn in self.known if breaks and msn > breaks[-1]])
        wanted = self.options.breaks
        return len(self.known) >= self.options.segments and (not wanted or len(breaks) >= wanted and after >= 3)

    def check_media(self):
        """Segments against their parts, their dates against what the pictures themselves say."""
        due, last, apart, checked, keys, short, inits, newest, anew = None, None, 0.0, 0, 0, 0, set(), 0, 0
        for msn in sorted(self.known):
            segment = self.known[msn]
            whole = self.media(segment["uri"])
            if whole is None:
                due = None
                continue
            inits.add(segment["init"])
            parts = [self.media(uri) for uri, _, _ in segment["parts"]]
            if parts and None not in parts:
                assert b"".join(parts) == whole, "parts are not the segment"
                # 4.4.4.9, but for the last of a segment. A picture that is late lasts as long as it is
                # late: where that is more than the rest of a part, nobody can make the part longer.
                for (_, duration, _), then in zip(segment["parts"], parts[1:]):
                    late = fragments(then)[0][1] / 90000
                    assert duration >= 0.85 * segment["part_target"] or duration + late > segment["part_target"], segment
                    short += duration < 0.85 * segment["part_target"]
                for (_, duration, independent), body in zip(segment["parts"], parts):
                    found = fragments(body)
                    assert abs(sum(f[1] for f in found) / 90000 - duration) < 1e-5
                    assert independent == any(f[2] for f in found), "INDEPENDENT"
            found = fragments(whole)
            keys += found[0][2]
            assert abs(sum(f[1] for f in found) / 90000 - segment["duration"]) < 1e-5
            for decode, duration, _, _, number in found:
                if due is not None and decode != due:
                    assert segment["broken"] and decode == found[0][0], "a gap without a word"
                due = decode + duration
                # A camera that was opened anew counts anew.
                anew += number < newest
                newest = number
            if last is not None and msn != last + 1:
                due = found[-1][0] + found[-1][1]
            last = msn
            if found[0][3]:
                apart = max(apart, abs(found[0][3] - segment["date"]))
                checked += 1
            if self.options.file:
                self.options.file.write((self.media(segment["init"]) or b"") + whole)
        assert checked >= 3 or not self.options.date, "no capture times in the pictures"
        # Written to the millisecond, rounded down.
        assert apart <= 1.001 or not self.options.date, f"a date {apart} ms beside the picture's own"
        return {"apart_ms": apart, "dated": checked, "keys": keys, "short_parts": short, "anew": anew, "inits": len(inits)}

    def refused(self):
        glue = "&" if "?" in self.live else "?"
        msn = max(self.known)
        for query, words in [
            ("_HLS_part=1", "_HLS_msn"),
            ("_HLS_msn=x", "whole number"),
            ("_HLS_msn=-1", "whole number"),
            (f"_HLS_msn={msn + 1000}", "too far ahead"),
            (f"_HLS_msn={msn + 1}&_HLS_part=100000", "too far ahead"),
            (f"_HLS_msn={msn}&_HLS_msn={msn}", "twice"),
        ]:
            status, _, body = get(self.live + glue + query)
            assert status == 400 and words in json.loads(body)["message"], (query, status, body)
        # What is not known is not looked at, and what is long there comes at once.
        for query in ["_HLS_skip=YES", "_HLS_msn=0", f"_HLS_msn={msn - 1}&_HLS_part=99", "other=1"]:
            assert get(self.live + glue + query)[0] == 200, query
        for name in ["segment-1.mp4", "part-1-1.mp4", "init-1-0.mp4", "segment-x.mp4", "other.m3u8"]:
            assert get(urllib.parse.urljoin(self.base, name) + urllib.parse.urlsplit(self.live).query.join(["?", ""]))[0] == 404, name


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("segments", type=int)
    parser.add_argument("--breaks", type=int, default=0)
    parser.add_argument("--patient", action="store_true")
    parser.add_argument("--no-date", dest="date", action="store_false")
    parser.add_argument("--begun")
    parser.add_argument("--file", type=argparse.FileType("wb"))
    options = parser.parse_args()
    player = Player(options.url, options)
    player.follow()
    said = player.check_media()
    player.refused()
    info = player.variant.stream_info
    latencies = sorted(player.latencies)
    said.update(
        segments=len(player.known),
        breaks=len(player.breaks()),
        births=len(player.births),
        reloads=player.reloads,
        target=player.promise[0],
        part_target=float(player.promise[1]),
        codecs=info.codecs,
        resolution=info.resolution,
        newest_picture_ms=latencies and [round(latencies[0], 1), round(latencies[len(latencies) // 2], 1), round(latencies[-1], 1)],
    )
    print(json.dumps(said))


main()
