"""The steps that the machine's rules are made of: each changes facts and appends to the actions of the event at hand.

Which steps an event or a deadline takes is the affair of the rules (`person`, `listening`, `answering`, `lifeline`,
`household`).
"""

from __future__ import annotations

import math

from edge_agent.conversation import actions as do
from edge_agent.conversation.answer import Answer
from edge_agent.conversation.attention import Attention, Ear, Turn
from edge_agent.conversation.healing import Rung
from edge_agent.conversation.line import Link
from edge_agent.conversation.question import Question
from edge_agent.conversation.rules import (
    LISTEN_S,
    REFUSED_S,
    ROOM_S,
    SAMPLE_RATE,
    SETTLED_BY_TRYING,
    UNSENT_S,
    WAKE_CUE_S,
)
from edge_agent.conversation.telling import Telling
from edge_agent.errors import Fault


class Steps(Telling):
    """Facts, and the ways they change."""

    # Faults.

    def _raise(self, fault: Fault, text: str) -> None:
        news = fault not in self.faults
        self.faults[fault] = text
        self._out.append(do.Report("fault", text, fault))
        if fault is Fault.MICROPHONE and (self._turn is not None or self._ear is not None):
            self._void("microphone lost")
        if not news or not self._started:
            return
        if self._turn is not None and self.rules.manual:
            self._to_tell.unsaid.append(fault)  # not into what the person is saying
        else:
            self._signal("fault", fault)

    # Turns.

    def _button_down(self) -> None:
        if self._button.down_since is None:  # a second finger, or `ctl press`, on a button that is down is no new press
            self._button.down_since = self._now
            # whoever begins a conversation by holding the button wants to talk
            self._button.may_be_long = self.in_conversation and not self.rules.manual

    def _talk(
        self, sample: int | None, *, by: str = "tap", most_s: float | None = None, ear_s: float | None = None
    ) -> None:
        """Open a turn of `most_s`, or ears for `ear_s`; or say why nobody can be heard.

        At `sample`, or where capture stands now (None); None: as long as the rules say.
        """
        if self.muted:
            self._to_tell.mute_told_at = self._now
            self._signal("pressed while muted")
        elif Fault.MICROPHONE in self.faults:
            self._signal("fault", Fault.MICROPHONE)
        elif self._spent:
            self._refuse(by)
        elif Fault.BUTTON_STUCK in self.faults and by == "tap":
            return
        elif self.rules.local_voice:
            self._listen(sample, by, self._now + (ear_s or self.rules.called_s))
        else:
            self._open_turn(sample, most_s)

    def _refuse(self, by: str) -> None:
        """The budget is used up: say so to a hand always, to a wake word, which may be a false one, now and then."""
        if by == "wake":
            if self._now - self._to_tell.refused_at < REFUSED_S:
                return
            self._to_tell.refused_at = self._now
        self._signal("fault", Fault.LIMIT)

    def _begin(self) -> None:
        """A turn of any kind begins, and with it a conversation if there is none."""
        if self._begun_at is None:
            known = self._line.up or self._knows()
            self._begun_at = self._now
            self._line.known = known
        self._attention.last_sound = self._now
        for fault in SETTLED_BY_TRYING:
            if not (fault is Fault.LIMIT and self._spent):
                self.faults.pop(fault, None)

    def _listen(self, sample: int | None, by: str, until: float) -> None:
        """Listen for a voice; nothing is sent before there is one."""
        if by == "answer":
            self._attention.last_sound = self._now
        else:
            self._begin()
            self._ending = None
            self._out.append(do.Hush())  # whoever calls has heard enough of what it says by itself
        self._attention.listen_after = self._attention.follow_up = False
        self._ear = Ear(by, sample, until, self._now + WAKE_CUE_S if by == "wake" else None)
        self._out.append(do.Report("listening", by))
        self._need_line()
        if not self._needs_line():
            self._line.unwanted()  # nothing waits to be sent
        if by not in {"answer", "wake"}:
            self._signal("turn opened")

    def _listen_on(self, why: str, *, again: bool = False) -> None:
        """What was said is over: go on listening for a while, without sending.

        `again`: the person is to say it again, or goes on speaking, and need not call for that.
        """
        self._attention.follow_up = False
        unheeded = self._turn is not None and not self._attention.bidden and self._question.unmet
        self._close_turn(None, why)
        if not unheeded:
            self._attention.heeded_at = self._now
        until = self._now + self.rules.called_s if again else self._follow_up_until()
        if until > self._now and self._may_hear():
            self._listen(None, "answer", until)
        elif unheeded and not self._understood():
            self._signal("fell asleep")

    def _follow_up_until(self) -> float:
        """Return how long a follow-up that is listened for now may be: a room that talks on does not renew it."""
        follow_up_s = self.rules.follow_up_s
        return min(self._now + follow_up_s, self._attention.heeded_at + max(ROOM_S, follow_up_s))

    def _listen_again(self) -> None:
        """An answer was heard: listen on, unless the model or a person is not yet done."""
        if self._attention.follow_up and not (self._attention.voice or self._answer.sounding or self._answer.pending):
            self._listen_on("answered")

    def _deafen(self, why: str) -> None:
        """Listen no longer."""
        if self._ear is not None:
            self._ear = None
            self._attention.last_sound = self._now
            self._wake_came("ignored")
            self._out.append(do.Report("listening", why))

    def _open_turn(
        self, sample: int | None, most_s: float | None, *, quietly: bool = False, bidden: bool = True
    ) -> None:
        self._begin()
        self._ear = None
        self._wake_came("turn")
        self._attention.aloud = self._question.unmet = self.rules.local_voice
        self._attention.follow_up = self._attention.hushed = self._attention.announcing = False
        self.turns += 1
        self._answer.superseded(self._now)
        self._question.written.clear()
        self._ending = None
        self._attention.listen_after = False
        self._to_tell.slow_line = False
        self.rung = Rung.NONE
        self._question.unanswered_since = None
        self._line.snapshot = False
        self._turn = Turn(self.turns, self._now, held=self._button.down_since is not None, most_s=most_s)
        self._attention.bidden = bidden
        self._question.asked_at = self._attention.listening_since = self._now
        self._question.understood = False
        self._question.unsent_since = None
        self._out.append(do.OpenTurn(self.turns, self._turn_begins(sample)))
        self._out.append(do.Report("turn", "opened"))
        self._need_line()
        if not quietly:
            self._signal("turn opened")

    def _turn_begins(self, sample: int | None) -> int | None:
        """Return the capture sample from which a turn opened at `sample` is heard, the pre-roll included."""
        if sample is None:
            return None
        pre_roll_s = min(self.rules.pre_roll_s, self._now - self._fresh_since)
        return min(max(sample - round(pre_roll_s * SAMPLE_RATE), self._not_before, 0), sample)

    def _close_turn(self, sample: int | None, why: str) -> None:
        """End the open turn at `sample`, or where capture stands now (None)."""
        turn = self._turn
        if turn is None:
            return
        self._out.append(do.CloseTurn(turn.number, sample))
        self._out.append(do.Report("turn", why))
        self._turn = None
        if not self.rules.local_voice:
            self._question.unanswered_since = None
        self._not_before = max(self._not_before, sample or 0)
        self._attention.last_sound = self._fresh_since = self._now
        self._question.unsent_since = self._now
        self._question.speech_unsent = self.rules.local_voice
        if self.rules.manual:
            self._await_answer()
        if why == "too long":
            if self._attention.bidden:
                self._signal("turn too long")
        elif not self.rules.local_voice or why == "tapped again":
            self._signal("turn closed")  # where the device listens on, the light says enough
        self._say_what_waited()
        self._send_texts()

    def _void(self, why: str) -> None:
        """Drop what was not yet sent of the person's speech; what has been sent may still be answered."""
        self._out.append(do.VoidTurns())
        self._question.asked_at = -math.inf  # nothing is left that could be sent again
        self._question.unsent_since = None
        spoke = self._turn is not None and self.rules.manual
        if self._turn is not None:
            self._out.append(do.Report("turn", why))
            self._attention.last_sound = self._fresh_since = self._now
        self._turn = None
        self._deafen(why)
        self._attention.listen_after = self._question.unmet = False
        self._question.unanswered_since = None
        self._say_what_waited()
        if self._line.up:
            if spoke:
                self._await_answer()
            self._send_texts()
        else:
            self._answer.give_up()
            if not self._question.texts:
                self._line.unwanted()

    def _drop_input(self, why: str) -> None:
        self._out.append(do.VoidTurns())
        self._out.append(do.Report("turn", why))
        self._turn = None
        self._deafen(why)
        self._question = Question()
        self._answer.give_up()
        self._attention.listen_after = False
        self.rung = Rung.NONE
        self._line.unwanted()
        self._attention.last_sound = self._fresh_since = self._now
        self._speak_announcements()
        self._say_what_waited()

    def _await_answer(self) -> None:
        """A question is complete."""
        self.rung = Rung.NONE
        self._wait_for_answer()

    def _wait_for_answer(self) -> None:
        self._question.unsent_since = self._now
        self._line.snapshot = False
        self._answer.expect(self._now, UNSENT_S)

    def _send_texts(self) -> None:
        """Send waiting text turns, unless a turn is being spoken: they follow it."""
        if not self._line.up or (self.rules.manual and self._turn is not None):
            return
        self._attention.hushed = self._attention.hushed and not self._question.texts
        for text in self._question.texts:
            self._answer.superseded(self._now)
            self._out.append(do.SendText(text))
            self._question.written.append(text)
            if self.rung is Rung.NONE:
                self._await_answer()
            else:
                self._wait_for_answer()
        self._question.texts.clear()

    # The line.

    def _need_line(self) -> None:
        if self._line.want(self._now):
            self._failure = None
            self._connect()

    def _connect(self, *, retell: bool = False) -> None:
        if not self._needs_line():
            self._out.append(do.Settle())  # what was sent and is not waited for must not be sent again
        self._line.opening()
        self._out.append(do.Connect(resume=self._knows(), retell=retell))

    def _disconnect(self) -> None:
        if self._line.link is not Link.DOWN:
            self._out.append(do.Disconnect())
            self._answer.cut_off()
        self._line.closed()

    def _change_line(self) -> None:
        self._out.append(do.Report("connection", "changing"))
        self._disconnect()
        if self._needs_line():
            self._line.wanted_since = self._now
        if (self.in_conversation or self._prewarms()) and self._line.changed(self._now):
            self._connect()

    def _ask_again(self) -> None:
        """What was asked in writing and not answered goes out once more on the next connection."""
        if self._question.written:
            self._question.texts[:0] = self._question.written
            self._question.written.clear()
            self._answer.give_up()

    def _refused(self, fault: Fault, text: str) -> None:
        """The service will not talk to us; a person has to act."""
        if self._needs_line():
            self._drop_input("the service refused")
        self._deafen("the service refused")
        self._line.closed()
        self.faults.pop(fault, None)
        self._raise(fault, text)

    # The answer.

    def _sign_of_life(self) -> None:
        """The service is at work: what was tried for its answer has helped."""
        self._question.unanswered_since = None
        self._question.doubted = self._question.unmet = False
        if self.rung is not Rung.NONE:
            self._out.append(do.Report("healing", f"{self.rung.name.lower()} helped"))
            self.rung = Rung.NONE

    def _no_answer(self, why: str, signal: str = "no answer") -> None:
        self._answer.give_up()
        self._question.written.clear()
        self.rung = Rung.NONE
        self._attention.listen_after = self._question.unmet = False
        self._attention.last_sound = self._now
        self._out.append(do.Settle())
        self._out.append(do.Report("turn", why))
        if signal:
            self._signal(signal)
        if self.rules.local_voice and self._attention.aloud and self._turn is None:
            self._listen_on(why, again=True)

    def _flush(self, by: str) -> None:
        self._out.append(do.Flush(by))
        self._answer.silence(self._now)
        self._attention.announcing = self._question.unmet = False
        self._own_voice_over()

    def _play_out(self) -> None:
        if self._answer.play_out(self._now):
            self._out.append(do.FinishAnswer())

    def _sound_over(self, sample: int | None) -> None:
        self._answer.heard()
        self._attention.announcing = False
        self._own_voice_over(sample)
        self._attention.listening_since = self._now
        if self._ending is None:
            self._attention.follow_up = self.rules.local_voice and (self._attention.aloud or self._ear is not None)
            self._listen_if_asked(sample)
            self._listen_again()
        elif not (self._answer.pending or self._answer.arriving):
            self._finish("ended", "goodbye")

    def _own_voice_over(self, sample: int | None = None) -> None:
        """The device falls silent, at `sample` or about now: no turn reaches back into its own voice."""
        self._attention.last_sound = self._attention.fell_quiet_at = self._now
        if not self.rules.full_duplex:
            self._fresh_since = self._now
            self._not_before = max(self._not_before, sample or 0)

    def _listen_if_asked(self, sample: int | None) -> None:
        """An announcement that asks something has been heard to its end: open the turn for what is answered to it."""
        if self._attention.listen_after and not (self._answer.sounding or self._answer.pending or self._question.texts):
            self._attention.listen_after = False
            if self._turn is None:
                self._talk(sample, by="asked", most_s=LISTEN_S if self.rules.manual else None)

    # The end.

    def _finish(self, why: str, signal: str, fault: Fault | None = None) -> None:
        """End the conversation: nothing of it may be sent, heard or remembered any more."""
        if self._answer.sounding:
            self._flush("end")
        self._out.append(do.VoidTurns())
        self._turn = self._ear = None
        self._wake_came("ignored")
        self._attention = Attention(last_sound=self._now)
        self._question, self._answer = Question(), Answer()
        self._to_tell.end()
        self.rung = Rung.NONE
        self._begun_at = self._ending = None
        self._fresh_since = self._now
        self._known_until = self._now + self.rules.remember_s
        self._line.known = False
        self._disconnect()
        if self._line_faulty():
            self._line.retry(self._now)
        self._out.append(do.Wipe(keep_handle=self.rules.remember_s > 0))
        self._out.append(do.Report("conversation", why))
        if signal:
            self._signal(signal, fault)
        if self._prewarms():
            self._connect()
