"""The timeline picture: one demonstration on one page, for the README and for whoever looks into `demo-out/`.

    draw(timeline, closeups, rows, path)      # PNG, 2400 x 1500

Needs matplotlib; `why_no_picture` says so in a sentence where it is absent. Colours are those of Okabe and Ito, told
apart by every eye; whatever a colour says is also said by place, shape or word.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edge_agent.demo.closeup import Closeup
from edge_agent.demo.latency import Row
from edge_agent.demo.timeline import QUIET_WIRE, Span, Timeline, wrapped
from edge_agent.panel.light import load_patterns
from edge_agent.panel.patterns import Pattern

SIZE_IN, DPI = (16.0, 10.0), 150

INK, SOFT, FAINT, PAPER = "#1b1f24", "#6a737d", "#e3e6ea", "#ffffff"
PERSON, DEVICE, ALERT = "#0072b2", "#d55e00", "#cc79a7"
STATES: dict[str, tuple[str, str]] = {
    "starting": ("#f0f0f0", INK),
    "idle": ("#f3f4f6", SOFT),
    "offline": ("#e69f00", INK),
    "connecting": ("#f0e442", INK),
    "listening": ("#009e73", "white"),
    "thinking": ("#56b4e9", INK),
    "speaking": ("#d55e00", "white"),
    "muted": ("#4d4d4d", "white"),
    "fault": ("#cc79a7", INK),
}
STEP_TITLES = {
    "question": "a question",
    "picture": "a picture question",
    "interruption": "an interruption",
    "reconnect": "the line is cut",
    "mute": "mute",
    "goodbye": "goodbye, next visitor",
}
MARKS: dict[str, tuple[str, str]] = {
    "setup": ("D", "setup"),
    "setupComplete": ("D", "setupComplete"),
    "activityStart": (">", "activityStart"),
    "activityEnd": ("s", "activityEnd"),
    "video": ("*", "video (a still)"),
    "interrupted": ("X", "interrupted"),
    "turnComplete": ("o", "turnComplete"),
    "sessionResumptionUpdate": ("P", "sessionResumptionUpdate"),
    "closed": ("|", "connection closed"),
}


def why_no_picture() -> str:
    """Say why no picture can be drawn; empty when it can."""
    if importlib.util.find_spec("matplotlib"):
        return ""
    return "matplotlib is not installed, so there is no timeline.png: install it with `pip install matplotlib`"


def draw(
    timeline: Timeline,
    path: Path,
    *,
    syllable: Closeup | None = None,
    stop: Closeup | None = None,
    rows: Sequence[Row] = (),
    subtitle: str = "",
) -> None:
    """Draw the picture.

    Args:
        timeline: the lanes.
        path: the PNG to write.
        syllable: the first syllable, enlarged.
        stop: the interruption, enlarged.
        rows: the latencies; those with a budget are shown.
        subtitle: what stood in for what.

    Raises:
        OSError: the file cannot be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415  a second to load, and only here
    from matplotlib.figure import Figure  # noqa: PLC0415

    figure = Figure(figsize=SIZE_IN, dpi=DPI, facecolor=PAPER)
    FigureCanvasAgg(figure)
    heights = [2.1, 2.6, 0.34, 0.62, 0.5, 1.75, 0.55, 2.3]
    grid = figure.add_gridspec(
        len(heights), 3, height_ratios=heights, left=0.075, right=0.985, top=0.885, bottom=0.06, hspace=0.1, wspace=0.2
    )
    lanes = [figure.add_subplot(grid[row, :]) for row in range(6)]
    for lane in lanes:
        _plain(lane, timeline)
    _steps(lanes, timeline)
    _sound(lanes[0], timeline.person, PERSON, "visitor")
    _sound(lanes[1], timeline.device, DEVICE, "loudspeaker")
    _captions(lanes[0], timeline.spoken, width=18, color=PERSON, until=timeline.length, quoted=True)
    _captions(lanes[1], timeline.answered, width=26, color="#a84a00", until=timeline.length)
    _notes(lanes[1], timeline)
    _button(lanes[2], timeline)
    _states(lanes[3], timeline)
    _light(lanes[4], timeline, load_patterns())
    _wire(lanes[5], timeline)
    _clock(lanes[5], timeline)
    _syllable(figure.add_subplot(grid[7, 0]), syllable)
    _stop(figure.add_subplot(grid[7, 1]), stop)
    _latencies(figure.add_subplot(grid[7, 2]), rows)
    figure.text(0.075, 0.955, "edge-agent: one conversation", fontsize=19, fontweight="bold", color=INK, va="center")
    if subtitle:
        figure.text(0.985, 0.955, subtitle, fontsize=9.5, color=SOFT, ha="right", va="center")
    figure.savefig(path, dpi=DPI, facecolor=PAPER)


