"""`room:FILE.toml`: a room as microphone and loudspeaker: what is played comes back, as an echo.

    input = "room:kitchen.toml"
    output = "room:kitchen.toml"

The file says what stands between loudspeaker, person and microphone (`roomfile`, `docs/room.md`); `echopath` is what
the echo goes through. Both sides of one file share one `Room`, whichever is opened first. They follow the clock like
`wav:` devices, with rings of 200 ms (`quiet`): microphone frame n belongs to the time epoch + n / 48 000, and
loudspeaker frame p to epoch + p / 48 000 / (1 + drift). The microphone hears only frames whose time has come; where
nothing was written it hears none. A writer or reader late by less than the ring is as good as one in time.

A side that is closed and opened again goes on in the same room: the microphone where it stopped hearing, at most 200 ms
ago, the loudspeaker with the first frame it is given; what the closed one had not played yet is never heard. When both
sides are closed, the room is gone and its recording is finished. Opened again after that, it begins its recording anew.

Time may be anyone's: with `clock` and `sleep` of a test a whole device runs faster than real time.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_agent.audio.devices import CHANNELS, RATE_HZ
from edge_agent.audio.devices.quiet import RING_FRAMES, ClockedInput, ClockedOutput
from edge_agent.audio.echopath import EchoPath, Signal
from edge_agent.audio.roomfile import Scene, Slot, read_room
from edge_agent.audio.wavfile import encode, header, to_s32
from edge_agent.errors import DeviceError, StreamEnded

_BEHIND_FRAMES = RATE_HZ // 2  # no reader comes back for older sound: its ring is 200 ms, its block at most 100
_STRETCH_FRAMES = RATE_HZ // 10  # computed at a time where nobody reads
_HEADER_EVERY_FRAMES = RATE_HZ  # one second
_USAGE = "write room:FILE.toml with the path of a room's file (docs/room.md)"


@dataclass(frozen=True, slots=True)
class Stretch:
    """What was in the room for a while: float64 (n,), full scale -1.0 to 1.0, before the microphone clips.

    `position` is the first frame, counted from the epoch. The loudspeaker is as it plays meanwhile, undistorted and not
    delayed; near end (the person), echo and noise are as they reach the microphone, which hears their sum.
    """

    position: int
    loudspeaker: Signal
    near: Signal
    echo: Signal
    noise: Signal


class Room:
    """One room of one device; see the module.

    Args:
        scene: what it is like.
        name: for messages.
        epoch: time 0, monotonic seconds.
        clock: monotonic seconds.
        sleep: waits for the clock.
        listener: is told everything that is heard, in order.

    Raises:
        DeviceError: the recording cannot be written.
    """

    def __init__(
        self,
        scene: Scene,
        *,
        name: str,
        epoch: float,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        listener: Callable[[Stretch], None] | None = None,
    ) -> None:
        self.name = name
        self.epoch = epoch
        self._clock, self._sleep = clock, sleep
        self._listener = listener
        self._path = EchoPath(
            response=scene.response,
            gain_db=scene.echo_gain_db,
            distortion=scene.distortion,
            delay=scene.delay,
            jumps=scene.jumps,
            drift_ppm=scene.drift_ppm,
            back=_BEHIND_FRAMES + RING_FRAMES,
        )
        self._rate = 1 + scene.drift_ppm * 1e-6
        self._slot: Slot = scene.slot
        self._noise = scene.noise
        self._said: list[tuple[int, NDArray[np.float32]]] = [(scene.near_at, scene.near)] if len(scene.near) else []
        self._users = 0
        self._key: tuple[Path, float] | None = None
        self.heard = max(0, self._frame() - RING_FRAMES)
        """The frame up to which the microphone's sound has been made."""
        self._record = _Record(scene.record, self.heard) if scene.record else None

    @classmethod
    def shared(
        cls,
        path: Path,
        *,
        epoch: float,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        listener: Callable[[Stretch], None] | None = None,
    ) -> Room:
        """Return the room of this file and epoch, which is read when nobody has it open.

        Raises:
            DeviceError: the file says what is not allowed, or the recording cannot be written.
        """
        key = (path.resolve(), epoch)
        room = _ROOMS.get(key)
        if room is None:
            scene = read_room(path)
            room = cls(scene, name=f"room:{path}", epoch=epoch, clock=clock, sleep=sleep, listener=listener)
            room._key = key
            _ROOMS[key] = room
        return room

    def microphone(self) -> RoomInput:
        """Open the microphone."""
        self._users += 1
        return RoomInput(self, epoch=self.epoch, clock=self._clock, sleep=self._sleep)

    def loudspeaker(self) -> RoomOutput:
        """Open the loudspeaker."""
        self._users += 1
        return RoomOutput(self, epoch=self.epoch, clock=lambda: self.epoch + (self._clock() - self.epoch) * self._rate)

    def say(self, sound: NDArray[np.floating], at_s: float) -> None:
        """Let a person speak, besides the file's: `sound` (n,) at 48 kHz as the microphone hears it, from `at_s` on.

        Args:
            sound: float, full scale -1.0 to 1.0.
            at_s: seconds since the epoch; what lies before the present sound of the room is not heard.
        """
        self._said.append((round(at_s * RATE_HZ), sound.astype(np.float32, copy=False)))

    def play(self, position: int, block: NDArray[np.int32]) -> None:
        """Put a block, int32 (n, 2), into the loudspeaker's ring; the loudspeaker plays the mean of both slots."""
        self._path.play(position, (block[:, 0].astype(np.float64) + block[:, 1]) * 0.5**32)
        self._follow()

    def unplug(self, position: int) -> None:
        """Forget what the loudspeaker was to play from `position` on."""
        self._path.cut(position)

    def fill(self, into: NDArray[np.int32], position: int) -> None:
        """Give the microphone's block at `position`, which lies not before `heard`."""
        self._go_on(position)
        sound = self._hear(len(into))
        into[:] = 0
        if self._slot != "right":
            into[:, 0] = sound
        if self._slot != "left":
            into[:, 1] = sound

    def leave(self) -> None:
        """Close one side; the last one closes the room."""
        self._users -= 1
        if self._users:
            return
        if self._key is not None:
            del _ROOMS[self._key]
        try:
            self._go_on(self._frame())
        finally:
            if self._record is not None:
                self._record.close()

    def _follow(self) -> None:
        """Where nobody reads, go on behind the clock, so that no more than half a second is ever left to make."""
        behind = self._frame() - _BEHIND_FRAMES
        if behind > self.heard:
            self._go_on(behind)

    def _go_on(self, position: int) -> None:
        while self.heard < position:
            self._hear(min(_STRETCH_FRAMES, position - self.heard))

    def _hear(self, count: int) -> NDArray[np.int32]:
        """Make the next frames of the microphone's sound, int32 (count,)."""
        start = self.heard
        echo = self._path.hear(start, count)
        near = self._speaking(start, count)
        noise = self._humming(start, count)
        sound = to_s32(echo + near + noise)
        self.heard += count
        if self._listener is not None or self._record is not None:
            played = self._path.playing(start, count)
            if self._listener is not None:
                self._listener(Stretch(start, played, near, echo, noise))
            if self._record is not None:
                self._record.write(np.stack([sound, to_s32(played)], axis=1))
        return sound

    def _speaking(self, start: int, count: int) -> Signal:
        total = np.zeros(count)
        end = start + count
        for begins, sound in self._said:
            a, b = max(start, begins), min(end, begins + len(sound))
            if a < b:
                total[a - start : b - start] += sound[a - begins : b - begins]
        self._said = [(begins, sound) for begins, sound in self._said if begins + len(sound) > end]
        return total

    def _humming(self, start: int, count: int) -> Signal:
        noise = self._noise
        if noise is None:
            return np.zeros(count)
        at = start % len(noise)
        if at + count <= len(noise):
            return noise[at : at + count].astype(np.float64)
        return noise[np.arange(at, at + count) % len(noise)].astype(np.float64)

    def _frame(self) -> int:
        return int((self._clock() - self.epoch) * RATE_HZ + 1e-6)  # as the devices count


