"""The talk's plumbing: what goes to the wire in which order, and what of the service's words becomes an event."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from edge_agent.agent import Agent
from edge_agent.agent.talk import Talk
from edge_agent.audio.engine import AnswerEnded
from edge_agent.conversation import actions as do
from edge_agent.conversation import events as ev
from edge_agent.conversation.moves import State
from edge_agent.errors import NetworkError
from edge_agent.live import events as heard
from edge_agent.live.models import profile_for
from edge_agent.live.protocol import LiveProtocol
from edge_agent.live.session import Up
from edge_agent.live.setup import build_setup

Build = Callable[..., Agent]
SECOND = np.full(16_000, 500, np.int16)


class Line:
    """In place of the session: keeps what would be written, and can be full."""

    def __init__(self, talk: Talk, *, model: str = "gemini-3.8-live", manual: bool = True) -> None:
        profile = profile_for(model)
        self.talk = talk
        self.protocol: LiveProtocol | None = LiveProtocol(
            build_setup(model=model, profile=profile, handle=None, manual_turns=manual), profile
        )
        self.protocol.receive('{"setupComplete":{}}')
        self.writable = False
        self.sent: list[dict[str, Any]] = []
        self.heard_at = 0.0
        self.bytes_sent = self.bytes_received = 0
        self.connects: list[bool] = []

    def send(self, frame: bytes) -> None:
        self.sent.append(json.loads(frame))

    def connect(self, *, resume: bool, retell: bool) -> None:  # noqa: ARG002  as the session has it
        self.connects.append(resume)

    def disconnect(self) -> None:
        self.writable = False

    def forget(self) -> None:
        """No handle here."""

    async def close(self) -> None:
        self.writable = False

    def up(self) -> None:
        self.writable = True
        self.talk.link.up(Up())

    @property
    def kinds(self) -> list[str]:
        found = []
        for message in self.sent:
            (kind, body), *_ = message.items()
            found.append(next(iter(body)) if kind == "realtimeInput" else kind)
        return found


def started(agent: Agent, **line: Any) -> tuple[Talk, Line]:
    talk = agent.talk
    wire = Line(talk, **line)
    talk.link.session = wire  # type: ignore[assignment]
    talk.tell(ev.Ready())
    return talk, wire


def test_typed_text_follows_the_speech_it_was_typed_into(build: Build) -> None:
    async def story() -> None:
        talk, wire = started(build())
        talk.ring.append(SECOND)
        talk.press(asyncio.get_running_loop().time())
        wire.up()
        talk.ring.append(SECOND)
        talk.tell(ev.TextAsked("and in short?"))
        wire.writable = False
        await asyncio.sleep(0.3)
        talk.release(asyncio.get_running_loop().time())
        assert "clientContent" not in wire.kinds
        wire.writable = True
        talk.pump()
        assert wire.kinds[0] == "activityStart"
        assert wire.kinds[-2:] == ["activityEnd", "clientContent"]
        await talk.close()

    asyncio.run(story())


def test_typed_text_waits_for_speech_that_is_still_in_the_microphone(
    build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The release is later than the last block that was read: its end is still to come."""

    async def story() -> None:
        talk, wire = started(build())
        monkeypatch.setattr(talk, "sample", lambda: talk.ring.written + 320)
        talk.ring.append(SECOND)
        talk.press(asyncio.get_running_loop().time())
        wire.up()
        talk.ring.append(SECOND)
        talk.tell(ev.TextAsked("and in short?"))
        await asyncio.sleep(0.3)
        talk.release(asyncio.get_running_loop().time())
        assert "clientContent" not in wire.kinds, "it would stand in the middle of the turn"
        talk.ring.append(SECOND[:320])
        talk.pump()
        assert wire.kinds[-2:] == ["activityEnd", "clientContent"]
        await talk.close()

    asyncio.run(story())


def test_a_model_that_takes_no_client_content_gets_live_text(build: Build) -> None:
    async def story() -> None:
        model = "gemini-3.1-flash-live"
        talk, wire = started(build(live={"model": model}), model=model)
        talk.tell(ev.TextAsked("hello"))
        wire.up()
        assert wire.sent == [{"realtimeInput": {"text": "hello"}}]
        await talk.close()

    asyncio.run(story())


def test_text_that_waited_for_a_full_line_is_not_sent_twice_after_a_cut(build: Build) -> None:
    async def story() -> None:
        talk, wire = started(build())
        talk.tell(ev.TextAsked("hello"))
        talk.link.up(Up())  # up, but it takes nothing yet
        talk.link.down(NetworkError("cut"))
        wire.up()
        assert wire.kinds == ["clientContent"]
        await talk.close()

    asyncio.run(story())


