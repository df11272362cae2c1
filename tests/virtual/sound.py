"""The sound thread in virtual time: the real `Sound` and its pacer, stepped by the loop between two devices of air.

    air = Air()
    with mock.patch("edge_agent.agent.agent.Sound", air.sound):      # what the agent builds
        ...
    utterance = air.say(3.0)           # somebody speaks from now on: noise that can be told from all other
    air.heard                          # what the loudspeaker has played, 48 kHz

The devices keep 200 ms, as `wav:` devices do. One block is one timer; nothing else of `Sound` is changed.
"""

from __future__ import annotations

import asyncio
import functools
from dataclasses import dataclass
from typing import Any

import numpy as np
from harness import coded_noise, s16
from numpy.typing import NDArray

from edge_agent.audio.devices.quiet import ClockedInput, ClockedOutput
from edge_agent.audio.sound import Sound, _Side
from edge_agent.errors import StreamEnded

RATE_HZ = 48_000
HEARD_HZ = 16_000  # what the service hears
LEVEL = 0.1
_LATE_S = 1e-5  # a block is asked for a moment after its last sample: no float rounding takes it away


@dataclass(frozen=True, slots=True)
class Utterance:
    """What a person said: coded noise of its own seed, from when to when on the loop's clock."""

    seed: int
    begins: float
    seconds: float

    @property
    def ends(self) -> float:
        """When the last sample was said."""
        return self.begins + self.seconds

    @property
    def sound(self) -> NDArray[np.float32]:
        """The sound at 48 kHz, shape (n,)."""
        return spoken(self.seconds, self.seed)

    @property
    def sent(self) -> NDArray[np.float64]:
        """The sound as the service should hear it: 16 kHz, shape (n,)."""
        return heard_as(self.seconds, self.seed)


@functools.lru_cache(maxsize=64)
def spoken(seconds: float, seed: int) -> NDArray[np.float32]:
    """Return coded noise, 48 kHz, shape (n,)."""
    return coded_noise(seconds, seed=seed, level=LEVEL)[:, 0]


@functools.lru_cache(maxsize=64)
def heard_as(seconds: float, seed: int) -> NDArray[np.float64]:
    """Return the same at 16 kHz."""
    return np.frombuffer(s16(spoken(seconds, seed), rate=RATE_HZ, to_rate=HEARD_HZ), "<i2").astype(np.float64) / 32768


class Air:
    """What is between a device and the people around it.

    Args:
        keep: keep what was played and remember what was said; a day of it would fill the memory.
    """

    def __init__(self, *, keep: bool = True) -> None:
        self.played_frames = 0
        self.loud_frames = 0
        """Frames in which something was heard."""
        self._keep = keep
        self._said: list[tuple[int, NDArray[np.int32]]] = []
        self._epoch = 0.0
        self._seed = 100
        self._heard: list[NDArray[np.int32]] = []

    @property
    def epoch(self) -> float:
        """When the devices were opened, on the loop's clock."""
        return self._epoch

    @property
    def heard(self) -> NDArray[np.float64]:
        """All that was played, 48 kHz, shape (n,); sample 0 is the epoch."""
        if not self._heard:
            return np.zeros(0)
        return np.concatenate(self._heard).astype(np.float64) / 2**31

    def say(self, seconds: float, *, seed: int | None = None, at: float | None = None) -> Utterance:
        """Speak from now on, or from `at` on the loop's clock."""
        begins = asyncio.get_running_loop().time() if at is None else at
        if seed is None:
            self._seed += 1
            seed = self._seed
        utterance = Utterance(seed, begins, seconds)
        frame = max(0, round((begins - self._epoch) * RATE_HZ))
        sound = utterance.sound if self._keep else spoken.__wrapped__(seconds, seed)
        self._said.append((frame, (sound * np.float64(2**31)).astype(np.int32)))
        return utterance

    def fill(self, block: NDArray[np.int32], position: int) -> None:
        """Give a block of what is heard in the room."""
        block[:] = 0
        if not self._said:
            return
        end = position + len(block)
        for start, sound in self._said:
            a, b = max(position, start), min(end, start + len(sound))
            if a < b:
                block[a - position : b - position] += sound[a - start : b - start, None]
        self._said = [(start, sound) for start, sound in self._said if start + len(sound) > end]

    def take(self, block: NDArray[np.int32]) -> None:
        """Take a block that was played."""
        self.played_frames += len(block)
        self.loud_frames += int(np.count_nonzero(block[:, 0]))
        if self._keep:
            self._heard.append(block[:, 0].copy())

    def sound(self, **wanted: Any) -> VirtualSound:
        """Build what the agent takes for the sound thread."""
        loop = asyncio.get_running_loop()

        def open_input(device: str, *, epoch: float, **_: Any) -> _Microphone:
            self._epoch = epoch
            return _Microphone(self, device, epoch=epoch, clock=loop.time, sleep=_never)

        def open_output(device: str, *, epoch: float, **_: Any) -> _Loudspeaker:
            return _Loudspeaker(self, device, epoch=epoch, clock=loop.time)

        return VirtualSound(loop, open_input=open_input, open_output=open_output, clock=loop.time, **wanted)


