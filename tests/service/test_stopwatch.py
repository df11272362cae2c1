"""Latencies: each is measured from its own beginning, once, and nothing counts that had none."""

from __future__ import annotations

import pytest

from edge_agent.service.metrics import Metrics
from edge_agent.service.stopwatch import Stopwatch


class Bench:
    def __init__(self) -> None:
        self.metrics = Metrics()
        self.told: list[tuple[str, float]] = []
        self.watch = Stopwatch(self.metrics, lambda name, ms: self.told.append((name, round(ms, 6))))


def test_a_press_is_timed_to_light_and_first_byte() -> None:
    bench = Bench()
    bench.watch.pressed(10.0)
    bench.watch.turn_opened(10.001, connected=True)
    bench.watch.light_set(10.002)
    bench.watch.press_done()
    bench.watch.byte_sent(10.004)
    bench.watch.byte_sent(10.050)
    assert bench.told == [("press_to_light", 2.0), ("press_to_first_byte", 4.0)]


def test_the_first_byte_is_timed_only_on_an_open_connection() -> None:
    bench = Bench()
    bench.watch.pressed(10.0)
    bench.watch.turn_opened(10.001, connected=False)
    bench.watch.byte_sent(13.0)
    assert bench.told == []


def test_a_press_that_changes_no_light_does_not_time_a_later_change() -> None:
    bench = Bench()
    bench.watch.pressed(10.0)
    bench.watch.press_done()
    bench.watch.light_set(10.3)
    assert bench.told == []


def test_the_answer_is_timed_from_the_last_end_of_speech_by_who_found_it() -> None:
    bench = Bench()
    bench.watch.speech_ended(20.0, by="transcript")
    bench.watch.speech_ended(20.5, by="transcript")
    bench.watch.answer_started(21.0)
    bench.watch.answer_started(22.0)
    assert bench.told == [("speech_end_to_first_sound", 500.0)]
    assert bench.metrics.latency("speech_end_to_first_sound", by="transcript").count == 1


def test_a_turn_begun_anew_forgets_the_old_end_of_speech() -> None:
    bench = Bench()
    bench.watch.speech_ended(20.0)
    bench.watch.turn_opened(20.2, connected=True)
    bench.watch.answer_started(21.0)
    assert bench.told == []


def test_interruption_and_connection_are_timed_once() -> None:
    bench = Bench()
    bench.watch.interrupted(1.0)
    bench.watch.silent(1.015)
    bench.watch.silent(2.0)
    bench.watch.connecting(3.0)
    bench.watch.connected(3.25)
    bench.watch.connected(4.0)
    assert bench.told == [("interrupt_to_silence", 15.0), ("connect", 250.0)]
    assert bench.metrics.latency("connect").quantile(0.5) == pytest.approx(250.0, rel=0.03)
