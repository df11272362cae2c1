"""WAV files: read any common kind into float arrays, write plain PCM, change the sample rate.

    samples, rate = read_wav(path)           # float32 (frames, channels), full scale is -1.0 to 1.0
    write_wav(path, samples, rate)           # 16 bit PCM; bits=32 for 32

Reading accepts PCM of 8, 16, 24 and 32 bits and IEEE float of 32 bits, with the plain or the EXTENSIBLE header, any
chunks before and between, and data that stops early: a file whose writer was cut off, or is still writing, gives the
sound that is there. A size of 0 or of 0xFFFFFFFF in the header means "up to the end of the file", as streaming writers
leave it. What is not such a file is refused with `ValueError`, one sentence that names what was found and what is
allowed.

`resample` is a windowed-sinc polyphase filter for whole signals, not for streams. It keeps 0 to 91 % of the lower
Nyquist frequency within 0.01 dB and holds images and aliases below -80 dB from the Nyquist frequency on.

Format facts: Microsoft Multimedia Programming Interface 1.0 (RIFF WAVE) and the WAVEFORMATEXTENSIBLE page.
"""

from __future__ import annotations

import math
import os
import struct
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

ALLOWED = "PCM of 8, 16, 24 or 32 bits or float of 32 bits"
HEADER_BYTES = 44  # RIFF + fmt + data headers of plain PCM

_PCM, _FLOAT, _EXTENSIBLE = 0x0001, 0x0003, 0xFFFE
_GUID_TAIL = bytes.fromhex("000000001000800000aa00389b71")  # the rest of KSDATAFORMAT_SUBTYPE_PCM and _IEEE_FLOAT
_CODECS = {
    0x0002: "MS ADPCM",
    0x0006: "A-law",
    0x0007: "mu-law",
    0x0011: "IMA ADPCM",
    0x0031: "GSM 6.10",
    0x0055: "MP3",
}
_UNKNOWN_SIZE = 0xFFFFFFFF
_GRID = 1024  # kernel points between zero crossings: drawn straight between them it errs by 1.2e-6, -118 dB
_RATES_HZ = (1_000, 768_000)  # outside of it the header is damaged, not exotic


def read_wav(path: str | os.PathLike[str]) -> tuple[NDArray[np.float32], int]:
    """Read a WAV file.

    Returns:
        Samples, float32 of shape (frames, channels), full scale -1.0 to 1.0, and the sample rate in Hz.

    Raises:
        ValueError: not a WAV file, a damaged header, or a coding other than `ALLOWED`.
        OSError: the file cannot be read.
    """
    raw = Path(path).read_bytes()
    name = os.fspath(path)
    if raw[:4] not in {b"RIFF", b"RF64"} or raw[8:12] != b"WAVE":
        raise ValueError(f"{name} is not a WAV file; allowed is {ALLOWED}")
    form: tuple[int, int, int, int] | None = None
    at = 12
    while at + 8 <= len(raw):
        kind, size = raw[at : at + 4], struct.unpack_from("<I", raw, at + 4)[0]
        start = at + 8
        if kind == b"fmt ":
            form = _form(raw[start : start + size], name)
        elif kind == b"data":
            if form is None:
                raise ValueError(f"{name} is a damaged WAV file: its data comes before its format")
            end = len(raw) if size in {0, _UNKNOWN_SIZE} else min(start + size, len(raw))
            return _decode(raw, start, end, form), form[1]
        at = start + size + (size & 1)
    what = "it has no format" if form is None else "it has no data"
    raise ValueError(f"{name} is a damaged WAV file: {what}")


def write_wav(
    path: str | os.PathLike[str],
    samples: NDArray[np.float32] | NDArray[np.float64] | NDArray[np.int16] | NDArray[np.int32],
    rate: int,
    *,
    bits: int = 16,
) -> None:
    """Write plain PCM of 16 or 32 bits, little-endian.

    Args:
        path: written over when it exists.
        samples: (frames,) or (frames, channels); float of full scale -1.0 to 1.0 (louder is clipped), int16, or int32
            left-justified.
        rate: Hz.
        bits: 16 or 32.

    Raises:
        ValueError: another dtype or another number of bits.
        OSError: the file cannot be written.
    """
    left = to_s32(samples)
    if left.ndim == 1:
        left = left[:, None]
    body = encode(left, bits)
    with Path(path).open("wb") as file:
        file.write(header(len(left), rate=rate, channels=left.shape[1], bits=bits))
        file.write(body)


def header(frames: int, *, rate: int, channels: int, bits: int) -> bytes:
    """Return the 44 bytes in front of plain PCM; sizes past 4 GiB become 0xFFFFFFFF, "up to the end of the file"."""
    frame_bytes = channels * bits // 8
    size = min(frames * frame_bytes, _UNKNOWN_SIZE)
    riff = min(size + HEADER_BYTES - 8, _UNKNOWN_SIZE)
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, _PCM, channels, rate, rate * frame_bytes, frame_bytes, bits)
    return struct.pack("<4sI4s", b"RIFF", riff, b"WAVE") + form + struct.pack("<4sI", b"data", size)


def encode(left: NDArray[np.int32], bits: int) -> bytes:
    """Return int32 left-justified samples as little-endian PCM of `bits` (16, rounded, or 32)."""
    if bits == 32:
        return left.astype("<i4", copy=False).tobytes()
    if bits != 16:
        raise ValueError(f"{bits} bits cannot be written; allowed are 16 and 32")
    rounded = np.minimum(left, 0x7FFF_7FFF) + np.int32(0x8000)  # half up; the minimum keeps full scale from wrapping
    return (rounded >> 16).astype("<i2").tobytes()


