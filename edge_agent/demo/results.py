"""What a demonstration leaves in its folder, and how its result is told.

files = write(out, evidence, journal, notes=stage.notes, real_sound=True)
session.wav   timeline.png   events.jsonl   latency.md   latency.json   daemon.log
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edge_agent.demo import closeup, latency, picture, timeline
from edge_agent.demo.checks import Check, Evidence, judge, silence
from edge_agent.demo.journal import Journal


@dataclass(frozen=True, slots=True)
class Results:
    """The outcome: the promises, the table, what could not be had, and the files with a word on each."""

    checks: tuple[Check, ...]
    rows: tuple[latency.Row, ...]
    remarks: tuple[str, ...]
    notes: tuple[str, ...]
    files: dict[Path, str]

    @property
    def broken(self) -> list[Check]:
        """The promises that were not kept."""
        return [check for check in self.checks if not check.ok]


def write(out: Path, evidence: Evidence, journal: Journal, *, notes: Sequence[str], real_sound: bool) -> Results:
    """Judge the evidence and write the files; `OSError` where they cannot be written."""
    checks = judge(evidence)
    for check in checks:
        journal.add("demo", "check", step=check.step, ok=check.ok, sentence=check.sentence)
    rows = latency.table(evidence.figures)
    found = silence(evidence)
    remarks = latency.remarks(evidence.figures, None if found is None else found.ms)
    files: dict[Path, str] = {}
    said = list(notes)
    if picture.why_no_picture():
        said.append(f"{picture.why_no_picture()}.")
    else:
        path = out / "timeline.png"
        picture.draw(
            timeline.build(evidence),
            path,
            syllable=closeup.first_syllable(evidence),
            stop=closeup.interruption(evidence),
            rows=rows,
            subtitle=subtitle(real_sound=real_sound, understands=evidence.understands),
        )
        files[path] = "the whole conversation in one picture"
    files[out / "session.wav"] = "left: the visitors, right: the loudspeaker"
    journal.write(out / "events.jsonl", zero=evidence.zero)
    files[out / "events.jsonl"] = "everything that happened, on the clock of session.wav"
    (out / "latency.md").write_text(latency.markdown(rows, remarks), encoding="utf-8")
    files[out / "latency.md"] = "the table above"
    (out / "latency.json").write_text(json.dumps(latency.tree(rows, remarks), indent=2) + "\n", encoding="utf-8")
    files[out / "latency.json"] = "the same for programs"
    files[out / "daemon.log"] = "what the daemon said"
    return Results(tuple(checks), tuple(rows), tuple(remarks), tuple(said), files)


def subtitle(*, real_sound: bool, understands: bool) -> str:
    """Return what is real and what stands in, in a line."""
    return "  ·  ".join(
        (
            "real PyAudio on a private sound server" if real_sound else "WAV files as microphone and loudspeaker",
            "gpiozero on mock pins",
            "a stand-in for the Live API" + (" that understands speech" if understands else ", scripted"),
        )
    )


def told(results: Results) -> list[str]:
    """Return the lines that end a demonstration: promises, table, files."""
    lines = ["", "What was promised, and what was recorded:"]
    lines += [f"  {'✓' if check.ok else '✗'} {check.step:<12} {check.sentence}" for check in results.checks]
    lines += ["", *latency.lines(results.rows), "", *results.remarks, *results.notes, "", "Left behind:"]
    width = max((len(str(path)) for path in results.files), default=0)
    lines += [f"  {path!s:<{width}}  {what}" for path, what in results.files.items()]
    return lines
