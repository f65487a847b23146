"""Plays by GStreamer: python gst.py hlsdemux|playbin3 URL COUNT. Ends well after so many pictures, whose
times must go on."""

import sys

import gi

gi.require_version("Gst", "1.0")
from gi.repository import GLib, Gst  # noqa: E402

how, url, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
Gst.init(None)
if how == "playbin3":
    pipeline = Gst.ElementFactory.make("playbin3")
    pipeline.set_property("uri", url)
    sink = Gst.ElementFactory.make("fakesink")
    pipeline.set_property("video-sink", sink)
else:
    chain = "souphttpsrc name=source ! hlsdemux ! qtdemux ! h264parse ! avdec_h264 ! fakesink name=sink"
    pipeline = Gst.parse_launch(chain)
    pipeline.get_by_name("source").set_property("location", url)
    sink = pipeline.get_by_name("sink")
sink.set_property("signal-handoffs", True)
loop, times, fault = GLib.MainLoop(), [], []


def picture(_, buffer, pad):
    times.append(buffer.pts)
    if len(times) == count:
        loop.quit()


def message(_, said):
    if said.type in (Gst.MessageType.ERROR, Gst.MessageType.EOS):
        fault.append(said.parse_error() if said.type == Gst.MessageType.ERROR else "the end")
        loop.quit()


sink.connect("handoff", picture)
pipeline.get_bus().add_signal_watch()
pipeline.get_bus().connect("message", message)
pipeline.set_state(Gst.State.PLAYING)
loop.run()
pipeline.set_state(Gst.State.NULL)
assert not fault, fault
assert times == sorted(times), times
print(len(times))
