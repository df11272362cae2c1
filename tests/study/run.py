"""The whole study: every case of a half through the daemon, on all processors.

    results = study("held-out", folder, workers=2)
    results.alone, results.together     # outcomes with a service that never interrupts, and with one that does

A case is one job of one process; what comes back are figures and a few curves, no sound but that of one example.
"""

from __future__ import annotations

import itertools
import multiprocessing
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from study import metrics
from study.cases import (
    WAKE_WORD,
    Case,
    Half,
    Scene,
    answers_over_voices,
    build,
    early,
    interruptions,
    over_voices,
    replies,
    rooms_without_answer,
    voices_begin,
    words,
)
from study.daemon import talk
from study.loop import ATTEND_S, Bench, Run, listen, play

from edge_agent.wake import WakeDetector, find_all

Way = Literal["alone", "fresh", "together", "room", "word", "engine"]
"""The daemon with a service that never interrupts, the same just switched on, or with one that does; the engine in a
room, for words, or bare."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was measured of one case; what does not apply is None, empty or 0."""

    case: Case
    way: Way
    minutes: float = 0.0
    """In which the loudspeaker sounded and nobody talked to the device."""
    yielding: metrics.Yielding | None = None
    silences: int = 0
    """How often the answer was stopped from the moment on in which the person is audible."""
    false_stops: int = 0
    false_ducks: int = 0
    early_stops: int = 0
    early_ducks: int = 0
    by_service: int = 0
    """How often the service interrupted an answer although nobody spoke."""
    erle: tuple[tuple[float, float], ...] = ()
    converged_s: float | None = None
    level_over: float | None = None
    level_after: float | None = None
    sent: float = 0.0
    found: bool = False
    woken: bool = False


@dataclass(slots=True)
class Results:
    """All outcomes of a half, and one case from beginning to end."""

    half: Half
    outcomes: list[Outcome] = field(default_factory=list)
    example: tuple[Case, Run] | None = None

    def of(self, way: Way, *kinds: str) -> list[Outcome]:
        """Return the outcomes of one way and some kinds of cases."""
        return [one for one in self.outcomes if one.way == way and one.case.kind in kinds]


def study(half: Half, folder: Path, *, workers: int) -> Results:
    """Compute everything; takes about half an hour of processor time."""
    spoken = interruptions(half)
    answered = [
        *replies(half),
        *spoken,
        *early(half),
        *over_voices(half),
        *answers_over_voices(half),
        *voices_begin(half),
    ]
    jobs: list[tuple[Way, Case]] = [
        *(("alone", case) for case in answered),
        *(("fresh", case) for case in [*replies(half)[::3], *early(half)]),
        *(("together", case) for case in [*replies(half)[::3], *spoken]),
        *(("room", case) for case in rooms_without_answer(half)),
        *(("word", case) for case in words(half)),
    ]
    results = Results(half, list(measured(jobs, folder, workers=workers)))
    example = next(case for case in spoken if (case.ser_db, case.delay_ms, case.distortion) == (-10, 60, 0.3))
    results.example = (example, talk(build(example, _own(folder, "example")), folder / "example-device", hears=False))
    return results


def measured(jobs: Iterable[tuple[Way, Case]], folder: Path, *, workers: int) -> Iterator[Outcome]:
    """Yield the outcome of each job, in order."""
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        ways, cases = zip(*jobs, strict=True)
        yield from pool.map(measure, ways, cases, itertools.repeat(folder), chunksize=1)


def measure(way: Way, case: Case, folder: Path) -> Outcome:
    """Live through one case and measure it."""
    own = _own(folder, f"{way}-{case.kind}-{case.number}")
    scene = build(case, own)
    match way:
        case "room":
            run = listen(scene)
            found = any(scene.onset_s and 0 <= at - scene.onset_s < 1.5 for at in run.times("voice"))
            return Outcome(case, way, sent=metrics.follow_up(run, ATTEND_S), found=found)
        case "word":
            run = (play if case.kind == "interruption" else listen)(scene, build=_with_word)
            onset = scene.onset_s or 0.0
            return Outcome(case, way, woken=any(0 <= at - onset < 2.5 for at in run.times("wake")))
        case "engine":
            run = play(scene)
        case "alone" | "together" | "fresh":
            run = talk(scene, own / "device", hears=way == "together", spoken_before=way != "fresh")
    return _outcome(case, way, run)


def is_wake_word(case: Case) -> bool:
    """Tell whether the person of a case says the wake word."""
    return case.words == WAKE_WORD


def _outcome(case: Case, way: Way, run: Run) -> Outcome:
    windows = metrics.erle(run) if way == "alone" and case.kind == "reply" else []
    after = over = None
    silent = next((mark.heard for mark in run.marks if mark.kind == "silence"), None)
    if run.onset_s is not None and run.words_s is not None and silent is not None and silent >= run.onset_s:
        over = metrics.level_error(run, run.clean, run.onset_s, silent)
        after = metrics.level_error(run, run.clean, silent + 0.3, run.words_s)
    until = run.seconds if run.onset_s is None else run.onset_s
    return Outcome(
        case,
        way,
        minutes=metrics.quiet_minutes(run),
        yielding=metrics.yielding(run) if run.onset_s is not None else None,
        silences=sum(mark.kind == "silence" and mark.at >= until for mark in run.marks),
        false_stops=metrics.false_alarms(run, "stop"),
        false_ducks=metrics.false_alarms(run, "duck"),
        early_stops=metrics.false_alarms(run, "stop", first_second=True),
        early_ducks=metrics.false_alarms(run, "duck", first_second=True),
        by_service=sum(mark.kind == "interrupted" and mark.at < until for mark in run.marks),
        erle=tuple(windows),
        converged_s=metrics.converged_s(windows),
        level_over=over,
        level_after=after,
    )


def _with_word(scene: Scene) -> Bench:
    return Bench(scene, wake=WakeDetector(find_all("okay_nabu"), stop=None, sensitivity=0.5))


def _own(folder: Path, name: str) -> Path:
    own = folder / name
    own.mkdir(parents=True, exist_ok=True)
    return own
