"""Coded units."""

from __future__ import annotations

import ctypes
import os
from ctypes import byref, c_void_p, sizeof
from typing import Iterator, NamedTuple, Optional, Union

from . import _native
from ._connection import Connection
from ._native import lib

_CODECS = {1: "h264", 2: "h265", 3: "jpeg"}


class Unit(NamedTuple):
    """An access unit of H.264 or H.265 with start codes, or a JPEG."""

    #: Its bytes, copied out of the ring.
    data: bytes
    #: ``h264``, ``h265`` or ``jpeg``.
    codec: str
    #: Whether decoding can begin here.
    key: bool
    #: Its number in the stream.
    seq: int
    #: The camera's frame number.
    number: int
    #: When it was captured, ``time.monotonic_ns()``.
    capture_mono_ns: int
    #: The same instant in UTC since 1970, ``time.time_ns()``.
    capture_utc_ns: int
    #: Bound of the error of that.
    capture_error_ns: int
    #: When encoding was done, ``time.monotonic_ns()``.
    encoded_mono_ns: int
    #: Units that were lost before this one.
    lost: int
    #: Pixels; 0: unknown.
    width: int
    #: Pixels; 0: unknown.
    height: int


class Units(Connection):
    """A connection that gives coded units, beginning with a key frame."""

    _kind = "units"

    def __init__(
        self,
        stream: str = "stream1",
        *,
        socket: Optional[Union[str, "os.PathLike[str]"]] = None,
        token: Optional[str] = None,
    ) -> None:
        super().__init__(_native.options(stream, socket, token))

    def next(self, timeout: Optional[float] = None) -> Unit:
        """The next unit; ``TimeoutError`` after ``timeout`` seconds without one."""
        info = _native.UnitInfo()

        def ask(units: c_void_p, wait: int) -> tuple[int, bytes]:
            code = lib.lensd_units_next(units, wait, byref(info), sizeof(info))
            # Before another call, which ends it.
            return code, ctypes.string_at(info.data, info.len) if code == _native.OK else b""

        data = self._wait(timeout, "unit", ask)
        return Unit(
            data=data,
            codec=_CODECS.get(info.codec, "unknown"),
            key=bool(info.key),
            seq=info.seq,
            number=info.number,
            capture_mono_ns=info.capture_mono_ns,
            capture_utc_ns=info.capture_utc_ns,
            capture_error_ns=info.capture_error_ns,
            encoded_mono_ns=info.encoded_mono_ns,
            lost=info.lost,
            width=info.width,
            height=info.height,
        )

    def __iter__(self) -> Iterator[Unit]:
        """All units to come."""
        while self._handle:
            yield self.next()