def _plain(axes: Any, timeline: Timeline) -> None:
    axes.set_xlim(0, timeline.length)
    axes.set_yticks([])
    axes.tick_params(bottom=False, labelbottom=False)
    for side in ("top", "right", "left", "bottom"):
        axes.spines[side].set_visible(False)


def _name(axes: Any, text: str) -> None:
    axes.text(-0.008, 0.5, text, transform=axes.transAxes, ha="right", va="center", fontsize=10.5, color=INK)


def _steps(lanes: Sequence[Any], timeline: Timeline) -> None:
    for n, step in enumerate(timeline.steps):
        for lane in lanes:
            if n % 2 == 0:
                lane.axvspan(step.start, step.end, color="#f6f8fa", lw=0, zorder=0)
        middle = (step.start + step.end) / 2
        title = f"{n + 1}  {STEP_TITLES.get(step.name, step.name)}"
        lanes[0].text(
            middle, 1.08, title, transform=lanes[0].get_xaxis_transform(), ha="center", fontsize=11.5, color=INK,
            fontweight="semibold",
        )  # fmt: skip
    for lane in lanes[:4]:
        for span in timeline.down:
            lane.axvspan(span.start, span.end, facecolor="none", edgecolor=ALERT, hatch="////", lw=0, alpha=0.55)


def _sound(axes: Any, peaks: Any, color: str, name: str) -> None:
    from edge_agent.demo.timeline import ENVELOPE_S  # noqa: PLC0415  beside its use

    times = (np.arange(len(peaks)) + 0.5) * ENVELOPE_S
    top = max(0.05, float(np.abs(peaks).max(initial=0.0)))
    axes.fill_between(times, peaks[:, 0] / top, peaks[:, 1] / top, color=color, lw=0.3, zorder=3)
    axes.axhline(0, color=color, lw=0.6, alpha=0.6, zorder=2)
    axes.set_ylim(-1.15, 2.35)
    axes.text(
        -0.008, 1.15 / 3.5, name, transform=axes.transAxes, ha="right", va="center", fontsize=10.5, color=color,
        fontweight="bold",
    )  # fmt: skip


def _captions(
    axes: Any, spoken: Sequence[Span], *, width: int, color: str, until: float, quoted: bool = False
) -> None:
    for n, span in enumerate(spoken):
        following = spoken[n + 1].start if n + 1 < len(spoken) else until
        room = max(10, min(width, int((following - span.start) / until * 165)))
        text = wrapped(span.name, room, 3)
        text = f"“{text}”" if quoted else text
        axes.text(span.start, 1.3, text, fontsize=9, color=color, va="bottom", ha="left", linespacing=1.1, zorder=5)


def _notes(axes: Any, timeline: Timeline) -> None:
    for note in timeline.notes:
        axes.plot([note.start, note.start], [-1.15, 1.15], color=INK, lw=1.3, zorder=6)
        axes.annotate(
            note.text.replace(": ", ":\n"),
            xy=(note.start, -0.75),
            xytext=(6, 0),
            textcoords="offset points",
            fontsize=9,
            fontweight="bold",
            color=INK,
            ha="left",
            va="center",
            linespacing=1.1,
            zorder=7,
            bbox={"facecolor": PAPER, "edgecolor": "none", "alpha": 0.85, "pad": 1.2},
        )


def _button(axes: Any, timeline: Timeline) -> None:
    axes.set_ylim(0, 1)
    _name(axes, "button")
    for span in timeline.presses:
        axes.axvspan(span.start, span.end, ymin=0.12, ymax=0.88, color=INK, lw=0, zorder=3)
    for span in timeline.muted:
        axes.text(span.start, 0.5, "muted ", fontsize=8.5, color=SOFT, ha="right", va="center")
        axes.plot([span.start, span.end], [0.5, 0.5], color=SOFT, lw=1.2, zorder=2)


def _states(axes: Any, timeline: Timeline) -> None:
    axes.set_ylim(0, 1)
    _name(axes, "state")
    per_letter = timeline.length / 230  # seconds a letter takes at this size
    for span in timeline.states:
        fill, ink = STATES.get(span.name, ("#f3f4f6", INK))
        axes.axvspan(span.start, span.end, ymin=0.06, ymax=0.94, color=fill, lw=0, zorder=3)
        if span.end - span.start > per_letter * (len(span.name) + 1):
            middle = (span.start + span.end) / 2
            axes.text(middle, 0.48, span.name, ha="center", va="center", fontsize=8.5, color=ink, zorder=4)


