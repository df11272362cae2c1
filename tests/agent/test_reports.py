"""What is told, to whom, and how often."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from edge_agent.agent.reports import Reports
from edge_agent.conversation import actions as do
from edge_agent.errors import Fault
from edge_agent.service.captions import Captions
from edge_agent.service.metrics import Metrics


def make(captions: Captions | None = None) -> tuple[Reports, list[dict[str, Any]], Metrics]:
    metrics = Metrics()
    seen: list[dict[str, Any]] = []
    reports = Reports(metrics, captions or Captions(), clock=lambda: 5.0, audio_s=lambda: 2.0)
    reports.to = seen.append
    return reports, seen, metrics


def test_watchers_hear_everything_with_both_clocks() -> None:
    reports, seen, _ = make()
    reports.publish("light", light="idle")
    assert seen == [{"event": "light", "t": 5.0, "audio_s": 2.0, "light": "idle"}]
    reports.to = None
    reports.publish("light", light="muted")
    assert len(seen) == 1


def test_a_line_that_stays_away_fills_no_log(caplog: pytest.LogCaptureFixture) -> None:
    reports, seen, _ = make()
    with caplog.at_level(logging.INFO):
        for _ in range(50):
            reports.publish("connection", why="opening")
            reports.publish("connection", why="no route")
        assert len(caplog.records) == 2
        reports.publish("turn", why="opened")
        reports.publish("connection", why="no route")
        assert len(caplog.records) == 4, "somebody wants to talk: what is wrong now is worth a line"
    assert len(seen) == 102, "watchers hear all of it"


def test_what_people_said_is_never_logged(caplog: pytest.LogCaptureFixture) -> None:
    reports, seen, _ = make()
    with caplog.at_level(logging.DEBUG):
        reports.caption("person", "my name is Ada", finished=True)
    assert "Ada" not in caplog.text
    assert seen[0]["line"] == "my name is Ada"


def test_a_caption_file_that_cannot_be_written_is_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    captions = Captions(tmp_path / "none" / "captions.txt")
    reports, _, _ = make(captions)
    for _ in range(3):
        reports.caption("device", "Hello.", finished=True)
    assert caplog.text.count("cannot be written") == 1
    (tmp_path / "none").mkdir()
    reports.caption("device", "Again.", finished=True)
    captions.path = tmp_path / "gone" / "captions.txt"
    reports.caption("device", "Hello.", finished=True)
    assert caplog.text.count("cannot be written") == 2, "a new failure is news"


def test_the_machines_reports_go_where_they_belong(caplog: pytest.LogCaptureFixture) -> None:
    reports, seen, metrics = make()
    with caplog.at_level(logging.DEBUG):
        reports.of_conversation(do.Report("ignored", "Released while idle"), 3)
        reports.of_conversation(do.Report("defect", "a rule leads nowhere"), 3)
        reports.of_conversation(do.Report("fault", "no camera", Fault.CAMERA), 3)
        reports.of_conversation(do.Report("turn", "released"), 3)
    levels = {record.getMessage(): record.levelname for record in caplog.records}
    assert levels["ignored: Released while idle"] == "DEBUG"
    assert levels["defect in the table of moves: a rule leads nowhere"] == "ERROR"
    assert [event["event"] for event in seen] == ["fault", "turn"]
    assert seen[0]["code"] == 6
    assert seen[1] == {"event": "turn", "t": 5.0, "audio_s": 2.0, "why": "released", "turn": 3}
    assert metrics.value("faults", code="6") == 1


def test_an_outage_of_days_is_not_remembered_in_all_its_wordings(caplog: pytest.LogCaptureFixture) -> None:
    reports, _, _ = make()
    with caplog.at_level(logging.INFO):
        for number in range(1000):
            reports.publish("connection", why=f"no route from port {number}")
            reports.publish("connection", why=f"no route from port {number}")
    assert len(caplog.records) == 1000, "each of them once"
    assert len(reports._told) <= 100
