"""What a program in Python relies on; the last line says that all of it holds."""

import gc
import select
import zlib

import cv2
import lensd
import numpy as np

# Every frame is whole, in order, and what it says it is.
with lensd.Tap(mode="every") as tap:
    last = None
    whole = 0
    for frame in tap:
        crc = zlib.crc32(frame.data)
        if frame.valid:
            assert crc == frame.crc, frame
            whole += 1
        assert last is None or frame.number > last.number and frame.capture_mono_ns > last.capture_mono_ns
        last = frame
        if whole == 100:
            break
    assert tap.counts.given >= 100 and tap.counts.revoked == 0, tap.counts

    # Arrays are the camera's memory, read-only.
    select.select([tap], [], [], 60)
    with tap.next(60) as frame:
        luma, u, v = frame.planes
        assert luma.shape == (180, 320) and u.shape == v.shape == (90, 160)
        assert not luma.flags.writeable and not luma.flags.owndata
        assert luma.__array_interface__["data"][0] == np.frombuffer(frame.data, np.uint8).ctypes.data
        picture = frame.array
        assert picture.shape == (270, 320) and np.shares_memory(picture, luma)
        bgr = frame.bgr()
        by_opencv = cv2.cvtColor(picture, cv2.COLOR_YUV2BGR_I420)
        assert frame.valid
        lensd.tap._OPENCV = None
        by_hand = frame.bgr()
        assert np.abs(by_hand.astype(int) - by_opencv).max() <= 2
        assert np.array_equal(bgr, by_opencv)
        try:
            luma[0, 0] = 1
            raise AssertionError("an array of a frame is writeable")
        except ValueError:
            pass
    # They stay readable, whatever is in them.
    assert not frame.valid
    del frame
    gc.collect()
    assert luma.mean() > 0
assert luma.mean() > 0

# Layouts and sizes that the server makes.
shapes = {"I420": (135, 160), "NV12": (135, 160), "GREY": (90, 160), "RGB24": (90, 160, 3), "BGR24": (90, 160, 3)}
for layout, shape in shapes.items():
    wanted = dict(mode="every", size="160x90")
    with lensd.Tap(format=layout, **wanted) as tap, lensd.Tap(format="I420", **wanted) as other:
        frame, same = tap.next(60), other.next(60)
        while frame.number != same.number:
            if frame.number < same.number:
                frame = tap.next(60)
            else:
                same = other.next(60)
        assert (frame.format, frame.width, frame.height) == (layout, 160, 90), frame
        assert frame.array.shape == shape, frame.array.shape
        if layout == "GREY":
            assert np.array_equal(frame.array, same.planes[0])
        else:
            assert np.abs(frame.bgr().astype(int) - same.bgr()).max() <= 3, layout
        assert frame.valid and same.valid

# Units.
with lensd.Units() as units:
    got = [unit for unit, _ in zip(units, range(10))]
assert got[0].key and got[0].codec == "h264" and got[0].data.startswith(b"\0\0\0\1"), got[0]
assert [u.seq for u in got] == list(range(got[0].seq, got[0].seq + 10))

# What cannot be done says why.
for wrong, kind, words in [
    (dict(stream="nix"), lensd.Refused, "there is no stream"),
    (dict(size="1x1"), lensd.Refused, "even sides"),
    (dict(socket="/nowhere"), lensd.Unreachable, "is it running"),
]:
    try:
        lensd.Tap(**wrong)
        raise AssertionError(wrong)
    except kind as error:
        assert words in str(error), error
with lensd.Tap() as tap:
    held = [tap.next(60) for _ in range(3)]
    assert held[0].number < held[1].number < held[2].number
print("all is well")
