"""Light patterns: data in, colour at a time out. Pure.

A device with one light tells its states apart by rhythm; colour is a bonus where the light has three. Patterns are read
from TOML, one table per name, so that an owner can replace any of them:

    [connecting]
    color = [1.0, 0.7, 0.0]        # optional; red, green, blue, 0 to 1; white if left out
    repeat = true                  # optional; false: play once and hold the last step
    steps = [
        { level = 1.0, ms = 120 },                  # level times the pattern's colour
        { level = 0.0, ms = 120, fade = true },     # reached gradually over its ms
        { color = [1, 0, 0], ms = 50 },             # or a colour of its own
    ]

`[fault]` is not a pattern but the rule for fault-1 to fault-13: `on_ms`, `off_ms`, `pause_ms`, `color`. Fault N blinks
N times, then pauses.

    patterns = parse(tree, source="patterns.toml")
    patterns["idle"].at(0.3)             # (r, g, b) 0.3 s after the pattern began
    patterns["idle"].next_change(0.3)    # seconds after the beginning, None: never again

A light that can only be on or off plays `pattern.on_off()`. Refused, each with file, pattern, key and what is allowed:
unknown names and keys, wrong types, numbers out of range, a pattern without steps.
"""

from __future__ import annotations

import difflib
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from edge_agent.errors import ConfigError, Fault

Color = tuple[float, float, float]
"""Red, green, blue, each 0.0 to 1.0. A single light shows the brightest of the three."""

NAMES = (
    "off",
    "starting",
    "offline",
    "waiting-for-clock",
    "idle",
    "connecting",
    "attentive",
    "listening",
    "thinking",
    "speaking",
    "muted",
    "updating",
    "ringing",
    "degraded",
    "healing-1",
    "healing-2",
    "healing-3",
)
FAULT_NAMES = tuple(f"fault-{fault.value}" for fault in Fault)

FADE_STEP_US = 60_000  # smooth enough for a fade of a second; each step wakes the processor, day and night while idle
ON = 0.5  # a light without brightness is on from this level
MIN_STEP_MS = 10  # shorter steps are not seen
MAX_STEP_MS = 60_000  # a longer step is a typing error
_KEYS = {"color", "repeat", "steps"}
_STEP_KEYS = {"level", "color", "ms", "fade"}
_FAULT_KEYS = {"on_ms", "off_ms", "pause_ms", "color"}


@dataclass(frozen=True, slots=True)
class Pattern:
    """A light pattern: the colour from each instant on, over one period.

    `starts_us[i]` is when `colors[i]` begins, microseconds from the beginning; `starts_us[0]` is 0. Neighbours differ.
    `period_us` is the length of the whole; after it the pattern begins again, or holds its last colour.
    """

    name: str
    starts_us: tuple[int, ...]
    colors: tuple[Color, ...]
    period_us: int
    repeat: bool

    def at(self, t: float) -> Color:
        """Return the colour `t` seconds after the pattern began."""
        return self.colors[bisect_right(self.starts_us, self._place(t)[1]) - 1]

    def next_change(self, t: float) -> float | None:
        """Return when the colour changes next, seconds after the beginning and later than `t`; None: never."""
        if len(self.colors) == 1:
            return None
        begun, place = self._place(t)
        index = bisect_right(self.starts_us, place)
        if index < len(self.starts_us):
            return (begun + self.starts_us[index]) / 1e6
        if not self.repeat:
            return None
        first = 1 if self.colors[-1] == self.colors[0] else 0
        return (begun + self.period_us + self.starts_us[first]) / 1e6

    def on_off(self) -> Pattern:
        """Return the same rhythm for a light that is only on (white) or off."""
        frames = [
            (start, (1.0, 1.0, 1.0) if max(color) >= ON else (0.0, 0.0, 0.0))
            for start, color in zip(self.starts_us, self.colors, strict=True)
        ]
        return _pattern(self.name, frames, self.period_us, self.repeat)

    def signature(self) -> tuple[tuple[bool, float], ...]:
        """Return a period of one on/off light as a person sees it: (lit, milliseconds) runs, longest dark run first.

        A light that never changes is a single run of length 0, so that its period does not matter.
        """
        plain = self.on_off()
        if len(plain.colors) == 1 or not self.repeat:
            return ((max(plain.colors[-1]) > 0, 0.0),)
        ends = (*plain.starts_us[1:], plain.period_us)
        runs = [
            (max(color) > 0, (end - start) / 1000)
            for color, start, end in zip(plain.colors, plain.starts_us, ends, strict=True)
        ]
        if runs[0][0] == runs[-1][0]:
            lit, ms = runs.pop()
            runs[0] = (lit, runs[0][1] + ms)
        longest = max((i for i, run in enumerate(runs) if not run[0]), key=lambda i: runs[i][1])
        return tuple(runs[longest:] + runs[:longest])

    def _place(self, t: float) -> tuple[int, int]:
        """Split a time into the microsecond at which this round began and the microseconds since."""
        us = max(0, round(t * 1e6))
        if self.repeat:
            return us - us % self.period_us, us % self.period_us
        return 0, min(us, self.period_us)


