"""The figures: quantiles near the truth with bounded memory, and text that Prometheus can read."""

from __future__ import annotations

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.service.metrics import FIGURES, MAX_SERIES, Figure, Latency, Metrics, resident_bytes

_SAMPLE = re.compile(
    r"^[a-zA-Z_:][a-zA-Z0-9_:]*"
    r'(\{[a-zA-Z_][a-zA-Z0-9_]*="(\\\\|\\"|\\n|[^"\\\n])*"(,[a-zA-Z_][a-zA-Z0-9_]*="(\\\\|\\"|\\n|[^"\\\n])*")*\})?'
    r" (NaN|[+-]Inf|-?[0-9.]+(e[+-]?[0-9]+)?)$"
)


@given(st.lists(st.floats(min_value=0, max_value=1e5), min_size=1, max_size=300), st.sampled_from([0.5, 0.95, 0.99]))
def test_a_quantile_is_never_too_low_and_at_most_two_percent_too_high(durations: list[float], q: float) -> None:
    latency = Latency()
    for ms in durations:
        latency.observe(ms)
    exact = sorted(durations)[max(1, math.ceil(q * len(durations))) - 1]
    assert exact * (1 - 1e-9) <= latency.quantile(q) <= max(exact * 1.0201, 0.001)


def test_strange_durations_do_no_harm() -> None:
    latency = Latency()
    for ms in (-5.0, math.nan, math.inf, 1e12):
        latency.observe(ms)
    assert latency.count == 2
    assert latency.quantile(0.01) == 0.001
    assert latency.maximum == 1e12


def test_an_empty_latency_says_so() -> None:
    assert Latency().summary() == {"count": 0, "p50": None, "p95": None, "p99": None, "max": None}
    assert math.isnan(Latency().quantile(0.5))


def test_the_figures_of_the_design_are_all_declared() -> None:
    named = {
        "press_to_light", "press_to_first_byte", "capture_to_socket", "socket_to_queue", "speech_end_to_first_sound",
        "interrupt_to_silence", "output_ring_ms", "blocks_captured", "blocks_played", "blocks_dropped", "xruns",
        "playback_queue_ms", "uplink_backlog_ms", "drift_ppm", "reconnects", "bytes", "tokens",
        "process_resident_memory_bytes", "process_cpu_seconds", "cpu_seconds_per_talk_second",
    }  # fmt: skip
    assert named <= set(FIGURES)
    assert all(figure.help.endswith(".") for figure in FIGURES.values())


def test_the_text_is_what_prometheus_reads() -> None:
    metrics = Metrics()
    metrics.observe("press_to_light", 3.0)
    metrics.observe("speech_end_to_first_sound", 700, by="turn_end")
    metrics.count("reconnects", cause='he said "no"\\\n')
    metrics.sample("playback_queue_ms", lambda: math.inf)
    text = metrics.text()
    assert text.endswith("\n")
    typed: dict[str, str] = {}
    seen: list[str] = []
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            assert name not in typed, "one TYPE line per name"
            typed[name] = kind
        elif not line.startswith("# HELP "):
            assert _SAMPLE.match(line), line
            name = re.split(r"[ {]", line)[0]
            family = name if name in typed else name.removesuffix("_sum").removesuffix("_count")
            assert family in typed, f"{name} comes after its TYPE"
            assert list(typed)[-1] == family, "samples of one family stand together"
            seen.append(line)
    assert len(seen) == len(set(seen))
    assert 'edge_agent_press_to_light_ms{quantile="0.99"} 3' in seen
    assert "edge_agent_press_to_light_ms_count 1" in seen
    assert 'edge_agent_reconnects_total{cause="he said \\"no\\"\\\\\\n"} 1' in seen
    assert "edge_agent_playback_queue_ms +Inf" in seen
    assert "edge_agent_turns_total 0" in seen
    assert typed["edge_agent_press_to_light_ms"] == "summary"


def test_help_texts_are_escaped() -> None:
    metrics = Metrics({"odd": Figure("odd", "counter", "a\\b\nc")})
    assert "# HELP edge_agent_odd_total a\\\\b\\nc\n" in metrics.text()


def test_labels_are_bounded() -> None:
    metrics = Metrics()
    for number in range(1000):
        metrics.count("reconnects", cause=f"cause {number}")
    figures = metrics.figures()["reconnects"]
    assert len(figures) == MAX_SERIES + 1
    assert figures["other"] == 1000 - MAX_SERIES


def test_mistakes_are_told_at_once() -> None:
    metrics = Metrics()
    with pytest.raises(KeyError):
        metrics.count("unheard_of")
    with pytest.raises(ValueError, match="is a latency"):
        metrics.count("press_to_light", 3)
    with pytest.raises(ValueError, match="cannot fall"):
        metrics.count("turns", -1)
    with pytest.raises(ValueError, match="has the labels"):
        metrics.count("reconnects")
    with pytest.raises(ValueError, match="use observe"):
        metrics.sample("press_to_light", lambda: 1.0)


def test_sampled_values_are_read_when_asked() -> None:
    metrics = Metrics()
    level = [5.0]
    metrics.sample("uplink_backlog_ms", lambda: level[0])
    assert metrics.value("uplink_backlog_ms") == 5
    level[0] = 7
    assert metrics.figures()["uplink_backlog_ms"] == 7


def test_figures_as_a_tree() -> None:
    metrics = Metrics()
    metrics.observe("connect", 100)
    metrics.count("xruns", stream="input")
    metrics.count("talk_seconds", 2)
    tree = metrics.figures()
    assert tree["connect"] == {"count": 1, "p50": 100, "p95": 100, "p99": 100, "max": 100}
    assert tree["xruns"] == {"input": 1}
    assert tree["cpu_seconds_per_talk_second"] >= 0
    assert metrics.latency("connect").count == 1
    assert metrics.latency("press_to_light").count == 0


def test_the_process_reports_its_own_memory() -> None:
    assert 4e6 < resident_bytes() < 4e9
