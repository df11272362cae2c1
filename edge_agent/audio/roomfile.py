"""The file of a room: what stands between loudspeaker, person and microphone, read from TOML.

    scene = read_room(Path("kitchen.toml"))
    scene.near, scene.response, scene.noise        # sound at 48 kHz, converted when read

Every key is optional; `docs/room.md` has them all. Paths are relative to the file's folder. WAV files are mono, of any
rate. What is wrong is refused in one sentence that names the file, the key and what is allowed.
"""

from __future__ import annotations

import dataclasses
import math
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from edge_agent.audio.echopath import RATE_HZ, REACH, pink_loop
from edge_agent.audio.levels import SILENCE_DBFS
from edge_agent.audio.wavfile import read_wav, resample
from edge_agent.config.declaring import between, read_table, setting
from edge_agent.errors import ConfigError, DeviceError

Slot = Literal["left", "right", "both"]

RESPONSE_S = 2.0
"""The longest response: a church; more is a recording by mistake, and every block would pay for it."""

DELAY_MS = 1_000.0
"""The longest way from the loudspeaker to the microphone; Bluetooth needs a quarter of it."""

_PINK_FRAMES = 1 << 20  # 22 s: nobody hears where it begins again


@dataclass(slots=True)
class RoomKeys:
    """The keys of the file, but for `noise` and `jumps`, whose values have shapes of their own."""

    near: str = setting("", "WAV of the person as the microphone hears them.")
    near_at_s: float = setting(0.0, "When it begins, from the start of the sound.", unit="s", check=between(0, 86_400))
    near_gain_db: float = setting(0.0, "On top of the person's WAV.", unit="dB", check=between(-120, 60))
    rir: str = setting("", "WAV of the response from loudspeaker to microphone; empty: a single tap.")
    delay_ms: float = setting(20.0, "From the loudspeaker's ring to the response.", unit="ms", check=between(0, 1_000))
    echo_gain_db: float = setting(
        0.0, "Level of white noise in the microphone against the loudspeaker.", unit="dB", check=between(-120, 60)
    )
    distortion: float = setting(0.0, "Of the loudspeaker, 0 to 1.", check=between(0, 1))
    noise: str = setting("", "WAV that is looped, or the level of pink noise in dBFS.")
    drift_ppm: float = setting(
        0.0, "How much faster the loudspeaker's clock is than the microphone's.", unit="ppm", check=between(-1e3, 1e3)
    )
    jumps: str = setting("", "[[at_s, ms], ...]: from then on the delay is so much longer.")
    slot: Literal["left", "right", "both"] = setting(
        "left", "Which slot of the microphone's two the sound is in; the other is silent."
    )
    seed: int = setting(1, "Draws the pink noise.", check=between(0, 2**32 - 1))
    record: str = setting("", "WAV that is written: left what the microphone hears, right what the loudspeaker plays.")


@dataclass(frozen=True, slots=True)
class Scene:
    """A room, ready to sound: arrays are float32 (n,) at 48 kHz, times are frames of 48 kHz."""

    near: NDArray[np.float32] = field(default_factory=lambda: np.zeros(0, np.float32))
    near_at: int = 0
    response: NDArray[np.float32] | None = None
    delay: int = 960
    echo_gain_db: float = 0.0
    distortion: float = 0.0
    noise: NDArray[np.float32] | None = None
    drift_ppm: float = 0.0
    jumps: tuple[tuple[int, int], ...] = ()
    slot: Slot = "left"
    record: Path | None = None


