"""What a conversation wants done. `agent` carries these out in the order given."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from edge_agent.errors import Fault

WakeOutcome = Literal["turn", "nobody spoke", "stopped", "muted", "ignored"]


@dataclass(frozen=True, slots=True)
class Connect:
    """Open a connection; `resume` goes on with the conversation.

    By its handle, or where there is none, or with `retell`, by telling a new session the story so far.
    """

    resume: bool
    retell: bool = False


@dataclass(frozen=True, slots=True)
class Disconnect:
    """Close the connection, or give up opening it."""


@dataclass(frozen=True, slots=True)
class OpenTurn:
    """Let microphone sound from capture sample `start` pass the gate. None: from where capture stands now."""

    turn: int
    start: int | None


@dataclass(frozen=True, slots=True)
class CloseTurn:
    """Nothing captured at or after `end` passes any more; what lies before still goes out.

    None: where capture stands now.
    """

    turn: int
    end: int | None


@dataclass(frozen=True, slots=True)
class VoidTurns:
    """Empty pre-roll, backlog and encoder at once; an opened turn is only closed on the wire."""


@dataclass(frozen=True, slots=True)
class SendText:
    """Send a text turn, after the speech that was let out before it."""

    text: str


@dataclass(frozen=True, slots=True)
class Nudge:
    """Ask the service for the answer it owes."""


@dataclass(frozen=True, slots=True)
class Hold:
    """While on, microphone sound is dropped, not kept: the service would close the connection for it."""

    on: bool


@dataclass(frozen=True, slots=True)
class Reveal:
    """What was captured from `start` on was a person, though the device itself was heard: send it as it was heard."""

    start: int


@dataclass(frozen=True, slots=True)
class Settle:
    """What was sent has been dealt with, if only by silence: it is never sent again."""


@dataclass(frozen=True, slots=True)
class Play:
    """The sound that came with this event is to be played."""


@dataclass(frozen=True, slots=True)
class FinishAnswer:
    """No more sound will come for this answer: play out what is queued."""


@dataclass(frozen=True, slots=True)
class Flush:
    """Silence the answer now.

    `by` says what stopped it: press, voice (the service heard one), near-end (the device did), wake, stop, text, end.
    """

    by: str


@dataclass(frozen=True, slots=True)
class Wipe:
    """The visitor has left: nothing of the conversation may remain in memory.

    `keep_handle`: a household may go on with it later.
    """

    keep_handle: bool = False


@dataclass(frozen=True, slots=True)
class Show:
    """Play the light pattern of this name."""

    light: str


@dataclass(frozen=True, slots=True)
class Cue:
    """Play the short sound of this name."""

    name: str


@dataclass(frozen=True, slots=True)
class Hush:
    """Stop the device's own sentence, if it is speaking one."""


@dataclass(frozen=True, slots=True)
class Say:
    """Speak the device's own sentence of this name."""

    prompt: str


@dataclass(frozen=True, slots=True)
class Announce:
    """Speak this text with the device's own voice."""

    text: str


@dataclass(frozen=True, slots=True)
class Ring:
    """Let the alarm be heard, or no longer."""

    on: bool


@dataclass(frozen=True, slots=True)
class WakeCame:
    """What came of the wake word, or the "stop", that was heard last; none where another took its place."""

    outcome: WakeOutcome


@dataclass(frozen=True, slots=True)
class Report:
    """Tell watchers something that is no state: a turn's end and why, a fault, an event that had no move."""

    event: str
    why: str
    fault: Fault | None = None


Action = (
    Connect
    | Disconnect
    | OpenTurn
    | CloseTurn
    | VoidTurns
    | SendText
    | Nudge
    | Hold
    | Reveal
    | Settle
    | Play
    | FinishAnswer
    | Flush
    | Wipe
    | Show
    | Cue
    | Hush
    | Say
    | Announce
    | Ring
    | WakeCame
    | Report
)
