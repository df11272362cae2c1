"""What the rate filters and the whole engine cost, beside a plain numpy version in the same run.

    python tests/benchmarks/bench_filters.py

Prints medians of CPU milliseconds per second of sound for blocks of 10, 20, 40 and 100 ms, and ratios to the plain
version: `np.convolve` at 48 kHz with the same taps, every third sample kept, without DC block, gain and soft clip.
Nothing is asserted; figures belong to one machine.
"""

from __future__ import annotations

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # read when numpy is imported

import statistics
import sys
import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from edge_agent.audio.engine import Duplex
from edge_agent.audio.filters import CARD_RATE, DOWN_RATE, Decimator, Interpolator, lowpass
from edge_agent.audio.ring import CaptureRing

SOUND_S = 4.0
RUNS = 9


class PlainDecimator:
    """Slot, scale, convolve at 48 kHz, keep every third, clip."""

    def __init__(self) -> None:
        self._taps = lowpass(96, 7.0, 7_300.0, CARD_RATE).astype(np.float32)
        self._past = np.zeros(95, np.float32)

    def process(self, block: NDArray[np.int32]) -> NDArray[np.int16]:
        """Filter a block (n, 2) int32 into (n / 3,) int16."""
        signal = np.concatenate([self._past, block[:, 0].astype(np.float32) / np.float32(65_536)])
        self._past = signal[-95:]
        low = np.convolve(signal, self._taps, "valid")[2::3]
        found: NDArray[np.int16] = np.rint(np.clip(low, -32_768, 32_767)).astype(np.int16)
        return found


class PlainInterpolator:
    """Insert zeros, convolve at 48 kHz, duplicate."""

    def __init__(self) -> None:
        self._taps = (2 * lowpass(64, 8.0, 11_200.0, CARD_RATE)).astype(np.float32)
        self._past = np.zeros(63, np.float32)

    def process(self, samples: NDArray[np.float32]) -> NDArray[np.int32]:
        """Filter samples (n,) float32 into (2 n, 2) int32."""
        spread = np.zeros(2 * len(samples), np.float32)
        spread[::2] = samples
        signal = np.concatenate([self._past, spread])
        self._past = signal[-63:]
        out = np.clip(np.convolve(signal, self._taps, "valid") * 2.0**31, -(2.0**31), 2.0**31 - 128)
        return np.repeat(out.astype(np.int32)[:, None], 2, axis=1)


def cpu_ms_per_s(works: list[Callable[[int], object]], block_ms: int) -> list[float]:
    """Median CPU milliseconds per second of sound of each `work(block number)`; they take turns within a run."""
    blocks = round(SOUND_S * 1_000 / block_ms)
    found: list[list[float]] = [[] for _ in works]
    for _ in range(RUNS):
        for work, times in zip(works, found, strict=True):
            before = time.process_time()
            for number in range(blocks):
                work(number)
            times.append((time.process_time() - before) / SOUND_S * 1_000)
    return [statistics.median(times) for times in found]


def engine_step(block_ms: int, *, talking: bool) -> Callable[[int], object]:
    """Return one step of a whole engine, idle or with an answer that never ends."""
    frames = block_ms * 48
    engine = Duplex(block_frames=frames, ring=CaptureRing(), mic_gain_db=24, mic_channel="left", volume=60)
    mic = (np.random.default_rng(1).normal(0, 0.001, (frames, 2)) * 2**31).astype(np.int32)
    chunk = np.random.default_rng(2).normal(0, 3_000, DOWN_RATE).astype(np.int16).tobytes()

    def step(number: int) -> None:
        if talking and engine.queue_ms < 500:
            engine.play(chunk)
        engine.step(mic, number * block_ms / 1_000, frames)

    return step


def works(block_ms: int) -> list[Callable[[int], object]]:
    """Return what is measured: down, plain down, up, plain up, engine talking, engine idle."""
    rng = np.random.default_rng(3)
    mic = (rng.normal(0, 0.05, (block_ms * 48, 2)) * 2**31).astype(np.int32)
    answer = rng.normal(0, 0.1, block_ms * 24).astype(np.float32)
    down, plain_down = Decimator(channel="left"), PlainDecimator()
    up, plain_up = Interpolator(), PlainInterpolator()
    return [
        lambda _: down.process(mic),
        lambda _: plain_down.process(mic),
        lambda _: up.process(answer),
        lambda _: plain_up.process(answer),
        engine_step(block_ms, talking=True),
        engine_step(block_ms, talking=False),
    ]


def main() -> None:
    """Write the table."""
    lines = [
        f"CPU ms per second of sound, median of {RUNS}; numpy {np.__version__}, Python {sys.version.split()[0]}",
        " block    down   plain  ratio      up   plain  ratio    both  engine talking   idle",
    ]
    for block_ms in (10, 20, 40, 100):
        down, plain_down, up, plain_up, talking, idle = cpu_ms_per_s(works(block_ms), block_ms)
        lines.append(
            f"{block_ms:>3} ms {down:>7.2f} {plain_down:>7.2f} {down / plain_down:>6.2f}"
            f" {up:>7.2f} {plain_up:>7.2f} {up / plain_up:>6.2f} {down + up:>7.2f} {talking:>15.2f} {idle:>6.2f}"
        )
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
