"""The page `docs/sound.md` and its pictures, written from the study's results.

write(results, Path("docs"))        # sound.md, pictures/sound-*.png
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from study.cases import (
    DELAY_MS,
    DISTORTION,
    SER_DB,
    UNDER_DB,
    VOICES,
    VOICES_BEGIN_S,
    VOICES_END_S,
    Case,
)
from study.loop import HEARD_HZ, Run
from study.metrics import CONVERGED_DB, WINDOW_S, WITHIN_S
from study.run import Outcome, Results, Way, is_wake_word

TARGET_SER_DB = -10
SOFTER_DB = 12
"""Other voices so far below the person are to stop nothing."""
_BLUE, _ORANGE, _GREEN, _GREY = "#0072b2", "#d55e00", "#009e73", "#999999"  # Okabe and Ito
_SIZE_IN = (8.0, 3.6)


def share_stopped(outcomes: Sequence[Outcome]) -> float:
    """Return the share of interruptions that stopped the answer in time."""
    return sum(_stopped(one) for one in outcomes) / len(outcomes)


def stops(outcomes: Iterable[Outcome]) -> list[float]:
    """Return the times to silence of those that did, seconds."""
    return [one.yielding.stop_s for one in outcomes if one.yielding and one.yielding.stop_s is not None]


def ducks(outcomes: Iterable[Outcome]) -> list[float]:
    """Return the times to the lowered answer, seconds."""
    return [one.yielding.duck_s for one in outcomes if one.yielding and one.yielding.duck_s is not None]


def at_least(outcomes: Iterable[Outcome], ser_db: int = TARGET_SER_DB) -> list[Outcome]:
    """Return the outcomes of cases in which the person is no fainter than that against the echo."""
    return [one for one in outcomes if one.case.ser_db >= ser_db]


def per_minute(outcomes: Sequence[Outcome], count: Callable[[Outcome], int]) -> float:
    """Return how often something happened per minute of answer that nobody talked over."""
    return sum(map(count, outcomes)) / sum(one.minutes for one in outcomes)


def convergence(outcomes: Iterable[Outcome]) -> list[float]:
    """Return when each canceller had learned its room, seconds; infinite where it never did."""
    return [math.inf if one.converged_s is None else one.converged_s for one in outcomes]


def write(results: Results, docs: Path) -> None:
    """Write the page and its pictures."""
    pictures = docs / "pictures"
    pictures.mkdir(exist_ok=True)
    _draw_stopped(results, pictures / "sound-stopped.png")
    _draw_latency(results, pictures / "sound-latency.png")
    _draw_erle(results, pictures / "sound-erle.png")
    if results.example is not None:
        _draw_example(*results.example, pictures / "sound-example.png")
    (docs / "sound.md").write_text(page(results))


def page(results: Results) -> str:
    """Return the page as Markdown."""
    alone = results.of("alone", "interruption")
    quiet = results.of("alone", "interruption", "reply")
    near = at_least(alone)
    replies = results.of("alone", "reply")
    parts = [
        _HEAD,
        "## In short\n",
        _table(
            ("speech-to-echo ratio of -10 dB and more", "wanted", "found"),
            [
                ("interruptions that stop the answer within 1.5 s", "90 %", f"{100 * share_stopped(near):.0f} %"),
                ("to the lowered answer, median", "220 ms", _ms(np.median(ducks(near)))),
                ("to silence, median", "550 ms", _ms(np.median(stops(near)))),
                (
                    "false stops a minute of answer",
                    "0.1",
                    f"{per_minute(at_least(quiet), lambda one: one.false_stops):.2f}",
                ),
                (
                    f"answers that interrupt themselves in {sum(one.minutes for one in replies):.0f} min, all ratios",
                    "0",
                    f"{sum(one.false_stops for one in replies)}",
                ),
            ],
        ),
        _TIMES,
        _TEST_SET,
        "## Talking over an answer\n",
        "The service of these runs never finds by itself that somebody speaks: what stops the answer is the device.\n",
        "![Share of stopped answers by speech-to-echo ratio](pictures/sound-stopped.png)\n",
        _yielding_table("SER", [(f"{ser} dB", [one for one in alone if one.case.ser_db == ser]) for ser in SER_DB]),
        _yielding_table("SER of -10 dB and more, by condition", list(_conditions(near))),
        _in_first_second(results),
        "![Time to the lowered answer and to silence](pictures/sound-latency.png)\n",
        "## The device alone\n",
        _false_table(results),
        "## Where a television runs, or others talk\n",
        _beside_others(results),
        "## Device and service together\n",
        _together(results),
        "## The echo canceller\n",
        _canceller(results),
        "## What reaches the service of the person\n",
        _levels(results),
        "## After an answer: who is listened to\n",
        _follow_up(results),
        "## The wake word\n",
        _wake(results),
        "## One interruption\n",
        _example_words(results),
        _TAIL,
    ]
    return "\n".join(parts)


_HEAD = """# How well it is interrupted: the sound study

