"""What the daemon showed becomes rows with the design's budgets: kept, passed, or not measured."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from edge_agent.bench import report
from edge_agent.bench.children import NotMeasured
from edge_agent.bench.duplex import Duplex, Split
from edge_agent.bench.filters import Pure
from edge_agent.bench.speech import speech
from edge_agent.bench.split import CPU, DOWN, PARTS, UP
from edge_agent.bench.table import Row
from edge_agent.bench.talk import HEARD_RATE, VOICE_S, Visit, place

DUPLEX = Duplex(
    talk=30.0,
    talk_bare=10.0,
    idle=14.0,
    idle_bare=10.0,
    kiosk_idle=12.0,
    seconds=20.0,
    idle_seconds=15.0,
    bare_mb=37.0,
    xruns=0,
)
WAKEFUL = dataclasses.replace(DUPLEX, talk=35.0, idle=20.0)


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


def test_cpu_is_counted_without_the_bare_loop_and_judged_by_the_work_at_the_same_pace() -> None:
    rows = report.cpu(DUPLEX, Pure(8.0, 10.0), wake=WAKEFUL)
    ratio, idle = named(rows, "CPU minus"), named(rows, "CPU idle, minus")
    assert (ratio.values["ratio"], ratio.values["hot_ratio"], ratio.verdict) == (2.0, 2.5, "ok")
    assert (idle.values["ratio"], idle.verdict) == (0.2, "ok")
    assert named(report.cpu(DUPLEX, Pure(16.0, 5.0), wake=WAKEFUL), "CPU minus").verdict == "over"
    tired = dataclasses.replace(DUPLEX, idle=17.0)
    assert named(report.cpu(tired, Pure(8.0, 10.0), wake=WAKEFUL), "CPU idle, minus").verdict == "over"


def test_wake_word_and_kiosk_are_told_and_judged_by_no_budget_of_others() -> None:
    rows = report.cpu(DUPLEX, Pure(8.0, 10.0), wake=WAKEFUL)
    wake, kiosk = named(rows, "CPU idle, wake word on"), named(rows, "CPU idle in kiosk mode")
    assert (wake.values["ratio"], wake.verdict) == (0.4, "no budget")
    assert (kiosk.values["ratio"], kiosk.verdict) == (0.1, "no budget")
    assert "35.0 ms/s" in named(rows, "CPU per second of duplex talk, wake word on").figure


def test_without_a_wake_word_only_its_own_rows_are_missing() -> None:
    rows = report.cpu(DUPLEX, Pure(8.0, 10.0), wake=NotMeasured("pymicro-wakeword is not installed"))
    missing = [row for row in rows if row.verdict == "not measured here"]
    assert len(missing) == 2
    assert all("wake word on" in row.what and "pymicro" in row.note for row in missing)


@pytest.mark.parametrize("pure", [Pure(), Pure(2.0, 3.0) + Pure(), Pure() + Pure(9.0, 12.0)])
def test_without_filters_or_canceller_the_ratio_is_not_made_up(pure: Pure) -> None:
    assert named(report.cpu(DUPLEX, pure, wake=WAKEFUL), "CPU minus").verdict == "not measured here"


def test_filters_and_canceller_count_together() -> None:
    assert Pure(1.0, 8.0) + Pure(9.0, 12.0) == Pure(10.0, 20.0)


def test_every_part_of_talk_has_a_row_and_their_sum_is_held_against_a_daemon_without_stopwatch() -> None:
    parts = dict.fromkeys(PARTS, 2.0) | {CPU: 20.0, UP: 0.5, DOWN: 0.25}
    *rows, whole = report.split(Split(block_ms=40, message_ms=40, seconds=3.0, parts=parts, plain=16.0))
    assert len(rows) == len(PARTS)
    assert all(row.what.startswith("40 ms blocks: ") for row in rows)
    assert named(rows, "40 ms blocks: wire").note.startswith("up 0.5, down 0.2")
    assert whole.values["sum_ms_per_s"] == 20.0
    assert whole.values["share"] == 1.25


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