def listen(talk: Talk, monkeypatch: pytest.MonkeyPatch) -> list[ev.Event]:
    """Every event that the conversation is told from now on."""
    told: list[ev.Event] = []
    handle = talk.machine.handle

    def noted(event: ev.Event, now: float) -> list[do.Action]:
        told.append(event)
        return handle(event, now)

    monkeypatch.setattr(talk.machine, "handle", noted)
    return told


def talking(build: Build, **tables: Any) -> tuple[Talk, Line]:
    """A text was asked and its answer is awaited."""
    talk, wire = started(build(**tables))
    talk.tell(ev.TextAsked("hello"))
    wire.up()
    assert talk.machine.state is State.THINKING
    return talk, wire


def test_a_call_that_comes_twice_under_one_id_is_settled_by_one_answer(build: Build) -> None:
    async def story() -> None:
        talk, wire = talking(build)
        call = heard.Call("id", "no_such_tool", {})
        talk.link.hearing.hear(heard.ToolCall((call, call)))
        talk.link.hearing.hear(heard.ToolCall((call,)))
        await asyncio.sleep(0.05)
        talk.link.hearing.hear(heard.Audio(b"\0\0" * 2400, 24_000))
        talk.link.hearing.hear(heard.TurnComplete("", True))
        assert wire.kinds.count("toolResponse") == 1
        assert not talk.machine._answer.pending, "it would think for ever"
        await talk.close()

    asyncio.run(story())


def test_a_tool_called_while_nobody_talks_is_not_run(build: Build, caplog: pytest.LogCaptureFixture) -> None:
    async def story() -> None:
        agent = build(live={"prewarm": True})
        talk, wire = started(agent)
        wire.up()
        before = agent.loudness.volume
        talk.link.hearing.hear(heard.ToolCall((heard.Call("id", "set_volume", {"volume": 3}),)))
        await asyncio.sleep(0.05)
        assert agent.loudness.volume == before
        assert "not run" in caplog.text
        await talk.close()

    asyncio.run(story())


