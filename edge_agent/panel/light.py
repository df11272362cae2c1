"""The light's player: puts a pattern on a panel, by timers of the event loop. No thread, no sleep.

    light = Light(panel, load_patterns(""), loop)
    light.show("listening")      # the first colour stands before this returns
    light.current                # "listening"
    light.close()

A timer runs only up to the pattern's next change; a steady light costs nothing. A light that is only on or off plays
the on/off form of the rhythm. Showing what is shown already leaves its rhythm alone. A panel that fails is logged once
and tried again at the next change: the light never stops the talk.
"""

from __future__ import annotations

import asyncio
import importlib.resources
import logging
import tomllib
from collections.abc import Mapping
from pathlib import Path

from edge_agent.errors import ConfigError, DeviceError
from edge_agent.panel.patterns import Pattern, parse
from edge_agent.panel.pins import Panel

log = logging.getLogger(__name__)


def load_patterns(path: str | Path = "") -> dict[str, Pattern]:
    """Read the built-in patterns and, over them, those of an owner's file.

    Raises:
        ConfigError: the owner's file cannot be read or holds something that is not allowed; one sentence.
    """
    built_in = importlib.resources.files("edge_agent.panel").joinpath("patterns.toml").read_text("utf-8")
    patterns = parse(tomllib.loads(built_in), source="patterns.toml")
    if not str(path):
        return patterns
    try:
        tree = tomllib.loads(Path(path).read_bytes().decode())
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file (panel.patterns); leave it empty for the built-in patterns") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: not TOML: {error}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from None
    return parse(tree, source=str(path), base=patterns)


class Light:
    """Plays one pattern at a time on a panel; call from the loop's thread only."""

    def __init__(self, panel: Panel, patterns: Mapping[str, Pattern], loop: asyncio.AbstractEventLoop) -> None:
        self._panel = panel
        self._patterns = dict(patterns) if panel.dimmable else {name: p.on_off() for name, p in patterns.items()}
        self._loop = loop
        self._timer: asyncio.TimerHandle | None = None
        self._pattern = self._patterns["off"]
        self._begun = loop.time()
        self._broken = False
        self._play(0.0)

    @property
    def current(self) -> str:
        """The name of the pattern that plays."""
        return self._pattern.name

    def show(self, name: str) -> None:
        """Play a pattern from its beginning; its first colour is set at once. KeyError: no such pattern."""
        pattern = self._patterns[name]
        if pattern is self._pattern:
            return
        self._pattern = pattern
        self._begun = self._loop.time()
        self._play(0.0)

    def replace(self, patterns: Mapping[str, Pattern]) -> None:
        """Take other patterns (a reload); what plays goes on in its new form."""
        self._patterns = dict(patterns) if self._panel.dimmable else {name: p.on_off() for name, p in patterns.items()}
        name, self._pattern = self._pattern.name, self._patterns["off"]
        self.show(name)

    def close(self) -> None:
        """Stop and darken; the panel stays open."""
        self._stop_timer()
        self._pattern = self._patterns["off"]
        self._play(0.0)

    def _play(self, t: float) -> None:
        """Set the colour of `t` seconds after the beginning and wake up at the next change."""
        self._stop_timer()
        try:
            self._panel.show(self._pattern.at(t))
            self._broken = False
        except DeviceError as error:
            if not self._broken:
                log.warning("the light does not work: %s", error)
            self._broken = True
        change = self._pattern.next_change(t)
        if change is not None:
            self._timer = self._loop.call_at(self._begun + change, self._due, change)

    def _due(self, change: float) -> None:
        # A late loop skips what is past; an early timer must not see the moment before the change again.
        self._play(max(change, self._loop.time() - self._begun))

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
