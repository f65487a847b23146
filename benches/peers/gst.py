#!/usr/bin/python3
"""gst-rtsp-server as a peer of `bench latency`: it serves an H.264 file as lensd does `file:…?stamp=1`.

    gst.py FILE.h264 [PORT]       rtsp://127.0.0.1:PORT/stream   (8654)

Each access unit gets the capture message (benches/README.md) with the moment at which it is given to
GStreamer, which is `appsrc ! h264parse ! rtph264pay`, shared by all clients. Units are split at
their slices; the file's frames must be one slice each, 30 of them a second, as this makes them:

    ffmpeg -f lavfi -i testsrc2=size=1280x720:rate=30 -t 10 -c:v libx264 -preset veryfast -bf 0 \\
        -g 30 -x264-params slices=1 -b:v 4M -bsf:v h264_metadata=aud=remove FILE.h264
"""

import re
import sys
import threading
import time

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstApp", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstApp, GstRtspServer  # noqa: E402, F401

FPS = 30


def units(path):
    """Access units as lists of NAL units; parameter sets and messages go with the slice behind them."""
    data = open(path, "rb").read()
    unit, out = [], []
    for nal in re.split(b"\0*\0\0\1", data)[1:]:
        kind = nal[0] & 31
        if kind not in (1, 5, 6, 7, 8):
            continue
        if kind != 6:
            unit.append(nal)
        if kind in (1, 5):
            out.append(unit)
            unit = []
    return out


def message(number):
    """The capture message (lensd's surface, "The test camera")."""
    text = b"lensd-capture-01%016x%016x%08x%08x" % (time.monotonic_ns(), time.time_ns(), number, 0)
    return b"\x06\x05\x40" + text + b"\x80"


class Feeder:
    def __init__(self, all_units):
        self.units = all_units
        self.sources = []
        threading.Thread(target=self.run, daemon=True).start()

    def configure(self, _, media):
        self.sources.append(media.get_element().get_by_name("src"))
        media.connect("unprepared", lambda _: self.sources.clear())

    def run(self):
        number, due = 0, time.monotonic()
        while True:
            due += 1 / FPS
            time.sleep(max(0, due - time.monotonic()))
            unit = self.units[number % len(self.units)]
            nals = [message(number & 0xffffffff)] + unit
            data = b"".join(b"\0\0\0\1" + nal for nal in nals)
            for source in list(self.sources):
                source.emit("push-buffer", Gst.Buffer.new_wrapped(data))
            number += 1


def main():
    Gst.init(None)
    port = sys.argv[2] if len(sys.argv) > 2 else "8654"
    feeder = Feeder(units(sys.argv[1]))
    factory = GstRtspServer.RTSPMediaFactory()
    factory.set_launch(
        "( appsrc name=src is-live=true do-timestamp=true format=time "
        f"caps=video/x-h264,stream-format=byte-stream,alignment=au,framerate={FPS}/1 "
        "! h264parse ! rtph264pay name=pay0 pt=96 config-interval=-1 )"
    )
    factory.set_shared(True)
    factory.set_latency(0)
    factory.connect("media-configure", feeder.configure)
    server = GstRtspServer.RTSPServer()
    server.set_service(port)
    server.get_mount_points().add_factory("/stream", factory)
    server.attach(None)
    print(f"listening rtsp://127.0.0.1:{port}/stream", flush=True)
    GLib.MainLoop().run()


main()
