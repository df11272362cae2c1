"""What the daemon showed in talk, as rows with the budgets beside them. Pure.

The budgets are those of the design: latencies at p99, the interruption at its worst, CPU in multiples of the work that
cannot be avoided.
"""

from __future__ import annotations

import math

from edge_agent.bench import table
from edge_agent.bench.children import NotMeasured
from edge_agent.bench.duplex import Duplex, Split
from edge_agent.bench.filters import Pure
from edge_agent.bench.service import THINK_S
from edge_agent.bench.split import CPU, DOWN, PARTS, UP
from edge_agent.bench.table import Row
from edge_agent.bench.talk import BLOCK_MS, MATCHED_MS, PRE_ROLL_MS, SETTLED, SETUP_DELAY_S, Visit

FADE_MS = 10
LATENCIES_MS = {
    "press_to_light": 20.0,
    "press_to_first_byte": 10.0,
    "capture_to_socket": 5.0,
    "socket_to_queue": 5.0,
}
"""p99 of each."""
SILENCE_MS = BLOCK_MS + FADE_MS
CLOCK_MS = 5.0
"""How well the press is known on the microphone's clock."""
MATCH = 0.95
CPU_RATIO = 3.0
IDLE_RATIO = 0.3
MEMORY_MB = 64.0
WHILE_CONNECTING_MS = SETUP_DELAY_S * 1000 + PRE_ROLL_MS
ENOUGH_TURNS = 30
SAID = {
    "capture": "capture (reading the microphone)",
    "filters": "filters",
    "reference": "echo reference",
    "canceller": "canceller",
    "detector": "speech detector (VAD)",
    "wake": "wake word",
    "playback": "playback (queue, mixing, writing)",
    "rest": "ring, commands, and what joins the parts",
    "wire": "wire (all of the event loop)",
    "other": "other threads",
}
"""How a row names a part of the split."""


def latencies(visit: Visit) -> list[Row]:
    """Return the rows of design section 4.3."""
    out = []
    for name, limit in LATENCIES_MS.items():
        out.append(_latency(visit, name, limit, f"p99 {limit:g} ms", judge="p99"))
    ring = visit.figures.get("output_ring_ms")
    note = f"the loudspeaker's ring of {ring:.0f} ms comes on top" if ring else ""
    row = _latency(
        visit, "interrupt_to_silence", SILENCE_MS, f"{SILENCE_MS} ms (a block and a fade)", judge="max", note=note
    )
    out.append(row)
    answer = visit.figures.get("speech_end_to_first_sound", {}).get("turn_end")
    what = "speech_end_to_first_sound (by turn end)"
    if answer and answer["count"]:
        note = f"the twin's own thinking takes {THINK_S * 1000:.0f} ms of it"
        out.append(table.told(what, table.quantiles(answer), note=note, values=answer))
    else:
        out.append(table.missing(what, "-", why="the daemon timed no answer"))
    out.append(_waiting(visit.waited_ms_per_s))
    return out


def speech(visit: Visit) -> list[Row]:
    """Return the rows on the first syllable and on what arrives at all."""
    out = []
    if visit.pre_rolls_ms:
        early = table.spread(visit.pre_rolls_ms)
        out.append(
            table.judged(
                "first syllable: pre-roll that arrived",
                -early.low,
                -(PRE_ROLL_MS - CLOCK_MS),
                figure=early.text("ms", 0),
                budget=f"{PRE_ROLL_MS} ms",
                note=f"turns after a pause; measured to {CLOCK_MS:g} ms, from the request to press the mock pin",
                values={"pre_rolls_ms": visit.pre_rolls_ms},
            )
        )
        got = visit.while_connecting_ms
        out.append(
            table.judged(
                "first syllable: first turn, connection not open",
                -got,
                -WHILE_CONNECTING_MS,
                figure=f"{got:.0f} ms arrived",
                budget=f"{WHILE_CONNECTING_MS:.0f} ms",
                note=f"the service takes {SETUP_DELAY_S:g} s to set up; pre-roll and speech since come in order",
                values={"arrived_ms": got},
            )
        )
    else:
        why = "only a wav: microphone tells which sample was heard at the press"
        out.append(table.missing("first syllable: pre-roll that arrived", f"{PRE_ROLL_MS} ms", why=why))
    what, budget = "speech arrives whole and in order", f"{MATCH} in every turn"
    if not visit.matches:
        out.append(table.missing(what, budget, why="no turn arrived"))
        return out
    match = table.spread(visit.matches)
    complaint = "; ".join(visit.complaints)
    out.append(
        table.judged(
            what,
            0.0 if complaint else -match.low,
            -MATCH,
            figure=f"{match.low:.3f} in the worst of {match.runs} turns",
            budget=budget,
            note=complaint or f"lowest correlation of any {MATCHED_MS} ms with what was spoken, at one offset a turn",
            values={"matches": visit.matches, "complaints": visit.complaints, "xruns": visit.xruns},
        )
    )
    return out


def cpu(measured: Duplex, pure: Pure, *, wake: Duplex | NotMeasured) -> list[Row]:
    """Return the rows on CPU in talk and at rest.

    Args:
        measured: without a wake word.
        pure: filters and canceller; nothing where they were not measured.
        wake: with a wake word, or why that could not be measured.
    """
    own = measured.talk - measured.talk_bare
    out = [_talk("CPU per second of duplex talk", measured), _over_pure(measured, pure)]
    out.append(_idle("CPU idle, minus bare loop, over talk's", measured, budget=True))
    talk, idle = "CPU per second of duplex talk, wake word on", "CPU idle, wake word on, minus bare loop, over talk's"
    if isinstance(wake, NotMeasured):
        out += [table.missing(what, "-", why=str(wake)) for what in (talk, idle)]
    else:
        out += [_talk(talk, wake), _idle(idle, wake, budget=False)]
    figure, values = _part(measured.kiosk_idle - measured.idle_bare, own)
    note = "in the same seconds as the household's; push-to-talk has no canceller at work"
    out.append(table.told("CPU idle in kiosk mode, minus bare loop, over talk's", figure, note=note, values=values))
    return out