def parse(tree: Mapping[str, Any], *, source: str, base: Mapping[str, Pattern] | None = None) -> dict[str, Pattern]:
    """Build patterns from a parsed TOML tree.

    Args:
        tree: tables by name, as described above.
        source: the file's name, for error sentences.
        base: patterns for the names that the tree leaves out; without it every name must be there.

    Raises:
        ConfigError: naming file, pattern, key and what is allowed.
    """
    patterns = dict(base or {})
    for name, table in tree.items():
        if name != "fault" and name not in NAMES:
            raise ConfigError(f"{source}: unknown pattern [{name}]{_nearest(name, (*NAMES, 'fault'))}")
        if not isinstance(table, Mapping):
            raise ConfigError(f"{source}: {name} must be a table: [{name}]")
        where = f"{source}: [{name}]"
        if name == "fault":
            patterns.update(_faults(table, where))
        else:
            patterns[name] = _steps(name, table, where)
    for name in (*NAMES, *FAULT_NAMES):
        if name not in patterns:
            raise ConfigError(f"{source}: pattern [{name.split('-')[0] if name in FAULT_NAMES else name}] is missing")
    return patterns


def _steps(name: str, table: Mapping[str, Any], where: str) -> Pattern:
    _known(table, _KEYS, where)
    tint = _color(table.get("color", [1, 1, 1]), f"{where} color")
    repeat = table.get("repeat", True)
    if not isinstance(repeat, bool):
        raise ConfigError(f"{where} repeat = {repeat!r}: allowed are true and false")
    steps = table.get("steps")
    if not isinstance(steps, list) or not steps:
        raise ConfigError(f"{where} steps: must be a list of at least one step, such as {{ level = 1.0, ms = 500 }}")
    parsed = [_step(step, tint, f"{where} step {number}") for number, step in enumerate(steps, 1)]
    before: Color = parsed[-1][0] if repeat else (0.0, 0.0, 0.0)
    frames: list[tuple[int, Color]] = []
    start = 0
    for color, length, fade in parsed:
        parts = max(1, length // FADE_STEP_US) if fade else 1
        for part in range(parts):
            share = (part + 1) / parts
            frames.append((start + length * part // parts, _mix(before, color, share)))
        before = color
        start += length
    return _pattern(name, frames, start, repeat)


def _step(step: Any, tint: Color, where: str) -> tuple[Color, int, bool]:
    if not isinstance(step, Mapping):
        raise ConfigError(f"{where}: must be a table such as {{ level = 1.0, ms = 500 }}")
    _known(step, _STEP_KEYS, where)
    if ("level" in step) == ("color" in step):
        raise ConfigError(f"{where}: needs either level (0 to 1) or color ([red, green, blue])")
    if "color" in step:
        color = _color(step["color"], f"{where} color")
    else:
        level = _number(step["level"], 0, 1, f"{where} level")
        color = (tint[0] * level, tint[1] * level, tint[2] * level)
    if "ms" not in step:
        raise ConfigError(f"{where}: ms is missing; allowed is a number from {MIN_STEP_MS} to {MAX_STEP_MS}")
    fade = step.get("fade", False)
    if not isinstance(fade, bool):
        raise ConfigError(f"{where} fade = {fade!r}: allowed are true and false")
    return color, _microseconds(step["ms"], f"{where} ms"), fade


def _faults(table: Mapping[str, Any], where: str) -> dict[str, Pattern]:
    _known(table, _FAULT_KEYS, where)
    for key in ("on_ms", "off_ms", "pause_ms"):
        if key not in table:
            raise ConfigError(f"{where}: {key} is missing; allowed is a number from {MIN_STEP_MS} to {MAX_STEP_MS}")
    on, off, pause = (_microseconds(table[key], f"{where} {key}") for key in ("on_ms", "off_ms", "pause_ms"))
    if pause < 2 * off:
        raise ConfigError(
            f"{where} pause_ms = {pause / 1000:g}: must be at least twice off_ms, or blinks can't be counted"
        )
    color = _color(table.get("color", [1, 1, 1]), f"{where} color")
    if max(color) < ON:
        raise ConfigError(f"{where} color: too dark to be seen; one of the three must be at least {ON}")
    dark: Color = (0.0, 0.0, 0.0)
    made = {}
    for fault in Fault:
        frames: list[tuple[int, Color]] = []
        for blink in range(fault.value):
            frames += [(blink * (on + off), color), (blink * (on + off) + on, dark)]
        name = f"fault-{fault.value}"
        made[name] = _pattern(name, frames, frames[-1][0] + pause, True)
    return made


def _pattern(name: str, frames: list[tuple[int, Color]], period_us: int, repeat: bool) -> Pattern:
    starts: list[int] = []
    colors: list[Color] = []
    for start, color in frames:
        if not colors or color != colors[-1]:
            starts.append(start)
            colors.append(color)
    return Pattern(name, tuple(starts), tuple(colors), period_us, repeat)


def _mix(a: Color, b: Color, share: float) -> Color:
    if share >= 1:
        return b
    return (a[0] + (b[0] - a[0]) * share, a[1] + (b[1] - a[1]) * share, a[2] + (b[2] - a[2]) * share)


def _color(value: Any, where: str) -> Color:
    if not isinstance(value, list) or len(value) != 3:
        raise ConfigError(f"{where} = {value!r}: must be [red, green, blue], each from 0 to 1")
    red, green, blue = (_number(part, 0, 1, where) for part in value)
    return (red, green, blue)


def _microseconds(value: Any, where: str) -> int:
    return round(_number(value, MIN_STEP_MS, MAX_STEP_MS, where) * 1000)


def _number(value: Any, low: float, high: float, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
        raise ConfigError(f"{where} = {value!r}: allowed is a number from {low:g} to {high:g}")
    return float(value)


def _known(table: Mapping[str, Any], allowed: set[str], where: str) -> None:
    for key in table:
        if key not in allowed:
            raise ConfigError(f"{where}: unknown key {key}{_nearest(key, sorted(allowed))}")


def _nearest(word: str, allowed: tuple[str, ...] | list[str]) -> str:
    close = difflib.get_close_matches(word, allowed, n=1)
    return f"; did you mean {close[0]}?" if close else "; allowed are " + ", ".join(allowed)
