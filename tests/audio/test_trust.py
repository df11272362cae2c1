"""Trust in a canceller is earned once at leisure, and after a slip at once, even where slips come every few seconds."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from edge_agent.audio.ring import RATE
from edge_agent.audio.trust import AGAIN_MOST_S, AGAIN_S, LEARN_MOST_S, LEARN_S, SETTLE_S, Trust

BLOCK = 320
LOUD, SOFT, LEFT = 3_000, 20, 600


def block(level: float) -> NDArray[np.int16]:
    return np.random.default_rng(1).normal(0, level, BLOCK).astype(np.int16)


def hear(trust: Trust, seconds: float, *, far: float = LOUD, left: float = SOFT) -> float:
    """Let the device speak for so long; returns after how much of it the canceller was believed."""
    played, clean = block(far), block(left)
    for number in range(round(seconds * RATE / BLOCK)):
        if trust.given:
            return number * BLOCK / RATE
        trust.hear(played, clean, noise_dbfs=-70.0)
    return seconds


def earned() -> Trust:
    trust = Trust()
    hear(trust, 2 * LEARN_S)
    assert trust.given
    return trust


def test_it_is_earned_by_a_second_of_which_nothing_is_left() -> None:
    assert hear(Trust(), 9.0) == pytest.approx(LEARN_S, abs=0.02)
    assert hear(Trust(), 9.0, left=LEFT) == pytest.approx(LEARN_MOST_S, abs=0.02), "what is left is not its fault"
    trust = Trust()
    hear(trust, LEARN_S - 0.1)
    hear(trust, 0.02, left=LEFT)
    assert hear(trust, 9.0) == pytest.approx(LEARN_S, abs=0.04), "without a rest"


def test_soft_sound_teaches_nothing() -> None:
    assert hear(Trust(), 9.0, far=SOFT) == 9.0


def test_after_a_slip_it_is_earned_again_sooner_but_not_while_the_echo_settles() -> None:
    trust = earned()
    trust.doubt()
    assert not trust.given
    assert hear(trust, 9.0) == pytest.approx(SETTLE_S + AGAIN_S, abs=0.04)
    trust.doubt()
    assert hear(trust, 9.0, left=LEFT) == pytest.approx(SETTLE_S + AGAIN_MOST_S, abs=0.04)
    assert trust.doubts == 2


@pytest.mark.parametrize("every_s", [1.2, 2.0, 5.0])
def test_slips_that_never_end_do_not_keep_it_away_for_ever(every_s: float) -> None:
    trust = earned()
    believed = 0.0
    for _ in range(10):
        trust.doubt()
        believed += every_s - hear(trust, every_s)
    assert believed / (10 * every_s) > 1 - (SETTLE_S + AGAIN_S + 0.1) / every_s
    someone_talks = 0.0
    for _ in range(10):
        trust.doubt()
        someone_talks += every_s - hear(trust, every_s, left=LEFT)
    assert someone_talks > 0


def test_what_was_lost_while_the_device_was_silent_is_settled_when_it_speaks() -> None:
    trust = earned()
    trust.doubt()
    trust.rest(round(SETTLE_S * RATE))
    assert hear(trust, 9.0) == pytest.approx(AGAIN_S, abs=0.04)


def test_where_it_was_never_earned_a_slip_does_not_make_it_easier() -> None:
    trust = Trust()
    hear(trust, 0.5)
    trust.doubt()
    assert hear(trust, 9.0) == pytest.approx(SETTLE_S + LEARN_S, abs=0.04)
    assert trust.doubts == 0
