"""`pyaudio:NAME`: microphone and loudspeaker through PyAudio, that is PortAudio on ALSA.

NAME is an ALSA PCM id such as `edge_mic`, or part of a device's name such as a card's ("sndrpigooglevoi"), upper or
lower case alike; a whole name wins over a part, and the first match in PortAudio's order is taken. `pyaudio:` and
`pyaudio:default` take the system's default.

Streams are read and written in the calling thread (blocking mode): PortAudio's callbacks run Python on a foreign thread
and throw what fails there into whichever thread opened the stream. The device is opened at 48 kHz as 32 bit stereo;
where that is refused, as 16 bit stereo, then 16 bit mono, converted here.

PortAudio's ring on ALSA is two blocks long (fpb + max(fpb, low latency)); a thread late by more loses sound. Blocking
calls do not say so, but ALSA prints a line for each xrun, which is caught and counted while a stream is open. Sound
lost without such a line (in a sound server) is found by the clock: the microphone's sound falls behind real time for
good, seen within two seconds; the loudspeaker's ring is found empty.

PortAudio knows the devices that were there when the first stream opened; it looks again once all streams are closed.
It does not list a hardware device that another process holds, hence "busy" may look like "absent": the sentence names
holders either way. A `read` on a stream that went dead returns after about 2 s with `StreamEnded`; on Debian's
PortAudio 19.6 an unplugged card can hang it for ever (PortAudio issue 1037), which only a heartbeat outside can see.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from edge_agent.audio.devices import CHANNELS, RATE_HZ
from edge_agent.audio.devices.chatter import Chatter, caught
from edge_agent.audio.devices.holders import busy_sentence
from edge_agent.errors import DeviceError, Fault, StreamEnded

Direction = Literal["input", "output"]

_FORMATS = ((4, 2), (2, 2), (2, 1))  # bytes per sample, channels, in order of preference
_PA_FORMAT = {4: 0x2, 2: 0x8}  # paInt32, paInt16; PyAudio's get_format_from_width(4) means float
_NOUN = {"input": "microphone", "output": "loudspeaker"}
_FAULT = {"input": Fault.MICROPHONE, "output": Fault.LOUDSPEAKER}


class LossMeter:
    """Finds sound lost in capture by the clock.

    Sound read lags the clock by a varying delay that is never less than some floor. Lost sound raises that floor for
    good. The floor of each second is compared with the one before; a rise of more than one and a half blocks and 25 ms
    is a loss. (An overrun costs the whole ring, two blocks or more; a sound server that changes its latency moves the
    floor by up to 20 ms; clocks that differ by 200 ppm move it by 0.2 ms in a second.)
    """

    def __init__(self, block_frames: int) -> None:
        self._threshold = max(1.5 * block_frames, 0.025 * RATE_HZ)
        self._seen = 0
        self._floor = self._before = float("inf")
        self._began = 0.0
        self._window_ends = 0

    def block(self, frames: int, now: float) -> int:
        """Count `frames` read at `now` (seconds); return 1 when a loss has shown, else 0."""
        if not self._seen:
            self._began = now
            self._window_ends = RATE_HZ
        self._seen += frames
        self._floor = min(self._floor, (now - self._began) * RATE_HZ - self._seen)
        if self._seen < self._window_ends:
            return 0
        lost = self._floor - self._before > self._threshold
        self._before, self._floor = self._floor, float("inf")
        self._window_ends = self._seen + RATE_HZ
        return int(lost)


class PortAudioInput:
    """A microphone of PortAudio; see the module."""

    def __init__(self, wanted: str, *, block_frames: int, clock: Callable[[], float] = time.monotonic) -> None:
        """Open the device; raises `DeviceError`."""
        self.name, self._stream, self._bytes, self._channels = _open("input", wanted, block_frames)
        self.ring_ms = 2000 * block_frames / RATE_HZ
        self._clock = clock
        self._meter = LossMeter(block_frames)

    def read(self, into: NDArray[np.int32]) -> int:
        """Read one block; see `InputDevice.read`."""
        try:
            raw = self._stream.read(len(into), exception_on_overflow=False)
        except OSError as error:
            raise _ended("input", self.name, error) from None
        sound = np.frombuffer(raw, np.int16 if self._bytes == 2 else np.int32)
        if len(sound) != len(into) * self._channels:
            raise _ended("input", self.name, "it gave less than a block")
        into[:] = sound.reshape(len(into), self._channels)  # one channel fills both
        if self._bytes == 2:
            np.left_shift(into, 16, out=into)
        if told := _Shared.said("overrun occurred"):
            self._meter = LossMeter(len(into))  # or it would count the same loss again
            return told
        return self._meter.block(len(into), self._clock())

    def close(self) -> None:
        """Close the stream; see `InputDevice.close`."""
        _close(self._stream)


class PortAudioOutput:
    """A loudspeaker of PortAudio; see the module."""

    def __init__(self, wanted: str, *, block_frames: int) -> None:
        """Open the device; raises `DeviceError`."""
        self.name, self._stream, self._bytes, self._channels = _open("output", wanted, block_frames)
        self._ring = max(self.writable(), 2 * block_frames)
        self.ring_ms = 1000 * self._ring / RATE_HZ
        self._filled = False
        self._narrow = np.empty((self._ring, self._channels), dtype=np.int16)

    def writable(self) -> int:
        """Return the free frames of the ring; see `OutputDevice.writable`."""
        try:
            free: int = self._stream.get_write_available()
        except OSError as error:
            raise _ended("output", self.name, error) from None
        if free < 0:
            raise _ended("output", self.name, f"PortAudio error {free}")
        return free

    def write(self, block: NDArray[np.int32]) -> int:
        """Write the block; see `OutputDevice.write`."""
        if not len(block):
            return 0
        empty = self._filled and self.writable() >= self._ring
        sound: NDArray[Any] = np.ascontiguousarray(block)
        if self._bytes == 2:
            if len(block) > len(self._narrow):
                self._narrow = np.empty((len(block), self._channels), dtype=np.int16)
            sound = self._narrow[: len(block)]
            np.right_shift(block[:, : self._channels], 16, out=sound, casting="unsafe")
        try:
            self._stream.write(sound, num_frames=len(block))
        except OSError as error:
            raise _ended("output", self.name, error) from None
        self._filled = True
        return max(int(empty), _Shared.said("underrun occurred"))

    def close(self) -> None:
        """Close the stream; see `OutputDevice.close`."""
        _close(self._stream)


def open_input(rest: str, *, block_frames: int, epoch: float) -> PortAudioInput:  # noqa: ARG001  the devices' interface
    """Open `pyaudio:NAME` as microphone; see the module."""
    return PortAudioInput(rest, block_frames=block_frames)


def open_output(rest: str, *, block_frames: int, epoch: float) -> PortAudioOutput:  # noqa: ARG001  as above
    """Open `pyaudio:NAME` as loudspeaker; see the module."""
    return PortAudioOutput(rest, block_frames=block_frames)


def names() -> tuple[list[str], list[str]]:
    """Return the device strings of PortAudio's inputs and outputs.

    Raises:
        DeviceError: PyAudio is not installed or cannot start.
    """
    with _library() as (audio, _):
        found = _devices(audio)
    return (
        [f"pyaudio:{device['name']}" for device in found if device["maxInputChannels"] > 0],
        [f"pyaudio:{device['name']}" for device in found if device["maxOutputChannels"] > 0],
    )


class _Shared:
    """The one PyAudio of the process, how many use it, and what ALSA says meanwhile."""

    audio: Any = None
    users: int = 0
    chatter: Chatter | None = None
    listening: contextlib.ExitStack = contextlib.ExitStack()

    @classmethod
    def said(cls, text: str) -> int:
        return cls.chatter.take(text) if cls.chatter else 0


@contextlib.contextmanager
def _library() -> Iterator[tuple[Any, Chatter]]:
    """Give PyAudio while the context lasts; a stream opened in it must be counted with `_Shared.users`."""
    try:
        import pyaudio  # noqa: PLC0415  not every configuration needs it
    except ImportError as error:
        raise DeviceError(
            f"PyAudio cannot be loaded ({error}); install python3-pyaudio (apt) or PyAudio (pip), or use alsa:PCM"
        ) from None
    os.environ.setdefault("JACK_NO_START_SERVER", "1")  # PortAudio asks JACK first, which would start its server
    with caught() as said:
        if _Shared.audio is None:
            try:
                _Shared.audio = pyaudio.PyAudio()
            except OSError as error:
                raise DeviceError(f"PortAudio cannot start: {error}; {said.last()}") from None
            _Shared.chatter = _Shared.listening.enter_context(caught())
        _Shared.users += 1
        try:
            yield _Shared.audio, said
        finally:
            _release()


def _release() -> None:
    _Shared.users -= 1
    if _Shared.users == 0:
        audio, _Shared.audio = _Shared.audio, None
        audio.terminate()
        _Shared.chatter = None
        _Shared.listening.close()


def _devices(audio: Any) -> list[dict[str, Any]]:
    return [audio.get_device_info_by_index(index) for index in range(audio.get_device_count())]


def _open(direction: Direction, wanted: str, block_frames: int) -> tuple[str, Any, int, int]:
    """Return the device's name for messages, its stream, bytes per sample and channels."""
    try:
        with _library() as (audio, said):
            device = _find(audio, direction, wanted)
            refusals = []
            for width, channels in _FORMATS:
                if channels > device[f"max{direction.capitalize()}Channels"]:
                    continue
                try:
                    stream = audio.open(
                        rate=RATE_HZ,
                        channels=channels,
                        format=_PA_FORMAT[width],
                        frames_per_buffer=block_frames,
                        **{direction: True, f"{direction}_device_index": device["index"]},
                    )
                except (OSError, ValueError) as error:
                    refusals.append(f"{8 * width} bit {'stereo' if channels == CHANNELS else 'mono'}: {_text(error)}")
                    continue
                _Shared.users += 1
                return f"pyaudio:{device['name']}", stream, width, channels
            told = "; ".join(refusals)
            said_last = said.last(about=device["name"])
    except DeviceError as error:
        error.fault = _FAULT[direction]
        raise
    held = busy_sentence(direction, device["name"])
    if held:
        raise DeviceError(
            f'the {_NOUN[direction]} "{device["name"]}" is busy: {held}; end that program or choose another device',
            fault=_FAULT[direction],
        )
    raise DeviceError(
        f'the {_NOUN[direction]} "{device["name"]}" cannot be opened at 48 kHz ({told})'
        + (f"; ALSA says: {said_last}" if said_last else "")
        + "; choose another device, or define a PCM of type plug for it in /etc/asound.conf",
        fault=_FAULT[direction],
    )


