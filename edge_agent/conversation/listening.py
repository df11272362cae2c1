"""The rules for what the device hears by itself: the wake word, a voice, somebody who speaks over the answer.

With the open microphone and `follow_up_s` the device decides who speaks to it. A wake word, a tap or the end of an
answer opens its *ears*: it listens, and sends nothing. A voice makes a turn of it, from a little before the voice on;
where the voice follows the wake word in one breath, from a little before that word's end. The turn stays open while it
is answered, so that the service hears an interruption too; after the answer, or when nothing comes of what was said, it
is closed and the ears stay open for `follow_up_s`. Nobody who spoke: nothing was sent.

Over an answer a confirmed near end silences it, whatever the service thinks, and opens a turn where none is.
"""

from __future__ import annotations

from edge_agent.conversation import actions as do
from edge_agent.conversation import events as ev
from edge_agent.conversation.rules import HUSH_S, SAMPLE_RATE, WAKE_RUN_S, WAKE_S
from edge_agent.conversation.steps import Steps


class ListeningRules(Steps):
    """See the module's docstring."""

    def _wake_heard(self, event: ev.WakeHeard) -> None:
        if self._hushed_alarm() or self.rules.manual:
            return
        if self._answer.sounding:
            self._flush("wake")
        if self._turn is None:
            self._talk(event.sample, by="wake", most_s=WAKE_S)
        else:
            self._listening_since = self._last_sound = self._now

    def _stop_heard(self, _event: ev.StopHeard) -> None:
        """The alarm, the answer and the listening end; the conversation may be gone on with."""
        if self._hushed_alarm():
            return
        if self._answer.sounding:
            self._flush("stop")
        if self.rules.manual:
            return
        if self._turn is not None:
            self._close_turn(None, "stop")
        self._deafen("stop")
        self._asked_aloud = False

    def _near_end(self, event: ev.NearEndConfirmed) -> None:
        self._voice = True
        if not self._answer.sounding:  # over a cue or a prompt
            self._hear_voice(event.sample)
            return
        self._ending = None
        self._listen_after = False
        self._unanswered_since = None
        self._listening_since = self._now
        self._flush("near-end")
        if self._turn is None:
            self._open_turn(event.sample, None, quietly=True)
        else:
            self._last_sound = self._now
        self._out.append(do.Reveal(self._turn_begins(event.sample) or 0))

    def _voice_started(self, event: ev.VoiceStarted) -> None:
        self._voice = True
        self._hear_voice(event.sample)

    def _voice_ended(self, _event: ev.VoiceEnded) -> None:
        self._voice = False
        self._voice_over_at = self._now

    def _hear_voice(self, sample: int) -> None:
        """Somebody speaks to a device that sounds no answer: make a turn of it."""
        self._last_sound = self._now
        ear = self._ear
        if ear is None or self._turn is not None:
            return
        if ear.sample is not None and sample - ear.sample < WAKE_RUN_S * SAMPLE_RATE:
            sample = min(sample, ear.sample)
        self._open_turn(sample, None, quietly=True)

    # Deadlines.

    def _nobody_spoke(self) -> None:
        """The ears close, and nothing was sent."""
        ear = self._ear
        if ear is None:
            return
        self._deafen("nobody spoke")
        if ear.by != "answer" and not self._asked_aloud:
            self._finish("nobody spoke", "fell asleep")
        else:
            self._signal("fell asleep")

    def _fell_silent(self) -> None:
        """What was said is over, and nothing comes of it: the stream is closed, the ears stay open."""
        self._listen_on()

    def _hush_at(self) -> float:
        """When a turn in which nobody speaks any more is closed."""
        return max(self._voice_over_at, self._listening_since) + HUSH_S
