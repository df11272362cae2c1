"""Each promise of the demonstration is kept by a good run and broken by the run in which it did not happen."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from edge_agent.demo.checks import Check, Evidence, SessionFacts, judge, silence, silence_budget_ms
from edge_agent.demo.journal import Entry
from edge_agent.demo.performance import STEPS

ZERO = 1000.0  # of the evidence in conftest
Change = Callable[..., Evidence]


def complaints(evidence: Evidence) -> list[Check]:
    return [check for check in judge(evidence) if not check.ok]


def test_a_good_run_keeps_every_promise(good: Evidence) -> None:
    checks = judge(good)
    assert [check for check in checks if not check.ok] == []
    assert {check.step for check in checks} == {step.name for step in STEPS} | {"wire", "end"}


def test_the_silence_is_measured_on_the_recording(good: Evidence) -> None:
    found = silence(good)
    assert found is not None
    assert found.ms == pytest.approx(50, abs=20)
    assert found.ms < silence_budget_ms(good)


def test_an_answer_that_goes_on_after_the_press_is_found(never_silent: Evidence) -> None:
    (check,) = complaints(never_silent)
    assert check.step == "interruption"
    assert "budget" in check.sentence
    found = silence(never_silent)
    assert found is not None
    assert found.ms == pytest.approx(1000, abs=30)


def turns(evidence: Evidence, name: str, **parts: Any) -> list[Any]:
    return [dataclasses.replace(turn, **parts) if turn.expected == name else turn for turn in evidence.heard]


def without(evidence: Evidence, name: str) -> list[Any]:
    return [turn for turn in evidence.heard if turn.expected != name]


def only(evidence: Evidence, keep: Callable[[Entry], bool]) -> list[Entry]:
    return [entry for entry in evidence.entries if keep(entry)]


def test_a_question_that_lost_its_beginning_is_damaged(good: Evidence, broken: Change) -> None:
    cut = turns(good, "time", audio=good.heard[0].audio[16_000 + 14_000 :])
    (check,) = complaints(broken(heard=cut))
    assert check.step == "question"
    assert "damaged" in check.sentence


def test_a_question_that_was_misunderstood_is_told(good: Evidence, broken: Change) -> None:
    (check,) = complaints(broken(heard=turns(good, "day", phrase="tell me a joke")))
    assert check.step == "interruption"
    assert "tell me a joke" in check.sentence


def test_without_an_ear_the_words_are_not_claimed(good: Evidence, broken: Change) -> None:
    scripted = broken(heard=[dataclasses.replace(turn, phrase="") for turn in good.heard], understands=False)
    checks = judge(scripted)
    assert all(check.ok for check in checks)
    assert not any("understood" in check.sentence for check in checks)


def test_a_question_that_never_arrived_is_told(good: Evidence, broken: Change) -> None:
    assert any("never arrived" in check.sentence for check in complaints(broken(heard=without(good, "joke"))))


def test_a_silent_loudspeaker_breaks_every_answer(good: Evidence, broken: Change) -> None:
    found = complaints(broken(right=np.zeros_like(good.right)))
    assert {check.step for check in found} == {"question", "picture", "interruption", "reconnect", "goodbye"}
    assert all("loudspeaker" in check.sentence or "heard in the room" in check.sentence for check in found)


def test_a_picture_that_stayed_behind_is_told(good: Evidence, broken: Change) -> None:
    (check,) = complaints(broken(heard=turns(good, "see", subjects=())))
    assert check.sentence == "No picture came with the question."


def test_an_answer_that_names_another_picture_is_told(good: Evidence, broken: Change) -> None:
    (check,) = complaints(broken(heard=turns(good, "see", subjects=("a yellow bicycle",))))
    assert check.step == "picture"
    assert "does not name it" in check.sentence


def test_coming_back_as_a_stranger_is_told(broken: Change) -> None:
    strangers = [SessionFacts(1, ""), SessionFacts(2, ""), SessionFacts(3, "")]
    (check,) = complaints(broken(sessions=strangers))
    assert check.step == "reconnect"
    assert "stranger" in check.sentence


def test_not_coming_back_is_told(good: Evidence, broken: Change) -> None:
    gone = broken(entries=only(good, lambda e: e.event != "setupComplete"))
    assert [check.step for check in complaints(gone)] == ["reconnect"]


@pytest.mark.parametrize("kind", ["audio", "activityStart", "video", "text"])
def test_one_message_while_mute_is_told(good: Evidence, broken: Change, kind: str) -> None:
    leak = Entry(ZERO + 28.0, "twin", kind, {"who": "client", "session": 2})
    (check,) = complaints(broken(entries=[*good.entries, leak]))
    assert check.step == "mute"
    assert kind in check.sentence


def test_a_mute_that_nobody_tested_is_no_proof(good: Evidence, broken: Change) -> None:
    untested = only(good, lambda e: not (e.event == "press" and ZERO + 26.6 < e.t < ZERO + 30))
    (check,) = complaints(broken(entries=untested))
    assert check.sentence == "Nobody pressed the button while the device was mute."


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"session": 2}, "the last one's connection"),
        ({"earlier": 2}, "things from before"),
    ],
)
def test_what_the_next_visitor_finds_of_the_last_is_told(
    good: Evidence, broken: Change, change: dict[str, Any], words: str
) -> None:
    (check,) = complaints(broken(heard=turns(good, "hello", **change)))
    assert check.step == "goodbye"
    assert words in check.sentence


def test_a_handle_given_to_the_next_visitor_is_told(broken: Change) -> None:
    kept = [SessionFacts(1, ""), SessionFacts(2, "handle"), SessionFacts(3, "handle")]
    (check,) = complaints(broken(sessions=kept))
    assert check.step == "goodbye"
    assert "handle" in check.sentence


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"violations": ("1007 unknown field",)}, "1007 unknown field"),
        ({"stray_audio": 640}, "640 bytes of sound"),
    ],
)
def test_breaking_a_rule_of_the_service_is_told(
    good: Evidence, broken: Change, facts: dict[str, Any], words: str
) -> None:
    sessions = [dataclasses.replace(good.sessions[0], **facts), *good.sessions[1:]]
    (check,) = complaints(broken(sessions=sessions))
    assert check.step == "wire"
    assert words in check.sentence


def test_a_daemon_that_did_not_end_in_order_is_told(broken: Change) -> None:
    (check,) = complaints(broken(exit_code=-9))
    assert check.step == "end"


def test_a_step_that_was_missed_is_told_once_and_the_rest_was_not_played(good: Evidence, broken: Change) -> None:
    ended = only(good, lambda e: e.t < ZERO + 20.5)
    missed = Entry(ZERO + 20.4, "demo", "missed", {"name": "interruption", "why": "the story did not begin"})
    found = complaints(broken(entries=[*ended, missed]))
    assert [(check.step, check.sentence) for check in found] == [
        ("interruption", "the story did not begin"),
        ("reconnect", "It was not played."),
        ("mute", "It was not played."),
        ("goodbye", "It was not played."),
    ]
