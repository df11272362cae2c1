"""What the Live API said, as events: one small immutable type each.

`LiveProtocol.receive` returns them in the order in which they must be acted on. Names are the wire's where the wire
has one. Their `repr` is safe to log: it holds no sound, no transcript and no resumption handle.
"""

from __future__ import annotations

from typing import Any

import msgspec


class _Event(msgspec.Struct, frozen=True):
    """Base of all events."""


class SetupComplete(_Event, frozen=True):
    """The service took our setup; now other messages may be sent."""


class Audio(_Event, frozen=True):
    """Sound of the answer: s16le mono, whole samples; `rate` in Hz (24 000 unless the service says otherwise)."""

    pcm: bytes
    rate: int

    def __repr__(self) -> str:
        return f"Audio({len(self.pcm)} bytes, rate={self.rate})"


class Text(_Event, frozen=True):
    """A text part. `thought`: the model's own notes, never to be spoken."""

    text: str
    thought: bool

    def __repr__(self) -> str:
        return f"Text({len(self.text)} characters, thought={self.thought})"


class InputCaption(_Event, frozen=True):
    """A piece of the transcript of what was said to us, to be joined as it is. `language`: BCP-47 or ""."""

    text: str
    finished: bool
    language: str = ""

    def __repr__(self) -> str:
        return f"InputCaption({len(self.text)} characters, finished={self.finished}, language={self.language!r})"


class OutputCaption(_Event, frozen=True):
    """A piece of the transcript of what the model says."""

    text: str
    finished: bool
    language: str = ""

    def __repr__(self) -> str:
        return f"OutputCaption({len(self.text)} characters, finished={self.finished}, language={self.language!r})"


class Interrupted(_Event, frozen=True):
    """The service heard the user and cut its answer: stop playing at once. A `TurnComplete` follows."""


class GenerationComplete(_Event, frozen=True):
    """The whole answer has been sent; playing goes on."""


class TurnComplete(_Event, frozen=True):
    """The turn is over. `reason` is "" or the service's word for why (an open list); `idle`: nothing more will come."""

    reason: str
    idle: bool


class Interaction(_Event, frozen=True):
    """Where the interaction stands: IN_PROGRESS, IDLE, or a word we do not know. `idle`: nothing more will come."""

    status: str
    idle: bool


class WaitingForInput(_Event, frozen=True):
    """The model expects the user to go on."""


class Call(_Event, frozen=True):
    """One function call of the model; answer it by `id`."""

    id: str
    name: str
    args: dict[str, Any]

    def __repr__(self) -> str:
        return f"Call(id={self.id!r}, name={self.name!r}, {len(self.args)} args)"


class ToolCall(_Event, frozen=True):
    """The model calls functions; it may still be speaking."""

    calls: tuple[Call, ...]


class ToolCancel(_Event, frozen=True):
    """These calls are void: abandon them and do not answer."""

    ids: tuple[str, ...]


class Usage(_Event, frozen=True):
    """Tokens of a turn. The tables go by modality (TEXT, AUDIO, IMAGE, VIDEO, DOCUMENT); they need not add up.

    `cached` is a part of `prompt`; whether `thoughts` and `tool_use` are parts of `total`, the service does not say.
    """

    prompt: int = 0
    response: int = 0
    cached: int = 0
    tool_use: int = 0
    thoughts: int = 0
    total: int = 0
    prompt_by_modality: dict[str, int] = {}
    response_by_modality: dict[str, int] = {}
    tool_use_by_modality: dict[str, int] = {}


class GoAway(_Event, frozen=True):
    """The service will end this connection in `time_left_s` seconds (None: it did not say)."""

    time_left_s: float | None


class Resumption(_Event, frozen=True):
    """A snapshot of the session. `handle` continues it on a later connection, for two hours; None: not now."""

    handle: str | None
    resumable: bool

    def __repr__(self) -> str:
        return f"Resumption(handle={'...' if self.handle else None}, resumable={self.resumable})"


class VoiceActivity(_Event, frozen=True):
    """The service's voice detector heard speech start or end, `offset_s` seconds into our stream (None: not said)."""

    start: bool
    offset_s: float | None


class Grounding(_Event, frozen=True):
    """What the service searched for, and the pages found, each as (title, address).

    `suggestions`: HTML with its styles, which Google's terms want shown unchanged beside the answer; "" if none came.
    """

    queries: tuple[str, ...]
    sources: tuple[tuple[str, str], ...]
    suggestions: str = ""

    def __repr__(self) -> str:
        return f"Grounding({len(self.queries)} queries, {len(self.sources)} sources)"


class Ignored(_Event, frozen=True):
    """Something well-formed that this device has no use for; `what` names it for the log."""

    what: str


class Malformed(_Event, frozen=True):
    """Something that could not be read; `why` names it for the log. The connection goes on."""

    why: str


ServerEvent = (
    SetupComplete
    | Audio
    | Text
    | InputCaption
    | OutputCaption
    | Interrupted
    | GenerationComplete
    | TurnComplete
    | Interaction
    | WaitingForInput
    | ToolCall
    | ToolCancel
    | Usage
    | GoAway
    | Resumption
    | VoiceActivity
    | Grounding
    | Ignored
    | Malformed
)
