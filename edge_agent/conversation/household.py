"""The rules for what comes from the house around the talk: announcements, alarms, budgets, broken parts.

None of it cuts into what a person or the service is saying: an announcement and a notice wait for a quiet moment, a
budget that is used up lets the answer be heard to its end. Only an alarm rings at once.
"""

from __future__ import annotations

from edge_agent.conversation import actions as do
from edge_agent.conversation import events as ev
from edge_agent.conversation.line import Link
from edge_agent.conversation.rules import SETTLED_BY_TRYING
from edge_agent.conversation.steps import Steps
from edge_agent.conversation.to_tell import Announcement
from edge_agent.errors import Fault

ANNOUNCE = "Say exactly these words to the person, in their own language and as they stand, and nothing else: {text}"
NO_USE = frozenset({*SETTLED_BY_TRYING, Fault.MICROPHONE})
"""While one of these holds, nobody could be heard after an announcement: the device's own voice speaks it."""


class HouseholdRules(Steps):
    """See the module's docstring."""

    def _ready(self, _event: ev.Ready) -> None:
        self._started = True
        self._signal("ready")
        if self._prewarms():
            self._connect()

    def _fault_raised(self, event: ev.FaultRaised) -> None:
        self._raise(event.fault, event.text)

    def _fault_cleared(self, event: ev.FaultCleared) -> None:
        self._clear(event.fault)

    def _announced(self, event: ev.Announced) -> None:
        self._to_tell.announcements.append(Announcement(event.text, event.listen))

    def _alarm_rings(self, event: ev.AlarmRings) -> None:
        self._ringing = True
        self._out.append(do.Report("alarm", event.name))
        self._out.append(do.Ring(True))

    def _alarm_ended(self, _event: ev.AlarmEnded) -> None:
        self._ringing = False

    def _budget_low(self, _event: ev.BudgetLow) -> None:
        if "budget low" not in self._to_tell.notices:
            self._to_tell.notices.append("budget low")

    def _budget_spent(self, event: ev.BudgetSpent) -> None:
        self._spent = True
        self.faults[Fault.LIMIT] = event.text
        self._out.append(do.Report("fault", event.text, Fault.LIMIT))

    def _budget_free(self, _event: ev.BudgetFree) -> None:
        if not self._spent:
            return
        self._spent = False
        self._clear(Fault.LIMIT)
        if self._started and self._prewarms() and self._line.idle:
            self._connect()

    # What waited for a quiet moment.

    def _quiet_moment(self) -> None:
        """After every event: end what the budget ends, say what waited, announce."""
        if not self._quiet():
            return
        if self._spent and self.in_conversation:
            self._finish("the budget is used up", "fault", Fault.LIMIT)
        elif self._spent and self._line.link is not Link.DOWN:
            self._disconnect()  # a line that was opened ahead costs data
        if self._listener_free_at() > self._now:
            return
        for notice in self._to_tell.notices:
            self._signal(notice)
        if "speech lost" in self._to_tell.notices and self.rules.local_voice and self._attention.aloud:
            self._listen_on("speech lost", again=True)
        self._to_tell.notices.clear()
        while self._to_tell.announcements and self._quiet() and not self._answer.arriving:
            self._announce()

    def _announce(self) -> None:
        """Take the first announcement to where it is spoken, or leave it and open a line for it."""
        first = self._to_tell.announcements[0]
        if self._line.up and not self._spent and not self.rules.continuous:
            del self._to_tell.announcements[0]
            self._begin()
            self._question.texts.append(ANNOUNCE.format(text=first.text))
            self._attention.listen_after = first.listen and not self._deaf()
            self._attention.announcing = not first.listen
            self._send_texts()
        elif first.listen and not (self._deaf() or self.rules.continuous or self.faults.keys() & NO_USE):
            self._begin()
            self._need_line()
            self._line.wanted_since = self._line.wanted_since or self._now
        else:
            del self._to_tell.announcements[0]
            self._out.append(do.Announce(first.text))
