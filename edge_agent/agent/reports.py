"""What the device tells about itself: events for watchers, figures for the metrics, lines for the log.

    reports = Reports(metrics, captions, clock=loop.time, audio_s=lambda: sound.audio_s)
    reports.to = control_server.publish           # None while there is no control socket
    reports.publish("light", light="idle")
    reports.caption("device", "Hel", finished=False)

What people said goes to watchers, and to a file where the owner named one; never to the log.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from edge_agent.conversation import actions as do
from edge_agent.service.captions import Captions, Speaker
from edge_agent.service.metrics import Metrics

log = logging.getLogger("edge_agent")

LOGGED = frozenset({"state", "fault", "turn", "conversation", "connection"})
"""Events worth a line in the log: a few in a minute of talk, and nothing of what was said."""
MOST_TOLD = 100  # different lines; an outage of days should not be remembered in all its wordings


class Reports:
    """One place for all that is told; `to` takes watch events, `audio_s` gives the playback clock."""

    def __init__(
        self,
        metrics: Metrics,
        captions: Captions,
        *,
        clock: Callable[[], float],
        audio_s: Callable[[], float],
        told: Callable[[str, dict[str, Any]], None] | None = None,
    ) -> None:
        self.to: Callable[[dict[str, Any]], None] | None = None
        self._metrics = metrics
        self._captions = captions
        self._clock = clock
        self._audio_s = audio_s
        self._recorded = told
        self._caption_failure = ""
        self._told: set[str] = set()

    def publish(self, event: str, **fields: Any) -> None:
        """Tell watchers, and the log where it is worth a line."""
        if event in LOGGED:
            self._log(event, " ".join(f"{key}={value}" for key, value in fields.items()))
        if self._recorded is not None:
            self._recorded(event, fields)
        if self.to is not None:
            self.to({"event": event, "t": self._clock(), "audio_s": self._audio_s(), **fields})

    def caption(self, speaker: Speaker, text: str, *, finished: bool) -> None:
        """A piece of what was said."""
        line = self._captions.add(speaker, text, finished=finished)
        self.publish("caption", speaker=speaker, text=text, line=line, finished=finished)
        if self._captions.failure != self._caption_failure:
            self._caption_failure = self._captions.failure
            if self._caption_failure:
                log.warning("%s", self._caption_failure)

    def latency(self, name: str, ms: float) -> None:
        """A figure of the stopwatch."""
        self.publish("latency", name=name, ms=round(ms, 2))

    def of_conversation(self, report: do.Report, turn: int) -> None:
        """What the conversation itself reports."""
        match report.event:
            case "ignored":
                log.debug("ignored: %s", report.why)
            case "defect":
                log.error("defect in the table of moves: %s", report.why)
            case "fault":
                code = None if report.fault is None else report.fault.value
                self.publish("fault", code=code, text=report.why)
                self._metrics.count("faults", code=str(code))
            case "fault over":
                self.publish(
                    "fault", code=None if report.fault is None else report.fault.value, text=report.why, over=True
                )
            case "healing":
                self.publish("healing", step=report.why)
                self._metrics.count("healing", step=report.why)
            case _:
                self.publish(report.event, why=report.why, turn=turn)

    def _log(self, event: str, fields: str) -> None:
        """Log a line; what a line that stays away tells again and again only once until somebody talks."""
        again = event == "connection" and fields in self._told
        log.log(logging.DEBUG if again else logging.INFO, "%s %s", event, fields)
        if event == "connection":
            if len(self._told) >= MOST_TOLD:
                self._told.clear()
            self._told.add(fields)
        elif event in {"turn", "conversation"}:
            self._told.clear()
