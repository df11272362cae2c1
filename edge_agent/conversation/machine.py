"""The conversation: events in, actions out, and the time of the next deadline. Pure: no clock, socket, thread or file.

    machine = Machine(rules)
    for action in machine.handle(Pressed(sample=48_000), now):
        ...
    loop.call_at(machine.deadline, lambda: run(machine.handle(Tick(), machine.deadline)))

Each event runs the one rule the table of moves names, and each deadline has one: `person` holds the rules for what
people do, `listening` for what the device hears by itself, `answering` for what the service says, `lifeline` for the
connection, `household` for the rest. All are made of the steps in `steps`. Where an event leads is derived from the
facts (`facts`) and held against the same table.

Turn-taking:

- *push-to-talk* (`rules.manual`): the press opens a turn from `sample - pre_roll`; a release after `tap_s` ends it, an
  earlier one leaves it open until the next press. While the turn is open every answer sound is an old answer's.
- *open microphone*: the press opens one long turn and the server finds the sentences in it; a press over the answer
  silences it, a press while listening ends the turn, a long press ends the conversation.
- *open ears* (`rules.local_voice`): as the open microphone, but a press or the wake word only makes the device listen;
  a turn opens when somebody speaks, and closes after the answer.
- *hook*: lifting the handset presses, hanging up ends the conversation.

The pre-roll never reaches back into the device's own voice, into an earlier turn or conversation, or before a mute.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable

from edge_agent.conversation import actions as do
from edge_agent.conversation import events as ev
from edge_agent.conversation.answering import AnsweringRules
from edge_agent.conversation.household import HouseholdRules
from edge_agent.conversation.lifeline import LifelineRules
from edge_agent.conversation.listening import ListeningRules
from edge_agent.conversation.moves import find
from edge_agent.conversation.person import PersonRules
from edge_agent.conversation.rules import STUCK_S, UNSENT_S, Rules
from edge_agent.errors import Fault

Deadline = tuple[float, Callable[[], None]]
"""When, and what then."""
PAUSE_S = 10.0  # with the open microphone: words were understood, and for so long nothing came of them


class Machine(PersonRules, ListeningRules, AnsweringRules, LifelineRules, HouseholdRules):
    """One device's conversation.

    `jitter` gives numbers in [0, 1) and spreads reconnections; `strict` raises where a rule leads outside the table
    (tests), instead of reporting it (a device in the field goes on). `known_until`: until when the conversation before
    the last restart may be gone on with, on the clock of `handle`.
    """

    def __init__(
        self,
        rules: Rules,
        *,
        muted: bool = False,
        jitter: Callable[[], float] = random.random,
        strict: bool = False,
        known_until: float = 0.0,
    ) -> None:
        super().__init__(rules, muted=muted, jitter=jitter, known_until=known_until)
        self._strict = strict

    @property
    def deadline(self) -> float | None:
        """When the next `Tick` is due, on the clock of `handle`; None if nothing is pending."""
        return min((at for at, _ in self._deadlines()), default=None)

    def handle(self, event: ev.Event, now: float) -> list[do.Action]:
        """Take one event and return what is to be done, in order. Never raises for any event in any state."""
        self._now = now
        self._out = []
        shown = self.shown_state
        move = find(self.state, event)
        if move is None:
            return [do.Report("ignored", f"{type(event).__name__} while {self.state}")]
        getattr(self, move.rule)(event)
        self._afterwards()
        state = self._derive()
        if state not in move.to:
            complaint = f"{move.rule} on {type(event).__name__} leads from {self.state} to {state}"
            if self._strict:
                raise AssertionError(complaint)
            self._out.append(do.Report("defect", complaint))
        self.state = state
        if self.shown_state != shown:
            self.why = self._reason() or move.why
        self._show()
        return self._out

    def _afterwards(self) -> None:
        """Do what any event may have made possible."""
        if self._started:
            self._quiet_moment()
        if not self.attentive:
            self._attention.voice = False  # nobody is asked any more, so nobody will tell of its end
        self._question.speech_unsent = self._question.speech_unsent and self._question.unsent_since is not None
        change_at = self._change_due()
        if change_at is not None and change_at <= self._now:
            self._change_line()
        if self._held_back is not self._holding():
            self._held_back = not self._held_back
            self._out.append(do.Hold(self._held_back))

    def _tick(self, _event: ev.Tick) -> None:
        for _ in range(8):  # one deadline may settle or raise another; a handful is the most that can follow
            due = [(at, rule) for at, rule in self._deadlines() if at <= self._now]
            if not due:
                return
            min(due, key=lambda entry: entry[0])[1]()

    def _nobody_there(self) -> None:
        self._finish("nobody there", "" if self.rules.local_voice else "fell asleep")

    # Deadlines: when, and what then.

    def _deadlines(self) -> list[Deadline]:
        return self._deadlines_of_the_person() + self._deadlines_of_the_line() + self._deadlines_of_the_answer()

    def _deadlines_of_the_ears(self) -> list[Deadline]:
        ear = self._ear
        if ear is None:
            return []
        cue: list[Deadline] = [] if ear.cue_at is None else [(ear.cue_at, self._wake_cue)]
        return [*cue, (ear.until, self._nobody_spoke)] if self._quiet() else cue

    def _deadlines_of_the_person(self) -> list[Deadline]:
        rules, turn = self.rules, self._turn
        out = self._deadlines_of_the_ears()
        if turn is not None and not self._answer.sounding:
            since = turn.opened_at if rules.manual else self._attention.listening_since
            out.append((since + (turn.most_s or rules.max_turn_s), self._turn_too_long))
            if rules.local_voice and not (self._attention.voice or self._owed_an_answer() or self._ending is not None):
                out.append((self._hush_at(), self._fell_silent))
        if self._button.down_since is not None and not rules.hook:
            if self._button.may_be_long:
                out.append((self._button.down_since + rules.long_press_s, self._long_press))
            if Fault.BUTTON_STUCK not in self.faults:
                out.append((self._button.down_since + rules.max_turn_s + STUCK_S, self._button_stuck))
        if (
            (self._to_tell.notices or self._to_tell.announcements)
            and self._quiet()
            and self._listener_free_at() > self._now
        ):
            out.append((self._listener_free_at(), self._quiet_moment))
        if self._begun_at is not None and self._quiet() and self._line.wanted_since is None:
            if self._ear is None:
                out.append((self._attention.last_sound + rules.idle_timeout_s, self._nobody_there))
            end = self._begun_at + rules.max_conversation_s
            out.append((end, lambda: self._finish("conversation too long", "conversation too long")))
        return out

    def _deadlines_of_the_line(self) -> list[Deadline]:
        line = self._line
        out: list[Deadline] = []
        if line.hopeless_at is not None:
            out.append((line.hopeless_at, self._line_too_late))
        if line.retry_at is not None:
            out.append((line.retry_at, self._connect))
        if line.up and not line.leaving and line.change_at < math.inf:
            out.append((line.change_at, self._line_too_old))
        if self._question.unsent_since is not None and line.up:
            out.append((self._question.unsent_since + UNSENT_S, lambda: self._void("it could not be sent")))
        change_at = self._change_due()
        if change_at is not None:
            out.append((change_at, self._change_line))
        if line.remembers and not self.in_conversation:
            out.append((self._known_until, self._change_line))
        return out

    def _deadlines_of_the_answer(self) -> list[Deadline]:
        answer = self._answer
        if answer.sounding:
            return [(answer.stall_at(continuous=self.rules.continuous), self._stalled)]
        out: list[Deadline] = []
        if (answer.awaited or answer.working) and self._line.up and not answer.calls:
            out.append((answer.due, self._no_sign))
        if self._question.unanswered_since is not None and self._line.up and not answer.pending:
            out.append((self._question.unanswered_since + PAUSE_S, self._nobody_answers))
        if self._ending is not None and not answer.calls:
            out.append((self._ending, lambda: self._finish("ended", "goodbye")))
        return out