def to_s32(samples: NDArray[Any]) -> NDArray[np.int32]:
    """Return float (full scale -1.0 to 1.0, clipped), int16 or int32 samples as int32 left-justified, same shape."""
    if samples.dtype == np.int32:
        return samples
    if samples.dtype == np.int16:
        return samples.astype(np.int32) << 16
    if samples.dtype.kind != "f":
        raise ValueError(f"samples of type {samples.dtype} cannot be written; allowed are float, int16 and int32")
    scaled = np.rint(samples.astype(np.float64) * 2.0**31)
    return np.clip(scaled, -(2.0**31), 2.0**31 - 1).astype(np.int32)


def resample(samples: NDArray[np.float32], rate: int, to_rate: int) -> NDArray[np.float32]:
    """Return the signal at another rate, not delayed: sample 0 stays at time 0.

    Each output sample is the sinc interpolation of the input around its time, cut by a Kaiser window of 64 zero
    crossings to each side, beta 8.6 (A. V. Oppenheim, R. W. Schafer, Discrete-Time Signal Processing, section 7.5).

    Args:
        samples: (frames,) or (frames, channels).
        rate: Hz of `samples`.
        to_rate: Hz of the result.

    Returns:
        float32 of ceil(frames * to_rate / rate) frames.
    """
    if rate == to_rate:
        return samples.astype(np.float32, copy=False)
    if samples.ndim == 2:
        return np.stack([resample(channel, rate, to_rate) for channel in samples.T], axis=1)
    common = math.gcd(rate, to_rate)
    up, down = to_rate // common, rate // common
    cut = min(1.0, up / down)  # the lower of the two Nyquist frequencies, in units of the input's
    reach = math.ceil(64 / cut)
    grid = np.arange(reach * _GRID + 2) / _GRID
    window = np.i0(8.6 * np.sqrt(np.clip(1.0 - (grid / reach) ** 2, 0.0, 1.0)))
    kernel = np.where(grid < reach, np.sinc(grid * cut * 0.955) * window, 0.0)
    offsets = np.arange(-reach + 1, reach + 1)
    padded = np.concatenate([np.zeros(reach - 1), samples, np.zeros(reach + 1)]).astype(np.float32)
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * reach)
    frames = -(-len(samples) * up // down)
    result = np.empty(frames, dtype=np.float32)
    for phase in range(min(up, frames)):
        whole, part = divmod(phase * down, up)
        taps = np.interp(np.abs(offsets - part / up), grid, kernel)
        taps /= taps.sum()
        count = len(range(phase, frames, up))
        rows = np.ascontiguousarray(windows[whole::down][:count])
        result[phase::up] = rows @ taps.astype(np.float32)
    return result


def _form(body: bytes, name: str) -> tuple[int, int, int, int]:
    """Return (codec, rate, channels, bits) of a format chunk."""
    if len(body) < 16:
        raise ValueError(f"{name} is a damaged WAV file: its format is cut short")
    codec, channels, rate, _, align, bits = struct.unpack_from("<HHIIHH", body)
    if codec == _EXTENSIBLE and len(body) >= 40 and body[26:40] == _GUID_TAIL:
        codec = struct.unpack_from("<H", body, 24)[0]
    if (codec, bits) not in {(_PCM, 8), (_PCM, 16), (_PCM, 24), (_PCM, 32), (_FLOAT, 32)}:
        coding = {_PCM: "PCM", _FLOAT: "float"}.get(codec) or _CODECS.get(codec, f"coding 0x{codec:04x}")
        raise ValueError(f"{name} holds {coding} of {bits} bits; allowed is {ALLOWED}")
    if not 0 < channels <= 64 or align != channels * bits // 8 or not _RATES_HZ[0] <= rate <= _RATES_HZ[1]:
        raise ValueError(
            f"{name} is a damaged WAV file: {channels} channels of {bits} bits in {align} bytes at {rate} Hz"
        )
    return codec, rate, channels, bits


def _decode(raw: bytes, start: int, end: int, form: tuple[int, int, int, int]) -> NDArray[np.float32]:
    codec, _, channels, bits = form
    count = (end - start) // (channels * bits // 8) * channels
    if codec == _FLOAT:
        flat = np.frombuffer(raw, "<f4", count, start).astype(np.float32)
        flat = np.nan_to_num(flat, copy=False, nan=0.0, posinf=1.0, neginf=-1.0)
    elif bits == 8:
        flat = (np.frombuffer(raw, np.uint8, count, start).astype(np.float32) - np.float32(128)) / np.float32(128)
    elif bits == 16:
        flat = np.frombuffer(raw, "<i2", count, start).astype(np.float32) / np.float32(2**15)
    elif bits == 24:
        wide = np.zeros((count, 4), dtype=np.uint8)
        wide[:, 1:] = np.frombuffer(raw, np.uint8, count * 3, start).reshape(-1, 3)
        flat = wide.view("<i4")[:, 0].astype(np.float32) / np.float32(2**31)
    else:
        flat = np.frombuffer(raw, "<i4", count, start).astype(np.float32) / np.float32(2**31)
    return flat.reshape(-1, channels)
