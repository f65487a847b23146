"""Prints each frame's number, capture time, latency and mean brightness.

python3 tap.py [STREAM [FRAMES]]
"""

import itertools
import sys
import time

import lensd

stream = sys.argv[1] if len(sys.argv) > 1 else "stream1"
frames = int(sys.argv[2]) if len(sys.argv) > 2 else None

with lensd.Tap(stream) as tap:
    for frame in itertools.islice(tap, frames):
        latency = (time.monotonic_ns() - frame.capture_mono_ns) / 1000
        mean = frame.planes[0].mean()
        if frame.valid:  # else what was read may be of two pictures
            print(f"{frame.number} {frame.format} {frame.width}x{frame.height} captured "
                  f"{frame.capture_utc_ns} latency {latency:.0f} us mean {mean:.1f}", flush=True)
    print(tap.counts, file=sys.stderr)
