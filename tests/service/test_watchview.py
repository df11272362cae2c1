"""What a person reads of `watch`."""
# ruff: noqa: RUF001  captions in other scripts are what is tested

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.service.watchview import View, cells, clip, plain, readable, value


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
        (
            {"event": "usage", "t": 1, "total": 38, "money": 0.000432},
            "     1.000  usage       total 38  money 0.000432",
        ),
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


ARABIC = "مرحبا، كيف حالك؟"
HINDI = "नमस्ते, आप कैसे हैं?"
CHINESE = "你好，今天天气怎么样？"
PERSIAN = "می\u200cخواهم"


@pytest.mark.parametrize("text", [ARABIC, HINDI, CHINESE, PERSIAN, "Ça va, Zoë?", "👋🏽 hi"])
def test_a_caption_of_any_script_is_shown_as_it_was_said(text: str) -> None:
    screen = _Screen()
    screen.view.show(_caption("person", text, finished=True))
    assert _spoken(screen) == [f"person: {text}"]
    assert plain(text) == text


@pytest.mark.parametrize(
    ("text", "columns"), [("hello", 5), (CHINESE, 22), ("e\u0301", 1), ("שָׁלוֹם", 4), ("ｗｉｄｅ", 8), ("한국어", 6)]
)
def test_columns_are_counted_as_a_terminal_gives_them(text: str, columns: int) -> None:
    assert cells(text) == columns


@given(text=st.text(), width=st.integers(0, 40), tail=st.booleans())
def test_a_clipped_line_never_wraps_and_is_a_piece_of_the_whole(text: str, width: int, tail: bool) -> None:
    piece = clip(text, width, tail=tail)
    assert cells(piece) <= width
    assert text.endswith(piece) if tail else text.startswith(piece)
    assert piece == text or cells(text) > width


def test_the_newest_of_a_wide_script_stays_in_sight() -> None:
    assert clip(CHINESE, 5, tail=True) == "样？"
    assert clip(CHINESE, 5) == "你好"
    assert clip("ae\u0301", 1, tail=True) == "e\u0301"
    assert clip("Xe\u0301", 0, tail=True) == "", "no accent without its letter"


def test_what_was_said_cannot_steer_the_terminal() -> None:
    hostile = "a\x1b[2Jb\x07c\nd\u202ee\u2066f\x9b5n"
    shown = readable({"event": "caption", "speaker": "person", "text": hostile})
    assert shown.endswith("person: a[2Jbc def5n")


def test_a_search_is_told_by_its_words_and_pages_without_the_html() -> None:
    shown = readable(
        {
            "event": "grounding",
            "queries": ["wetter dresden"],
            "sources": [{"title": "dwd.de", "uri": "https://x"}, {"title": "", "uri": "https://y"}],
            "suggestions": "<style>",
        }
    )
    assert shown.endswith("searched for wetter dresden; found dwd.de, https://y")
    assert readable({"event": "grounding"}).endswith("searched for nothing; found nothing")
