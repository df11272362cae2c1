"""Does somebody speak? Asked of the echo-cancelled microphone, twenty milliseconds at a time.

    detector = NearEndDetector(is_speech)
    for event in detector.hear(block, start=ring.written, sounding=True):
        ...
    far.duck(on=detector.ducking)

While the device sounds, what is left of its own echo must not count, and an answer that stops for nothing is worse than
one that stops late. So it takes two steps: a *suspicion* (a few frames that are speech and not faint) ducks the answer,
which makes the person stand out; *confirmation* (more and louder frames, soon, but not before the duck is heard) stops
it; else the answer comes back. In the first second of sound less is believed, and for half a second after sound was
lost nothing. Where other people talk, or a television, it takes a voice that stands out from them, or is about as loud
as whoever talked to the device before (`company`).

While it is silent, a *voice* starts with a stretch of speech louder than the background, and ends with a pause. The
background is what was heard of late while no voice was found: a television that runs is background, whoever speaks to
the device is louder. `careful` asks for that margin; a person who has just said the wake word needs none, but once they
have been louder than the background, it does not speak for them any more.

Neither is believed where it hardly stands out from the room's steady noise (`noise`), which is learned while the device
is silent: the canceller lets noise through in the gaps of an answer, and loud noise passes for speech.

The policy is data. Pure; what a frame of speech is decides `is_speech(frame)` (s16le, 20 ms at 16 kHz).
"""

from __future__ import annotations

import enum
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_agent.audio.company import BACKGROUND_S, Company, dbfs
from edge_agent.audio.filters import UP_RATE
from edge_agent.audio.noise import NoiseFloor
from edge_agent.errors import DeviceError

RATE = UP_RATE
FRAME = 320
"""Samples of a frame: 20 ms, the longest that WebRTC's detector and every block length share."""

_FRAMES_PER_S = RATE // FRAME
_FULL_SCALE = 32_768.0


@dataclass(frozen=True, slots=True)
class Few:
    """At least `hits` of the last `frames` frames are speech above `dbfs`."""

    hits: int
    frames: int
    dbfs: float


@dataclass(frozen=True, slots=True)
class Policy:
    """The thresholds, for speech that reaches the detector at about -30 dBFS; times in seconds.

    Levels are absolute: they belong to the microphone's fixed gain, which calibration sets.
    """

    suspicion: Few = Few(3, 4, -55.0)
    confirmation: Few = Few(6, 8, -48.0)
    within_s: float = 0.6
    """From suspicion to confirmation; later it is a new suspicion."""
    settle_s: float = 0.16
    """Confirmed at the earliest so long after the suspicion: what is left of an echo is gone when the duck is heard."""
    early_suspicion: Few = Few(4, 5, -50.0)
    early_confirmation: Few = Few(8, 10, -46.0)
    early_s: float = 1.0
    """The first second of sound after a silence, in which the canceller learns."""
    hold_off_s: float = 0.5
    voice: Few = Few(6, 10, -55.0)
    over_noise_db: float = 8.0
    """So much louder than the room's steady noise whatever counts must be: the detector takes loud noise for speech."""
    over_others_db: float = 8.0
    """Over an answer, a voice must be so much louder than the background, or"""
    under_talker_db: float = 8.0
    """where that is less, at most so much softer than whoever talked to the device before."""
    over_background_db: float = 6.0
    """Into silence; the background's own loud words come to this now and then, and cost a turn there, not an answer."""
    on_background_db: float = 3.0
    """A voice that has been louder than the background goes on while it is so much over it."""
    pause_s: float = 0.8
    """A voice ends with this much without speech."""
    background_s: float = BACKGROUND_S


@dataclass(frozen=True, slots=True)
class NearEndSuspected:
    """Somebody may be speaking over the answer since `sample`."""

    sample: int


@dataclass(frozen=True, slots=True)
class NearEndConfirmed:
    """Somebody speaks over the answer since `sample`."""

    sample: int


@dataclass(frozen=True, slots=True)
class NearEndCleared:
    """It was nothing: the answer comes back."""

    sample: int


@dataclass(frozen=True, slots=True)
class VoiceStarted:
    """Somebody speaks since `sample`."""

    sample: int


@dataclass(frozen=True, slots=True)
class VoiceEnded:
    """The last speech was heard before `sample`."""

    sample: int


NearEndEvent = NearEndSuspected | NearEndConfirmed | NearEndCleared | VoiceStarted | VoiceEnded


class _Phase(enum.Enum):
    QUIET = enum.auto()
    SUSPECTED = enum.auto()
    VOICE = enum.auto()  # somebody speaks, over an answer or into silence


