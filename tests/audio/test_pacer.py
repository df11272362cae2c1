"""The output pacer keeps two clocks together for an hour without losing a frame."""

from __future__ import annotations

import numpy as np
import pytest

from edge_agent.audio.pacer import OutputPacer

BLOCK = 960


class Card:
    """A loudspeaker with a clock of its own, a ring, and a hardware pointer that moves in whole periods."""

    def __init__(self, ring: int, ppm: float, period: int) -> None:
        self.ring, self.ppm, self.period = ring, ppm, period
        self.written = 0
        self.started = 0.0
        self.underruns = 0

    def played(self, now: float) -> int:
        true = int((now - self.started) * 48_000 * (1 + self.ppm / 1e6))
        if true > self.written:
            self.underruns += self.written > 0
            self.started = now - self.written / (48_000 * (1 + self.ppm / 1e6))
            return self.written
        return true // self.period * self.period

    def writable(self, now: float) -> int:
        return self.ring - (self.written - self.played(now))


def lateness() -> np.ndarray:
    """How late the sound thread comes to each block of an hour, seconds: 2 ms, now and then 8."""
    return np.random.default_rng(1).exponential(0.002, 180_000).clip(0, 0.008)


@pytest.mark.parametrize(("ring", "period"), [(1_920, 480), (9_600, 1)])
@pytest.mark.parametrize("ppm", [-200, 0, 200])
def test_an_hour_of_drift_neither_empties_nor_fills_the_ring(ring: int, period: int, ppm: float) -> None:
    pacer = OutputPacer(block_frames=BLOCK, ring_ms=ring / 48)
    card = Card(ring, ppm, period)
    late = lateness()
    highest = 0
    for number in range(180_000):
        now = (number + 1) * 0.02 + late[number]
        writable = card.writable(now)
        frames = pacer.frames(BLOCK, writable)
        assert 0 <= frames <= writable
        assert frames % 48 == 0
        card.written += frames
        highest = max(highest, card.ring - writable + frames)
    assert card.underruns == 0
    assert highest <= 2 * BLOCK
    assert pacer.drift_ppm == pytest.approx(ppm, abs=2)
    assert pacer.drift_frames == pytest.approx(3_598 * 48_000 * ppm / 1e6, abs=1_500)


@pytest.mark.parametrize("ppm", [-200, 200])
def test_a_ring_reported_in_whole_periods_costs_a_few_underruns_and_no_more(ppm: float) -> None:
    pacer = OutputPacer(block_frames=BLOCK, ring_ms=80)
    card = Card(3_840, ppm, BLOCK)
    seen = 0
    for number, late in enumerate(lateness()):
        writable = card.writable((number + 1) * 0.02 + late)
        if card.underruns > seen:
            seen = card.underruns
            pacer.xrun(output=True)
        card.written += pacer.frames(BLOCK, writable)
    assert seen <= 6
    assert pacer.target <= 3 * BLOCK


def test_the_ring_is_filled_at_once_and_refilled_after_a_stall() -> None:
    pacer = OutputPacer(block_frames=BLOCK, ring_ms=100)
    assert pacer.frames(BLOCK, 4_800) == 2 * BLOCK
    assert pacer.frames(BLOCK, 4_800 - 2 * BLOCK) == 0
    assert pacer.frames(BLOCK, 4_800 - BLOCK) == BLOCK
    assert pacer.frames(BLOCK, 4_800) == 2 * BLOCK
    assert pacer.frames(BLOCK, 0) == 0


def test_a_ring_larger_than_said_is_learnt() -> None:
    pacer = OutputPacer(block_frames=BLOCK, ring_ms=10)
    assert pacer.frames(BLOCK, 4_800) == 2 * BLOCK
    assert pacer.fill == 2 * BLOCK


def test_underruns_ask_for_more_and_quiet_minutes_give_it_back() -> None:
    pacer = OutputPacer(block_frames=BLOCK, ring_ms=200)
    for _ in range(9):
        pacer.xrun(output=True)
    pacer.xrun(output=False)
    assert pacer.target == 4 * BLOCK
    for _ in range(4 * 3_600 * 50):
        pacer.frames(BLOCK, 9_600 - pacer.target + BLOCK)
    assert pacer.target == 2 * BLOCK


def test_drift_is_not_told_before_it_is_known() -> None:
    pacer = OutputPacer(block_frames=BLOCK, ring_ms=40)
    for _ in range(50):
        pacer.frames(BLOCK, BLOCK)
    assert pacer.drift_ppm == 0.0
    assert pacer.drift_frames == 0
