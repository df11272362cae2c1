"""What the echo cancellers cost at every block length: AEC3, speexdsp, and the half-duplex gate.

As a process of its own (`python -m edge_agent.bench.echo`) it prints CPU milliseconds per second of talk, several runs
of each, taking turns; `measure` turns them into rows and gives the pure work of the first choice, AEC3. The answer
sounds all the time and its echo is in the microphone, which is the dear case for the gate and no matter for the others.

Block after block, everything is in the processor's caches. The daemon gets one block every 20 ms and sleeps in between,
so AEC3 is measured that way too (`paced`).
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_agent.audio.echo import Canceller, HalfDuplex, open_canceller
from edge_agent.bench import table
from edge_agent.bench.children import START_S, Child
from edge_agent.bench.filters import Pure
from edge_agent.bench.meter import report
from edge_agent.bench.speech import speech
from edge_agent.bench.table import Row
from edge_agent.errors import DeviceError

BLOCKS_MS = (20, 40, 100)
DEFAULT_BLOCK_MS = 20
KINDS = ("aec3", "speex", "half-duplex")
RATE_HZ = 16_000

_SOUND_S = 4.0
_DELAY_MS = 60.0
_ECHO_DB = -6.0
_NOISE_DBFS = -65.0

Sound = NDArray[np.int16]


def measure(folder: Path, *, runs: int) -> tuple[list[Row], Pure]:
    """Return the rows, and the pure work of AEC3: zeros where it cannot be loaded."""
    command = [sys.executable, "-m", "edge_agent.bench.echo", "--runs", str(runs)]
    with Child(command, folder=folder, extra={"OPENBLAS_NUM_THREADS": "1"}) as child:
        found = child.answer(START_S + runs * 20.0)
    rows = []
    for kind in KINDS:
        if f"{kind} missing" in found:
            rows.append(table.missing(f"echo canceller {kind}", "-", why=found[f"{kind} missing"]))
            continue
        for block in BLOCKS_MS:
            cost = table.spread(found[f"{kind} {block}"])
            what = f"echo canceller {kind}, {block} ms blocks"
            rows.append(table.told(what, cost.text("ms/s", 2), values=cost.values("cpu_ms_per_s")))
    if "paced" not in found:
        return rows, Pure()
    paced = table.spread(found["paced"])
    note = "the same work after a sleep each time, as in the daemon: what a wake-up costs"
    values = paced.values("cpu_ms_per_s")
    rows.append(
        table.told("echo canceller aec3, 20 ms blocks, one every 20 ms", paced.text("ms/s"), note=note, values=values)
    )
    return rows, Pure(table.spread(found[f"aec3 {DEFAULT_BLOCK_MS}"]).median, paced.median)


def _opened(kind: str) -> Canceller:
    if kind == "half-duplex":
        return HalfDuplex(delay_ms=_DELAY_MS, echo_gain_db=_ECHO_DB)
    found = open_canceller("software", kind="aec3" if kind == "aec3" else "speex", delay_ms=_DELAY_MS)
    if found is None:
        raise DeviceError(f"no canceller {kind} was opened")
    return found


def _sounds() -> tuple[Sound, Sound]:
    """Return the microphone and the loudspeaker: an answer, its echo, and noise."""
    far = speech(_SOUND_S, seed=4, rate=RATE_HZ)
    echo = np.roll(far, round(_DELAY_MS / 1_000 * RATE_HZ)) * 10 ** (_ECHO_DB / 20)
    noise = np.random.default_rng(4).normal(0.0, 10 ** (_NOISE_DBFS / 20), len(far))
    near = np.clip(np.rint((echo + noise) * 32_768), -32_768, 32_767).astype(np.int16)
    return near, np.clip(np.rint(far * 32_768), -32_768, 32_767).astype(np.int16)


def _blocks(sound: Sound, ms: int) -> list[Sound]:
    return np.split(sound, range(RATE_HZ * ms // 1_000, len(sound), RATE_HZ * ms // 1_000))


def _cost(canceller: Canceller, near: list[Sound], far: list[Sound]) -> float:
    """Return CPU ms per second of sound of going through the blocks."""
    canceller.process(near[0], far[0])
    began = time.process_time()
    for mic, speaker in zip(near, far, strict=True):
        canceller.process(mic, speaker)
    return (time.process_time() - began) * 1_000 / _SOUND_S


def _paced_cost(canceller: Canceller, near: list[Sound], far: list[Sound]) -> float:
    """Return CPU ms per second of sound when a block comes every 20 ms."""
    used = 0.0
    due = time.monotonic()
    for mic, speaker in zip(near, far, strict=True):
        due += DEFAULT_BLOCK_MS / 1_000
        time.sleep(max(0.0, due - time.monotonic()))
        before = time.thread_time()
        canceller.process(mic, speaker)
        used += time.thread_time() - before
    return used * 1_000 / _SOUND_S


def main() -> None:
    """Measure and print one JSON line: name -> figures, or why there is none."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=5)
    args = parser.parse_args()
    near, far = _sounds()
    costs: dict[str, list[float]] = {}
    missing: dict[str, str] = {}
    for _ in range(args.runs):
        for kind in KINDS:
            try:
                for ms in BLOCKS_MS:
                    cost = _cost(_opened(kind), _blocks(near, ms), _blocks(far, ms))
                    costs.setdefault(f"{kind} {ms}", []).append(cost)
                if kind == "aec3":
                    blocks = _blocks(near, DEFAULT_BLOCK_MS), _blocks(far, DEFAULT_BLOCK_MS)
                    costs.setdefault("paced", []).append(_paced_cost(_opened(kind), *blocks))
            except DeviceError as error:
                missing[f"{kind} missing"] = str(error)
    report(**costs, **missing)


if __name__ == "__main__":
    main()