def read_room(path: Path) -> Scene:
    """Read a room and the WAV files it names.

    Raises:
        DeviceError: the file or one of its WAV files is missing, unreadable or says what is not allowed.
    """
    try:
        tree = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DeviceError(f"{path} does not exist; write room:FILE.toml with the path of a room's file") from None
    except OSError as error:
        raise DeviceError(f"{path} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise DeviceError(f"{path} is not a TOML file: {error}") from None
    return _Reader(path, tree).scene()


class _Reader:
    def __init__(self, path: Path, tree: dict[str, Any]) -> None:
        self._path = path
        self._jumps = tree.pop("jumps", [])
        self._noise = tree.get("noise", "")
        if not isinstance(self._noise, str):
            del tree["noise"]
        try:
            self._keys: RoomKeys = read_table(RoomKeys, tree, source=str(path))
        except ConfigError as error:
            raise DeviceError(str(error)) from None

    def scene(self) -> Scene:
        keys = self._keys
        delay, jumps = self._frames(keys.delay_ms), self._delays()
        near = self._sound("near")
        if near is not None:
            near = near * np.float32(10 ** (keys.near_gain_db / 20))
        response = self._sound("rir")
        if response is not None and len(response) > RESPONSE_S * RATE_HZ:
            raise self._refused("rir", keys.rir, f"is {len(response) / RATE_HZ:.1f} s long", f"up to {RESPONSE_S:g} s")
        if response is not None and not response.any():
            raise self._refused("rir", keys.rir, "is silent", "a response with sound in it")
        return Scene(
            near=np.zeros(0, np.float32) if near is None else near,
            near_at=self._frames(1_000 * keys.near_at_s),
            response=response,
            delay=delay,
            echo_gain_db=keys.echo_gain_db,
            distortion=keys.distortion,
            noise=self._background(),
            drift_ppm=keys.drift_ppm,
            jumps=jumps,
            slot=keys.slot,
            record=self._written(),
        )

    def _delays(self) -> tuple[tuple[int, int], ...]:
        """Return the jumps in frames, in order; every delay on the way must be possible."""
        allowed = "a list of [at_s, ms] with at_s from 0 on, such as [[12.0, 40]]"
        if not isinstance(self._jumps, list):
            raise self._refused("jumps", self._jumps, "is no list", allowed)
        for jump in self._jumps:
            numbers = isinstance(jump, list) and len(jump) == 2 and all(_is_number(number) for number in jump)
            if not numbers or jump[0] < 0:
                raise self._refused("jumps", self._jumps, f"holds {jump}", allowed)
        least = math.ceil(REACH / RATE_HZ * 1e4) / 10 if self._keys.drift_ppm else 0.0
        delay_ms = self._keys.delay_ms
        why = " with drift_ppm" if least else ""
        if delay_ms < least:
            raise self._refused("delay_ms", f"{delay_ms:g}", "is too short", f"{least:g} to {DELAY_MS:g}{why}")
        ordered = sorted(self._jumps)
        for at_s, by_ms in ordered:
            delay_ms += by_ms
            if not least <= delay_ms <= DELAY_MS:
                allowed = f"jumps after which the delay is {least:g} to {DELAY_MS:g} ms{why}"
                raise self._refused("jumps", self._jumps, f"makes the delay {delay_ms:g} ms at {at_s:g} s", allowed)
        return tuple((round(at_s * RATE_HZ), self._frames(by_ms)) for at_s, by_ms in ordered)

    def _background(self) -> NDArray[np.float32] | None:
        noise = self._noise
        if isinstance(noise, str):
            sound = self._sound("noise")
            if sound is not None and not len(sound):
                raise self._refused("noise", noise, "is empty", "a WAV file with sound in it")
            return sound
        if not _is_number(noise) or not SILENCE_DBFS <= noise <= 0:
            raise self._refused("noise", noise, "", f"the path of a WAV file, or dBFS from {SILENCE_DBFS:g} to 0")
        return pink_loop(noise, seed=self._keys.seed, frames=_PINK_FRAMES)

    def _sound(self, key: str) -> NDArray[np.float32] | None:
        """Return the WAV that a key names, at 48 kHz; None where it names none."""
        name: str = getattr(self._keys, key)
        if not name:
            return None
        path = self._path.parent / name
        if path.exists() and not path.is_file():
            raise self._refused(key, name, "is not a plain file", "a WAV file")
        try:
            samples, rate = read_wav(path)
        except FileNotFoundError:
            raise self._refused(key, name, "does not exist", f"a WAV file, by its path from {path.parent}") from None
        except OSError as error:
            raise self._refused(key, name, f"cannot be read: {error.strerror}", "a WAV file") from None
        except ValueError as error:
            raise DeviceError(f"{self._path}: {key}: {error}") from None
        if samples.shape[1] != 1:
            raise self._refused(key, name, f"has {samples.shape[1]} channels", "1 channel")
        return resample(samples[:, 0], rate, RATE_HZ)

    def _written(self) -> Path | None:
        name = self._keys.record
        if not name:
            return None
        path = self._path.parent / name
        if path.exists() and not path.is_file():
            raise self._refused("record", name, "is not a plain file", "a WAV file that is written")
        others = (self._keys.near, self._keys.rir, self._keys.noise)
        if path.resolve() in {self._path.resolve(), *((self._path.parent / other).resolve() for other in others)}:
            raise self._refused("record", name, "is what the room is made of", "another file")
        return path

    def _frames(self, ms: float) -> int:
        return round(ms * RATE_HZ / 1_000)

    def _refused(self, key: str, value: Any, what: str, allowed: str) -> DeviceError:
        told = f" {what}" if what else ""
        return DeviceError(f"{self._path}: {key} = {value}{told}; allowed is {allowed}")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


KEYS = tuple(declared.name for declared in dataclasses.fields(RoomKeys))
"""The names of all keys."""
