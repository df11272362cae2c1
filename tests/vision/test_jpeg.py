"""JPEGs are recognised, measured, and completed the way a decoder needs them."""

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from edge_agent.vision import jpeg


def _picture(mode: str = "RGB", size: tuple[int, int] = (96, 64), **options: object) -> bytes:
    noise = np.random.default_rng(1).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)
    memory = io.BytesIO()
    Image.fromarray(noise).convert(mode).save(memory, "JPEG", quality=80, **options)
    return memory.getvalue()


def without_tables(data: bytes) -> bytes:
    """What a webcam sends: the same picture without its Huffman segments."""
    at, kept = 2, [data[:2]]
    while data[at + 1] != 0xDA:
        length = 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        if data[at + 1] != 0xC4:
            kept.append(data[at : at + length])
        at += length
    return b"".join([*kept, data[at:]])


def _pixels(data: bytes) -> bytes:
    return Image.open(io.BytesIO(data)).convert("RGB").tobytes()


@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("progressive", [False, True])
def test_size_is_read_without_decoding(mode: str, progressive: bool) -> None:
    header = jpeg.inspect(_picture(mode, (123, 45), progressive=progressive))
    assert (header.width, header.height, header.has_huffman_tables) == (123, 45, True)


@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_a_frame_without_huffman_tables_becomes_the_same_picture(mode: str) -> None:
    picture = _picture(mode)
    frame = without_tables(picture)
    assert not jpeg.inspect(frame).has_huffman_tables
    completed = jpeg.whole(frame)
    assert jpeg.inspect(completed) == jpeg.Header(96, 64, True)
    assert _pixels(completed) == _pixels(picture)


def test_padding_behind_the_end_is_cut_and_nothing_else_touched() -> None:
    picture = _picture()
    assert jpeg.whole(picture + bytes(700)) == picture
    assert jpeg.whole(picture) is picture
    assert _pixels(jpeg.whole(without_tables(picture) + b"\0" * 9)) == _pixels(picture)


def test_fill_bytes_and_markers_without_a_length_are_skipped() -> None:
    picture = _picture()
    assert jpeg.inspect(picture[:2] + b"\xff\x01\xff\xff" + picture[2:]).width == 96


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "not a JPEG"),
        (b"\x89PNG\r\n", "not a JPEG"),
        (b"\xff\xd8", "cut off"),
        (b"\xff\xd8\xff", "cut off"),
        (b"\xff\xd8\xff\xd9", "without picture data"),
        (b"\xff\xd8\xff\xc0\x00\x04\x08\x00", "broken size"),
        (b"\xff\xd8\xff\xe0\x00\x01", "cut off"),
        (b"\xff\xd8\xff\xda\x00\x02\xff\xd9", "without a size"),
    ],
)
def test_what_is_no_jpeg_is_named(data: bytes, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        jpeg.inspect(data)


def test_every_cut_is_noticed() -> None:
    picture = _picture(size=(16, 16))
    for length in range(len(picture)):
        with pytest.raises(ValueError, match="JPEG"):
            jpeg.whole(picture[:length])


@given(st.binary(max_size=300))
def test_noise_is_refused_and_nothing_else_is_raised(noise: bytes) -> None:
    for data in (noise, b"\xff\xd8" + noise):
        try:
            jpeg.whole(data)
        except ValueError:
            continue
