"""The table of latencies: the daemon's own figures beside their budgets. Pure.

    rows = table(figures)              # figures: what `edge-agent ctl metrics` answers
    markdown(rows, heard_ms=48.0)      # latency.md
    tree(rows, heard_ms=48.0)          # latency.json

A budget holds for the 99th percentile. With a handful of turns that is the worst one, so one stumble of a busy machine
shows; the verdict says so and nothing fails by it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from edge_agent.demo.settings import DEBOUNCE_MS


@dataclass(frozen=True, slots=True)
class Figure:
    """A latency the table shows: its name, what it means, and its budget, ms (None: none is set)."""

    name: str
    meaning: str
    budget_ms: float | None


FIGURES: tuple[Figure, ...] = (
    Figure("press_to_light", "button's edge to the light's first step", 20.0),
    Figure("press_to_first_byte", "button's edge to the turn's first byte, connection open", 10.0),
    Figure("capture_to_socket", "a message's last sample to its write", 5.0),
    Figure("socket_to_queue", "a sound message's arrival to the playback queue", 5.0),
    Figure("speech_end_to_first_sound", "end of the turn to the answer's first sample, service included", None),
    Figure("interrupt_to_silence", "interruption to the last old sample: a block of 20 ms and a fade of 10 ms", 30.0),
    Figure("connect", "connection opened and set up", None),
)


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table; the times are ms, None where nothing was counted."""

    name: str
    meaning: str
    count: int
    p50: float | None
    p95: float | None
    p99: float | None
    max: float | None
    budget_ms: float | None

    @property
    def verdict(self) -> str:
        """`ok`, `over`, or empty where there is no budget or no figure."""
        if self.budget_ms is None or self.p99 is None:
            return ""
        return "ok" if self.p99 <= self.budget_ms else "over"


def table(figures: Mapping[str, Any]) -> list[Row]:
    """Return a row for each figure, and for each label of it."""
    rows = []
    for figure in FIGURES:
        found = figures.get(figure.name)
        if isinstance(found, Mapping) and found and "count" not in found:
            rows += [_row(figure, f"{figure.name} ({label})", entry) for label, entry in found.items()]
        else:
            rows.append(_row(figure, figure.name, found or {}))
    return rows


def _row(figure: Figure, name: str, summary: Mapping[str, Any]) -> Row:
    p50, p95, p99, most = (summary.get(key) for key in ("p50", "p95", "p99", "max"))
    return Row(name, figure.meaning, int(summary.get("count") or 0), p50, p95, p99, most, figure.budget_ms)


def cells(row: Row) -> list[str]:
    """Return a row as a person reads it: name, count, p50, p95, p99, max, budget, verdict; times in ms."""
    times = ["-" if value is None else f"{value:.1f}" for value in (row.p50, row.p95, row.p99, row.max)]
    budget = "-" if row.budget_ms is None else f"{row.budget_ms:g}"
    return [row.name, str(row.count), *times, budget, row.verdict]


HEADINGS = ("latency, ms", "count", "p50", "p95", "p99", "max", "budget p99", "verdict")


def lines(rows: Sequence[Row]) -> list[str]:
    """Return the table for a plain terminal, one text a line."""
    body = [list(HEADINGS), *(cells(row) for row in rows)]
    widths = [max(len(line[column]) for line in body) for column in range(len(HEADINGS))]
    return [
        "  ".join([line[0].ljust(widths[0]), *(line[n].rjust(widths[n]) for n in range(1, len(HEADINGS)))])
        for line in body
    ]


def remarks(figures: Mapping[str, Any], heard_ms: float | None) -> list[str]:
    """Return the sentences that belong under the table."""
    out = []
    ring = figures.get("output_ring_ms")
    if isinstance(ring, int | float):
        out.append(f"The loudspeaker's ring holds up to {ring:.0f} ms more (output_ring_ms).")
    if heard_ms is not None:
        out.append(
            f"In the recording the interrupted answer was last heard {heard_ms:.0f} ms after the press "
            "(give or take 20)."
        )
    if figures.get("press_to_first_byte"):
        out.append(
            f"Figures that begin at the button's edge contain the {DEBOUNCE_MS} ms for which its level must be stable."
        )
    return out


def markdown(rows: Sequence[Row], notes: Sequence[str]) -> str:
    """Return the table as Markdown, with sentences under it."""
    head = "| " + " | ".join(HEADINGS) + " | meaning |"
    rule = "|---" + "|---:" * (len(HEADINGS) - 2) + "|---|---|"
    body = ["| " + " | ".join([*cells(row), row.meaning]) + " |" for row in rows]
    return "\n".join(["# Latencies of this demonstration", "", head, rule, *body, "", *notes, ""])


def tree(rows: Sequence[Row], notes: Sequence[str]) -> dict[str, Any]:
    """Return the table as a JSON tree."""
    return {"unit": "ms", "rows": [{**asdict(row), "verdict": row.verdict} for row in rows], "notes": list(notes)}
