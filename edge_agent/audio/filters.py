"""Sample rates: the sound card's 48 kHz to the service's 16 kHz, the service's 24 kHz back to the card.

    down = Decimator(gain_db=24.0, channel="auto")
    down.process(block)        # (n, 2) int32 at 48 kHz -> (n / 3,) int16 at 16 kHz
    up = Interpolator()
    up.process(samples)        # (n,) float32 in [-1, 1] or int16 at 24 kHz -> (2 n, 2) int32 at 48 kHz
    resample(pcm, 22_050, 24_000)   # whole sentences of any other rate, once

Both filters are linear-phase FIRs of one matrix product for 20 ms: every row of the left matrix is a window of the
signal, every column of the right one an output sample. Windows are copied into a preallocated matrix first, because
numpy multiplies overlapping strided views slowly. The number of rows is fixed and a row always stands in the same
place, so any chunking of the stream gives the same bits on one machine (1 LSB between builds of BLAS). Rows are 1 ms;
a product that is only partly filled is computed again when more rows are there, so nothing longer is ever held back.

Down: slot choice, 96 taps (Kaiser, beta 7, 7.3 kHz), 60 Hz DC block, gain, soft clip, rounding; 1 ms of delay.
Up: 64 taps (Kaiser, beta 8, 11.2 kHz), one sample to both slots; 0.66 ms of delay. Images lie below -80 dB to 10 kHz.

Arrays returned by `process` are views that the next call overwrites.
"""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

Channel = Literal["auto", "left", "right", "mono"]

CARD_RATE = 48_000
"""Frames per second of every sound card; here and below the number stands once for the whole of `audio`."""
UP_RATE = 16_000
"""Samples per second of what is heard."""
DOWN_RATE = 24_000
"""Samples per second of what is to be played."""

_ROWS = 20  # of 1 ms per matrix product: the usual block in one product, since calls cost more than arithmetic

_DOWN_TAPS = 96
_DOWN_CUT_HZ = 7_300.0
_DOWN_ROW = 48  # input frames, 16 outputs
_DOWN_GROUP = _ROWS * _DOWN_ROW
_DC_BLOCK_HZ = 60.0  # below speech, above rumble and the offset of I2S microphones

_UP_TAPS = 64
_UP_CUT_HZ = 11_200.0
_UP_ROW = 24  # input samples, 48 output frames
_UP_GROUP = _ROWS * _UP_ROW
_UP_PAST = _UP_TAPS // 2 - 1  # input samples before the row that its first output needs
_INT32_TOP = np.float32(2_147_483_520.0)  # the largest float32 below 2**31

_FULL_SCALE = 32_767.0
_KNEE = 0.8 * _FULL_SCALE  # the soft clip is exact below this, 2 dB under full scale

_CHOICE_UNIT = 480  # 10 ms: slots are compared piece by piece
_SETTLE_UNITS = 10  # an INMP441 gives nonsense for the 85 ms after its clock starts
_CHOICE_UNITS = 100  # slots are compared for one second
_CLEARLY = 4  # in power: while comparing, the choice moves only for 6 dB, because a move may click

_RESAMPLE_TAPS = 32  # per output sample, at the lower of the two rates
_RESAMPLE_CHUNK = 8_192  # outputs at a time, to bound the memory of a long sentence


def lowpass(taps: int, beta: float, cut_hz: float, rate: float) -> NDArray[np.float64]:
    """Design a linear-phase low-pass (taps,) float64 of gain 1 at 0 Hz: a sinc in a Kaiser window."""
    at = np.arange(taps) - (taps - 1) / 2
    impulse = np.sinc(2 * cut_hz / rate * at) * np.kaiser(taps, beta)
    found: NDArray[np.float64] = impulse / impulse.sum()
    return found


def peak(x: NDArray[Any]) -> float:
    """Return the largest magnitude in `x` (n,), n > 0, any real dtype."""
    return max(float(np.maximum.reduce(x)), -float(np.minimum.reduce(x)))  # the methods cost half as much again


