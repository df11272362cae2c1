"""The part of Linux's video interface (linux/videodev2.h) that a webcam's JPEGs need, as bytes. Pure.

Each call's structure is packed into a `bytearray` that the kernel changes in place, and read back from it. Two of them
hold pointers and C longs and differ with the machine's word: `Layout(8)` for 64 bits, `Layout(4)` for 32. `NATIVE` is
this machine's. Request numbers carry their structure's size, so a wrong layout is refused by the kernel, not misread.
"""

from __future__ import annotations

import struct

VIDEO_CAPTURE = 1  # V4L2_BUF_TYPE_VIDEO_CAPTURE
_MMAP = 1  # V4L2_MEMORY_MMAP
_FIELD_ANY = 0

CAN_CAPTURE = 0x1  # V4L2_CAP_VIDEO_CAPTURE
CAN_STREAM = 0x0400_0000  # V4L2_CAP_STREAMING
_HAS_DEVICE_CAPS = 0x8000_0000  # device_caps tells of this node, capabilities of the whole device

FRAME_BROKEN = 0x40  # V4L2_BUF_FLAG_ERROR
_TIME_MASK = 0xE000
_TIME_MONOTONIC = 0x2000

_DISCRETE = 1  # V4L2_FRMSIZE_TYPE_DISCRETE


def fourcc(name: str) -> int:
    """Return a pixel format's number, such as that of MJPG."""
    return int(struct.unpack("=I", name.encode("ascii"))[0])


MJPG = fourcc("MJPG")

_CAPABILITY = struct.Struct("=16s32s32s3I12x")
_FORMAT_DESCRIPTION = struct.Struct("=3I32sI16x")
_FRAME_SIZE = struct.Struct("=3I6I8x")
_BUFFER_REQUEST = struct.Struct("=4I4x")
_RATE = struct.Struct("=5I184x")
_WORD = struct.Struct("=i")


def _request(direction: int, number: int, size: int) -> int:
    """Return an ioctl number as <asm-generic/ioctl.h> builds it: 1 writes to the driver, 2 reads, 3 both."""
    return direction << 30 | size << 16 | ord("V") << 8 | number


QUERYCAP = _request(2, 0, _CAPABILITY.size)
ENUM_FMT = _request(3, 2, _FORMAT_DESCRIPTION.size)
REQBUFS = _request(3, 8, _BUFFER_REQUEST.size)
STREAMON = _request(1, 18, _WORD.size)
STREAMOFF = _request(1, 19, _WORD.size)
S_PARM = _request(3, 22, _RATE.size)
ENUM_FRAMESIZES = _request(3, 74, _FRAME_SIZE.size)


def word(value: int) -> bytearray:
    """Return a plain int argument."""
    return bytearray(_WORD.pack(value))


def empty_capability() -> bytearray:
    """Return the argument of QUERYCAP."""
    return bytearray(_CAPABILITY.size)


def capability(answer: bytes | bytearray) -> tuple[str, int]:
    """Return the card's name and what this device node can do."""
    _, card, _, _, whole, node = _CAPABILITY.unpack(answer)
    return card.split(b"\0")[0].decode("utf-8", "replace"), node if whole & _HAS_DEVICE_CAPS else whole


def format_query(index: int) -> bytearray:
    """Return the argument that asks for the format number `index`."""
    return bytearray(_FORMAT_DESCRIPTION.pack(index, VIDEO_CAPTURE, 0, b"", 0))


def format_answer(answer: bytes | bytearray) -> str:
    """Return the four letters of a listed format."""
    *_, pixel_format = _FORMAT_DESCRIPTION.unpack(answer)
    return struct.pack("=I", pixel_format).decode("ascii", "replace").strip()


def size_query(index: int) -> bytearray:
    """Return the argument that asks for the frame size number `index` of MJPG."""
    return bytearray(_FRAME_SIZE.pack(index, MJPG, 0, 0, 0, 0, 0, 0, 0))


