"""What of a person's speech the service knows in the end: coded noise, found again by correlation.

    known = conversation(twin)                   # the spoken turns of the newest session and of those it resumed
    verdict(known, said)                         # "whole, once"

A resumption handle is a snapshot: what was sent after it was issued is not in the session that resumes it. So the
turns are followed back from the newest session through its handle to the sessions before, and of each only what stood
in the snapshot counts.
"""

from __future__ import annotations

import numpy as np
from harness import find, pcm
from numpy.typing import NDArray
from virtual.sound import HEARD_HZ, Utterance

from edge_agent.simulator import SessionRecord, Twin

PIECE = HEARD_HZ // 10
SAME = 0.7  # correlation of a piece that was found; of a wrong place at most 0.15


def conversation(twin: Twin, record: SessionRecord | None = None) -> list[bytes]:
    """Return the spoken turns the model knows of in a session (the newest that was set up), 16 kHz s16le."""
    if record is None:
        record = [one for one in twin.sessions if one.setup][-1]
    before: list[bytes] = []
    if record.resumed_from:
        parent = next(one for one in twin.sessions if record.resumed_from in one.handles)
        snapshot = twin._handles._snapshots[record.resumed_from]
        spoken = sum(entry.role == "user" and entry.audio_s > 0 for entry in snapshot.history)
        before = conversation(twin, parent)[:spoken]
    return before + record.audio_turns


def share(turn: bytes, said: Utterance) -> float:
    """Return how much of what was said stands in a turn, in order: 0.0 to 1.0."""
    hay, whole = pcm(turn), said.sent
    if len(hay) < PIECE:
        return 0.0
    found, last = 0, -PIECE
    starts = range(0, len(whole) - PIECE + 1, PIECE)
    for start in starts:
        at = _place(whole[start : start + PIECE], hay)
        if at is not None and at >= last + PIECE - 16:  # pieces of a filtered sound meet within a millisecond
            found, last = found + 1, at
    return found / len(starts)


def verdict(turns: list[bytes], said: Utterance) -> str:
    """Say in a few words how much of an utterance the turns hold, and how often."""
    shares = [share(turn, said) for turn in turns]
    held = [one for one in shares if one > 0.05]
    if not held:
        return "not"
    most = max(held)
    times = "once" if len(held) == 1 else f"{len(held)} times"
    if most > 0.97:
        return f"whole, {times}"
    return f"{most:.0%}, {times}"


def _place(piece: NDArray[np.float64], hay: NDArray[np.float64]) -> int | None:
    at, score = find(piece, hay)
    return at if score > SAME else None
