"""The line to the service as the conversation sees it: down, opening or up, when to try again, how long to hope."""

from __future__ import annotations

import enum
from collections.abc import Callable

PATIENCE_S = 15.0  # speech older than this is not sent any more, so the person is told
BACKOFF_FIRST_S, BACKOFF_MOST_S = 0.5, 30.0  # bounds of the wait before a new try; full jitter below them
SOUND_S = 10.0  # a connection that lived this long was sound: losing it is no reason to wait longer than at first


class Link(enum.Enum):
    """What a connection can be."""

    DOWN = "down"
    OPENING = "opening"
    UP = "up"


class Line:
    """Facts and times of the connection; `jitter` gives numbers in [0, 1)."""

    def __init__(self, jitter: Callable[[], float]) -> None:
        self.link = Link.DOWN
        self.retry_at: float | None = None
        self.wanted_since: float | None = None
        self.known = False
        """The service has met this conversation: a new connection should resume it."""
        self.leaving = False
        """The connection will not stay: it is changed for a new one at a quiet moment."""
        self._attempts = 0
        self._up_since = 0.0
        self._jitter = jitter

    @property
    def up(self) -> bool:
        """True while messages can be sent."""
        return self.link is Link.UP

    @property
    def hopeless_at(self) -> float | None:
        """When what waits for the line is too old to be sent."""
        return None if self.wanted_since is None else self.wanted_since + PATIENCE_S

    def want(self, now: float) -> bool:
        """Something waits to be sent; True if a connection has to be opened for it now."""
        if self.up:
            return False
        if self.wanted_since is None:
            self.wanted_since = now
        if self.link is Link.OPENING:
            return False
        self._attempts = 0
        return True

    def unwanted(self) -> None:
        """Nothing waits any more."""
        self.wanted_since = None

    def opening(self) -> None:
        """A try begins."""
        self.link = Link.OPENING
        self.retry_at = None

    def opened(self, now: float) -> None:
        """The connection is set up."""
        self.link = Link.UP
        self.retry_at = self.wanted_since = None
        self.leaving = False
        self._up_since = now

    def lost(self, now: float) -> None:
        """The connection is gone, or the try failed."""
        if self.up and now - self._up_since >= SOUND_S:
            self._attempts = 0
        self.link = Link.DOWN
        self.leaving = False

    def retry(self, now: float) -> None:
        """Plan the next try: a random wait below a bound that doubles with each failure."""
        bound = min(BACKOFF_MOST_S, BACKOFF_FIRST_S * 2.0**self._attempts)
        self.retry_at = now + self._jitter() * bound
        self._attempts = min(self._attempts + 1, 16)

    def closed(self) -> None:
        """We closed it, or gave up opening it."""
        self.link = Link.DOWN
        self.retry_at = self.wanted_since = None
        self.leaving = False
        self._attempts = 0
