"""What a running device tells its recorder, and when a file is written."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from edge_agent.agent.flight import Flight, RecordedFlight
from edge_agent.config import Recorder as Settings
from edge_agent.conversation import actions as do
from edge_agent.conversation import events as ev
from edge_agent.errors import ConnectionEnded, Fault, NetworkError, Stop
from edge_agent.service.metrics import Metrics


class Plane:
    """A flight with a clock of our own."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.now = 10.0
        self.folder = folder
        self.metrics = Metrics()
        self.flight = RecordedFlight(
            Settings(folder=str(folder), **settings), metrics=self.metrics, clock=lambda: self.now
        )

    def entries(self) -> list[dict[str, Any]]:
        path = asyncio.run(self.flight.write("test"))
        assert path is not None
        return [json.loads(line) for line in path.read_text().splitlines()][1:]

    def files(self) -> list[str]:
        return [json.loads(path.read_text().splitlines()[0])["why"] for path in sorted(self.folder.glob("*.jsonl"))]


@pytest.fixture
def plane(tmp_path: Path) -> Plane:
    return Plane(tmp_path / "flights")


def test_steps_of_the_conversation_are_kept_without_what_people_asked(plane: Plane) -> None:
    plane.flight.decided(ev.Pressed(4800), [do.OpenTurn(1, 0), do.Show("listening")], "listening")
    plane.flight.decided(ev.AnswerAudio(100.0), [do.Play()], "speaking")
    plane.flight.decided(ev.TextAsked("am I ill?"), [do.SendText("am I ill?")], "thinking")
    plane.flight.decided(ev.LinkDown(Fault.NETWORK, "The line was cut."), [do.Say("offline")], "offline")
    entries = plane.entries()
    assert [entry["event"]["is"] for entry in entries] == ["Pressed", "TextAsked", "LinkDown"]
    assert entries[0]["actions"] == [{"is": "OpenTurn", "turn": 1, "start": 0}, {"is": "Show", "light": "listening"}]
    assert entries[1]["event"]["text"] == {"chars": 9}
    assert entries[1]["actions"][0]["text"] == {"chars": 9}
    assert entries[2]["event"]["fault"] == 1
    assert entries[2]["event"]["text"] == "The line was cut."
    assert entries[2]["state"] == "offline"


def test_what_watchers_are_told_is_kept_without_captions_and_levels_once_a_second(plane: Plane) -> None:
    plane.flight.told("state", {"state": "speaking"})
    plane.flight.told("caption", {"speaker": "person", "text": "hello", "line": "hello"})
    plane.flight.told("alarm", {"why": "pizza", "turn": 1})
    plane.flight.told("timer", {"name": "pizza", "kind": "timer", "phase": "rings"})
    plane.flight.told("grounding", {"queries": ["pizza near me"], "sources": [{"title": "pizza", "uri": "x"}]})
    plane.flight.told("healing", {"step": "nudge"})
    for _ in range(25):
        plane.flight.told("level", {"mic_dbfs": -30.0})
        plane.now += 0.1
    told = plane.entries()
    assert [entry["event"] for entry in told] == [
        *("state", "caption", "alarm", "timer", "grounding", "healing", "level", "level", "level")
    ]
    assert told[0]["fields"] == {"state": "speaking"}
    assert told[3]["fields"] == {"name": {"chars": 5}, "kind": "timer", "phase": "rings"}
    assert told[4]["fields"]["queries"] == [{"chars": 13}]
    assert told[5]["fields"] == {"step": "nudge"}
    assert "hello" not in json.dumps(told)
    assert "pizza" not in json.dumps(told)


def test_the_name_of_an_alarm_is_counted_wherever_the_conversation_passes_it_on(plane: Plane) -> None:
    report = do.Report("turn", "opened")
    plane.flight.decided(ev.AlarmRings("pizza"), [do.Report("alarm", "pizza"), do.Ring(True), report], "idle")
    (entry,) = plane.entries()
    assert "pizza" not in json.dumps(entry)
    assert entry["actions"][0] == {"is": "Report", "event": "alarm", "why": {"chars": 5}, "fault": None}
    assert entry["actions"][2]["why"] == "opened"


def test_links_tell_how_they_ended(plane: Plane) -> None:
    plane.flight.link_up(resumed=True)
    plane.flight.link_down(ConnectionEnded("Ended.", code=1011, reason="Deadline expired"))
    plane.flight.link_down(NetworkError("Cut."))
    plane.flight.link_closed()
    plane.flight.button(down=True)
    up, ended, cut, closed, button = plane.entries()
    assert up["resumed"] is True
    assert (ended["error"], ended["code"], ended["reason"]) == ("ConnectionEnded", 1011, "Deadline expired")
    assert (cut["error"], cut["code"]) == ("NetworkError", None)
    assert closed["error"] is None
    assert button["down"] is True


def test_figures_come_every_ten_seconds_as_far_as_they_changed(plane: Plane) -> None:
    plane.metrics.count("connections")
    for second in range(21):
        plane.now = 10.0 + second
        if second == 15:
            plane.metrics.count("turns")
        plane.flight.second()
    first, second_, third = (entry["figures"] for entry in plane.entries())
    assert first["connections"] == 1
    assert not {"connections", "turns"} & second_.keys()
    assert third["turns"] == 1
    assert "connections" not in third


def test_a_fault_writes_a_file_once_in_the_time_a_file_holds(plane: Plane) -> None:
    async def story() -> None:
        plane.flight.told("fault", {"code": 1, "text": "No network."})
        plane.flight.told("fault", {"code": 1, "text": "No network."})
        plane.flight.told("fault", {"code": None, "text": ""})
        await plane.flight.close()
        plane.now += 301.0
        plane.flight.told("fault", {"code": 1, "text": "Again."})
        await plane.flight.close()
        plane.flight.told("fault", {"code": 9, "text": "Refused."})
        await plane.flight.close()

    asyncio.run(story())
    assert plane.files() == ["fault 1: No network.", "fault 1: Again.", "fault 9: Refused."]


@pytest.mark.parametrize("captions", [True, False])
def test_a_visitors_words_go_with_the_visitor(tmp_path: Path, captions: bool) -> None:
    plane = Plane(tmp_path / "flights", captions=captions)
    plane.flight.told("caption", {"speaker": "person", "text": "hello there", "line": "hello there"})
    assert ("hello there" in json.dumps(plane.entries())) is captions
    plane.flight.visitor_left()
    assert bool(plane.entries()) is not captions


def test_a_device_that_records_nothing_is_told_the_same_and_says_so_when_asked(plane: Plane) -> None:
    off = Flight()
    off.link_up(resumed=False)
    off.link_down(NetworkError("Cut."))
    off.decided(ev.Pressed(0), [], "listening")
    off.told("fault", {"code": 1, "text": "No network."})
    off.second()
    assert off.tap is None, "the line copies nothing for nobody"
    with pytest.raises(Stop, match=r"recorder\.folder"):
        asyncio.run(off.write("asked for"))
    asyncio.run(off.close())
    assert plane.files() == []
