"""Changes encoders by onvif-zeep and looks at what is played then.

    change_encoder.py HOST PORT USER PASSWORD

Size, rate, coding and key frames of the main stream, and size of the small one, by Media1; FFmpeg says
what comes. What is refused changes nothing. A multicast group is begun and ended. Who subscribes is
told of changes, whoever makes them, and of texts that are made at the same time none is lost.
"""

import json
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import requests

from onvif import ONVIFCamera
from onvif.exceptions import ONVIFError

host, port, user, password = sys.argv[1:5]
cam = ONVIFCamera(host, int(port), user, password)
media = cam.create_media_service()
profiles = {p.VideoEncoderConfiguration.token: p for p in media.GetProfiles()}


def played(token):
    """What FFmpeg finds in the stream of the profile with this encoder."""
    setup = {"Stream": "RTP-Unicast", "Transport": {"Protocol": "RTSP"}}
    uri = media.GetStreamUri({"StreamSetup": setup, "ProfileToken": profiles[token].token}).Uri
    url = uri.replace("://", f"://{user}:{password}@", 1)
    shown = "stream=codec_name,width,height,profile,avg_frame_rate"
    done = subprocess.run(
        ["ffprobe", "-v", "error", "-rtsp_transport", "tcp", "-select_streams", "v",
         "-show_entries", shown, "-of", "json", url],
        check=True, capture_output=True, timeout=250,
    )
    return json.loads(done.stdout)["streams"][0]


def get(token):
    return media.GetVideoEncoderConfiguration({"ConfigurationToken": token})


def set_(configuration):
    media.SetVideoEncoderConfiguration({"Configuration": configuration, "ForcePersistence": True})


def size(stream):
    return stream["width"], stream["height"]


main, small = "cam1-main", "cam1-sub"
before = get(main)
options = media.GetVideoEncoderConfigurationOptions({"ConfigurationToken": main})

wanted = get(main)
wanted.Resolution.Width, wanted.Resolution.Height = 800, 600
wanted.RateControl.FrameRateLimit = 20
wanted.H264.GovLength = 40
wanted.H264.H264Profile = "Main"
set_(wanted)
now = get(main)
assert (now.Resolution.Width, now.Resolution.Height) == (800, 600), now
assert (now.RateControl.FrameRateLimit, now.H264.GovLength) == (20, 40), now
stream = played(main)
assert size(stream) == (800, 600) and stream["profile"] == "Main", stream
print("ok size, rate and profile are those that were set")

wanted = get(main)
wanted.Encoding, wanted.Quality = "JPEG", 60
set_(wanted)
assert get(main).Encoding == "JPEG" and get(main).Quality == 60
stream = played(main)
assert stream["codec_name"] == "mjpeg" and size(stream) == (800, 600), stream
print("ok H.264 becomes JPEG")

wanted = get(small)
wanted.Resolution.Width, wanted.Resolution.Height = 320, 240
set_(wanted)
assert size(played(small)) == (320, 240)
print("ok the small stream is smaller")

wanted = get(main)
wanted.Encoding = "MPEG4"
wanted.Resolution.Width, wanted.Resolution.Height = 640, 480
try:
    set_(wanted)
    sys.exit("MPEG-4 was taken")
except ONVIFError:
    pass
assert size(played(main)) == (800, 600)
print("ok what is refused changes nothing")

set_(before)
stream = played(main)
there = (before.Resolution.Width, before.Resolution.Height)
assert size(stream) == there and stream["codec_name"] == "h264", stream
print("ok it is as it was")

token = profiles[main].token
media.StartMulticastStreaming({"ProfileToken": token})
assert get(main).Multicast.AutoStart is True
media.SetSynchronizationPoint({"ProfileToken": token})
media.StopMulticastStreaming({"ProfileToken": token})
assert get(main).Multicast.AutoStart is False
print("ok a group is begun and ended")

source = cam.create_events_service().CreatePullPointSubscription({})
cam.xaddrs["http://www.onvif.org/ver10/events/wsdl/PullPointSubscription"] = source.SubscriptionReference.Address._value_1
pull = cam.create_pullpoint_service()


def told(wanted):
    """Waits for a message that says this. (The client does not give the topic's text.)"""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        answer = pull.PullMessages({"Timeout": "PT5S", "MessageLimit": 100})
        for message in answer.NotificationMessage:
            items = message.Message._value_1.iter("{http://www.onvif.org/ver10/schema}SimpleItem")
            if {item.get("Name"): item.get("Value") for item in items} == wanted:
                return
    sys.exit(f"nothing is told of {wanted}")


rate = get(small).RateControl.BitrateLimit
url = f"http://{host}:{port}/api/settings/sub-bitrate"
requests.post(url, json={"value": (rate + 100) * 1000}, auth=(user, password), timeout=60).raise_for_status()
told({"Token": small, "Type": "VideoEncoder"})
assert get(small).RateControl.BitrateLimit == rate + 100
print("ok what REST changes is told to subscribers")


def add(number):
    own = ONVIFCamera(host, int(port), user, password).create_media_service()
    place = {"Type": "Custom", "Pos": {"x": 0, "y": number / 10}}
    text = {"Type": "Plain", "PlainText": f"text {number}"}
    view = {"_value_1": "cam1-view"}
    osd = {"token": "", "VideoSourceConfigurationToken": view, "Type": "Text", "Position": place, "TextString": text}
    return own.CreateOSD({"OSD": osd}).OSDToken


with ThreadPoolExecutor(6) as pool:
    made = set(pool.map(add, range(6)))
there = {osd.token: osd.TextString.PlainText for osd in media.GetOSDs({})}
assert made == set(there) and sorted(there.values()) == [f"text {n}" for n in range(6)], (made, there)
with ThreadPoolExecutor(6) as pool:
    list(pool.map(lambda token: media.DeleteOSD({"OSDToken": token}), made))
assert not media.GetOSDs({})
print("ok texts that are made at once are all there")
