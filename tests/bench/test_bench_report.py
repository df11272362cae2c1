"""What the daemon showed becomes rows with the design's budgets: kept, passed, or not measured."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edge_agent.bench import report
from edge_agent.bench.filters import Pure
from edge_agent.bench.speech import speech
from edge_agent.bench.table import Row
from edge_agent.bench.talk import HEARD_RATE, VOICE_S, Duplex, Visit, place

DUPLEX = Duplex(
    talk=30.0, talk_bare=10.0, idle=14.0, idle_bare=10.0, seconds=20.0, idle_seconds=15.0, bare_mb=37.0, xruns=0
)


def summary(p99: float, worst: float | None = None) -> dict[str, Any]:
    return {"count": 40, "p50": 1.0, "p95": 1.0, "p99": p99, "max": p99 if worst is None else worst}


def named(rows: list[Row], start: str) -> Row:
    (row,) = [row for row in rows if row.what.startswith(start)]
    return row


def test_latencies_are_judged_at_p99_and_the_interruption_at_its_worst() -> None:
    figures = {
        "press_to_light": summary(19.9, 500.0),
        "press_to_first_byte": summary(10.1),
        "capture_to_socket": summary(5.0),
        "interrupt_to_silence": summary(1.0, 30.1),
        "speech_end_to_first_sound": {"turn_end": summary(140.0)},
        "output_ring_ms": 40.0,
    }
    *rows, waiting = report.latencies(Visit(turns=40, figures=figures))
    assert [row.verdict for row in rows] == ["ok", "over", "ok", "not measured here", "over", "no budget"]
    assert waiting.verdict == "not measured here"
    assert "40 ms comes on top" in named(rows, "interrupt").note
    assert "a glance" not in named(rows, "press_to_light").note


def test_few_turns_are_called_a_glance() -> None:
    rows = report.latencies(Visit(turns=6, figures={"press_to_light": summary(1.0)}))
    assert "fewer than 30 turns" in rows[0].note


def test_a_pre_roll_cut_short_in_a_single_turn_is_over() -> None:
    whole = report.speech(Visit(turns=2, pre_rolls_ms=[500.0, 499.0], matches=[1.0, 1.0], while_connecting_ms=1600.0))
    assert [row.verdict for row in whole] == ["ok", "ok", "ok"]
    short = report.speech(Visit(turns=2, pre_rolls_ms=[500.0, 480.0], matches=[1.0, 1.0], while_connecting_ms=1400.0))
    assert [row.verdict for row in short] == ["over", "over", "ok"]


def test_one_broken_turn_or_one_complaint_of_the_service_is_over() -> None:
    assert named(report.speech(Visit(turns=2, matches=[0.99, 0.9])), "speech arrives").verdict == "over"
    row = named(report.speech(Visit(turns=2, matches=[0.99, 0.99], complaints=["1 of 2 turns arrived"])), "speech")
    assert (row.verdict, row.note) == ("over", "1 of 2 turns arrived")


def test_where_nothing_was_heard_the_rows_say_so() -> None:
    assert {row.verdict for row in report.speech(Visit())} == {"not measured here"}


def test_cpu_is_counted_without_the_bare_loop() -> None:
    rows = report.cpu(DUPLEX, Pure(10.0, 16.0))
    ratio, idle = named(rows, "CPU minus"), named(rows, "CPU idle")
    assert (ratio.values["ratio"], ratio.verdict) == (2.0, "ok")
    assert ratio.values["paced_ratio"] == 1.25
    assert (idle.values["ratio"], idle.verdict) == (0.2, "ok")
    assert named(report.cpu(DUPLEX, Pure(2.0, 16.0)), "CPU minus").verdict == "over"


def test_without_the_filters_figure_the_ratio_is_not_made_up() -> None:
    assert named(report.cpu(DUPLEX, Pure()), "CPU minus").verdict == "not measured here"


def test_memory_is_judged_and_a_day_is_not_claimed() -> None:
    rows = report.memory(Visit(turns=40, early_mb=60.0, memory_mb=64.5), 37.0)
    assert [row.verdict for row in rows] == ["over", "not measured here"]
    assert "+4.5 MB" in rows[1].figure


def test_received_turns_are_placed_on_the_microphones_clock() -> None:
    spoken = speech(VOICE_S, seed=5, rate=HEARD_RATE).astype(np.float64)
    pressed_s = VOICE_S + 0.2  # the voice has begun again, and the pre-roll lies before its seam
    at = round((pressed_s - 0.5) * HEARD_RATE)
    turn = np.take(spoken, np.arange(at, at + HEARD_RATE), mode="wrap")
    found = Visit(turns=2)
    place(found, [turn, turn[:100]], [(True, pressed_s), (False, 3.0)], clocked=True)
    assert found.pre_rolls_ms == [pytest.approx(500.0)]
    assert found.matches == [pytest.approx(1.0), 0.0]
    assert found.while_connecting_ms == pytest.approx(1000.0)
