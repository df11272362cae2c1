"""What the sound thread reports becomes a fault, a figure or a line for watchers; what answers lose is counted."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from edge_agent.agent.reports import Reports
from edge_agent.agent.speaker import Speaker
from edge_agent.audio.engine import AnswerEnded, Duplex, Underrun
from edge_agent.audio.levels import Level
from edge_agent.audio.ring import CaptureRing
from edge_agent.conversation import events as ev
from edge_agent.errors import DeviceError, Fault
from edge_agent.service.captions import Captions
from edge_agent.service.metrics import Metrics
from edge_agent.service.stopwatch import Stopwatch

SECOND = b"\1\0" * 24_000


class Room:
    """A speaker, and all that it told."""

    def __init__(self) -> None:
        self.told: list[ev.Event] = []
        self.published: list[tuple[str, dict[str, Any]]] = []
        self.metrics = Metrics()
        self.engine = Duplex(block_frames=960, ring=CaptureRing(), mic_gain_db=0.0, mic_channel="left", volume=50)
        reports = Reports(
            self.metrics,
            Captions(None),
            clock=lambda: 0.0,
            audio_s=lambda: 0.0,
            told=lambda event, fields: self.published.append((event, fields)),
        )
        self.speaker = Speaker(
            self.engine,
            block_ms=20,
            tell=self.told.append,
            sample=lambda: 4800,
            metrics=self.metrics,
            reports=reports,
            stopwatch=Stopwatch(self.metrics, reports.latency),
        )


def in_a_room(story: Callable[[Room], None]) -> None:
    async def told() -> None:
        story(Room())

    asyncio.run(told())


def test_the_end_of_what_is_heard_is_told_when_nothing_else_waits() -> None:
    def story(room: Room) -> None:
        room.speaker.events([AnswerEnded(0)])
        assert room.told == [ev.PlaybackEnded(4800)]
        room.speaker.play(SECOND, rate=24_000, came_at=0.0)
        room.speaker.events([AnswerEnded(0)])
        assert len(room.told) == 1, "the next answer has come meanwhile, and ends later"

    in_a_room(story)


def test_a_sound_that_cannot_be_played_costs_a_line_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    def story(room: Room) -> None:
        room.speaker.play(SECOND, rate=0, came_at=0.0)
        assert "could not be played" in caplog.text
        assert room.engine.queue_ms == 0

    in_a_room(story)


def test_watchers_are_told_of_gaps_and_levels() -> None:
    def story(room: Room) -> None:
        room.speaker.events([Underrun(0, 12.34), Level(-30.0, -60.0, 0)])
        assert room.published == [
            ("underrun", {"gap_ms": 12.3}),
            ("level", {"mic_dbfs": -30.0, "speaker_dbfs": -60.0}),
        ]

    in_a_room(story)


def test_a_device_that_fails_is_a_fault_with_its_sentence() -> None:
    def story(room: Room) -> None:
        room.speaker.failed(DeviceError("No loudspeaker.", fault=Fault.LOUDSPEAKER))
        assert room.told == [ev.FaultRaised(Fault.LOUDSPEAKER, "No loudspeaker.")]

    in_a_room(story)


def test_a_sound_thread_that_ends_by_a_defect_is_a_sentence_and_a_traceback_for_who_mends_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def story(room: Room) -> None:
        with pytest.raises(ValueError, match="cannot reshape") as raised:
            np.zeros(3).reshape(2, 2)
        room.speaker.failed(raised.value)
        (told,) = room.told
        assert isinstance(told, ev.FaultRaised)
        assert told.text == "The sound has failed (ValueError); the device starts anew in a moment."
        assert "cannot reshape" in caplog.text
        assert "Traceback" in caplog.text

    in_a_room(story)


def test_what_does_not_fit_is_counted_and_said_once_for_each_answer(caplog: pytest.LogCaptureFixture) -> None:
    def story(room: Room) -> None:
        for _ in range(125):
            room.speaker.play(SECOND, rate=24_000, came_at=0.0)
        assert room.metrics.value("blocks_dropped", queue="playback") == 5 * 1000 / 20
        room.speaker.finish()
        room.speaker.play(SECOND, rate=24_000, came_at=0.0)
        assert caplog.text.count("longer than the playback queue") == 2

    in_a_room(story)
