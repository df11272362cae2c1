"""A device in a room, in virtual time: what it plays comes back in its microphone, much faster than it would.

    air = RoomAir(folder / "kitchen.toml")
    async with Twin(Script()) as twin, VirtualDevice(folder, twin, air=air, mode="speaker") as device:
        ...
        air.speak(speech("stop please"), at=device.now + 1.5)     # a person, as the microphone hears them
    air.record.echo, air.record.near, air.record.microphone       # 48 kHz, sample 0 is `air.epoch`

The devices are those of `room:FILE.toml`, and so is the file; only the clock is the loop's. `say` speaks coded noise,
as in `Air`. The configuration's device strings are not looked at.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from virtual.sound import RATE_HZ, Air, Utterance, VirtualSound, _never

from edge_agent.audio.devices.room import Room, RoomInput, RoomOutput, Stretch

PARTS = ("loudspeaker", "near", "echo", "noise")


class RoomRecord:
    """What was in the room, by part: float32 (n,) at 48 kHz, sample 0 is the epoch. Parts not kept are empty.

    Args:
        keep: the parts to keep; each takes 192 kB a second.
    """

    def __init__(self, keep: Collection[str] = PARTS) -> None:
        self.frames = 0
        """Frames heard so far, with those before the room was opened."""
        self._parts: dict[str, list[NDArray[np.float32]]] = {name: [] for name in PARTS if name in keep}

    @property
    def loudspeaker(self) -> NDArray[np.float32]:
        """What the loudspeaker played, undistorted, when it played it."""
        return self._part("loudspeaker")

    @property
    def near(self) -> NDArray[np.float32]:
        """The person, at the microphone."""
        return self._part("near")

    @property
    def echo(self) -> NDArray[np.float32]:
        """The echo, at the microphone."""
        return self._part("echo")

    @property
    def noise(self) -> NDArray[np.float32]:
        """The noise, at the microphone."""
        return self._part("noise")

    @property
    def microphone(self) -> NDArray[np.float32]:
        """The sum of near, echo and noise, clipped as the microphone clips."""
        heard: NDArray[np.float32] = np.clip(self.near + self.echo + self.noise, -1, 1)
        return heard

    def take(self, stretch: Stretch) -> None:
        """Keep the next stretch."""
        missed = stretch.position - self.frames
        for name, kept in self._parts.items():
            if missed:
                kept.append(np.zeros(missed, np.float32))
            kept.append(getattr(stretch, name).astype(np.float32))
        self.frames = stretch.position + len(stretch.echo)

    def _part(self, name: str) -> NDArray[np.float32]:
        kept = self._parts.get(name)
        if not kept:
            return np.zeros(0, np.float32)
        kept[:] = [np.concatenate(kept)]
        return kept[0]


class RoomAir(Air):
    """See the module's docstring.

    Args:
        path: the room's file.
        keep: the parts of the sound to keep in `record`.
    """

    def __init__(self, path: Path, *, keep: Collection[str] = PARTS) -> None:
        super().__init__(keep=False)
        self.record = RoomRecord(keep)
        """What was in the room."""
        self._path = path
        self._room: Room | None = None

    @property
    def heard(self) -> NDArray[np.float64]:
        """All that was played, 48 kHz, shape (n,); sample 0 is the epoch."""
        return self.record.loudspeaker.astype(np.float64)

    @property
    def room(self) -> Room:
        """The room; there is one when the device has opened it."""
        assert self._room is not None, "no device is in the room yet"
        return self._room

    def frame(self, at: float) -> int:
        """Return the sample of `record` at a time on the loop's clock."""
        return round((at - self.epoch) * RATE_HZ)

    def say(self, seconds: float, *, seed: int | None = None, at: float | None = None) -> Utterance:
        """Speak coded noise from now on, or from `at` on the loop's clock."""
        utterance = super().say(seconds, seed=seed, at=at)
        self._said.clear()
        self.speak(utterance.sound, at=utterance.begins)
        return utterance

    def speak(self, sound: NDArray[np.floating[Any]], *, at: float | None = None) -> float:
        """Let a person be heard: `sound` (n,), 48 kHz, as it is at the microphone; returns when it begins."""
        begins = asyncio.get_running_loop().time() if at is None else at
        self.room.say(sound, begins - self.epoch)
        return begins

    def sound(self, **wanted: Any) -> VirtualSound:
        """Build what the agent takes for the sound thread."""
        loop = asyncio.get_running_loop()

        def share(epoch: float) -> Room:
            self._epoch = epoch
            self._room = Room.shared(self._path, epoch=epoch, clock=loop.time, sleep=_never, listener=self._listen)
            return self._room

        def open_input(device: str, *, epoch: float, **_: Any) -> RoomInput:  # noqa: ARG001  as devices are opened
            return share(epoch).microphone()

        def open_output(device: str, *, epoch: float, **_: Any) -> RoomOutput:  # noqa: ARG001  as devices are opened
            return share(epoch).loudspeaker()

        return VirtualSound(loop, open_input=open_input, open_output=open_output, clock=loop.time, **wanted)

    def _listen(self, stretch: Stretch) -> None:
        self.played_frames += len(stretch.loudspeaker)
        self.loud_frames += int(np.count_nonzero(stretch.loudspeaker))
        self.record.take(stretch)
