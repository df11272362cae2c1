"""The conversation: events in, actions out, and the time of the next deadline. Pure: no clock, socket, thread or file.

    machine = Machine(rules)
    for action in machine.handle(Pressed(sample=48_000), now):
        ...
    loop.call_at(machine.deadline, lambda: run(machine.handle(Tick(), machine.deadline)))

Each event runs the one rule the table of moves names, and each deadline has one; both are made of the steps that
`steps` offers on its facts. Where an event leads is derived from the facts and held against the same table.

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

from edge_agent.conversation import actions as do
from edge_agent.conversation import events as ev
from edge_agent.conversation.moves import find
from edge_agent.conversation.rules import FAREWELL_S, OF_THE_LINE, SETTLED_BY_TRYING, STUCK_S, Rules
from edge_agent.conversation.steps import Steps
from edge_agent.errors import Fault

Deadline = tuple[float, Callable[[], None]]
"""When, and what then."""


class Machine(Steps):
    """One device's conversation.

    `jitter` gives numbers in [0, 1) and spreads reconnections; `strict` raises where a rule leads outside the table
    (tests), instead of reporting it (a device in the field goes on).
    """

    def __init__(
        self, rules: Rules, *, muted: bool = False, jitter: Callable[[], float] = random.random, strict: bool = False
    ) -> None:
        super().__init__(rules, muted=muted, jitter=jitter)
        self._strict = strict

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
        self._raise(event.fault, event.text)

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
        self._raise(Fault.BUTTON_STUCK, "the button has been down for too long: is it jammed?")

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