class RoomInput(ClockedInput):
    """The microphone of a room."""

    def __init__(self, room: Room, *, epoch: float, clock: Callable[[], float], sleep: Callable[[float], None]) -> None:
        """Begin where the room has been heard up to, at most 200 ms ago."""
        super().__init__(room.name, epoch=epoch, clock=clock, sleep=sleep)
        self._room: Room | None = room
        self.position = max(self.position, room.heard)

    def close(self) -> None:
        """Leave the room; see `InputDevice.close`."""
        room, self._room = self._room, None
        if room is not None:
            room.leave()

    def _fill(self, into: NDArray[np.int32], position: int) -> None:
        if self._room is None:
            raise StreamEnded(f"the microphone {self.name} is closed")
        self._room.fill(into, position)


class RoomOutput(ClockedOutput):
    """The loudspeaker of a room."""

    def __init__(self, room: Room, *, epoch: float, clock: Callable[[], float]) -> None:
        """Open it; the first frame written is played at once, and the time before is no underrun."""
        super().__init__(room.name, epoch=epoch, clock=clock)
        self._room: Room | None = room
        self._begun = False

    def close(self) -> None:
        """Forget what is not played yet and leave the room; see `OutputDevice.close`."""
        room, self._room = self._room, None
        if room is not None:
            room.unplug(self._present())
            room.leave()

    def _store(self, block: NDArray[np.int32]) -> None:
        if self._room is None:
            raise StreamEnded(f"the loudspeaker {self.name} is closed")
        self._begun = True
        self._room.play(self.position, block)

    def _caught_up(self) -> int:
        if not self._begun:
            self.position = max(0, self._present())
        return super()._caught_up()

    def _present(self) -> int:
        return int((self._clock() - self._epoch) * RATE_HZ + 1e-6)


