"""The closed loop of the sound study is alive: a few of its cases, through the engine and through the daemon."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
from acoustics import active_level
from study import metrics
from study.cases import (
    DISTORTION,
    SER_DB,
    Case,
    Half,
    answers_over_voices,
    build,
    early,
    interruptions,
    over_voices,
    replies,
    rooms_without_answer,
    words,
)
from study.loop import HEARD_HZ, Mark, Run, play
from study.run import measure


def case(ser_db: int = -5, delay_ms: int = 60) -> Case:
    return next(
        one
        for one in interruptions("training")
        if (one.ser_db, one.delay_ms, one.distortion, one.jump_at_s) == (ser_db, delay_ms, 0.3, None)
    )


def test_an_answer_yields_to_a_person_and_what_they_say_goes_up_whole(tmp_path: Path) -> None:
    outcome = measure("alone", case(), tmp_path)
    assert outcome.yielding is not None
    assert outcome.yielding.duck_s is not None
    assert outcome.yielding.stop_s is not None
    assert 0 < outcome.yielding.duck_s <= outcome.yielding.stop_s < 1.5
    assert outcome.false_stops == outcome.by_service == 0
    assert outcome.level_after is not None
    assert abs(outcome.level_after) < 2


def test_the_service_may_be_first_and_there_is_one_silence(tmp_path: Path) -> None:
    outcome = measure("together", case(), tmp_path)
    assert outcome.yielding is not None
    assert outcome.yielding.stop_s is not None
    assert outcome.silences == 1


def test_a_television_does_not_stop_an_answer_and_a_person_does(tmp_path: Path) -> None:
    room = next(one for one in over_voices("training") if (one.ser_db, one.under_db) == (-5, 12))
    outcome = measure("alone", room, tmp_path)
    assert outcome.false_stops == 0
    assert outcome.yielding is not None
    assert outcome.yielding.stop_s is not None


def test_nobody_speaks_and_nothing_stops(tmp_path: Path) -> None:
    quiet = dataclasses.replace(case(), kind="reply", onset_s=0.0)
    scene = build(quiet, tmp_path)
    run = play(dataclasses.replace(scene, seconds=8.0))
    assert metrics.false_alarms(run, "stop") == 0
    assert np.median([db for at, db in metrics.erle(run) if at > 2]) > 20
    assert np.abs(run.loudspeaker[16_000:]).max() > 3_000


def test_a_scene_is_what_its_case_says_and_the_same_each_time(tmp_path: Path) -> None:
    wanted = case(ser_db=-10)
    scene, again = build(wanted, tmp_path), build(wanted, tmp_path)
    assert np.array_equal(scene.answer, again.answer)
    assert np.array_equal(scene.near, again.near)
    assert scene.onset_s is not None
    assert wanted.onset_s <= scene.onset_s < wanted.onset_s + 0.1
    run = play(dataclasses.replace(scene, near=np.zeros_like(scene.near), onset_s=None, seconds=6.0))
    echo = active_level(run.microphone / 32_768, 16_000)
    assert abs(active_level(scene.near) - echo - wanted.ser_db) < 2.5
    assert np.abs(run.microphone).max() < 32_000


def test_the_halves_share_nothing_and_every_condition_is_there() -> None:
    training, held_out = interruptions("training"), interruptions("held-out")
    for name in ("answer_voice", "person_voice", "words", "room_m", "seed"):
        assert not {getattr(one, name) for one in training} & {getattr(one, name) for one in held_out}, name
    combinations = [(one.ser_db, one.delay_ms, one.distortion) for one in held_out]
    assert {combinations.count(one) for one in combinations} == {2}
    assert len(set(combinations)) == 60
    assert sum(one.jump_at_s is not None for one in held_out) == 20
    assert len(replies("held-out")) == 36
    for alone in (replies("held-out"), replies("held-out")[::3]):
        assert {one.distortion for one in alone} == set(DISTORTION)
        assert {one.ser_db for one in alone} == set(SER_DB)
    for beside in (over_voices("held-out"), answers_over_voices("held-out")):
        rooms = [(one.ser_db, one.voices, one.under_db) for one in beside]
        assert len(set(rooms)) == 24
        assert {rooms.count(one) for one in rooms} == {len(rooms) // 24}
    assert len(early("held-out")) == 24
    assert {one.kind for one in rooms_without_answer("held-out")} == {"silence", "television", "babble", "person"}
    assert len(words("held-out")) == 72


def test_times_are_counted_from_the_person_and_false_alarms_before() -> None:
    run = Run(6.0, onset_s=3.0)
    run.marks = [
        Mark("duck", 0.5, 0.55),
        Mark("clear", 1.1, 1.1),
        Mark("duck", 3.1, 3.15),
        Mark("stop", 3.3, 3.3),
        Mark("silence", 3.32, 3.4),
    ]
    found = metrics.yielding(run)
    assert found.duck_s is not None
    assert found.stop_s is not None
    assert abs(found.duck_s - 0.15) < 1e-9
    assert abs(found.stop_s - 0.4) < 1e-9
    assert metrics.false_alarms(run, "duck") == metrics.false_alarms(run, "duck", first_second=True) == 1
    assert metrics.false_alarms(run, "stop") == 0
    late = Run(6.0, onset_s=3.0, marks=[Mark("silence", 4.6, 4.6)])
    assert metrics.yielding(late) == metrics.Yielding(None, None)


def test_minutes_of_answer_are_those_in_which_it_sounds() -> None:
    sound = np.zeros(10 * HEARD_HZ, np.int16)
    sound[2 * HEARD_HZ : 8 * HEARD_HZ] = 3_000
    assert abs(metrics.quiet_minutes(Run(10.0, loudspeaker=sound)) * 60 - 6.0) < 0.1
    assert abs(metrics.quiet_minutes(Run(10.0, loudspeaker=sound, onset_s=5.0)) * 60 - 3.0) < 0.1


def test_a_follow_up_counts_what_would_be_sent() -> None:
    run = Run(40.0, marks=[Mark("voice", 10.0, 10.0), Mark("pause", 20.0, 20.0), Mark("voice", 35.0, 35.0)])
    assert abs(metrics.follow_up(run, 15.0) - 10 / 25) < 1e-9


def test_there_is_a_place_for_everybody() -> None:
    halves: tuple[Half, ...] = ("training", "held-out")
    for half in halves:
        people = [*interruptions(half), *early(half), *over_voices(half), *rooms_without_answer(half), *words(half)]
        for one in people:
            length, width, _ = one.room_m
            assert 0.7 <= one.person_m < np.hypot(0.7 * length - 0.3, 0.7 * width - 0.3), one.name
