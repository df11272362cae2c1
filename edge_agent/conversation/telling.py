"""How people are told: faults noted and over, what waited until they had finished, cues, sentences, the light."""

from __future__ import annotations

from edge_agent.conversation import actions as do
from edge_agent.conversation import indicator
from edge_agent.conversation.facts import Facts
from edge_agent.errors import Fault


class Telling(Facts):
    """Steps that change nothing but what is seen and heard of the device."""

    def _note(self, fault: Fault, text: str) -> None:
        if fault not in self.faults:
            self._out.append(do.Report("fault", text, fault))
        self.faults[fault] = text

    def _clear(self, fault: Fault) -> None:
        if fault is Fault.LIMIT and self._spent:
            return
        if self.faults.pop(fault, None) is not None:
            self._out.append(do.Report("fault over", "works again", fault))

    def _say_what_waited(self) -> None:
        """Tell what happened while the person was speaking."""
        if self._to_tell.slow_line:
            self._to_tell.slow_line = False
            self._signal("slow line")
        for fault in self._to_tell.unsaid:
            if fault in self.faults:
                self._signal("fault", fault)
        self._to_tell.unsaid.clear()

    def _speak_announcements(self) -> None:
        """Speak with the device's own voice what the model's voice was meant for."""
        for one in self._to_tell.announcements:
            self._out.append(do.Announce(one.text))
        self._to_tell.announcements.clear()

    def _wake_came(self, outcome: do.WakeOutcome) -> None:
        """Tell what came of the last wake word, once."""
        if self._attention.wake_owed:
            self._attention.wake_owed = False
            self._out.append(do.WakeCame(outcome))

    def _hushed_alarm(self) -> bool:
        """The button and `end` stop an alarm, and do nothing else then; a handset lifted is answered all the same."""
        if not self._ringing:
            return False
        self._ringing = False
        self._out.append(do.Ring(False))
        return not self.rules.hook

    def _signal(self, moment: str, fault: Fault | None = None) -> None:
        signal = indicator.SIGNALS[moment]
        self._out.append(do.Cue(signal.cue))
        if signal.prompt:
            self._out.append(do.Say(signal.prompt if fault is None else f"{signal.prompt}-{fault.value}"))

    def _show(self) -> None:
        name = indicator.light(
            indicator.Situation(
                self.state,
                self.muted,
                self.fault,
                self.rung,
                self._ringing,
                self._line.degraded,
                waiting=self._ear is not None and not self._question.speech_unsent,
            )
        )
        if name != self.light:
            self.light = name
            self._out.append(do.Show(name))
