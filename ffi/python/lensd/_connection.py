"""What connections for frames and for units have in common."""

from __future__ import annotations

import threading
import time
from ctypes import byref, c_void_p
from types import TracebackType
from typing import Any, Callable, Optional, Type, TypeVar

from . import _native
from ._native import lib

#: Seconds that one call of the library lasts at most, so that Python sees signals and the end.
_SLICE = 0.2

Self = TypeVar("Self", bound="Connection")


class Connection:
    """A handle of the library that one thread may close while another is within the library."""

    #: ``lensd_KIND_open`` and its like.
    _kind: str

    def __init__(self, wanted: _native.Options) -> None:
        self._handle = c_void_p()
        self._closing = False
        self._lock = threading.Lock()
        code = getattr(lib, f"lensd_{self._kind}_open")(byref(wanted), byref(self._handle))
        if code != _native.OK:
            _native.fail(code)

    def __enter__(self: Self) -> Self:
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
        """Disconnects. Arrays of frames stay readable."""
        lock = getattr(self, "_lock", None)
        if lock is None:
            return  # never opened
        # Another thread may be within the library: it comes out at least every _SLICE seconds.
        self._closing = True
        with lock:
            handle, self._handle = self._handle, c_void_p()
            if handle:
                getattr(lib, f"lensd_{self._kind}_close")(handle)

    def _open(self) -> c_void_p:
        if self._closing or not self._handle:
            raise _native.Closed("this connection is closed")
        return self._handle

    def fileno(self) -> int:
        """For select and event loops: readable when there may be something."""
        with self._lock:
            return int(getattr(lib, f"lensd_{self._kind}_fd")(self._open()))

    def _wait(
        self, timeout: Optional[float], what: str, ask: Callable[[c_void_p, int], tuple[int, Any]]
    ) -> Any:
        """What ``ask`` has found, which gets the handle and milliseconds and is called under the
        lock; ``TimeoutError`` after ``timeout`` seconds without."""
        until = None if timeout is None else time.monotonic() + timeout
        while True:
            left = _SLICE if until is None else min(until - time.monotonic(), _SLICE)
            with self._lock:
                code, found = ask(self._open(), _native.milliseconds(left))
            if code == _native.OK:
                return found
            if code != _native.TIMEOUT:
                _native.fail(code)
            if until is not None and time.monotonic() >= until:
                raise TimeoutError(f"no {what} in time")
