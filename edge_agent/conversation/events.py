"""What can happen to a conversation.

Every event is a small frozen value. `sample` is a capture sample: 16 kHz samples since the microphone was opened, the
clock that turns are cut by. Sound itself never enters: `AnswerAudio` carries its length only.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from edge_agent.errors import Fault


@dataclass(frozen=True, slots=True)
class Ready:
    """Microphone, loudspeaker, panel and control are up."""


@dataclass(frozen=True, slots=True)
class Pressed:
    """The button went down (or the handset was lifted) when capture stood at `sample`."""

    sample: int


@dataclass(frozen=True, slots=True)
class Released:
    """The button came up (or the handset was hung up)."""

    sample: int


@dataclass(frozen=True, slots=True)
class Muted:
    """A person muted the device."""

    sample: int


@dataclass(frozen=True, slots=True)
class Unmuted:
    """A person took the mute back when capture stood at `sample`."""

    sample: int


@dataclass(frozen=True, slots=True)
class TextAsked:
    """A text turn came over the control socket."""

    text: str


@dataclass(frozen=True, slots=True)
class EndAsked:
    """Somebody ended the conversation over the control socket."""


@dataclass(frozen=True, slots=True)
class EndWished:
    """The model wants to end the conversation, once what it says has been heard."""


@dataclass(frozen=True, slots=True)
class LinkUp:
    """The connection is open and set up.

    `resumed`: the service still knows this conversation. `retold`: it was told the story so far. `degraded`: it is no
    live line but one question and answer at a time. It can stay for `lasts_s` at most.
    """

    resumed: bool = False
    retold: bool = False
    degraded: bool = False
    lasts_s: float = math.inf


@dataclass(frozen=True, slots=True)
class LinkDown:
    """The connection is gone or could not be made.

    `fault` names what a person should know, `final` says that trying again unchanged cannot help, `wait_s` that
    trying again sooner is not welcome.
    """

    fault: Fault | None
    text: str
    final: bool = False
    wait_s: float = 0.0


@dataclass(frozen=True, slots=True)
class LineLeaving:
    """The connection will be closed in `time_left_s`, or is out of date: change it for a new one at a quiet moment."""

    time_left_s: float = math.inf


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The service gave a handle to the conversation as it stands; `resumable` is False while it cannot."""

    resumable: bool = True


@dataclass(frozen=True, slots=True)
class LineSlow:
    """Sound has been waiting for seconds to be sent on an open connection."""


@dataclass(frozen=True, slots=True)
class QuestionSent:
    """The last of what was asked, the end of a turn or a text, has been written to the line."""


@dataclass(frozen=True, slots=True)
class AnswerAudio:
    """A piece of the spoken answer arrived, `ms` long; 0: an empty piece."""

    ms: float


@dataclass(frozen=True, slots=True)
class AnswerProgress:
    """A sign that the service is at work on an answer: a thought, a caption, a status."""


@dataclass(frozen=True, slots=True)
class AnswerGenerated:
    """All sound of this answer has been sent."""


@dataclass(frozen=True, slots=True)
class AnswerDone:
    """The server's turn is over; `idle` is False while a thinking model goes on working.

    `refused`: the service would not answer this. `waits`: the model expects the person to go on.
    """

    idle: bool = True
    refused: bool = False
    waits: bool = False


@dataclass(frozen=True, slots=True)
class WorkDone:
    """A thinking model says that it has finished; after an `AnswerDone` that said the same it tells nothing new."""


@dataclass(frozen=True, slots=True)
class Interrupted:
    """The server heard the person speak into its answer and stopped it."""


@dataclass(frozen=True, slots=True)
class Heard:
    """The service understood some words of the person."""


@dataclass(frozen=True, slots=True)
class ToolsCalled:
    """The model asked for `count` function calls, and says nothing before `blocking` of them are answered."""

    count: int
    blocking: int = 0


@dataclass(frozen=True, slots=True)
class ToolsSettled:
    """`count` of them were answered or cancelled, `blocking` ones among them."""

    count: int
    blocking: int = 0


@dataclass(frozen=True, slots=True)
class PlaybackEnded:
    """The last sample of the answer was handed to the loudspeaker when capture stood at `sample`."""

    sample: int


@dataclass(frozen=True, slots=True)
class FaultRaised:
    """A part of the device failed."""

    fault: Fault
    text: str


@dataclass(frozen=True, slots=True)
class FaultCleared:
    """That part works again."""

    fault: Fault


@dataclass(frozen=True, slots=True)
class Announced:
    """Somebody wants `text` spoken over the control socket; `listen`: and the person heard afterwards."""

    text: str
    listen: bool = False


@dataclass(frozen=True, slots=True)
class NetworkBack:
    """The network says that it is there (again): a line that waits for its next try need not wait."""


@dataclass(frozen=True, slots=True)
class BudgetLow:
    """Money or data for this day or month is nearly used up; `text` says which and how much."""

    text: str


@dataclass(frozen=True, slots=True)
class BudgetSpent:
    """Money or data for this day or month is used up: no talk until `BudgetFree`."""

    text: str


@dataclass(frozen=True, slots=True)
class BudgetFree:
    """A new day or month began, or the owner raised the budget."""


@dataclass(frozen=True, slots=True)
class AlarmRings:
    """A timer or alarm of this name is due and rings until it is stopped."""

    name: str


@dataclass(frozen=True, slots=True)
class AlarmEnded:
    """It no longer rings: it was stopped by somebody else than the machine, or rang long enough."""


@dataclass(frozen=True, slots=True)
class NearEndConfirmed:
    """Somebody speaks over the answer since `sample`, as the device itself hears."""

    sample: int


@dataclass(frozen=True, slots=True)
class VoiceStarted:
    """Somebody speaks to the silent device since `sample`, as it hears itself."""

    sample: int


@dataclass(frozen=True, slots=True)
class VoiceEnded:
    """Nobody speaks any more; the last word ended before `sample`."""

    sample: int


@dataclass(frozen=True, slots=True)
class WakeHeard:
    """The wake word was heard; it ended at about `sample`."""

    sample: int
    word: str


@dataclass(frozen=True, slots=True)
class StopHeard:
    """The word that silences was heard; it ended at about `sample`."""

    sample: int


@dataclass(frozen=True, slots=True)
class Tick:
    """A deadline of the machine has come."""


Event = (
    Ready
    | Pressed
    | Released
    | Muted
    | Unmuted
    | TextAsked
    | EndAsked
    | EndWished
    | LinkUp
    | LinkDown
    | LineLeaving
    | Snapshot
    | QuestionSent
    | LineSlow
    | AnswerAudio
    | AnswerProgress
    | AnswerGenerated
    | AnswerDone
    | WorkDone
    | Interrupted
    | Heard
    | ToolsCalled
    | ToolsSettled
    | PlaybackEnded
    | FaultRaised
    | FaultCleared
    | Announced
    | NetworkBack
    | BudgetLow
    | BudgetSpent
    | BudgetFree
    | AlarmRings
    | AlarmEnded
    | NearEndConfirmed
    | VoiceStarted
    | VoiceEnded
    | WakeHeard
    | StopHeard
    | Tick
)
