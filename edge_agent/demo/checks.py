"""Did it happen? What the demonstration promised, held against what was recorded. Pure.

    for check in judge(evidence):
        check.step, check.ok, check.sentence

Each promise is judged on the evidence nearest to the person: what arrived at the twin, what sounded in the room, what
went over the wire. A promise whose evidence is missing is a broken one, never a skipped one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_agent.demo import listening
from edge_agent.demo.journal import Entry, select
from edge_agent.demo.service import HeardTurn
from edge_agent.demo.settings import BLOCK_MS, DEBOUNCE_MS
from edge_agent.demo.speech import UTTERANCES, recording

WHOLE = 0.9  # correlation of what arrived with what was spoken; filters and gain leave it above 0.97
ANSWER_WITHIN_S = 6.0
FADE_MS = 10.0
RECORDING_MS = 60.0  # how exactly a moment of the program is placed in the recording: a clock of 20 ms, and slices
RING_MS = 100.0  # a loudspeaker's ring, where the daemon did not say


@dataclass(frozen=True, slots=True)
class SessionFacts:
    """One connection as the twin knows it."""

    number: int
    handle: str  # the resumption handle of its setup; empty: a new conversation
    violations: tuple[str, ...] = ()
    stray_audio: int = 0  # bytes of sound outside any turn


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that was recorded.

    `left` and `right` are float32 (n,) at `rate` Hz, the visitor and the loudspeaker, from `zero` (monotonic seconds).
    `answers` are the answers as they were sent, 24 kHz s16le, by the name of the utterance they answer. `figures` are
    the daemon's own.
    """

    entries: Sequence[Entry]
    zero: float
    left: NDArray[np.float32]
    right: NDArray[np.float32]
    rate: int
    heard: Sequence[HeardTurn] = ()
    sessions: Sequence[SessionFacts] = ()
    figures: dict[str, Any] = field(default_factory=dict)
    understands: bool = True
    answers: dict[str, bytes] = field(default_factory=dict)
    exit_code: int | None = 0


@dataclass(frozen=True, slots=True)
class Check:
    """One promise and how it went."""

    step: str
    ok: bool
    sentence: str


def judge(evidence: Evidence) -> list[Check]:
    """Return every promise with its outcome, in the order of the play."""
    checks: list[Check] = []
    begun = {str(e.fields["name"]) for e in select(evidence.entries, "demo", "step")}
    missed = {str(e.fields["name"]): str(e.fields["why"]) for e in select(evidence.entries, "demo", "missed")}
    for step, promises in _PROMISES.items():
        if step in missed:
            checks.append(Check(step, False, missed[step]))
        elif step not in begun:
            checks.append(Check(step, False, "It was not played."))
        else:
            checks += [promise(evidence, step) for promise in promises]
    return [*checks, _rules(evidence), _ended(evidence)]


@dataclass(frozen=True, slots=True)
class Silence:
    """How the old answer stopped: monotonic seconds of the press and of its last sample in the room."""

    pressed: float
    silent: float

    @property
    def ms(self) -> float:
        """From the press to silence, milliseconds."""
        return (self.silent - self.pressed) * 1000


def silence(evidence: Evidence) -> Silence | None:
    """Return how the story was silenced, found in the recording; None where it was not."""
    asked = _says(evidence, "story")
    released = None if asked is None else _next(evidence, "person", "release", after=asked.t)
    pressed = None if released is None else _next(evidence, "person", "press", after=released.t)
    if pressed is None:
        return None
    found = answer_trace(evidence, "story")
    return None if found is None else Silence(pressed.t, evidence.zero + found.last)


def answer_trace(evidence: Evidence, name: str) -> listening.Trace | None:
    """Return where the answer to an utterance was heard in the room."""
    asked, sent = _says(evidence, name), evidence.answers.get(name)
    if asked is None or not sent:
        return None
    start = asked.t - evidence.zero
    end = start + float(asked.fields.get("seconds", 0.0)) + ANSWER_WITHIN_S
    return listening.trace(evidence.right, evidence.rate, listening.from_s16(sent), 24_000, search=(start, end))


def silence_budget_ms(evidence: Evidence) -> float:
    """Return the budget of an interruption as heard in the room, ms: debounce, block, fade, ring, and our clock."""
    ring = evidence.figures.get("output_ring_ms")
    ring_ms = float(ring) if isinstance(ring, int | float) else RING_MS
    return DEBOUNCE_MS + BLOCK_MS + FADE_MS + ring_ms + RECORDING_MS


def _heard(evidence: Evidence, step: str, *, name: str) -> Check:
    turn = next((turn for turn in evidence.heard if turn.expected == name), None)
    text = UTTERANCES[name].text
    if turn is None:
        return Check(step, False, f'"{text}" never arrived at the service.')
    share = listening.likeness(recording(name), listening.from_s16(turn.audio))
    if share < WHOLE:
        return Check(step, False, f'"{text}" arrived damaged: its correlation with what was spoken is {share:.2f}.')
    if evidence.understands and turn.phrase != text:
        return Check(step, False, f'"{text}" arrived, but was understood as "{turn.phrase or "nothing"}".')
    verb = "arrived whole and was understood" if evidence.understands else "arrived whole"
    return Check(step, True, f'"{text}" {verb} (correlation {share:.3f}).')


def _answer(evidence: Evidence, step: str, *, name: str) -> Check:
    says = _says(evidence, name)
    released = None if says is None else _next(evidence, "person", "release", after=says.t)
    if released is None:
        return Check(step, False, f'"{UTTERANCES[name].text}" was never asked.')
    found = answer_trace(evidence, name)
    if found is None:
        return Check(step, False, "The answer never came out of the loudspeaker.")
    after = evidence.zero + found.first - released.t
    return Check(step, True, f"The answer sounds in the room {after:.2f} s after the button was let go.")


