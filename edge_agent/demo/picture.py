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
from edge_agent.demo.timeline import ENVELOPE_S, QUIET_WIRE, Message, Span, Timeline, wrapped
from edge_agent.panel.light import load_patterns
from edge_agent.panel.patterns import Pattern

SIZE_IN, DPI = (16.0, 10.0), 150
MARK_SHARE = 0.008  # of the picture's width: markers nearer than this are stacked

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
    "picture": "a picture",
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
    heights = [2.1, 2.6, 0.34, 0.62, 0.5, 2.1]
    grid = figure.add_gridspec(len(heights), 1, height_ratios=heights, left=0.075, right=0.985, top=0.875, bottom=0.36)
    grid.update(hspace=0.1)
    lanes = [figure.add_subplot(grid[row, 0]) for row in range(len(heights))]
    for lane in lanes:
        _plain(lane, timeline)
    _steps(lanes, timeline)
    _sound(lanes[0], timeline.person, PERSON, "visitor")
    _sound(lanes[1], timeline.device, DEVICE, "loudspeaker")
    _captions(lanes[0], timeline.spoken, width=26, color=PERSON, until=timeline.length, quoted=True)
    _captions(lanes[1], timeline.answered, width=26, color="#a84a00", until=timeline.length)
    _notes(lanes[1], timeline)
    _button(lanes[2], timeline)
    _states(lanes[3], timeline)
    _light(lanes[4], timeline, load_patterns())
    _wire(lanes[5], timeline)
    _clock(lanes[5], timeline)
    _syllable(figure.add_axes((0.075, 0.065, 0.265, 0.185)), syllable)
    _stop(figure.add_axes((0.385, 0.065, 0.265, 0.185)), stop)
    _latencies(figure.add_axes((0.775, 0.065, 0.21, 0.185)), rows)
    _state_key(figure)
    figure.text(0.075, 0.957, "edge-agent: one conversation", fontsize=19, fontweight="bold", color=INK, va="center")
    if subtitle:
        figure.text(0.985, 0.967, subtitle, fontsize=9.5, color=SOFT, ha="right", va="center")
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
        lanes[0].text(
            step.start, 1.07, f" {n + 1}", transform=lanes[0].get_xaxis_transform(), fontsize=11.5, color=INK,
            fontweight="bold",
        )  # fmt: skip
        title = STEP_TITLES.get(step.name, step.name)
        lanes[0].annotate(
            title, (step.start, 1.07), xycoords=lanes[0].get_xaxis_transform(), xytext=(19, 0),
            textcoords="offset points", fontsize=11, color=INK,
        )  # fmt: skip
    for lane in lanes[:4]:
        for span in timeline.down:
            lane.axvspan(span.start, span.end, facecolor="none", edgecolor=ALERT, hatch="////", lw=0, alpha=0.55)


def _sound(axes: Any, peaks: Any, color: str, name: str) -> None:
    times = (np.arange(len(peaks)) + 0.5) * ENVELOPE_S
    top = max(0.05, float(np.abs(peaks).max(initial=0.0)))
    axes.fill_between(times, peaks[:, 0] / top, peaks[:, 1] / top, color=color, lw=0.3, zorder=3)
    axes.axhline(0, color=color, lw=0.6, alpha=0.6, zorder=2)
    axes.set_ylim(-1.15, 2.35)
    axes.text(
        -0.008, 1.15 / 3.5, name, transform=axes.transAxes, ha="right", va="center", fontsize=10.5, color=color,
        fontweight="bold",
    )  # fmt: skip


def _captions(axes: Any, spoken: Sequence[Span], *, width: int, color: str, until: float, quoted: bool = False) -> None:
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
    axes.imshow(strip, extent=(0, timeline.length, 0.06, 0.94), aspect="auto", interpolation="nearest", zorder=3)
    axes.set_ylim(0, 1)


