"""What the device hears by itself, told to the conversation and to watchers: voices, near ends, wake words.

    listener = Listener(tell=talk.tell, metrics=..., reports=..., clock=loop.time)
    listener.events(events)                  # what the sound engine reported
    listener.came("turn")                    # what the conversation says came of the last wake word
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

    def came(self, outcome: Outcome) -> None:
        """Take what the conversation says has come of the last wake word."""
        entry, self._pending = self._pending, None
        if entry is not None:
            entry.outcome = outcome
            self._metrics.count("wake_words", outcome=outcome)

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
        self.came("ignored")  # of the one before, if nobody has said
        self._pending = entry
        self._tell(ev.StopHeard(heard.sample) if kind == "stop" else ev.WakeHeard(heard.sample, heard.word))