How the device behaves when somebody talks over its answer, measured in closed loop: the whole daemon in virtual time,
in a [room](room.md) in which what it plays comes back, distorted and late, under a person and noise, with the Live API
twin as service. When it lowers its answer, the echo falls; when it stops, the echo ends. Two sections come from the
sound engine alone, in the same rooms: who is listened to after an answer, and the wake word. This page and its pictures
are written by `EDGE_AGENT_WRITE_SOUND=1 python -m pytest -m study tests/study`, which also holds the targets.
"""

_BESIDE_OTHERS = """The device knows how loud the voices are that did not talk to it, and how loud whoever asked was.
A voice over the answer must be 8 dB louder than the former or at most 8 dB softer than the latter. What it cannot know:
8 dB below the person is as good as the person, and others who begin only while it speaks are no background yet. It
may also miss, beside a television, a person who asks from nearby and interrupts from across the room.

"""

_TIMES = """Times run from the moment the person is audible at the microphone until the loudspeaker has followed:
the ring of 40 ms, the fade and the ramp are in them.
"""

_TEST_SET = f"""
**The test set** is made by script and not stored (`tests/study/cases.py`): espeak-ng and flite voices; rooms by the
image method, three sizes, reverberation 0.25 to 0.6 s; loudspeaker 5 to 15 cm from the microphone, the person 0.7 to
2.5 m; loudspeakers that fall off below 200 to 450 Hz, with distortion 0, 0.3 and 0.8 of the room's scale (0, 3 and 13 %
harmonics of a tone at -6 dBFS); delays {", ".join(map(str, DELAY_MS))} ms; noise 10 to 25 dB under the person; every
fourth case a loudspeaker clock 50 ppm fast, every sixth an echo path that grows 40 ms longer in mid-answer.
The speech-to-echo ratio (SER) is the person's active level at the microphone minus that of the echo of the full answer.
Levels are as calibration sets them: a person at -30 to -25 dBFS, less where the peaks of a loud echo would not fit.
Thresholds were chosen on other cases: other voices, sentences, room sizes and seeds. While the rule was made by which a
canceller is believed after the start, three cases with these voices were looked at; they are not in this set.
"""

_TAIL = """
## Reading it on a device

`ctl metrics` tells how a real device stands ([control](control.md)):

- `canceller_trusted` is 1 from one to three seconds into the first answer on, and again about a second after sound was
  lost. Where it is 0 in the middle of answers, nobody can interrupt them.
- `canceller_doubted_total` grows with every loss of sound and every change of the echo's way. More than a few an hour:
  look at `xruns_total`, at other programs, at `audio.block_ms`.
- `echo_path_total` of kind `jump` or `doubt`: what the loudspeaker holds changed, or seemed to, by up to 22 ms. A sound
  server does that; the card itself (`alsa:...`) does not. Of kind `drift`: two clocks; one a second is 60 ppm.
- `noise_dbfs`: speech must stand 8 dB over it to be noticed. Over -45, look for what hums beside the device.
- `near_end_total`: a `suspected` without a `confirmed` is an answer that was lowered for nothing.

## What this does not say