def _wire(axes: Any, timeline: Timeline) -> None:
    axes.set_ylim(-1.9, 2.3)
    axes.axhline(0, color=FAINT, lw=1)
    for text, y, color in (("wire ↑", 0.75, PERSON), ("wire ↓", -0.75, DEVICE)):
        axes.text(
            -0.008, y, text, transform=axes.get_yaxis_transform(), ha="right", va="center", fontsize=10.5, color=color
        )
    for up, color in ((True, PERSON), (False, DEVICE)):
        sound = [message.t for message in timeline.messages if message.up == up and message.kind == "audio"]
        low, high = (0.08, 0.5) if up else (-0.5, -0.08)
        axes.vlines(sound, low, high, color=color, lw=0.7, alpha=0.7, zorder=3)
    named = [m for m in timeline.messages if m.kind in MARKS and m.kind not in QUIET_WIRE]
    drawn: dict[str, Any] = {}
    for message, level in zip(named, stacked(named, timeline.length * MARK_SHARE), strict=True):
        marker, label = MARKS[message.kind]
        up = message.up or message.kind == "closed"
        y = (0.82 + 0.42 * level) * (1 if up else -1)
        color = INK if message.kind in {"interrupted", "closed"} else PERSON if up else DEVICE
        drawn[label] = axes.scatter(
            [message.t], [y], marker=marker, s=95 if marker == "*" else 40, color=color,
            edgecolor=None if marker == "|" else PAPER, linewidth=2.2 if marker == "|" else 0.6, zorder=4,
        )  # fmt: skip
    for span in timeline.down:
        axes.axvspan(span.start, span.end, facecolor="none", edgecolor=ALERT, hatch="////", lw=0, alpha=0.55)
        middle = (span.start + span.end) / 2
        axes.text(middle, 1.62, f"cut for {span.end - span.start:.2f} s", fontsize=8.5, color=INK, ha="center")
    order = [label for _, label in MARKS.values() if label in drawn]
    legend = axes.legend(
        [axes.plot([], [], color=SOFT, lw=1.2)[0], *(drawn[label] for label in order)],
        ["sound", *order],
        loc="upper center",
        bbox_to_anchor=(0.5, -0.17),
        ncol=len(order) + 1,
        frameon=False,
        fontsize=8.5,
        handletextpad=0.3,
        columnspacing=1.5,
    )
    for handle in legend.legend_handles[1:]:
        handle.set_sizes([42])


def stacked(messages: Sequence[Message], near_s: float) -> list[int]:
    """Return for each message how many of its direction came within `near_s` before it in a row, to draw it above."""
    levels: list[int] = []
    last: dict[bool, tuple[float, int]] = {}
    for message in messages:
        up = message.up or message.kind == "closed"
        t, level = last.get(up, (float("-inf"), 0))
        level = level + 1 if message.t - t < near_s else 0
        last[up] = (message.t, level)
        levels.append(level)
    return levels


def _state_key(figure: Any) -> None:
    """Draw what the colours of the states mean, where they are too short for their name."""
    from matplotlib.patches import Patch  # noqa: PLC0415

    names = ("connecting", "listening", "thinking", "speaking", "muted")
    figure.legend(
        [Patch(facecolor=STATES[name][0]) for name in names],
        names,
        loc="upper right",
        bbox_to_anchor=(0.99, 0.945),
        ncol=len(names),
        frameon=False,
        fontsize=8.5,
        handlelength=1.1,
        handleheight=1.0,
        handletextpad=0.4,
        columnspacing=1.3,
    )


def _clock(axes: Any, timeline: Timeline) -> None:
    step = 5
    axes.set_xticks(np.arange(0, timeline.length, step))
    axes.set_xticklabels([f"{second:g} s" for second in np.arange(0, timeline.length, step)])
    axes.tick_params(bottom=True, labelbottom=True, labelsize=8.5, colors=SOFT, length=3)


def _panel(axes: Any, title: str) -> None:
    axes.set_title(title, fontsize=11, loc="left", color=INK, fontweight="bold", pad=8)
    axes.tick_params(labelsize=8.5, colors=SOFT, length=3)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(FAINT)
    axes.set_yticks([])


def _curve(axes: Any, closeup: Closeup, n: int, *, color: str, base: float, alpha: float = 1.0) -> None:
    track = closeup.tracks[n]
    top = max(1e-3, *(float(np.abs(t.samples).max(initial=0.0)) for t in closeup.tracks[: n + 1]))
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
    axes.text(
        closeup.moment * 1000 + 78, -0.62, "cue: I listen", fontsize=8.5, color="#a84a00", ha="center", va="center",
        bbox={"facecolor": PAPER, "edgecolor": "none", "alpha": 0.8, "pad": 1.0},
    )  # fmt: skip
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
