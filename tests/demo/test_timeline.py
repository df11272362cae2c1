"""The lanes say what was recorded, and the picture is drawn from any recording, however little it holds."""

from __future__ import annotations

import dataclasses
import itertools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.demo import closeup, latency, picture, timeline
from edge_agent.demo.checks import Evidence
from edge_agent.demo.journal import Entry
from edge_agent.demo.performance import STEPS
from edge_agent.demo.timeline import Message, Span


def rounded(span: Span) -> tuple[float, float, str]:
    return round(span.start, 3), round(span.end, 3), span.name


def test_the_lanes_of_a_good_run(good: Evidence) -> None:
    lanes = timeline.build(good)
    assert lanes.length == pytest.approx(38.0)
    assert [span.name for span in lanes.steps] == [step.name for step in STEPS]
    assert rounded(lanes.states[0]) == (0.2, 1.1, "idle")
    assert [span.name for span in lanes.spoken][:2] == ["what time is it", "what do you see"]
    assert [rounded(span) for span in lanes.muted] == [(26.6, 30.0, "muted")]
    assert [rounded(span) for span in lanes.down] == [(21.6, 22.0, "line cut")]
    assert len(lanes.presses) == 7
    assert all(press.end > press.start for press in lanes.presses)
    first = next(message for message in lanes.messages if message.kind == "activityStart")
    assert (round(first.t, 3), first.up) == (1.15, True)


def test_each_answer_carries_its_own_caption(good: Evidence) -> None:
    lanes = timeline.build(good)
    assert [span.name for span in lanes.answered] == [
        "The answer to time.",
        "I see a red teapot.",
        "The answer to story.",
        "The answer to day.",
        "The answer to joke.",
        "The answer to hello.",
    ]


def test_a_caption_that_came_in_pieces_is_shown_whole(good: Evidence) -> None:
    pieces = [
        Entry(good.zero + 2.5 + n / 10, "device", "caption", {"speaker": "device", "line": line})
        for n, line in enumerate(
            ("The answer to time. It", "The answer to time. It is", "The answer to time. It is ten.")
        )
    ]
    lanes = timeline.build(dataclasses.replace(good, entries=[*good.entries, *pieces]))
    assert lanes.answered[0].name == "The answer to time. It is ten."
    assert lanes.answered[1].name == "I see a red teapot."


def test_the_interruption_is_marked_with_its_milliseconds(good: Evidence) -> None:
    (note,) = timeline.build(good).notes
    assert note.start == pytest.approx(15.8)
    assert "silent after" in note.text


def test_the_devices_own_words_are_shown(good: Evidence) -> None:
    own = Entry(good.zero + 27.2, "device", "prompt", {"name": "muted", "text": "My microphone is off."})
    lanes = timeline.build(dataclasses.replace(good, entries=[*good.entries, own]))
    assert "My microphone is off." in [span.name for span in lanes.answered]


@given(
    changes=st.lists(st.tuples(st.floats(-5, 60), st.sampled_from(["idle", "listening", "speaking"])), max_size=12),
    end=st.floats(1, 40),
)
def test_spans_are_in_order_without_gap_or_overlap_and_inside_the_recording(
    changes: list[tuple[float, str]], end: float
) -> None:
    found = timeline.spans(sorted(changes), end)
    for span in found:
        assert 0 <= span.start < span.end <= end
    for one, following in itertools.pairwise(found):
        assert one.end == following.start
        assert one.name != following.name or one.end > one.start
    if found:
        assert found[-1].end == end


@given(frames=st.integers(0, 5000))
def test_the_envelope_holds_the_extremes(frames: int) -> None:
    sound = np.sin(np.arange(frames) / 7).astype(np.float32)
    peaks = timeline.envelope(sound, 16_000)
    assert len(peaks) == frames // 320
    for n, (low, high) in enumerate(peaks):
        block = sound[n * 320 : (n + 1) * 320]
        assert low == min(0.0, block.min())
        assert high == max(0.0, block.max())


def test_a_long_caption_is_cut_with_an_ellipsis() -> None:
    text = timeline.wrapped("one two three four five six seven eight nine ten", 12, 2)
    assert len(text.splitlines()) == 2
    assert text.endswith("…")


def test_markers_that_come_together_are_stacked_by_direction() -> None:
    messages = [
        Message(t, up, "setup") for t, up in ((1.0, True), (1.01, False), (1.02, True), (1.03, True), (5.0, True))
    ]
    assert picture.stacked(messages, 0.3) == [0, 0, 1, 2, 0]


def test_the_closeups_show_the_early_voice_and_what_was_cut_off(good: Evidence) -> None:
    syllable = closeup.first_syllable(good)
    assert syllable is not None
    assert -0.15 < syllable.moment < -0.02
    spoken, arrived = syllable.tracks
    assert arrived.start == pytest.approx(spoken.start + 0.2 - 0.5, abs=0.02)  # sent with 500 ms of silence before it
    stop = closeup.interruption(good)
    assert stop is not None
    ghost, real = stop.tracks
    after = round((stop.before + stop.moment + 0.1) * real.rate)
    assert np.abs(real.samples[after:]).max() < 0.01
    assert np.abs(ghost.samples[after:]).max() > 0.05


def test_nothing_to_enlarge_is_none(good: Evidence) -> None:
    empty = dataclasses.replace(good, entries=[], heard=[])
    assert closeup.first_syllable(empty) is None
    assert closeup.interruption(empty) is None


def test_the_picture_is_drawn_whole_and_almost_empty(good: Evidence, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    whole, bare = tmp_path / "whole.png", tmp_path / "bare.png"
    picture.draw(
        timeline.build(good),
        whole,
        syllable=closeup.first_syllable(good),
        stop=closeup.interruption(good),
        rows=latency.table(good.figures),
        subtitle="what stood in for what",
    )
    nothing = dataclasses.replace(good, entries=[], heard=[], figures={}, right=np.zeros(48_000, np.float32))
    picture.draw(timeline.build(nothing), bare)
    for path in (whole, bare):
        assert path.read_bytes().startswith(b"\x89PNG")
    assert whole.stat().st_size > 2 * bare.stat().st_size
