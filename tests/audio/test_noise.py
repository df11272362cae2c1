"""The noise floor: what is always there is found, whatever else is heard."""

from __future__ import annotations

import pytest
from acoustics import pink, speech
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.audio.levels import SILENCE_DBFS
from edge_agent.audio.noise import RISE_DB_PER_S, NoiseFloor

FRAME_S = 0.02


def after(levels: list[float], floor: NoiseFloor | None = None) -> float:
    floor = floor or NoiseFloor()
    for level in levels:
        floor.take(10 ** (level / 10), FRAME_S)
    return floor.dbfs


def test_nothing_is_known_before_anything_was_heard_and_exact_silence_says_nothing() -> None:
    floor = NoiseFloor()
    floor.take(0.0, FRAME_S)
    assert floor.dbfs == SILENCE_DBFS
    assert after([-50.0], floor) == pytest.approx(-50.0)
    floor.take(0.0, FRAME_S)
    assert floor.dbfs == pytest.approx(-50.0), "a microphone that was shut is no quiet room"


def test_a_fall_is_believed_soon_and_a_rise_slowly() -> None:
    assert after([-40.0] + [-60.0] * 5) < -59.0
    floor = NoiseFloor()
    after([-60.0], floor)
    assert after([-40.0] * 50, floor) == pytest.approx(-60.0 + RISE_DB_PER_S, abs=0.01), "one second"
    assert after([-40.0] * 500, floor) == pytest.approx(-40.0, abs=0.01), "a fan that stays on"


def test_a_fall_takes_the_same_time_in_pieces_of_any_length() -> None:
    found = []
    for pieces, seconds in ((20, 0.005), (10, 0.01), (5, 0.02), (1, 0.1)):
        floor = NoiseFloor()
        after([-40.0], floor)
        for _ in range(pieces):
            floor.take(10 ** (-60.0 / 10), seconds)
        found.append(floor.dbfs)
    assert found == pytest.approx([found[0]] * 4)
    assert found[0] < -59.0, "after 0.1 s"


def test_who_talks_is_no_noise() -> None:
    said = speech("The kettle was put on at seven, and the whole house smelled of toast.", voice="en-us", dbfs=-28.0)
    sound = pink(len(said) / 48_000, dbfs=-50.0, seed=3) + said
    floor = NoiseFloor()
    step = round(48_000 * FRAME_S)
    for at in range(0, len(sound) - step, step):
        floor.take(float((sound[at : at + step] ** 2).mean()), FRAME_S)
        assert at < 48_000 or floor.dbfs < -42.0


@given(st.lists(st.floats(-90.0, 0.0), min_size=1, max_size=200))
def test_the_floor_stays_between_what_was_heard(levels: list[float]) -> None:
    assert min(levels) - 1e-9 <= after(levels) <= max(levels) + 1e-9
