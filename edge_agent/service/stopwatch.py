"""The latencies of talk: moments are told as they happen, the differences go into the metrics. Pure but for them.

Every method takes `now` on the monotonic clock, seconds. A moment without its beginning counts nothing.
"""

from __future__ import annotations

from collections.abc import Callable

from edge_agent.service.metrics import Metrics


class Stopwatch:
    """Measures press, turn, answer and interruption; `tell` hears each figure as (name, ms)."""

    def __init__(self, metrics: Metrics, tell: Callable[[str, float], None]) -> None:
        self._metrics = metrics
        self._tell = tell
        self._pressed_at: float | None = None
        self._light_due_since: float | None = None
        self._byte_due_since: float | None = None
        self._speech_ended_at: float | None = None
        self._ended_by = "turn_end"
        self._interrupted_at: float | None = None
        self._connecting_since: float | None = None

    def pressed(self, now: float) -> None:
        """The button's edge was accepted."""
        self._pressed_at = self._light_due_since = now

    def light_set(self, now: float) -> None:
        """The light shows something new; it counts if a press did it, which sets the light at once."""
        if self._light_due_since is not None:
            self._observe("press_to_light", now - self._light_due_since)
            self._light_due_since = None

    def press_done(self) -> None:
        """Whatever the press did is done; what comes later is not its doing."""
        self._pressed_at = self._light_due_since = None

    def turn_opened(self, now: float, *, connected: bool) -> None:
        """The turn that the press asked for is open; its first byte is timed only on an open connection."""
        self._byte_due_since = (self._pressed_at or now) if connected else None
        self._pressed_at = None
        self._speech_ended_at = None

    def byte_sent(self, now: float) -> None:
        """Something of the turn was written to the socket."""
        if self._byte_due_since is not None:
            self._observe("press_to_first_byte", now - self._byte_due_since)
            self._byte_due_since = None

    def speech_ended(self, now: float, by: str = "turn_end") -> None:
        """The person has finished, as found by `by`: turn_end (the device's own) or service (its transcript)."""
        self._speech_ended_at = now
        self._ended_by = by

    def answer_started(self, now: float) -> None:
        """The first sample of the answer went to the loudspeaker."""
        if self._speech_ended_at is not None:
            ms = (now - self._speech_ended_at) * 1000
            self._metrics.observe("speech_end_to_first_sound", ms, by=self._ended_by)
            self._tell("speech_end_to_first_sound", ms)
            self._speech_ended_at = None

    def interrupted(self, now: float) -> None:
        """A press or the service stopped the answer."""
        self._interrupted_at = now

    def silent(self, now: float) -> None:
        """The last old sample has been committed."""
        if self._interrupted_at is not None:
            self._observe("interrupt_to_silence", now - self._interrupted_at)
            self._interrupted_at = None

    def connecting(self, now: float) -> None:
        """A connection is being opened."""
        self._connecting_since = now

    def connected(self, now: float) -> None:
        """It is set up."""
        if self._connecting_since is not None:
            self._observe("connect", now - self._connecting_since)
            self._connecting_since = None

    def _observe(self, name: str, seconds: float) -> None:
        self._metrics.observe(name, seconds * 1000)
        self._tell(name, seconds * 1000)