def size_answer(answer: bytes | bytearray) -> list[tuple[int, int]]:
    """Return the width and height of a listed frame size; for a range, some usual sizes within it."""
    _, _, kind, *numbers = _FRAME_SIZE.unpack(answer)
    if kind == _DISCRETE:
        return [(numbers[0], numbers[1])]
    low_w, high_w, step_w, low_h, high_h, step_h = numbers
    usual = [(320, 240), (640, 480), (800, 600), (1024, 768), (1280, 720), (1920, 1080)]
    fits = [
        (w, h)
        for w, h in usual
        if low_w <= w <= high_w
        and low_h <= h <= high_h
        and (w - low_w) % max(1, step_w) == 0
        and (h - low_h) % max(1, step_h) == 0
    ]
    return [(low_w, low_h), *fits, (high_w, high_h)]


def buffer_request(count: int) -> bytearray:
    """Return the argument that asks for `count` mapped buffers; 0 frees them."""
    return bytearray(_BUFFER_REQUEST.pack(count, VIDEO_CAPTURE, _MMAP, 0))


def buffer_count(answer: bytes | bytearray) -> int:
    """Return how many buffers the driver made."""
    return int(_BUFFER_REQUEST.unpack(answer)[0])


def frame_rate(frames_per_second: int) -> bytearray:
    """Return the argument that asks for a frame rate."""
    return bytearray(_RATE.pack(VIDEO_CAPTURE, 0, 0, 1, frames_per_second))


class Layout:
    """The structures that depend on the machine's word: `word` is 8 bytes or 4."""

    def __init__(self, word: int) -> None:
        # v4l2_format: a type, then a union of 200 bytes that is aligned like a pointer.
        self._format = struct.Struct("=I4x5I180x" if word == 8 else "=I5I180x")
        # v4l2_buffer: times are two longs, and the last union holds a pointer.
        self._buffer = struct.Struct("=5I4x2q16s2II4x3I4x" if word == 8 else "=5I2i16s2II3I")
        self.S_FMT = _request(3, 5, self._format.size)
        self.QUERYBUF = _request(3, 9, self._buffer.size)
        self.QBUF = _request(3, 15, self._buffer.size)
        self.DQBUF = _request(3, 17, self._buffer.size)

    def format(self, width: int, height: int) -> bytearray:
        """Return the argument that asks for MJPG frames of this size."""
        return bytearray(self._format.pack(VIDEO_CAPTURE, width, height, MJPG, _FIELD_ANY, 0))

    def format_answer(self, answer: bytes | bytearray) -> tuple[int, int, int]:
        """Return width, height and pixel format as the driver set them."""
        _, width, height, pixel_format, _, _ = self._format.unpack(answer)
        return width, height, pixel_format

    def buffer(self, index: int) -> bytearray:
        """Return the argument of QUERYBUF, QBUF and DQBUF."""
        return bytearray(self._buffer.pack(index, VIDEO_CAPTURE, 0, 0, 0, 0, 0, b"", 0, _MMAP, 0, 0, 0, 0))

    def buffer_place(self, answer: bytes | bytearray) -> tuple[int, int]:
        """Return a buffer's offset and length for mmap, bytes."""
        *_, offset, length, _, _ = self._buffer.unpack(answer)
        return offset, length

    def buffer_frame(self, answer: bytes | bytearray) -> tuple[int, int, bool, float | None]:
        """Return a filled buffer's index, its bytes used, whether the frame is broken, and when it was exposed.

        The time is on CLOCK_MONOTONIC, seconds; None where the driver uses another clock.
        """
        index, _, used, flags, _, seconds, micros, *_ = self._buffer.unpack(answer)
        known = flags & _TIME_MASK == _TIME_MONOTONIC
        return index, used, bool(flags & FRAME_BROKEN), seconds + micros / 1e6 if known else None


NATIVE = Layout(struct.calcsize("P"))