def beyond(x: NDArray[np.float32], limit: float) -> bool:
    """Tell whether a sample of `x` (n,), n > 0, passes +-`limit`.

    One product for most sound: no sample is larger than all of them together, but for the rounding of float32.
    """
    return float(np.dot(x, x)) > 0.99 * limit * limit and peak(x) > limit


def soft_clip(x: NDArray[np.float32], *, knee: float, top: float) -> None:
    """Bend the samples of `x` beyond +-`knee` so that none passes +-`top`; in place, exact below the knee."""
    size = np.abs(x)
    loud = size > knee
    room = top - knee
    x[loud] = np.sign(x[loud]) * (knee + room * np.tanh((size[loud] - knee) / room))


class Decimator:
    """48 kHz int32 stereo slots to 16 kHz int16 mono, with the microphone's gain.

    Args:
        gain_db: gain before the cut to 16 bits.
        channel: which slot holds the microphone. `auto` compares the power of both, offset removed, over the first
            second in which either carries anything, then keeps the louder one.
    """

    delay_s = 47.5 / CARD_RATE
    """Group delay of the FIR, seconds."""

    def __init__(self, *, gain_db: float = 0.0, channel: Channel = "auto") -> None:
        self.gain_db = gain_db
        self.clipped = 0
        """Samples beyond full scale so far."""
        self._channel = channel
        self._slot = 0 if channel in {"auto", "left"} else 1
        self._weights, self._ends = _down_matrix()
        self._carry, self._decay = _dc_matrices()
        width = _DOWN_TAPS + _DOWN_ROW
        self._line = np.zeros(_DOWN_TAPS + _DOWN_GROUP, np.float32)
        item = self._line.itemsize
        self._view = as_strided(self._line, (_ROWS, width), (_DOWN_ROW * item, item), writeable=False)
        self._windows = np.empty((_ROWS, width), np.float32)
        self._product = np.empty((_ROWS, 16), np.float32)
        self._states = np.zeros(_ROWS + 1, np.float32)  # the DC estimate before the first row, then what each row adds
        self._before = np.zeros(_ROWS + 1, np.float32)  # the DC estimate before each row, and after the last
        self._filled = 0  # frames of the present product
        self._done = 0  # its rows that were already handed out
        self._forget = False
        self._float = np.empty(0, np.float32)
        self._int = np.empty(0, np.int16)
        self._choice = _SlotChoice() if channel == "auto" else None

    @property
    def gain_db(self) -> float:
        """Gain before the cut to 16 bits; may be set at any time."""
        return self._gain_db

    @gain_db.setter
    def gain_db(self, value: float) -> None:
        self._gain_db = value
        self._gain = np.float32(10 ** (value / 20))

    @property
    def channel(self) -> Literal["left", "right", "mono"]:
        """The slot in use now."""
        if self._channel == "mono":
            return "mono"
        return "right" if self._slot else "left"

    @property
    def decided(self) -> bool:
        """False while `auto` still compares the slots."""
        return self._choice is None

    def forget(self) -> None:
        """Let nothing taken so far come out any more: the next block finds the filters settled on its own mean."""
        self._forget = True

    def process(self, block: NDArray[np.int32]) -> NDArray[np.int16]:
        """Filter a block (n, 2) int32; returns every whole millisecond (m,) int16, m a multiple of 16."""
        count = (self._filled - self._done * _DOWN_ROW + len(block)) // _DOWN_ROW * 16
        if count > len(self._float):
            self._float, self._int = np.empty(count, np.float32), np.empty(count, np.int16)
        if self._forget and len(block):
            self._settle(block)
        done = made = 0
        while done < len(block):
            room = _DOWN_GROUP - self._filled
            if self._choice is not None:
                room = min(room, _CHOICE_UNIT - self._filled % _CHOICE_UNIT)
            piece = block[done : done + room]
            self._append(piece)
            done += len(piece)
            if self._choice is not None:
                self._slot = self._choice.hear(piece, self._slot)
                if self._choice.decided:
                    self._choice = None
            made = self._render(made)
        return self._finish(self._float[:made])

    def _settle(self, block: NDArray[np.int32]) -> None:
        """Replace the past by the mean of the block."""
        self._forget = False
        mean = block.mean(axis=0)
        level = float(mean.mean() if self._channel == "mono" else mean[self._slot])
        self._line[: _DOWN_TAPS + self._filled] = level
        self._states[0] = level / 65_536.0

    def _append(self, piece: NDArray[np.int32]) -> None:
        at = _DOWN_TAPS + self._filled
        into = self._line[at : at + len(piece)]
        if self._channel == "mono":
            np.add(piece[:, 0], piece[:, 1], out=into, dtype=np.float32, casting="unsafe")
            into *= np.float32(0.5)
        else:
            np.copyto(into, piece[:, self._slot], casting="unsafe")
        self._filled += len(piece)

    def _render(self, made: int) -> int:
        """Compute the rows that are now whole; returns the samples in `_float`."""
        rows = self._filled // _DOWN_ROW
        if rows > self._done:
            np.copyto(self._windows, self._view)
            np.dot(self._windows, self._weights, out=self._product)
            np.dot(self._windows, self._ends, out=self._states[1:])
            np.dot(self._carry, self._states, out=self._before)
            end = made + (rows - self._done) * 16
            fresh = self._float[made:end].reshape(-1, 16)
            np.multiply(self._before[self._done : rows, None], self._decay, out=fresh)
            fresh += self._product[self._done : rows]
            made, self._done = end, rows
        if self._filled == _DOWN_GROUP:
            self._states[0] = self._before[_ROWS]
            self._line[:_DOWN_TAPS] = self._line[_DOWN_GROUP:]
            self._filled = self._done = 0
        return made

    def _finish(self, out: NDArray[np.float32]) -> NDArray[np.int16]:
        """Apply gain, soft clip and rounding."""
        if self._gain != 1:
            np.multiply(out, self._gain, out=out)
        found = self._int[: len(out)]
        if len(out) and beyond(out, _KNEE):
            self.clipped += int(np.count_nonzero(np.abs(out) > _FULL_SCALE))
            soft_clip(out, knee=_KNEE, top=_FULL_SCALE)
        np.rint(out, out=out)
        np.copyto(found, out, casting="unsafe")
        return found


