"""The table of latencies says what was measured against which budget, and says so where nothing was."""

from __future__ import annotations

import json

from edge_agent.demo import latency

FIGURES = {
    "press_to_light": {"count": 6, "p50": 11.0, "p95": 12.0, "p99": 19.9, "max": 19.9},
    "capture_to_socket": {"count": 90, "p50": 0.8, "p95": 2.0, "p99": 5.1, "max": 30.0},
    "speech_end_to_first_sound": {
        "turn_end": {"count": 5, "p50": 170.0, "p95": 180.0, "p99": 180.0, "max": 180.0},
        "text": {"count": 1, "p50": 90.0, "p95": 90.0, "p99": 90.0, "max": 90.0},
    },
    "interrupt_to_silence": {"count": 0, "p50": None, "p95": None, "p99": None, "max": None},
    "output_ring_ms": 60.0,
}


def rows() -> dict[str, latency.Row]:
    return {row.name: row for row in latency.table(FIGURES)}


def test_the_99th_percentile_decides() -> None:
    assert rows()["press_to_light"].verdict == "ok"
    assert rows()["capture_to_socket"].verdict == "over"


def test_labels_have_rows_of_their_own() -> None:
    assert rows()["speech_end_to_first_sound (turn_end)"].count == 5
    assert rows()["speech_end_to_first_sound (text)"].p50 == 90.0


def test_what_was_not_measured_has_a_row_without_a_verdict() -> None:
    for name in ("interrupt_to_silence", "socket_to_queue"):
        assert rows()[name].count == 0
        assert rows()[name].verdict == ""
        assert latency.cells(rows()[name])[2:6] == ["-"] * 4


def test_every_way_of_telling_holds_every_row() -> None:
    table = latency.table(FIGURES)
    notes = latency.remarks(FIGURES, 48.4)
    text = latency.markdown(table, notes)
    tree = json.loads(json.dumps(latency.tree(table, notes)))
    plain = latency.lines(table)
    for row in table:
        assert f"| {row.name} |" in text
        assert any(line.startswith(row.name) for line in plain)
    assert [row["name"] for row in tree["rows"]] == [row.name for row in table]
    assert "last heard 48 ms after the press" in text
    assert "up to 60 ms more" in text
    assert len({len(line) for line in plain}) == 1
