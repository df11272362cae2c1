"""The conversation: events in, actions out, and the time of the next deadline. Pure: no clock, socket, thread or file.

    machine = Machine(rules)
    for action in machine.handle(Pressed(sample=48_000), now):
        ...
    loop.call_at(machine.deadline, lambda: run(machine.handle(Tick(), machine.deadline)))

The machine keeps a few plain facts (is a turn open, is the link up, is an answer sounding, ...) and derives the state
from them in one place (`_derive`), so that facts and state cannot disagree. Each event runs the one rule the table of
moves names; where it leads is held against the same table.

Turn-taking:

- *push-to-talk* (`rules.manual`): the press opens a turn from `sample - pre_roll`; a release after `tap_s` ends it, an
  earlier one leaves it open until the next press. While the turn is open every answer sound is an old answer's.
- *open microphone*: the press opens one long turn and the server finds the sentences in it; a press over the answer
  silences it, a press while listening ends the turn, a long press ends the conversation.
- *hook*: lifting the handset presses, hanging up ends the conversation.

After a flush the rest of the stopped answer is dropped until the server's turn is over, or nothing of it has come for
`DISCARD_S`; so the next answer is never swallowed.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from edge_agent.conversation import actions as do
from edge_agent.conversation import events as ev
from edge_agent.conversation import indicator
from edge_agent.conversation.moves import State, find
from edge_agent.errors import Fault

SAMPLE_RATE = 16_000  # capture samples per second
DISCARD_S = 1.5  # a stopped answer's tail is at most this far apart; longer silence means a new answer
LINK_PATIENCE_S = 15.0  # speech older than this is not sent any more, so the person is told
STALL_S = 5.0  # an answer that stops in mid-sentence is given up after this
DRAIN_S = 2.0  # the loudspeaker reports the end of an answer at most this late
STUCK_S = 15.0  # a button still down this long after its turn was ended is stuck
BACKOFF_FIRST_S, BACKOFF_MOST_S = 0.5, 30.0  # full jitter between nothing and the doubled bound

BLOCKING = (Fault.BUTTON_STUCK, Fault.MICROPHONE, Fault.CREDENTIAL, Fault.SERVICE, Fault.LIMIT, Fault.POWER)
"""Faults a device at rest shows as its state, the first that holds."""
SETTLED_BY_TRYING = (Fault.CREDENTIAL, Fault.SERVICE, Fault.LIMIT, Fault.NETWORK, Fault.CLOCK)
"""Faults that a new press puts to the test again."""


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
    """The open turn."""

    number: int
    opened_at: float
    held: bool


class Link:
    """The three things a connection can be."""

    DOWN, OPENING, UP = "down", "opening", "up"


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
        self._jitter = jitter
        self._strict = strict
        self._now = 0.0
        self._out: list[do.Action] = []
        self._started = False
        self._turn: Turn | None = None
        self._down_since: float | None = None
        self._long_pressed = False
        self._not_before = 0
        self._link = Link.DOWN
        self._attempts = 0
        self._reconnect_at: float | None = None
        self._waiting_since: float | None = None
        self._begun_at: float | None = None
        self._had_link = False
        self._last_sound = 0.0
        self._listening_since = 0.0
        self._texts: list[str] = []
        self._awaiting = False
        self._superseding = False
        self._answer_by = 0.0
        self._calls = 0
        self._working = False
        self._server_turn = False
        self._discard_until: float | None = None
        self._sounding = False
        self._finished = False
        self._play_until = 0.0

    @property
    def turn_open(self) -> bool:
        """True while microphone sound is admitted."""
        return self._turn is not None

    @property
    def connected(self) -> bool:
        """True while the link is up."""
        return self._link == Link.UP

    @property
    def fault(self) -> Fault | None:
        """The fault to show: the first blocking one, else any."""
        for fault in BLOCKING:
            if fault in self.faults:
                return fault
        return min(self.faults, default=None)

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
            self.why = move.why
        self._show()
        return self._out

    # Rules, one for each row of the table of moves.

    def _ready(self, _event: ev.Ready) -> None:
        self._started = True
        self._signal("ready")
        if self.rules.prewarm:
            self._connect(resume=False)

    def _fault_raised(self, event: ev.FaultRaised) -> None:
        news = event.fault not in self.faults
        self.faults[event.fault] = event.text
        self._out.append(do.Report("fault", event.text, event.fault))
        if event.fault is Fault.MICROPHONE and self._turn is not None:
            self._void("microphone lost")
        if news and self._started:
            self._signal("fault", event.fault)

    def _fault_cleared(self, event: ev.FaultCleared) -> None:
        if self.faults.pop(event.fault, None) is not None:
            self._out.append(do.Report("fault", "works again", event.fault))

    def _press_to_talk(self, event: ev.Pressed) -> None:
        self._button_down()
        if self._may_talk():
            self._open_turn(event.sample)

    def _press_again(self, event: ev.Pressed) -> None:
        self._button_down()
        if self._turn is None:
            if self._may_talk():
                self._open_turn(event.sample)
        elif not self.rules.hook and not (self.rules.manual and self._turn.held):
            self._close_turn(event.sample, "tapped again")

    def _press_over_answer(self, event: ev.Pressed) -> None:
        self._button_down()
        sounding = self._sounding
        if sounding:
            self._flush()
            self._not_before = event.sample
        if self._turn is not None:
            self._listening_since = self._last_sound = self._now
        elif self._may_talk():
            self._open_turn(event.sample)

    def _release(self, event: ev.Released) -> None:
        held_for = self._now - self._down_since if self._down_since is not None else 0.0
        self._down_since = None
        self._long_pressed = False
        self._fault_cleared(ev.FaultCleared(Fault.BUTTON_STUCK))
        if self.rules.hook:
            if self._begun_at is not None:
                self._finish("hung up", "goodbye")
        elif self.rules.manual and self._turn is not None and self._turn.held:
            if held_for >= self.rules.tap_s:
                self._close_turn(event.sample, "released")
            else:
                self._turn.held = False

    def _mute(self, event: ev.Muted) -> None:
        self.muted = True
        self._not_before = max(self._not_before, event.sample)
        if self._turn is not None or (self._awaiting and self._link != Link.UP):
            self._void("muted")
        else:
            self._out.append(do.VoidTurns())
        if self._started:
            self._signal("muted")

    def _unmute(self, _event: ev.Unmuted) -> None:
        if self.muted and self._started:
            self._signal("unmuted")
        self.muted = False

    def _ask(self, event: ev.TextAsked) -> None:
        self._begin()
        self._try_again()
        if self._sounding:
            self._flush()
        self._texts.append(event.text)
        if self._turn is None or not self.rules.manual:
            self._await_answer()
        self._need_link()
        self._send_texts()

    def _end(self, _event: ev.EndAsked) -> None:
        if self._begun_at is not None:
            self._finish("ended", "goodbye")

    def _link_up(self, event: ev.LinkUp) -> None:
        self._link = Link.UP
        self._attempts = 0
        self._reconnect_at = self._waiting_since = None
        for fault in (Fault.NETWORK, Fault.CLOCK):
            self._fault_cleared(ev.FaultCleared(fault))
        self._out.append(do.Report("connection", "resumed" if event.resumed else "open"))
        if self._begun_at is None and not self.rules.prewarm:
            self._disconnect()
            return
        self._had_link = True
        self._answer_by = self._now + self.rules.answer_timeout_s
        self._send_texts()

    def _link_down(self, event: ev.LinkDown) -> None:
        self._link = Link.DOWN
        self._out.append(do.Report("connection", event.text, event.fault))
        self._server_turn = self._working = False
        self._discard_until = None
        self._calls = 0
        if self._sounding:
            self._finish_answer()
        if event.final:
            self._give_up(event.fault or Fault.SERVICE, event.text)
            return
        if event.fault in {Fault.NETWORK, Fault.CLOCK} and event.fault is not None:
            self.faults[event.fault] = event.text
        if self._begun_at is None and not self.rules.prewarm and not self._line_fault():
            return
        bound = min(BACKOFF_MOST_S, BACKOFF_FIRST_S * 2.0**self._attempts)
        self._reconnect_at = self._now + self._jitter() * bound
        if self._needs_link() and self._waiting_since is None:
            self._waiting_since = self._now

    def _answer_audio(self, event: ev.AnswerAudio) -> None:
        if self._begun_at is None:
            return
        self._server_turn = True
        talking = self.rules.manual and self._turn is not None
        if talking or (self._discard_until is not None and self._now < self._discard_until):
            self._discard_until = self._now + DISCARD_S
            return
        self._discard_until = None
        self._awaiting = self._superseding = False
        self._sounding, self._finished = True, False
        self._play_until = max(self._play_until, self._now) + event.ms / 1000
        self._out.append(do.Play())

    def _answer_generated(self, _event: ev.AnswerGenerated) -> None:
        if self._sounding and self._discard_until is None:
            self._finish_answer()

    def _answer_done(self, event: ev.AnswerDone) -> None:
        self._server_turn = False
        self._working = not event.idle and self._begun_at is not None
        if self._discard_until is not None:
            self._discard_until = None
            return
        if self._sounding:
            self._finish_answer()
        elif self._superseding:
            self._superseding = False
        elif self._awaiting and not self._working and not self._calls and self._link == Link.UP:
            self._no_answer("the answer was empty")

    def _interrupted(self, _event: ev.Interrupted) -> None:
        self._listening_since = self._last_sound = self._now
        if self._sounding:
            self._flush()
        elif self._server_turn:
            self._discard_until = self._now + DISCARD_S

    def _heard(self, _event: ev.Heard) -> None:
        self._last_sound = self._now

    def _tools_called(self, event: ev.ToolsCalled) -> None:
        if self._begun_at is not None:
            self._calls += event.count

    def _tools_settled(self, event: ev.ToolsSettled) -> None:
        self._calls = max(0, self._calls - event.count)
        self._answer_by = self._now + self.rules.answer_timeout_s
        self._last_sound = self._now

    def _playback_ended(self, event: ev.PlaybackEnded) -> None:
        if not self._sounding or not self._finished:
            return
        self._sound_over(event.sample)

    def _tick(self, _event: ev.Tick) -> None:
        due = [rule for at, rule in self._deadlines() if at <= self._now]
        for rule in due:
            if any(rule == still for at, still in self._deadlines() if at <= self._now):
                rule()

    # Deadlines: when, and what then.

    def _deadlines(self) -> list[tuple[float, Callable[[], None]]]:
        rules = self.rules
        out: list[tuple[float, Callable[[], None]]] = []
        if self._turn is not None and not self._sounding:
            since = self._turn.opened_at if rules.manual else self._listening_since
            out.append((since + rules.max_turn_s, self._turn_too_long))
        if self._down_since is not None and not rules.hook:
            if not rules.manual and not self._long_pressed:
                out.append((self._down_since + rules.long_press_s, self._long_press))
            if Fault.BUTTON_STUCK not in self.faults:
                out.append((self._down_since + rules.max_turn_s + STUCK_S, self._button_stuck))
        if self._awaiting and self._link == Link.UP and not self._calls and not self._sounding:
            out.append((self._answer_by, lambda: self._no_answer("no answer came")))
        if self._waiting_since is not None:
            out.append((self._waiting_since + LINK_PATIENCE_S, self._line_too_late))
        if self._reconnect_at is not None:
            out.append((self._reconnect_at, self._reconnect))
        if self._sounding:
            patience = DRAIN_S if self._finished else STALL_S
            out.append((self._play_until + patience, self._stalled))
        if self._begun_at is not None and self._quiet():
            out.append((self._last_sound + rules.idle_timeout_s, lambda: self._finish("nobody there", "fell asleep")))
            out.append(
                (self._begun_at + rules.max_conversation_s, lambda: self._finish("conversation too long", "goodbye"))
            )
        return out

    def _turn_too_long(self) -> None:
        if self.rules.manual:
            self._close_turn(None, "too long")
            self._signal("turn too long")
        else:
            self._finish("nothing to answer", "fell asleep")

    def _long_press(self) -> None:
        self._long_pressed = True
        if self._begun_at is not None:
            self._finish("long press", "goodbye")

    def _button_stuck(self) -> None:
        self._fault_raised(ev.FaultRaised(Fault.BUTTON_STUCK, "the button has been down for too long: is it jammed?"))

    def _no_answer(self, why: str) -> None:
        self._awaiting = self._superseding = False
        self._last_sound = self._now
        self._out.append(do.Report("turn", why))
        self._signal("no answer")

    def _line_too_late(self) -> None:
        self._waiting_since = None
        self._drop_input("the line did not come back in time; what was said has been dropped")
        if not self._line_fault():
            self.faults[Fault.NETWORK] = "the service could not be reached"
        self._signal("offline")

    def _reconnect(self) -> None:
        self._reconnect_at = None
        self._attempts += 1
        self._connect(resume=self._begun_at is not None and self._had_link)

    def _stalled(self) -> None:
        if self._finished:
            self._sound_over(self._not_before)
        else:
            self._out.append(do.Report("turn", "the answer broke off"))
            self._finish_answer()

    # Steps the rules are made of.

    def _derive(self) -> State:
        if not self._started:
            return State.STARTING
        up = self._link == Link.UP
        if self._sounding:
            return State.SPEAKING
        if self._turn is not None:
            waits_for_text = self._awaiting and not self.rules.manual
            return (State.THINKING if waits_for_text or self._calls else State.LISTENING) if up else State.CONNECTING
        if self._awaiting or self._calls or self._working or self._texts:
            return State.THINKING if up else State.CONNECTING
        if any(fault in self.faults for fault in BLOCKING):
            return State.FAULT
        if Fault.CLOCK in self.faults:
            return State.WAITING_FOR_CLOCK
        return State.OFFLINE if Fault.NETWORK in self.faults else State.IDLE

    def _quiet(self) -> bool:
        """Nothing sounds, nothing is waited for, and no turn is held open by hand."""
        waiting = self._sounding or self._awaiting or self._calls or self._working or self._texts
        return not waiting and (self._turn is None or not self.rules.manual)

    def _needs_link(self) -> bool:
        return self._turn is not None or self._awaiting or bool(self._texts)

    def _line_fault(self) -> bool:
        return Fault.NETWORK in self.faults or Fault.CLOCK in self.faults

    def _may_talk(self) -> bool:
        """Say why not, where the microphone cannot be heard."""
        if self.muted:
            self._signal("pressed while muted")
        elif Fault.MICROPHONE in self.faults:
            self._signal("fault", Fault.MICROPHONE)
        elif Fault.BUTTON_STUCK not in self.faults:
            return True
        return False

    def _button_down(self) -> None:
        self._down_since = self._now
        self._long_pressed = False

    def _begin(self) -> None:
        if self._begun_at is None:
            self._begun_at = self._now
            self._had_link = self._link == Link.UP
        self._last_sound = self._now

    def _try_again(self) -> None:
        """Forget the faults that only a new try can settle."""
        for fault in SETTLED_BY_TRYING:
            self.faults.pop(fault, None)

    def _open_turn(self, sample: int) -> None:
        self._begin()
        self._try_again()
        self.turns += 1
        if self._server_turn:
            self._discard_until = self._now + DISCARD_S
        self._superseding = self._superseding or self._awaiting
        self._awaiting = self._working = False
        self._turn = Turn(self.turns, self._now, held=self._down_since is not None)
        self._listening_since = self._now
        start = max(sample - round(self.rules.pre_roll_s * SAMPLE_RATE), self._not_before, 0)
        self._out.append(do.OpenTurn(self.turns, min(start, sample)))
        self._out.append(do.Report("turn", "opened"))
        self._need_link()
        self._signal("turn opened")

    def _close_turn(self, sample: int | None, why: str) -> None:
        """End the open turn at `sample`, or where capture stands now (None)."""
        turn = self._turn
        if turn is None:
            return
        self._turn = None
        self._out.append(do.CloseTurn(turn.number, sample))
        self._out.append(do.Report("turn", why))
        if sample is not None:
            self._not_before = max(self._not_before, sample)
        self._last_sound = self._now
        if self.rules.manual:
            self._await_answer()
        if why != "too long":
            self._signal("turn closed")
        self._send_texts()

    def _void(self, why: str) -> None:
        """Drop what was not yet sent of the person's speech; what has been sent may still be answered."""
        self._out.append(do.VoidTurns())
        if self._turn is not None:
            self._out.append(do.Report("turn", why))
            self._last_sound = self._now
        spoke = self._turn is not None and self.rules.manual
        self._turn = None
        if self._link == Link.UP:
            if spoke:
                self._await_answer()
        elif not self._texts:
            self._awaiting = False
            self._waiting_since = None

    def _drop_input(self, why: str) -> None:
        self._out.append(do.VoidTurns())
        self._out.append(do.Report("turn", why))
        self._turn = None
        self._texts.clear()
        self._awaiting = self._superseding = False
        self._last_sound = self._now

    def _await_answer(self) -> None:
        self._awaiting = True
        self._answer_by = self._now + self.rules.answer_timeout_s

    def _send_texts(self) -> None:
        if self._link != Link.UP or (self.rules.manual and self._turn is not None):
            return
        for text in self._texts:
            self._out.append(do.SendText(text))
        if self._texts:
            self._await_answer()
        self._texts.clear()

    def _need_link(self) -> None:
        if self._link == Link.UP:
            return
        if self._waiting_since is None:
            self._waiting_since = self._now
        if self._link == Link.DOWN:
            self._reconnect_at = None
            self._attempts = 0
            self._connect(resume=self._had_link)

    def _connect(self, *, resume: bool) -> None:
        self._link = Link.OPENING
        self._out.append(do.Connect(resume=resume))

    def _disconnect(self) -> None:
        if self._link != Link.DOWN:
            self._out.append(do.Disconnect())
        self._link = Link.DOWN
        self._reconnect_at = self._waiting_since = None
        self._attempts = 0

    def _give_up(self, fault: Fault, text: str) -> None:
        """The service will not talk to us; a person has to act."""
        if self._needs_link():
            self._drop_input("the service refused")
        self._reconnect_at = self._waiting_since = None
        self.faults.pop(fault, None)
        self._fault_raised(ev.FaultRaised(fault, text))

    def _flush(self) -> None:
        self._out.append(do.Flush())
        self._sounding = False
        self._finished = False
        self._play_until = self._now
        self._last_sound = self._now
        self._discard_until = self._now + DISCARD_S if self._server_turn else None

    def _finish_answer(self) -> None:
        if not self._finished:
            self._finished = True
            self._play_until = max(self._play_until, self._now)
            self._out.append(do.FinishAnswer())

    def _sound_over(self, sample: int) -> None:
        self._sounding = False
        self._not_before = max(self._not_before, sample)
        self._last_sound = self._listening_since = self._now

    def _finish(self, why: str, signal: str) -> None:
        """End the conversation: nothing of it may be sent, heard or remembered any more."""
        if self._sounding:
            self._flush()
        self._out.append(do.VoidTurns())
        self._turn = None
        self._texts.clear()
        self._awaiting = self._superseding = self._working = self._server_turn = False
        self._discard_until = None
        self._calls = 0
        self._begun_at = None
        self._had_link = False
        self._disconnect()
        self._out.append(do.Wipe())
        self._out.append(do.Report("conversation", why))
        self._signal(signal)
        if self.rules.prewarm:
            self._connect(resume=False)

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
