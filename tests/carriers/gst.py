"""Lets GStreamer receive a stream and tell when it believes each packet was captured.

    gst.py RTSP-URL PACKETS

One line of JSON for each first packet of a frame of the test camera:
  {"frame": NUMBER, "utc": NS by the SEI, "reference": NS of UTC by the reference time stamp}
`reference` is missing as long as rtpjitterbuffer knows of no time.
"""

import json
import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstApp", "1.0")
from gi.repository import Gst, GstApp  # noqa: E402, F401

UUID = b"lensd-capture-01"
NTP_TO_UNIX = 2_208_988_800 * 1_000_000_000

Gst.init(None)
url, wanted = sys.argv[1], int(sys.argv[2])
pipeline = Gst.parse_launch(
    f'rtspsrc location="{url}" protocols=tcp latency=0 add-reference-timestamp-meta=true '
    "! appsink name=sink sync=false max-buffers=10000"
)
sink = pipeline.get_by_name("sink")
pipeline.set_state(Gst.State.PLAYING)
ntp = Gst.Caps.from_string("timestamp/x-ntp")
while wanted:
    sample = sink.emit("try-pull-sample", 60 * Gst.SECOND)
    if sample is None:
        message = pipeline.get_bus().pop_filtered(Gst.MessageType.ERROR)
        sys.exit(f"no packet: {message and message.parse_error()}")
    buffer = sample.get_buffer()
    packet = buffer.extract_dup(0, buffer.get_size())
    sei = packet.find(UUID)
    if sei < 0:
        continue
    digits = packet[sei + 16:sei + 16 + 48].decode()
    line = {"frame": int(digits[32:40], 16), "utc": int(digits[16:32], 16)}
    meta = buffer.get_reference_timestamp_meta(ntp)
    if meta:
        line["reference"] = meta.timestamp - NTP_TO_UNIX
        wanted -= 1
    print(json.dumps(line), flush=True)
pipeline.set_state(Gst.State.NULL)