class _Record:
    """The recording: 16 bits, left microphone, right loudspeaker; frame n belongs to epoch + n / 48 000.

    The header is brought up to date once a second and at the end, so that a killed process leaves a playable file.
    """

    def __init__(self, path: Path, frames: int) -> None:
        self._name = path
        self._frames = self._headed = frames  # the time before the room was opened is a hole in the file: silence
        try:
            self._file = path.open("wb", buffering=0)
            self._write_header()
        except OSError as error:
            raise DeviceError(
                f"{path} cannot be written: {error.strerror}; record in a folder that can be written"
            ) from None

    def write(self, sound: NDArray[np.int32]) -> None:
        """Add frames, int32 (n, 2); after an error nothing more is recorded."""
        if self._file.closed:
            return
        data = encode(sound, 16)
        try:
            if os.pwrite(self._file.fileno(), data, self._at(self._frames)) != len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))  # noqa: TRY301  as the kernel says on the next try
            self._frames += len(sound)
            if self._frames - self._headed >= _HEADER_EVERY_FRAMES:
                self._write_header()
        except OSError as error:
            self._file.close()
            raise self._ended(error) from None

    def close(self) -> None:
        """Finish the header and close."""
        if self._file.closed:
            return
        try:
            self._write_header()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise self._ended(error) from None
        finally:
            self._file.close()

    def _write_header(self) -> None:
        self._headed = self._frames
        os.pwrite(self._file.fileno(), header(self._frames, rate=RATE_HZ, channels=CHANNELS, bits=16), 0)

    def _at(self, frame: int) -> int:
        return len(header(0, rate=RATE_HZ, channels=CHANNELS, bits=16)) + frame * CHANNELS * 2

    def _ended(self, error: OSError) -> StreamEnded:
        return StreamEnded(
            f"{self._name} cannot be written on: {error.strerror}; it ends here, so make room or leave out record"
        )


_ROOMS: dict[tuple[Path, float], Room] = {}


def open_input(rest: str, *, block_frames: int, epoch: float) -> RoomInput:  # noqa: ARG001  the devices' interface
    """Open `room:FILE.toml` as microphone; see the module."""
    return Room.shared(_path(rest, "microphone"), epoch=epoch).microphone()


def open_output(rest: str, *, block_frames: int, epoch: float) -> RoomOutput:  # noqa: ARG001  the devices' interface
    """Open `room:FILE.toml` as loudspeaker; see the module."""
    return Room.shared(_path(rest, "loudspeaker"), epoch=epoch).loudspeaker()


def _path(rest: str, noun: str) -> Path:
    if not rest:
        raise DeviceError(f'"room:" is not a {noun}; {_USAGE}')
    return Path(rest)
