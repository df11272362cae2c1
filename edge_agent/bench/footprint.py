"""What the parts of full-duplex talk add to the daemon's memory: canceller, voice detector, wake word.

As a process of its own for each (`python -m edge_agent.bench.footprint aec3`) it runs the sound engine without the
part until it grows no more, notes what is resident, opens the part, runs three seconds of sound through an engine with
it, and prints the difference in MB. `measure` makes a row of each.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

from edge_agent.audio.bargein import NearEndDetector, webrtc_speech
from edge_agent.audio.echo import HalfDuplex, open_canceller
from edge_agent.audio.engine import Duplex
from edge_agent.audio.ring import CaptureRing
from edge_agent.bench import table
from edge_agent.bench.children import Child
from edge_agent.bench.meter import report, resident_bytes
from edge_agent.bench.speech import pcm, speech
from edge_agent.bench.table import Row
from edge_agent.config import Wake
from edge_agent.errors import AgentError

WAKE_WORD = "okay_nabu"
PARTS = {
    "aec3": "echo canceller aec3",
    "speex": "echo canceller speex",
    "half-duplex": "half-duplex gate",
    "detector": "speech detector (WebRTC's VAD)",
    "wake": f"wake word {WAKE_WORD}",
}
"""What is measured, and how its row names it."""

_BLOCK_MS = 20
_SOUND_S = 3.0
_WARM_RUNS = 3  # of the engine without the part: after these it grows no more
_RATE_HZ = 24_000


def measure(folder: Path) -> list[Row]:
    """Return a row for each part."""
    rows = []
    for part, name in PARTS.items():
        what = f"memory added: {name}"
        with Child([sys.executable, "-m", "edge_agent.bench.footprint", part], folder=folder) as child:
            found = child.answer()
        if "missing" in found:
            rows.append(table.missing(what, "-", why=found["missing"]))
        else:
            rows.append(table.told(what, f"{found['added_mb']:+.1f} MB", values=found))
    return rows


def added_mb(part: str) -> float:
    """Return what a part of `PARTS` adds to this process, MB.

    Raises:
        AgentError: it cannot be loaded here.
    """
    ring = CaptureRing()
    for _ in range(_WARM_RUNS):
        _run(_engine(ring))
    before = resident_bytes()
    _run(_PARTS[part](ring))
    return (resident_bytes() - before) / 2**20


def _engine(ring: CaptureRing, **parts: object) -> Duplex:
    return Duplex(block_frames=48 * _BLOCK_MS, ring=ring, mic_gain_db=0.0, mic_channel="left", volume=60, **parts)  # type: ignore[arg-type]


def _listening(ring: CaptureRing) -> Duplex:
    from edge_agent import wake  # noqa: PLC0415  its own imports count as its memory

    engine = _engine(ring)
    engine.listen_for(wake.open_detector(Wake(word=WAKE_WORD)))
    return engine


_PARTS: dict[str, Callable[[CaptureRing], Duplex]] = {
    "aec3": lambda ring: _engine(ring, canceller=open_canceller("software", kind="aec3")),
    "speex": lambda ring: _engine(ring, canceller=open_canceller("software", kind="speex")),
    "half-duplex": lambda ring: _engine(ring, canceller=HalfDuplex()),
    "detector": lambda ring: _engine(ring, detector=NearEndDetector(webrtc_speech())),
    "wake": _listening,
}


def _run(engine: Duplex) -> None:
    """Talk over an answer."""
    engine.attend(True)
    engine.play(pcm(speech(_SOUND_S, seed=2, rate=_RATE_HZ)))
    frames = 48 * _BLOCK_MS
    mic = np.empty((frames, 2), np.int32)
    noise = np.random.default_rng(2)
    for number in range(round(_SOUND_S * 1000 / _BLOCK_MS)):
        mic[:] = noise.integers(-(2**24), 2**24, (frames, 1), np.int32)
        engine.step(mic, number * _BLOCK_MS / 1000, frames, queued=frames)


def main() -> None:
    """Measure and print one JSON line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("part", choices=PARTS)
    args = parser.parse_args()
    try:
        report(added_mb=added_mb(args.part))
    except AgentError as error:
        report(missing=str(error))


if __name__ == "__main__":
    main()
