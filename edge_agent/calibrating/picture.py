"""The calibration on one page: what a person understands at a glance, and a technician on the second look.

    draw(session, path)                     # PNG, 2100 x 1485: A4 across

Needs matplotlib; `why_no_picture` says so in a sentence where it is absent. Colours are those of Okabe and Ito; what a
colour says is also said by place or word.
"""

from __future__ import annotations

import errno
import importlib.util
import io
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_agent.audio.calibrate import sweep
from edge_agent.audio.calibrate.measures import Measured
from edge_agent.audio.calibrate.proposal import MOST_DISTORTION, SPEECH_DBFS, Proposal
from edge_agent.calibrating.report import SETTINGS, Session, distortion_text, good, verdict
from edge_agent.service.state import write_atomically

SIZE_IN, DPI = (14.0, 9.9), 150
INK, SOFT, FAINT, PAPER = "#1b1f24", "#57606a", "#e3e6ea", "#ffffff"
PERSON, DEVICE, ALERT, GOOD, QUIET = "#0072b2", "#d55e00", "#b2182b", "#009e73", "#8c959f"
_METER_DBFS = (-96.0, 6.0)


def why_no_picture() -> str:
    """Say why no picture can be drawn; empty when it can."""
    if importlib.util.find_spec("matplotlib"):
        return ""
    return "matplotlib is not installed, so there is no picture: install it with `pip install matplotlib`."