Voices are synthetic, rooms are boxes that nobody moves in, loudspeakers bend but do not rattle, and the twin's voice
detector hears levels where the service's hears speech. Real figures come from real devices: calibrate one
([calibrate](calibrate.md)), talk over it, and look at the figures above.
"""


def _conditions(outcomes: Sequence[Outcome]) -> Iterator[tuple[str, list[Outcome]]]:
    for ms in DELAY_MS:
        yield f"delay {ms} ms", [one for one in outcomes if one.case.delay_ms == ms]
    for part in DISTORTION:
        yield f"distortion {part:g}", [one for one in outcomes if one.case.distortion == part]
    yield "noise 10 to 15 dB under the person", [one for one in outcomes if one.case.snr_db < 15]
    yield "noise 15 to 25 dB under the person", [one for one in outcomes if one.case.snr_db >= 15]
    yield "loudspeaker clock 50 ppm fast", [one for one in outcomes if one.case.drift_ppm > 0]
    jumped = [one for one in outcomes if one.case.jump_at_s is not None]
    yield "echo path 40 ms longer, 0.6 to 1.4 s before", jumped


def _yielding_table(title: str, rows: Sequence[tuple[str, Sequence[Outcome]]]) -> str:
    lines = []
    for name, some in rows:
        if not some:
            continue
        quick, silent = ducks(some), stops(some)
        lines.append(
            (
                name,
                f"{sum(map(_stopped, some))} of {len(some)}",
                f"{_ms(np.median(quick))} / {_ms(np.quantile(quick, 0.9))}" if quick else "-",
                f"{_ms(np.median(silent))} / {_ms(np.quantile(silent, 0.9))}" if silent else "-",
            )
        )
    return _table((title, "stopped within 1.5 s", "lowered, median / p90", "silent, median / p90"), lines)


def _in_first_second(results: Results) -> str:
    known, fresh = results.of("alone", "early"), results.of("fresh", "early")
    return (
        f"Of {len(known)} people who begin in the first second of an answer (SER 0 to -10 dB) "
        f"{sum(map(_stopped, known))} stop it, in {_ms(np.median(stops(known)))} at the median. A device that was just "
        "switched on believes its canceller only once it has been seen to work, one to three seconds into its first "
        f"answer: of the same people {sum(map(_stopped, fresh))} stop that one in time.\n"
    )


def _false_table(results: Results) -> str:
    rows = []
    for name, some in (
        ("answers of a minute", results.of("alone", "reply")),
        ("the same, just switched on", results.of("fresh", "reply")),
        ("answers before an interruption", results.of("alone", "interruption")),
        ("both, SER of -10 dB and more", at_least(results.of("alone", "reply", "interruption"))),
        ("both, SER below", [one for one in results.of("alone", "reply", "interruption") if one.case.ser_db < -10]),
    ):
        rows.append(
            (
                name,
                f"{sum(one.minutes for one in some):.1f}",
                f"{sum(one.false_stops for one in some)}",
                f"{sum(one.early_stops for one in some)}",
                f"{per_minute(some, lambda one: one.false_ducks):.2f}",
                f"{sum(one.early_ducks for one in some)}",
            )
        )
    return (
        "Nobody speaks; the device hears itself, and noise.\n\n"
        + _table(
            ("", "minutes", "false stops", "of them in the first second", "lowered a minute", "in the first second"),
            rows,
        )
        + "\nMinutes are those in which the loudspeaker sounds, pauses taken out. A lowered answer "
        f"comes back after 0.6 s. {_why_lowered(results)}\n"
    )


def _why_lowered(results: Results) -> str:
    """Return what the false ducks come from."""
    some, worst = results.of("alone", "interruption", "reply"), max(DISTORTION)
    bent, rest = ([one for one in some if (one.case.distortion == worst) is own] for own in (True, False))
    return (
        f"Of {sum(one.false_ducks for one in some)} times, {sum(one.false_ducks for one in bent)} come through "
        f"loudspeakers with distortion {worst}: what they make up no canceller knows. There it is "
        f"{per_minute(bent, lambda one: one.false_ducks):.1f} times a minute, through others "
        f"{per_minute(rest, lambda one: one.false_ducks):.2f} times."
    )


def _beside_others(results: Results) -> str:
    over, quiet = results.of("alone", "over voices"), results.of("alone", "answer over voices")
    begun = results.of("alone", "voices begin")
    softer = [one for one in begun if one.case.under_db >= SOFTER_DB]
    rows = []
    for voices in VOICES:
        for under in UNDER_DB:
            some, alone = (
                [one for one in part if (one.case.voices, one.case.under_db) == (voices, under)]
                for part in (over, quiet)
            )
            rows.append(
                (
                    f"{voices}, {under} dB below",
                    f"{sum(map(_stopped, some))} of {len(some)}",
                    _ms(np.median(ducks(some))),
                    _ms(np.median(stops(some))),
                    f"{per_minute(alone, lambda one: one.false_stops):.1f}",
                    f"{per_minute(alone, lambda one: one.false_ducks):.1f}",
                )
            )
    return (
        "Other voices all the while, from before the question on: a television, or two people who talk to each other. "
        "Their active level is so far below that of the person who talks to the device, at the microphone; single "
        "sentences are up to 3 dB louder or softer. SER 0 to -10 dB. Interruptions on the left; on the right "
        f"{sum(one.minutes for one in quiet):.0f} minutes of answers that nobody wants to stop.\n\n"
        + _table(
            (
                "",
                "stopped within 1.5 s",
                "lowered, median",
                "silent, median",
                "false stops a minute",
                "lowered a minute",
            ),
            rows,
        )
        + "\n"
        + _BESIDE_OTHERS
        + f"Of {len(begun)} answers in whose midst such voices begin (8 to 20 dB below, for "
        f"{VOICES_END_S - VOICES_BEGIN_S:g} s), {sum(one.false_stops > 0 for one in begun)} are stopped by them; of "
        f"those 12 dB and more below, {sum(one.false_stops > 0 for one in softer)} of {len(softer)}.\n"
    )


def _together(results: Results) -> str:
    both, replies = at_least(results.of("together", "interruption")), results.of("together", "reply")
    return (
        f"With a service that listens for itself, {100 * share_stopped(both):.0f} % of the answers stop (SER of -10 dB "
        f"and more), in {_ms(np.median(stops(both)))} at the median: whoever is first, there is one silence. In "
        f"{sum(one.minutes for one in replies):.0f} minutes of answers that nobody talks over, all ratios, the service "
        f"takes what is left of the echo for speech {sum(one.by_service for one in replies)} times, the device "
        f"{sum(one.false_stops for one in replies)} times.\n"
    )


def _canceller(results: Results) -> str:
    rows = []
    for ser in SER_DB:
        some = [one for one in results.of("alone", "reply") if one.case.ser_db == ser]
        late = [db for one in some for at, db in one.erle if at > 6]
        learned = convergence(some)
        rows.append(
            (
                f"{ser} dB",
                f"{np.median(late):.0f} dB",
                f"{np.quantile(late, 0.1):.0f} dB",
                _soon(float(np.median(learned))),
                f"{sum(map(math.isinf, learned))} of {len(some)}",
            )
        )
    return (
        "Echo return loss enhancement (ERLE): microphone over what the canceller leaves, in windows of 0.3 s in which "
        "the full answer plays alone, from its sixth second on. What microphone and loudspeaker did is the daemon's "
        "doing; the canceller measured is another of the same kind that begins with the answer and hears all of it, so "
        "that neither an earlier answer nor a pause makes it look better. "
        f"Converged: {CONVERGED_DB:g} dB for a second. Where the echo is faint, the room's noise is what is left, so "
        "the figure is smaller there, and who never gets to 15 dB counts as never converged.\n\n"
        + _table(("SER", "ERLE, median", "tenth percentile", "converged after, median", "never converged"), rows)
        + "\n![ERLE over time](pictures/sound-erle.png)\n"
    )


def _soon(seconds: float) -> str:
    if math.isinf(seconds):
        return "never"
    return f"{seconds:.1f} s" if seconds > 0 else f"under {WINDOW_S:g} s"


def _levels(results: Results) -> str:
    rows = []
    for ser in SER_DB:
        some = [one for one in results.of("alone", "interruption") if one.case.ser_db == ser]
        over = [one.level_over for one in some if one.level_over is not None]
        after = [one.level_after for one in some if one.level_after is not None]
        rows.append(
            (
                f"{ser} dB",
                f"{np.median(over):+.1f} dB ({len(over)})" if over else "-",
                f"{np.median(after):+.1f} dB ({len(after)})" if after else "-",
            )
        )
    return (
        "The person's level in what goes up against the person alone in the room, where they are 10 dB over all else "
        "at the microphone: from their first sound to the silence of the answer, and after it. The canceller holds "
        "back part of what is said over a loud answer; once it yields, the words arrive whole. In brackets: cases in "
        "which enough could be compared.\n\n" + _table(("SER", "while the answer plays", "after it"), rows)
    )


def _follow_up(results: Results) -> str:
    rows = []
    for kind, name in (
        ("silence", "nobody, the room's noise"),
        ("television", "a television, 6 to 14 dB under a person"),
        ("babble", "four people talking, as loud"),
    ):
        some = results.of("room", kind)
        rows.append((name, f"{100 * np.mean([one.sent for one in some]):.0f} %"))
    people = results.of("room", "person")
    return (
        "From the sound engine alone, without the rest of the daemon. A room in which nothing is played, heard "
        "for 15 s before anybody listens, then for 25 s: the share of time in "
        "which the device finds that somebody speaks to it, so that sound would go up.\n\n"
        + _table(("what is heard", "sent"), rows)
        + "\n"
        + f"Of {len(people)} people who speak 14 dB over other talk, {sum(one.found for one in people)} are noticed.\n"
    )


def _wake(results: Results) -> str:
    rows = []
    tried = [one for one in results.outcomes if one.way == "word"]
    alone = [one for one in tried if one.case.kind == "word"]
    for name, some in (
        ("0.7 m away", [one for one in alone if one.case.person_m < 1]),
        ("across the room, 2 m", [one for one in alone if one.case.person_m > 1]),
        ("over an answer, SER 0 to -10 dB", [one for one in tried if one.case.kind == "interruption"]),
    ):
        said = [one for one in some if is_wake_word(one.case)]
        other = [one for one in some if not is_wake_word(one.case)]
        rows.append(
            (
                name,
                f"{sum(one.woken for one in said)} of {len(said)}",
                f"{sum(one.woken for one in other)} of {len(other)}",
            )
        )
    return (
        "From the sound engine alone, without the rest of the daemon. "
        '`okay_nabu` at sensitivity 0.5 behind the canceller; near misses are sentences such as "Okay, now book a '
        'table for two". Over an answer, barge-in lowers and stops it while the word is spoken.\n\n'
        + _table(("", "heard", "near misses that woke it"), rows)
    )


def _example_words(results: Results) -> str:
    if results.example is None:
        return ""
    case, _ = results.example
    return (
        f'"{case.words}" at SER {case.ser_db} dB, delay {case.delay_ms} ms, distortion {case.distortion:g}, '
        f"{case.person_m:.1f} m away.\n\n![One interruption, from the person's first sound to silence]"
        "(pictures/sound-example.png)\n"
    )


def _draw_stopped(results: Results, file: Path) -> None:
    figure = _figure()
    axes = figure.subplots()
    ways: tuple[tuple[Way, str, str], ...] = (
        ("alone", "device alone", _BLUE),
        ("together", "device and service", _GREEN),
    )
    for offset, (way, name, colour) in enumerate(ways):
        shares = [
            100 * share_stopped([one for one in results.of(way, "interruption") if one.case.ser_db == ser])
            for ser in SER_DB
        ]
        bars = axes.bar(np.arange(len(SER_DB)) + 0.4 * offset - 0.2, shares, 0.38, color=colour, label=name)
        axes.bar_label(bars, fmt="%.0f", fontsize=8)
    axes.axhline(90, color=_GREY, linestyle="--", linewidth=1, label="wanted from -10 dB on")
    axes.set_xticks(np.arange(len(SER_DB)), [f"{ser} dB" for ser in SER_DB])
    axes.set(xlabel="speech-to-echo ratio", ylabel=f"stopped within {WITHIN_S:g} s, %", ylim=(0, 112))
    axes.legend(loc="lower left", fontsize=8)
    figure.savefig(file)


def _draw_latency(results: Results, file: Path) -> None:
    figure = _figure()
    axes = figure.subplots()
    near = at_least(results.of("alone", "interruption"))
    for name, times, count, wanted, colour in (
        ("lowered", ducks(near), len(near), 0.22, _ORANGE),
        ("silent", stops(near), len(near), 0.55, _BLUE),
    ):
        ordered = 1_000 * np.sort(times)
        axes.step(ordered, 100 * np.arange(1, len(ordered) + 1) / count, where="post", color=colour, label=name)
        axes.plot([1_000 * wanted], [50], "v", color=colour, label=f"wanted median, {1_000 * wanted:.0f} ms")
    axes.set(xlabel="ms after the person is audible", ylabel="% of interruptions", xlim=(0, 1_500), ylim=(0, 102))
    axes.legend(loc="lower right", fontsize=8)
    figure.savefig(file)


def _draw_erle(results: Results, file: Path) -> None:
    figure = _figure()
    axes = figure.subplots()
    for ser, colour in zip((0, -10, -20), (_GREEN, _BLUE, _ORANGE), strict=True):
        found: dict[int, list[float]] = {}
        for one in results.of("alone", "reply"):
            if one.case.ser_db == ser:
                for at, db in one.erle:
                    found.setdefault(int(at), []).append(db)
        seconds = sorted(second for second in found if second < 30)
        axes.plot(seconds, [np.median(found[second]) for second in seconds], color=colour, label=f"SER {ser} dB")
    axes.axhline(CONVERGED_DB, color=_GREY, linestyle="--", linewidth=1, label="converged")
    axes.set(xlabel="seconds of answer", ylabel="ERLE, dB (median)", ylim=(0, None))
    axes.legend(loc="upper right", fontsize=8)
    figure.savefig(file)


def _draw_example(case: Case, run: Run, file: Path) -> None:
    figure = _figure(height_in=5.0)
    onset = run.onset_s or 0.0
    first, last = onset - 1.0, min(run.seconds, onset + 2.2)
    rows: tuple[tuple[str, Any, str], ...] = (
        ("loudspeaker", run.loudspeaker, _ORANGE),
        ("microphone", run.microphone, _GREY),
        ("the person in it", run.near, _GREEN),
        ("what goes up", run.clean, _BLUE),
    )
    all_axes = figure.subplots(len(rows), 1, sharex=True)
    for axes, (name, sound, colour) in zip(all_axes, rows, strict=True):
        part = sound[round(first * HEARD_HZ) : round(last * HEARD_HZ)] / 32_768
        axes.plot(first - onset + np.arange(len(part)) / HEARD_HZ, part, color=colour, linewidth=0.5)
        axes.set_ylabel(name, fontsize=8)
        axes.set_yticks([])
        axes.axvline(0, color="black", linewidth=0.8)
        for mark in run.marks:
            if mark.kind in {"duck", "silence"} and first < mark.heard < last and mark.heard >= onset:
                axes.axvline(mark.heard - onset, color="black", linestyle="--", linewidth=0.8)
    for at, name in [(0.0, "audible"), *((m.heard - onset, m.kind) for m in run.marks if m.heard >= onset)]:
        label = {"audible": "person audible", "duck": "lowered", "silence": "silent"}.get(name)
        if label and at < last - onset:
            height = {"audible": 1.02, "duck": 1.02, "silence": 1.02}[name]
            aligned = "right" if name == "audible" else "left" if name == "silence" else "center"
            all_axes[0].annotate(
                f"{label}" + (f"\n{1_000 * at:.0f} ms" if at else ""),
                (at, height),
                xycoords=("data", "axes fraction"),
                ha=aligned,
                va="bottom",
                fontsize=7,
            )
    all_axes[-1].set_xlabel(f'seconds; "{case.words}"')
    figure.savefig(file)


def _figure(height_in: float = _SIZE_IN[1]) -> Any:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(_SIZE_IN[0], height_in), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _stopped(one: Outcome) -> bool:
    return one.yielding is not None and one.yielding.stop_s is not None


def _ms(seconds: float | np.floating[Any]) -> str:
    return f"{1_000 * float(seconds):.0f} ms"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"
