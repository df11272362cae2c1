"""The sound engine: one pure pass per block, from microphone to ring and from playback queue to loudspeaker.

    engine = Duplex(block_frames=960, ring=CaptureRing(), mic_gain_db=24, mic_channel="auto", volume=60,
                    half_duplex=False)
    step = engine.step(mic, now, frames_out)     # sound thread, once per microphone block
    engine.play(pcm); engine.end_of_answer(); engine.flush(); engine.cue("listen")    # loop, at any time

    near end   mic -> Decimator (gain, 16 kHz) -> mute, half-duplex -> CaptureRing
    far end    answer or prompt -> cues mixed over -> volume -> soft limit -> Interpolator -> frames_out frames

The engine knows no clock, thread, socket or file: `now` comes in with the block. The near end is taken first, with what
earlier steps have committed to the loudspeaker as its past; an echo canceller belongs between Decimator and mute, with
the far end's output as its reference, ducking beside the volume, a wake word after mute.

Promises: `step` returns exactly `frames_out` frames, and the same sound for any way of asking for it. After `flush()`
the next step holds at most 10 ms more of the old answer, fading, and later steps none. Sound captured before or during
mute never reaches the ring; after unmute the ring opens with the first block captured wholly after it. Numbers in
events count 48 kHz output frames since the engine started, filter delay included, so an event may lie up to 2 ms ahead
of what has been handed out.

Commands go through deques that a step empties first; nothing here takes a lock.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_agent.audio import playback
from edge_agent.audio.cues import load_cues
from edge_agent.audio.filters import (
    CARD_RATE,
    DOWN_RATE,
    Channel,
    Decimator,
    Interpolator,
    resample,
    soft_clip,
)
from edge_agent.audio.levels import Level, Meter
from edge_agent.audio.playback import FADE_SAMPLES, PlaybackQueue
from edge_agent.audio.ring import CaptureRing
from edge_agent.audio.volume import VolumeRamp, gain

TAIL_S = 0.3
"""Half-duplex keeps the microphone shut this long after the last sound: output ring, room and a margin."""

PROMPT_LIMIT_S = 120.0
"""Local prompts that may wait; more is dropped and counted."""

_ROW = 24  # samples at 24 kHz rendered at a time: 1 ms, 48 frames
_KNEE = np.float32(0.9)  # an answer below -0.9 dBFS passes untouched
_TOP = np.float32(0.99)
_VOICES = 4  # cues sounding at once; a fifth replaces the oldest
_YIELD_MS = 500.0  # an answer that has been dry for this long lets a prompt go first
_DELAY = round(Interpolator.delay_s * CARD_RATE)
_TICK_S = 1e-6  # rounding of `now`; far less than a sample


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


__all__ = [
    "AnswerEnded",
    "AnswerStarted",
    "Duplex",
    "EngineEvent",
    "Flushed",
    "Level",
    "Step",
    "Underrun",
]

EngineEvent = AnswerStarted | AnswerEnded | Flushed | Underrun | Level


@dataclass(slots=True)
class Step:
    """What one step gives; `speaker` (frames_out, 2) int32 is a view that the next step overwrites."""

    speaker: NDArray[np.int32]
    wake: bool
    events: list[EngineEvent]


class Duplex:
    """See the module's docstring.

    Args:
        block_frames: frames of a microphone block.
        ring: where the microphone's sound goes.
        mic_gain_db: gain before the cut to 16 bits.
        mic_channel: the slot the microphone fills: auto, left, right or mono.
        volume: loudness, 0 to 100.
        half_duplex: the ring gets silence while the device is heard.
        input_ring_ms: the most sound the input device may hold before it is read.
        cues: sounds by name at 24 kHz; None: the built-in ones.
    """

    def __init__(
        self,
        *,
        block_frames: int,
        ring: CaptureRing,
        mic_gain_db: float,
        mic_channel: Channel,
        volume: int,
        half_duplex: bool,
        input_ring_ms: float = 0.0,
        cues: Mapping[str, NDArray[np.float32]] | None = None,
    ) -> None:
        self._input_ring_s = input_ring_ms / 1_000
        self._half_duplex = half_duplex
        self._cues = load_cues() if cues is None else dict(cues)
        self._commands: deque[Callable[[float], None]] = deque()
        self._ring = ring
        self._down = Decimator(gain_db=mic_gain_db, channel=mic_channel)
        self._muted = False
        self._unmuted_at = -math.inf
        self._deaf = False  # the last block was muted
        self._shut_until = -math.inf
        self._queue = PlaybackQueue()
        self._prompts: deque[NDArray[np.float32]] = deque()
        self._prompt = np.zeros(0, np.float32)
        self._voices: list[NDArray[np.float32]] = []
        self._volume = VolumeRamp(volume)
        self._up = Interpolator()
        self._mix = np.zeros(block_frames, np.float32)
        self._out = np.zeros((2 * block_frames, 2), np.int32)
        self._rest = np.zeros((0, 2), np.int32)  # rendered beyond what was asked for, under 1 ms
        self._frames_out = 0
        self._wake_every = self._wake_wanted = 0
        self._meter = Meter()
        self._metering = False
        self._counts = {"blocks_captured": 0, "blocks_muted": 0, "blocks_half_duplex": 0, "flushes": 0}
        self._prompt_dropped_ms = 0.0

    def play(self, pcm: bytes, *, rate: int = DOWN_RATE) -> float:
        """Queue sound of an answer, s16le mono; returns the milliseconds dropped because 120 s already wait.

        Another rate than 24 kHz is converted chunk by chunk, with up to 1 ms of blur where chunks meet.

        Raises:
            ValueError: half a sample, or a rate that cannot be converted.
        """
        samples = _samples(pcm)
        if rate != DOWN_RATE:
            converted = resample(samples.astype(np.float32), rate, DOWN_RATE)
            samples = np.clip(np.rint(converted), -32_768, 32_767).astype(np.int16)
        return self._queue.put(samples)

    def end_of_answer(self) -> None:
        """Say that nothing more comes for this answer, so that it is played out however short it is."""
        self._queue.end()

    def flush(self) -> None:
        """Stop the answer: nothing queued before this call is heard but a fade inside the next 10 ms."""
        self._queue.flush()

    def wipe(self) -> None:
        """Stop the answer, and forget the microphone's last milliseconds that the filters still hold."""
        self._queue.flush()
        self._commands.append(lambda _: self._down.forget())

    def cue(self, name: str) -> None:
        """Play a sound of the cue table over whatever else is heard.

        Raises:
            LookupError: there is no such cue.
        """
        if name not in self._cues:
            msg = f"there is no cue {name}; there are {', '.join(self._cues)}"
            raise LookupError(msg)
        sound = self._cues[name]
        self._commands.append(lambda _: self._add_voice(sound))

    def say(self, pcm: bytes, *, rate: int) -> None:
        """Play a local prompt, s16le mono, after the answer and the prompts that wait; a flush does not touch it.

        Raises:
            ValueError: half a sample, or a rate that cannot be converted.
        """
        samples = resample(_samples(pcm).astype(np.float32) / np.float32(32_768), rate, DOWN_RATE)
        if len(samples) + sum(map(len, list(self._prompts))) > PROMPT_LIMIT_S * DOWN_RATE:
            self._prompt_dropped_ms += len(samples) * 1_000 / DOWN_RATE
            return
        self._prompts.append(samples)

    def hush(self) -> None:
        """Stop prompts and cues, those that wait included, with a fade of 7 ms."""
        self._prompts.clear()
        self._commands.append(lambda _: self._stop_own_sounds())

    def set_volume(self, volume: int) -> None:
        """Move to a volume from 0 to 100 within 20 ms of sound.

        Raises:
            ValueError: the volume is not from 0 to 100.
        """
        gain(volume)
        self._commands.append(lambda _: self._volume.set(volume))

    def set_mute(self, muted: bool) -> None:
        """Shut the ring from the very next block on, or open it for the first block captured wholly after this."""
        self._commands.append(lambda now: self._set_mute(muted, now))

    def set_gain(self, db: float) -> None:
        """Set the microphone's gain."""
        self._commands.append(lambda _: setattr(self._down, "gain_db", db))

    def set_input_ring_ms(self, ms: float) -> None:
        """Tell how much sound the input device that was just opened may hold."""
        self._commands.append(lambda _: setattr(self, "_input_ring_s", ms / 1_000))

    def wake_loop(self, every: int) -> None:
        """From now on `Step.wake` says when a multiple of `every` 16 kHz samples was captured; 0: never.

        A wake-up costs the loop more than all filters: ask for whole messages, and for blocks (1) only at a turn's end.
        """
        if every != self._wake_wanted:
            self._wake_wanted = every
            self._commands.append(lambda _: setattr(self, "_wake_every", every))

    def levels(self, on: bool) -> None:
        """While on, `Level` events come ten times a second."""
        self._commands.append(lambda _: self._set_levels(on))

    @property
    def captured(self) -> int:
        """16 kHz samples in the ring so far."""
        return self._ring.written

    @property
    def frames_out_total(self) -> int:
        """48 kHz frames handed out so far: the playback clock."""
        return self._frames_out

    @property
    def queue_ms(self) -> float:
        """Sound of answers that waits, milliseconds."""
        return self._queue.queued_ms

    @property
    def prompt_ms(self) -> float:
        """Prompts that wait or are being heard, milliseconds."""
        return (len(self._prompt) + sum(map(len, list(self._prompts)))) * 1_000 / DOWN_RATE

    @property
    def counters(self) -> dict[str, float]:
        """Figures since the start, for the metrics."""
        return self._counts | {
            "underruns": self._queue.gaps,
            "answer_ms_played": self._queue.played * 1_000 / DOWN_RATE,
            "answer_ms_dropped": self._queue.dropped_ms,
            "prompt_ms_dropped": self._prompt_dropped_ms,
            "start_threshold_ms": self._queue.start_ms,
            "clipped": self._down.clipped,
        }

    @property
    def mic_channel(self) -> str:
        """The slot in use: left, right or mono."""
        return self._down.channel

    def step(self, mic: NDArray[np.int32], now: float, frames_out: int) -> Step:
        """Take a microphone block (n, 2) int32 that was complete at `now`, give `frames_out` frames to play.

        `now` is monotonic seconds. Blocks may have any length; whole 10 ms pass without being held.
        """
        while self._commands:
            self._commands.popleft()(now)
        events: list[EngineEvent] = []
        fresh = self._near(mic, now)
        speaker = self._far(frames_out, now, events)
        if self._metering and self._meter.due():
            events.append(self._meter.read(self._down.clipped))
            self._meter = Meter(self._down.clipped)
        every, written = self._wake_every, self._ring.written
        return Step(speaker, bool(every) and written // every != (written - fresh) // every, events)

    def _near(self, mic: NDArray[np.int32], now: float) -> int:
        captured_from = now - len(mic) / CARD_RATE - self._input_ring_s + _TICK_S
        muted = self._muted or captured_from < self._unmuted_at
        if self._deaf and not muted:
            self._down.forget()
        self._deaf = muted
        heard = self._down.process(mic)
        self._counts["blocks_captured"] += 1
        self._counts["blocks_muted"] += muted
        if self._metering:
            self._meter.mic(heard[:0] if muted else heard, len(heard))
        if not muted and now - len(mic) / CARD_RATE < self._shut_until:
            self._counts["blocks_half_duplex"] += 1
            heard[:] = 0
        self._ring.append(heard, muted=muted)
        return len(heard)

    def _set_mute(self, muted: bool, now: float) -> None:
        if self._muted and not muted:
            self._unmuted_at = now
        self._muted = muted

    def _far(self, frames: int, now: float, events: list[EngineEvent]) -> NDArray[np.int32]:
        """Hand out exactly `frames` frames, rendering whole milliseconds and keeping the rest."""
        missing = frames - len(self._rest)
        if missing <= 0:
            speaker, self._rest = self._rest[:frames], self._rest[frames:]
        else:
            made = self._render(-(-missing // (2 * _ROW)) * _ROW, now + frames / CARD_RATE, events)
            if not len(self._rest) and missing == len(made):
                speaker = made
            else:
                if frames > len(self._out):
                    self._out = np.empty((frames, 2), np.int32)
                speaker = self._out[:frames]
                speaker[: frames - missing] = self._rest
                speaker[frames - missing :] = made[:missing]
                self._rest = made[missing:].copy()
        self._frames_out += frames
        return speaker

    def _render(self, count: int, until: float, events: list[EngineEvent]) -> NDArray[np.int32]:
        """Mix and interpolate `count` samples at 24 kHz, heard until about `until`."""
        if count > len(self._mix):
            self._mix = np.empty(count, np.float32)
        mix = self._mix[:count]
        sounding = self._answer_or_prompt(mix, events)
        sounding = self._cues_over(mix) or sounding
        if not sounding:
            self._volume.finish()
            if self._metering:
                self._meter.speaker(mix[:0], count)
            return self._up.silence(count)
        if self._half_duplex and not self._volume.silent:
            self._shut_until = until + TAIL_S
        self._volume.apply(mix)
        if max(float(mix.max()), -float(mix.min())) > _KNEE:
            soft_clip(mix, knee=float(_KNEE), top=float(_TOP))
        if self._metering:
            self._meter.speaker(mix, count)
        return self._up.process(mix)

    def _answer_or_prompt(self, mix: NDArray[np.float32], events: list[EngineEvent]) -> bool:
        """Fill `mix`; True if an answer or a prompt is in it."""
        at = 0
        sounding = False
        while at < len(mix):
            if len(self._prompt):
                piece = self._prompt[: len(mix) - at]
                mix[at : at + len(piece)] = piece
                self._prompt = self._prompt[len(piece) :]
                self._note(self._queue.hold(len(piece)), events)
                at += len(piece)
                sounding = True
            elif self._prompts and (self._queue.idle or self._queue.dry_ms >= _YIELD_MS):
                self._next_prompt()
            else:
                count = min(_ROW, len(mix) - at) if self._prompts else len(mix) - at
                before = self._queue.played
                self._note(self._queue.pull(mix[at : at + count]), events)
                at += count
                sounding = sounding or self._queue.played > before
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

    def _add_voice(self, sound: NDArray[np.float32]) -> None:
        self._voices = [*self._voices, sound][-_VOICES:]

    def _stop_own_sounds(self) -> None:
        self._prompt = _faded(self._prompt)
        self._voices = [_faded(sound) for sound in self._voices]

    def _note(self, happened: list[playback.PlaybackEvent], events: list[EngineEvent]) -> None:
        """Turn the queue's events, counted in 24 kHz samples, into the engine's."""
        for event in happened:
            frame = 2 * event.at + _DELAY
            match event:
                case playback.Started():
                    events.append(AnswerStarted(frame))
                case playback.Ended():
                    events.append(AnswerEnded(frame))
                case playback.Resumed(gap_ms=gap_ms):
                    events.append(Underrun(frame, gap_ms))
                case playback.Flushed(dropped_ms=dropped_ms):
                    self._counts["flushes"] += 1
                    events.append(Flushed(frame, dropped_ms))

    def _set_levels(self, on: bool) -> None:
        if on and not self._metering:
            self._meter = Meter(self._down.clipped)
        self._metering = on


def _samples(pcm: bytes) -> NDArray[np.int16]:
    if len(pcm) % 2:
        msg = f"{len(pcm)} bytes are no whole number of 16-bit samples"
        raise ValueError(msg)
    return np.frombuffer(pcm, "<i2").astype(np.int16, copy=False)


def _faded(sound: NDArray[np.float32]) -> NDArray[np.float32]:
    tail = sound[:FADE_SAMPLES]
    return tail * (0.5 + 0.5 * np.cos(np.pi * np.arange(1, len(tail) + 1) / (len(tail) + 1))).astype(np.float32)