class _SlotChoice:
    """Compares the AC power of both slots over the first second; exact integers, so chunking cannot change it."""

    def __init__(self) -> None:
        self.decided = False
        self._units = 0
        self._heard = 0
        self._count = 0
        self._sum = [0, 0]
        self._square = [0, 0]
        self._power = [0, 0]

    def hear(self, piece: NDArray[np.int32], slot: int) -> int:
        """Add a piece (n, 2) that does not cross a unit; returns the slot to use from here on."""
        wide = (piece >> 8).astype(np.int64)  # 24 bits: a unit's squares fit 63
        for side in (0, 1):
            self._sum[side] += int(wide[:, side].sum())
            self._square[side] += int(np.dot(wide[:, side], wide[:, side]))
        self._count += len(piece)
        if self._count < _CHOICE_UNIT:
            return slot
        left, right = (_CHOICE_UNIT * self._square[side] - self._sum[side] ** 2 for side in (0, 1))
        self._sum, self._square, self._count = [0, 0], [0, 0], 0
        self._units += 1
        if self._units <= _SETTLE_UNITS or not (left or right):
            return slot
        self._power = [self._power[0] + left, self._power[1] + right]
        self._heard += 1
        self.decided = self._heard >= _CHOICE_UNITS - _SETTLE_UNITS
        other = 1 - slot
        margin = 1 if self.decided else _CLEARLY
        return other if self._power[other] > margin * self._power[slot] else slot


