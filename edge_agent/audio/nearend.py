"""The near end: the microphone on its way to the ring, and what is noticed in it.

    near = NearEnd(ring, mic_gain_db=24, mic_channel="auto", canceller=open_canceller("software"), ...)
    near.committed(speaker, silent=False)                  # what the loudspeaker was given
    fresh = near.take(mic, now, queued=1_440, told=print)   # once per block

    mic -> zeroed while muted -> Decimator (fixed gain) -> echo canceller <- reference
        -> detector (somebody speaks) -> wake word -> ring

Muted blocks are zeroed before anything looks at them, and a suspicion or voice ends; the canceller is told of what the
loudspeaker plays all the same, so that it knows the echo under way when sound comes back. After the start, and where
sound was lost or the echo path may have moved, it is not believed before it has been seen to work (`trust`): until then
silence goes up while the device sounds, and nobody is noticed. The canceller works while somebody may be listening
(`attentive`) or the device is or was just heard; else the microphone goes by it untouched, and what it still holds of
the microphone is pushed out when it works again. A canceller that `gates` (half-duplex) lets nothing through while it
is `shut`: the ring then keeps the microphone's own sound marked as gated, which reads as silence until somebody says
that it was a person's. Without a canceller nothing the device plays comes back (headphones): the microphone is
believed as it is, also while the device sounds.

A canceller, detector or wake word that raises is told once and used no more; sound goes on.

Pure; one thread.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from edge_agent.audio.bargein import FRAME, NearEndConfirmed, NearEndDetector, NearEndEvent
from edge_agent.audio.echo.canceller import Canceller
from edge_agent.audio.echo.halfduplex import HalfDuplex
from edge_agent.audio.filters import CARD_RATE, Channel, Decimator
from edge_agent.audio.levels import SILENCE_DBFS, Meter
from edge_agent.audio.reference import LEAD, RATE, Reference
from edge_agent.audio.ring import CaptureRing
from edge_agent.audio.trust import Trust

TAIL_S = 0.3
"""The device is in the room this long after its last sound: air, reverberation and a margin."""
WORK_ON_S = 1.0
"""The canceller goes on this long after the device's last sound where nobody is listening."""
FLUSH_S = 0.1
"""Silence that pushes out what a canceller still holds of the microphone: far more than its frames."""
_TICK_S = 1e-6  # rounding of `now`; far less than a sample


class Spotted(Protocol):
    """A wake word that was heard, or nearly; see `edge_agent.wake.Heard`."""

    @property
    def word(self) -> str:
        """Which."""

    @property
    def score(self) -> float:
        """How surely, 0 to 1."""

    @property
    def fired(self) -> bool:
        """False: a near miss, for the log."""

    @property
    def kind(self) -> Literal["wake", "stop"]:
        """What it is for."""

    @property
    def ago(self) -> int:
        """Samples between its end and the end of the block."""


class WakeSpotter(Protocol):
    """What listens for wake words; see `edge_agent.wake.WakeDetector`."""

    def hear(self, block: NDArray[np.int16]) -> Sequence[Spotted]:
        """Take the next samples (n,) at 16 kHz."""

    def reset(self) -> None:
        """Forget what was heard."""


@dataclass(frozen=True, slots=True)
class WakeHeard:
    """A wake word ended at about `sample`; `fired` is False for a near miss."""

    sample: int
    word: str
    score: float
    fired: bool = True
    kind: Literal["wake", "stop"] = "wake"


@dataclass(frozen=True, slots=True)
class PartFailed:
    """A part raised `error` and is used no more: half-duplex takes the canceller's place, nothing the others'."""

    part: Literal["canceller", "detector", "wake"]
    error: Exception


NearEvent = NearEndEvent | WakeHeard | PartFailed


