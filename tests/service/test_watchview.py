"""What a person reads of `watch`."""

from __future__ import annotations

from typing import Any

import pytest

from edge_agent.service.watchview import View, readable, value


class _Screen:
    def __init__(self, *, terminal: bool = False) -> None:
        self.lines: list[str] = []
        self.last = ""
        self.view = View(self._line, self._transient if terminal else None)

    def _line(self, text: str) -> None:
        self.lines.append(text.strip())

    def _transient(self, text: str) -> None:
        self.last = text.strip()


def _caption(speaker: str, line: str, *, finished: bool = False) -> dict[str, Any]:
    return {"event": "caption", "speaker": speaker, "text": line[-3:], "line": line, "finished": finished}


def _spoken(screen: _Screen) -> list[str]:
    return [line.removeprefix("caption").strip() for line in screen.lines if line.startswith("caption")]


def test_a_caption_is_printed_once_when_it_is_finished() -> None:
    screen = _Screen()
    for line in ("Good", "Good mor", "Good morning"):
        screen.view.show(_caption("person", line))
    assert screen.lines == []
    screen.view.show(_caption("person", "Good morning.", finished=True))
    screen.view.close()
    assert _spoken(screen) == ["person: Good morning."]


def test_a_caption_that_nobody_finishes_is_printed_when_something_else_begins() -> None:
    screen = _Screen()
    screen.view.show(_caption("person", "Where is it?"))
    screen.view.show({"event": "light", "light": "thinking"})
    screen.view.show(_caption("device", "Over"))
    screen.view.show(_caption("device", "Over there"))
    screen.view.show({"event": "state", "state": "idle"})
    screen.view.show(_caption("device", "Over there, I think."))
    screen.view.close()
    assert _spoken(screen) == ["person: Where is it?", "device: Over there", "device: , I think."]


def test_the_same_words_twice_are_two_lines() -> None:
    screen = _Screen()
    screen.view.show(_caption("person", "Yes.", finished=True))
    screen.view.show(_caption("person", "Yes.", finished=True))
    assert _spoken(screen) == ["person: Yes.", "person: Yes."]


def test_a_terminal_sees_a_caption_grow_and_levels_in_between_do_not_hide_it() -> None:
    screen = _Screen(terminal=True)
    level = {"event": "level", "mic_dbfs": -30.0, "speaker_dbfs": None}
    screen.view.show(level)
    assert screen.last.startswith("level       mic ##########")
    screen.view.show(_caption("device", "Over"))
    screen.view.show(level)
    assert screen.last.endswith("device: Over ...")
    assert screen.lines == []


def test_a_file_gets_no_levels() -> None:
    screen = _Screen()
    screen.view.show({"event": "level", "mic_dbfs": -30.0, "speaker_dbfs": None})
    assert screen.lines == []


@pytest.mark.parametrize(
    ("event", "line"),
    [
        ({"event": "state", "t": 1.5, "state": "idle"}, "     1.500  state       idle"),
        ({"event": "status", "t": 1, "state": "idle", "why": "up", "lit": [0]}, "     1.000  status      idle  (up)"),
        ({"event": "fault", "t": 1, "code": 4, "text": "No microphone."}, "     1.000  fault       4: No microphone."),
        ({"event": "fault", "t": 1, "code": None, "text": ""}, "     1.000  fault       none any more"),
        ({"event": "lost", "count": 12}, "            lost        12 events were lost: this terminal reads too slowly"),
        (
            {"event": "tool", "t": 2, "audio_s": 1.0, "name": "weather", "ok": True, "seconds": 0.5, "why": None},
            "     2.000  tool        name weather  ok yes  seconds 0.5",
        ),
        (
            {"event": "level", "t": 0, "mic_dbfs": None, "speaker_dbfs": -0.0, "clipped": True},
            f"     0.000  level       mic {'':20}  -inf dB  out {'#' * 20}  -0.0 dB  CLIPPED",
        ),
        ({}, "            ?"),
    ],
)
def test_a_line_for_every_kind(event: dict[str, Any], line: str) -> None:
    assert readable(event) == line


def test_values() -> None:
    assert [value(one) for one in (None, True, 1.50, 3, "x", [1, 2])] == ["-", "yes", "1.5", "3", "x", "[1, 2]"]