def _light(axes: Any, timeline: Timeline, patterns: dict[str, Pattern]) -> None:
    """Draw the light as it was: each pattern from the moment it was shown, in its colour and rhythm."""
    axes.set_ylim(0, 1)
    _name(axes, "light")
    columns = round(SIZE_IN[0] * DPI)
    times = (np.arange(columns) + 0.5) * timeline.length / columns
    strip = np.zeros((1, columns, 3))
    for span in timeline.lights:
        pattern = patterns.get(span.name)
        if pattern is None:
            continue
        for n in np.flatnonzero((times >= span.start) & (times < span.end)):
            strip[0, n] = np.asarray(pattern.at(float(times[n] - span.start))) * 0.9 + 0.08
    axes.imshow(
        strip, extent=(0, timeline.length, 0.06, 0.94), aspect="auto", interpolation="nearest", zorder=3
    )
    axes.set_ylim(0, 1)


def _wire(axes: Any, timeline: Timeline) -> None:
    axes.set_ylim(-1.45, 1.45)
    _name(axes, "wire")
    for sign, text, color in ((1, "up ↑", PERSON), (-1, "down ↓", DEVICE)):
        axes.text(
            -0.008, 0.5 + sign * 0.3, text, transform=axes.transAxes, ha="right", va="center", fontsize=9, color=color
        )
    axes.axhline(0, color=FAINT, lw=1)
    for up, color in ((True, PERSON), (False, DEVICE)):
        sound = [message.t for message in timeline.messages if message.up == up and message.kind == "audio"]
        low, high = (0.08, 0.55) if up else (-0.55, -0.08)
        axes.vlines(sound, low, high, color=color, lw=0.7, alpha=0.7, zorder=3)
    drawn: dict[str, Any] = {}
    for message in timeline.messages:
        if message.kind in QUIET_WIRE or message.kind not in MARKS:
            continue
        marker, label = MARKS[message.kind]
        up = message.up if message.kind != "closed" else True
        y = 0.95 if up else -0.95
        size = 90 if marker == "*" else 42
        color = INK if message.kind in {"interrupted", "closed"} else PERSON if up else DEVICE
        drawn[label] = axes.scatter(
            [message.t], [y], marker=marker, s=size, color=color, edgecolor=PAPER if marker != "|" else None,
            linewidth=0.6 if marker != "|" else 2.2, zorder=4,
        )  # fmt: skip
    for span in timeline.down:
        axes.text(
            span.end, -1.32, f" line cut for {span.end - span.start:.2f} s", fontsize=8.5, color=INK, va="center"
        )
        axes.axvspan(span.start, span.end, facecolor="none", edgecolor=ALERT, hatch="////", lw=0, alpha=0.55)
    sound_label = axes.plot([], [], color=SOFT, lw=1.2)[0]
    order = [label for _, label in MARKS.values() if label in drawn]
    legend = axes.legend(
        [sound_label, *(drawn[label] for label in order)],
        ["sound", *order],
        loc="upper center",
        bbox_to_anchor=(0.5, -0.2),
        ncol=len(order) + 1,
        frameon=False,
        fontsize=8.5,
        handletextpad=0.3,
        columnspacing=1.4,
    )
    for handle in legend.legend_handles[1:]:
        handle.set_sizes([42])


def _clock(axes: Any, timeline: Timeline) -> None:
    step = 5
    axes.set_xticks(np.arange(0, timeline.length, step))
    axes.set_xticklabels([f"{second:g} s" for second in np.arange(0, timeline.length, step)])
    axes.tick_params(bottom=True, labelbottom=True, labelsize=8.5, colors=SOFT, length=3)


def _panel(axes: Any, title: str) -> None:
    axes.set_title(title, fontsize=11, loc="left", color=INK, fontweight="semibold", pad=8)
    axes.tick_params(labelsize=8.5, colors=SOFT, length=3)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(FAINT)
    axes.set_yticks([])


def _curve(axes: Any, closeup: Closeup, n: int, *, color: str, base: float, alpha: float = 1.0) -> None:
    track = closeup.tracks[n]
    top = max(1e-3, max(float(np.abs(t.samples).max(initial=0.0)) for t in closeup.tracks[: n + 1]))
    times = track.start + np.arange(len(track.samples)) / track.rate
    axes.plot(times * 1000, base + track.samples / top, color=color, lw=0.6, alpha=alpha, zorder=3)


