"""The far end: answers, prompts and cues on their way to the loudspeaker.

    far = FarEnd(block_frames=960, volume=60)
    far.queue.put(samples); far.say(samples); far.cue(sound)
    speaker = far.render(frames, told=print)   # (frames, 2) int32: a view that the next call overwrites

    answer or prompt -> duck -> cues mixed over -> volume -> soft limit -> Interpolator -> frames

A prompt waits for the answer, or for a gap in it. `duck` lowers answer and prompt, not the cues. Rendering goes in
whole milliseconds and keeps the rest, so the same sound comes for any way of asking for it. `silent` tells that what
was just rendered holds no sound, and neither did what came 20 ms before.

Numbers in events count 48 kHz frames since the start, filter delay included, so an event may lie up to 2 ms ahead of
what has been handed out. Pure; `say` and `hush` may be called from another thread than `render`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_agent.audio import playback
from edge_agent.audio.filters import CARD_RATE, DOWN_RATE, Interpolator, beyond, soft_clip
from edge_agent.audio.levels import Meter
from edge_agent.audio.playback import FADE_SAMPLES, PlaybackQueue
from edge_agent.audio.volume import Ramp, VolumeRamp

PROMPT_LIMIT_S = 120.0
"""Local prompts that may wait; more is dropped and counted."""

DUCK_DB = -18.0
"""How far a suspicion of speech lowers the answer: more gains nothing and is heard as a hole (measured)."""

_ROW = 24  # samples at 24 kHz rendered at a time: 1 ms, 48 frames
_AUDIBLE = 0.001  # -60 dBFS: what a recording is softer than at its end is no sentence any more
_KNEE = np.float32(0.9)  # an answer below -0.9 dBFS passes untouched
_TOP = np.float32(0.99)
_VOICES = 4  # cues sounding at once; a fifth replaces the oldest
_YIELD_MS = 500.0  # an answer that has been dry for this long lets a prompt go first
_DELAY = round(Interpolator.delay_s * CARD_RATE)
_DUCK_MS = 20  # down fast, for the person to be heard
_RESTORE_MS = 200  # up gently


@dataclass(slots=True)
class AnswerStarted:
    """The first sample of an answer stands at `frame`."""

    frame: int


@dataclass(slots=True)
class AnswerEnded:
    """The answer was played out; its last sample stands before `frame`. Never follows a flush of the same answer."""

    frame: int


@dataclass(slots=True)
class Flushed:
    """The flush took effect: the last old sample stands before `frame`, and `dropped_ms` were not played."""

    frame: int
    dropped_ms: float


@dataclass(slots=True)
class Underrun:
    """The answer ran dry before its end and goes on at `frame` after `gap_ms` of silence."""

    frame: int
    gap_ms: float


FarEvent = AnswerStarted | AnswerEnded | Flushed | Underrun


class FarEnd:
    """See the module's docstring.

    Args:
        block_frames: frames usually asked for.
        volume: loudness, 0 to 100.
    """

    def __init__(self, *, block_frames: int, volume: int) -> None:
        self.queue = PlaybackQueue()
        self.volume = VolumeRamp(volume)
        self.meter: Meter | None = None
        """Measures what is heard, where somebody wants to know."""
        self.silent = True
        """What was just rendered holds no sound, and neither did the 20 ms before."""
        self.prompting = False
        """What was just rendered holds a prompt's sound, not only the silence that it ends with."""
        self.flushes = 0
        self.prompt_dropped_ms = 0.0
        self._duck = Ramp(1.0)
        self._prompts: deque[NDArray[np.float32]] = deque()
        self._prompt = np.zeros(0, np.float32)
        self._voices: list[NDArray[np.float32]] = []
        self._up = Interpolator()
        self._mix = np.zeros(block_frames, np.float32)
        self._out = np.zeros((2 * block_frames, 2), np.int32)
        self._rest = np.zeros((0, 2), np.int32)  # rendered beyond what was asked for, under 1 ms

    @property
    def prompt_ms(self) -> float:
        """Prompts that wait or are being heard, milliseconds."""
        return (len(self._prompt) + sum(map(len, list(self._prompts)))) * 1_000 / DOWN_RATE

    def say(self, samples: NDArray[np.float32]) -> None:
        """Queue a prompt (n,) at 24 kHz; what would wait longer than `PROMPT_LIMIT_S` is dropped and counted."""
        if len(samples) + sum(map(len, list(self._prompts))) > PROMPT_LIMIT_S * DOWN_RATE:
            self.prompt_dropped_ms += len(samples) * 1_000 / DOWN_RATE
            return
        self._prompts.append(samples)

    def hush(self) -> None:
        """Forget the prompts that wait; `stop_own_sounds` ends the one that is heard."""
        self._prompts.clear()

    def stop_own_sounds(self) -> None:
        """Fade prompt and cues out within 7 ms."""
        self._prompt = _faded(self._prompt)
        self._voices = [_faded(sound) for sound in self._voices]

    def cue(self, sound: NDArray[np.float32]) -> None:
        """Mix a sound (n,) at 24 kHz over whatever is heard, from now on."""
        self._voices = [*self._voices, sound][-_VOICES:]

    def duck(self, *, on: bool) -> None:
        """Lower answer and prompt by `DUCK_DB` within 20 ms, or let them come back within 200 ms."""
        if on:
            self._duck.move(10 ** (DUCK_DB / 20), _DUCK_MS * DOWN_RATE // 1_000)
        else:
            self._duck.move(1.0, _RESTORE_MS * DOWN_RATE // 1_000)

    def render(self, frames: int, told: Callable[[FarEvent], None]) -> NDArray[np.int32]:
        """Return exactly `frames` frames (frames, 2) int32; `told` gets what happened."""
        missing = frames - len(self._rest)
        if missing <= 0:
            speaker, self._rest = self._rest[:frames], self._rest[frames:]
            return speaker
        made = self._render(-(-missing // (2 * _ROW)) * _ROW, told)
        if not len(self._rest) and missing == len(made):
            return made
        if frames > len(self._out):
            self._out = np.empty((frames, 2), np.int32)
        speaker = self._out[:frames]
        speaker[: frames - missing] = self._rest
        speaker[frames - missing :] = made[:missing]
        self._rest = made[missing:].copy()
        return speaker

    def _render(self, count: int, told: Callable[[FarEvent], None]) -> NDArray[np.int32]:
        """Mix and interpolate `count` samples at 24 kHz."""
        if count > len(self._mix):
            self._mix = np.empty(count, np.float32)
        mix = self._mix[:count]
        sounding = self._answer_or_prompt(mix, told)
        if sounding:
            self._duck.apply(mix)
        else:
            self._duck.finish()
        sounding = self._cues_over(mix) or sounding
        if not sounding:
            self.volume.finish()
            if self.meter is not None:
                self.meter.speaker(mix[:0], count)
            self.silent = self._up.settled
            return self._up.silence(count)
        self.silent = self.volume.silent and self._up.settled
        self.volume.apply(mix)
        if beyond(mix, float(_KNEE)):
            soft_clip(mix, knee=float(_KNEE), top=float(_TOP))
        if self.meter is not None:
            self.meter.speaker(mix, count)
        return self._up.process(mix)

    def _answer_or_prompt(self, mix: NDArray[np.float32], told: Callable[[FarEvent], None]) -> bool:
        """Fill `mix`; True if an answer or a prompt is in it."""
        at = 0
        sounding = self.prompting = False
        while at < len(mix):
            if len(self._prompt):
                piece = self._prompt[: len(mix) - at]
                mix[at : at + len(piece)] = piece
                self._prompt = self._prompt[len(piece) :]
                self._note(self.queue.hold(len(piece)), told)
                at += len(piece)
                sounding = True
                self.prompting = self.prompting or beyond(piece, _AUDIBLE)
            elif self._prompts and (self.queue.idle or self.queue.dry_ms >= _YIELD_MS):
                self._next_prompt()
            else:
                count = min(_ROW, len(mix) - at) if self._prompts else len(mix) - at
                before = self.queue.played
                self._note(self.queue.pull(mix[at : at + count]), told)
                at += count
                sounding = sounding or self.queue.played > before
        return sounding

    def _next_prompt(self) -> None:
        try:
            self._prompt = self._prompts.popleft()
        except IndexError:  # hushed in between
            self._prompt = self._prompt[:0]

    def _cues_over(self, mix: NDArray[np.float32]) -> bool:
        """Add the cues that are sounding; True if there are any."""
        if not self._voices:
            return False
        for number, sound in enumerate(self._voices):
            piece = sound[: len(mix)]
            mix[: len(piece)] += piece
            self._voices[number] = sound[len(piece) :]
        self._voices = [sound for sound in self._voices if len(sound)]
        return True

    def _note(self, happened: list[playback.PlaybackEvent], told: Callable[[FarEvent], None]) -> None:
        """Turn the queue's events, counted in 24 kHz samples, into the engine's."""
        for event in happened:
            frame = 2 * event.at + _DELAY
            match event:
                case playback.Started():
                    told(AnswerStarted(frame))
                case playback.Ended():
                    told(AnswerEnded(frame))
                case playback.Resumed(gap_ms=gap_ms):
                    told(Underrun(frame, gap_ms))
                case playback.Flushed(dropped_ms=dropped_ms):
                    self.flushes += 1
                    told(Flushed(frame, dropped_ms))


def _faded(sound: NDArray[np.float32]) -> NDArray[np.float32]:
    tail = sound[:FADE_SAMPLES]
    return tail * (0.5 + 0.5 * np.cos(np.pi * np.arange(1, len(tail) + 1) / (len(tail) + 1))).astype(np.float32)
