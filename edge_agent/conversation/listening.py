"""The rules for what the device hears by itself: the wake word, a voice, somebody who speaks over the answer.

Where the device itself detects voices (`Rules.local_voice`) it decides who speaks to it. A wake word, a tap or the end
of an answer opens its *ears*: it listens, and sends nothing. A voice makes a turn of it, from a little before the voice
on; where the voice follows the wake word in one breath, from a little before that word's end. The turn stays open while
it is answered, so that the service hears an interruption too; after the answer, or when nobody has spoken for a while,
it is closed and the ears stay open for `follow_up_s`. Nobody who spoke: nothing was sent.

Over an answer a confirmed near end silences it, whatever the service thinks, and opens a turn where none is; but a
room that talks on does not stop an announcement. "Stop" means the device where it speaks, thinks, or listens by itself;
inside a sentence that somebody was asked for, it is one of their words.

What was noticed before a mute and told after it changes nothing.
"""

from __future__ import annotations

from edge_agent.conversation import actions as do
from edge_agent.conversation import events as ev
from edge_agent.conversation.attention import BIDDEN
from edge_agent.conversation.healing import Rung
from edge_agent.conversation.rules import HUSH_S, SAMPLE_RATE, STOP_RUN_S, WAKE_RUN_S, WAKE_S
from edge_agent.conversation.steps import Steps
from edge_agent.errors import Fault


class ListeningRules(Steps):
    """See the module's docstring."""

    def _wake_heard(self, event: ev.WakeHeard) -> None:
        self._attention.wake_owed = True
        if self.muted:
            self._wake_came("muted")
        elif self._hushed_alarm():
            self._wake_came("stopped")
        elif not (self.rules.manual or self.rules.hook):
            self._called_by_name(event)
        if self._ear is None:
            self._wake_came("turn" if self._turn is not None else "ignored")

    def _called_by_name(self, event: ev.WakeHeard) -> None:
        if self._answer.sounding and not self.rules.continuous:
            self._flush("wake")
        if self._turn is None:
            self._talk(event.sample, by="wake", ear_s=WAKE_S)
        else:
            self._attention.listening_since = self._attention.last_sound = self._now

    def _stop_heard(self, event: ev.StopHeard) -> None:
        """An alarm ends, or else what the device says and its listening; the conversation may be gone on with."""
        self._attention.wake_owed = True
        if self.muted:
            self._wake_came("muted")
        elif self._hushed_alarm():
            self._wake_came("stopped")
        else:
            self._out.append(do.Hush())
            if self._means_us():
                self._wake_came("stopped")
                self._stop(event.sample)
        self._wake_came("ignored")

    def _stop(self, sample: int) -> None:
        sounding = self._answer.sounding
        if sounding:
            self._flush("stop")
        if self.rules.manual or self.rules.hook:
            return
        self._not_before = max(self._not_before, sample)
        self._void("stop")
        self._answer.superseded(self._now)
        self._question.written.clear()
        self.rung = Rung.NONE
        self._attention.aloud = self._attention.follow_up = False
        self._attention.hushed = True
        if not sounding:
            self._signal("turn closed")

    def _near_end(self, event: ev.NearEndConfirmed) -> None:
        if self.muted or not self._minds_voices() or Fault.MICROPHONE in self.faults:
            return
        if not self._answer.sounding:  # over a cue or a prompt
            self._attention.voice = True
            self._hear_voice(event.sample)
            return
        if self._attention.announcing or not self.rules.interruptible:
            return
        self._attention.voice = True
        self._ending = None
        self._attention.listen_after = False
        self._question.unanswered_since = None
        self._attention.listening_since = self._attention.unbidden_at = self._now
        self._flush("near-end")
        if self._turn is not None:
            self._question.unmet = self.rules.local_voice
        elif self._may_hear():
            self._open_turn(event.sample, None, quietly=True)
        if self._turn is not None:
            self._reveal(event.sample)

    def _voice_started(self, event: ev.VoiceStarted) -> None:
        if not self.muted:
            self._attention.voice = True
            self._hear_voice(event.sample)

    def _voice_ended(self, _event: ev.VoiceEnded) -> None:
        if self._attention.voice:
            self._attention.voice = False
            self._attention.voice_over_at = self._now
            if self._turn is None:
                self._listen_again()

    def _hear_voice(self, sample: int) -> None:
        """Somebody speaks to a device that sounds no answer: make a turn of it.

        A cue, a prompt or the end of an answer may just have sounded: what was kept back for it was the person's.
        """
        self._attention.last_sound = self._now
        if self.rules.local_voice:
            self._ending = None
        self._attention.aloud = self._attention.aloud or self._turn is not None
        ear = self._ear
        if ear is None or self._turn is not None or not self._may_hear():
            return
        if ear.sample is not None and sample - ear.sample < WAKE_RUN_S * SAMPLE_RATE:
            sample = min(sample, ear.sample)
        bidden = ear.by in BIDDEN
        if not bidden:
            self._attention.unbidden_at = self._now
        self._open_turn(sample, None, quietly=True, bidden=bidden)
        self._reveal(sample)

    def _reveal(self, sample: int) -> None:
        """What was kept back since `sample`, because the device itself was heard, was a person.

        A canceller keeps back only until it has learned the room; what went out goes out once all the same.
        """
        self._out.append(do.Reveal(self._turn_begins(sample) or 0))

    def _means_us(self) -> bool:
        """A "stop" that was heard now is meant for the device, and is no word of a sentence."""
        if self._answer.sounding or self._answer.pending or self._understood():
            return True
        if self._turn is None:
            return self._ear is not None
        return self._now - self._attention.unbidden_at < STOP_RUN_S

    # Deadlines.

    def _wake_cue(self) -> None:
        """Nobody went on speaking in one breath with the wake word: say that the device listens."""
        if self._ear is not None:
            self._ear.cue_at = None
            self._signal("turn opened")

    def _nobody_spoke(self) -> None:
        """The ears close, and nothing was sent."""
        ear = self._ear
        if ear is None:
            return
        self._wake_came("nobody spoke")
        self._deafen("nobody spoke")
        if ear.by != "answer" and not self._attention.aloud:
            self._finish("nobody spoke", "fell asleep")
        else:
            self._signal("fell asleep")

    def _fell_silent(self) -> None:
        """Nobody speaks any more: the stream is closed, the ears stay open."""
        self._listen_on("silence")

    def _hush_at(self) -> float:
        """When a turn in which nobody speaks any more is closed."""
        return max(self._attention.voice_over_at, self._attention.last_sound) + HUSH_S
