"""Sound devices: what the device strings `audio.input` and `audio.output` name.

    microphone = open_input("pyaudio:edge_mic", block_frames=960, epoch=started)
    loudspeaker = open_output("pyaudio:edge_speaker", block_frames=960, epoch=started)

A device string is `SCHEME:REST`. Every device speaks one format to the engine: 48 000 Hz, int32 left-justified, two
channels, C-contiguous arrays of shape (frames, 2); what the hardware wants instead is the device's own business.

| scheme | input | output | module |
|---|---|---|---|
| `pyaudio:NAME` | a PortAudio device, by part of its name or by ALSA PCM id | the same | `portaudio` |
| `alsa:PCM` | an ALSA PCM through `arecord` | through `aplay` | `alsa` |
| `wav:PATH` | a WAV file at real time | a WAV file as a listener would have heard it | `wav` |
| `room:FILE.toml` | what comes back of its own sound, with a person and noise | a room, as its file says | `room` |
| `silence:` | silence | | `quiet` |
| `null:` | | nowhere | `quiet` |

Further schemes come from installed packages: entry points of the group `edge_agent.devices`, named like the scheme,
each an object or module with functions `open_input(rest, *, block_frames, epoch)` and
`open_output(rest, *, block_frames, epoch)`, or one of them. A built-in scheme cannot be replaced.

One thread opens, reads, writes and closes both devices, so devices hold no locks. Opening fails with `DeviceError`,
whose sentence says what is there instead, or who holds the device; a stream that dies raises `StreamEnded`.
"""

from __future__ import annotations

import importlib
import importlib.metadata
from typing import Any, NamedTuple, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from edge_agent.audio.filters import CARD_RATE
from edge_agent.errors import AgentError, DeviceError, Fault

RATE_HZ = CARD_RATE
CHANNELS = 2
ENTRY_POINT_GROUP = "edge_agent.devices"


class InputDevice(Protocol):
    """A microphone."""

    name: str
    """For messages."""
    ring_ms: float
    """The most sound the device may hold between the ear and `read`, in ms."""

    def read(self, into: NDArray[np.int32]) -> int:
        """Fill `into`, int32 (block_frames, 2); block for about a second at most.

        Returns:
            Xruns (times at which sound was lost) since the last call.

        Raises:
            StreamEnded: the stream is dead; open the device anew.
        """
        ...

    def close(self) -> None:
        """Free the device; safe to call twice and after `StreamEnded`."""
        ...


class OutputDevice(Protocol):
    """A loudspeaker."""

    name: str
    """For messages."""
    ring_ms: float
    """Size of the device's buffer, in ms."""

    def writable(self) -> int:
        """Return how many frames `write` takes now without blocking; raises `StreamEnded` like `write`."""
        ...

    def write(self, block: NDArray[np.int32]) -> int:
        """Play `block`, int32 (n, 2) with n at most `writable()`.

        Returns:
            Underruns (times at which the loudspeaker ran dry) since the last call.

        Raises:
            StreamEnded: the stream is dead; open the device anew.
        """
        ...

    def close(self) -> None:
        """Free the device; safe to call twice and after `StreamEnded`."""
        ...


class Listing(NamedTuple):
    """Device strings that a configuration may name on this machine."""

    inputs: list[str]
    outputs: list[str]


def open_input(device: str, *, block_frames: int, epoch: float) -> InputDevice:
    """Open the microphone that `device` names.

    Args:
        device: `SCHEME:REST`.
        block_frames: frames of 48 kHz that each `read` fetches.
        epoch: `time.monotonic()` at which the sound thread started; time 0 of devices that follow the clock.

    Raises:
        DeviceError: absent, busy, refused or of an unknown scheme; the fault is `MICROPHONE`.
    """
    return cast("InputDevice", _open(device, "open_input", Fault.MICROPHONE, block_frames, epoch))


def open_output(device: str, *, block_frames: int, epoch: float) -> OutputDevice:
    """Open the loudspeaker that `device` names; as `open_input`, with the fault `LOUDSPEAKER`."""
    return cast("OutputDevice", _open(device, "open_output", Fault.LOUDSPEAKER, block_frames, epoch))


def listing() -> Listing:
    """Return the sound devices that exist here; a backend that is not installed contributes nothing."""
    found = Listing([], [])
    for module_name in ("portaudio", "alsa"):
        module = importlib.import_module(f"{__name__}.{module_name}")
        try:
            inputs, outputs = module.names()
        except AgentError:
            continue
        found.inputs.extend(inputs)
        found.outputs.extend(outputs)
    return Listing([*found.inputs, "silence:"], [*found.outputs, "null:"])


_BUILT_IN = {"pyaudio": "portaudio", "alsa": "alsa", "wav": "wav", "room": "room", "silence": "quiet", "null": "quiet"}
_USAGE = {
    "open_input": ("pyaudio:NAME", "alsa:PCM", "wav:PATH", "room:FILE.toml", "silence:"),
    "open_output": ("pyaudio:NAME", "alsa:PCM", "wav:PATH", "room:FILE.toml", "null:"),
}
_NOUN = {"open_input": "microphone", "open_output": "loudspeaker"}


def _open(device: str, function: str, fault: Fault, block_frames: int, epoch: float) -> Any:
    scheme, colon, rest = device.partition(":")
    noun = _NOUN[function]
    plug_ins = {entry.name: entry for entry in importlib.metadata.entry_points(group=ENTRY_POINT_GROUP)}
    wrong_side = {"open_input": "null", "open_output": "silence"}[function]
    if not colon or scheme == wrong_side or (scheme not in _BUILT_IN and scheme not in plug_ins):
        allowed = ", ".join([*_USAGE[function], *(f"{name}:" for name in sorted(plug_ins) if name not in _BUILT_IN)])
        raise DeviceError(f'"{device}" is not a {noun}; allowed are {allowed}', fault=fault)
    if scheme in _BUILT_IN:
        module: Any = importlib.import_module(f"{__name__}.{_BUILT_IN[scheme]}")
    else:
        module = _load(plug_ins[scheme], noun, fault)
    opener = getattr(module, function, None)
    if opener is None:
        raise DeviceError(f'the device plug-in "{scheme}" has no {noun}; choose another scheme', fault=fault)
    try:
        return opener(rest, block_frames=block_frames, epoch=epoch)
    except AgentError as error:
        error.fault = error.fault or fault
        raise
    except Exception as error:
        if scheme in _BUILT_IN:
            raise
        told = str(error) or type(error).__name__
        raise DeviceError(f'the device plug-in "{scheme}" cannot open "{device}": {told}', fault=fault) from error


def _load(entry: importlib.metadata.EntryPoint, noun: str, fault: Fault) -> Any:
    try:
        return entry.load()
    except Exception as error:  # a third party's import may raise anything
        told = f"{type(error).__name__}: {error}"
        raise DeviceError(
            f'the {noun} plug-in "{entry.name}" ({entry.value}) cannot be loaded: {told}; mend or remove its package',
            fault=fault,
        ) from error
