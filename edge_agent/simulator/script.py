"""What the twin does: a script of rules, each a condition and the steps of an answer; the Python form.

    Script(rules=(
        Rule(when=When(nth=1), steps=(Hear("what time is it"), Say(text="It is ten o'clock."))),
        Rule(when=When(text="picture"), steps=(Say(sound=noise(2.0, seed=7), pace=0.5),)),
        Rule(steps=(Say(sound=tone(1.0)),)),                     # any other turn
    ))

A turn of the person is answered by the first rule whose condition holds and whose `times` are not used up. The steps
run one after the other on the session's clock; `generationComplete`, usage and `turnComplete` follow by themselves
unless the steps contain `Complete` or `Hang`. Where answers must be computed, `Script.brain` is an async generator
function taking the `Turn` and yielding steps; it is asked when no rule matches, one step at a time, and may read
`turn.responses` after a `Call`. `edge_agent.simulator.scriptfile` reads the same from TOML.

Times are seconds. `pace` is how fast sound is sent compared with real time: 1 real time, 4 in bursts, 0.5 slower than
it is spoken, 0 all at once. Sound is s16le mono at 24 kHz.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class Hear:
    """Send the input transcription, if the setup asked for it, in `pieces`."""

    text: str
    pieces: int = 1
    finished: bool = True


@dataclass(frozen=True, slots=True)
class Say:
    """Speak: sound with its output transcription. Without `sound`, `text` is spoken by the twin's voice."""

    text: str = ""
    sound: bytes | None = None
    pace: float = 4.0
    chunk_ms: int = 100  # 4.8 kB; the service sends about 2 to 15 kB at a time
    parts: int = 1  # chunks per message
    interrupt_after_s: float | None = None  # the server itself finds that the person speaks, this long after the start
    captions_with_sound: bool = False  # both fields in one message


@dataclass(frozen=True, slots=True)
class Text:
    """Send a text part; `thought` marks it as thinking, which is never spoken."""

    text: str
    thought: bool = False


@dataclass(frozen=True, slots=True)
class Wait:
    """Do nothing for this long."""

    seconds: float


@dataclass(frozen=True, slots=True)
class FunctionCall:
    """One function the model wants called; an empty `id` is filled in by the session."""

    name: str
    args: dict[str, Any] | None = field(default_factory=dict)
    id: str = ""


@dataclass(frozen=True, slots=True)
class Call:
    """Ask for function calls, all in one message.

    `wait` holds the steps that follow until every response is in (a BLOCKING call). `cancel_after_s` withdraws them.
    `reply` is said once the responses are in, for calls that were not waited for, as their `scheduling` asks.
    """

    calls: tuple[FunctionCall, ...]
    wait: bool = True
    cancel_after_s: float | None = None
    reply: tuple[Step, ...] = ()
    status_beside: bool = False  # interactionStatus IN_PROGRESS at the top level, as the Thinking guide prints it


@dataclass(frozen=True, slots=True)
class Complete:
    """End of the utterance: `generationComplete`, usage, `turnComplete`; `status` for extended thinking."""

    reason: str = ""
    generation: bool = True
    status: Literal["", "IN_PROGRESS", "IDLE", "REQUIRES_ACTION"] = ""
    wait_for_playback: bool | None = None  # None: as the script says


@dataclass(frozen=True, slots=True)
class Hang:
    """Never end this turn: no `generationComplete`, no `turnComplete`."""


@dataclass(frozen=True, slots=True)
class GoAway:
    """Announce the end of the connection; it is closed with 1008 "aborted" once the time is over."""

    time_left_s: float | None = 10.0
    close: bool = True


@dataclass(frozen=True, slots=True)
class Resumption:
    """Send a sessionResumptionUpdate now: a handle to a snapshot of the conversation, or "not resumable"."""

    resumable: bool = True


@dataclass(frozen=True, slots=True)
class End:
    """Close the connection with a WebSocket close frame."""

    code: int = 1011
    reason: str = "Internal error encountered."


@dataclass(frozen=True, slots=True)
class Drop:
    """Cut the TCP connection without a close frame (the client sees 1006)."""


@dataclass(frozen=True, slots=True)
class Raw:
    """Send this message as it stands: an object is turned into JSON, text and bytes are sent untouched."""

    message: dict[str, Any] | str | bytes


@dataclass(frozen=True, slots=True)
class Oversized:
    """Send one valid message of this many bytes."""

    size: int = 20_000_000


@dataclass(frozen=True, slots=True)
class Truncated:
    """Announce a frame, send half of it, and cut the connection."""


@dataclass(frozen=True, slots=True)
class Stall:
    """Send nothing at all for this long, pongs included; what was due comes afterwards."""

    seconds: float


Step = (
    Hear
    | Say
    | Text
    | Wait
    | Call
    | Complete
    | Hang
    | GoAway
    | Resumption
    | End
    | Drop
    | Raw
    | Oversized
    | Truncated
    | Stall
)


