"""Fixtures of the fault matrix."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from faults import matrix
from faults.scene import Outcome
from harness import KEY
from showing import Shown

WRITES = bool(os.environ.get("EDGE_AGENT_WRITE_FAULTS"))


@pytest.fixture(autouse=True)
def shown(tmp_path: Path) -> Iterator[Shown]:
    """Everything that is logged or written while something goes wrong; the device's key must not be in it."""
    told = Shown()
    with told.listening():
        yield told
    told.files(tmp_path)
    assert not told.of(KEY), "the device's key was shown"


@pytest.fixture
def row() -> Callable[..., None]:
    """Holds what came of a fault against its row; `speech` where correlation alone does not tell the promise."""

    def held(key: str, outcome: Outcome, *, speech: tuple[str, ...] | None = None) -> None:
        became = tuple(outcome.speech) if speech is None else speech
        assert became == matrix.FAULTS[key].speech, f"{outcome.speech}: {outcome.saw} {outcome.heard}"
        assert not outcome.violations, "the service found fault with the device"
        after = matrix.NOTHING if outcome.after_s is None else f"{outcome.after_s:.1f}"
        found = matrix.Row(
            "; ".join(became), after, " > ".join(outcome.saw), ", ".join(outcome.heard) or matrix.NOTHING
        )
        if WRITES:
            matrix.keep(key, found)
            return
        shown = matrix.read(matrix.PAGE.read_text()).get(key)
        assert shown is not None, f"docs/faults.md has no row for {key}: run scripts/make-faults"
        if key.startswith("real-"):  # in real time a light that shows for a moment may be seen or not
            assert found.speech == shown.speech, f"docs/faults.md is stale in the row {key}: run scripts/make-faults"
            return
        assert found.stable == shown.stable, f"docs/faults.md is stale in the row {key}: run scripts/make-faults"

    return held
