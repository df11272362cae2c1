"""The facts of a conversation and what follows from them.

A few plain facts are kept (the open turn, the `Attention` of the room, the `Question`, the `Answer`, the `Line`, what
waits `ToTell`, faults, mute) and the state is derived from them in one place, so that facts and state cannot disagree.
Nothing here changes a fact.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from edge_agent.conversation import actions as do
from edge_agent.conversation.answer import Answer
from edge_agent.conversation.attention import BIDDEN, Attention, Ear, Turn
from edge_agent.conversation.healing import Rung
from edge_agent.conversation.line import Line
from edge_agent.conversation.moves import State
from edge_agent.conversation.question import Question
from edge_agent.conversation.rules import BLOCKING, BREATH_S, OF_THE_LINE, SNAPSHOT_S, Rules
from edge_agent.conversation.to_tell import ToTell
from edge_agent.errors import Fault


@dataclass(slots=True)
class Button:
    """The button, or the handset: `down_since` when it went down, None while it is up."""

    down_since: float | None = None
    may_be_long: bool = False
    """Held long enough it ends the conversation."""


class Facts:
    """See the module's docstring; `rules` may be replaced at any time."""

    def __init__(self, rules: Rules, *, muted: bool, jitter: Callable[[], float], known_until: float) -> None:
        self.rules = rules
        self.state = State.STARTING
        self.why = "starting"
        self.muted = muted
        self.faults: dict[Fault, str] = {}
        self.light = ""
        self.turns = 0
        self.rung = Rung.NONE
        """What is being tried for an answer that does not come."""
        self._now = 0.0
        self._out: list[do.Action] = []
        self._started = False
        self._turn: Turn | None = None
        self._ear: Ear | None = None
        self._attention = Attention()
        self._question = Question()
        self._answer = Answer()
        self._line = Line(jitter)
        self._failure: tuple[Fault, str] | None = None
        """Why the line could not be opened the last time."""
        self._held_back = False
        """Microphone sound is dropped, as the service would close the connection for it."""
        self._to_tell = ToTell()
        self._button = Button()
        self._ringing = False
        self._spent = False
        """A budget is used up."""
        self._begun_at: float | None = None
        """When the conversation began; None: there is none."""
        self._ending: float | None = None
        """When it ends because the model wished it, at the latest."""
        self._known_until = known_until
        self._not_before = 0
        self._fresh_since = 0.0
        """No pre-roll reaches back before this capture sample, or this time: an earlier turn, a mute, its own voice."""

    @property
    def turn_open(self) -> bool:
        """True while microphone sound is admitted."""
        return self._turn is not None

    @property
    def attentive(self) -> bool:
        """True while somebody's voice would matter: the microphone is open, or may open again after the answer."""
        deaf = self.muted or Fault.MICROPHONE in self.faults
        if deaf or not self._minds_voices() or not self.in_conversation:
            return False
        if self._answer.sounding:
            return self.rules.interruptible and not self._attention.announcing
        return self._turn is not None or self._ear is not None

    @property
    def careful(self) -> bool:
        """True while nobody has asked the device to listen: a voice must stand out from the background."""
        return self._ear is not None and self._ear.by not in BIDDEN

    @property
    def in_conversation(self) -> bool:
        """True from the first turn until the conversation's end."""
        return self._begun_at is not None

    @property
    def connected(self) -> bool:
        """True while the link is up."""
        return self._line.up

    @property
    def asking(self) -> bool:
        """True on an open line while what was asked may not yet have been written to its end."""
        return self._line.up and self._question.unsent_since is not None

    @property
    def ringing(self) -> bool:
        """True while an alarm rings."""
        return self._ringing

    @property
    def resendable(self) -> bool:
        """What was asked last can be sent again."""
        return self._question.resendable(self._now)

    @property
    def fault(self) -> Fault | None:
        """The fault to show: the first blocking one, else any."""
        blocking = next((fault for fault in BLOCKING if fault in self.faults), None)
        return blocking if blocking is not None else min(self.faults, default=None)

    @property
    def shown_state(self) -> str:
        """The state as `status` gives it: `muted` where the device would else be idle or listening."""
        return "muted" if self.muted and self.state in {State.IDLE, State.LISTENING} else self.state.value

    def _reason(self) -> str:
        """The last thing this event reported, in a person's words; "" if nothing."""
        said = [action for action in self._out if isinstance(action, do.Report)]
        return f"{said[-1].event}: {said[-1].why}" if said else ""

    def _derive(self) -> State:
        if not self._started:
            return State.STARTING
        if self._answer.sounding:
            return State.SPEAKING
        waits = self._question.texts or self._answer.pending or self._owed_to_the_line() or self._understood()
        if self._turn is not None or self._ear is not None or waits:
            return self._busy()
        if any(fault in self.faults for fault in BLOCKING):
            return State.FAULT
        if Fault.CLOCK in self.faults:
            return State.WAITING_FOR_CLOCK
        return State.OFFLINE if Fault.NETWORK in self.faults else State.IDLE

    def _busy(self) -> State:
        if not self._line.up:
            return State.CONNECTING
        hears = self._turn is not None or self._ear is not None
        listening = hears and (self.rules.manual or not (self._answer.pending or self._understood()))
        return State.LISTENING if listening and not self._holding() else State.THINKING

    def _quiet(self) -> bool:
        """Nothing sounds, nothing is waited for, and no turn is open but that of a microphone that is always open."""
        if self._answer.sounding or self._answer.pending or self._question.texts or self._owed_to_the_line():
            return False
        return not self._understood() and (self._turn is None or not (self.rules.manual or self.rules.local_voice))

    def _listener_free_at(self) -> float:
        """When the device may speak by itself: not into what somebody with the open microphone says or wants to say."""
        if self._ear is not None and self._ear.by != "answer":
            return self._ear.until
        talking = self._turn is not None and not self.rules.manual
        return self._attention.heard_at + BREATH_S if talking else -math.inf

    def _calm(self) -> bool:
        """Nobody would notice if the connection were changed for another."""
        return self._quiet() and not self._answer.arriving

    def _holding(self) -> bool:
        """The service would close the connection for microphone sound."""
        return self.rules.holds and self._answer.blocking > 0

    def _minds_voices(self) -> bool:
        """A voice over an answer, or into silence, means something."""
        return not (self.rules.manual or self.rules.hook or self.rules.continuous)

    def _may_hear(self) -> bool:
        """A turn may be opened by a voice."""
        return not (self.muted or self._spent or Fault.MICROPHONE in self.faults)

    def _understood(self) -> bool:
        """What was said is over and was understood, and nothing has come of it yet."""
        return self.rules.local_voice and self._turn is None and self._question.unanswered_since is not None

    def _needs_line(self) -> bool:
        waits = self._answer.awaited or bool(self._question.texts) or self._owed_to_the_line() or self._understood()
        return self._turn is not None or waits

    def _spoke_to_the_line(self) -> bool:
        """What waits for the line was spoken."""
        waits = self._question.unsent_since is not None or self._answer.awaited
        return self._turn is not None or (waits and not self._question.written and not self._question.texts)

    def _owed_an_answer(self) -> bool:
        return self._answer.pending or (self._answer.arriving and not self._answer.stopped)

    def _owed_to_the_line(self) -> bool:
        """What was asked may still wait to be sent, or an announcement for its connection."""
        return self._question.unsent_since is not None or self._awaits_line()

    def _deaf(self) -> bool:
        """Nobody could be heard after an announcement: the device is muted, or its handset lies on the hook."""
        return self.muted or (self.rules.hook and self._button.down_since is None)

    def _awaits_line(self) -> bool:
        """An announcement waits for the connection that its answer needs."""
        return self._line.wanted_since is not None and any(one.listen for one in self._to_tell.announcements)

    def _line_faulty(self) -> bool:
        return any(fault in self.faults for fault in OF_THE_LINE)

    def _knows(self) -> bool:
        """A new connection should go on with what was said before."""
        return self._line.known if self.in_conversation else self._now < self._known_until

    def _prewarms(self) -> bool:
        """A clean connection is kept open while nobody talks."""
        return self.rules.prewarm and not self._spent

    def _change_due(self) -> float | None:
        """When a connection that will not stay is to be changed; None while somebody would notice."""
        line = self._line
        if not (line.leaving and line.up and self._calm()):
            return None
        if line.snapshot or not self.in_conversation or line.degraded:
            return self._now
        return min(self._attention.last_sound + SNAPSHOT_S, line.leave_by - 0.5)