@dataclass(frozen=True, slots=True)
class When:
    """The condition of a rule; every part that is given must hold. Nothing given: any turn."""

    nth: int | None = None  # number of the turn in its session, from 1
    session: int | None = None  # number of the session since the twin started, from 1
    text: str | None = None  # typed text, or what the local voice understood, contains this (case does not matter)
    history: str | None = None  # the conversation so far contains this
    image: bool | None = None  # a still came with the turn
    kind: Literal["audio", "text"] | None = None


@dataclass(frozen=True, slots=True)
class Rule:
    """Answer turns that meet `when` with `steps`, at most `times` times (None: always)."""

    steps: tuple[Step, ...]
    when: When = When()
    times: int | None = None


@dataclass(slots=True)
class Turn:
    """What the person said: a turn of the conversation as a rule or brain sees it."""

    number: int
    session: int
    kind: Literal["audio", "text"]
    text: str  # typed text; empty for speech unless the local voice understood it
    audio: bytes  # 16 kHz s16le mono
    images: tuple[bytes, ...]
    history: tuple[Entry, ...]  # the conversation so far, this turn included
    setup: dict[str, Any]
    responses: dict[str, Any] = field(default_factory=dict)  # tool responses so far, by call id


@dataclass(frozen=True, slots=True)
class Entry:
    """One contribution to the conversation, as a resumption handle preserves it."""

    role: Literal["user", "model"]
    text: str = ""
    audio_s: float = 0.0
    images: int = 0


Brain = Callable[[Turn], AsyncIterator[Step]]
Speaker = Callable[[str], bytes]
"""Turns text into 24 kHz s16le mono."""

DEFAULT_RULES = (Rule(steps=(Say(text="Hello from the twin."),)),)


@dataclass(frozen=True, slots=True)
class Script:
    """All that a twin does; see the fields."""

    rules: tuple[Rule, ...] = DEFAULT_RULES
    brain: Brain | None = None  # asked when no rule matches
    think_s: float = 0.15  # from the end of a turn to the first step
    # setup
    setup_delay_s: float = 0.0  # before setupComplete; inf: never
    end_before_setup: End | None = None  # close instead of setupComplete
    handshake_status: int | None = None  # refuse every handshake with this HTTP status
    blocked_status: int | None = None  # something on the way answers upgrades with this status and a page of HTML
    # turns
    turn_complete: Literal["playback", "sent"] = "playback"  # the service waits for assumed real-time playback
    stream_end_answers: bool = True  # audioStreamEnd ends the turn; one report says the service then stays silent
    vad_threshold_dbfs: float = -45.0
    interrupts: bool = True  # false: speech does not stop an answer, whatever the setup asked
    late_tail: int = 0  # chunks of the old answer sent after `interrupted`
    interrupted_with_complete: bool = False  # `interrupted` and `turnComplete` in one message, without a tail
    usage: bool = True  # usageMetadata beside turnComplete
    # session
    resumption_updates: bool = True  # after each turn, if the setup asked
    go_away_after_s: float | None = None  # from setupComplete
    go_away_left_s: float = 10.0
    end_after_s: float | None = None
    end_after_audio_bytes: int | None = None  # counted over the session, 16 kHz s16le
    end_with: End = End()  # how the two above close
    # wire
    opcode: Literal["binary", "text"] = "binary"  # Google sends binary frames
    base64: Literal["standard", "urlsafe"] = "standard"
    unknown_keys: bool = False  # put keys no client can know into every message
    mime: str = "audio/pcm;rate=24000"
    pong: Literal["normal", "never"] | float = "normal"  # or a delay in seconds
    uplink_bytes_per_s: float | None = None  # read no faster than this; 40 ms of sound are 1.8 kB, 45 kB a second
    deflate: bool = False  # accept permessage-deflate if the client offers it


def matches(when: When, turn: Turn) -> bool:
    """Tell whether a turn meets a condition."""
    return (
        (when.nth is None or when.nth == turn.number)
        and (when.session is None or when.session == turn.session)
        and (when.kind is None or when.kind == turn.kind)
        and (when.image is None or when.image == bool(turn.images))
        and (when.text is None or when.text.casefold() in turn.text.casefold())
        and (when.history is None or any(when.history.casefold() in entry.text.casefold() for entry in turn.history))
    )


class Rules:
    """The script's rules with their counts, shared by all sessions of a twin, and answers given while it runs."""

    def __init__(self, script: Script) -> None:
        self._left = [(rule, rule.times) for rule in script.rules]
        self.next: deque[tuple[Step, ...]] = deque()  # go before every rule

    def replace(self, rules: Iterable[Rule]) -> None:
        """Put rules in the place of all, with fresh counts."""
        self._left = [(rule, rule.times) for rule in rules]

    def choose(self, turn: Turn) -> tuple[Step, ...] | None:
        """Return the steps for a turn and count them as used, None if nothing matches."""
        if self.next:
            return self.next.popleft()
        for n, (rule, left) in enumerate(self._left):
            if left != 0 and matches(rule.when, turn):
                self._left[n] = (rule, None if left is None else left - 1)
                return rule.steps
        return None

    def add(self, rule: Rule) -> None:
        """Put a rule before all others."""
        self._left.insert(0, (rule, rule.times))
