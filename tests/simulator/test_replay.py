"""Recordings played back: timing, cuts and refusals as recorded, sound and words as long as recorded."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from edge_agent.service.recorder import Recorder
from edge_agent.simulator import Say, Twin, replay
from edge_agent.simulator.frames import Close, Cut, Emit, Out
from edge_agent.simulator.record import SessionRecord
from edge_agent.simulator.replay import Connection, Recording, Refused, ReplaySession
from edge_agent.simulator.scriptfile import ScriptError
from edge_agent.simulator.virtual import MANUAL, setup_of

DOOR = "/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent"
SETUP = {"setup": setup_of(**MANUAL)}
START: dict[str, Any] = {"realtimeInput": {"activityStart": {}}}
END: dict[str, Any] = {"realtimeInput": {"activityEnd": {}}}
OVER = {"serverContent": {"turnComplete": True}}


class Tape:
    """A recording made with the recorder itself, in a time of our own."""

    def __init__(self, folder: Path) -> None:
        self.now = 50.0
        self.recorder = Recorder(folder, clock=lambda: self.now)

    def up(self, message: dict[str, Any], after: float = 0.0) -> Tape:
        self.now += after
        self.recorder.wire("up", json.dumps(message).encode())
        return self

    def down(self, message: dict[str, Any] | bytes, after: float = 0.0) -> Tape:
        self.now += after
        self.recorder.wire("down", message if isinstance(message, bytes) else json.dumps(message).encode())
        return self

    def lost(self, error: str | None, code: int | None = None, reason: str = "", after: float = 0.0) -> Tape:
        self.now += after
        self.recorder.note("link", up=False, error=error, code=code, reason=reason)
        return self

    def load(self) -> Recording:
        path = self.recorder.dump("a test")
        assert path is not None
        return replay.load(path)


@pytest.fixture
def tape(tmp_path: Path) -> Tape:
    return Tape(tmp_path)


def sound(ms: int) -> dict[str, Any]:
    data = "AAAA" * (ms * 48 // 3)
    return {
        "serverContent": {"modelTurn": {"parts": [{"inlineData": {"mimeType": "audio/pcm;rate=24000", "data": data}}]}}
    }


class Line:
    """A client of one recorded connection, in virtual time."""

    def __init__(self, connection: Refused | Connection) -> None:
        assert isinstance(connection, Connection)
        self.record = SessionRecord(number=1)
        self.session = ReplaySession(connection, record=self.record)
        self.got: list[tuple[float, Out]] = []

    def send(self, message: dict[str, Any], now: float) -> None:
        self.until(now)
        self.session.receive(json.dumps(message), now)
        self.until(now)

    def until(self, now: float) -> None:
        while (due := self.session.due) is not None and due <= now + 1e-9:
            self.got += [(round(due, 3), out) for out in self.session.tick(due)]

    def kinds(self) -> list[tuple[float, str]]:
        return [(t, out.described[0][0] if isinstance(out, Emit) else type(out).__name__) for t, out in self.got]


def test_the_service_says_again_what_it_said_as_long_after_the_client(tape: Tape) -> None:
    tape.up(SETUP).down({"setupComplete": {}}, 0.1).up(START, 5.0).up(END, 2.0)
    tape.down(sound(200), 0.5).down(OVER, 0.3).lost("ConnectionEnded", 1011, "Internal error", 1.0)
    (connection,) = tape.load().attempts
    line = Line(connection)
    line.send(SETUP, 0.0)
    line.send(START, 1.0)
    line.send(END, 1.5)
    line.until(10.0)
    assert line.kinds() == [(0.1, "setupComplete"), (2.0, "audio"), (2.3, "turnComplete"), (3.3, "Close")]
    end = line.got[-1][1]
    assert isinstance(end, Close)
    assert (end.code, end.reason) == (1011, "Internal error")
    (heard,) = [out for _, out in line.got if isinstance(out, Emit) and out.described[0][0] == "audio"]
    assert heard.described[0][1]["seconds"] == pytest.approx(0.2)
    assert line.record.kinds("client") == ["setup", "activityStart", "activityEnd"]


def test_a_client_that_is_quicker_takes_the_service_along(tape: Tape) -> None:
    tape.up(SETUP).down({"setupComplete": {}}).up(START).up(END, 1.0)
    for _ in range(3):
        tape.down(sound(100), 0.5)
    tape.down(OVER, 0.1).up(START, 5.0).up(END, 1.0).down(sound(100), 0.5)
    (connection,) = tape.load().attempts
    line = Line(connection)
    for message, at in ((SETUP, 0.0), (START, 0.1), (END, 0.2), (START, 0.8), (END, 0.9)):
        line.send(message, at)
    line.until(10.0)
    assert line.kinds() == [(0.0, "setupComplete"), (0.7, "audio"), (0.8, "turnComplete"), (1.4, "audio")]


def test_what_the_recording_does_not_expect_is_passed_over(tape: Tape) -> None:
    tape.up(SETUP).down({"setupComplete": {}}).up(START).up(END).down(OVER, 0.2)
    (connection,) = tape.load().attempts
    line = Line(connection)
    line.send(SETUP, 0.0)
    line.send({"realtimeInput": {"text": "hello"}}, 1.0)
    line.send(END, 2.0)
    line.until(10.0)
    assert line.kinds() == [(0.0, "setupComplete"), (2.2, "turnComplete")]
    assert line.record.texts == ["hello"]
    with pytest.raises(RuntimeError, match="recording"):
        line.session.perform([Say("no")], 3.0)


def test_a_client_that_breaks_the_rules_is_closed_as_ever(tape: Tape) -> None:
    (connection,) = tape.up(SETUP).down({"setupComplete": {}}).load().attempts
    line = Line(connection)
    line.send({"nonsense": {}}, 0.0)
    line.until(1.0)
    assert [kind for _, kind in line.kinds()] == ["Close"]
    assert line.record.violations


def test_what_the_recorder_has_forgotten_is_made_up_for(tmp_path: Path) -> None:
    tape = Tape(tmp_path)
    tape.recorder = Recorder(tmp_path, minutes=0.5, clock=lambda: tape.now)
    tape.up(SETUP).down({"setupComplete": {}}).up(START, 200.0).up(END, 1.0).down(OVER, 0.5)
    (connection,) = tape.load().attempts
    line = Line(connection)
    line.send(SETUP, 0.0)
    line.send(START, 1.0)
    line.send(END, 2.0)
    line.until(10.0)
    assert line.kinds() == [(0.0, "setupComplete"), (2.5, "turnComplete")]


def test_cuts_refusals_and_closings_are_told_apart(tape: Tape) -> None:
    tape.lost("NetworkError").lost("Overloaded").lost("Blocked")
    tape.up(SETUP).down({"setupComplete": {}}).lost(None)
    tape.up(SETUP).down({"setupComplete": {}}).lost("NetworkError", after=0.5)
    cut, busy, page, closed, lost = tape.load().attempts
    assert (cut, busy, page) == (Refused(0), Refused(429), Refused(403, page=True))
    assert isinstance(closed, Connection)
    assert all(isinstance(out, Emit) for _, out in closed.segments[0].outs)
    assert isinstance(lost, Connection)
    delay, end = lost.segments[0].outs[-1]
    assert delay == pytest.approx(0.5)
    assert isinstance(end, Cut)


def test_the_server_plays_it_attempt_by_attempt_and_then_the_script(tape: Tape) -> None:
    tape.lost("Overloaded").up(SETUP).down({"setupComplete": {}}).down(b"\xff").lost("NetworkError", after=0.1)
    recording = tape.load()

    async def story() -> None:
        async with Twin(replay=recording) as twin:
            key = {"x-goog-api-key": "test-key"}
            with pytest.raises(InvalidStatus) as refused:
                async with connect(twin.url + DOOR, additional_headers=key, proxy=None):
                    pass
            assert refused.value.response.status_code == 429
            async with connect(twin.url + DOOR, additional_headers=key, proxy=None) as line:
                await line.send(json.dumps(SETUP))
                assert json.loads(await line.recv()) == {"setupComplete": {}}
                assert await line.recv() == b"?"
                with pytest.raises(ConnectionClosed):
                    await line.recv()
            async with connect(twin.url + DOOR, additional_headers=key, proxy=None) as line:
                await line.send(json.dumps(SETUP))
                await line.recv()
                await line.send('{"realtimeInput":{"text":"hi"}}')
                assert b"serverContent" in bytes(await line.recv(decode=False))
            await twin.wait_for(lambda t: not any(session.open for session in t.sessions))
            assert [session.closed_by for session in twin.sessions] == ["server", "client"]

    asyncio.run(story())


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "cannot be read"),
        ("", "not a file of the flight recorder"),
        ("[]\n", "line 1 is not a JSON object"),
        ('{"t":1}\n', "not a file of the flight recorder"),
        ('{"flight":2}\n', "newer than this program"),
        ('{"flight":1}\n{"t":1,"kind":"wire","dir":"up","m":{"setup":{}}}\n{"kind":"wire","dir":"down","m":{"a":{"chars":"b"}}}\n',
         "not as the flight recorder writes"),
    ],
)  # fmt: skip
def test_what_is_no_recording_is_refused_in_a_sentence(tmp_path: Path, text: str | None, words: str) -> None:
    path = tmp_path / "flight.jsonl"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ScriptError, match=words):
        replay.load(path)