class NearEnd:
    """See the module's docstring.

    Args:
        ring: where the microphone's sound goes.
        mic_gain_db: gain before the cut to 16 bits.
        mic_channel: the slot the microphone fills: auto, left, right or mono.
        input_ring_ms: the most sound the input device may hold before it is read.
        canceller: takes the device's own sound out; None: the microphone as it is.
        detector: notices speech; None: nobody asks.
        tail_s: the device is in the room this long after its last sound; a canceller that gates knows that itself.
        lead: samples by which the reference runs ahead of what is played.
    """

    def __init__(
        self,
        ring: CaptureRing,
        *,
        mic_gain_db: float,
        mic_channel: Channel,
        input_ring_ms: float = 0.0,
        canceller: Canceller | None = None,
        detector: NearEndDetector | None = None,
        tail_s: float = TAIL_S,
        lead: int = LEAD,
    ) -> None:
        self.down = Decimator(gain_db=mic_gain_db, channel=mic_channel)
        self._input_ring_s = input_ring_ms / 1_000
        self.attentive = False
        """Somebody listens: the detector works, and the canceller all the time."""
        self.meter: Meter | None = None
        """Measures what is heard, where somebody wants to know."""
        self.muted_blocks = self.gated_blocks = 0
        self._ring = ring
        self._canceller = canceller
        self._detector = detector
        self._wake: WakeSpotter | None = None
        self._tail = round(tail_s * RATE)
        self._reference = Reference(lead=lead)
        self._muted = False
        self._unmuted_at = -math.inf
        self._deaf = False  # the last block was muted
        self._working = False  # the canceller had the last block
        self._late: list[NearEvent] = []  # what ended between two blocks
        self._since_sound = RATE * 3600
        self._person = False  # somebody spoke over the device, so nothing is gated until it is silent
        self.trust = Trust(given=canceller is None or canceller.trusted)
        """Whether the canceller is believed."""

    @property
    def ducking(self) -> bool:
        """The answer should be lowered: somebody may be speaking over it."""
        return self._detector is not None and self._detector.ducking

    @property
    def echo_figures(self) -> dict[str, float]:
        """How it stands with the echo: the canceller's trust, changes of the echo's path, the room's noise."""
        noise_dbfs = math.nan if self._detector is None else self._detector.noise_dbfs
        return {
            "canceller_trusted": float(self.trust.given),
            "canceller_doubted": self.trust.doubts,
            "echo_drift": self._reference.slips,
            "echo_jumps": self._reference.jumps,
            "echo_doubts": self._reference.doubts,
            "noise_dbfs": math.nan if noise_dbfs <= SILENCE_DBFS else noise_dbfs,
        }

    @property
    def at_rest(self) -> bool:
        """Nobody waits for what is heard, and the device was long silent: blocks may be taken several at a time."""
        if self.attentive or self.meter is not None or self._wake is not None or self._muted or self._deaf:
            return False
        return not self._minds_echo or self._since_sound >= WORK_ON_S * RATE

    def set_mute(self, muted: bool, now: float) -> None:
        """Mute from the next block on, or unmute from the first block captured wholly after `now`."""
        if self._muted and not muted:
            self._unmuted_at = now
        self._muted = muted

    def set_gain(self, db: float) -> None:
        """Amplify the microphone by so much from the next block on."""
        self.down.gain_db = db

    def set_input_ring_ms(self, ms: float) -> None:
        """The input device may hold so much sound before it is read."""
        self._input_ring_s = ms / 1_000

    def committed(self, speaker: NDArray[np.int32], *, silent: bool) -> None:
        """Take the frames (n, 2) that the loudspeaker was given; `silent` as of `FarEnd`."""
        if self._minds_echo:
            self._reference.put(speaker, silent=silent)

    def attend(self, on: bool, *, careful: bool) -> None:
        """Notice when somebody speaks, or no longer; `careful`: only who is louder than the background."""
        if self._detector is not None:
            if on is not self.attentive:
                self._late += self._detector.reset()
            self._detector.careful = careful
        self.attentive = on

    def listen_for(self, wake: WakeSpotter | None) -> None:
        """Listen for wake words, or no longer."""
        self._wake = wake

    def forget(self, now: float) -> None:
        """Let nothing that was captured before `now` come out any more, or be recognised."""
        self._unmuted_at = max(self._unmuted_at, now)
        self._start_anew()
        if self._canceller is not None and not self._canceller.gates:
            self._flush(self._canceller)

    def lost(self) -> None:
        """Sound was lost on either side: the canceller has to find the echo again."""
        self._reference.realign()
        self._doubt()
        if self._detector is not None:
            self._detector.hold_off(self._ring.written)

    def take(self, mic: NDArray[np.int32], now: float, queued: int, told: Callable[[NearEvent], None]) -> int:
        """Take a block (n, 2) that was complete at `now`; returns the samples that came into the ring.

        `queued`: frames that the loudspeaker still held then; `told` gets what is noticed.
        """
        captured_from = now - len(mic) / CARD_RATE - self._input_ring_s + _TICK_S
        muted = self._muted or captured_from < self._unmuted_at
        if muted:
            mic[:] = 0
        if muted is not self._deaf:
            self._deaf = muted
            self._start_anew()
            if self._detector is not None and not muted:
                self._detector.hold_off(self._ring.written)  # the echo under way is new to the canceller
        heard = self.down.process(mic)
        self.muted_blocks += muted
        if self.meter is not None:
            self.meter.mic(heard[:0] if muted else heard, len(heard))
        while self._late:
            told(self._late.pop(0))
        try:
            clean, gated, sounding = self._cancel(heard, queued, muted=muted)
        except Exception as error:
            if self._canceller is None or self._canceller.gates:
                raise
            self._canceller, self.trust = HalfDuplex(), Trust(given=True)
            told(PartFailed("canceller", error))
            clean, gated, sounding = np.zeros_like(heard), True, True
        if not muted:
            self._notice(clean, sounding, told)
        gated = gated and not self._person
        self.gated_blocks += gated
        gates = self._canceller is not None and self._canceller.gates
        self._ring.append(heard if gates else clean, muted=muted, gated=gated)
        return len(clean)

    @property
    def _minds_echo(self) -> bool:
        return self._canceller is not None or self._detector is not None

    def _cancel(self, heard: NDArray[np.int16], queued: int, *, muted: bool) -> tuple[NDArray[np.int16], bool, bool]:
        """Return the samples without the device's own sound, whether they are gated, and whether it sounds."""
        if not self._minds_echo:
            return heard, False, False
        far, loud = self._played(len(heard), queued)
        sounding = self._since_sound < self._tail
        canceller = self._canceller
        if canceller is None or not canceller.gates:
            self._person = self._person and sounding
        if canceller is None:
            return heard, False, sounding
        if canceller.gates:
            clean = canceller.process(heard, far, muted=muted)
            self._person = self._person and canceller.shut
            return clean, canceller.shut, canceller.shut
        worked, self._working = self._working, self.attentive or self._since_sound < WORK_ON_S * RATE
        if not self._working:
            return heard, False, sounding
        if not worked:
            self._flush(canceller)
        clean = canceller.process(heard, far, muted=muted)
        if muted:
            return clean, False, sounding
        doubtful = not self.trust.given and self.attentive and sounding
        if loud:
            self.trust.hear(far, clean, noise_dbfs=-math.inf if self._detector is None else self._detector.noise_dbfs)
        if doubtful and self._detector is not None:
            self._detector.hold_off(self._ring.written, (len(heard) + FRAME) / RATE)
        return clean, doubtful, sounding

    def _played(self, count: int, queued: int) -> tuple[NDArray[np.int16], bool]:
        """Return what the loudspeaker plays meanwhile, and whether that is any sound."""
        jumps, doubts = self._reference.jumps, self._reference.doubts
        far, loud = self._reference.take(count, queued=queued)
        if (self._reference.jumps, self._reference.doubts) != (jumps, doubts):
            self._doubt()  # the canceller may have to find the echo again
        if self._reference.jumps != jumps:
            loud = loud or self._canceller is not None  # the reference has a hole there, and the room has none
        self._since_sound = 0 if loud else self._since_sound + count
        if not loud:
            self.trust.rest(count)
        return far, loud

    def _start_anew(self) -> None:
        """Let filters and detectors begin with the next block."""
        self.down.forget()
        self._person = False
        if self._detector is not None:
            self._late += self._detector.reset()
        if self._wake is not None:
            self._wake.reset()

    @staticmethod
    def _flush(canceller: Canceller) -> None:
        """Push out what it still holds of the microphone; what it has learned of the room stays."""
        quiet = np.zeros(round(FLUSH_S * RATE), np.int16)
        canceller.process(quiet, quiet, muted=True)

    def _doubt(self) -> None:
        if self._canceller is not None and not self._canceller.trusted:
            self.trust.doubt()

    def _notice(self, clean: NDArray[np.int16], sounding: bool, told: Callable[[NearEvent], None]) -> None:
        start = self._ring.written
        detector = self._detector
        if detector is not None and self.attentive:
            try:
                found = detector.hear(clean, start, sounding=sounding)
            except Exception as error:  # noqa: BLE001  whatever it is, sound goes on without it
                self._detector, found = None, []
                told(PartFailed("detector", error))
            self._person = self._person or any(isinstance(event, NearEndConfirmed) for event in found)
            for event in found:
                told(event)
        elif detector is not None and not sounding:
            detector.overhear(clean)
        if self._wake is not None:
            end = start + len(clean)
            try:
                heard = self._wake.hear(clean)
            except Exception as error:  # noqa: BLE001  as above
                self._wake, heard = None, []
                told(PartFailed("wake", error))
            for one in heard:
                told(WakeHeard(end - one.ago, one.word, one.score, one.fired, one.kind))
