"""The table `edge-agent bench` prints: one row for each thing measured, its budget beside it, and a verdict. Pure.

    rows = [judged("press to light, p99", 12.0, 20.0, unit="ms", lower="20 ms"), missing("echo", "...", why="...")]
    print(plain(rows))
    document(rows, machine=..., quick=True)      # what --json writes

A row says `ok` or `over` only where there is both a figure and a budget. What could not be measured here says so and
why; a figure without a budget is shown for orientation. Nothing here rounds a figure before it is judged.

Figures of repeated runs are medians with the lowest and highest run beside them. Peers are compared by the median of
the ratios within each round, so that a machine that is slow for a while is slow for both.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

SCHEMA = 1
"""Version of the JSON document; a reader refuses what it does not know."""

Verdict = Literal["ok", "over", "not measured here", "no budget"]

COLUMNS = ("what", "figure", "budget", "verdict")


@dataclass(frozen=True, slots=True)
class Row:
    """One line: `values` are the figures behind `figure`, by name with the unit in it; `note` says what to know."""

    what: str
    figure: str
    budget: str
    verdict: Verdict
    note: str = ""
    values: Mapping[str, Any] = field(default_factory=dict)
    part: str = ""


@dataclass(frozen=True, slots=True)
class Spread:
    """A figure of repeated runs."""

    median: float
    low: float
    high: float
    runs: int

    def text(self, unit: str, digits: int = 1) -> str:
        """Write it as `12.3 ms (11.9 to 14.0)`."""
        shown = f"{self.median:.{digits}f} {unit}".rstrip()
        return shown if self.runs < 2 else f"{shown} ({self.low:.{digits}f} to {self.high:.{digits}f})"

    def values(self, name: str) -> dict[str, float]:
        """Return it for a row's `values`."""
        return {name: self.median, f"{name}_low": self.low, f"{name}_high": self.high, "runs": self.runs}


def spread(figures: Iterable[float]) -> Spread:
    """Return median, lowest and highest.

    Raises:
        ValueError: there is no figure, or one is not a number.
    """
    found = list(figures)
    if not found or not all(map(math.isfinite, found)):
        raise ValueError(f"no median of {found}")
    return Spread(statistics.median(found), min(found), max(found), len(found))


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> Spread:
    """Return the median of the ratios within each round, ours over theirs.

    Raises:
        ValueError: the rounds do not match, or a peer took nothing at all.
    """
    if len(ours) != len(theirs):
        raise ValueError(f"{len(ours)} rounds of ours, {len(theirs)} of the peer's")
    if not all(their > 0 for their in theirs):
        raise ValueError("a peer without any cost was not measured")
    return spread(our / their for our, their in zip(ours, theirs, strict=True))


def judged(
    what: str,
    value: float,
    limit: float,
    *,
    figure: str,
    budget: str,
    note: str = "",
    values: Mapping[str, Any] | None = None,
) -> Row:
    """Return a row that is `ok` while `value` does not pass `limit`."""
    verdict: Verdict = "ok" if value <= limit else "over"
    return Row(what, figure, budget, verdict, note, dict(values or {}))


def told(what: str, figure: str, *, note: str = "", budget: str = "-", values: Mapping[str, Any] | None = None) -> Row:
    """Return a row for orientation: a figure that no budget limits."""
    return Row(what, figure, budget, "no budget", note, dict(values or {}))


def missing(what: str, budget: str, *, why: str, figure: str = "-", values: Mapping[str, Any] | None = None) -> Row:
    """Return a row that could not be measured, with the reason; `figure` may tell what was seen instead."""
    return Row(what, figure, budget, "not measured here", why, dict(values or {}))


def quantiles(summary: Mapping[str, Any]) -> str:
    """Write a latency's summary (`Metrics.figures`) as `p50 / p95 / p99 / max ms`."""
    return " / ".join(f"{summary[name]:.1f}" for name in ("p50", "p95", "p99", "max")) + " ms"


def plain(rows: Sequence[Row], *, width: int = 0) -> str:
    """Write the table as text, notes under their rows; `width` limits the notes' lines, 0 does not."""
    cells = [COLUMNS, *((row.what, row.figure, row.budget, row.verdict) for row in rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(COLUMNS))]
    lines = [_line(cells[0], widths), "  ".join("-" * size for size in widths)]
    part = ""
    for row, line in zip(rows, cells[1:], strict=True):
        if row.part != part:
            part = row.part
            lines += ["", part]
        lines.append(_line(line, widths))
        lines += [f"    {piece}" for piece in _wrapped(row.note, width)]
    return "\n".join(lines)


def markdown(rows: Sequence[Row]) -> str:
    """Write the table for a document, one heading a part."""
    lines: list[str] = []
    part = None
    for row in rows:
        if row.part != part:
            part = row.part
            lines += ["", f"### {part}", "", "| what | figure | budget | verdict |", "|---|---|---|---|"]
        note = f"<br>{row.note}" if row.note else ""
        cells = (row.what, row.figure + note, row.budget, row.verdict)
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines).strip() + "\n"


def document(rows: Sequence[Row], *, machine: Mapping[str, Any], quick: bool, seconds: float) -> dict[str, Any]:
    """Return what `--json` writes; figures that are not finite become null."""
    return {
        "schema": SCHEMA,
        "quick": quick,
        "seconds": round(seconds, 1),
        "machine": dict(machine),
        "rows": [
            {
                "part": row.part,
                "what": row.what,
                "figure": row.figure,
                "budget": row.budget,
                "verdict": row.verdict,
                "note": row.note,
                "values": _finite(row.values),
            }
            for row in rows
        ],
    }


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join(cell.ljust(size) for cell, size in zip(cells, widths, strict=True)).rstrip()


def _wrapped(note: str, width: int) -> list[str]:
    if not note or width <= 0:
        return [note] if note else []
    lines = [""]
    for word in note.split():
        if lines[-1] and len(lines[-1]) + 1 + len(word) > width - 4:
            lines.append(word)
        else:
            lines[-1] = f"{lines[-1]} {word}".lstrip()
    return lines


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _finite(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(entry) for entry in value]
    if isinstance(value, float):
        return round(value, 4) if math.isfinite(value) else None
    return value
