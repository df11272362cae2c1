"""What the device hears by itself, told to the conversation and to watchers: voices, near ends, wake words.

    listener = Listener(tell=talk.tell, metrics=..., reports=..., clock=loop.time)
    listener.events(events)                  # what the sound engine reported
    listener.reported("turn", "opened")      # what the conversation reported: it tells what came of a wake word
    listener.log.answer()                    # for `ctl wake-log`

All of it belongs to the loop's thread.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable

from edge_agent.agent.reports import Reports
from edge_agent.audio import bargein
from edge_agent.audio.engine import EngineEvent, PartFailed, WakeHeard
from edge_agent.conversation import events as ev
from edge_agent.service.metrics import Metrics
from edge_agent.wake import Entry, Heard, Outcome, WakeLog

log = logging.getLogger("edge_agent")

OUTCOMES: dict[tuple[str, str], Outcome] = {
    ("turn", "opened"): "turn",
    ("listening", "nobody spoke"): "nobody spoke",
    ("listening", "muted"): "muted",
    ("listening", "tapped again"): "ignored",
    ("listening", "asked in writing"): "ignored",
    ("listening", "the service refused"): "ignored",
}
"""What the conversation reports, and what came of a wake word by it."""

LOST = {
    "canceller": "the echo canceller failed; until the next restart the device listens only while it is silent",
    "detector": "the voice detector failed; until the next restart only the service hears who speaks",
    "wake": "the wake word failed; until the next restart only the button calls the device",
}


class Listener:
    """See the module's docstring.

    Args:
        tell: gives the conversation an event.
        metrics, reports: what is told about it.
        on_lost: told which part of the ears failed and is used no more: canceller, detector, wake.
        clock: monotonic seconds.
        wall: seconds since 1970.
    """

    def __init__(
        self,
        *,
        tell: Callable[[ev.Event], None],
        metrics: Metrics,
        reports: Reports,
        on_lost: Callable[[str], None],
        clock: Callable[[], float],
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.log = WakeLog()
        self._tell = tell
        self._metrics = metrics
        self._reports = reports
        self._on_lost = on_lost
        self._clock = clock
        self._wall = wall
        self._pending: Entry | None = None
        self._listening = False  # the conversation listens for what is said after the last wake word

    def events(self, events: Iterable[EngineEvent]) -> None:
        """Take what the engine reported."""
        for event in events:
            match event:
                case bargein.NearEndSuspected():
                    self._near_end("suspected")
                case bargein.NearEndCleared():
                    self._near_end("cleared")
                case bargein.NearEndConfirmed(sample=sample):
                    self._near_end("confirmed")
                    self._tell(ev.NearEndConfirmed(sample))
                case bargein.VoiceStarted(sample=sample):
                    self._reports.publish("voice", on=True)
                    self._tell(ev.VoiceStarted(sample))
                case bargein.VoiceEnded(sample=sample):
                    self._reports.publish("voice", on=False)
                    self._tell(ev.VoiceEnded(sample))
                case WakeHeard():
                    self._wake(event)
                case PartFailed(part=part, error=error):
                    log.error("defect: %s", LOST[part], exc_info=error)
                    self._on_lost(part)

    def reported(self, event: str, why: str) -> None:
        """Take what the conversation reported."""
        self._listening = self._listening or (event, why) == ("listening", "wake")
        outcome = OUTCOMES.get((event, why))
        if outcome is not None:
            self._settle(outcome)

    def _near_end(self, step: str) -> None:
        self._metrics.count("near_end", step=step)
        self._reports.publish("near-end", step=step)

    def _wake(self, heard: WakeHeard) -> None:
        kind = heard.kind
        found = Heard(heard.word, heard.score, fired=heard.fired, kind=kind)
        entry = self.log.add(found, wall=self._wall(), t=self._clock())
        self._reports.publish("wake", word=heard.word, score=round(heard.score, 3), fired=heard.fired, kind=kind)
        if not heard.fired:
            self._metrics.count("wake_words", outcome="near miss")
            return
        self._settle("ignored")
        self._pending = entry
        if kind == "stop":
            self._tell(ev.StopHeard(heard.sample))
            self._settle("stopped")
        else:
            self._listening = False
            self._tell(ev.WakeHeard(heard.sample, heard.word))
            if not self._listening:
                self._settle("ignored")  # what comes later does not come of it

    def _settle(self, outcome: Outcome) -> None:
        """Note what came of the last wake word, once."""
        entry, self._pending = self._pending, None
        if entry is not None:
            entry.outcome = outcome
            self._metrics.count("wake_words", outcome=outcome)
