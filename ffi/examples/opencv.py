"""Edges of each picture, found by OpenCV in the camera's own memory; nothing is copied before that.

python3 opencv.py [STREAM [FRAMES]]
"""

import itertools
import sys

import cv2
import lensd

stream = sys.argv[1] if len(sys.argv) > 1 else "stream1"
frames = int(sys.argv[2]) if len(sys.argv) > 2 else None

with lensd.Tap(stream, format="GREY") as tap:
    for frame in itertools.islice(tap, frames):
        edges = cv2.Canny(frame.array, 50, 150)
        if frame.valid:
            print(f"{frame.number}: {cv2.countNonZero(edges)} pixels of edges", flush=True)
