"""The facts of a conversation, what follows from them, and the steps that the machine's rules are made of.

`Steps` keeps a few plain facts (the open turn, the `Line`, the `Answer`, faults, mute) and derives the state from them
in one place, so that facts and state cannot disagree. A step changes facts and appends to the actions of the event at
hand; which steps an event or a deadline takes is the machine's affair.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from edge_agent.conversation import actions as do
from edge_agent.conversation import indicator
from edge_agent.conversation.answer import Answer
from edge_agent.conversation.line import Line, Link
from edge_agent.conversation.moves import State
from edge_agent.conversation.rules import BLOCKING, OF_THE_LINE, SAMPLE_RATE, SETTLED_BY_TRYING, Rules
from edge_agent.errors import Fault


@dataclass(slots=True)
class Turn:
    """The open turn; `held` while the button that opened it may still end it by its release."""

    number: int
    opened_at: float
    held: bool


class Steps:
    """See the module's docstring; `rules` may be replaced at any time."""

    def __init__(self, rules: Rules, *, muted: bool, jitter: Callable[[], float]) -> None:
        self.rules = rules
        self.state = State.STARTING
        self.why = "starting"
        self.muted = muted
        self.faults: dict[Fault, str] = {}
        self.light = ""
        self.turns = 0
        self._now = 0.0
        self._out: list[do.Action] = []
        self._started = False
        self._line = Line(jitter)
        self._answer = Answer()
        self._turn: Turn | None = None
        self._texts: list[str] = []
        self._asked: list[str] = []
        self._failure: tuple[Fault, str] | None = None
        self._ending: float | None = None
        self._begun_at: float | None = None
        self._last_sound = 0.0
        self._listening_since = 0.0
        self._not_before = 0
        self._fresh_since = 0.0
        self._unsaid: list[Fault] = []
        self._slow = False
        self._down_since: float | None = None
        self._may_long_press = False

    @property
    def turn_open(self) -> bool:
        """True while microphone sound is admitted."""
        return self._turn is not None

    @property
    def in_conversation(self) -> bool:
        """True from the first turn until the conversation's end."""
        return self._begun_at is not None

    @property
    def connected(self) -> bool:
        """True while the link is up."""
        return self._line.up

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
        if self._turn is not None or self._texts or self._answer.pending:
            return self._busy()
        if any(fault in self.faults for fault in BLOCKING):
            return State.FAULT
        if Fault.CLOCK in self.faults:
            return State.WAITING_FOR_CLOCK
        return State.OFFLINE if Fault.NETWORK in self.faults else State.IDLE

    def _busy(self) -> State:
        if not self._line.up:
            return State.CONNECTING
        listening = self._turn is not None and (self.rules.manual or not self._answer.pending)
        return State.LISTENING if listening else State.THINKING

    def _quiet(self) -> bool:
        """Nothing sounds, nothing is waited for, and no turn is held open by hand."""
        if self._answer.sounding or self._answer.pending or self._texts:
            return False
        return self._turn is None or not self.rules.manual

    def _calm(self) -> bool:
        """Nobody would notice if the connection were changed for another."""
        return self._quiet() and not self._answer.arriving

    def _needs_line(self) -> bool:
        return self._turn is not None or self._answer.awaited or bool(self._texts)

    def _line_faulty(self) -> bool:
        return any(fault in self.faults for fault in OF_THE_LINE)

    def _raise(self, fault: Fault, text: str) -> None:
        news = fault not in self.faults
        self.faults[fault] = text
        self._out.append(do.Report("fault", text, fault))
        if fault is Fault.MICROPHONE and self._turn is not None:
            self._void("microphone lost")
        if not news or not self._started:
            return
        if self._turn is not None and self.rules.manual:
            self._unsaid.append(fault)  # not into what the person is saying
        else:
            self._signal("fault", fault)

    def _note(self, fault: Fault, text: str) -> None:
        if fault not in self.faults:
            self._out.append(do.Report("fault", text, fault))
        self.faults[fault] = text

    def _clear(self, fault: Fault) -> None:
        if self.faults.pop(fault, None) is not None:
            self._out.append(do.Report("fault", "works again", fault))

    def _button_down(self) -> None:
        if self._down_since is None:  # a second finger, or `ctl press`, on a button that is down is no new press
            self._down_since = self._now
            self._may_long_press = self.in_conversation  # whoever begins one by holding the button wants to talk

    def _talk(self, sample: int) -> None:
        """Open a turn, or say why the microphone cannot be heard."""
        if self.muted:
            self._signal("pressed while muted")
        elif Fault.MICROPHONE in self.faults:
            self._signal("fault", Fault.MICROPHONE)
        elif Fault.BUTTON_STUCK not in self.faults:
            self._open_turn(sample)

    def _begin(self) -> None:
        """A turn of any kind begins, and with it a conversation if there is none."""
        if self._begun_at is None:
            self._begun_at = self._now
            self._line.known = self._line.up
        self._last_sound = self._now
        for fault in SETTLED_BY_TRYING:
            self.faults.pop(fault, None)

    def _open_turn(self, sample: int) -> None:
        self._begin()
        self.turns += 1
        self._answer.superseded(self._now)
        self._asked.clear()
        self._ending = None
        self._slow = False
        self._turn = Turn(self.turns, self._now, held=True)
        self._listening_since = self._now
        pre_roll_s = min(self.rules.pre_roll_s, self._now - self._fresh_since)
        start = max(sample - round(pre_roll_s * SAMPLE_RATE), self._not_before, 0)
        self._out.append(do.OpenTurn(self.turns, min(start, sample)))
        self._out.append(do.Report("turn", "opened"))
        self._need_line()
        self._signal("turn opened")

    def _close_turn(self, sample: int | None, why: str) -> None:
        """End the open turn at `sample`, or where capture stands now (None)."""
        if self._turn is None:
            return
        self._out.append(do.CloseTurn(self._turn.number, sample))
        self._out.append(do.Report("turn", why))
        self._turn = None
        self._not_before = max(self._not_before, sample or 0)
        self._last_sound = self._fresh_since = self._now
        if self.rules.manual:
            self._await_answer()
        self._signal("turn too long" if why == "too long" else "turn closed")
        self._say_what_waited()
        self._send_texts()

    def _say_what_waited(self) -> None:
        """Tell what happened while the person was speaking."""
        if self._slow:
            self._slow = False
            self._signal("slow line")
        for fault in self._unsaid:
            if fault in self.faults:
                self._signal("fault", fault)
        self._unsaid.clear()

    def _void(self, why: str) -> None:
        """Drop what was not yet sent of the person's speech; what has been sent may still be answered."""
        self._out.append(do.VoidTurns())
        spoke = self._turn is not None and self.rules.manual
        if self._turn is not None:
            self._out.append(do.Report("turn", why))
            self._last_sound = self._fresh_since = self._now
        self._turn = None
        self._say_what_waited()
        if self._line.up:
            if spoke:
                self._await_answer()
            self._send_texts()
        else:
            self._answer.give_up()
            if not self._texts:
                self._line.unwanted()

    def _drop_input(self, why: str) -> None:
        self._out.append(do.VoidTurns())
        self._out.append(do.Report("turn", why))
        self._turn = None
        self._texts.clear()
        self._asked.clear()
        self._answer.give_up()
        self._line.unwanted()
        self._last_sound = self._fresh_since = self._now
        self._say_what_waited()

    def _await_answer(self) -> None:
        self._answer.expect(self._now, self.rules.answer_timeout_s)

    def _send_texts(self) -> None:
        """Send waiting text turns, unless a turn is being spoken: they follow it."""
        if not self._line.up or (self.rules.manual and self._turn is not None):
            return
        for text in self._texts:
            self._answer.superseded(self._now)
            self._out.append(do.SendText(text))
            self._asked.append(text)
            self._await_answer()
        self._texts.clear()

    def _need_line(self) -> None:
        if self._line.want(self._now):
            self._failure = None
            self._connect()

    def _connect(self) -> None:
        self._line.opening()
        self._out.append(do.Connect(resume=self.in_conversation and self._line.known))

    def _disconnect(self) -> None:
        if self._line.link is not Link.DOWN:
            self._out.append(do.Disconnect())
        self._line.closed()

    def _change_line(self) -> None:
        self._out.append(do.Report("connection", "changing"))
        self._disconnect()
        if self.in_conversation or self.rules.prewarm:
            self._connect()

    def _refused(self, fault: Fault, text: str) -> None:
        """The service will not talk to us; a person has to act."""
        if self._needs_line():
            self._drop_input("the service refused")
        self._line.closed()
        self.faults.pop(fault, None)
        self._raise(fault, text)

    def _flush(self, by: str) -> None:
        self._out.append(do.Flush(by))
        self._answer.silence(self._now)
        self._last_sound = self._fresh_since = self._now

    def _play_out(self) -> None:
        if self._answer.play_out(self._now):
            self._out.append(do.FinishAnswer())

    def _sound_over(self, sample: int) -> None:
        self._answer.heard()
        self._not_before = max(self._not_before, sample)
        self._last_sound = self._listening_since = self._fresh_since = self._now
        if self._ending is not None and not self._answer.pending and not self._answer.arriving:
            self._finish("ended", "goodbye")

    def _finish(self, why: str, signal: str) -> None:
        """End the conversation: nothing of it may be sent, heard or remembered any more."""
        if self._answer.sounding:
            self._flush("end")
        self._out.append(do.VoidTurns())
        self._turn = None
        self._texts.clear()
        self._asked.clear()
        self._unsaid.clear()
        self._slow = False
        self._answer = Answer()
        self._begun_at = self._ending = None
        self._fresh_since = self._now
        self._line.known = False
        self._disconnect()
        if self._line_faulty():
            self._line.retry(self._now)
        self._out.append(do.Wipe())
        self._out.append(do.Report("conversation", why))
        self._signal(signal)
        if self.rules.prewarm:
            self._connect()

    def _signal(self, moment: str, fault: Fault | None = None) -> None:
        signal = indicator.SIGNALS[moment]
        self._out.append(do.Cue(signal.cue))
        if signal.prompt:
            self._out.append(do.Say(signal.prompt if fault is None else f"{signal.prompt}-{fault.value}"))

    def _show(self) -> None:
        name = indicator.light(indicator.Situation(self.state, self.muted, self.fault))
        if name != self.light:
            self.light = name
            self._out.append(do.Show(name))
