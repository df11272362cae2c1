"""What the device hears by itself: told to the conversation, shown to watchers, and what came of every wake word."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from edge_agent.agent.listener import Listener
from edge_agent.agent.reports import Reports
from edge_agent.audio.bargein import NearEndCleared, NearEndConfirmed, NearEndSuspected, VoiceEnded, VoiceStarted
from edge_agent.audio.engine import AnswerStarted, PartFailed, WakeHeard
from edge_agent.conversation import events as ev
from edge_agent.service.captions import Captions
from edge_agent.service.metrics import Metrics
from edge_agent.wake import Outcome

NABU = WakeHeard(16_000, "Okay Nabu", 0.91234)
NEARLY = WakeHeard(16_000, "Okay Nabu", 0.5, fired=False)
STOP = WakeHeard(16_000, "Stop", 0.9, kind="stop")


class Desk:
    """A listener, a conversation that does what a test says, and what watchers see."""

    def __init__(self) -> None:
        self.told: list[ev.Event] = []
        self.seen: list[dict[str, Any]] = []
        self.metrics = Metrics()
        reports = Reports(self.metrics, Captions(), clock=lambda: 7.0, audio_s=lambda: 0.0)
        reports.to = self.seen.append
        self.lost: list[str] = []
        self.answers: Callable[[ev.Event], None] = lambda _: None
        self.listener = Listener(
            tell=self.tell,
            metrics=self.metrics,
            reports=reports,
            on_lost=self.lost.append,
            clock=lambda: 7.0,
            wall=lambda: 1_700_000_000.0,
        )

    def tell(self, event: ev.Event) -> None:
        self.told.append(event)
        self.answers(event)

    @property
    def outcomes(self) -> list[str]:
        return [entry["outcome"] for entry in self.listener.log.answer()["heard"]]

    def counted(self, **labels: str) -> float:
        return self.metrics.value("wake_words" if "outcome" in labels else "near_end", **labels)


def test_a_near_end_is_counted_by_step_and_only_a_confirmed_one_is_told_to_the_conversation() -> None:
    desk = Desk()
    desk.listener.events(
        [AnswerStarted(1), NearEndSuspected(10), NearEndCleared(20), NearEndSuspected(30), NearEndConfirmed(30)]
    )
    assert desk.told == [ev.NearEndConfirmed(30)]
    assert [event["step"] for event in desk.seen] == ["suspected", "cleared", "suspected", "confirmed"]
    assert [desk.counted(step=step) for step in ("suspected", "cleared", "confirmed")] == [2, 1, 1]


def test_a_voice_is_told_and_shown_from_its_beginning_to_its_end() -> None:
    desk = Desk()
    desk.listener.events([VoiceStarted(10), VoiceEnded(20)])
    assert desk.told == [ev.VoiceStarted(10), ev.VoiceEnded(20)]
    assert [(event["event"], event["on"]) for event in desk.seen] == [("voice", True), ("voice", False)]


def test_a_wake_word_is_told_shown_and_logged() -> None:
    desk = Desk()
    desk.listener.events([NABU])
    assert desk.told == [ev.WakeHeard(16_000, "Okay Nabu")]
    (seen,) = desk.seen
    assert (seen["event"], seen["word"], seen["score"], seen["fired"]) == ("wake", "Okay Nabu", 0.912, True)
    (entry,) = desk.listener.log.answer()["heard"]
    assert (entry["at"], entry["t"], entry["word"], entry["score"]) == (1_700_000_000.0, 7.0, "Okay Nabu", 0.912)


@pytest.mark.parametrize("outcome", ["turn", "nobody spoke", "muted", "ignored"])
def test_what_came_of_a_wake_word_is_what_the_conversation_says(outcome: Outcome) -> None:
    desk = Desk()
    desk.listener.events([NABU])
    assert desk.counted(outcome=outcome) == 0
    desk.listener.came(outcome)
    desk.listener.came("turn")  # of something else
    assert desk.outcomes == [outcome]
    assert desk.counted(outcome=outcome) == 1


def test_a_second_wake_word_is_told_apart_from_the_first() -> None:
    desk = Desk()
    desk.listener.events([NABU])
    desk.listener.events([NABU])
    desk.listener.came("turn")
    assert desk.outcomes == ["ignored", "turn"]


def test_a_near_miss_is_logged_and_nothing_else() -> None:
    desk = Desk()
    desk.listener.events([NABU, NEARLY])
    desk.listener.came("turn")
    assert desk.outcomes == ["turn", ""]
    assert desk.told == [ev.WakeHeard(16_000, "Okay Nabu")]
    assert desk.counted(outcome="near miss") == 1


def test_the_local_stop_is_told_as_such() -> None:
    desk = Desk()
    desk.answers = lambda _: desk.listener.came("stopped")
    desk.listener.events([STOP])
    assert desk.told == [ev.StopHeard(16_000)]
    assert desk.outcomes == ["stopped"]


def test_a_part_that_failed_is_in_the_log_with_what_it_means_and_where_it_broke(
    caplog: pytest.LogCaptureFixture,
) -> None:
    desk = Desk()
    desk.listener.events([PartFailed("wake", RuntimeError("invalid state"))])
    assert desk.lost == ["wake"]
    assert "only the button calls the device" in caplog.text
    assert "invalid state" in caplog.text
