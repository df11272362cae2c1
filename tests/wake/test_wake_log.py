"""The log of what the wake words heard."""

from __future__ import annotations

import json

from edge_agent.wake import Heard, WakeLog
from edge_agent.wake.log import LENGTH


def test_hits_and_near_misses_with_what_came_of_them() -> None:
    log = WakeLog()
    hit = log.add(Heard("Okay Nabu", 0.91234, fired=True), wall=1_700_000_000.5, t=12.25)
    near = log.add(Heard("Alexa", 0.6, fired=False), wall=1_700_000_003.0, t=14.75)
    assert (hit.outcome, near.outcome) == ("ignored", "")
    hit.outcome = "nobody spoke"
    answer = json.loads(json.dumps(log.answer()))
    assert answer == {
        "heard": [
            {"at": 1_700_000_000.5, "t": 12.25, "word": "Okay Nabu", "kind": "wake", "score": 0.912, "fired": True,
             "outcome": "nobody spoke"},
            {"at": 1_700_000_003.0, "t": 14.75, "word": "Alexa", "kind": "wake", "score": 0.6, "fired": False,
             "outcome": ""},
        ]
    }  # fmt: skip


def test_only_the_newest_are_kept() -> None:
    log = WakeLog()
    for number in range(LENGTH + 3):
        log.add(Heard("Alexa", 1.0, fired=True), wall=0.0, t=float(number))
    kept = [entry["t"] for entry in log.answer()["heard"]]
    assert kept == [float(number) for number in range(3, LENGTH + 3)]
