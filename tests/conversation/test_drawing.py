"""The page of the states and its picture: true to the tables, to the machine, and to what lies in docs/."""

from __future__ import annotations

import itertools
import re
import runpy
import shutil
import sys
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import pytest

from edge_agent import prompts
from edge_agent.conversation import events as ev
from edge_agent.conversation.drawing import PICTURE, page, picture
from edge_agent.conversation.moves import MOVES, REST, State
from edge_agent.conversation.walk import MODES, Steps, _ears, _ears_beside, _household, _possible, _walk, _World, walk

ROOT = Path(__file__).parents[2]
REDRAW = "docs are stale: run .venv/bin/python scripts/draw-states"
SVG = "{http://www.w3.org/2000/svg}"
BOTH = frozenset(MODES)
_PUSH = "push-to-talk"

WALK = [pytest.mark.slow, pytest.mark.virtual, pytest.mark.timeout(900)]
"""The whole walk takes a minute of a processor."""

WORLDS = 500
"""So many situations of each way of taking turns are walked on from every day: nine of ten steps, in some seconds."""


@pytest.fixture(scope="module")
def walked() -> Steps:
    """The whole walk."""
    return walk()


@pytest.fixture(scope="module")
def begun() -> Steps:
    """The walk's beginning, unseen by the measurement of coverage, which would make it three times as long."""
    measurement = sys.gettrace()
    sys.settrace(None)
    try:
        found: Steps = {}
        for mode, rules in MODES.items():
            for possible in (_ears, _ears_beside) if rules.local_voice else (_possible, _household):
                for step in _walk(rules, _first(possible)):
                    found[step] = found.get(step, frozenset()) | {mode}
        return found
    finally:
        sys.settrace(measurement)


def _first(possible: Callable[[_World], list[ev.Event]]) -> Callable[[_World], list[ev.Event]]:
    """Let nothing happen any more in the situations after the first."""
    number = itertools.count()
    return lambda world: possible(world) if next(number) < WORLDS else []


@pytest.fixture(scope="module", params=["begun", pytest.param("walked", marks=WALK)])
def way(request: pytest.FixtureRequest) -> Steps:
    """Both, one after the other."""
    found: Steps = request.getfixturevalue(request.param)
    return found


@pytest.fixture(scope="module")
def steps() -> Steps:
    """The steps as the page tells them, those from a state to itself left out."""
    table = (ROOT / "docs/states.md").read_text().partition("## Steps")[2].partition("## Light")[0]
    told: Steps = {}
    for source, target, names in re.findall(r"^\| (\S+) \| (\S+) \| (.*) \|$", table, re.MULTILINE)[1:]:
        for name in names.split(", "):
            marks = len(name) - len(name.lstrip("*"))
            modes = {0: BOTH, 1: frozenset({_PUSH}), 2: BOTH - {_PUSH}}[marks]
            told[State(source), name.strip("*"), State(target)] = modes
    return told


@pytest.fixture(scope="module")
def sentences() -> dict[str, str]:
    return {name: one.text for name, one in prompts.load("en").sentences.items()}


def _drawn(steps: Steps, sentences: dict[str, str]) -> None:
    assert (ROOT / "docs/states.md").read_text() == page(steps, sentences=sentences), REDRAW
    assert (ROOT / "docs" / PICTURE).read_text() == picture(steps), REDRAW


@pytest.mark.slow
@pytest.mark.virtual
@pytest.mark.timeout(900)
def test_the_docs_are_what_the_code_does(walked: Steps, sentences: dict[str, str]) -> None:
    _drawn(walked, sentences)


def test_the_docs_are_what_the_tables_say_and_the_picture_what_the_page_says(
    steps: Steps, sentences: dict[str, str]
) -> None:
    _drawn(steps, sentences)


def test_the_walks_beginning_finds_most_of_what_the_docs_tell_and_nothing_else(begun: Steps, steps: Steps) -> None:
    for step, modes in begun.items():
        if step[0] is not step[2]:
            assert step in steps, f"{step}: {REDRAW}"
            assert {mode == _PUSH for mode in modes} <= {mode == _PUSH for mode in steps[step]}, f"{step}: {REDRAW}"
    found = [step for step in steps if step in begun]
    assert len(found) > 0.85 * len(steps), (
        f"the docs tell of steps that nobody takes, such as {set(steps) - set(found)}"
    )