def _find(audio: Any, direction: Direction, wanted: str) -> dict[str, Any]:
    usable = [d for d in _devices(audio) if d[f"max{direction.capitalize()}Channels"] > 0]
    if wanted in {"", "default"}:
        with contextlib.suppress(OSError):  # "no default device": told below like any absent one
            default: dict[str, Any] = getattr(audio, f"get_default_{direction}_device_info")()
            return default
    for fits in (lambda name: name == wanted.lower(), lambda name: wanted.lower() in name):
        for device in usable:
            if wanted and fits(device["name"].lower()):
                return device
    listed = ", ".join(f'"{device["name"]}"' for device in usable) or "none"
    held = busy_sentence(direction, wanted)
    raise DeviceError(
        f'there is no {_NOUN[direction]} "{wanted or "default"}"; PortAudio lists: {listed}'
        + (f"; it leaves out what others hold, and {held}" if held else ""),
    )


def _close(stream: Any) -> None:
    if stream.__dict__.setdefault("_edge_agent_closed", False):
        return
    stream.__dict__["_edge_agent_closed"] = True
    with caught():
        with contextlib.suppress(OSError):  # a dead stream complains of being dead
            stream.close()
        _release()


def _ended(direction: Direction, name: str, why: OSError | str) -> StreamEnded:
    told = why if isinstance(why, str) else _text(why)
    return StreamEnded(f"the {_NOUN[direction]} {name} stopped: {told}; check its cable", fault=_FAULT[direction])


def _text(error: Exception) -> str:
    """PyAudio gives (code, text) or (text, code)."""
    return next((str(part) for part in error.args if isinstance(part, str)), str(error))
