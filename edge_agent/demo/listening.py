"""Measuring recordings: is this sound in that one, when does something sound, when did a known sound stop. Pure.

Sound is float32 (n,), full scale -1 to 1; times are seconds from the first sample.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_agent.audio.wavfile import resample

Samples = NDArray[np.float32]

SLICE_S = 0.01  # resolution of levels
WINDOW_S = 0.03  # long enough that a tone is not taken for speech, short beside what a person notices
HOP_S = 0.005
PRESENT = 0.3  # share of the known sound's own loudness that counts as its being there
PIECE_S = 0.2  # a syllable or two: long enough to be unlike any other
PROBED_S = 2.0  # of the known sound, to find where it began
SLACK_S = 0.12  # that a loudspeaker may have fallen silent within a piece
SAME_S = 0.001  # a piece this near to where the one before it leads was found in its place
SURE = 0.93  # likeness from which it may lie elsewhere, after a gap
ALIKE = 0.8  # likeness from which a piece is that piece; the same voice saying other words reaches 0.65


def from_s16(pcm: bytes) -> Samples:
    """Return s16le mono as samples."""
    return np.frombuffer(pcm[: len(pcm) // 2 * 2], "<i2").astype(np.float32) / np.float32(32768)


def levels(sound: Samples, rate: int, slice_s: float = SLICE_S) -> NDArray[np.float64]:
    """Return the RMS level of each slice, dBFS, -120 for silence; shape (len / slice,)."""
    width = max(1, round(slice_s * rate))
    count = len(sound) // width
    power = np.mean(sound[: count * width].reshape(count, width).astype(np.float64) ** 2, axis=1)
    return np.asarray(10 * np.log10(np.maximum(power, 1e-12)), dtype=np.float64)


def first_above(sound: Samples, rate: int, dbfs: float, start: float, end: float) -> float | None:
    """Return when `sound` first exceeds a level between two times; None when it does not."""
    first = max(0, round(start * rate))
    loud = np.flatnonzero(levels(sound[first : max(first, round(end * rate))], rate) > dbfs)
    return None if not len(loud) else first / rate + float(loud[0]) * SLICE_S


def likeness(original: Samples, received: Samples) -> float:
    """Return how much of `received` is `original`: the peak of their normalised correlation, 0 to 1, any delay."""
    if not len(original) or len(received) < len(original) // 2:
        return 0.0
    values, energy = _correlate(received, original)
    own = float(np.sum(original.astype(np.float64) ** 2))
    normalised = np.abs(values) / np.sqrt(np.maximum(energy * own, 1e-12 + 1e-4 * own * own))
    return float(min(1.0, normalised.max()))


def place(original: Samples, received: Samples) -> int | None:
    """Return where sample 0 of `received` lies in `original`, in samples, negative before it; None where unlike."""
    if not len(original) or not len(received):
        return None
    padded = np.concatenate([np.zeros(len(received), np.float32), original, np.zeros(len(received), np.float32)])
    values, _ = _correlate(padded, received)
    at = int(np.argmax(values))
    whole = np.sqrt(float(np.sum(original.astype(np.float64) ** 2)) * float(np.sum(received.astype(np.float64) ** 2)))
    return at - len(received) if whole and values[at] > whole / 2 else None


@dataclass(frozen=True, slots=True)
class Trace:
    """Where a known sound was heard in the room, seconds: its first and its last sample, and how sure that is (0 to 1).

    `first` is the place of the known sound's sample 0 by the last place at which it was found, `gain` its loudness
    there against the known one's.
    """

    first: float
    last: float
    likeness: float
    gain: float


def trace(room: Samples, rate: int, known: Samples, known_rate: int, *, search: tuple[float, float]) -> Trace | None:
    """Follow a known sound that begins between the two times of `search`; None where it does not.

    It is found by the correlation of short pieces and followed piece by piece, so that gaps a loudspeaker made do not
    lose it. Where the last piece was found, short windows of the room are projected onto the same windows of the known
    sound: other sounds, such as a cue or the next answer, leave almost nothing of that, so the end is that of the known
    sound alone.
    """
    sound = resample(known, known_rate, rate)
    loud = float(np.mean(sound.astype(np.float64) ** 2)) * 0.02 if len(sound) else 0.0  # pauses tell nothing
    found = _begin(room, sound, rate, loud, search)
    if found is None:
        return None
    begin, gain, sure = found
    piece, slack = round(PIECE_S * rate), round(SLACK_S * rate)
    shift, last_piece = begin, 0
    for offset in range(0, len(sound) - piece, piece // 2):
        near = max(0, shift + offset - slack // 4)
        best = _best(room[near : near + piece + slack + slack // 4], sound[offset : offset + piece], loud)
        if best is None:
            continue
        found_at = near + best[0] - offset
        needed = ALIKE if abs(found_at - shift) <= rate * SAME_S else SURE
        if best[1] >= needed and 0.5 < best[2] / gain < 2.0:
            shift, last_piece, gain = found_at, offset, best[2]
    width, hop = round(WINDOW_S * rate), round(HOP_S * rate)
    last = last_piece
    for offset in range(last_piece, min(last_piece + 3 * piece, len(sound) - width, len(room) - shift - width), hop):
        window = sound[offset : offset + width].astype(np.float64)
        power = float(window @ window)
        here = room[shift + offset : shift + offset + width].astype(np.float64)
        if power / width > loud and float(here @ window) / power > PRESENT * gain:
            last = offset + width // 2
    return Trace(shift / rate, (shift + last) / rate, sure, gain)


def _begin(
    room: Samples, sound: Samples, rate: int, loud: float, search: tuple[float, float]
) -> tuple[int, float, float] | None:
    """Return where sample 0 of `sound` lies in `room`, its gain and likeness, by the best of the first pieces."""
    start = max(0, round(search[0] * rate))
    field = room[start : round(search[1] * rate)]
    piece = round(PIECE_S * rate)
    found: tuple[int, float, float] | None = None
    for offset in range(0, min(len(sound) - piece, round(PROBED_S * rate)), piece):
        best = _best(field, sound[offset : offset + piece], loud)
        if best is not None and (found is None or best[1] > found[2]):
            found = (start + best[0] - offset, best[2], best[1])
    return found if found is not None and found[2] >= ALIKE else None


def _best(field: Samples, piece: Samples, loud: float) -> tuple[int, float, float] | None:
    """Return the place of `piece` in `field`, its likeness and gain there; None where it is a pause or does not fit."""
    own = float(np.sum(piece.astype(np.float64) ** 2))
    places = len(field) - len(piece) + 1
    if places < 1 or own / len(piece) < loud:
        return None
    values, energy = _correlate(field, piece)
    normalised = values[:places] / np.sqrt(np.maximum(energy[:places] * own, 1e-4 * own * own))
    at = int(np.argmax(normalised))
    return at, float(normalised[at]), float(values[at] / own)


def _correlate(long: Samples, short: Samples) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the correlation of `short` with each place in `long`, and the energy of `long` under it."""
    size = 1 << (len(long) + len(short) - 1).bit_length()
    product = np.fft.rfft(long.astype(np.float64), size) * np.conj(np.fft.rfft(short.astype(np.float64), size))
    values = np.fft.irfft(product, size)[: len(long)]
    padded = np.concatenate([[0.0], np.cumsum(long.astype(np.float64) ** 2)])
    ends = np.minimum(np.arange(len(long)) + len(short), len(long))
    return values, padded[ends] - padded[: len(long)]
