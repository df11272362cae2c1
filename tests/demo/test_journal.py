"""The journal keeps everything on one clock, wakes who waits, and never leaves anyone waiting for what cannot come."""

from __future__ import annotations

import json
import threading
from pathlib import Path

from edge_agent.demo.journal import Journal, select


def test_the_file_is_in_order_of_time_and_counts_from_the_recording(tmp_path: Path) -> None:
    journal = Journal()
    journal.add("twin", "setup", t=12.5, who="client")
    journal.add("person", "press", t=11.0)
    journal.write(tmp_path / "events.jsonl", zero=10.0)
    lines = [json.loads(line) for line in (tmp_path / "events.jsonl").read_text().splitlines()]
    assert lines == [
        {"t": 1.0, "from": "person", "event": "press"},
        {"t": 2.5, "from": "twin", "event": "setup", "who": "client"},
    ]


def test_waiting_ends_with_what_another_thread_adds() -> None:
    journal = Journal()
    adder = threading.Timer(0.01, lambda: journal.add("device", "state", t=5.0, state="idle"))
    adder.start()
    entry = journal.wait(lambda e: e.fields.get("state") == "idle", after=1.0, timeout_s=5.0)
    adder.join()
    assert entry is not None
    assert entry.t == 5.0


def test_what_came_before_does_not_count_and_what_waits_already_is_found() -> None:
    journal = Journal()
    journal.add("device", "state", t=1.0, state="speaking")
    assert journal.wait(lambda _: True, after=1.0, timeout_s=0.0) is None
    journal.add("device", "state", t=2.0, state="idle")
    assert journal.wait(lambda _: True, after=1.0, timeout_s=0.0) is not None


def test_a_failure_ends_every_wait_at_once_and_the_first_one_is_told() -> None:
    journal = Journal()
    journal.fail("The daemon ended unasked.")
    journal.fail("something later")
    assert journal.wait(lambda _: True, after=0.0, timeout_s=60.0) is None
    assert journal.failure == "The daemon ended unasked."


def test_select_takes_one_source_and_its_events() -> None:
    journal = Journal()
    journal.add("twin", "audio", t=1.0)
    journal.add("person", "press", t=2.0)
    journal.add("person", "says", t=3.0)
    assert [e.event for e in select(journal.entries(), "person", "says")] == ["says"]
    assert len(select(journal.entries(), "person")) == 2