class VirtualSound(Sound):
    """`Sound` without its thread: one pass of the real loop for each block, on a timer."""

    def __init__(self, loop: asyncio.AbstractEventLoop, **wanted: Any) -> None:
        super().__init__(**wanted)
        self._event_loop = loop
        self._block_s = wanted["block_ms"] / 1000
        self._once = _OnePass()
        self._stopping = self._once  # type: ignore[assignment]  # ends the thread's loop after each pass
        self._timer: asyncio.TimerHandle | None = None
        self._pair: tuple[_Side[Any], _Side[Any]] | None = None

    def start(self) -> None:
        """Open the devices and plan the first block."""
        self._started = self._last_read = self._last_write = self._clock()
        self._pair = self._sides()
        self._pair[0]._stand_in = self._nothing_heard
        self._plan()

    def stop(self, timeout: float = 2.0) -> bool:  # noqa: ARG002  nothing here hangs
        """Close the devices; called from a thread, so the timer is taken back by the loop."""
        self._once.ended = True
        if self._timer is not None:
            self._event_loop.call_soon_threadsafe(self._timer.cancel)
        for side in self._pair or ():
            side.close()
        return True

    def stall(self, seconds: float) -> None:
        """Let the thread be late; what the microphone's ring does not hold is lost."""
        assert self._timer is not None, "the thread has not been started"
        self._timer.cancel()
        self._timer = self._event_loop.call_at(self._timer.when() + seconds, self._pass)

    def unplug(self, why: str) -> None:
        """Let the microphone fail at the next block, and be found again when the thread next looks for it."""
        assert self._pair is not None, "the thread has not been started"

        def gone(_: NDArray[np.int32]) -> int:
            raise StreamEnded(why)

        self._pair[0].device.read = gone

    @property
    def alive(self) -> bool:
        """True until `stop`."""
        return not self._once.ended

    def _plan(self) -> None:
        """Come back when the microphone has the next block, at once if it has."""
        assert self._pair is not None, "the thread has not been started"
        microphone = self._pair[0]._device
        due = self._event_loop.time() + self._block_s
        if microphone is not None:
            due = microphone._epoch + (microphone.position + self._frames) / RATE_HZ
        self._timer = self._event_loop.call_at(due + _LATE_S, self._pass)

    def _nothing_heard(self) -> ClockedInput:
        """Stand in for a microphone that is missing; its first block is complete."""
        return ClockedInput(
            "no microphone", epoch=self._event_loop.time() - self._block_s, clock=self._event_loop.time, sleep=_never
        )

    def _pass(self) -> None:
        if self._once.ended or self._pair is None:
            return
        self._once.left = 1
        self._loop(*self._pair)
        self._plan()


class _OnePass:
    """In place of the event that ends the thread: lets one pass through."""

    def __init__(self) -> None:
        self.left = 0
        self.ended = False

    def is_set(self) -> bool:
        self.left -= 1
        return self.ended or self.left < 0

    def set(self) -> None:
        self.ended = True


class _Microphone(ClockedInput):
    def __init__(self, air: Air, device: str, **wanted: Any) -> None:
        super().__init__(device, **wanted)
        self._air = air

    def _fill(self, into: NDArray[np.int32], position: int) -> None:
        self._air.fill(into, position)


class _Loudspeaker(ClockedOutput):
    def __init__(self, air: Air, device: str, **wanted: Any) -> None:
        super().__init__(device, **wanted)
        self._air = air

    def _store(self, block: NDArray[np.int32]) -> None:
        self._air.take(block)

    def _store_silence(self, frames: int) -> None:
        self._air.take(np.zeros((frames, 2), np.int32))


def _never(seconds: float) -> None:
    raise AssertionError(f"a block was asked for {seconds * 1000:.3f} ms before it was complete")
