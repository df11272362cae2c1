"""`edge-agent bench`: every part has its rows, also where it cannot be measured, and the JSON holds them all."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import pytest

from edge_agent.bench import command, duplex, echo, filters, footprint, start, table, talk, wire
from edge_agent.bench.children import NotMeasured
from edge_agent.errors import EXIT_FAILED, EXIT_OK


def arguments(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    return parser.parse_args(words)


@pytest.fixture
def unable(monkeypatch: pytest.MonkeyPatch) -> None:
    """No part can be measured."""

    def refuse(*_args: Any, **_kwargs: Any) -> Any:
        raise NotMeasured("the machine is too busy")

    for module in (wire, filters, echo, footprint, start):
        monkeypatch.setattr(module, "measure", refuse)
    for name in ("visit", "null_sink_devices"):
        monkeypatch.setattr(talk, name, refuse)
    monkeypatch.setattr(duplex, "split", refuse)


@pytest.mark.usefixtures("unable")
def test_a_part_that_fails_costs_no_other_and_gives_its_reason(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "deep" / "bench.json"
    assert command.run(arguments("--json", str(file))) == EXIT_FAILED
    found = json.loads(file.read_text())
    assert found["schema"] == table.SCHEMA
    assert found["machine"]["processors"] >= 1
    assert len({row["part"] for row in found["rows"]}) == 8
    assert {row["verdict"] for row in found["rows"]} == {"not measured here"}
    assert all(row["note"] == "the machine is too busy" for row in found["rows"])
    assert "8 not measured here" in capsys.readouterr().out


@pytest.mark.usefixtures("unable")
def test_one_figure_is_enough_for_success_and_is_written_for_a_document(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = table.judged("process start to ready", 400.0, 1000.0, figure="400 ms", budget="1000 ms")
    monkeypatch.setattr(start, "measure", lambda *_args, **_kwargs: [row])
    file = tmp_path / "bench.md"
    assert command.run(arguments("--quick", "--markdown", str(file))) == EXIT_OK
    assert "| process start to ready | 400 ms | 1000 ms | ok |" in file.read_text()


def test_without_openssl_there_is_one_row_that_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    (row,) = command.measure(tmp_path, command.QUICK, peers=tmp_path, tell=lambda _: None)
    assert (row.verdict, row.note) == (
        "not measured here",
        "the program openssl is missing; install it: apt install openssl",
    )


def test_the_filters_are_measured_beside_their_peer(tmp_path: Path) -> None:
    rows, pure = filters.measure(tmp_path, runs=1, peers=wire.peers_folder())
    *hot, paced = rows
    assert [row.values["runs"] for row in hot] == [1] * len(filters.BLOCKS_MS)
    assert all(row.values["ratio"] > 0 for row in hot)
    assert pure.paced == paced.values["cpu_ms_per_s"]
    assert pure.hot == hot[filters.BLOCKS_MS.index(filters.DEFAULT_BLOCK_MS)].values["cpu_ms_per_s"]
