"""A play whose step does not happen ends there, with the step's name and what was missing."""

from __future__ import annotations

import time
from typing import Any, Self

import pytest

from edge_agent.demo.air import Air, FileAir, Spoken, microphone_file
from edge_agent.demo.journal import Journal, select
from edge_agent.demo.performance import STEPS, Missed, Performance
from edge_agent.demo.speech import UTTERANCES
from edge_agent.errors import Stop


class QuietAir:
    """Speech that takes no time."""

    env: dict[str, str] = {}  # noqa: RUF012  the protocol's plain attribute
    microphone = loudspeaker = "none:"
    zero = 0.0

    def begin(self, status: Any) -> None:
        """Nothing opens."""

    def approach(self, name: str, lead_s: float) -> None:
        """Nothing to wait for."""

    def speak(self, name: str) -> Spoken:  # noqa: ARG002  any utterance
        now = time.monotonic()
        return Spoken(now - 1.0, now - 0.5)

    def finish(self) -> None:
        """Nothing is recorded."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is open."""


class DeadStage:
    """A device that takes a press and then dies."""

    def __init__(self) -> None:
        self.journal = Journal()
        self.air: Air = QuietAir()
        self.expected: list[str] = []

    def call(self, request: dict[str, Any]) -> dict[str, Any]:
        if request["do"] == "release":
            self.journal.fail("The daemon ended unasked.")
        return {"ok": True}

    def expect(self, name: str) -> None:
        self.expected.append(name)

    def cut(self) -> None:
        """Nothing to cut."""


def test_a_device_that_dies_ends_the_play_with_a_sentence() -> None:
    stage = DeadStage()
    with pytest.raises(Missed, match="question: no answer came; The daemon ended unasked"):
        Performance(stage).run()
    assert stage.expected == ["time"]
    assert [entry.fields["name"] for entry in select(stage.journal.entries(), "demo", "step")] == ["question"]
    (missed,) = select(stage.journal.entries(), "demo", "missed")
    assert missed.fields["why"].startswith("no answer came")


def test_a_refusal_of_the_daemon_ends_the_play_in_its_own_words() -> None:
    stage = DeadStage()

    def refuse(request: dict[str, Any]) -> dict[str, Any]:
        raise Stop(f"The daemon refused to {request['do']}: no.")

    stage.call = refuse  # type: ignore[method-assign]
    with pytest.raises(Missed, match="question: The daemon refused to press: no"):
        Performance(stage).run()


def test_every_step_is_told_in_one_line_and_can_be_played() -> None:
    assert len({step.name for step in STEPS}) == len(STEPS)
    for step in STEPS:
        assert "\n" not in step.line
        assert len(step.line) <= 110
        assert hasattr(Performance, f"_{step.name}")


def test_each_utterance_has_its_place_in_the_microphone_file() -> None:
    sound = microphone_file({"time": 0.5, "day": 2.0})
    assert abs(sound[: 48_000 // 2]).max() == 0.0
    assert abs(sound[24_000 : 24_000 + 30_000]).max() > 0.2
    assert abs(sound[96_000:]).max() > 0.2


def test_a_conversation_that_missed_its_place_says_so(tmp_path: Any) -> None:
    with FileAir(tmp_path, tmp_path / "session.wav") as air:
        air.begin({"t": time.monotonic() - 60.0, "capture_s": 0.0})
        with pytest.raises(Stop, match="too late"):
            air.approach("see", 0.0)


def test_places_in_the_file_follow_the_order_of_the_play() -> None:
    from edge_agent.demo.air import SLOTS_S

    assert set(SLOTS_S) == set(UTTERANCES)
    assert list(SLOTS_S.values()) == sorted(SLOTS_S.values())


def test_a_daemon_that_left_no_sound_is_told(tmp_path: Any) -> None:
    with FileAir(tmp_path, tmp_path / "session.wav") as air, pytest.raises(Stop, match="left no sound"):
        air.finish()