def test_sound_that_cannot_be_played_costs_a_line_in_the_log_and_nothing_else(
    build: Build, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story() -> None:
        talk, _ = talking(build)

        def refuse(*_: object, **__: object) -> float:
            raise ValueError("a rate that cannot be converted")

        monkeypatch.setattr(talk.engine, "play", refuse)
        talk.link.hearing.hear(heard.Audio(b"\0\0" * 2400, 8_001))
        assert "could not be played" in caplog.text
        assert talk._timer is not None, "the deadlines stay armed"
        await talk.close()

    asyncio.run(story())


def test_one_action_that_fails_does_not_keep_the_others_from_happening(
    build: Build, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story() -> None:
        agent = build(audio={"input": "silence:", "output": "null:", "cues": True})
        talk, wire = started(agent)

        def broken(name: str) -> None:
            raise LookupError(name)

        monkeypatch.setattr(talk.engine, "cue", broken)
        wire.up()
        talk.press(asyncio.get_running_loop().time())
        assert talk.machine.light == "connecting"
        assert talk.uplink.turn_open
        assert wire.connects == [False]
        assert "Cue could not be carried out" in caplog.text
        await talk.close()

    asyncio.run(story())


def test_the_end_of_an_answer_is_not_taken_for_the_end_of_the_next(build: Build) -> None:
    async def story() -> None:
        talk, _ = talking(build)
        talk.link.hearing.hear(heard.Audio(b"\0\0" * 2400, 24_000))
        talk.link.hearing.hear(heard.TurnComplete("", True))
        talk.speaker.events([AnswerEnded(4800)])
        assert talk.machine.state is State.SPEAKING, "sound is queued: it is that of an answer that came meanwhile"
        await talk.close()

    asyncio.run(story())


def test_what_shows_that_the_service_is_at_work_keeps_the_answer_awaited(
    build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story() -> None:
        talk, _ = talking(build)
        told: list[ev.Event] = []
        monkeypatch.setattr(talk.link.hearing, "_tell", told.append)
        talk.link.hearing.hear(heard.Text("hm", True))
        talk.link.hearing.hear(heard.Text("written", False))
        talk.link.hearing.hear(heard.OutputCaption("said", False))
        talk.link.hearing.hear(heard.Interaction("IN_PROGRESS", False))
        talk.link.hearing.hear(heard.Interaction("IDLE", True))
        talk.link.hearing.hear(heard.VoiceActivity(True, None))
        talk.link.hearing.hear(heard.GoAway(5.0))
        assert told == [*[ev.AnswerProgress()] * 4, ev.WorkDone(), ev.Heard(), ev.LineLeaving(5.0)]
        monkeypatch.undo()
        await talk.close()

    asyncio.run(story())


def test_a_press_silences_the_devices_own_sentence_and_keeps_it_out_of_the_pre_roll(build: Build) -> None:
    async def story() -> None:
        talk, wire = started(build())
        talk.ring.append(SECOND)
        talk.engine.say(b"\0\x20" * 24_000, rate=24_000)  # -12 dBFS
        talk.engine.step(np.zeros((960, 2), np.int32), 1.0, 960)  # it is heard
        assert talk.engine.prompt_ms > 0
        before = talk.sample()
        talk.press(asyncio.get_running_loop().time())
        talk.engine.step(np.zeros((960, 2), np.int32), 1.02, 960)
        assert talk.engine.prompt_ms == 0
        wire.up()
        talk.ring.append(SECOND)
        talk.pump()
        assert talk.uplink._intervals[0].start >= before
        await talk.close()

    asyncio.run(story())


def test_a_line_that_sends_slower_than_speech_is_told_once(build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    async def story() -> None:
        talk, _ = started(build())
        told = listen(talk, monkeypatch)
        for _ in range(4):
            talk.ring.append(SECOND)
        talk.press(asyncio.get_running_loop().time())
        talk.ring.append(SECOND)
        talk.ring.append(SECOND)
        talk.link.up(Up())  # four seconds waited for it, and it takes nothing
        for _ in range(8):
            talk.ring.append(SECOND)
            talk.pump()
        assert told.count(ev.LineSlow()) in {1, 2}
        await talk.close()

    asyncio.run(story())


def test_what_waited_for_the_line_does_not_make_it_slow(build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    async def story() -> None:
        talk, wire = started(build())
        told = listen(talk, monkeypatch)
        talk.ring.append(SECOND)
        talk.press(asyncio.get_running_loop().time())
        for _ in range(10):
            talk.ring.append(SECOND)
        wire.up()
        talk.pump()
        assert wire.kinds.count("audio") > 250
        assert ev.LineSlow() not in told
        await talk.close()

    asyncio.run(story())


def test_after_the_end_nothing_happens_any_more(build: Build) -> None:
    async def story() -> None:
        talk, wire = started(build())
        await talk.close()
        talk.press(asyncio.get_running_loop().time())
        talk.tell(ev.TextAsked("too late"))
        assert wire.connects == []
        assert talk._timer is None or talk._timer.cancelled()

    asyncio.run(story())


def test_a_reload_renews_a_connection_that_was_opened_ahead(build: Build) -> None:
    async def story() -> None:
        talk, wire = started(build(live={"prewarm": True}))
        wire.up()
        talk.reload()
        assert wire.connects == [False, False]
        await talk.close()

    asyncio.run(story())


def test_a_camera_is_not_opened_for_a_connection_nobody_asked_for(
    build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story() -> None:
        agent = build(live={"prewarm": True}, camera={"source": "files:/nowhere"})
        prepared: list[bool] = []
        monkeypatch.setattr(agent.talk.eyes, "prepare", lambda: prepared.append(True))
        talk, wire = started(agent)
        assert wire.connects == [False]
        assert not prepared
        await talk.close()

    asyncio.run(story())


def test_an_answer_of_three_minutes_fills_the_queue_and_says_what_was_dropped(
    build: Build, caplog: pytest.LogCaptureFixture
) -> None:
    async def story() -> None:
        agent = build()
        talk, _ = started(agent)
        talk.tell(ev.TextAsked("tell me everything"))
        talk.link.session.up()  # type: ignore[attr-defined]
        for _ in range(180):
            talk.link.hearing.hear(heard.Audio(b"\1\0" * 24_000, 24_000))
        talk.link.hearing.hear(heard.TurnComplete("", True))
        assert talk.engine.queue_ms == 120_000
        assert caplog.text.count("longer than the playback queue") == 1
        assert agent.metrics.value("blocks_dropped", queue="playback") == 60_000 / 20
        await talk.close()

    with caplog.at_level(logging.WARNING):
        asyncio.run(story())


def test_a_report_of_the_machine_reaches_the_watchers(build: Build) -> None:
    async def story() -> None:
        agent = build()
        seen: list[dict[str, Any]] = []
        agent._reports.to = seen.append
        talk, _ = started(agent)
        talk.press(asyncio.get_running_loop().time())
        assert [event["why"] for event in seen if event["event"] == "turn"] == ["opened"]
        assert len([event for event in seen if event["event"] == "light" and event["light"] == "connecting"]) == 1
        assert do.OpenTurn in do.Action.__args__
        await talk.close()

    asyncio.run(story())
