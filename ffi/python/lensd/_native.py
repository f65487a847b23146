"""The library's functions, as ``lensd.h`` declares them."""

from __future__ import annotations

import ctypes
import ctypes.util
import os
from ctypes import POINTER, Structure, c_char_p, c_int, c_int64, c_size_t, c_uint32, c_uint64, c_void_p
from pathlib import Path
from typing import Any, NoReturn, Optional

OK, TIMEOUT, REVOKED = 0, 1, 2


class LensdError(Exception):
    """Something that cannot be done; its text says what to do."""


class Unreachable(LensdError):
    """There is no server at the socket."""


class Refused(LensdError):
    """The server refuses: no right, no such stream, too many clients."""


class Closed(LensdError):
    """The server has ended, or has ended this connection: open it again."""


class Full(LensdError):
    """Too many frames are held: release one first."""


class Revoked(LensdError):
    """The server took the frame back while it was read: the result may be of two pictures."""


_ERRORS = {-2: Unreachable, -3: Refused, -4: Closed, -5: Full}


class Options(Structure):
    _fields_ = [
        ("size", c_size_t),
        ("socket", c_char_p),
        ("stream", c_char_p),
        ("token", c_char_p),
        ("frame_size", c_char_p),
        ("format", c_char_p),
        ("mode", c_int),
        ("queue", c_uint32),
    ]


class PlaneInfo(Structure):
    _fields_ = [
        ("data", c_void_p),
        ("stride", c_uint32),
        ("row", c_uint32),
        ("rows", c_uint32),
        ("reserved", c_uint32),
    ]


class FrameInfo(Structure):
    _fields_ = [
        ("number", c_uint64),
        ("seq", c_uint64),
        ("capture_mono_ns", c_uint64),
        ("capture_utc_ns", c_int64),
        ("given_mono_ns", c_uint64),
        ("taken_mono_ns", c_uint64),
        ("data", c_void_p),
        ("len", c_size_t),
        ("capture_error_ns", c_uint32),
        ("fourcc", c_uint32),
        ("width", c_uint32),
        ("height", c_uint32),
        ("crc", c_uint32),
        ("has_crc", c_uint32),
        ("camera", c_uint32),
        ("plane_count", c_uint32),
        ("planes", PlaneInfo * 3),
        ("colour", c_uint32),
        ("reserved", c_uint32),
    ]


class TapCounts(Structure):
    _fields_ = [("given", c_uint64), ("lost", c_uint64), ("revoked", c_uint64)]


class UnitInfo(Structure):
    _fields_ = [
        ("data", c_void_p),
        ("len", c_size_t),
        ("seq", c_uint64),
        ("number", c_uint64),
        ("capture_mono_ns", c_uint64),
        ("capture_utc_ns", c_int64),
        ("encoded_mono_ns", c_uint64),
        ("lost", c_uint64),
        ("capture_error_ns", c_uint32),
        ("codec", c_uint32),
        ("key", c_uint32),
        ("width", c_uint32),
        ("height", c_uint32),
        ("reserved", c_uint32),
    ]


_FUNCTIONS: dict[str, tuple[Any, list[Any]]] = {
    "lensd_version": (c_char_p, []),
    "lensd_error": (c_char_p, []),
    "lensd_tap_open": (c_int, [POINTER(Options), POINTER(c_void_p)]),
    "lensd_tap_next": (c_int, [c_void_p, c_int, POINTER(c_void_p)]),
    "lensd_tap_fd": (c_int, [c_void_p]),
    "lensd_tap_get_counts": (c_int, [c_void_p, POINTER(TapCounts), c_size_t]),
    "lensd_tap_close": (None, [c_void_p]),
    "lensd_frame_get_info": (c_int, [c_void_p, POINTER(FrameInfo), c_size_t]),
    "lensd_frame_check": (c_int, [c_void_p]),
    "lensd_frame_return": (c_int, [c_void_p]),
    "lensd_frame_release": (c_int, [c_void_p]),
    "lensd_units_open": (c_int, [POINTER(Options), POINTER(c_void_p)]),
    "lensd_units_next": (c_int, [c_void_p, c_int, POINTER(UnitInfo), c_size_t]),
    "lensd_units_fd": (c_int, [c_void_p]),
    "lensd_units_close": (None, [c_void_p]),
}


def _find() -> ctypes.CDLL:
    """``LENSD_LIBRARY``, then the system's, then one beside this file."""
    named = os.environ.get("LENSD_LIBRARY")
    if named:
        return ctypes.CDLL(named)
    tried = [ctypes.util.find_library("lensd"), "liblensd.so.0"]
    tried.append(str(Path(__file__).with_name("liblensd.so")))
    for name in filter(None, tried):
        try:
            return ctypes.CDLL(name)
        except OSError:
            continue
    raise ImportError(
        "liblensd is not installed: run ffi/install.sh of lensd, or name the file in LENSD_LIBRARY"
    )


lib = _find()
for _name, (_result, _arguments) in _FUNCTIONS.items():
    _function = getattr(lib, _name)
    _function.restype, _function.argtypes = _result, _arguments


def library_version() -> str:
    """The version of liblensd, such as ``0.1.0``."""
    return str(lib.lensd_version().decode())


def fail(code: int) -> NoReturn:
    """Raises what an error of the library is."""
    raise _ERRORS.get(code, LensdError)(lib.lensd_error().decode(errors="replace"))


def options(
    stream: str,
    socket: Optional[str | os.PathLike[str]],
    token: Optional[str],
    *,
    size: Optional[str] = None,
    format: Optional[str] = None,
    every: bool = False,
    queue: int = 0,
) -> Options:
    """What is wanted; the structure keeps its texts."""

    def text(value: Optional[str]) -> Optional[bytes]:
        return None if value is None else value.encode()

    return Options(
        size=ctypes.sizeof(Options),
        socket=None if socket is None else os.fsencode(socket),
        stream=text(stream),
        token=text(token),
        frame_size=text(size),
        format=text(format),
        mode=1 if every else 0,
        queue=queue,
    )


def milliseconds(seconds: float) -> int:
    """A time-out for the library, not more than it takes."""
    return min(max(int(seconds * 1000 + 0.999), 0), 2**31 - 1)
