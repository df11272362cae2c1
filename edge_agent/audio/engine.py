"""The sound engine: one pure pass per block, from microphone to ring and from playback queue to loudspeaker.

    engine = Duplex(block_frames=960, ring=CaptureRing(), mic_gain_db=24, mic_channel="auto", volume=60)
    step = engine.step(mic, now, frames_out, queued=fill)   # sound thread, once per microphone block
    engine.play(pcm); engine.end_of_answer(); engine.flush(); engine.cue("listen")    # loop, at any time

    near end (`nearend`)   mic -> mute -> Decimator -> echo canceller -> detectors, wake word -> CaptureRing
    far end (`farend`)     answer or prompt -> duck -> cues -> volume -> soft limit -> Interpolator -> frames_out frames

The engine knows no clock, thread, socket or file: `now` comes in with the block. The near end is taken first, with what
earlier steps have committed to the loudspeaker as its past: that is the canceller's reference, after volume and duck.
A suspicion of speech over the answer ducks it within this block and the next; who stops it is not decided here.

Promises: `step` returns exactly `frames_out` frames, and the same sound for any way of asking for it. After `flush()`
the next step holds at most 10 ms more of the old answer, fading, and later steps none. Sound captured before or during
mute never reaches the ring; after unmute the ring opens with the first block captured wholly after it. Numbers in
events of the far end count 48 kHz output frames since the engine started, filter delay included, so an event may lie up
to 2 ms ahead of what has been handed out; those of the near end count samples of the ring.

At rest, where nobody waits for what is heard, up to `idle_blocks` blocks are kept as they came and go through the near
end together: each pass finds cold caches, and that is most of what it costs. Any command, a sound of the device, and
whoever listens end that within the block; numbers of samples count kept ones too, and a wipe spares none of them.

Commands go through deques that a step empties first; nothing here takes a lock.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_agent.audio.bargein import (
    NearEndCleared,
    NearEndConfirmed,
    NearEndDetector,
    NearEndSuspected,
    VoiceEnded,
    VoiceStarted,
)
from edge_agent.audio.cues import load_cues
from edge_agent.audio.echo.canceller import Canceller
from edge_agent.audio.farend import AnswerEnded, AnswerStarted, FarEnd, Flushed, Underrun
from edge_agent.audio.filters import DOWN_RATE, Channel, resample
from edge_agent.audio.levels import Level, Meter
from edge_agent.audio.nearend import TAIL_S, NearEnd, NearEvent, PartFailed, WakeHeard, WakeSpotter
from edge_agent.audio.reference import lead_for
from edge_agent.audio.ring import CaptureRing
from edge_agent.audio.volume import gain

__all__ = [
    "AnswerEnded",
    "AnswerStarted",
    "Duplex",
    "EngineEvent",
    "Flushed",
    "Level",
    "NearEndCleared",
    "NearEndConfirmed",
    "NearEndSuspected",
    "PartFailed",
    "Step",
    "Underrun",
    "VoiceEnded",
    "VoiceStarted",
    "WakeHeard",
]

_ROOM = 2_400  # samples, 150 ms: a sentence is over in the room; more would cost who presses into it their first word

EngineEvent = (
    AnswerStarted
    | AnswerEnded
    | Flushed
    | Underrun
    | Level
    | NearEndSuspected
    | NearEndConfirmed
    | NearEndCleared
    | VoiceStarted
    | VoiceEnded
    | WakeHeard
    | PartFailed
)


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
        input_ring_ms: the most sound the input device may hold before it is read.
        cues: sounds by name at 24 kHz; None: the built-in ones.
        canceller: takes the device's own sound out of the microphone's; None: nothing does.
        detector: notices speech, over an answer and into silence; None: nobody asks.
        tail_s: the device is in the room this long after its last sound.
        idle_blocks: blocks taken together at rest; 1: each as it comes.
    """

    def __init__(
        self,
        *,
        block_frames: int,
        ring: CaptureRing,
        mic_gain_db: float,
        mic_channel: Channel,
        volume: int,
        input_ring_ms: float = 0.0,
        cues: Mapping[str, NDArray[np.float32]] | None = None,
        canceller: Canceller | None = None,
        detector: NearEndDetector | None = None,
        tail_s: float = TAIL_S,
        idle_blocks: int = 1,
    ) -> None:
        self._cues = load_cues() if cues is None else dict(cues)
        self._commands: deque[Callable[[float], None]] = deque()
        self._ring = ring
        self._near = NearEnd(
            ring,
            mic_gain_db=mic_gain_db,
            mic_channel=mic_channel,
            input_ring_ms=input_ring_ms,
            canceller=canceller,
            detector=detector,
            tail_s=tail_s,
            lead=lead_for(block_frames),
        )
        self._far = FarEnd(block_frames=block_frames, volume=volume)
        self._ducking = False
        self._own_voice_until = 0
        self._kept = np.zeros((block_frames * idle_blocks if idle_blocks > 1 else 0, 2), np.int32)
        self._kept_frames = 0
        self._kept_at = (0.0, 0)  # when the last was complete, what the loudspeaker held then and was given since
        self._blocks = 0
        self._frames_out = 0
        self._wake_every = self._wake_wanted = 0
        self._attentive = (False, True)

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
        return self._far.queue.put(samples)

    def end_of_answer(self) -> None:
        """Say that nothing more comes for this answer, so that it is played out however short it is."""
        self._far.queue.end()

    def flush(self) -> None:
        """Stop the answer: nothing queued before this call is heard but a fade inside the next 10 ms."""
        self._far.queue.flush()

    def wipe(self) -> None:
        """Stop the answer, and forget the microphone's last milliseconds that filters and detectors still hold."""
        self._far.queue.flush()
        self._commands.append(self._forget)

    def cue(self, name: str) -> None:
        """Play a sound of the cue table over whatever else is heard.

        Raises:
            LookupError: there is no such cue.
        """
        if name not in self._cues:
            msg = f"there is no cue {name}; there are {', '.join(self._cues)}"
            raise LookupError(msg)
        sound = self._cues[name]
        self._commands.append(lambda _: self._far.cue(sound))

    def say(self, pcm: bytes, *, rate: int) -> None:
        """Play a local prompt, s16le mono, after the answer and the prompts that wait; a flush does not touch it.

        Raises:
            ValueError: half a sample, or a rate that cannot be converted.
        """
        self._far.say(resample(_samples(pcm).astype(np.float32) / np.float32(32_768), rate, DOWN_RATE))

    def hush(self) -> None:
        """Stop prompts and cues, those that wait included, with a fade of 7 ms."""
        self._far.hush()
        self._commands.append(lambda _: self._far.stop_own_sounds())

    def set_volume(self, volume: int) -> None:
        """Move to a volume from 0 to 100 within 20 ms of sound.

        Raises:
            ValueError: the volume is not from 0 to 100.
        """
        gain(volume)
        self._commands.append(lambda _: self._far.volume.set(volume))

    def set_mute(self, muted: bool) -> None:
        """Shut the microphone from the very next block on, or open it for the first block captured wholly after this.

        May be called from any thread: a switch need not wait for the loop.
        """
        self._commands.append(lambda now: self._near.set_mute(muted, now))

    def set_gain(self, db: float) -> None:
        """Set the microphone's gain."""
        self._commands.append(lambda _: self._near.set_gain(db))

    def set_input_ring_ms(self, ms: float) -> None:
        """Tell how much sound the input device that was just opened may hold."""
        self._commands.append(lambda _: self._near.set_input_ring_ms(ms))

    def attend(self, on: bool, *, careful: bool = True) -> None:
        """Notice from now on when somebody speaks, or no longer; `careful`: only who is louder than the background."""
        if self._attentive != (on, careful):
            self._attentive = (on, careful)
            self._commands.append(lambda _: self._near.attend(on, careful=careful))

    def listen_for(self, wake: WakeSpotter | None) -> None:
        """Listen for wake words from now on, or no longer."""
        self._commands.append(lambda _: self._near.listen_for(wake))

    def sound_lost(self) -> None:
        """Sound was lost on its way from or to a device: what is left of the echo is not to be trusted for a while."""
        self._commands.append(lambda _: self._near.lost())

    def wake_loop(self, every: int) -> None:
        """From now on `Step.wake` says when a multiple of `every` 16 kHz samples was captured; 0: never.

        A wake-up costs the loop more than all filters: ask for whole messages, and for blocks (1) only at a turn's end.
        """
        if every != self._wake_wanted:
            self._wake_wanted = every
            self._commands.append(lambda _: self._set_wake_every(every))

    def levels(self, on: bool) -> None:
        """While on, `Level` events come ten times a second."""
        self._commands.append(lambda _: self._set_levels(on))

    @property
    def captured(self) -> int:
        """16 kHz samples captured so far: those in the ring, and those on their way."""
        return self._ring.captured

    @property
    def frames_out_total(self) -> int:
        """48 kHz frames handed out so far: the playback clock."""
        return self._frames_out

    @property
    def queue_ms(self) -> float:
        """Sound of answers that waits, milliseconds."""
        return self._far.queue.queued_ms

    @property
    def prompt_ms(self) -> float:
        """Prompts that wait or are being heard, milliseconds."""
        return self._far.prompt_ms

    @property
    def own_voice_until(self) -> int:
        """The microphone may hear the device's own last sentence until this 16 kHz sample."""
        return self._own_voice_until

    @property
    def counters(self) -> dict[str, float]:
        """Figures since the start, for the metrics; what is not known is NaN."""
        near, far = self._near, self._far
        return near.echo_figures | {
            "blocks_captured": self._blocks,
            "blocks_muted": near.muted_blocks,
            "blocks_half_duplex": near.gated_blocks,
            "flushes": far.flushes,
            "underruns": far.queue.gaps,
            "answer_ms_played": far.queue.played * 1_000 / DOWN_RATE,
            "answer_ms_dropped": far.queue.dropped_ms,
            "prompt_ms_dropped": far.prompt_dropped_ms,
            "start_threshold_ms": far.queue.start_ms,
            "clipped": near.down.clipped,
        }

    @property
    def mic_channel(self) -> str:
        """The slot in use: left, right or mono."""
        return self._near.down.channel

    def step(self, mic: NDArray[np.int32], now: float, frames_out: int, *, queued: int = 0) -> Step:
        """Take a microphone block (n, 2) int32 that was complete at `now`, give `frames_out` frames to play.

        `now` is monotonic seconds; `queued`: frames that the loudspeaker had not yet played then. Blocks may have any
        length, whole 10 ms where there is a canceller; a muted block is zeroed in place.
        """
        events: list[EngineEvent] = []
        before = self._ring.written
        self._obey(now, events.append)
        self._hear(mic, now, queued, events.append)
        if self._near.ducking is not self._ducking:
            self._ducking = not self._ducking
            self._far.duck(on=self._ducking)
        speaker = self._far.render(frames_out, events.append)
        self._frames_out += frames_out
        if self._far.prompting:
            self._own_voice_until = self.captured + (queued + frames_out) // 3 + _ROOM
        self._near.committed(speaker, silent=self._far.silent)
        if self._kept_frames:
            self._kept_at = (self._kept_at[0], queued + frames_out)
        meter = self._near.meter
        if meter is not None and meter.due():
            events.append(meter.read(self._near.down.clipped))
            self._near.meter = self._far.meter = Meter(self._near.down.clipped)
        every, written = self._wake_every, self._ring.written
        return Step(speaker, bool(every) and written // every != before // every, events)

    def _obey(self, now: float, told: Callable[[NearEvent], None]) -> None:
        """Carry out the commands; what was heard before them goes through first, but not what a visitor left behind."""
        commands = [self._commands.popleft() for _ in range(len(self._commands))]
        if commands and self._kept_frames:
            if self._forget in commands:
                self._forget(now)
            self._take_kept(told)
        for command in commands:
            command(now)

    def _hear(self, mic: NDArray[np.int32], now: float, queued: int, told: Callable[[NearEvent], None]) -> None:
        """Take a block, or keep it for later."""
        self._blocks += 1
        start, end = self._kept_frames, self._kept_frames + len(mic)
        if self._near.at_rest and self._far.silent and not self._wake_every and end <= len(self._kept):
            self._kept[start:end] = mic
            self._kept_frames, self._kept_at = end, (now, queued)
            self._ring.expect(end // 3)
            if end + len(mic) > len(self._kept):
                self._take_kept(told)
            return
        if start:
            self._take_kept(told)
        self._near.take(mic, now, queued, told)

    def _take_kept(self, told: Callable[[NearEvent], None]) -> None:
        kept, self._kept_frames = self._kept[: self._kept_frames], 0
        self._near.take(kept, *self._kept_at, told)

    def _forget(self, now: float) -> None:
        self._near.forget(now)
        self._kept[:] = 0

    def _set_wake_every(self, every: int) -> None:
        self._wake_every = every

    def _set_levels(self, on: bool) -> None:
        if on is (self._near.meter is None):
            self._near.meter = self._far.meter = Meter(self._near.down.clipped) if on else None


def _samples(pcm: bytes) -> NDArray[np.int16]:
    if len(pcm) % 2:
        msg = f"{len(pcm)} bytes are no whole number of 16-bit samples"
        raise ValueError(msg)
    return np.frombuffer(pcm, "<i2").astype(np.int16, copy=False)
