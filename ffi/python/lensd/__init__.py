"""Frames and coded units of a lensd camera server on the same machine, without copying.

    import lensd

    with lensd.Tap() as tap:
        for frame in tap:
            print(frame.number, frame.format, frame.array.mean())

It is pure Python over liblensd, which ``ffi/install.sh`` of lensd installs.
"""

from ._native import (
    Closed,
    Full,
    LensdError,
    Refused,
    Revoked,
    Unreachable,
    library_version,
)
from .tap import Counts, Frame, Tap
from .units import Unit, Units

__all__ = [
    "Closed",
    "Counts",
    "Frame",
    "Full",
    "LensdError",
    "Refused",
    "Revoked",
    "Tap",
    "Unit",
    "Units",
    "Unreachable",
    "library_version",
]
