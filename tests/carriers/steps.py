"""The guest's half of tests/rig/clock.sh: sets the machine's clock and looks at what a player is told."""

import ctypes
import json
import struct
import subprocess
import sys
import time
import urllib.request

LIBC = ctypes.CDLL(None, use_errno=True)
ADJ_MAXERROR, ADJ_ESTERROR, ADJ_STATUS = 4, 8, 16
STA_PLL, STA_UNSYNC = 1, 64
NTP_TO_UNIX = 2_208_988_800
HOUR = 3600
fails = 0


def check(name, good, what=""):
    global fails
    print("ok  " if good else "FAIL", name, "" if good else what, flush=True)
    fails += not good


def adjust(status, error_us):
    """What a time service does (adjtimex(2))."""
    timex = ctypes.create_string_buffer(256)
    modes = ADJ_MAXERROR | ADJ_ESTERROR | ADJ_STATUS
    struct.pack_into("i4xqqqqi", timex, 0, modes, 0, 0, error_us, error_us // 10, status)
    if LIBC.adjtimex(timex) < 0:
        sys.exit("adjtimex: errno %d" % ctypes.get_errno())


def get(path):
    with urllib.request.urlopen("http://127.0.0.1:8080" + path, timeout=30) as answer:
        return json.load(answer)["data"]


def until(name, look):
    for _ in range(600):
        found = look()
        if found:
            return found
        time.sleep(0.05)
    check(name, False, "waited in vain")
    return None


def clock():
    return get("/api/latency")["clock"]


class Player:
    def __init__(self):
        command = ["/usr/bin/python3", "witness.py", "tcp", "rtsp://127.0.0.1:8554/cam1/main?ext=ntp-64"]
        self.child = subprocess.Popen(command + ["1000000"], stdout=subprocess.PIPE, text=True)
        self.report = None

    def line(self):
        return json.loads(self.child.stdout.readline())

    def frame(self):
        """The next frame, and how far its report puts it from what its own message says."""
        while True:
            line = self.line()
            if "sr" in line:
                self.report = line
            if "frame" not in line:
                continue
            ticks = (line["rtp"] - self.report["rtp"] + 2**31) % 2**32 - 2**31
            said = ns(self.report["sr"]) + ticks * 100_000 // 9
            return line, said - line["utc"]


def ns(ntp):
    return ((ntp * 10**9) >> 32) - NTP_TO_UNIX * 10**9


def main():
    nobody = clock()
    check("nobody keeps the clock right at first", nobody["source"] == "none" and nobody["error_ns"] is None, nobody)
    adjust(STA_PLL, 5000)
    kept = until("a clock that is kept right", lambda: (lambda c: c["source"] == "pll" and c)(clock()))
    # The kernel adds 500 us for each second that nobody speaks of it.
    check("the bound is the kernel's", 5_000_000 <= kept["error_ns"] < 60_000_000, kept)
    check("and the estimate", kept["expected_ns"] == 500_000, kept)
    adjust(0, 5000)
    until("a service", lambda: clock()["source"] == "service")
    adjust(STA_UNSYNC, 16_000_000)
    until("nobody again", lambda: clock()["error_ns"] is None)

    player = Player()
    before = []
    for _ in range(20):
        before.append(player.frame())
    check("the report agrees with the picture", all(abs(apart) < 30_000 for _, apart in before), before)
    time.clock_settime(time.CLOCK_REALTIME, time.time() - HOUR)
    last, told, frames = before[-1][0], None, 0
    steps, rtp_ok, new = [], True, None
    while frames < 100:
        line, apart = player.frame()
        frames += 1
        ticks = (line["rtp"] - last["rtp"]) % 2**32
        mono = (line["mono"] - last["mono"]) * 9 // 100_000
        rtp_ok &= abs(ticks - mono) <= 1
        if line["utc"] < last["utc"]:
            steps.append((line["utc"] - last["utc"]) / 1e9)
            new = frames
        if new and told is None and abs(apart) < 30_000:
            told = frames
        if line["utc"] != 0 and abs(ns(line["1"]) - line["utc"]) > 1:
            check("the extension agrees with the message", False, line)
        last = line
    check("UTC of the pictures goes back once, by an hour", len(steps) == 1 and abs(steps[0] + HOUR) < 10, steps)
    check("RTP time goes on as the pictures were captured", rtp_ok)
    # A report went with the first and the second frame; the next regular one is 80 frames later.
    check("reports follow at once", told is not None and told - new <= 50, (new, told))
    check("the step is counted", clock()["steps"] >= 1, clock())
    player.child.kill()

    def vivid():
        return next(s for s in get("/api/streams")["streams"] if s["name"] == "cam2/main")

    until("vivid's pictures", lambda: vivid()["units"] > 5)
    # By default its stamps are of ends of frames that lie in the future; its control says others.
    check("stamps of the future are not believed", vivid()["stamped_at"] == "dequeued", vivid())
    subprocess.run(["v4l2-ctl", "-d", "/dev/video0", "-c", "timestamp_source=1"], check=True)
    until("a start of exposure", lambda: vivid()["stamped_at"] == "start-of-exposure")
    sys.exit(fails != 0)


main()
