"""The demonstration as lanes over time: what `picture` draws, from what was recorded. Pure.

    timeline = build(evidence)
    timeline.states[0]           # Span(start=0.0, end=2.1, name="idle")

All times are seconds of `session.wav`.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from edge_agent.demo.checks import Evidence, silence
from edge_agent.demo.journal import Entry, select

ENVELOPE_S = 0.02  # a column of the picture is about this wide
PROMPT_S = 2.0  # about what the device's own sentences take
QUIET_WIRE = frozenset({"audio", "modelTurn", "usageMetadata", "inputTranscription", "outputTranscription"})
"""Kinds shown as ticks without a name: sound, and what comes with every answer."""


@dataclass(frozen=True, slots=True)
class Span:
    """Something that lasted."""

    start: float
    end: float
    name: str


@dataclass(frozen=True, slots=True)
class Message:
    """A message on the wire: `up` from the device to the service."""

    t: float
    up: bool
    kind: str
    size: int = 0


@dataclass(frozen=True, slots=True)
class Note:
    """Something measured, from `start` to `end`, in a few words."""

    start: float
    end: float
    text: str


@dataclass(frozen=True, slots=True)
class Timeline:
    """All lanes. `person` and `device` are peaks (n, 2) of lowest and highest sample for each `ENVELOPE_S`."""

    length: float
    person: NDArray[np.float32]
    device: NDArray[np.float32]
    states: tuple[Span, ...] = ()
    lights: tuple[Span, ...] = ()
    presses: tuple[Span, ...] = ()
    messages: tuple[Message, ...] = ()
    spoken: tuple[Span, ...] = ()
    answered: tuple[Span, ...] = ()
    steps: tuple[Span, ...] = ()
    muted: tuple[Span, ...] = ()
    down: tuple[Span, ...] = ()
    notes: tuple[Note, ...] = field(default=())


def build(evidence: Evidence) -> Timeline:
    """Return the lanes of a demonstration."""
    entries = [
        Entry(entry.t - evidence.zero, entry.source, entry.event, entry.fields)
        for entry in sorted(evidence.entries, key=lambda entry: entry.t)
    ]
    length = len(evidence.right) / evidence.rate
    device = select(entries, "device")
    states = [(e.t, str(e.fields["state"])) for e in device if e.event in {"state", "status"} and "state" in e.fields]
    lights = [(e.t, str(e.fields["light"])) for e in device if e.event in {"light", "status"} and "light" in e.fields]
    found = silence(evidence)
    notes: tuple[Note, ...] = ()
    if found is not None:
        pressed, silent = found.pressed - evidence.zero, found.silent - evidence.zero
        notes = (Note(pressed, silent, f"pressed in mid answer: silent after {found.ms:.0f} ms"),)
    return Timeline(
        length=length,
        person=envelope(evidence.left, evidence.rate),
        device=envelope(evidence.right, evidence.rate),
        states=spans(states, length),
        lights=spans(lights, length),
        presses=_pairs(select(entries, "person", "press", "release"), "press", length),
        messages=tuple(_messages(select(entries, "twin"))),
        spoken=tuple(
            Span(e.t, e.t + float(e.fields["seconds"]), str(e.fields["text"]))
            for e in select(entries, "person", "says")
        ),
        answered=_answers(device, length),
        steps=spans([(e.t, str(e.fields["name"])) for e in select(entries, "demo", "step")], length),
        muted=_muted(select(device, "device", "mute"), length),
        down=_outages(entries, length),
        notes=notes,
    )


def spans(changes: Iterable[tuple[float, str]], end: float) -> tuple[Span, ...]:
    """Return what held between changes; equal neighbours are one, and nothing reaches before 0 or beyond `end`."""
    out: list[Span] = []
    for t, name in changes:
        at = min(max(t, 0.0), end)
        if out and out[-1].name == name:
            continue
        if out:
            last = out.pop()
            if at > last.start:
                out.append(Span(last.start, at, last.name))
        out.append(Span(at, end, name))
    return tuple(span for span in out if span.end > span.start)


def envelope(sound: NDArray[np.float32], rate: int) -> NDArray[np.float32]:
    """Return the lowest and highest sample of each `ENVELOPE_S`, float32 (n, 2)."""
    width = max(1, round(ENVELOPE_S * rate))
    count = len(sound) // width
    blocks = sound[: count * width].reshape(count, width)
    return np.stack([blocks.min(axis=1, initial=0.0), blocks.max(axis=1, initial=0.0)], axis=1).astype(np.float32)


def wrapped(text: str, width: int, lines: int) -> str:
    """Return a caption in at most `lines` lines of `width` characters."""
    return "\n".join(textwrap.wrap(text, width, max_lines=lines, placeholder=" …"))


def _pairs(entries: Sequence[Entry], opening: str, end: float) -> tuple[Span, ...]:
    out, start = [], None
    for entry in entries:
        if entry.event == opening:
            start = entry.t
        elif start is not None:
            out.append(Span(start, entry.t, opening))
            start = None
    if start is not None:
        out.append(Span(start, end, opening))
    return tuple(out)


def _messages(entries: Iterable[Entry]) -> Iterable[Message]:
    for entry in entries:
        size = entry.fields.get("bytes", 0)
        yield Message(entry.t, entry.fields.get("who") == "client", entry.event, size if isinstance(size, int) else 0)


def _answers(device: Sequence[Entry], end: float) -> tuple[Span, ...]:
    """Return what the device said: answers, from the moment it began to speak to when it stopped, and its own words."""
    lines = _caption_lines(device)
    states = [(e.t, str(e.fields.get("state"))) for e in device if e.event == "state"]
    out: list[Span] = []
    for span in spans(states, end):
        if span.name == "speaking" and lines:
            near = min(lines, key=lambda line: abs(line.start - span.start))
            out.append(Span(span.start, span.end, near.name))
    own = [Span(e.t, e.t + PROMPT_S, str(e.fields.get("text", ""))) for e in device if e.event == "prompt"]
    return tuple(sorted([*out, *own], key=lambda span: span.start))


def _caption_lines(device: Sequence[Entry]) -> list[Span]:
    """Return the device's captions, each as long as it grew."""
    out: list[Span] = []
    for entry in device:
        if entry.event != "caption" or entry.fields.get("speaker") != "device":
            continue
        text = str(entry.fields.get("line") or entry.fields.get("text") or "")
        if out and text.startswith(out[-1].name):
            out[-1] = Span(out[-1].start, entry.t, text)
        else:
            out.append(Span(entry.t, entry.t, text))
    return out


def _muted(entries: Sequence[Entry], end: float) -> tuple[Span, ...]:
    named = [(e.t, "muted" if e.fields.get("muted") else "") for e in entries]
    return tuple(span for span in spans(named, end) if span.name)


def _outages(entries: Sequence[Entry], end: float) -> tuple[Span, ...]:
    out = []
    for cut in select(entries, "demo", "cut"):
        back = next((e.t for e in select(entries, "twin", "setupComplete") if e.t > cut.t), end)
        out.append(Span(cut.t, back, "line cut"))
    return tuple(out)
