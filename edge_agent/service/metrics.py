r"""The figures the device reports about itself: latencies, counters, gauges, in one registry.

    metrics = Metrics()
    metrics.observe("press_to_light", 3.2)                    # ms
    metrics.count("reconnects", cause="goAway")
    metrics.sample("playback_queue_ms", lambda: engine.queue_ms)  # a gauge: asked when someone reads
    metrics.text()                                            # Prometheus text format 0.0.4
    metrics.figures()                                         # the same as a JSON tree

`FIGURES` declares every figure once; a name that is not in it is a programming error (KeyError). Memory is bounded: a
latency is a histogram of fixed size, a figure has at most 64 combinations of labels, later ones count as "other".
One thread uses a registry; counting costs about a microsecond.
"""

from __future__ import annotations

import math
import os
import resource
import time
from array import array
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

PREFIX = "edge_agent_"
MAX_SERIES = 64  # label combinations of one figure; causes and periods are a dozen
QUANTILES = (0.5, 0.95, 0.99)

_STEP = 1.02  # ratio of neighbouring bucket bounds: a quantile is at most 2 % too high
_LEAST_MS = 0.001  # everything faster than a microsecond falls into the first bucket
_BUCKETS = 1 + math.ceil(math.log(1e6 / _LEAST_MS) / math.log(_STEP))  # up to 1000 s
_LOG_STEP = math.log(_STEP)

