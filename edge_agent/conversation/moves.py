"""The states of the device and its one table of moves.

A row says: in these states, on this event, run this rule, and end in one of those states. An event in a state that
has no row is a logged no-op. The table is data: `docs/states.md` is drawn from it, a test holds it against the
machine, and the machine holds every move against it.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from edge_agent.conversation import events as ev


class State(enum.StrEnum):
    """What the device is doing, as a person would say it. Mute is a flag beside the state."""

    STARTING = "starting"
    OFFLINE = "offline"
    WAITING_FOR_CLOCK = "waiting-for-clock"
    IDLE = "idle"
    CONNECTING = "connecting"
    LISTENING = "listening"
    THINKING = "thinking"
    SPEAKING = "speaking"
    UPDATING = "updating"
    FAULT = "fault"


S = State
REST = frozenset({S.IDLE, S.OFFLINE, S.WAITING_FOR_CLOCK, S.FAULT})
"""No turn, no answer: the states a device waits in."""
BUSY = frozenset({S.CONNECTING, S.LISTENING, S.THINKING, S.SPEAKING})
"""Something is being said, waited for, or heard."""
AWAKE = REST | BUSY


@dataclass(frozen=True, slots=True)
class Move:
    """One row of the table."""

    on: type[ev.Event]
    within: frozenset[State]
    rule: str
    to: frozenset[State]
    why: str


def _same(*extra: State) -> frozenset[State]:
    return AWAKE | frozenset(extra)


MOVES: tuple[Move, ...] = (
    Move(ev.Ready, frozenset({S.STARTING}), "_ready", REST, "the parts are up"),
    Move(
        ev.FaultRaised,
        frozenset(State) - {S.UPDATING},
        "_fault_raised",
        frozenset(State) - {S.UPDATING},
        "a part failed; what can go on goes on",
    ),
    Move(
        ev.FaultCleared,
        frozenset(State) - {S.UPDATING},
        "_fault_cleared",
        frozenset(State) - {S.UPDATING},
        "the part works again",
    ),
    Move(
        ev.Pressed,
        REST,
        "_press_to_talk",
        frozenset({S.CONNECTING, S.LISTENING}) | REST,
        "a turn opens, or a cue says why not",
    ),
    Move(
        ev.Pressed,
        frozenset({S.CONNECTING, S.LISTENING}),
        "_press_again",
        frozenset(BUSY) | REST,
        "the second tap ends the turn; with none open a new one starts",
    ),
    Move(
        ev.Pressed,
        frozenset({S.THINKING, S.SPEAKING}),
        "_press_over_answer",
        frozenset(BUSY) | REST,
        "barge-in: the answer stops, a turn opens",
    ),
    Move(
        ev.WakeHeard,
        AWAKE,
        "_wake_heard",
        AWAKE,
        "the ears open, an answer stops",
    ),
    Move(ev.StopHeard, AWAKE, "_stop_heard", AWAKE, "alarm, answer and listening end"),
    Move(ev.NearEndConfirmed, BUSY, "_near_end", BUSY | REST, "barge-in by voice: the answer stops, a turn opens"),
    Move(ev.VoiceStarted, BUSY, "_voice_started", BUSY | REST, "open ears make a turn of it"),
    Move(ev.VoiceEnded, AWAKE, "_voice_ended", AWAKE, "nobody speaks any more"),
    Move(
        ev.Released,
        AWAKE,
        "_release",
        AWAKE,
        "a hold ends its turn, a tap leaves it open, a hung-up handset ends the conversation",
    ),
    Move(
        ev.Muted,
        frozenset(State),
        "_mute",
        frozenset(State),
        "the turn ends and nothing more is sent; an answer plays on",
    ),
    Move(
        ev.Unmuted,
        frozenset(State),
        "_unmute",
        frozenset(State),
        "the next press is heard again; whoever holds a lifted handset is heard at once",
    ),
    Move(ev.TextAsked, AWAKE, "_ask", AWAKE, "a text turn"),
    Move(ev.EndAsked, AWAKE, "_end", REST, "the visitor's end"),
    Move(ev.EndWished, BUSY, "_end_wished", BUSY | REST, "the end follows the answer; whoever speaks again stays"),
    Move(ev.LinkUp, AWAKE, "_link_up", AWAKE, "what waited goes out"),
    Move(ev.LinkDown, AWAKE, "_link_down", AWAKE, "try again, or tell the person"),
    Move(ev.LineLeaving, AWAKE, "_line_leaving", AWAKE, "a new connection at the next quiet moment"),
    Move(ev.Snapshot, AWAKE, "_snapshot", AWAKE, "a new connection can go on from here"),
    Move(ev.QuestionSent, AWAKE, "_question_sent", AWAKE, "from now on the answer is waited for"),
    Move(ev.NetworkBack, AWAKE, "_network_back", AWAKE, "a try that was waited for is made now"),
    Move(ev.LineSlow, BUSY, "_line_slow", BUSY | REST, "push-to-talk goes on sending; an open microphone is closed"),
    Move(ev.AnswerAudio, AWAKE, "_answer_audio", AWAKE, "the answer plays, unless it was stopped"),
    Move(ev.AnswerGenerated, AWAKE, "_answer_generated", AWAKE, "play out"),
    Move(ev.AnswerProgress, BUSY, "_answer_progress", BUSY, "the answer may take its time"),
    Move(ev.AnswerDone, AWAKE, "_answer_done", AWAKE, "the server's turn is over"),
    Move(ev.WorkDone, BUSY, "_work_done", BUSY | REST, "nothing more will come"),
    Move(ev.Interrupted, AWAKE, "_interrupted", AWAKE, "silence at once"),
    Move(ev.Heard, BUSY, "_heard", BUSY, "the person is still there"),
    Move(ev.ToolsCalled, AWAKE, "_tools_called", AWAKE, "the answer waits for the device"),
    Move(ev.ToolsSettled, AWAKE, "_tools_settled", AWAKE, "the answer may go on"),
    Move(ev.Announced, AWAKE, "_announced", AWAKE, "spoken at the next quiet moment"),
    Move(ev.AlarmRings, AWAKE, "_alarm_rings", AWAKE, "it rings whatever else goes on; the button stops it"),
    Move(ev.AlarmEnded, AWAKE, "_alarm_ended", AWAKE, "silence again"),
    Move(ev.BudgetLow, _same(S.STARTING), "_budget_low", _same(S.STARTING), "said at the next quiet moment"),
    Move(
        ev.BudgetSpent,
        _same(S.STARTING),
        "_budget_spent",
        _same(S.STARTING),
        "what is being said is finished, then there is no talk",
    ),
    Move(ev.BudgetFree, _same(S.STARTING), "_budget_free", _same(S.STARTING), "a new day"),
    Move(ev.PlaybackEnded, BUSY, "_playback_ended", BUSY | REST, "the answer has been heard"),
    Move(
        ev.Tick,
        AWAKE,
        "_tick",
        AWAKE,
        "a deadline: turn too long, no answer, nobody there, button stuck, try the line again",
    ),
)


def find(state: State, event: ev.Event) -> Move | None:
    """Return the row for `event` in `state`, or None where the table has no move."""
    return _INDEX.get((state, type(event)))


_INDEX: dict[tuple[State, type[ev.Event]], Move] = {(state, move.on): move for move in MOVES for state in move.within}
