"""The stopwatch books every moment once, and the daemon under it is the daemon."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from edge_agent.bench import duplex, talk
from edge_agent.bench.children import NotMeasured, certificate
from edge_agent.bench.split import CPU, DOWN, PARTS, UP, Ledger, parts


class Work:
    """A CPU clock that only work moves."""

    def __init__(self) -> None:
        self.now = 0

    def __call__(self) -> int:
        return self.now

    def of(self, ns: int) -> Callable[[], None]:
        def work() -> None:
            self.now += ns

        return work


def test_each_moment_is_booked_to_the_innermost_part() -> None:
    work = Work()
    ledger = Ledger("rest", clock=work)
    inner = ledger.timed("filters", work.of(3_000_000))

    def both() -> None:
        work.of(2_000_000)()
        inner()
        work.of(1_000_000)()

    outer = ledger.timed("playback", both)
    outer()
    work.of(5_000_000)()
    inner()
    assert ledger.figures() == {"rest": 0.005, "filters": 0.006, "playback": 0.003}


def test_a_part_can_keep_what_it_calls_of_another() -> None:
    work = Work()
    ledger = Ledger("rest", clock=work)
    inner = ledger.timed("filters", work.of(3_000_000), within="reference")
    ledger.timed("reference", inner)()
    inner()
    assert ledger.figures() == {"rest": 0.0, "filters": 0.003, "reference": 0.003}


def test_a_part_that_fails_is_left_all_the_same() -> None:
    work = Work()
    ledger = Ledger("rest", clock=work)

    def fail() -> None:
        work.now += 1_000_000
        raise OSError("the device is gone")

    with pytest.raises(OSError, match="gone"):
        ledger.timed("capture", fail)()
    work.now += 2_000_000
    ledger.timed("wake", work.of(0))()
    assert ledger.figures() == {"rest": 0.002, "capture": 0.001, "wake": 0.0}


def test_the_parts_add_up_to_the_process() -> None:
    found = parts({"rest": 1.0, "filters": 2.0}, {"loop": 9.0, UP: 0.5, DOWN: 0.25}, loop_s=3.0, cpu_s=7.0)
    assert sum(found[part] for part in PARTS) == found[CPU] == 7.0
    assert (found["wire"], found["other"], found[UP], found[DOWN]) == (3.0, 1.0, 0.5, 0.25)


@pytest.mark.slow
def test_a_daemon_in_talk_is_split_into_all_its_parts(tmp_path: Path) -> None:
    found = duplex.split(talk.wav_devices(tmp_path), certificate(tmp_path), block_ms=100, seconds=1.0)
    assert all(found.parts[part] > 0 for part in (*PARTS[:-1], UP, DOWN))
    assert sum(found.parts[part] for part in PARTS) == pytest.approx(found.parts[CPU])
    assert found.plain > 0
    assert found.message_ms == 100


@pytest.mark.slow
def test_talk_without_sound_both_ways_is_not_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(duplex, "FULL_TALK", 2.0)  # no talk is twice as much as there can be
    with pytest.raises(NotMeasured, match="not at full length"):
        duplex.duplex(talk.wav_devices(tmp_path), certificate(tmp_path), seconds=2.0, idle_s=1.0)