class NearEndDetector:
    """See the module's docstring; samples in events are those of `start`.

    Args:
        is_speech: tells whether a frame of `FRAME` samples, s16le, is speech.
        policy: the thresholds.
    """

    def __init__(self, is_speech: Callable[[bytes], bool], policy: Policy | None = None) -> None:
        self.policy = policy or Policy()
        self._careful = True
        self._is_speech = is_speech
        self._phase = _Phase.QUIET
        self._rest = np.zeros(0, np.int16)
        self._levels: list[float] = []  # dBFS of the last frames that were speech, -inf for those that were not
        self._most = max(
            few.frames
            for few in (
                self.policy.suspicion,
                self.policy.confirmation,
                self.policy.early_suspicion,
                self.policy.early_confirmation,
                self.policy.voice,
            )
        )
        self._since = 0  # first sample of the suspicion or voice
        self._settled = 0  # a suspicion is not confirmed before this sample
        self._until = 0  # and lives until this one
        self._spoken = 0  # end of the last frame of speech
        self._sounding_since: int | None = None
        self._deaf_until = 0
        self._company = Company(background_s=self.policy.background_s)
        self._noise = NoiseFloor()
        self._stood_out = False  # the voice has been louder than the background
        self._met = False  # so was a voice since somebody asked the device to listen
        self._begun = False  # the voice began in silence
        self._overheard = np.zeros(0, np.int16)
        self._now = 0
        self._heard_until = 0

    @property
    def careful(self) -> bool:
        """A voice must stand out from the background."""
        return self._careful

    @careful.setter
    def careful(self, careful: bool) -> None:
        self._met = self._met and (careful or not self._careful)  # somebody asks anew, and may speak softly
        self._careful = careful

    @property
    def ducking(self) -> bool:
        """The answer should be lowered: somebody may be speaking over it, or does."""
        return self._phase is _Phase.SUSPECTED or (self._phase is _Phase.VOICE and self._sounding_since is not None)

    @property
    def background_dbfs(self) -> float:
        """Mean level of what did not mean the device."""
        return self._company.background_dbfs

    @property
    def noise_dbfs(self) -> float:
        """The room's steady noise."""
        return self._noise.dbfs

    def hold_off(self, at: int, seconds: float | None = None) -> None:
        """What is left of the echo is not to be trusted from sample `at` on; None: as long as where sound was lost."""
        wanted = self.policy.hold_off_s if seconds is None else seconds
        self._deaf_until = max(self._deaf_until, at + round(wanted * RATE))

    def reset(self) -> list[NearEndEvent]:
        """Forget what was heard, and return how that ends; the background stays."""
        events: list[NearEndEvent] = []
        if self._phase is _Phase.SUSPECTED:
            events.append(NearEndCleared(self._now))
        elif self._phase is _Phase.VOICE:
            events.append(VoiceEnded(self._spoken))
        self._settle()
        self._phase = _Phase.QUIET
        self._rest, self._overheard = self._rest[:0], self._overheard[:0]
        self._levels.clear()
        self._sounding_since = None
        self._met = False
        return events

    def hear(self, block: NDArray[np.int16], start: int, *, sounding: bool) -> list[NearEndEvent]:
        """Take the next samples (n,) from sample `start` on; less than a frame waits for the next call.

        `sounding`: the device's own sound may be in them.
        """
        if len(self._rest) and start == self._heard_until:
            start -= len(self._rest)
            block = np.concatenate([self._rest, block])
        self._heard_until = start + len(block)
        frames = block[: len(block) // FRAME * FRAME].reshape(-1, FRAME)
        self._rest = block[frames.size :].copy()
        events: list[NearEndEvent] = []
        if not sounding:
            self._sounding_since = None
        elif self._sounding_since is None:
            self._sounding_since = start
            self._first_sound(events)
        wide = frames.astype(np.float32)
        for number, power in enumerate(np.einsum("ij,ij->i", wide, wide).tolist()):
            self._now = start + (number + 1) * FRAME
            mean = power / (FRAME * _FULL_SCALE**2)
            level = dbfs(mean)
            speech = level > self._faintest and self._is_speech(frames[number].tobytes())
            self._take(level if speech else -math.inf)
            if self._sounding_since is None:
                self._silent_frame(mean, events)
            else:
                self._sounding_frame(events)
        return events

    def overhear(self, block: NDArray[np.int16]) -> None:
        """Let a block (n,) that nobody asks about count for the background."""
        heard = np.concatenate([self._overheard, block])
        frames = heard[: len(heard) // FRAME * FRAME].reshape(-1, FRAME).astype(np.float32)
        self._overheard = heard[frames.size :]
        for power in (np.einsum("ij,ij->i", frames, frames) / (FRAME * _FULL_SCALE**2)).tolist():
            self._company.background(power, 1 / _FRAMES_PER_S)
            self._noise.take(power, 1 / _FRAMES_PER_S)

    def _first_sound(self, events: list[NearEndEvent]) -> None:
        """The device begins to sound: what was heard before is over, whoever goes on speaking speaks over it."""
        if self._phase is _Phase.VOICE:
            events.append(VoiceEnded(self._spoken))
        self._settle()
        self._phase = _Phase.QUIET
        self._met = False
        self._levels.clear()

    @property
    def _faintest(self) -> float:
        return min(self.policy.suspicion.dbfs, self.policy.voice.dbfs)

    def _take(self, level: float) -> None:
        self._levels.append(level)
        del self._levels[: -self._most]
        if level > -math.inf and not (self._sounding_since is None and self._stood_out):
            self._spoken = self._now

    def _sounding_frame(self, events: list[NearEndEvent]) -> None:
        policy = self.policy
        if self._now < self._deaf_until:
            self._levels.clear()
        early = self._now - (self._sounding_since or 0) <= policy.early_s * RATE
        suspicion = self._over_others(policy.early_suspicion if early else policy.suspicion)
        confirmation = self._over_others(policy.early_confirmation if early else policy.confirmation)
        if self._phase is _Phase.QUIET and self._heard(suspicion):
            self._phase = _Phase.SUSPECTED
            self._since = self._now - self._age(suspicion) * FRAME
            self._settled = self._now + round(policy.settle_s * RATE)
            self._until = self._now + round(policy.within_s * RATE)
            events.append(NearEndSuspected(self._since))
        if self._phase is _Phase.SUSPECTED:
            if self._now >= self._settled and self._heard(confirmation):
                self._phase = _Phase.VOICE
                events.append(NearEndConfirmed(self._since))
            elif self._now >= self._until:
                self._phase = _Phase.QUIET
                self._levels.clear()
                events.append(NearEndCleared(self._now))
        elif self._phase is _Phase.VOICE:
            self._end_of_voice(events)

    def _silent_frame(self, power: float, events: list[NearEndEvent]) -> None:
        policy = self.policy
        self._noise.take(power, 1 / _FRAMES_PER_S)
        if self._phase is _Phase.SUSPECTED:  # the answer ended by itself
            self._phase = _Phase.QUIET
            events.append(NearEndCleared(self._now))
        if self._phase is _Phase.VOICE:
            self._stood_out = self._stood_out or self._heard(self._over_background(policy.over_background_db))
            self._met = self._met or self._stood_out
            self._company.talks(power if self._levels[-1] > -math.inf else 0.0)
            if self._stood_out and self._heard(self._over_background(policy.on_background_db), now=True):
                self._spoken = self._now
            self._end_of_voice(events)
            return
        wanted = self._over_background(policy.over_background_db if self.careful or self._met else None)
        if self._heard(wanted):
            self._phase = _Phase.VOICE
            self._begun = True
            self._company.recall()
            self._spoken = self._now
            self._since = self._now - self._age(wanted) * FRAME
            events.append(VoiceStarted(self._since))
            return
        self._company.background(power, 1 / _FRAMES_PER_S)

    def _settle(self) -> None:
        """The voice, if there was one, is over."""
        self._company.recall()
        self._company.settle(over_db=self.policy.over_others_db if self._begun else None)
        self._begun = self._stood_out = False

    def _end_of_voice(self, events: list[NearEndEvent]) -> None:
        if self._now - self._spoken >= self.policy.pause_s * RATE:
            self._settle()
            self._phase = _Phase.QUIET
            self._levels.clear()
            events.append(VoiceEnded(self._spoken))

    def _over_background(self, db: float | None) -> Few:
        """Return what a voice takes that is so much louder than the background; None: whatever that is."""
        voice = self._over_noise(self.policy.voice)
        return voice if db is None else Few(voice.hits, voice.frames, max(voice.dbfs, self.background_dbfs + db))

    def _over_others(self, few: Few) -> Few:
        """Return what it takes over an answer in a room as noisy as this one, in which others talk."""
        quiet = self._over_noise(few)
        others = self._company.least(over_db=self.policy.over_others_db, under_db=self.policy.under_talker_db)
        return Few(quiet.hits, quiet.frames, max(quiet.dbfs, others))

    def _over_noise(self, few: Few) -> Few:
        """Return what it takes in a room as noisy as this one."""
        floor = self._noise.dbfs + self.policy.over_noise_db
        return few if few.dbfs >= floor else Few(few.hits, few.frames, floor)

    def _heard(self, few: Few, *, now: bool = False) -> bool:
        """Tell whether the last frames are enough; `now`: and the very last is one of them."""
        recent = self._levels[-few.frames :]
        return sum([level > few.dbfs for level in recent]) >= few.hits and (not now or recent[-1] > few.dbfs)

    def _age(self, few: Few) -> int:
        """Return the frames since the first of those that count."""
        recent = self._levels[-few.frames :]
        return next((len(recent) - number for number, level in enumerate(recent) if level > few.dbfs), 1)


def webrtc_speech() -> Callable[[bytes], bool]:
    """Return WebRTC's voice detector at its strictest, for frames of 20 ms at 16 kHz.

    Raises:
        DeviceError: it is not installed.
    """
    try:
        import webrtcvad  # noqa: PLC0415  only where an open microphone is
    except ImportError:
        raise DeviceError("The voice detector webrtcvad is not installed; install webrtcvad-wheels.") from None
    detector = webrtcvad.Vad(3)
    return lambda frame: bool(detector.is_speech(frame, RATE))