def _down_matrix() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """FIR, decimation and the in-row part of the DC block: windows (rows, 144) @ (144, 16), and @ (144,).

    Output m of a row ends at input 3 m + 2; window column c is input c - 96. The DC block subtracts a one-pole mean
    y[n] = d y[n-1] + (1 - d) x[n], and scales to gain 1 at 8 kHz; within a row that is a triangular matrix, between
    rows one number.
    """
    impulse = lowpass(_DOWN_TAPS, 7.0, _DOWN_CUT_HZ, CARD_RATE) / 65_536.0  # 32-bit slots to 16-bit units
    fir = np.zeros((_DOWN_TAPS + _DOWN_ROW, 16))
    for m in range(16):
        newest = _DOWN_TAPS + 3 * m + 2
        fir[newest - _DOWN_TAPS + 1 : newest + 1, m] = impulse[::-1]
    decay = _dc_decay()
    n, k = np.meshgrid(np.arange(16), np.arange(16))
    mean = np.where(n >= k, (1 - decay) * decay ** np.maximum(n - k, 0), 0.0)
    return (fir @ (np.eye(16) - mean) * _dc_top()).astype(np.float32), (fir @ mean[:, 15]).astype(np.float32)


def _dc_matrices() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the recurrence of the DC estimate over the rows of one product (11, 11), and its part in a row (16,)."""
    row = _dc_decay() ** 16
    carry = np.zeros((_ROWS + 1, _ROWS + 1))
    for r in range(_ROWS + 1):
        for q in range(r + 1):
            carry[r, q] = row ** (r - q) if q else row**r
    return carry.astype(np.float32), (-(_dc_decay() ** np.arange(1, 17)) * _dc_top()).astype(np.float32)


def _dc_decay() -> float:
    return math.exp(-2 * math.pi * _DC_BLOCK_HZ / UP_RATE)


def _dc_top() -> float:
    return (1 + _dc_decay()) / (2 * _dc_decay())


class Interpolator:
    """24 kHz mono to 48 kHz int32 stereo, both slots alike.

    Whole rows of 24 samples (1 ms) come out at once; a shorter rest waits for the next call.
    """

    delay_s = 31.5 / CARD_RATE
    """Group delay, seconds."""

    tail_s = 63 / CARD_RATE
    """A sample has wholly left the filter this long after it went in, seconds."""

    def __init__(self) -> None:
        self._weights = _up_matrix()
        width = len(self._weights)
        self._line = np.zeros(_UP_PAST + _UP_GROUP, np.float32)
        item = self._line.itemsize
        self._view = as_strided(self._line, (_ROWS, width), (_UP_ROW * item, item), writeable=False)
        self._windows = np.empty((_ROWS, width), np.float32)
        self._product = np.empty((_ROWS, 2 * 2 * _UP_ROW), np.float32)
        self._filled = 0  # samples of the present product
        self._done = 0  # its rows that were already handed out
        self._zeros = 2 * _UP_GROUP  # samples of silence since the last sound
        self._out = np.empty((0, 2), np.int32)

    def process(self, samples: NDArray[np.float32] | NDArray[np.int16]) -> NDArray[np.int32]:
        """Filter samples (n,), float32 in [-1, 1] or int16; returns every whole millisecond (m, 2) int32."""
        frames = (self._filled - self._done * _UP_ROW + len(samples)) // _UP_ROW * 2 * _UP_ROW
        if frames > len(self._out):
            self._out = np.empty((frames, 2), np.int32)
        scale = np.float32(1 / 32_768) if samples.dtype == np.int16 else None
        self._zeros = 0
        done = made = 0
        while done < len(samples):
            piece = samples[done : done + _UP_GROUP - self._filled]
            at = _UP_PAST + self._filled
            into = self._line[at : at + len(piece)]
            if scale is None:
                np.copyto(into, piece)
            else:
                np.multiply(piece, scale, out=into, dtype=np.float32, casting="unsafe")
            self._filled += len(piece)
            done += len(piece)
            made = self._render(made)
        return self._out[:made]

    @property
    def settled(self) -> bool:
        """True when the last sound left the filter at least 20 ms ago: silence costs no arithmetic."""
        return self._zeros >= 2 * _UP_GROUP

    def silence(self, count: int) -> NDArray[np.int32]:
        """Do as `process` would with `count` zeros, without arithmetic once the last sound has left the filter."""
        before = self._zeros
        if not self.settled:  # the product and the samples before it may still hold sound
            found = self.process(np.zeros(count, np.float32))
        else:
            rows = (self._filled + count) // _UP_ROW - self._done
            self._filled = (self._filled + count) % _UP_GROUP
            self._done = self._filled // _UP_ROW
            if len(self._out) < rows * 2 * _UP_ROW:
                self._out = np.empty((rows * 2 * _UP_ROW, 2), np.int32)
            found = self._out[: rows * 2 * _UP_ROW]
            found[:] = 0
        self._zeros = before + count
        return found

    def _render(self, made: int) -> int:
        """Compute the rows that are now whole; returns the frames in `_out`."""
        rows = self._filled // _UP_ROW
        if rows > self._done:
            np.copyto(self._windows, self._view)
            np.dot(self._windows, self._weights, out=self._product)
            fresh = self._product[self._done : rows]
            np.minimum(fresh, _INT32_TOP, out=fresh)  # a third of what np.clip takes for so little
            np.maximum(fresh, -_INT32_TOP, out=fresh)
            end = made + (rows - self._done) * 2 * _UP_ROW
            np.copyto(self._out[made:end], fresh.reshape(-1, 2), casting="unsafe")
            made, self._done = end, rows
        if self._filled == _UP_GROUP:
            self._line[:_UP_PAST] = self._line[_UP_GROUP:]
            self._filled = self._done = 0
        return made


def _up_matrix() -> NDArray[np.float32]:
    """Interpolation, both slots and the scale to 32 bits: windows (rows, 55) @ (55, 96); column 4 j + 2 p + slot."""
    impulse = lowpass(_UP_TAPS, 8.0, _UP_CUT_HZ, CARD_RATE) * 2 * 2.0**31
    weights = np.zeros((_UP_PAST + _UP_ROW, 2 * 2 * _UP_ROW))
    for j in range(_UP_ROW):
        for phase in (0, 1):
            newest = _UP_PAST + j
            taps = impulse[phase::2][::-1]
            for slot in (0, 1):
                weights[newest - _UP_PAST : newest + 1, 4 * j + 2 * phase + slot] = taps
    return weights.astype(np.float32)


def resample(samples: NDArray[np.float32], source: int, target: int) -> NDArray[np.float32]:
    """Convert a whole recording (n,) float32 from `source` to `target` Hz; no delay, length rounded up.

    A polyphase windowed sinc, 32 taps at the lower rate, cut at 0.45 of it.

    Raises:
        ValueError: a rate outside 4 000 to 192 000 Hz.
    """
    for rate in (source, target):
        if not 4_000 <= rate <= 192_000:
            msg = f"a sample rate of {rate} Hz cannot be converted; 4000 to 192000 can"
            raise ValueError(msg)
    samples = np.asarray(samples, np.float32)
    if source == target or not len(samples):
        return samples.copy()
    common = math.gcd(source, target)
    up, down = target // common, source // common
    half = math.ceil(_RESAMPLE_TAPS / 2 * max(1.0, source / target))
    table = _phases(up, half, 0.45 * min(source, target) / source)
    padded = np.concatenate([np.zeros(half - 1, np.float32), samples, np.zeros(half + 1, np.float32)])
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * half)
    count = -(-len(samples) * up // down)
    out = np.empty(count, np.float32)
    for start in range(0, count, _RESAMPLE_CHUNK):
        at = np.arange(start, min(start + _RESAMPLE_CHUNK, count), dtype=np.int64) * down
        out[start : start + len(at)] = np.einsum("ij,ij->i", windows[at // up], table[at % up])
    return out


def _phases(up: int, half: int, cut: float) -> NDArray[np.float32]:
    """Filter of each phase (up, 2 half): tap t weighs the sample t - half + 1 - phase / up away; `cut` in cycles."""
    away = np.arange(2 * half) - (half - 1) - np.arange(up)[:, None] / up
    window = np.i0(7.0 * np.sqrt(np.maximum(0.0, 1 - (away / half) ** 2)))
    table = np.sinc(2 * cut * away) * window
    table /= table.sum(axis=1, keepdims=True)
    found: NDArray[np.float32] = table.astype(np.float32)
    return found
