"""The sound study: the whole daemon in closed loop with a room, held to what a person expects of it.

It takes about a quarter of an hour on two cores, and runs with `-m study` alone. With EDGE_AGENT_WRITE_SOUND=1 it
writes `docs/sound.md` and its pictures.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from study.report import SOFTER_DB, at_least, convergence, ducks, per_minute, share_stopped, stops, write
from study.run import Results, is_wake_word, study

DOCS = Path(__file__).parents[2] / "docs"

pytestmark = [pytest.mark.study, pytest.mark.slow, pytest.mark.timeout(2_400)]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    found = study("held-out", tmp_path_factory.mktemp("study"), workers=os.cpu_count() or 1)
    if os.environ.get("EDGE_AGENT_WRITE_SOUND"):
        write(found, DOCS)
    return found


def test_people_who_talk_over_an_answer_stop_it(results: Results) -> None:
    near = at_least(results.of("alone", "interruption"))
    assert len(near) == 72
    assert share_stopped(near) >= 0.9
    assert share_stopped(at_least(results.of("together", "interruption"))) >= 0.9


def test_an_answer_falls_silent_once_whoever_is_first(results: Results) -> None:
    stopped = [
        one for one in results.of("together", "interruption") if one.yielding and one.yielding.stop_s is not None
    ]
    assert len(stopped) >= 72
    assert {one.silences for one in stopped} == {1}


def test_the_answer_yields_at_once(results: Results) -> None:
    near = at_least(results.of("alone", "interruption"))
    assert np.median(ducks(near)) <= 0.220
    assert np.median(stops(near)) <= 0.550


def test_the_first_second_can_be_interrupted_too(results: Results) -> None:
    assert share_stopped(results.of("alone", "early")) >= 0.8


def test_the_device_does_not_interrupt_itself(results: Results) -> None:
    replies = results.of("alone", "reply")
    assert sum(one.minutes for one in replies) >= 30
    assert sum(one.false_stops for one in [*replies, *results.of("fresh", "reply")]) == 0
    assert per_minute(at_least(results.of("alone", "interruption", "reply")), lambda one: one.false_stops) <= 0.1


def test_other_voices_in_the_room_stop_no_answer_and_a_person_over_them_does(results: Results) -> None:
    over, quiet = (
        [one for one in results.of("alone", kind) if one.case.under_db >= SOFTER_DB]
        for kind in ("over voices", "answer over voices")
    )
    assert share_stopped(over) >= 0.9
    assert np.median(ducks(over)) <= 0.250
    assert np.median(stops(over)) <= 0.550
    assert sum(one.minutes for one in quiet) >= 15
    assert per_minute(quiet, lambda one: one.false_stops) <= 0.1


def test_the_service_does_not_hear_the_device(results: Results) -> None:
    replies = results.of("together", "reply")
    assert sum(one.by_service for one in replies) <= 1


def test_the_canceller_holds_the_echo_down(results: Results) -> None:
    loud = [one for one in results.of("alone", "reply") if one.case.ser_db <= -10]
    assert len(loud) >= 20
    assert np.median([db for one in loud for at, db in one.erle if at > 6]) >= 25
    assert np.median(convergence(loud)) <= 1.0


def test_what_is_said_after_the_answer_has_stopped_arrives_whole(results: Results) -> None:
    after = [one.level_after for one in results.of("alone", "interruption") if one.level_after is not None]
    assert len(after) >= 50
    assert abs(float(np.median(after))) <= 1.0


def test_silence_and_television_are_not_sent(results: Results) -> None:
    assert np.mean([one.sent for one in results.of("room", "silence")]) <= 0.02
    assert np.mean([one.sent for one in results.of("room", "television", "babble")]) <= 0.05
    assert all(one.found for one in results.of("room", "person"))


def test_the_wake_word_is_heard_and_what_sounds_like_it_is_not(results: Results) -> None:
    words = [one for one in results.outcomes if one.way == "word"]
    close = [one for one in words if is_wake_word(one.case) and one.case.kind == "word" and one.case.person_m < 1]
    other = [one for one in words if not is_wake_word(one.case)]
    assert sum(one.woken for one in close) >= 0.6 * len(close)
    assert sum(one.woken for one in other) <= 0.1 * len(other)
