"""JPEG as bytes: size, wholeness, and the Huffman tables that webcams leave out. Pure; no decoder.

    info = inspect(data)        # Header(width=640, height=480, has_huffman_tables=False)
    still = whole(frame)        # a webcam's MJPEG frame made into a JPEG that every decoder takes

USB webcams send each picture as a JPEG of their own, often without Huffman tables (they are understood to be the
usual ones, as in AVI files) and with padding behind the end. `whole` cuts the padding, puts in the tables of ITU-T
T.81 annex K.3, and changes nothing else. Refused with `ValueError` and a short reason: no JPEG, cut off, no size, no
picture data.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

_SOI, _EOI, _SOS, _DHT = 0xD8, 0xD9, 0xDA, 0xC4
_SOF = {0xC0 + n for n in range(16)} - {0xC4, 0xC8, 0xCC}  # T.81 table B.1: all start-of-frame markers
_BARE = {0x01, *range(0xD0, 0xD8)}  # markers without a length: TEM and the restarts

_DC_VALUES = bytes(range(12))
_AC_LUMINANCE = bytes.fromhex(
    "0102030004110512213141061351610722711432"
    "8191a1082342b1c11552d1f02433627282090a16"
    "1718191a25262728292a3435363738393a434445"
    "464748494a535455565758595a63646566676869"
    "6a737475767778797a838485868788898a929394"
    "95969798999aa2a3a4a5a6a7a8a9aab2b3b4b5b6"
    "b7b8b9bac2c3c4c5c6c7c8c9cad2d3d4d5d6d7d8"
    "d9dae1e2e3e4e5e6e7e8e9eaf1f2f3f4f5f6f7f8"
    "f9fa"
)
_AC_CHROMINANCE = bytes.fromhex(
    "0001020311040521310612415107617113223281"
    "08144291a1b1c109233352f0156272d10a162434"
    "e125f11718191a262728292a35363738393a4344"
    "45464748494a535455565758595a636465666768"
    "696a737475767778797a82838485868788898a92"
    "939495969798999aa2a3a4a5a6a7a8a9aab2b3b4"
    "b5b6b7b8b9bac2c3c4c5c6c7c8c9cad2d3d4d5d6"
    "d7d8d9dae2e3e4e5e6e7e8e9eaf2f3f4f5f6f7f8"
    "f9fa"
)
# Class and destination, then how many codes there are of each length 1 to 16, then the values: T.81 tables K.3 to K.6.
_TABLES = (
    (0x00, "00010501010101010100000000000000", _DC_VALUES),
    (0x10, "0002010303020403050504040000017d", _AC_LUMINANCE),
    (0x01, "00030101010101010101010000000000", _DC_VALUES),
    (0x11, "00020102040403040705040400010277", _AC_CHROMINANCE),
)


@dataclass(frozen=True, slots=True)
class Header:
    """What stands before the picture data: width and height in pixels, and whether Huffman tables are there."""

    width: int
    height: int
    has_huffman_tables: bool


def inspect(data: bytes) -> Header:
    """Read a JPEG's header and check that its end is there; ValueError says what is missing."""
    return _walk(data)[0]


def whole(frame: bytes) -> bytes:
    """Return a webcam's frame as a complete JPEG: nothing behind its end, Huffman tables there; ValueError as above."""
    header, scan, end = _walk(frame)
    if header.has_huffman_tables:
        return frame if end == len(frame) else frame[:end]
    return frame[:scan] + _huffman_segment() + frame[scan:end]


def _walk(data: bytes) -> tuple[Header, int, int]:
    """Return the header, the offset of the first scan's marker and the offset behind the end marker."""
    size, tables, scan = (0, 0), False, 0
    for marker, at, length in _segments(data):
        if marker in _SOF:
            if length < 8:
                raise ValueError("a JPEG with a broken size")
            height, width = struct.unpack_from(">HH", data, at + 5)
            size = (width, height)
        tables = tables or marker == _DHT
        scan = at
    if not all(size):
        raise ValueError("a JPEG without a size")
    # Inside picture data FF is always followed by 00 or a restart, so the last FF D9 is the end.
    end = data.rfind(bytes((0xFF, _EOI)), scan)
    if end < 0:
        raise ValueError("a JPEG that is cut off: its end (FF D9) is missing")
    return Header(size[0], size[1], tables), scan, end + 2


def _segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield marker, offset and length of each header segment, the first scan's being the last."""
    if data[:2] != bytes((0xFF, _SOI)):
        raise ValueError("not a JPEG: it does not begin with FF D8")
    at, marker = 2, _SOI
    while marker != _SOS:
        at, marker = _marker(data, at)
        if marker == _EOI:
            raise ValueError("a JPEG without picture data")
        if marker in _BARE:
            at += 2
            continue
        length = struct.unpack_from(">H", data, at + 2)[0] if at + 4 <= len(data) else 0
        if length < 2 or at + 2 + length > len(data):
            raise ValueError("a JPEG that is cut off in its header")
        yield marker, at, length
        at += 2 + length


def _marker(data: bytes, at: int) -> tuple[int, int]:
    """Return the offset of the marker at `at`, fill bytes skipped, and its code."""
    if at >= len(data) or data[at] != 0xFF:
        raise ValueError("a JPEG that is cut off or broken in its header")
    while at + 1 < len(data) and data[at + 1] == 0xFF:
        at += 1
    if at + 1 >= len(data):
        raise ValueError("a JPEG that is cut off in its header")
    return at, data[at + 1]


def _huffman_segment() -> bytes:
    body = b"".join(bytes([where]) + bytes.fromhex(counts) + values for where, counts, values in _TABLES)
    return bytes((0xFF, _DHT)) + struct.pack(">H", 2 + len(body)) + body
