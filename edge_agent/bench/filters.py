"""What the rate filters cost at every block length, beside `numpy.convolve` with the same taps.

As a process of its own (`python -m edge_agent.bench.filters`) it prints CPU milliseconds per second of sound, several
runs of each, ours and the peer's taking turns; `measure` turns them into rows and gives the pure work of talk: both
directions at the daemon's block length, the least that a second of duplex talk can cost.

Block after block, everything is in the processor's caches. The daemon gets one block every 20 ms and sleeps in between,
so the same work is measured that way too (`paced`): the difference is what a wake-up costs, before any other work.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_agent.audio.filters import CARD_RATE, DOWN_RATE, Decimator, Interpolator
from edge_agent.audio.wavfile import to_s32
from edge_agent.bench import table
from edge_agent.bench.children import START_S, Child
from edge_agent.bench.meter import report
from edge_agent.bench.speech import speech
from edge_agent.bench.table import Row

BLOCKS_MS = (10, 20, 40, 100)
DEFAULT_BLOCK_MS = 20
SOUND_S = 2.0
PEER = "bench_filters.py"

Step = Callable[[NDArray[Any]], object]


@dataclass(frozen=True, slots=True)
class Pure:
    """Work that cannot be avoided, at 20 ms blocks, CPU ms per second: block after block, and one every 20 ms."""

    hot: float = 0.0
    paced: float = 0.0

    @property
    def measured(self) -> bool:
        """False where there is no figure."""
        return bool(self.hot and self.paced)

    def __add__(self, other: Pure) -> Pure:
        """Return both together; nothing where one of them was not measured."""
        if not (self.measured and other.measured):
            return Pure()
        return Pure(self.hot + other.hot, self.paced + other.paced)


def measure(folder: Path, *, runs: int, peers: Path) -> tuple[list[Row], Pure]:
    """Return the rows, and the pure work."""
    command = [sys.executable, "-m", "edge_agent.bench.filters", "--runs", str(runs)]
    if (peers / PEER).is_file():
        command += ["--peer", str(peers / PEER)]
    with Child(command, folder=folder, extra={"OPENBLAS_NUM_THREADS": "1"}) as child:
        found = child.answer(START_S + runs * 10.0)
    out = []
    for block in BLOCKS_MS:
        ours = _both(found[f"ours {block}"])
        cost = table.spread(ours)
        values = cost.values("cpu_ms_per_s")
        figure = cost.text("ms/s", 2)
        if f"peer {block}" in found:
            ratio = table.ratios(ours, _both(found[f"peer {block}"]))
            figure += f", {ratio.text('', 2)} of numpy.convolve"
            values |= ratio.values("ratio")
        out.append(table.told(f"filters, both ways, {block} ms blocks", figure, values=values))
    paced = table.spread(_both(found["paced"]))
    note = "the same work after a sleep each time, as in the daemon: what a wake-up costs"
    values = paced.values("cpu_ms_per_s")
    out.append(table.told("filters, 20 ms blocks, one every 20 ms", paced.text("ms/s"), note=note, values=values))
    return out, Pure(table.spread(_both(found[f"ours {DEFAULT_BLOCK_MS}"])).median, paced.median)


def _both(runs: list[list[float]]) -> list[float]:
    return [down + up for down, up in runs]


def _peer(path: Path | None) -> ModuleType | None:
    if path is None:
        return None
    found = importlib.util.spec_from_file_location("bench_filters_peer", path)
    if found is None or found.loader is None:
        return None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


def _cost(step: Step, blocks: list[NDArray[Any]]) -> float:
    """Return CPU ms per second of sound of stepping through the blocks."""
    step(blocks[0])
    began = time.process_time()
    for block in blocks:
        step(block)
    return (time.process_time() - began) * 1000 / SOUND_S


def _paced_cost(steps: tuple[Step, Step], sound: tuple[list[NDArray[Any]], list[NDArray[Any]]]) -> list[float]:
    """Return CPU ms per second of sound of each step when a block comes every 20 ms."""
    used = [0.0, 0.0]
    due = time.monotonic()
    for blocks in zip(*sound, strict=True):
        due += DEFAULT_BLOCK_MS / 1000
        time.sleep(max(0.0, due - time.monotonic()))
        for side, (step, block) in enumerate(zip(steps, blocks, strict=True)):
            before = time.thread_time()
            step(block)
            used[side] += time.thread_time() - before
    return [seconds * 1000 / SOUND_S for seconds in used]


def main() -> None:
    """Measure and print one JSON line: name -> [[down, up], ...]."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--peer", type=Path)
    args = parser.parse_args()
    peer = _peer(args.peer)
    card = to_s32(np.repeat(speech(SOUND_S, seed=4, rate=CARD_RATE)[:, None], 2, axis=1))
    answer = speech(SOUND_S, seed=4, rate=DOWN_RATE)
    found: dict[str, list[list[float]]] = {}
    for _ in range(args.runs):
        for ms in BLOCKS_MS:
            microphone = np.split(card, range(CARD_RATE * ms // 1000, len(card), CARD_RATE * ms // 1000))
            spoken = np.split(answer, range(DOWN_RATE * ms // 1000, len(answer), DOWN_RATE * ms // 1000))
            pairs: dict[str, tuple[Step, Step]] = {
                "ours": (Decimator(gain_db=0.0, channel="left").process, Interpolator().process)
            }
            if peer is not None:
                pairs["peer"] = (peer.PlainDecimator().process, peer.PlainInterpolator().process)
            for name, (down, up) in pairs.items():
                found.setdefault(f"{name} {ms}", []).append([_cost(down, microphone), _cost(up, spoken)])
            if ms == DEFAULT_BLOCK_MS:
                found.setdefault("paced", []).append(_paced_cost(pairs["ours"], (microphone, spoken)))
    report(**found)


if __name__ == "__main__":
    main()
