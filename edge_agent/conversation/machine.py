"""The conversation: events in, actions out, and the time of the next deadline. Pure: no clock, socket, thread or file.

    machine = Machine(rules)
    for action in machine.handle(Pressed(sample=48_000), now):
        ...
    loop.call_at(machine.deadline, lambda: run(machine.handle(Tick(), machine.deadline)))

The machine keeps a few plain facts (the open turn, the `Line`, the `Answer`, faults, mute) and derives the state from
them in one place (`_derive`), so that facts and state cannot disagree. Each event runs the one rule the table of moves
names; where it leads is held against the same table.

Turn-taking:

- *push-to-talk* (`rules.manual`): the press opens a turn from `sample - pre_roll`; a release after `tap_s` ends it, an
  earlier one leaves it open until the next press. While the turn is open every answer sound is an old answer's.
- *open microphone*: the press opens one long turn and the server finds the sentences in it; a press over the answer
  silences it, a press while listening ends the turn, a long press ends the conversation.
- *hook*: lifting the handset presses, hanging up ends the conversation.

The pre-roll never reaches back into the device's own voice, into an earlier turn, or before a mute.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from edge_agent.conversation import actions as do
from edge_agent.conversation import events as ev
from edge_agent.conversation import indicator
from edge_agent.conversation.answer import Answer
from edge_agent.conversation.line import Line, Link
from edge_agent.conversation.moves import State, find
from edge_agent.errors import Fault

SAMPLE_RATE = 16_000  # capture samples per second
STUCK_S = 15.0  # a button still down this long after its turn was ended is stuck

BLOCKING = (Fault.BUTTON_STUCK, Fault.MICROPHONE, Fault.CREDENTIAL, Fault.SERVICE, Fault.LIMIT, Fault.POWER)
"""Faults a device at rest shows as its state, the first that holds."""
SETTLED_BY_TRYING = (Fault.CREDENTIAL, Fault.SERVICE, Fault.LIMIT, Fault.NETWORK, Fault.CLOCK)
"""Faults that a new press puts to the test again."""
OF_THE_LINE = (Fault.NETWORK, Fault.CLOCK)
"""Faults that end as soon as a connection opens."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What of the configuration the machine goes by. Times in seconds."""

    manual: bool = True
    hook: bool = False
    pre_roll_s: float = 0.5
    tap_s: float = 0.25
    long_press_s: float = 1.5
    idle_timeout_s: float = 12.0
    max_turn_s: float = 60.0
    max_conversation_s: float = 600.0
    answer_timeout_s: float = 20.0
    prewarm: bool = False


@dataclass(slots=True)
class Turn:
    """The open turn; `held` while the button that opened it may still end it by its release."""

    number: int
    opened_at: float
    held: bool