def _syllable(axes: Any, closeup: Closeup | None) -> None:
    _panel(axes, "The first syllable")
    if closeup is None:
        _absent(axes)
        return
    _curve(axes, closeup, 0, color=PERSON, base=1.2)
    track = closeup.tracks[1]
    times = (track.start + np.arange(len(track.samples)) / track.rate) * 1000
    top = max(1e-3, float(np.abs(track.samples).max(initial=0.0)))
    axes.plot(times, -1.2 + track.samples / top, color="#009e73", lw=0.6, zorder=3)
    axes.set_ylim(-2.6, 3.1)
    axes.set_xlim(-closeup.before * 1000, closeup.after * 1000)
    axes.axvline(0, color=INK, lw=1.2)
    axes.text(8, 2.75, "button pressed", fontsize=8.5, color=INK, va="center")
    axes.text(closeup.after * 1000, 2.1, "spoken", fontsize=8.5, color=PERSON, ha="right", va="center")
    axes.text(
        closeup.after * 1000, -0.2, "arrived at the service", fontsize=8.5, color="#00734f", ha="right", va="center"
    )
    if closeup.moment < 0:
        axes.axvspan(closeup.moment * 1000, 0, color="#009e73", alpha=0.15, lw=0)
        axes.text(
            -6, -2.3, f"{-closeup.moment * 1000:.0f} ms early, kept", fontsize=8.5, color=INK, ha="right", va="center"
        )
    axes.set_xlabel("ms from the press", fontsize=8.5, color=SOFT)


def _stop(axes: Any, closeup: Closeup | None) -> None:
    _panel(axes, "The interruption")
    if closeup is None:
        _absent(axes)
        return
    _curve(axes, closeup, 0, color="#b9bec5", base=0.0)
    _curve(axes, closeup, 1, color=DEVICE, base=0.0)
    axes.set_xlim(-closeup.before * 1000, closeup.after * 1000)
    axes.set_ylim(-1.5, 1.75)
    axes.axvline(0, color=INK, lw=1.2)
    axes.axvline(closeup.moment * 1000, color=INK, lw=1.2, ls=(0, (2, 2)))
    axes.text(-6, 1.5, "button pressed", fontsize=8.5, color=INK, ha="right", va="center")
    axes.text(
        closeup.moment * 1000 + 6, 1.5, f"last old sound, {closeup.moment * 1000:.0f} ms", fontsize=8.5, color=INK,
        fontweight="bold", va="center",
    )  # fmt: skip
    axes.text(
        closeup.after * 1000, -1.35, "grey: what would have come", fontsize=8.5, color=SOFT, ha="right", va="center"
    )
    axes.set_xlabel("ms from the press", fontsize=8.5, color=SOFT)


def _latencies(axes: Any, rows: Sequence[Row]) -> None:
    _panel(axes, "Latencies against their budgets")
    shown = [row for row in rows if row.budget_ms is not None and row.p50 is not None and row.p99 is not None]
    if not shown:
        _absent(axes)
        return
    for n, row in enumerate(reversed(shown)):
        assert row.p50 is not None  # noqa: S101  chosen above
        assert row.p99 is not None  # noqa: S101
        assert row.budget_ms is not None  # noqa: S101
        axes.plot([max(row.p50, 0.1), max(row.p99, 0.1)], [n, n], color=PERSON, lw=2.2, zorder=3)
        axes.scatter([max(row.p50, 0.1)], [n], s=34, color=PAPER, edgecolor=PERSON, linewidth=1.6, zorder=4)
        axes.scatter([max(row.p99, 0.1)], [n], s=40, color=PERSON, zorder=4)
        axes.plot([row.budget_ms] * 2, [n - 0.32, n + 0.32], color=INK, lw=2.2, zorder=5)
        axes.text(
            -0.02, n, row.name.replace("_", " "), transform=axes.get_yaxis_transform(), ha="right", va="center",
            fontsize=8.5, color=INK,
        )  # fmt: skip
    axes.set_xscale("log")
    axes.set_xlim(0.1, 120)
    axes.set_xticks([0.1, 1, 10, 100])
    axes.set_xticklabels(["0.1", "1", "10", "100 ms"])
    axes.set_ylim(-0.6, len(shown) - 0.4)
    axes.grid(axis="x", color=FAINT, lw=0.7, zorder=0)
    axes.set_xlabel("ring: median    dot: 99th percentile    bar: budget", fontsize=8.5, color=SOFT)


def _absent(axes: Any) -> None:
    axes.set_xticks([])
    axes.text(0.5, 0.5, "not recorded", transform=axes.transAxes, ha="center", color=SOFT, fontsize=9)
