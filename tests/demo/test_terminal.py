"""The terminal tells what happens: as plain lines anywhere, as a page where there is a terminal."""

from __future__ import annotations

import io
import time

import pytest

from edge_agent.demo.journal import Journal
from edge_agent.demo.performance import STEPS
from edge_agent.demo.terminal import CAPTION_CELLS, LiveScreen, PlainScreen, captions, meter, open_screen
from edge_agent.demo.view import View
from edge_agent.service.watchview import cells


def play(journal: Journal) -> None:
    now = time.monotonic()
    journal.add("device", "status", t=now, state="idle", light="idle", muted=False)
    journal.add("demo", "step", t=now, name="question", line=STEPS[0].line)
    journal.add("person", "says", t=now, name="time", text="what time is it", speaker="first visitor")
    journal.add("person", "press", t=now)
    journal.add("device", "state", t=now, state="listening", why="turn: opened")
    journal.add("device", "light", t=now, light="listening")
    journal.add("device", "level", t=now, mic_dbfs=-20.0, speaker_dbfs=-120.0)
    journal.add("twin", "setup", t=now, who="client", session=1)
    for _ in range(3):
        journal.add("twin", "audio", t=now, who="server", bytes=4800)
        journal.add("twin", "outputTranscription", t=now, who="server")
    journal.add("device", "caption", t=now, speaker="person", text="what time is it", line="what time is it")
    journal.add("device", "caption", t=now, speaker="device", text="It", line="It", finished=False)
    journal.add("device", "caption", t=now, speaker="device", text=" is ten.", line="It is ten.", finished=False)
    journal.add("device", "latency", t=now, name="press_to_light", ms=11.4)
    journal.add("device", "state", t=now, state="idle", why="the answer has been heard")
    journal.add("demo", "done", t=now, name="question")
    journal.add("demo", "step", t=now, name="picture", line=STEPS[1].line)
    journal.add("demo", "missed", t=now, name="picture", why="picture: no answer came")


def test_plain_lines_tell_each_step_once_and_captions_whole() -> None:
    journal, out = Journal(), io.StringIO()
    with PlainScreen(journal, STEPS, out):
        play(journal)
    lines = out.getvalue().splitlines()
    assert f"1/6  {STEPS[0].line}" in lines
    assert "     first visitor: what time is it" in lines
    assert lines.count("     device: It is ten.") == 1
    assert "     device: It" not in lines
    assert "     press_to_light: 11 ms" in lines
    assert "     ✗ picture: no answer came" in lines
    assert lines.index("     device: It is ten.") < lines.index(f"2/6  {STEPS[1].line}")


def test_lines_without_a_field_are_still_told() -> None:
    journal, out = Journal(), io.StringIO()
    with PlainScreen(journal, STEPS, out):
        journal.add("device", "connection")
    assert "connection: -" in out.getvalue()


def test_without_a_terminal_lines_are_plain() -> None:
    assert isinstance(open_screen(Journal(), STEPS, plain=False, title=""), PlainScreen)


def test_the_page_shows_state_light_levels_captions_wire_and_steps() -> None:
    pytest.importorskip("rich")
    from rich.console import Console

    journal = Journal()
    console = Console(record=True, width=120, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    screen = LiveScreen(journal, STEPS, title="the demonstration", console=console)
    play(journal)
    console.print(screen.render())
    page = console.export_text(styles=False)
    for words in (
        "the demonstration", "✓ 1", "✗ 2", "· 3", "idle", "button ▣ down", "person: what time is it",
        "device: It is ten.", "↑ setup", "↓ audio x 3  14.4 kB", "outputTranscription x 3", "press to light", "11.4 ms",
        "-20.0 dBFS", "-inf dBFS",
    ):  # fmt: skip
        assert words in page, words


def test_the_pages_light_has_the_colour_and_rhythm_of_the_real_one() -> None:
    pytest.importorskip("rich")
    from rich.console import Console

    journal = Journal()
    out = io.StringIO()
    console = Console(width=120, file=out, force_terminal=True, color_system="truecolor")
    screen = LiveScreen(journal, STEPS, title="", console=console)
    journal.add("device", "light", light="listening")
    console.print(screen.render())
    assert "38;2;40;255;40" in out.getvalue()  # steady green
    out.truncate(0)
    journal.add("device", "light", t=time.monotonic() - 1.0, light="muted")
    console.print(screen.render())
    assert "38;2;40;40;40" in out.getvalue()  # dark between two winks


def test_a_page_opens_and_closes_its_thread() -> None:
    pytest.importorskip("rich")
    from rich.console import Console

    journal = Journal()
    with LiveScreen(journal, STEPS, title="", console=Console(file=io.StringIO(), force_terminal=True, width=100)):
        play(journal)


@pytest.mark.parametrize(("dbfs", "filled"), [(-200.0, 0), (-120.0, 0), (-60.0, 0), (-30.0, 15), (0.0, 30), (6.0, 30)])
def test_a_meter_fills_with_the_level(dbfs: float, filled: int) -> None:
    assert meter(dbfs, 30).count("█") == filled


def test_a_caption_that_begins_anew_is_a_line_of_its_own() -> None:
    view, journal = View(), Journal()
    for line in ("Once", "Once there", "Today"):
        view.take(journal.add("device", "caption", speaker="device", line=line))
    assert [caption.text for caption in view.captions] == ["Once there", "Today"]


def test_a_caption_of_wide_letters_keeps_its_newest_words_in_sight() -> None:
    view, journal = View(), Journal()
    view.take(journal.add("device", "caption", speaker="device", line="你好今天天气" * 40 + "再见"))
    shown = captions(view).plain.strip()
    assert shown.endswith("再见")
    assert cells(shown) <= len("device: ") + CAPTION_CELLS
