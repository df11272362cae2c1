"""The rules for what people do: press, release, mute, type, end. One method for each row of the table of moves."""

from __future__ import annotations

from edge_agent.conversation import actions as do
from edge_agent.conversation import events as ev
from edge_agent.conversation.attention import Turn
from edge_agent.conversation.rules import FAREWELL_S, MUTE_TOLD_S
from edge_agent.conversation.steps import Steps
from edge_agent.errors import Fault


class PersonRules(Steps):
    """See the module's docstring."""

    def _press_to_talk(self, event: ev.Pressed) -> None:
        self._button_down()
        if not self._hushed_alarm():
            self._talk(event.sample)

    def _press_again(self, event: ev.Pressed) -> None:
        self._button_down()
        if self._hushed_alarm():
            return
        if self._ear is not None and self._ear.by != "tap":
            self._talk(event.sample)  # it listens by itself: who presses now wants to talk
        elif self._ear is not None:
            self._deafen("tapped again")
            self._signal("turn closed")
        elif self._turn is None:
            self._talk(event.sample)
        elif self.rules.manual and self._turn.most_s is not None:
            self._take_over(self._turn)
        elif not self.rules.hook and not (self.rules.manual and self._turn.held):
            self._close_turn(event.sample, "tapped again")

    def _press_over_answer(self, event: ev.Pressed) -> None:
        self._button_down()
        if self._hushed_alarm():
            return
        if self.rules.continuous and self._turn is not None:
            self._close_turn(event.sample, "tapped again")  # what was said is translated to its end
            return
        if self._answer.sounding:
            self._flush("press")
            self._own_voice_over(event.sample)
        if self._turn is None:
            self._talk(event.sample)
        elif self.rules.manual and self._turn.most_s is not None:
            self._take_over(self._turn)
        else:
            self._attention.listening_since = self._attention.last_sound = self._now

    def _release(self, event: ev.Released) -> None:
        held_for = self._now - self._button.down_since if self._button.down_since is not None else 0.0
        self._button.down_since = None
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
        self._wake_came("muted")
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
            if self._now - self._to_tell.mute_told_at < MUTE_TOLD_S:
                self._out.append(do.Hush())  # the sentence on the mute is true no more, and in the way
            self._signal("unmuted")
            if self.rules.hook and self._button.down_since is not None and self._turn is None:
                self._talk(event.sample)

    def _ask(self, event: ev.TextAsked) -> None:
        if self._spent:
            self._signal("fault", Fault.LIMIT)
            return
        self._begin()
        self._ending = None
        attention = self._attention
        attention.listen_after = attention.aloud = attention.follow_up = attention.announcing = False
        self._deafen("asked in writing")
        if self._answer.sounding:
            self._flush("text")
        self._question.texts.append(event.text)
        self._need_line()
        self._send_texts()

    def _end(self, _event: ev.EndAsked) -> None:
        self._hushed_alarm()
        self._to_tell.announcements.clear()
        if self.in_conversation:
            self._finish("ended", "goodbye")

    def _end_wished(self, _event: ev.EndWished) -> None:
        speaking = self._turn is not None and self.rules.manual
        if self.in_conversation and not speaking:
            self._ending = self._now + FAREWELL_S

    def _take_over(self, turn: Turn) -> None:
        """Whoever presses into a turn that the device opened wants to talk: from now on it is the person's own."""
        turn.held, turn.most_s, turn.opened_at = True, None, self._now

    # Deadlines.

    def _turn_too_long(self) -> None:
        if self.rules.local_voice and not self._attention.voice:
            self._listen_on("silence")  # the model was busy, nobody talked
        else:
            self._close_turn(None, "too long")

    def _long_press(self) -> None:
        self._button.may_be_long = False
        if self.in_conversation:
            self._finish("long press", "goodbye")

    def _button_stuck(self) -> None:
        self._raise(Fault.BUTTON_STUCK, "the button has been down for too long: is it jammed?")
