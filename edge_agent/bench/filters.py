"""What the rate filters cost at every block length, beside `numpy.convolve` with the same taps.

As a process of its own (`python -m edge_agent.bench.filters`) it prints CPU milliseconds per second of sound, several
runs of each, ours and the peer's taking turns; `measure` turns them into rows and gives the pure work of talk: both
directions at the daemon's block length, the least that a second of duplex talk can cost.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
import time
from collections.abc import Callable
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


def measure(folder: Path, *, runs: int, peers: Path) -> tuple[list[Row], float]:
    """Return the rows, and the pure work of duplex talk at 20 ms blocks, CPU ms per second."""
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
    return out, table.spread(_both(found[f"ours {DEFAULT_BLOCK_MS}"])).median


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
    report(**found)


if __name__ == "__main__":
    main()