Kind = Literal["latency", "counter", "gauge"]
Labels = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure: its name without prefix, kind, help sentence with unit, and the names of its labels."""

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()


FIGURES: dict[str, Figure] = {
    figure.name: figure
    for figure in (
        Figure("press_to_light", "latency", "From the button's edge to the light's first step, ms."),
        Figure(
            "press_to_first_byte",
            "latency",
            "From the button's edge to the turn's first byte on an open connection, ms.",
        ),
        Figure("capture_to_socket", "latency", "From a message's last captured sample to its write to the socket, ms."),
        Figure(
            "socket_to_queue", "latency", "From the arrival of a sound message to its place in the playback queue, ms."
        ),
        Figure(
            "speech_end_to_first_sound",
            "latency",
            "From the end of speech (turn end or voice detector, as labelled) to the answer's first sample, ms.",
            ("by",),
        ),
        Figure(
            "interrupt_to_silence",
            "latency",
            "From an interruption to the last committed sample of the old answer, ms.",
        ),
        Figure("connect", "latency", "From the start of a connection to the end of its setup, ms."),
        Figure(
            "output_ring_ms",
            "gauge",
            "Sound the output device holds after a write, ms; add it to interrupt_to_silence.",
        ),
        Figure("blocks_captured", "counter", "Blocks read from the microphone."),
        Figure("blocks_played", "counter", "Blocks written to the loudspeaker."),
        Figure("blocks_dropped", "counter", "Blocks lost because a queue was full.", ("queue",)),
        Figure("xruns", "counter", "Blocks that came or went too late, by stream.", ("stream",)),
        Figure("playback_queue_ms", "gauge", "Sound waiting to be played, ms."),
        Figure("uplink_backlog_ms", "gauge", "Speech waiting to be sent, ms."),
        Figure(
            "drift_ppm", "gauge", "How much faster the loudspeaker's clock runs than the microphone's, ppm; measured."
        ),
        Figure("clipped_samples", "counter", "Microphone samples beyond full scale."),
        Figure(
            "canceller_trusted",
            "gauge",
            "1 while the echo canceller is believed; at 0 nobody is noticed over an answer, and silence is sent.",
        ),
        Figure("canceller_doubted", "counter", "Times the echo canceller had to be seen to work again."),
        Figure(
            "echo_path",
            "counter",
            "Changes of the echo's way while something was heard, by kind (drift: samples made up; jump; doubt).",
            ("kind",),
        ),
        Figure("noise_dbfs", "gauge", "The room's steady noise at the microphone, its gain included, dBFS."),
        Figure("connections", "counter", "Connections that completed their setup."),
        Figure("reconnects", "counter", "Connections that had to be made again, by cause.", ("cause",)),
        Figure("turns", "counter", "Turns opened."),
        Figure("conversations", "counter", "Conversations that have ended."),
        Figure("interruptions", "counter", "Answers cut short, by who did it.", ("by",)),
        Figure("near_end", "counter", "Speech over an answer, as the device itself hears it, by step.", ("step",)),
        Figure("wake_words", "counter", "Wake words heard, or nearly, by what came of them.", ("outcome",)),
        Figure("healing", "counter", "What was tried for an answer that did not come, by step.", ("step",)),
        Figure("faults", "counter", "Faults shown, by code.", ("code",)),
        Figure("tool_calls", "counter", "Tool calls answered, by outcome.", ("outcome",)),
        Figure(
            "bytes", "gauge", "Bytes on the line, by direction and period (start: since then).", ("direction", "period")
        ),
        Figure(
            "tokens",
            "gauge",
            "Tokens as they are billed, by direction, kind and period (turn: the last one).",
            ("direction", "modality", "period"),
        ),
        Figure(
            "money",
            "gauge",
            "What talk has cost by the configured prices, in their currency, by period (turn: the last one).",
            ("period",),
        ),
        Figure("talk_seconds", "counter", "Seconds with a turn open or an answer playing."),
        Figure(
            "cpu_seconds_per_talk_second", "gauge", "CPU seconds of the process per second of talk since the start."
        ),
        Figure("muted", "gauge", "1 while the microphone is mute."),
        Figure("volume", "gauge", "Perceptual loudness, 0 to 100."),
        Figure("up_seconds", "gauge", "Seconds since the process began to count."),
        Figure("process_resident_memory_bytes", "gauge", "Resident memory of the process."),
        Figure("process_cpu_seconds", "counter", "CPU seconds of the process, user and system."),
    )
}


class Latency:
    """A histogram of durations: fixed memory (about 8 kB), quantiles at most 2 % too high, never too low."""

    __slots__ = ("_buckets", "count", "maximum", "total")

    def __init__(self) -> None:
        self._buckets = array("L", bytes(_BUCKETS * array("L").itemsize))
        self.count = 0
        self.total = 0.0
        self.maximum = 0.0

    def observe(self, ms: float) -> None:
        """Count one duration, ms; a negative one counts as 0, infinity and NaN not at all."""
        if not math.isfinite(ms):
            return
        ms = max(ms, 0.0)
        bucket = 0 if ms <= _LEAST_MS else min(_BUCKETS - 1, 1 + int(math.log(ms / _LEAST_MS) / _LOG_STEP))
        self._buckets[bucket] += 1
        self.count += 1
        self.total += ms
        self.maximum = max(self.maximum, ms)

    def quantile(self, q: float) -> float:
        """Return the duration, ms, that the fraction `q` (0 to 1) of all durations does not exceed; NaN if none."""
        if not self.count:
            return math.nan
        rank = max(1, math.ceil(q * self.count))
        seen = 0
        for bucket, number in enumerate(self._buckets):
            seen += number
            if seen >= rank:
                bound = self.maximum if bucket == _BUCKETS - 1 else _LEAST_MS * _STEP**bucket
                return min(bound, self.maximum)
        return self.maximum

    def summary(self) -> dict[str, float | int | None]:
        """Return count and p50, p95, p99, max in ms (None while nothing was counted)."""
        if not self.count:
            return {"count": 0, "p50": None, "p95": None, "p99": None, "max": None}
        p50, p95, p99 = (round(self.quantile(q), 3) for q in QUANTILES)
        return {"count": self.count, "p50": p50, "p95": p95, "p99": p99, "max": round(self.maximum, 3)}


class Metrics:
    """The registry of all figures of one process.

    Args:
        figures: The declared figures; `FIGURES` by default.
    """

    def __init__(self, figures: Mapping[str, Figure] = FIGURES) -> None:
        self._figures = figures
        self._latencies: dict[str, dict[Labels, Latency]] = {}
        self._values: dict[str, dict[Labels, float]] = {}
        self._samplers: dict[str, dict[Labels, Callable[[], float]]] = {}
        self._born = time.monotonic()
        self._cpu_at_birth = time.process_time()
        if "process_cpu_seconds" in figures:
            self._sample_process()

    def observe(self, name: str, ms: float, **labels: str) -> None:
        """Count a duration, ms, of the latency `name`."""
        series = self._series(self._latencies, name, "latency")
        key = self._key(name, labels, series)
        latency = series.get(key)
        if latency is None:
            latency = series[key] = Latency()
        latency.observe(ms)

    def count(self, name: str, amount: float = 1, **labels: str) -> None:
        """Add to the counter `name`; counters only rise.

        Raises:
            ValueError: `amount` is negative.
        """
        if amount < 0:
            raise ValueError(f"{name} is a counter and cannot fall by {-amount}")
        series = self._series(self._values, name, "counter")
        key = self._key(name, labels, series)
        series[key] = series.get(key, 0) + amount

    def sample(self, name: str, read: Callable[[], float], **labels: str) -> None:
        """Ask `read` for the counter or gauge `name` whenever the figures are read."""
        if self._figures[name].kind == "latency":
            raise ValueError(f"{name} is a latency; use observe")
        series = self._samplers.setdefault(name, {})
        series[self._key(name, labels, series)] = read

    def value(self, name: str, **labels: str) -> float:
        """Return a counter or gauge as it stands; 0 if it was never touched."""
        key = self._key(name, labels, {})
        return self._current(name).get(key, 0)

    def latency(self, name: str, **labels: str) -> Latency:
        """Return the histogram of a latency; an empty one if nothing was counted yet."""
        return self._latencies.get(name, {}).get(self._key(name, labels, {})) or Latency()

    def figures(self) -> dict[str, Any]:
        """Return every figure that has a value: name -> summary or number, or label text -> those."""
        tree: dict[str, Any] = {}
        for name, figure in self._figures.items():
            series: Mapping[Labels, Any] = (
                {key: latency.summary() for key, latency in self._latencies.get(name, {}).items()}
                if figure.kind == "latency"
                else self._current(name)
            )
            if figure.labels and series:
                tree[name] = {",".join(value for _, value in key): entry for key, entry in series.items()}
            elif series:
                tree[name] = series[()]
        return tree

    def text(self) -> str:
        """Return all figures in the Prometheus text exposition format, version 0.0.4."""
        lines: list[str] = []
        for figure in self._figures.values():
            if figure.kind == "latency":
                self._latency_text(figure, lines)
                continue
            current = self._current(figure.name)
            if not current and not figure.labels and figure.kind == "counter":
                current = {(): 0}  # a counter that has not moved yet stands at 0; a gauge never set is unknown
            if current:
                name = PREFIX + figure.name + ("_total" if figure.kind == "counter" else "")
                _head(lines, name, figure.kind, figure.help)
                lines.extend(f"{name}{_labels(key)} {_number(value)}" for key, value in current.items())
        return "\n".join(lines) + "\n"

    def _latency_text(self, figure: Figure, lines: list[str]) -> None:
        series = self._latencies.get(figure.name, {}) or ({} if figure.labels else {(): Latency()})
        if not series:
            return
        name = f"{PREFIX}{figure.name}_ms"
        _head(lines, name, "summary", figure.help)
        for key, latency in series.items():
            lines.extend(
                f"{name}{_labels((*key, ('quantile', f'{q:g}')))} {_number(latency.quantile(q))}" for q in QUANTILES
            )
            lines.append(f"{name}_sum{_labels(key)} {_number(latency.total)}")
            lines.append(f"{name}_count{_labels(key)} {latency.count}")
        _head(lines, f"{PREFIX}{figure.name}_max_ms", "gauge", f"The longest ever. {figure.help}")
        lines.extend(
            f"{PREFIX}{figure.name}_max_ms{_labels(key)} {_number(one.maximum)}" for key, one in series.items()
        )

    def _series(self, store: dict[str, dict[Labels, Any]], name: str, kind: Kind) -> dict[Labels, Any]:
        declared = self._figures[name].kind
        if declared != kind:
            raise ValueError(f"{name} is a {declared}, not a {kind}")
        return store.setdefault(name, {})

    def _key(self, name: str, labels: Mapping[str, str], series: Mapping[Labels, Any]) -> Labels:
        expected = self._figures[name].labels
        if len(labels) != len(expected) or any(label not in labels for label in expected):
            raise ValueError(f"{name} has the labels {expected}, not {tuple(labels)}")
        key = tuple((label, str(labels[label])) for label in expected)
        if key in series or len(series) < MAX_SERIES:
            return key
        return tuple((label, "other") for label in expected)

    def _current(self, name: str) -> dict[Labels, float]:
        sampled = {key: read() for key, read in self._samplers.get(name, {}).items()}
        return {**self._values.get(name, {}), **sampled}

    def _sample_process(self) -> None:
        self.sample("process_resident_memory_bytes", resident_bytes)
        self.sample("process_cpu_seconds", time.process_time)
        self.sample("up_seconds", lambda: time.monotonic() - self._born)
        self.sample("cpu_seconds_per_talk_second", self._cpu_per_talk)

    def _cpu_per_talk(self) -> float:
        talk = self.value("talk_seconds")
        return (time.process_time() - self._cpu_at_birth) / talk if talk else math.nan


def resident_bytes() -> int:
    """Return the resident memory of this process, bytes: from /proc, else the peak that getrusage knows."""
    try:
        with open("/proc/self/statm", "rb") as file:  # noqa: PTH123  a kernel file, read on every scrape
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024  # kibibytes on Linux


def _head(lines: list[str], name: str, kind: str, text: str) -> None:
    escaped = text.replace("\\", "\\\\").replace("\n", "\\n")
    lines.append(f"# HELP {name} {escaped}")
    lines.append(f"# TYPE {name} {kind}")


def _labels(labels: Labels) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in labels) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def _number(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return str(int(value)) if value == int(value) and abs(value) < 1e15 else repr(float(value))
