"""Short sounds that tell the state of the device, as data an owner may replace.

    cues = load_cues()                         # the built-in table, cues.toml beside this module
    cues = load_cues(Path("/etc/.../my.toml"))  # replaces the cues it names, keeps the others
    cues["listen"]                             # (n,) float32 in [-1, 1] at 24 kHz, rendered once

A cue is a list of tones `{ freq_hz, ms, level_db, fade_ms }` played one after the other; see cues.toml for the limits.
A wrong table is refused with one sentence that names the file, the cue, the tone and what is allowed.
"""

from __future__ import annotations

import difflib
import tomllib
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_agent.audio.filters import DOWN_RATE
from edge_agent.errors import ConfigError

RATE = DOWN_RATE
"""Samples per second of a rendered cue."""

NAMES = ("listen", "done", "error", "muted", "unmuted", "no_answer", "goodbye", "ready", "wait", "volume", "alarm")
"""Every cue the device plays."""

MAX_MS = 10_000
"""Longest cue: a cue is a signal; a sentence is a prompt."""

_KEYS = {"freq_hz": (0.0, 11_000.0), "ms": (1.0, 5_000.0), "level_db": (-60.0, 0.0), "fade_ms": (0.0, 2_500.0)}
_DEFAULTS = {"level_db": -14.0, "fade_ms": 8.0}
_LOWEST_HZ = 20.0  # anything lower but a rest is a click, not a tone


def load_cues(path: Path | None = None) -> dict[str, NDArray[np.float32]]:
    """Read and render the cues; those that `path` does not name keep their built-in sound.

    Raises:
        ConfigError: the file cannot be read, is not TOML, or a cue in it is not what it should be.
    """
    built_in = resources.files("edge_agent.audio").joinpath("cues.toml").read_text(encoding="utf-8")
    found = _render_all(tomllib.loads(built_in), "cues.toml")
    if path is not None:
        try:
            table = tomllib.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            msg = f"{path}: no such file; it should hold the sound cues"
            raise ConfigError(msg) from None
        except tomllib.TOMLDecodeError as error:
            msg = f"{path}: not TOML: {error}"
            raise ConfigError(msg) from None
        except (OSError, UnicodeDecodeError) as error:
            msg = f"{path}: cannot be read: {error}"
            raise ConfigError(msg) from None
        found |= _render_all(table, str(path))
    return found


def _render_all(table: dict[str, Any], source: str) -> dict[str, NDArray[np.float32]]:
    return {name: _render(_tones(name, value, source)) for name, value in table.items()}


def _tones(name: str, value: Any, source: str) -> list[dict[str, float]]:
    """Check one cue of the file."""
    if name not in NAMES:
        close = difflib.get_close_matches(name, NAMES, n=1)
        hint = f"did you mean {close[0]}?" if close else "allowed are " + ", ".join(NAMES)
        msg = f"{source}: unknown cue {name}; {hint}"
        raise ConfigError(msg)
    if not isinstance(value, list):
        msg = f"{source}: {name} must be a list of tones such as [{{ freq_hz = 880, ms = 80 }}]"
        raise ConfigError(msg)
    tones = [_tone(tone, f"{source}: {name}, tone {number}") for number, tone in enumerate(value, 1)]
    total = sum(tone["ms"] for tone in tones)
    if total > MAX_MS:
        msg = f"{source}: {name} lasts {total:.0f} ms; at most {MAX_MS} are allowed"
        raise ConfigError(msg)
    return tones


def _tone(value: Any, where: str) -> dict[str, float]:
    if not isinstance(value, dict):
        msg = f"{where} must be a table such as {{ freq_hz = 880, ms = 80 }}"
        raise ConfigError(msg)
    tone = dict(_DEFAULTS)
    for key, number in value.items():
        if key not in _KEYS:
            msg = f"{where}: unknown key {key}; allowed are {', '.join(_KEYS)}"
            raise ConfigError(msg)
        low, high = _KEYS[key]
        if isinstance(number, bool) or not isinstance(number, int | float) or not low <= number <= high:
            msg = f"{where}: {key} = {number!r}: allowed is a number from {low:g} to {high:g}"
            raise ConfigError(msg)
        tone[key] = float(number)
    for key in ("freq_hz", "ms"):
        if key not in tone:
            msg = f"{where}: {key} is missing"
            raise ConfigError(msg)
    if 0 < tone["freq_hz"] < _LOWEST_HZ:
        msg = f"{where}: freq_hz = {tone['freq_hz']:g}: allowed is 0 (a rest) or {_LOWEST_HZ:g} to 11000"
        raise ConfigError(msg)
    return tone


def _render(tones: list[dict[str, float]]) -> NDArray[np.float32]:
    parts = [np.zeros(0, np.float32)]
    for tone in tones:
        count = max(1, round(tone["ms"] * RATE / 1_000))
        wave = 10 ** (tone["level_db"] / 20) * np.sin(2 * np.pi * tone["freq_hz"] / RATE * np.arange(count))
        fade = min(round(tone["fade_ms"] * RATE / 1_000), count // 2)
        rise = 0.5 - 0.5 * np.cos(np.pi * (np.arange(fade) + 0.5) / max(fade, 1))
        wave[:fade] *= rise
        wave[count - fade :] *= rise[::-1]
        parts.append(wave.astype(np.float32))
    return np.concatenate(parts)
