"""Coded units."""

from __future__ import annotations

import ctypes
import os
import threading
import time
from ctypes import byref, c_void_p, sizeof
from types import TracebackType
from typing import Iterator, NamedTuple, Optional, Type, Union

from . import _native
from ._native import lib

_CODECS = {1: "h264", 2: "h265", 3: "jpeg"}
_SLICE = 0.2


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


class Units:
    """A connection that gives coded units, beginning with a key frame."""

    def __init__(
        self,
        stream: str = "stream1",
        *,
        socket: Optional[Union[str, "os.PathLike[str]"]] = None,
        token: Optional[str] = None,
    ) -> None:
        self._units = c_void_p()
        wanted = _native.options(stream, socket, token)
        self._lock = threading.Lock()
        self._closing = False
        code = lib.lensd_units_open(byref(wanted), byref(self._units))
        if code != _native.OK:
            _native.fail(code)

    def __enter__(self) -> Units:
        return self

    def __exit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()

    def close(self) -> None:
        """Disconnects."""
        lock = getattr(self, "_lock", None)
        if lock is None:
            return  # never opened
        # Another thread may be within the library: it comes out at least every _SLICE seconds.
        self._closing = True
        with lock:
            units, self._units = self._units, c_void_p()
            if units:
                lib.lensd_units_close(units)

    def _open(self) -> c_void_p:
        if self._closing or not self._units:
            raise _native.Closed("this connection is closed")
        return self._units

    def fileno(self) -> int:
        """For select and event loops: readable when there may be a unit."""
        return int(lib.lensd_units_fd(self._open()))

    def next(self, timeout: Optional[float] = None) -> Unit:
        """The next unit; ``TimeoutError`` after ``timeout`` seconds without one."""
        until = None if timeout is None else time.monotonic() + timeout
        info = _native.UnitInfo()
        while True:
            left = _SLICE if until is None else min(until - time.monotonic(), _SLICE)
            wait = _native.milliseconds(left)
            with self._lock:
                code = lib.lensd_units_next(self._open(), wait, byref(info), sizeof(info))
                if code == _native.OK:
                    # Before another call, which ends it.
                    data = ctypes.string_at(info.data, info.len)
                    break
            if code != _native.TIMEOUT:
                _native.fail(code)
            if until is not None and time.monotonic() >= until:
                raise TimeoutError("no unit in time")
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
        while self._units:
            yield self.next()
