"""The kernel's structures, byte by byte: sizes and numbers as a C compiler gives them."""

import ctypes
import struct

import pytest

from edge_agent.vision.devices import videodev
from edge_agent.vision.devices.videodev import Layout


def test_request_numbers_on_64_bits_are_the_headers() -> None:
    # As printed by a C program on x86-64 and arm64 (asm-generic numbers).
    layout = Layout(8)
    assert videodev.QUERYCAP == 0x80685600
    assert videodev.ENUM_FMT == 0xC0405602
    assert videodev.REQBUFS == 0xC0145608
    assert videodev.STREAMON == 0x40045612
    assert videodev.STREAMOFF == 0x40045613
    assert videodev.S_PARM == 0xC0CC5616
    assert videodev.ENUM_FRAMESIZES == 0xC02C564A
    assert layout.S_FMT == 0xC0D05605
    assert layout.QUERYBUF == 0xC0585609
    assert layout.QBUF == 0xC058560F
    assert layout.DQBUF == 0xC0585611


def test_request_numbers_on_32_bits_are_the_headers() -> None:
    layout = Layout(4)
    assert layout.S_FMT == 0xC0CC5605
    assert layout.QUERYBUF == 0xC0445609
    assert layout.QBUF == 0xC044560F
    assert layout.DQBUF == 0xC0445611


class _TimeCode(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint32) for name in ("type", "flags")] + [("rest", ctypes.c_uint8 * 8)]


def _buffer_type(word: int) -> type[ctypes.Structure]:
    """The v4l2_buffer of the header by ctypes, which aligns by itself; a C long of `word` bytes."""
    long = ctypes.c_int64 if word == 8 else ctypes.c_int32
    place = ctypes.c_uint64 if word == 8 else ctypes.c_uint32

    class Buffer(ctypes.Structure):
        _fields_ = [
            ("index", ctypes.c_uint32),
            ("type", ctypes.c_uint32),
            ("bytesused", ctypes.c_uint32),
            ("flags", ctypes.c_uint32),
            ("field", ctypes.c_uint32),
            ("seconds", long),
            ("micros", long),
            ("timecode", _TimeCode),
            ("sequence", ctypes.c_uint32),
            ("memory", ctypes.c_uint32),
            ("offset", place),
            ("length", ctypes.c_uint32),
            ("reserved2", ctypes.c_uint32),
            ("request_fd", ctypes.c_int32),
        ]

    return Buffer


@pytest.mark.parametrize("word", [4, 8])
def test_a_buffer_lies_in_memory_as_c_lays_it_out(word: int) -> None:
    layout, buffer = Layout(word), _buffer_type(word)
    asked = buffer.from_buffer_copy(layout.buffer(2))
    assert (asked.index, asked.type, asked.memory) == (2, 1, 1)
    filled = buffer(index=1, bytesused=4711, flags=0x2000, seconds=77, micros=250_000, offset=8192, length=65536)
    assert layout.buffer_frame(bytes(filled)) == (1, 4711, False, 77.25)
    assert layout.buffer_place(bytes(filled)) == (8192, 65536)
    assert len(layout.buffer(0)) == ctypes.sizeof(buffer)


def test_a_frame_with_another_clock_has_no_time_and_a_broken_one_says_so() -> None:
    filled = _buffer_type(8)(flags=0x4040, seconds=77)
    assert Layout(8).buffer_frame(bytes(filled)) == (0, 0, True, None)


@pytest.mark.parametrize(("word", "at"), [(4, 4), (8, 8)])
def test_a_format_lies_in_memory_as_c_lays_it_out(word: int, at: int) -> None:
    layout = Layout(word)
    packed = layout.format(640, 480)
    assert len(packed) == 200 + at
    assert struct.unpack_from("=I", packed) == (1,)
    assert struct.unpack_from("=II4s", packed, at) == (640, 480, b"MJPG")
    assert layout.format_answer(packed) == (640, 480, videodev.MJPG)


def test_capabilities_are_those_of_the_node_where_the_driver_tells() -> None:
    whole = struct.pack("=16s32s32s6I", b"uvcvideo", b"HD Webcam", b"usb-1", 0, 0x84200001, 0x04A00000, 0, 0, 0)
    assert videodev.capability(whole) == ("HD Webcam", 0x04A00000)
    old = struct.pack("=16s32s32s6I", b"uvcvideo", b"HD Webcam", b"usb-1", 0, 0x04000001, 0, 0, 0, 0)
    assert videodev.capability(old) == ("HD Webcam", 0x04000001)


def test_a_range_of_sizes_gives_the_usual_ones_within_it() -> None:
    packed = struct.pack("=9I8x", 0, videodev.MJPG, 3, 160, 1280, 16, 120, 720, 8)
    sizes = videodev.size_answer(packed)
    assert (640, 480) in sizes
    assert sizes[0] == (160, 120)
    assert sizes[-1] == (1280, 720)
    assert (1920, 1080) not in sizes
