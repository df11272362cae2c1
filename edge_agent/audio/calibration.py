"""What `edge-agent calibrate` found on this device, as it lies in the state file and as the daemon reads it back.

    calibration = Calibration.from_section(state.section("calibration"))     # None: never run, or not to be trusted
    if calibration and calibration.fits(config.audio):                       # the same microphone and loudspeaker
        sound = calibration.over(config.audio)                               # the settings in force
    sentence = complaint(state.section("calibration"))                       # why one is ignored, else ""

A setting in the configuration file wins over what was measured: `over` fills in only what the file leaves at its
default. A section that somebody edited into nonsense, or that a later version wrote in another way, is ignored as a
whole; keys this version does not know do no harm.

Pure.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Self

if TYPE_CHECKING:
    from edge_agent.config import Audio

Echo = Literal["software", "hardware", "half-duplex", "off"]

_ECHOES = ("software", "hardware", "half-duplex", "off")
_CHANNELS = ("left", "right", "mono")
_BOUNDS: dict[str, tuple[float, float]] = {
    "delay_ms": (-100.0, 2_000.0),
    "echo_gain_db": (-200.0, 100.0),
    "tail_ms": (0.0, 10_000.0),
    "noise_dbfs": (-200.0, 0.0),
    "mic_gain_db": (-20.0, 60.0),
    "volume_max": (1, 100),
    "speech_dbfs": (-200.0, 10.0),
    "ser_db": (-200.0, 200.0),
    "distortion": (0.0, 10.0),
    "drift_ppm": (-1e5, 1e5),
    "ring_ms": (0.0, 10_000.0),
}  # wide: they catch a slip of the pen, not an unusual device
_FEWEST = ("drift_ppm", "ring_ms", "speech_dbfs", "ser_db", "distortion", "speech_heard")
"""Keys that may be missing: nothing is decided by them alone."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """One calibration. Levels are before the microphone's gain; see `edge_agent.audio.calibrate.measures`."""

    at: str
    """When it was measured, ISO 8601."""
    input: str
    """Device string of the microphone."""
    output: str
    """Device string of the loudspeaker."""
    delay_ms: float
    """From the loudspeaker playing a sample to the microphone's block holding it, what the output's ring keeps left
    out; 0 where no echo was heard."""
    echo_gain_db: float
    """From digital loudspeaker to digital microphone at `volume_max`, weighted like speech; an upper bound where no
    echo was heard."""
    tail_ms: float
    """A sound that ends is 30 dB down so long after `delay_ms`."""
    noise_dbfs: float
    """Noise of room and microphone, RMS, 100 Hz to 7.5 kHz."""
    mic_gain_db: float
    mic_channel: Literal["left", "right", "mono"]
    volume_max: int
    echo: Echo
    speech_dbfs: float = -50.0
    """Active level of speech where people stand."""
    speech_heard: bool = False
    """False: nobody spoke, and `speech_dbfs` follows from the configured gain."""
    ser_db: float = 0.0
    """Speech over the echo of an answer at `volume_max`."""
    distortion: float = 0.0
    """Harmonics at `volume_max`, share of 1."""
    drift_ppm: float = 0.0
    """Speed of the loudspeaker's clock against the microphone's."""
    ring_ms: float = 0.0
    """What the output's ring held after each write; what is written is heard `ring_ms + delay_ms` later."""

    @classmethod
    def from_section(cls, section: dict[str, Any]) -> Self | None:
        """Read the state file's section; None when it is empty, or `complaint` has something to say."""
        if not section or _fault(section):
            return None
        known = {field.name: field for field in dataclasses.fields(cls)}
        values: dict[str, Any] = {
            name: float(value) if name in _BOUNDS and name != "volume_max" else value
            for name, value in section.items()
            if name in known
        }
        return cls(**values)

    def to_section(self) -> dict[str, Any]:
        """Return what goes into the state file."""
        return {
            name: round(value, 4) if isinstance(value, float) else value
            for name, value in dataclasses.asdict(self).items()
        }

    def fits(self, audio: Audio) -> bool:
        """Tell whether it was measured with the configured microphone and loudspeaker."""
        return (self.input, self.output) == (audio.input, audio.output)

    def over(self, audio: Audio) -> Audio:
        """Return the sound settings with what was measured in place of every one that the file leaves at its default.

        Gain, slot, the cap of the volume and, where it is "auto", the echo policy are concerned, as far as the
        settings have them.
        """
        fresh = type(audio)()
        measured = {
            name: getattr(self, name)
            for name in ("mic_gain_db", "mic_channel", "volume_max", "echo")
            if hasattr(audio, name) and getattr(audio, name) == getattr(fresh, name)
        }
        return dataclasses.replace(audio, **measured)


def complaint(section: dict[str, Any]) -> str:
    """Say in a sentence why a section is ignored; "" when it is in order or empty."""
    fault = _fault(section) if section else ""
    return f"The stored calibration is ignored: {fault}; run `edge-agent calibrate` again." if fault else ""


def _fault(section: dict[str, Any]) -> str:
    for field in dataclasses.fields(Calibration):
        name = field.name
        if name not in section:
            if name in _FEWEST:
                continue
            return f"{name} is missing"
        value = section[name]
        if not _allowed(name, value):
            return f"{name} = {value!r} is not {_wanted(name)}"[:200]
    return ""


def _allowed(name: str, value: Any) -> bool:
    if name in _BOUNDS:
        low, high = _BOUNDS[name]
        kinds = {int} if name == "volume_max" else {int, float}
        return type(value) in kinds and math.isfinite(value) and low <= value <= high
    if name == "speech_heard":
        return type(value) is bool
    choices = {"echo": _ECHOES, "mic_channel": _CHANNELS}.get(name)
    return type(value) is str and (choices is None or value in choices)


def _wanted(name: str) -> str:
    if name in _BOUNDS:
        low, high = _BOUNDS[name]
        kind = "a whole number" if name == "volume_max" else "a number"
        return f"{kind} from {low:g} to {high:g}"
    if name == "speech_heard":
        return "true or false"
    choices = {"echo": _ECHOES, "mic_channel": _CHANNELS}.get(name)
    return "one of " + ", ".join(choices) if choices else "a text"
