"""The table says `ok` or `over` only where there is a figure and a budget, and loses nothing on its way to JSON."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.bench import table

costs = st.lists(st.floats(0.1, 1e4), min_size=1, max_size=9)


@given(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6))
def test_a_budget_is_kept_up_to_its_very_limit(value: float, limit: float) -> None:
    row = table.judged("x", value, limit, figure="f", budget="b")
    assert row.verdict == ("ok" if value <= limit else "over")


def test_nothing_is_rounded_before_it_is_judged() -> None:
    assert table.judged("x", 0.6000001, 0.6, figure="0.60", budget="0.6").verdict == "over"


def test_a_figure_without_a_budget_and_a_budget_without_a_figure_get_no_verdict() -> None:
    assert table.told("x", "12 ms").verdict == "no budget"
    row = table.missing("x", "20 ms", why="no sound server")
    assert (row.verdict, row.figure, row.note) == ("not measured here", "-", "no sound server")


@given(costs)
def test_the_median_lies_between_the_lowest_and_the_highest_run(runs: list[float]) -> None:
    found = table.spread(runs)
    assert found.low <= found.median <= found.high
    assert found.runs == len(runs)


@pytest.mark.parametrize("runs", [[], [1.0, math.nan], [math.inf]])
def test_there_is_no_median_of_nothing_or_of_what_is_no_number(runs: list[float]) -> None:
    with pytest.raises(ValueError, match="no median"):
        table.spread(runs)


@given(costs, st.floats(0.1, 10.0))
def test_a_machine_that_slows_down_between_rounds_does_not_change_the_ratio(peer: list[float], factor: float) -> None:
    ours = [cost * factor for cost in peer]
    assert table.ratios(ours, peer).median == pytest.approx(factor)


def test_ratios_are_taken_within_a_round() -> None:
    assert table.ratios([1.0, 20.0, 3.0], [2.0, 40.0, 3.0]).median == 0.5
    with pytest.raises(ValueError, match="2 rounds of ours, 1"):
        table.ratios([1.0, 2.0], [1.0])
    with pytest.raises(ValueError, match="without any cost"):
        table.ratios([1.0], [0.0])


def test_one_run_shows_no_spread_and_several_do() -> None:
    assert table.spread([3.14]).text("ms") == "3.1 ms"
    assert table.spread([3.0, 1.0, 2.0]).text("ms", 0) == "2 ms (1 to 3)"
    assert table.spread([0.5]).text("", 2) == "0.50"


def test_the_plain_table_shows_every_cell_and_its_note_below() -> None:
    rows = [
        table.Row("wire", "12 ms/s", "-", "no budget", part="first"),
        table.Row("memory", "70 MB", "64 MB", "over", note="libraries of the sound server", part="second"),
    ]
    text = table.plain(rows, width=24)
    lines = text.splitlines()
    assert lines[0].split() == ["what", "figure", "budget", "verdict"]
    assert "first" in lines
    assert "second" in lines
    at = next(i for i, line in enumerate(lines) if line.startswith("memory"))
    assert lines[at].split() == ["memory", "70", "MB", "64", "MB", "over"]
    assert lines[at + 1 :] == ["    libraries of the", "    sound server"]


def test_the_document_table_has_a_heading_for_each_part_and_escapes_bars() -> None:
    rows = [table.Row("a|b", "1", "2", "ok", part="p"), table.Row("c", "3", "-", "no budget", note="n", part="q")]
    text = table.markdown(rows)
    assert text.count("### ") == 2
    assert "| a\\|b | 1 | 2 | ok |" in text
    assert "| c | 3<br>n | - | no budget |" in text


def test_the_json_document_is_json_whatever_was_measured() -> None:
    rows = [
        table.told("x", "?", values={"deep": {"nan": math.nan, "list": [1.23456, math.inf]}, "text": "t", "count": 3})
    ]
    found = table.document(rows, machine={"processors": 2}, quick=True, seconds=61.234)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert found["schema"] == table.SCHEMA
    assert found["rows"][0]["values"] == {"deep": {"nan": None, "list": [1.2346, None]}, "text": "t", "count": 3}
    assert set(found["rows"][0]) == {"part", "what", "figure", "budget", "verdict", "note", "values"}


def test_a_latency_is_written_as_its_quantiles() -> None:
    assert table.quantiles({"count": 9, "p50": 1.04, "p95": 2, "p99": 3.96, "max": 5}) == "1.0 / 2.0 / 4.0 / 5.0 ms"