def test_stale_docs_fail_the_check_with_the_command_that_mends_them(
    steps: Steps, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    script = runpy.run_path(str(ROOT / "scripts/draw-states"))
    names = script["main"].__globals__
    names["DOCS"] = tmp_path
    names["walk"] = lambda: steps
    shutil.copytree(ROOT / "docs/pictures", tmp_path / "pictures")
    (tmp_path / "states.md").write_text((ROOT / "docs/states.md").read_text().replace("barge-in", "barge-out"))
    monkeypatch.setattr("sys.argv", ["draw-states", "--check"])
    assert script["main"]() == 1
    assert capsys.readouterr().err == "docs/states.md out of date; run .venv/bin/python scripts/draw-states\n"
    monkeypatch.setattr("sys.argv", ["draw-states"])
    assert script["main"]() == 0
    assert (tmp_path / "states.md").read_text() == (ROOT / "docs/states.md").read_text()


def test_the_walk_finds_the_moves_of_a_talk(way: Steps) -> None:
    assert way[State.IDLE, "Pressed", State.CONNECTING] == BOTH
    assert way[State.IDLE, "Pressed", State.LISTENING] == BOTH, "on a connection that is still open"
    assert way[State.LISTENING, "Released", State.THINKING] == {"push-to-talk"}
    assert way[State.LISTENING, "AnswerAudio", State.SPEAKING] == {"open microphone", "wake word"}
    assert way[State.SPEAKING, "PlaybackEnded", State.LISTENING] == BOTH, "push-to-talk after `converse`"
    assert way[State.SPEAKING, "Pressed", State.LISTENING] == BOTH


def test_the_walk_goes_everywhere_and_tries_everything(way: Steps) -> None:
    assert {source for source, _, _ in way} == set(State) - {State.UPDATING}
    assert {name for _, name, _ in way} == {event.__name__ for event in get_args(ev.Event)}


def test_the_walk_tries_only_what_can_happen(way: Steps) -> None:
    assert (State.IDLE, "LinkUp", State.LISTENING) not in way
    assert not [step for step in way if step[0] is State.CONNECTING and step[1] == "AnswerAudio"]
    assert not [step for step in way if step[0] is State.IDLE and step[1] == "PlaybackEnded"]


def test_every_step_is_allowed_by_the_table(way: Steps) -> None:
    rows = {(state, move.on.__name__): move.to for move in MOVES for state in move.within}
    for source, name, target in way:
        assert target in rows.get((source, name), {source}), f"{name} leads from {source} to {target}"


def test_the_picture_has_every_state_and_an_arrow_for_every_way(steps: Steps) -> None:
    root = ET.fromstring(picture(steps))  # noqa: S314  our own drawing
    width, height = float(root.attrib["width"]), float(root.attrib["height"])
    labels = ["".join(text.itertext()) for text in root.iter(f"{SVG}text")]
    assert {state.value for state in State} - set(labels) == {"updating"}
    arrows = [path for path in root.iter(f"{SVG}path") if "marker-end" in path.attrib]
    ends = {tuple("rest" if one in REST else one.value for one in (a, b)) for a, _, b in steps}
    assert len(arrows) == len([pair for pair in ends if pair[0] != pair[1]])
    for text in root.iter(f"{SVG}text"):
        assert 0 < float(text.attrib["x"]) < width
        assert 10 < float(text.attrib["y"]) < height


def test_the_words_of_no_two_arrows_stand_on_each_other(steps: Steps) -> None:
    root = ET.fromstring(picture(steps))  # noqa: S314  our own drawing
    boxes = []
    for text in root.iter(f"{SVG}text"):
        size = float(text.attrib["font-size"])
        half = len("".join(text.itertext())) * size * 0.29  # the middling width of its letters
        middle = float(text.attrib["x"]) - (half if text.attrib.get("text-anchor") == "end" else 0)
        boxes.append((middle - half, middle + half, float(text.attrib["y"]), "".join(text.itertext())))
    for at, (left, right, y, words) in enumerate(boxes):
        for other_left, other_right, other_y, others in boxes[at + 1 :]:
            apart = right < other_left or other_right < left or abs(y - other_y) >= 11
            assert apart, f"{words!r} and {others!r} overlap; move one in drawing.py"


def test_the_page_names_every_event_state_and_sentence(steps: Steps, sentences: dict[str, str]) -> None:
    text = page(steps, sentences=sentences)
    tables = [line for line in text.splitlines() if line.startswith("|")]
    for event in get_args(ev.Event):
        assert sum(f"| `{event.__name__}` |" in line for line in tables) >= 2, (
            "a row of its moves, and one of its meaning"
        )
    for state in State:
        assert any(line.startswith(f"| {state.value} |") for line in tables)
    assert sentences["offline"] in text
    for block in re.split(r"\n\n", text):
        if block.startswith("|"):
            assert len({line.count("|") for line in block.splitlines()}) == 1, "a row with too many columns"
