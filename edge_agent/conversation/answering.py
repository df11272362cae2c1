"""The rules for what the service says: sound, its end, interruptions, tool calls, and an answer that does not come."""

from __future__ import annotations

import math

from edge_agent.conversation import actions as do
from edge_agent.conversation import events as ev
from edge_agent.conversation.healing import Rung, after_sign_s, next_rung, wait_s
from edge_agent.conversation.rules import FAREWELL_S
from edge_agent.conversation.steps import Steps

TRANSLATED = "translated"  # what is reported at the end of a sentence of a model that ends no turn
LATE_CAPTION_S = 2.0  # words of a question may come after its answer


class AnsweringRules(Steps):
    """See the module's docstring."""

    def _answer_audio(self, event: ev.AnswerAudio) -> None:
        if not self.in_conversation:
            return
        if event.ms <= 0:
            self._answer.progress(self._now, after_sign_s(self.rules.answer_timeout_s))
            return
        talking = self._attention.hushed or (self.rules.manual and self._turn is not None)
        if self._answer.arrived(event.ms / 1000, self._now, talking=talking):
            self._sign_of_life()
            self._line.worked()
            self._question.written.clear()
            self._out.append(do.Play())

    def _answer_progress(self, _event: ev.AnswerProgress) -> None:
        self._sign_of_life()
        if self.rules.local_voice:
            self._attention.last_sound = self._now
        self._answer.progress(self._now, after_sign_s(self.rules.answer_timeout_s))

    def _answer_generated(self, _event: ev.AnswerGenerated) -> None:
        if not self._answer.stopped:
            self._play_out()

    def _answer_done(self, event: ev.AnswerDone) -> None:
        answer = self._answer
        self._question.unanswered_since = None
        if not answer.turn_over(self._now, idle=event.idle or not self.in_conversation):
            return
        self._sign_of_life()
        self._attention.last_sound = self._now
        if answer.sounding:
            self._play_out()
        elif answer.working or answer.calls:
            return
        elif self._ending is not None:
            self._finish("ended", "goodbye")
        elif answer.awaited and self._line.up and self._question.unsent_since is None:
            # otherwise it is the end of something older
            if event.refused:
                self._no_answer("the service would not answer this", "refused")
            elif event.waits:
                self._no_answer("the model waits for more", "")
            else:
                self._no_answer("the answer was empty")
        else:
            self._listen_if_asked(None)
            self._listen_again()

    def _work_done(self, _event: ev.WorkDone) -> None:
        if self._answer.working:
            self._answer_done(ev.AnswerDone())

    def _interrupted(self, _event: ev.Interrupted) -> None:
        self._ending = None
        self._attention.listen_after = False
        self._attention.listening_since = self._attention.last_sound = self._attention.fell_quiet_at = self._now
        self._question.unanswered_since = None
        if self._answer.sounding:
            self._flush("voice")
            if self.rules.local_voice and self._attention.aloud and self._turn is None:
                self._listen_on("interrupted", again=True)
        else:
            self._answer.drop_rest(self._now)

    def _heard(self, _event: ev.Heard) -> None:
        late = self._now - self._attention.fell_quiet_at < LATE_CAPTION_S or self._answer.sounding
        self._attention.last_sound = self._now
        self._question.understood = True
        self._attention.heard_at = self._now
        asked = self._turn is not None or self._question.unmet
        if asked and self._minds_voices() and not (late or self._question.doubted or self._attention.hushed):
            self._question.unanswered_since = self._now

    def _tools_called(self, event: ev.ToolsCalled) -> None:
        self._sign_of_life()
        if self.in_conversation:
            self._answer.calls += event.count
            self._answer.blocking += event.blocking

    def _tools_settled(self, event: ev.ToolsSettled) -> None:
        self._answer.calls = max(0, self._answer.calls - event.count)
        self._answer.blocking = max(0, self._answer.blocking - event.blocking)
        self._answer.progress(self._now, after_sign_s(self.rules.answer_timeout_s))
        self._attention.last_sound = self._now
        if self._ending is not None:
            self._ending = self._now + FAREWELL_S

    def _playback_ended(self, event: ev.PlaybackEnded) -> None:
        if self._answer.sounding and self._answer.complete:
            self._sound_over(event.sample)

    # Deadlines.

    def _no_sign(self) -> None:
        """Nothing comes of the answer that is owed: one rung up the ladder, at its end the person is told."""
        answer, patience = self._answer, self.rules.answer_timeout_s
        resend = self.resendable
        rung = None
        if answer.awaited:
            known = self.rules.nudges and self._line.snapshot
            retell = resend or (self.rules.nudges and self._question.understood)
            rung = next_rung(self.rung, nudge=self.rules.nudges, resend=resend or known, retell=retell)
        if rung is None:
            self._no_answer("no answer came")
            self._line.leave(0.0, self._now)  # whatever is wrong with this connection, the next turn gets another
            return
        self.rung = rung
        answer.due = self._now + wait_s(rung, patience)
        self._out.append(do.Report("healing", rung.name.lower()))
        if rung is Rung.NUDGE:
            self._out.append(do.Nudge())
            answer.nudged()
            return
        if rung is Rung.REOPEN and self._line.snapshot and self.rules.nudges:
            # The handle came after the question: who resumes by it need not be told the question twice.
            self._question.written.clear()
            self._question.asked_at = -math.inf
            self._out.append(do.Settle())
        else:
            self._ask_again()
        self._disconnect()
        self._connect(retell=rung is Rung.RETELL)
        self._line.wanted_since = self._now

    def _nobody_answers(self) -> None:
        """With the open microphone: the service understood words, and then nothing came of them.

        A model may keep silent when it was not meant, so this is tried once, until it has answered again; and not at
        all for a voice that nobody had asked for, which may be the television's.
        """
        self._question.unanswered_since = None
        if not self._attention.bidden:
            return
        if self._turn is None:
            self._question.unsent_since = self._now  # it goes out once more
        self._question.doubted = True
        self._out.append(do.Report("healing", "reopen"))
        self._change_line()

    def _stalled(self) -> None:
        """The sound of an answer ran dry."""
        if self._answer.complete:
            self._sound_over(None)
            return
        if self.rules.continuous:
            self._answer.broke_off()
            self._out.append(do.Report("turn", TRANSLATED))
        elif not self._answer.calls and not self._answer.working:
            self._out.append(do.Report("turn", "the answer broke off"))
            self._line.leave(0.0, self._now)
            self._answer.broke_off()
        self._play_out()
