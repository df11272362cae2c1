"""The rules for the connection: up, down, leaving, slow, and back; what waited goes out, what is too old is dropped."""

from __future__ import annotations

from edge_agent.conversation import actions as do
from edge_agent.conversation import events as ev
from edge_agent.conversation.healing import Rung, wait_s
from edge_agent.conversation.rules import OF_THE_LINE, SETTLED_BY_TRYING, UNSENT_S
from edge_agent.conversation.steps import Steps
from edge_agent.errors import Fault


class LifelineRules(Steps):
    """See the module's docstring."""

    def _link_up(self, event: ev.LinkUp) -> None:
        lasts_s = min(event.lasts_s, self.rules.connection_limit_s)
        remembers = event.resumed or event.retold
        self._line.opened(self._now, lasts_s=lasts_s, degraded=event.degraded, remembers=remembers)
        for fault in SETTLED_BY_TRYING:
            self._clear(fault)
        self._out.append(do.Report("connection", _how(event)))
        if not self.in_conversation:
            if not (self._prewarms() or self._to_tell.announcements):
                self._disconnect()
            return
        if self._to_tell.lost_speech:
            self._to_tell.lost_speech = False
            self._to_tell.notices.append("speech lost")
        self._line.known = True
        if self._answer.awaited or self._question.unsent_since is not None:
            self._question.unsent_since = self._now
            self._answer.due = self._now + UNSENT_S
        if self._question.unanswered_since is not None:
            self._question.unanswered_since = self._now
        self._send_texts()
        if self.rung is not Rung.NONE and not self.resendable:
            if event.retold or self.rung is Rung.REOPEN:
                self._out.append(do.Nudge())  # the story, or what was resumed, ends with the question
            else:
                self._no_answer("the question is lost")

    def _link_down(self, event: ev.LinkDown) -> None:
        self._line.lost(self._now)
        self._out.append(do.Report("connection", event.text, event.fault))
        self._answer.cut_off()
        self._play_out()
        self._ask_again()
        if event.final:
            self._refused(event.fault or Fault.SERVICE, event.text)
            return
        self._failure = None if event.fault is None else (event.fault, event.text)
        if self._question.unmet and self._turn is None and self.resendable:
            self._question.unsent_since = self._now  # whether the service has heard it nobody knows
        if event.fault is not None and event.fault in OF_THE_LINE:
            self._note(event.fault, event.text)
        if self._needs_line():
            self._line.wanted_since = self._line.wanted_since or self._now
        else:
            self._out.append(do.Settle())  # nobody waits for an answer to what was sent
        if self.in_conversation or self._prewarms() or self._line_faulty() or self._to_tell.announcements:
            self._line.retry(self._now, wait_s=event.wait_s)

    def _line_leaving(self, event: ev.LineLeaving) -> None:
        self._line.leave(event.time_left_s, self._now)

    def _snapshot(self, event: ev.Snapshot) -> None:
        self._line.snapshot = event.resumable

    def _network_back(self, _event: ev.NetworkBack) -> None:
        self._line.hurry(self._now)
        if self._line.up:
            self._line.leave(0.0, self._now)  # it was made over a network that may no longer be there

    def _line_slow(self, _event: ev.LineSlow) -> None:
        if self._turn is None:
            self._signal("slow line")
        elif self.rules.manual:
            self._to_tell.slow_line = True
        else:
            self._close_turn(None, "slow line")
            self._signal("slow line")

    def _question_sent(self, _event: ev.QuestionSent) -> None:
        self._question.unsent_since = None
        if self._ear is not None and self._ear.by == "answer":
            self._ear.until = max(self._ear.until, self._follow_up_until())
        if self._answer.awaited:  # a model that only works on takes its time
            self._answer.due = self._now + wait_s(self.rung, self.rules.answer_timeout_s)

    # Deadlines.

    def _line_too_old(self) -> None:
        self._line.leave(0.0, self._now)

    def _line_too_late(self) -> None:
        self._to_tell.lost_speech = self._to_tell.lost_speech or self._spoke_to_the_line()
        self._drop_input("the line did not come back in time; what was said has been dropped")
        fault, text = self._failure or (Fault.NETWORK, "the service could not be reached")
        self._note(fault, text)
        if fault is Fault.NETWORK:
            self._signal("offline")
        elif fault is Fault.CLOCK:
            self._signal("waiting for clock")
        else:
            self._signal("fault", fault)


def _how(event: ev.LinkUp) -> str:
    if event.degraded:
        return "degraded: one question and answer at a time"
    return "resumed" if event.resumed else "open, told the story so far" if event.retold else "open"