def _seen(evidence: Evidence, step: str) -> Check:
    turn = next((turn for turn in evidence.heard if turn.expected == "see"), None)
    if turn is None or not turn.subjects:
        return Check(step, False, "No picture came with the question.")
    said = " ".join(
        str(e.fields.get("text", ""))
        for e in select(evidence.entries, "device", "caption")
        if e.fields.get("speaker") == "device"
    )
    if turn.subjects[-1] not in " ".join(said.split()):
        return Check(step, False, f"The picture showed {turn.subjects[-1]}, but the answer does not name it.")
    return Check(step, True, f"The still that arrived shows {turn.subjects[-1]}, and the answer names it.")


def _silenced(evidence: Evidence, step: str) -> Check:
    found = silence(evidence)
    if found is None:
        return Check(step, False, "The story was not silenced, or was never heard in the room.")
    budget = silence_budget_ms(evidence)
    if found.ms > budget:
        return Check(
            step,
            False,
            f"The old answer was heard for {found.ms:.0f} ms after the press; the budget is {budget:.0f} ms.",
        )
    return Check(step, True, f"The old answer fell silent in the room {found.ms:.0f} ms after the press, for good.")


def _resumed(evidence: Evidence, step: str) -> Check:
    cut = next(iter(select(evidence.entries, "demo", "cut")), None)
    if cut is None:
        return Check(step, False, "The line was never cut.")
    setup = _next(evidence, "twin", "setupComplete", after=cut.t)
    session = None if setup is None else int(setup.fields.get("session", 0))
    facts = next((facts for facts in evidence.sessions if facts.number == session), None)
    if setup is None or facts is None:
        return Check(step, False, "The device did not come back after the cut.")
    if not facts.handle:
        return Check(step, False, "The device came back as a stranger: it showed no resumption handle.")
    return Check(step, True, f"The conversation was resumed {setup.t - cut.t:.2f} s after the cut.")


def _mute(evidence: Evidence, step: str) -> Check:
    marks = select(evidence.entries, "device", step)
    on = next((e for e in marks if e.fields.get("muted") is True), None)
    off = next((e for e in marks if e.fields.get("muted") is False and on is not None and e.t > on.t), None)
    if on is None or off is None:
        return Check(step, False, "The device was not muted and unmuted.")
    presses = [e for e in select(evidence.entries, "person", "press") if on.t < e.t < off.t]
    if not presses:
        return Check(step, False, "Nobody pressed the button while the device was mute.")
    sent = [
        e
        for e in select(evidence.entries, "twin")
        if on.t < e.t < off.t and e.fields.get("who") == "client" and e.event != "closed"
    ]
    if sent:
        return Check(
            step, False, f"The device sent {len(sent)} messages while mute, the first of them {sent[0].event}."
        )
    return Check(
        step, True, f"Mute for {off.t - on.t:.1f} s with a press and a spoken question: not one message went up."
    )


def _wiped(evidence: Evidence, step: str) -> Check:
    turn = next((turn for turn in evidence.heard if turn.expected == "hello"), None)
    if turn is None:
        return Check(step, False, "The next visitor was not heard.")
    facts = next((facts for facts in evidence.sessions if facts.number == turn.session), None)
    before = {other.session for other in evidence.heard if other.expected != "hello"}
    if facts is None or turn.session in before:
        return Check(step, False, "The next visitor got the last one's connection.")
    if facts.handle:
        return Check(step, False, "The next visitor's connection showed the last one's resumption handle.")
    if turn.earlier:
        return Check(step, False, f"The next visitor's conversation began with {turn.earlier} things from before.")
    return Check(step, True, "The next visitor got a new connection without a handle and without a past.")


def _rules(evidence: Evidence) -> Check:
    broken = [sentence for facts in evidence.sessions for sentence in facts.violations]
    stray = sum(facts.stray_audio for facts in evidence.sessions)
    if broken:
        return Check("wire", False, f"The service would have refused what was sent: {broken[0]}")
    if stray:
        return Check("wire", False, f"{stray} bytes of sound went up outside of any turn.")
    if not evidence.sessions:
        return Check("wire", False, "Nothing ever connected.")
    return Check("wire", True, f"{len(evidence.sessions)} connections, no rule of the service broken, no stray sound.")


def _ended(evidence: Evidence) -> Check:
    if evidence.exit_code != 0:
        return Check("end", False, f"The daemon ended with exit code {evidence.exit_code}; see daemon.log.")
    return Check("end", True, "The daemon ended in order.")


def _says(evidence: Evidence, name: str) -> Entry | None:
    return next((e for e in select(evidence.entries, "person", "says") if e.fields.get("name") == name), None)


def _next(evidence: Evidence, source: Any, event: str, *, after: float) -> Entry | None:
    return next((e for e in select(evidence.entries, source, event) if e.t > after), None)


_Promise = Callable[[Evidence, str], Check]

_PROMISES: dict[str, tuple[_Promise, ...]] = {
    "question": (partial(_heard, name="time"), partial(_answer, name="time")),
    "picture": (partial(_heard, name="see"), _seen, partial(_answer, name="see")),
    "interruption": (
        partial(_heard, name="story"),
        _silenced,
        partial(_heard, name="day"),
        partial(_answer, name="day"),
    ),
    "reconnect": (_resumed, partial(_heard, name="joke"), partial(_answer, name="joke")),
    "mute": (_mute,),
    "goodbye": (_wiped, partial(_heard, name="hello"), partial(_answer, name="hello")),
}
"""What each step promises, in the order of the play."""
