"""The line to the service as the conversation sees it: down, opening or up, when to try again, how long to hope."""

from __future__ import annotations

import enum
import math
from collections.abc import Callable

PATIENCE_S = 15.0  # speech older than this is not sent any more, so the person is told
BACKOFF_FIRST_S, BACKOFF_MOST_S = 0.5, 30.0  # bounds of the wait before a new try; full jitter below them
HAND_OVER_S = 60.0  # so long before its end a connection is changed, to find a quiet moment in time
WANTED_MOST_S = 2.0  # the longest wait while something waits to be sent: of its 15 s none should be slept away
HASTY_MOST = 2  # lines in a row that were changed when they had hardly come up; from then on each next try waits
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
        self.leave_by = math.inf
        """When it will be gone anyway."""
        self.change_at = math.inf
        """When a connection that lives as long as it may is to be changed."""
        self.snapshot = False
        """The service gave a handle to the conversation as it stands."""
        self.degraded = False
        """It is no live line: one question and answer at a time."""
        self.remembers = False
        """It goes on with an earlier conversation."""
        self._attempts = 0
        self._hasty = 0
        self._up_since = 0.0
        self._not_before = 0.0
        self._jitter = jitter

    @property
    def up(self) -> bool:
        """True while messages can be sent."""
        return self.link is Link.UP

    @property
    def idle(self) -> bool:
        """True while there is no connection and none is planned."""
        return self.link is Link.DOWN and self.retry_at is None

    @property
    def hopeless_at(self) -> float | None:
        """When what waits for the line is too old to be sent; at once, if the service wants no try before that."""
        if self.wanted_since is None:
            return None
        too_old = self.wanted_since + PATIENCE_S
        return self.wanted_since if self.retry_at is not None and self._not_before > too_old else too_old

    def want(self, now: float) -> bool:
        """Something waits to be sent; True if a connection has to be opened for it now."""
        if self.up:
            return False
        if self.wanted_since is None:
            self.wanted_since = now
        if self.link is Link.OPENING:
            return False
        self._attempts = 0
        if now < self._not_before:
            self.retry_at = self._not_before
            return False
        return True

    def unwanted(self) -> None:
        """Nothing waits any more."""
        self.wanted_since = None

    def opening(self) -> None:
        """A try begins."""
        self.link = Link.OPENING
        self.retry_at = None

    def opened(self, now: float, *, lasts_s: float = math.inf, degraded: bool = False, remembers: bool = False) -> None:
        """The connection is set up; it can stay for `lasts_s`."""
        self.link = Link.UP
        self.retry_at = self.wanted_since = None
        self._stays()
        self.change_at = now + max(lasts_s - HAND_OVER_S, lasts_s / 2)
        self.degraded, self.remembers = degraded, remembers
        self._up_since = now
        self._not_before = 0.0

    def leave(self, time_left_s: float, now: float) -> None:
        """The connection that is up will be gone in `time_left_s`."""
        if self.up:
            self.leaving = True
            self.leave_by = min(self.leave_by, now + time_left_s)

    def lost(self, now: float) -> None:
        """The connection is gone, or the try failed."""
        if self.up and now - self._up_since >= SOUND_S:
            self._attempts = 0
        self.link = Link.DOWN
        self._stays()

    def retry(self, now: float, *, wait_s: float = 0.0) -> None:
        """Plan the next try: a random wait below a bound that doubles with each failure, `wait_s` or more."""
        most_s = BACKOFF_MOST_S if self.wanted_since is None else WANTED_MOST_S
        bound = min(most_s, BACKOFF_FIRST_S * 2.0**self._attempts)
        if wait_s:
            self._not_before = now + wait_s
        self.retry_at = max(now, self._not_before) + self._jitter() * bound
        self._attempts = min(self._attempts + 1, 16)

    def worked(self) -> None:
        """It carried an answer: losing it later is no reason to wait longer than at first."""
        self._attempts = self._hasty = 0

    def changed(self, now: float) -> bool:
        """It was closed for a new one: True if that may be opened at once, False if the next try is planned.

        A change soon after it had come up is followed at once, but not change upon change: a service that sends
        everybody away, a credential that is about to end, or a flapping network would have us do nothing else.
        """
        self._hasty = self._hasty + 1 if now - self._up_since < SOUND_S else 0
        if self._hasty < HASTY_MOST:
            return True
        self._attempts = min(self._hasty - HASTY_MOST, 16)
        self.retry(now)
        return False

    def hurry(self, now: float) -> None:
        """What made us wait may be over: the next try is due now."""
        if self.retry_at is not None and self._hasty < HASTY_MOST:
            self._attempts = 0
            self.retry_at = max(now, self._not_before)

    def closed(self) -> None:
        """We closed it, or gave up opening it."""
        self.link = Link.DOWN
        self.retry_at = self.wanted_since = None
        self._stays()
        self._attempts = 0

    def _stays(self) -> None:
        self.leaving = self.snapshot = self.degraded = self.remembers = False
        self.leave_by = self.change_at = math.inf
