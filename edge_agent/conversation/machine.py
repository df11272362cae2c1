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

The pre-roll never reaches back into the device's own voice, into an earlier turn or conversation, or before a mute.
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
FAREWELL_S = 5.0  # a model that wants to end the conversation begins its last words within this

BLOCKING = (Fault.BUTTON_STUCK, Fault.MICROPHONE, Fault.CREDENTIAL, Fault.SERVICE, Fault.LIMIT, Fault.POWER)
"""Faults a device at rest shows as its state, the first that holds."""
SETTLED_BY_TRYING = (Fault.CREDENTIAL, Fault.SERVICE, Fault.LIMIT, Fault.NETWORK, Fault.CLOCK)
"""Faults that a new press puts to the test again, and that are over when a connection opens."""
OF_THE_LINE = (Fault.NETWORK, Fault.CLOCK)
"""Faults that are tried to mend again and again, also at rest."""


Deadline = tuple[float, Callable[[], None]]
"""When, and what then."""


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
        if self._line.leaving and self._line.up and self._calm():
            self._change_line()
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
        if not news or not self._started:
            return
        if self._turn is not None and self.rules.manual:
            self._unsaid.append(event.fault)  # not into what the person is saying
        else:
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

    def _unmute(self, event: ev.Unmuted) -> None:
        if not self.muted:
            return
        self.muted = False
        self._not_before = max(self._not_before, event.sample)
        if self._started:
            self._signal("unmuted")
            if self.rules.hook and self._down_since is not None and self._turn is None:
                self._talk(event.sample)

    def _ask(self, event: ev.TextAsked) -> None:
        self._begin()
        self._ending = None
        if self._answer.sounding:
            self._flush("text")
        self._texts.append(event.text)
        self._need_line()
        self._send_texts()

    def _end(self, _event: ev.EndAsked) -> None:
        if self.in_conversation:
            self._finish("ended", "goodbye")

    def _end_wished(self, _event: ev.EndWished) -> None:
        speaking = self._turn is not None and self.rules.manual
        if self.in_conversation and not speaking:
            self._ending = self._now + FAREWELL_S

    def _link_up(self, event: ev.LinkUp) -> None:
        self._line.opened(self._now)
        for fault in SETTLED_BY_TRYING:
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
        self._line.lost(self._now)
        self._out.append(do.Report("connection", event.text, event.fault))
        self._answer.cut_off()
        self._play_out()
        if self._asked:
            self._texts[:0] = self._asked
            self._asked.clear()
            self._answer.give_up()
        if event.final:
            self._refused(event.fault or Fault.SERVICE, event.text)
            return
        self._failure = None if event.fault is None else (event.fault, event.text)
        if event.fault is not None and event.fault in OF_THE_LINE:
            self._note(event.fault, event.text)
        if self.in_conversation or self.rules.prewarm or self._line_faulty():
            self._line.retry(self._now)
        if self._needs_line():
            self._line.wanted_since = self._line.wanted_since or self._now

    def _line_leaving(self, _event: ev.LineLeaving) -> None:
        self._line.leaving = self._line.up

    def _line_slow(self, _event: ev.LineSlow) -> None:
        if self._turn is None:
            self._signal("slow line")
        elif self.rules.manual:
            self._slow = True
        else:
            self._close_turn(None, "slow line")
            self._signal("slow line")

    def _answer_audio(self, event: ev.AnswerAudio) -> None:
        if not self.in_conversation:
            return
        if event.ms <= 0:
            self._answer.progress(self._now, self.rules.answer_timeout_s)
            return
        talking = self.rules.manual and self._turn is not None
        if self._answer.arrived(event.ms / 1000, self._now, talking=talking):
            self._asked.clear()
            self._out.append(do.Play())

    def _answer_progress(self, _event: ev.AnswerProgress) -> None:
        self._answer.progress(self._now, self.rules.answer_timeout_s)

    def _answer_generated(self, _event: ev.AnswerGenerated) -> None:
        if not self._answer.stopped:
            self._play_out()

    def _answer_done(self, event: ev.AnswerDone) -> None:
        answer = self._answer
        if not answer.turn_over(self._now, idle=event.idle or not self.in_conversation):
            return
        self._last_sound = self._now
        if answer.sounding:
            self._play_out()
        elif answer.working or answer.calls:
            return
        elif self._ending is not None:
            self._finish("ended", "goodbye")
        elif answer.awaited and self._line.up:
            self._no_answer("the answer was empty")

    def _work_done(self, _event: ev.WorkDone) -> None:
        if self._answer.working:
            self._answer_done(ev.AnswerDone())

    def _interrupted(self, _event: ev.Interrupted) -> None:
        self._ending = None
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
        self._answer.progress(self._now, self.rules.answer_timeout_s)
        self._last_sound = self._now
        if self._ending is not None:
            self._ending = self._now + FAREWELL_S

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

    def _deadlines(self) -> list[Deadline]:
        rules, line = self.rules, self._line
        out: list[Deadline] = []
        if self._turn is not None and not self._answer.sounding:
            since = self._turn.opened_at if rules.manual else self._listening_since
            out.append((since + rules.max_turn_s, self._turn_too_long))
        if self._down_since is not None and not rules.hook:
            if not rules.manual and self._may_long_press:
                out.append((self._down_since + rules.long_press_s, self._long_press))
            if Fault.BUTTON_STUCK not in self.faults:
                out.append((self._down_since + rules.max_turn_s + STUCK_S, self._button_stuck))
        if line.hopeless_at is not None:
            out.append((line.hopeless_at, self._line_too_late))
        if line.retry_at is not None:
            out.append((line.retry_at, self._connect))
        if self._begun_at is not None and self._quiet():
            out.append((self._last_sound + rules.idle_timeout_s, lambda: self._finish("nobody there", "fell asleep")))
            end = self._begun_at + rules.max_conversation_s
            out.append((end, lambda: self._finish("conversation too long", "conversation too long")))
        return out + self._deadlines_of_the_answer()

    def _deadlines_of_the_answer(self) -> list[Deadline]:
        answer = self._answer
        if answer.sounding:
            return [(answer.stall_at(), self._stalled)]
        out: list[Deadline] = []
        if (answer.awaited or answer.working) and self._line.up and not answer.calls:
            out.append((answer.due, lambda: self._no_answer("no answer came")))
        if self._ending is not None and not answer.calls:
            out.append((self._ending, lambda: self._finish("ended", "goodbye")))
        return out

    def _turn_too_long(self) -> None:
        self._close_turn(None, "too long")

    def _long_press(self) -> None:
        self._may_long_press = False
        if self.in_conversation:
            self._finish("long press", "goodbye")

    def _button_stuck(self) -> None:
        self._fault_raised(ev.FaultRaised(Fault.BUTTON_STUCK, "the button has been down for too long: is it jammed?"))

    def _no_answer(self, why: str) -> None:
        self._answer.give_up()
        self._asked.clear()
        self._last_sound = self._now
        self._out.append(do.Settle())
        self._out.append(do.Report("turn", why))
        self._signal("no answer")

    def _line_too_late(self) -> None:
        self._drop_input("the line did not come back in time; what was said has been dropped")
        fault, text = self._failure or (Fault.NETWORK, "the service could not be reached")
        self._note(fault, text)
        if fault is Fault.NETWORK:
            self._signal("offline")
        elif fault is Fault.CLOCK:
            self._signal("waiting for clock")
        else:
            self._signal("fault", fault)

    def _stalled(self) -> None:
        if self._answer.complete:
            self._sound_over(self._not_before)
            return
        if not self._answer.calls and not self._answer.working:
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

    def _calm(self) -> bool:
        """Nobody would notice if the connection were changed for another."""
        return self._quiet() and not self._answer.arriving

    def _needs_line(self) -> bool:
        return self._turn is not None or self._answer.awaited or bool(self._texts)

    def _line_faulty(self) -> bool:
        return any(fault in self.faults for fault in OF_THE_LINE)

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
        self._fault_raised(ev.FaultRaised(fault, text))

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