def split(measured: Split) -> list[Row]:
    """Return a row for each part of talk at one block length, and one that tells whether they can be believed."""
    parts, blocks = measured.parts, f"{measured.block_ms} ms blocks"
    out = []
    for part in PARTS:
        note = f"up {parts[UP]:.1f}, down {parts[DOWN]:.1f}, the rest the loop's own" if part == "wire" else ""
        row = table.told(
            f"{blocks}: {SAID[part]}", f"{max(0.0, parts[part]):.1f} ms/s", note=note, values={part: parts[part]}
        )
        out.append(row)
    total, share = sum(parts[part] for part in PARTS), parts[CPU] / measured.plain
    figure = f"{total:.1f} ms/s, {share:.2f} of a daemon without stopwatch ({measured.plain:.1f} ms/s)"
    note = f"wake word on, {measured.message_ms} ms messages, over {measured.seconds:g} s; two daemons at once"
    values = {"sum_ms_per_s": total, "cpu_ms_per_s": parts[CPU], "plain_ms_per_s": measured.plain, "share": share}
    return [*out, table.told(f"{blocks}: all parts", figure, note=note, values=values)]


def memory(visit: Visit, bare_mb: float) -> list[Row]:
    """Return the rows on memory: after the talk, beside the bare loop's, and what it grew by."""
    grown = visit.memory_mb - visit.early_mb
    last = visit.turns - int(visit.turns * SETTLED) - 1
    return [
        table.judged(
            "memory of the daemon (resident)",
            visit.memory_mb,
            MEMORY_MB,
            figure=f"{visit.memory_mb:.1f} MB",
            budget=f"{MEMORY_MB:g} MB",
            note=f"the bare loop on the same kind of device, numpy included: {bare_mb:.1f} MB",
            values={"rss_mb": visit.memory_mb, "bare_rss_mb": bare_mb},
        ),
        table.missing(
            "memory over a day of talk",
            "flat",
            figure=f"{grown:+.1f} MB over the last {last} turns",
            why="a day was not spent",
            values={"grown_mb": grown, "turns": last},
        ),
    ]


def _talk(what: str, measured: Duplex) -> Row:
    return table.told(
        what,
        f"{measured.talk:.1f} ms/s, bare loop {measured.talk_bare:.1f}",
        note=f"over {measured.seconds:g} s; {measured.xruns} xruns",
        values={"talk_ms_per_s": measured.talk, "talk_bare_ms_per_s": measured.talk_bare},
    )


def _over_pure(measured: Duplex, pure: Pure) -> Row:
    what, budget = "CPU minus bare loop, over filters and canceller", f"{CPU_RATIO:g} times"
    own = measured.talk - measured.talk_bare
    if not pure.measured:
        why = "filters and canceller alone were not measured"
        return table.missing(what, budget, why=why, values={"own_ms_per_s": own})
    values = {"own_ms_per_s": own, "pure_ms_per_s": pure.hot, "pure_paced_ms_per_s": pure.paced}
    return table.judged(
        what,
        own / pure.paced,
        CPU_RATIO,
        figure=f"{own / pure.paced:.1f} ({own:.1f} / {pure.paced:.1f} ms/s)",
        budget=budget,
        note=f"no wake word; both measured at one block every {BLOCK_MS} ms; "
        f"to the same work block after block ({pure.hot:.1f} ms/s) it is {own / pure.hot:.1f}",
        values={"ratio": own / pure.paced, "hot_ratio": own / pure.hot, **values},
    )


def _idle(what: str, measured: Duplex, *, budget: bool) -> Row:
    idle, own = measured.idle - measured.idle_bare, measured.talk - measured.talk_bare
    figure, values = _part(idle, own)
    note = f"over {measured.idle_seconds:g} s"
    if not budget:
        return table.told(what, figure, note=f"{note}; the budget is of a device that need not listen", values=values)
    return table.judged(what, idle / own, IDLE_RATIO, figure=figure, budget=f"{IDLE_RATIO:g}", note=note, values=values)


def _part(idle: float, own: float) -> tuple[str, dict[str, float]]:
    return f"{idle / own:.2f} ({idle:.1f} / {own:.1f} ms/s)", {"ratio": idle / own, "idle_ms_per_s": idle}


def _waiting(ms_per_s: float) -> Row:
    what = "waiting for a processor"
    if not math.isfinite(ms_per_s):
        return table.missing(what, "-", why="the kernel keeps no schedstat")
    note = "other work on the machine; it lengthens every latency above"
    return table.told(what, f"{ms_per_s:.1f} ms/s", note=note, values={"waited_ms_per_s": ms_per_s})


def _latency(visit: Visit, name: str, limit: float, budget: str, *, judge: str, note: str = "") -> Row:
    summary = visit.figures.get(name)
    if not summary or not summary["count"]:
        return table.missing(name, budget, why="the daemon timed none")
    count = f"{summary['count']} times"
    if visit.turns < ENOUGH_TURNS:
        count += f", fewer than {ENOUGH_TURNS} turns: a glance, not a proof"
    return table.judged(
        name,
        summary[judge],
        limit,
        figure=table.quantiles(summary),
        budget=budget,
        note="; ".join(filter(None, [count, note])),
        values=summary,
    )