def draw(session: Session, path: Path) -> None:
    """Draw the picture; a file of that name is replaced, and a link of that name as well, not what it leads to.

    Raises:
        OSError: the file cannot be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415  a second to load, and only here
    from matplotlib.figure import Figure  # noqa: PLC0415

    figure = Figure(figsize=SIZE_IN, dpi=DPI, facecolor=PAPER)
    FigureCanvasAgg(figure)
    figure.text(0.05, 0.955, "How this device hears itself", fontsize=21, fontweight="bold", color=INK, va="center")
    where = f"{session.input}  and  {session.output},  {session.at[:16].replace('T', ' ')}"
    figure.text(0.95, 0.957, where, fontsize=9.5, color=SOFT, ha="right", va="center")
    _verdict(figure, session)
    _meter(figure.add_axes((0.185, 0.455, 0.765, 0.255)), session)
    _decay(figure.add_axes((0.06, 0.08, 0.26, 0.27)), session.measured)
    _response(figure.add_axes((0.39, 0.08, 0.26, 0.27)), session.measured)
    _distortion(figure.add_axes((0.72, 0.08, 0.23, 0.27)), session)
    page = io.BytesIO()
    figure.savefig(page, dpi=DPI, facecolor=PAPER, format="png")
    if not path.parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, "there is no such folder")
    write_atomically(path, page.getvalue(), mode=0o644)


def _verdict(figure: Any, session: Session) -> None:
    proposal = session.proposal
    color = ALERT if proposal is None else GOOD if good(proposal) else DEVICE
    figure.add_artist(_box(figure, (0.05, 0.775), (0.9, 0.14), color))
    if proposal is None:
        wide = "\n".join(textwrap.wrap(verdict(session), 112))
        figure.text(0.066, 0.845, wide, fontsize=12, fontweight="bold", color=color, va="center", linespacing=1.4)
        return
    wide = "\n".join(textwrap.wrap(verdict(session), 32))
    figure.text(0.066, 0.845, wide, fontsize=14, fontweight="bold", color=color, va="center", linespacing=1.35)
    for n, (name, key) in enumerate(SETTINGS.items()):
        y = 0.896 - 0.034 * n
        figure.text(0.372, y, key, fontsize=10.5, color=SOFT, va="center")
        figure.text(0.487, y, str(getattr(proposal, name)), fontsize=11.5, color=INK, va="center", fontweight="bold")
        reason = "\n".join(textwrap.wrap(proposal.reasons[name], 72))
        figure.text(0.575, y, reason, fontsize=8.5, color=INK, va="center", linespacing=1.15)


def _box(figure: Any, corner: tuple[float, float], size: tuple[float, float], color: str) -> Any:
    from matplotlib.patches import FancyBboxPatch  # noqa: PLC0415

    return FancyBboxPatch(
        corner, *size, boxstyle="round,pad=0,rounding_size=0.008", transform=figure.transFigure,
        facecolor=color + "12", edgecolor=color, linewidth=1.4,
    )  # fmt: skip


def _meter(axes: Any, session: Session) -> None:
    """Draw every level in the microphone as a bar of one scale, after the gain that is proposed."""
    measured, proposal = session.measured, session.proposal
    gain = proposal.mic_gain_db if proposal else 0.0
    rows: list[tuple[str, float, str, str]] = [("the room, quiet", measured.noise_dbfs + gain, QUIET, "")]
    spoken = proposal.speech_dbfs if proposal else session.spoken.dbfs if session.spoken else None
    if spoken is not None:
        rows.append(("a person", spoken + gain, PERSON, "" if session.spoken else "assumed: nobody spoke"))
    if measured.echo_found:
        for volume in sorted({one.volume for one in measured.sweeps} | ({proposal.volume_max} if proposal else set())):
            cap = proposal is not None and volume == proposal.volume_max
            clipped = any(one.volume == volume and one.clipped for one in measured.sweeps)
            remark = "the microphone is overdriven" if clipped else ""
            if cap and proposal:
                remark = f"proposed as the loudest: {_against(proposal.ser_db)}"
            rows.append((f"its own voice, volume {volume}", measured.echo_dbfs(volume) + gain, DEVICE, remark))
    low, high = _METER_DBFS
    for n, (name, level, color, remark) in enumerate(rows):
        y = len(rows) - 1 - n
        faint = remark == "" and name.startswith("its own")
        end = min(max(level, low), high)
        axes.barh(y, end - low, left=low, height=0.62, color=color, alpha=0.45 if faint else 0.95, zorder=3)
        axes.text(low - 1, y, name, ha="right", va="center", fontsize=11, color=INK)
        text = f"{level:.0f} dBFS" + (f", {remark}" if remark else "")
        inside = end > -34
        axes.text(
            end + (-0.8 if inside else 0.8), y, text, ha="right" if inside else "left", va="center", fontsize=10,
            color=("white" if inside and not faint else INK), zorder=5, fontweight="bold",
        )  # fmt: skip
    axes.set_xlim(low, high)
    axes.set_ylim(-0.6, len(rows) - 0.4)
    axes.axvspan(0, high, color=ALERT, alpha=0.16, lw=0, zorder=1)
    axes.axvline(0, color=ALERT, lw=1.5, zorder=4)
    if proposal:
        axes.axvline(SPEECH_DBFS, color=PERSON, lw=1.2, ls=(0, (4, 3)), zorder=4)
        axes.text(
            SPEECH_DBFS, len(rows) - 0.35, "speech belongs here", fontsize=9, color=PERSON, ha="center", va="bottom"
        )
    axes.text(high, len(rows) - 0.35, "too loud", fontsize=9, color=ALERT, ha="right", va="bottom")
    told = f"after {gain:g} dB of gain" if proposal else "before any gain"
    _panel(axes, f"How loud it is in the microphone, {told}", pad=21)
    axes.set_xlabel("dBFS", fontsize=9.5, color=SOFT, labelpad=1)
    axes.xaxis.grid(visible=True, color=FAINT, zorder=0)


def _decay(axes: Any, measured: Measured) -> None:
    _panel(axes, "The echo arrives and dies away")
    if why := _not_drawn(measured):
        _absent(axes, why)
        return
    level, left_over = _envelope_db(measured.impulse), _decay_db(measured.impulse)
    ms = np.arange(len(level)) / sweep.RATE_HZ * 1_000 - 5 + measured.delay_ms
    end = min(measured.delay_ms + max(60.0, 1.6 * measured.tail_ms), float(ms[-1]))
    down = measured.delay_ms + measured.tail_ms
    begin = min(0.0, measured.delay_ms - 6)
    axes.fill_between(ms, -60, np.maximum(level, -60), color=DEVICE, alpha=0.35, lw=0, zorder=2)
    axes.plot(ms, left_over, color="#a84a00", lw=2, zorder=4)
    axes.axhline(-30, color=SOFT, lw=1, ls=(0, (4, 3)), zorder=3)
    axes.axvline(measured.delay_ms, color=INK, lw=1.2, zorder=5)
    axes.axvline(down, color=INK, lw=1.2, ls=(0, (1, 1.5)), zorder=5)
    late = measured.delay_ms - begin > 0.5 * (end - begin)
    axes.text(
        measured.delay_ms, 5, f" after {measured.delay_ms:.1f} ms ", fontsize=9.5, color=INK,
        ha="right" if late else "left", va="center", fontweight="bold",
    )  # fmt: skip
    axes.text(
        min(down, end), -12, f" a sound that ends is \n 30 dB down {measured.tail_ms:.0f} ms later ", fontsize=9,
        color=INK, ha="right" if down - begin > 0.45 * (end - begin) else "left", va="center", zorder=6,
        bbox={"facecolor": PAPER, "edgecolor": "none", "alpha": 0.8, "pad": 1.0},
    )  # fmt: skip
    axes.set_xlim(begin, end)
    axes.set_ylim(-60, 10)
    axes.set_yticks([-60, -45, -30, -15, 0])
    axes.set_xlabel("ms after it is played", fontsize=9.5, color=SOFT)
    axes.set_ylabel("dB", fontsize=9.5, color=SOFT)


def _response(axes: Any, measured: Measured) -> None:
    _panel(axes, "What the loudspeaker gives of each pitch")
    if why := _not_drawn(measured):
        _absent(axes, why)
        return
    around = measured.response_db - measured.echo_gain_db
    axes.fill_between(sweep.GRID_HZ, -45, np.maximum(around, -45), color=DEVICE, alpha=0.2, lw=0, zorder=2)
    axes.plot(sweep.GRID_HZ, around, color=DEVICE, lw=2, zorder=3)
    axes.axhline(0, color=SOFT, lw=1, ls=(0, (4, 3)), zorder=1)
    axes.axvspan(300, 3_400, color=PERSON, alpha=0.07, lw=0, zorder=0)
    axes.text(1_000, -32.5, "what speech needs", fontsize=9, color=PERSON, ha="center", va="center", zorder=5)
    axes.set_xscale("log")
    axes.set_xlim(110, 7_000)
    axes.set_ylim(-35, max(15.0, float(np.ceil(around.max() / 5) * 5)))
    axes.set_xticks([125, 250, 500, 1_000, 2_000, 4_000])
    axes.set_xticklabels(["125", "250", "500", "1k", "2k", "4k"])
    axes.minorticks_off()
    axes.set_xlabel("Hz", fontsize=9.5, color=SOFT)
    axes.set_ylabel("dB around the mean", fontsize=9.5, color=SOFT)


def _distortion(axes: Any, session: Session) -> None:
    measured, proposal = session.measured, session.proposal
    _panel(axes, "Distortion by volume")
    found = [one for one in measured.sweeps if one.found]
    if not found:
        _absent(axes, "no echo was heard")
        return
    percent = [100 * one.distortion for one in found]
    top = max(14.0, 1.25 * max(percent))
    for n, (one, value) in enumerate(zip(found, percent, strict=True)):
        bad = one.clipped or one.distortion > MOST_DISTORTION
        axes.bar(n, value, width=0.62, color=ALERT if bad else GOOD, zorder=3)
        remark = "\noverdriven" if one.clipped else ""
        axes.text(
            n, value + 0.015 * top, distortion_text(one) + remark, ha="center", va="bottom", fontsize=9.5, color=INK
        )
    axes.axhline(100 * MOST_DISTORTION, color=ALERT, lw=1.2, ls=(0, (4, 3)), zorder=4)
    axes.text(-0.48, 100 * MOST_DISTORTION + 0.012 * top, "limit", fontsize=9, color=ALERT, va="bottom")
    axes.set_xlim(-0.5, len(found) - 0.5)
    axes.set_ylim(0, top)
    axes.set_xticks(range(len(found)))
    axes.set_xticklabels([str(one.volume) for one in found])
    axes.set_xlabel("volume" + _cap(proposal), fontsize=9.5, color=SOFT)
    axes.set_ylabel("%", fontsize=9.5, color=SOFT)


def _not_drawn(measured: Measured) -> str:
    if not measured.echo_found:
        return "no echo was heard"
    return "" if measured.clean() else "the microphone was overdriven"


def _cap(proposal: Proposal | None) -> str:
    return f" (proposed as the loudest: {proposal.volume_max})" if proposal else ""


def _against(ser_db: float) -> str:
    return f"{abs(ser_db):.0f} dB {'over' if ser_db < 0 else 'under'} the person"


def _envelope_db(impulse: NDArray[np.float64]) -> NDArray[np.float64]:
    """Level of a response (n,) over 1 ms, dB under its peak."""
    window = sweep.RATE_HZ // 1_000
    power = np.convolve(impulse**2, np.full(window, 1 / window), mode="same")
    found: NDArray[np.float64] = 10 * np.log10(np.maximum(power, 1e-30) / max(float(power.max()), 1e-30))
    return found


def _decay_db(impulse: NDArray[np.float64]) -> NDArray[np.float64]:
    """What is left of a steady sound after it ended (n,), dB: the energy still to come; 0 up to the response's peak."""
    power = impulse**2
    peak = int(power.argmax())
    left = np.cumsum(power[::-1])[::-1]
    found: NDArray[np.float64] = 10 * np.log10(np.maximum(left, 1e-30) / max(float(left[peak]), 1e-30))
    return np.minimum(found, 0.0)


def _panel(axes: Any, title: str, *, pad: float = 9) -> None:
    axes.set_title(title, fontsize=12, loc="left", color=INK, fontweight="bold", pad=pad)
    axes.tick_params(labelsize=9, colors=SOFT, length=3)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(FAINT)
    if title.startswith("How loud"):
        axes.set_yticks([])


def _absent(axes: Any, why: str) -> None:
    axes.set_xticks([])
    axes.set_yticks([])
    axes.text(0.5, 0.5, why, transform=axes.transAxes, ha="center", va="center", fontsize=10.5, color=SOFT)
