"""Raw frames."""

from __future__ import annotations

import importlib
import os
from ctypes import byref, c_uint8, c_void_p, sizeof
from types import TracebackType
from typing import TYPE_CHECKING, Any, Iterator, NamedTuple, Optional, Tuple, Type, Union

import numpy as np

from . import _native
from ._connection import Connection
from ._native import lib

try:
    _OPENCV: Any = importlib.import_module("cv2")
except ImportError:
    _OPENCV = None

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.uint8]

#: lensd's names of V4L2's codes, where they are others.
_NAMES = {"YU12": "I420", "RGB3": "RGB24", "BGR3": "BGR24"}



class Counts(NamedTuple):
    """How a connection has fared."""

    #: Frames that the server has given.
    given: int
    #: Frames that were not got because this program was slow.
    lost: int
    #: Frames that the server took back while they were held.
    revoked: int


class _Handle:
    """A frame of the library. Whatever shows its memory keeps it."""

    def __init__(self, pointer: c_void_p) -> None:
        self.pointer = pointer

    def __del__(self) -> None:
        if self.pointer:
            lib.lensd_frame_release(self.pointer)


class Frame:
    """A picture where the camera has put it. It is lent: release it soon, best by ``with``.

    Arrays of it are read-only and are its memory, not copies. After the release they stay readable,
    but show whatever the camera writes there next: copy what is to be kept.
    """

    def __init__(self, pointer: c_void_p) -> None:
        self._handle = _Handle(pointer)
        info = _native.FrameInfo()
        if lib.lensd_frame_get_info(pointer, byref(info), sizeof(info)) != _native.OK:
            _native.fail(-8)
        self._info = info
        self._released = False
        #: Whether the server took it back before it was released.
        self.revoked: bool = False
        code = int(info.fourcc).to_bytes(4, "little").decode("latin-1")
        #: Layout: ``I420``, ``NV12``, ``NV21``, ``YUYV``, ``UYVY``, ``GREY``, ``RGB24``, ``BGR24``.
        self.format: str = _NAMES.get(code, code)
        #: The camera's frame number, with gaps where it lost some.
        self.number: int = info.number
        #: Which frame of this connection, from 0.
        self.seq: int = info.seq
        #: When it was captured, ``time.monotonic_ns()``.
        self.capture_mono_ns: int = info.capture_mono_ns
        #: The same instant in UTC since 1970, ``time.time_ns()``.
        self.capture_utc_ns: int = info.capture_utc_ns
        #: Bound of the error of that.
        self.capture_error_ns: int = info.capture_error_ns
        #: When the server gave it, ``time.monotonic_ns()``.
        self.given_mono_ns: int = info.given_mono_ns
        #: When the library took it, ``time.monotonic_ns()``.
        self.taken_mono_ns: int = info.taken_mono_ns
        #: Pixels.
        self.width: int = info.width
        #: Pixels.
        self.height: int = info.height
        #: Number of the camera, from 1.
        self.camera: int = info.camera
        #: Matrix of YCbCr by ITU-T H.273: 1 for BT.709, 6 for BT.601, 2 if nobody knows.
        self.matrix: int = info.colour >> 16 & 255
        #: Whether luma goes from 0 to 255 instead of 16 to 235.
        self.full_range: bool = info.colour >> 24 != 0
        #: CRC-32 of :attr:`data`, if the camera has computed it (``zlib.crc32``).
        self.crc: Optional[int] = info.crc if info.has_crc else None

    def __repr__(self) -> str:
        return f"<Frame {self.number} {self.format} {self.width}x{self.height}>"

    def __enter__(self) -> Frame:
        return self

    def __exit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        self.release()

    def release(self) -> bool:
        """Gives it back; whether all that was read of it is of this picture."""
        if not self._released:
            self._released = True
            self.revoked = lib.lensd_frame_return(self._handle.pointer) != _native.OK
        return not self.revoked

    @property
    def valid(self) -> bool:
        """Whether it is still lent: then all that was read so far is of this picture."""
        return not self._released and lib.lensd_frame_check(self._handle.pointer) == _native.OK

    def _memory(self, address: int, length: int) -> memoryview:
        buffer = (c_uint8 * length).from_address(address)
        # The memory lives as long as anything that shows it.
        buffer._handle = self._handle  # type: ignore[attr-defined]
        return memoryview(buffer).cast("B").toreadonly()

    @property
    def data(self) -> memoryview:
        """All bytes, as they lie there."""
        return self._memory(self._info.data, self._info.len)

    @property
    def planes(self) -> Tuple[Array, ...]:
        """Each plane as rows of bytes, without padding."""
        return tuple(self._plane(i) for i in range(self._info.plane_count))

    def _plane(self, index: int) -> Array:
        plane = self._info.planes[index]
        length = (plane.rows - 1) * plane.stride + plane.row
        flat = np.frombuffer(self._memory(plane.data, length), dtype=np.uint8)
        shape, strides = (plane.rows, plane.row), (plane.stride, 1)
        return np.lib.stride_tricks.as_strided(flat, shape, strides, writeable=False)

    @property
    def array(self) -> Array:
        """The picture in the shape that OpenCV has for its layout: ``(height, width, 3)`` of RGB24
        and BGR24, ``(height, width, 2)`` of YUYV and UYVY, ``(height, width)`` of GREY, and
        ``(height * 3 // 2, width)`` of I420, NV12 and NV21, whose planes must then lie end to end.
        """
        plane = self._plane(0)
        if self.format in ("RGB24", "BGR24", "YUYV", "UYVY"):
            deep = 3 if self.format.endswith("24") else 2
            shape = (self.height, self.width, deep)
            strides = (plane.strides[0], deep, 1)
            return np.lib.stride_tricks.as_strided(plane, shape, strides, writeable=False)
        if self.format == "GREY":
            return plane
        if self.format not in ("I420", "NV12", "NV21"):
            raise _native.LensdError(f"{self.format} has no shape of an array: use data")
        end = self._info.planes[0].data
        for part in self._info.planes[: self._info.plane_count]:
            if part.data != end or part.stride != part.row or self.width % 2 or self.height % 2:
                raise _native.LensdError(
                    "the planes of this picture do not lie end to end: use planes, or ask for "
                    "format='I420'"
                )
            end += part.rows * part.stride
        flat = np.frombuffer(self._memory(self._info.data, self._info.len), dtype=np.uint8)
        offset = self._info.planes[0].data - self._info.data
        length = self.width * self.height * 3 // 2
        return flat[offset : offset + length].reshape(self.height * 3 // 2, self.width)

    def bgr(self) -> Array:
        """A copy in BGR, ``(height, width, 3)``, as OpenCV likes it. It is checked: a frame that was
        taken back meanwhile raises :class:`Revoked`."""
        made = _bgr(self)
        if not self.valid:
            raise _native.Revoked("the frame was taken back while it was converted")
        return made


#: OpenCV's conversions, which are quicker.
_CODES = {
    "I420": "COLOR_YUV2BGR_I420",
    "NV12": "COLOR_YUV2BGR_NV12",
    "NV21": "COLOR_YUV2BGR_NV21",
    "YUYV": "COLOR_YUV2BGR_YUYV",
    "UYVY": "COLOR_YUV2BGR_UYVY",
}


def _bgr(frame: Frame) -> Array:
    if frame.format == "BGR24":
        return frame.array.copy()
    if frame.format == "RGB24":
        return frame.array[:, :, ::-1].copy()
    if frame.format == "GREY":
        return np.repeat(frame.array[:, :, None], 3, axis=2)
    # OpenCV knows BT.601 of limited range alone.
    usual = not frame.full_range and frame.matrix != 1
    if _OPENCV is not None and usual and frame.format in _CODES:
        try:
            picture = frame.array
        except _native.LensdError:
            pass  # padded or odd: by hand
        else:
            made: Array = _OPENCV.cvtColor(picture, getattr(_OPENCV, _CODES[frame.format]))
            return made
    luma, u, v = _yuv(frame)
    # In 2^14ths; full range out.
    red, blue = (0.2126, 0.0722) if frame.matrix == 1 else (0.299, 0.114)
    black, scale, chroma = (0, 1.0, 1.0) if frame.full_range else (16, 255 / 219, 255 / 224)
    of_v, of_u = (round(2 * (1 - c) * chroma * 16384) for c in (red, blue))
    green = 1 - red - blue
    y = (luma.astype(np.int32) - black) * round(scale * 16384) + (1 << 13)
    out = np.empty((frame.height, frame.width, 3), np.uint8)
    out[:, :, 0] = np.clip((y + of_u * u) >> 14, 0, 255)
    out[:, :, 1] = np.clip((y - round(of_u * blue / green) * u - round(of_v * red / green) * v) >> 14, 0, 255)
    out[:, :, 2] = np.clip((y + of_v * v) >> 14, 0, 255)
    return out


def _yuv(frame: Frame) -> tuple[Array, NDArray[np.int32], NDArray[np.int32]]:
    planes = frame.planes
    if frame.format == "I420":
        luma, u, v = planes
    elif frame.format in ("NV12", "NV21"):
        luma, first, second = planes[0], planes[1][:, 0::2], planes[1][:, 1::2]
        u, v = (first, second) if frame.format == "NV12" else (second, first)
    elif frame.format in ("YUYV", "UYVY"):
        at = 0 if frame.format == "YUYV" else 1
        row = planes[0]
        luma, u, v = row[:, at::2], row[:, 1 - at :: 4], row[:, 3 - at :: 4]
    else:
        raise _native.LensdError(f"{frame.format} cannot be converted: ask for format='BGR24'")

    def full(chroma: Array) -> NDArray[np.int32]:
        if chroma.shape[0] < frame.height:
            chroma = np.repeat(chroma, 2, axis=0)
        wide = np.repeat(chroma, 2, axis=1)[: frame.height, : frame.width]
        return wide.astype(np.int32) - 128

    return luma[:, : frame.width], full(u), full(v)


class Tap(Connection):
    """A connection that gives frames.

    ``stream``: ``stream1`` (the active camera), ``cam1``, ``cam1/sub`` and so on.
    ``mode``: ``latest`` skips to the newest frame, ``every`` gives all of them as long as no more
    than ``queue`` wait. ``size`` (``"640x360"``) and ``format`` (``I420``, ``NV12``, ``GREY``,
    ``RGB24``, ``BGR24``) let the server scale and convert, once for all clients that want the same;
    ``"camera"`` is the camera's own.
    """

    _kind = "tap"

    def __init__(
        self,
        stream: str = "stream1",
        *,
        socket: Optional[Union[str, "os.PathLike[str]"]] = None,
        token: Optional[str] = None,
        mode: str = "latest",
        size: Optional[str] = None,
        format: Optional[str] = None,
        queue: int = 0,
    ) -> None:
        if mode not in ("latest", "every"):
            raise ValueError("mode must be 'latest' or 'every'")
        super().__init__(
            _native.options(
                stream, socket, token, size=size, format=format, every=mode == "every", queue=queue
            )
        )

    def next(self, timeout: Optional[float] = None) -> Frame:
        """The next frame; ``TimeoutError`` after ``timeout`` seconds without one."""

        def ask(tap: c_void_p, wait: int) -> tuple[int, c_void_p]:
            pointer = c_void_p()
            return lib.lensd_tap_next(tap, wait, byref(pointer)), pointer

        return Frame(self._wait(timeout, "frame", ask))

    def __iter__(self) -> Iterator[Frame]:
        """All frames to come. Each is released when the next is asked for."""
        while self._handle:
            with self.next() as frame:
                yield frame

    @property
    def counts(self) -> Counts:
        """How it has fared."""
        counts = _native.TapCounts()
        with self._lock:
            code = lib.lensd_tap_get_counts(self._open(), byref(counts), sizeof(counts))
        if code != _native.OK:
            _native.fail(code)
        return Counts(counts.given, counts.lost, counts.revoked)
