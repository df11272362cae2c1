"""The far end: ducked fast and without a click, cues as loud as ever, no loud tail, silent when it says so."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from edge_agent.audio.farend import DUCK_DB, AnswerEnded, AnswerStarted, FarEnd, FarEvent, Flushed
from edge_agent.audio.filters import DOWN_RATE, Interpolator

FULL = 2.0**31
MS = 48  # frames
LOW = 10 ** (DUCK_DB / 20)
STEADY = 0.5

Sound = NDArray[np.float64]


def far_end(*, volume: int = 100) -> FarEnd:
    return FarEnd(block_frames=960, volume=volume)


def steady(seconds: float, level: float = STEADY) -> NDArray[np.int16]:
    """An answer without a wave: what is done to it is all there is to see."""
    return np.full(round(seconds * DOWN_RATE), round(level * 32_768), np.int16)


def heard(far: FarEnd, ms: int, told: list[FarEvent] | None = None, *, block: int = 960) -> Sound:
    pieces = []
    for start in range(0, ms * MS, block):
        count = min(block, ms * MS - start)
        pieces.append(far.render(count, (told if told is not None else []).append).copy())
    return np.concatenate(pieces)[:, 0] / FULL


def click(sound: Sound) -> float:
    return float(np.abs(np.diff(sound)).max())


def test_a_suspicion_lowers_the_answer_by_18_db_within_20_ms_and_it_comes_back_within_200() -> None:
    far = far_end()
    far.queue.put(steady(3.0))
    heard(far, 200)
    far.duck(on=True)
    down = heard(far, 100)
    assert down[0] > 0.9 * STEADY
    assert down[22 * MS] == pytest.approx(STEADY * LOW, rel=0.02)
    assert 20 * np.log10(down[-1] / STEADY) == pytest.approx(-18, abs=0.1)
    assert click(down) <= 1.25 * STEADY * (1 - LOW) / (20 * MS)
    far.duck(on=False)
    up = heard(far, 300)
    assert up[100 * MS] == pytest.approx(STEADY * (1 + LOW) / 2, rel=0.02)
    assert up[202 * MS] == pytest.approx(STEADY, rel=0.001)
    assert click(up) <= 1.25 * STEADY * (1 - LOW) / (200 * MS)


@settings(max_examples=30, deadline=None)
@given(moves=st.lists(st.tuples(st.booleans(), st.integers(0, 60)), min_size=1, max_size=12))
def test_no_order_of_ducking_clicks(moves: list[tuple[bool, int]]) -> None:
    far = far_end()
    far.queue.put(steady(4.0))
    parts = [heard(far, 200)]
    for on, ms in moves:
        far.duck(on=on)
        parts.append(heard(far, ms) if ms else np.zeros(0))
    sound = np.concatenate(parts)[100 * MS :]
    if len(sound) > 1:
        assert click(sound) <= 1.25 * STEADY * (1 - LOW) / (20 * MS)
        assert sound.min() >= STEADY * LOW * 0.95


def test_a_cue_over_a_ducked_answer_is_as_loud_as_ever() -> None:
    sounds = []
    cue = (0.2 * np.sin(np.arange(4_800) * 0.2)).astype(np.float32)
    for ducked in (False, True):
        far = far_end()
        far.duck(on=ducked)
        far.queue.put(steady(1.0, 0.3))
        heard(far, 100)
        without = heard(far, 20)[-1]
        far.cue(cue)
        sounds.append(heard(far, 150) - without)
    assert np.abs(sounds[0] - sounds[1]).max() < 1e-5
    assert np.abs(sounds[0]).max() > 0.19


def test_a_prompt_is_ducked_as_an_answer_is() -> None:
    far = far_end()
    far.duck(on=True)
    far.say(np.full(DOWN_RATE, STEADY, np.float32))
    assert heard(far, 100)[-1] == pytest.approx(STEADY * LOW, rel=0.02)


@pytest.mark.parametrize("restored_first", [True, False])
def test_an_answer_stopped_while_it_was_ducked_has_no_loud_tail(restored_first: bool) -> None:
    far = far_end()
    far.queue.put(steady(3.0))
    heard(far, 200)
    far.duck(on=True)
    heard(far, 100)
    if restored_first:
        far.duck(on=False)
    far.queue.flush()
    tail = heard(far, 60)
    assert np.abs(tail).max() <= STEADY * LOW * 1.1
    assert click(tail) <= STEADY * LOW / MS
    assert not tail[10 * MS :].any()


def test_the_next_answer_after_a_ducked_one_begins_at_its_full_level() -> None:
    far = far_end()
    far.queue.put(steady(1.0))
    far.duck(on=True)
    heard(far, 200)
    far.queue.flush()
    heard(far, 40)
    far.duck(on=False)
    heard(far, 20)
    far.queue.put(steady(1.0))
    assert heard(far, 40)[-1] == pytest.approx(STEADY, rel=0.01)


def test_an_answer_that_begins_under_a_suspicion_begins_low() -> None:
    far = far_end()
    far.duck(on=True)
    heard(far, 20)
    far.queue.put(steady(1.0))
    assert np.abs(heard(far, 60)).max() <= STEADY * LOW * 1.1


def test_ducking_moves_no_event() -> None:
    told: list[list[FarEvent]] = [[], []]
    for ducked, events in zip((False, True), told, strict=True):
        far = far_end()
        far.queue.put(steady(0.5))
        far.queue.end()
        heard(far, 100, events)
        far.duck(on=ducked)
        heard(far, 600, events)
        far.queue.put(steady(0.5))
        heard(far, 100, events)
        far.queue.flush()
        heard(far, 100, events)
    assert told[0] == told[1]
    assert [type(event) for event in told[0]] == [AnswerStarted, AnswerEnded, AnswerStarted, Flushed]


@settings(max_examples=60, deadline=None)
@given(
    doings=st.lists(
        st.tuples(
            st.sampled_from(["play", "end", "flush", "cue", "say", "hush", "duck", "back", "mute", "loud", "nothing"]),
            st.sampled_from([48, 480, 960, 961, 1_900, 4_800]),
        ),
        min_size=1, max_size=25,
    )
)  # fmt: skip
def test_what_it_calls_silent_holds_no_sound_and_follows_20_ms_of_silence(  # noqa: C901  a case for each doing
    doings: list[tuple[str, int]],
) -> None:
    far = far_end()
    past = np.zeros(20 * MS)
    for what, frames in doings:
        match what:
            case "play":
                far.queue.put(steady(0.05))
            case "end":
                far.queue.end()
            case "flush":
                far.queue.flush()
            case "cue":
                far.cue(np.full(300, 0.1, np.float32))
            case "say":
                far.say(np.full(700, 0.1, np.float32))
            case "hush":
                far.hush()
                far.stop_own_sounds()
            case "duck" | "back":
                far.duck(on=what == "duck")
            case "mute" | "loud":
                far.volume.set(0 if what == "mute" else 80)
            case _:
                pass
        sound = far.render(frames, lambda _: None)[:, 0] / FULL
        if far.silent:
            assert not sound.any()
            assert not past.any()
        past = np.concatenate([past, sound])[-20 * MS :]
    settled = [far.render(960, lambda _: None).any() or not far.silent for _ in range(60)]
    assert not any(settled[-5:]) or far.volume.volume == 0, "and in the end it is silent and says so"


def test_a_tone_comes_through_the_filter_and_nothing_else() -> None:
    far = far_end()
    wave = (8_000 * np.sin(np.arange(DOWN_RATE) * 0.3)).astype(np.int16)
    far.queue.put(wave)
    far.queue.end()
    sound = heard(far, 1_000)
    alone = Interpolator().process(wave)[:, 0] / FULL
    assert np.abs(sound - alone[: len(sound)]).max() < 1e-6