class Machine:
    """One device's conversation.

    `jitter` gives numbers in [0, 1) and spreads reconnections; `strict` raises where a rule leads outside the table
    (tests), instead of reporting it (a device in the field goes on).
    """

    def __init__(
        self, rules: Rules, *, muted: bool = False, jitter: Callable[[], float] = random.random, strict: bool = False
    ) -> None:
        self.rules = rules
        self.state = State.STARTING
        self.why = "starting"
        self.muted = muted
        self.faults: dict[Fault, str] = {}
        self.light = ""
        self.turns = 0
        self._strict = strict
        self._now = 0.0
        self._out: list[do.Action] = []
        self._started = False
        self._line = Line(jitter)
        self._answer = Answer()
        self._turn: Turn | None = None
        self._texts: list[str] = []
        self._asked: str | None = None
        self._begun_at: float | None = None
        self._last_sound = 0.0
        self._listening_since = 0.0
        self._not_before = 0
        self._down_since: float | None = None
        self._long_pressed = False

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

    @property
    def deadline(self) -> float | None:
        """When the next `Tick` is due, on the clock of `handle`; None if nothing is pending."""
        return min((at for at, _ in self._deadlines()), default=None)

    def handle(self, event: ev.Event, now: float) -> list[do.Action]:
        """Take one event and return what is to be done, in order. Never raises for any event in any state."""
        self._now = now
        self._out = []
        move = find(self.state, event)
        if move is None:
            return [do.Report("ignored", f"{type(event).__name__} while {self.state}")]
        getattr(self, move.rule)(event)
        state = self._derive()
        if state not in move.to:
            complaint = f"{move.rule} on {type(event).__name__} leads from {self.state} to {state}"
            if self._strict:
                raise AssertionError(complaint)
            self._out.append(do.Report("defect", complaint))
        if state is not self.state:
            self.state = state
            self.why = self._reason() or move.why
        self._show()
        return self._out

    # Rules, one for each row of the table of moves.

    def _ready(self, _event: ev.Ready) -> None:
        self._started = True
        self._signal("ready")
        if self.rules.prewarm:
            self._connect()

    def _fault_raised(self, event: ev.FaultRaised) -> None:
        news = event.fault not in self.faults
        self.faults[event.fault] = event.text
        self._out.append(do.Report("fault", event.text, event.fault))
        if event.fault is Fault.MICROPHONE and self._turn is not None:
            self._void("microphone lost")
        if news and self._started:
            self._signal("fault", event.fault)

    def _fault_cleared(self, event: ev.FaultCleared) -> None:
        self._clear(event.fault)

    def _press_to_talk(self, event: ev.Pressed) -> None:
        self._button_down()
        self._talk(event.sample)

    def _press_again(self, event: ev.Pressed) -> None:
        self._button_down()
        if self._turn is None:
            self._talk(event.sample)
        elif not self.rules.hook and not (self.rules.manual and self._turn.held):
            self._close_turn(event.sample, "tapped again")

    def _press_over_answer(self, event: ev.Pressed) -> None:
        self._button_down()
        if self._answer.sounding:
            self._flush("press")
            self._not_before = max(self._not_before, event.sample)
        if self._turn is not None:
            self._listening_since = self._last_sound = self._now
        else:
            self._talk(event.sample)

    def _release(self, event: ev.Released) -> None:
        held_for = self._now - self._down_since if self._down_since is not None else 0.0
        self._down_since = None
        self._clear(Fault.BUTTON_STUCK)
        if self.rules.hook:
            if self.in_conversation:
                self._finish("hung up", "goodbye")
        elif self.rules.manual and self._turn is not None and self._turn.held:
            if held_for >= self.rules.tap_s:
                self._close_turn(event.sample, "released")
            else:
                self._turn.held = False

    def _mute(self, event: ev.Muted) -> None:
        self.muted = True
        self._not_before = max(self._not_before, event.sample)
        self._void("muted")
        if self._started:
            self._signal("muted")

    def _unmute(self, _event: ev.Unmuted) -> None:
        if self.muted and self._started:
            self._signal("unmuted")
        self.muted = False

    def _ask(self, event: ev.TextAsked) -> None:
        self._begin()
        if self._answer.sounding:
            self._flush("text")
        self._texts.append(event.text)
        self._need_line()
        self._send_texts()

    def _end(self, _event: ev.EndAsked) -> None:
        if self.in_conversation:
            self._finish("ended", "goodbye")

    def _link_up(self, event: ev.LinkUp) -> None:
        self._line.opened()
        for fault in OF_THE_LINE:
            self._clear(fault)
        self._out.append(do.Report("connection", "resumed" if event.resumed else "open"))
        if not self.in_conversation:
            if not self.rules.prewarm:
                self._disconnect()
            return
        self._line.known = True
        self._answer.due = self._now + self.rules.answer_timeout_s
        self._send_texts()

    def _link_down(self, event: ev.LinkDown) -> None:
        self._line.lost()
        self._out.append(do.Report("connection", event.text, event.fault))
        self._answer.cut_off()
        self._play_out()
        if self._asked is not None and self._answer.awaited:
            self._texts.insert(0, self._asked)
        self._asked = None
        if event.final:
            self._refused(event.fault or Fault.SERVICE, event.text)
            return
        if event.fault is not None and event.fault in OF_THE_LINE:
            self.faults[event.fault] = event.text
        if self.in_conversation or self.rules.prewarm or self._line_faulty():
            self._line.retry(self._now)
        if self._needs_line():
            self._line.wanted_since = self._line.wanted_since or self._now

    def _answer_audio(self, event: ev.AnswerAudio) -> None:
        if not self.in_conversation:
            return
        talking = self.rules.manual and self._turn is not None
        if self._answer.arrived(event.ms / 1000, self._now, talking=talking):
            self._asked = None
            self._out.append(do.Play())

    def _answer_generated(self, _event: ev.AnswerGenerated) -> None:
        if not self._answer.stopped:
            self._play_out()

    def _answer_done(self, event: ev.AnswerDone) -> None:
        answer = self._answer
        if not answer.turn_over(idle=event.idle or not self.in_conversation):
            return
        self._last_sound = self._now
        if answer.sounding:
            self._play_out()
        elif answer.superseding:
            answer.superseding = False
        elif answer.awaited and not answer.working and not answer.calls and self._line.up:
            self._no_answer("the answer was empty")

    def _interrupted(self, _event: ev.Interrupted) -> None:
        self._listening_since = self._last_sound = self._now
        if self._answer.sounding:
            self._flush("voice")
        else:
            self._answer.drop_rest(self._now)

    def _heard(self, _event: ev.Heard) -> None:
        self._last_sound = self._now

    def _tools_called(self, event: ev.ToolsCalled) -> None:
        if self.in_conversation:
            self._answer.calls += event.count

    def _tools_settled(self, event: ev.ToolsSettled) -> None:
        self._answer.calls = max(0, self._answer.calls - event.count)
        self._answer.due = self._now + self.rules.answer_timeout_s
        self._last_sound = self._now

    def _playback_ended(self, event: ev.PlaybackEnded) -> None:
        if self._answer.sounding and self._answer.complete:
            self._sound_over(event.sample)

    def _tick(self, _event: ev.Tick) -> None:
        for _ in range(8):  # one deadline may settle or raise another; a handful is the most that can follow
            due = [(at, rule) for at, rule in self._deadlines() if at <= self._now]
            if not due:
                return
            min(due, key=lambda entry: entry[0])[1]()

    # Deadlines: when, and what then.

    def _deadlines(self) -> list[tuple[float, Callable[[], None]]]:
        rules, answer, line = self.rules, self._answer, self._line
        out: list[tuple[float, Callable[[], None]]] = []
        if self._turn is not None and not answer.sounding:
            since = self._turn.opened_at if rules.manual else self._listening_since
            out.append((since + rules.max_turn_s, self._turn_too_long))
        if self._down_since is not None and not rules.hook:
            if not rules.manual and not self._long_pressed:
                out.append((self._down_since + rules.long_press_s, self._long_press))
            if Fault.BUTTON_STUCK not in self.faults:
                out.append((self._down_since + rules.max_turn_s + STUCK_S, self._button_stuck))
        if answer.awaited and line.up and not answer.calls and not answer.sounding:
            out.append((answer.due, lambda: self._no_answer("no answer came")))
        if line.hopeless_at is not None:
            out.append((line.hopeless_at, self._line_too_late))
        if line.retry_at is not None:
            out.append((line.retry_at, self._connect))
        if answer.sounding:
            out.append((answer.stall_at(), self._stalled))
        if self._begun_at is not None and self._quiet():
            out.append((self._last_sound + rules.idle_timeout_s, lambda: self._finish("nobody there", "fell asleep")))
            end = self._begun_at + rules.max_conversation_s
            out.append((end, lambda: self._finish("conversation too long", "goodbye")))
        return out

    def _turn_too_long(self) -> None:
        if self.rules.manual:
            self._close_turn(None, "too long")
        else:
            self._finish("nothing to answer", "fell asleep")

    def _long_press(self) -> None:
        self._long_pressed = True
        if self.in_conversation:
            self._finish("long press", "goodbye")

    def _button_stuck(self) -> None:
        self._fault_raised(ev.FaultRaised(Fault.BUTTON_STUCK, "the button has been down for too long: is it jammed?"))

    def _no_answer(self, why: str) -> None:
        self._answer.give_up()
        self._last_sound = self._now
        self._out.append(do.Report("turn", why))
        self._signal("no answer")

    def _line_too_late(self) -> None:
        self._drop_input("the line did not come back in time; what was said has been dropped")
        if not self._line_faulty():
            self.faults[Fault.NETWORK] = "the service could not be reached"
        self._signal("offline")

    def _stalled(self) -> None:
        if self._answer.complete:
            self._sound_over(self._not_before)
        else:
            self._out.append(do.Report("turn", "the answer broke off"))
            self._play_out()

    # Steps the rules are made of.

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

    def _needs_line(self) -> bool:
        return self._turn is not None or self._answer.awaited or bool(self._texts)

    def _line_faulty(self) -> bool:
        return any(fault in self.faults for fault in OF_THE_LINE)

    def _clear(self, fault: Fault) -> None:
        if self.faults.pop(fault, None) is not None:
            self._out.append(do.Report("fault", "works again", fault))

    def _button_down(self) -> None:
        self._down_since = self._now
        self._long_pressed = False

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
        self._answer.interrupted_by_turn(self._now)
        self._turn = Turn(self.turns, self._now, held=True)
        self._listening_since = self._now
        start = max(sample - round(self.rules.pre_roll_s * SAMPLE_RATE), self._not_before, 0)
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
        self._last_sound = self._now
        if self.rules.manual:
            self._await_answer()
        self._signal("turn too long" if why == "too long" else "turn closed")
        self._send_texts()

    def _void(self, why: str) -> None:
        """Drop what was not yet sent of the person's speech; what has been sent may still be answered."""
        self._out.append(do.VoidTurns())
        spoke = self._turn is not None and self.rules.manual
        if self._turn is not None:
            self._out.append(do.Report("turn", why))
            self._last_sound = self._now
        self._turn = None
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
        self._asked = None
        self._answer.give_up()
        self._line.unwanted()
        self._last_sound = self._now

    def _await_answer(self) -> None:
        self._answer.expect(self._now + self.rules.answer_timeout_s)

    def _send_texts(self) -> None:
        """Send waiting text turns, unless a turn is being spoken: they follow it."""
        if not self._line.up or (self.rules.manual and self._turn is not None):
            return
        for text in self._texts:
            self._out.append(do.SendText(text))
            self._asked = text
            self._await_answer()
        self._texts.clear()

    def _need_line(self) -> None:
        if self._line.want(self._now):
            self._connect()

    def _connect(self) -> None:
        self._line.opening()
        self._out.append(do.Connect(resume=self.in_conversation and self._line.known))

    def _disconnect(self) -> None:
        if self._line.link is not Link.DOWN:
            self._out.append(do.Disconnect())
        self._line.closed()

    def _refused(self, fault: Fault, text: str) -> None:
        """The service will not talk to us; a person has to act."""
        if self._needs_line():
            self._drop_input("the service refused")
        self._line.closed()
        self.faults.pop(fault, None)
        self._fault_raised(ev.FaultRaised(fault, text))

    def _flush(self, by: str) -> None:
        self._out.append(do.Flush(by))
        self._answer.silence(self._now)
        self._last_sound = self._now

    def _play_out(self) -> None:
        if self._answer.play_out(self._now):
            self._out.append(do.FinishAnswer())

    def _sound_over(self, sample: int) -> None:
        self._answer.heard()
        self._not_before = max(self._not_before, sample)
        self._last_sound = self._listening_since = self._now

    def _finish(self, why: str, signal: str) -> None:
        """End the conversation: nothing of it may be sent, heard or remembered any more."""
        if self._answer.sounding:
            self._flush("end")
        self._out.append(do.VoidTurns())
        self._turn = None
        self._texts.clear()
        self._asked = None
        self._answer = Answer()
        self._begun_at = None
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
