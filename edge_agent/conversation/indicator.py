"""What the light shows and what a moment sounds like: two tables, walked from the top.

The light says what the gate does: `listening` only while microphone sound passes, `connecting` while it is kept for a
line that is not yet up, `attentive` while the device listens by itself and sends nothing, `muted` whenever the device
rests deaf. Names of lights are patterns of `panel`, names of cues are sounds of `audio`, names of prompts are sentences
of `prompts`; all three are data an owner may replace.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from edge_agent.conversation.moves import State
from edge_agent.errors import Fault


@dataclass(frozen=True, slots=True)
class Situation:
    """All the light depends on."""

    state: State
    muted: bool
    fault: Fault | None
    rung: int = 0
    """What is being tried for an answer that does not come."""
    ringing: bool = False
    degraded: bool = False
    waiting: bool = False
    """The device listens for a voice, and sends nothing."""


LIGHTS: tuple[tuple[Callable[[Situation], bool], str], ...] = (
    (lambda s: s.state is State.UPDATING, "updating"),
    (lambda s: s.state is State.STARTING, "starting"),
    (lambda s: s.state is State.LISTENING and not s.waiting, "listening"),
    (lambda s: s.ringing, "ringing"),
    (lambda s: s.state is State.LISTENING, "attentive"),
    (lambda s: s.rung > 0 and s.state in {State.CONNECTING, State.THINKING}, "healing"),
    (lambda s: s.state is State.CONNECTING, "connecting"),
    (lambda s: s.state is State.THINKING and s.degraded, "degraded"),
    (lambda s: s.state is State.THINKING, "thinking"),
    (lambda s: s.state is State.SPEAKING, "speaking"),
    (lambda s: s.state is State.FAULT, "fault"),
    (lambda s: s.muted, "muted"),
    (lambda s: s.state is State.WAITING_FOR_CLOCK, "waiting-for-clock"),
    (lambda s: s.state is State.OFFLINE, "offline"),
    (lambda _: True, "idle"),
)
"""First row that holds wins. `fault` is completed with the fault's number, `healing` with the rung's."""


def light(situation: Situation) -> str:
    """Return the name of the light pattern for a situation."""
    name = next(name for holds, name in LIGHTS if holds(situation))
    if name == "fault" and situation.fault is not None:
        return f"fault-{situation.fault.value}"
    if name == "healing":
        return f"healing-{situation.rung}"
    return name


@dataclass(frozen=True, slots=True)
class Signal:
    """What a moment sounds like: a cue, and a sentence where a tone alone would puzzle."""

    cue: str
    prompt: str = ""


SIGNALS: dict[str, Signal] = {
    "ready": Signal("ready"),
    "turn opened": Signal("listen"),
    "turn closed": Signal("done"),
    "turn too long": Signal("done", "turn_too_long"),
    "muted": Signal("muted"),
    "unmuted": Signal("unmuted"),
    "pressed while muted": Signal("muted", "muted"),
    "no answer": Signal("no_answer", "no_answer"),
    "offline": Signal("error", "offline"),
    "waiting for clock": Signal("error", "waiting_for_clock"),
    "speech lost": Signal("error", "speech_lost"),
    "refused": Signal("no_answer", "refused_topic"),
    "budget low": Signal("error", "budget_low"),
    "slow line": Signal("error", "slow_line"),
    "fault": Signal("error", "fault"),
    "goodbye": Signal("goodbye"),
    "conversation too long": Signal("goodbye", "conversation_too_long"),
    "fell asleep": Signal("done"),
}
"""The prompt `fault` is completed with the fault's number."""
