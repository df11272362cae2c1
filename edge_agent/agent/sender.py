"""The way out: what the gate lets pass, and typed text after it, written to the line as far as the line takes it.

    sender = Sender(uplink, session=lambda: session, model=lambda: config.live.model, ...)
    sender.text("What time is it?")     # goes out after the speech that was let out before it
    sender.pump()                       # on new sound, when the line takes more, after every event
    sender.begin()                      # a turn or a connection begins: what waits now is old on purpose
    sender.drop_texts()                 # the line is gone, or the visitor

Here it shows when a line is slower than speech: then the sound that waits grows, while what was kept for a line that
was away shrinks. `on_slow` is told each time it has grown by `SLOW_MS`.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections import deque
from collections.abc import Callable

from edge_agent.agent.reports import Reports
from edge_agent.live import models
from edge_agent.live.protocol import LiveProtocol, ProtocolMisuse
from edge_agent.live.session import Session
from edge_agent.live.uplink import Item, Mark, Picture, Sound, Uplink
from edge_agent.service.metrics import Metrics
from edge_agent.service.stopwatch import Stopwatch

log = logging.getLogger("edge_agent")

SLOW_MS = 3000.0  # waiting sound that has grown by this much on an open connection: the line is slower than speech


class Sender:
    """Writes; all of it belongs to the loop's thread.

    Args:
        uplink: the gate.
        session: the line as it stands.
        model: the model's name in force, which decides how text is sent.
        manual: whether the device marks the turns; text then never goes into the middle of one.
        message_samples: length of a whole message of sound, at 16 kHz.
        captured: capture samples so far.
        captured_at: when a capture sample was heard, on the loop's clock; None while there is no sound thread.
        metrics, reports, stopwatch: what is told about it.
        on_slow: the line is slower than speech.
    """

    def __init__(
        self,
        uplink: Uplink,
        *,
        session: Callable[[], Session],
        model: Callable[[], str],
        manual: bool,
        message_samples: int,
        captured: Callable[[], int],
        captured_at: Callable[[int], float | None],
        metrics: Metrics,
        reports: Reports,
        stopwatch: Stopwatch,
        on_slow: Callable[[], None],
    ) -> None:
        self._uplink = uplink
        self._session = session
        self._model = model
        self._manual = manual
        self._message_samples = message_samples
        self._captured = captured
        self._captured_at = captured_at
        self._metrics = metrics
        self._reports = reports
        self._stopwatch = stopwatch
        self._on_slow = on_slow
        self._loop = asyncio.get_running_loop()
        self._texts: deque[str] = deque()
        self._fresh_from = 0
        self._least_waiting_ms = math.inf

    @property
    def all_asked(self) -> bool:
        """True when what a person asked, aloud or in writing, has been written to its end."""
        return not self._texts and (self._uplink.idle or (not self._manual and self._uplink.turn_open))

    def begin(self) -> None:
        """A turn or a connection begins."""
        self._fresh_from = self._captured()
        self._least_waiting_ms = math.inf

    def text(self, text: str) -> None:
        """Take a text turn; the next `pump` sends it if no speech stands before it."""
        self._texts.append(text)

    def drop_texts(self) -> None:
        """Forget the texts that were not sent."""
        self._texts.clear()

    def pump(self) -> None:
        """Write what may go out now."""
        session, uplink = self._session(), self._uplink
        while session.writable and (item := uplink.pull()) is not None:
            self._write(item)
        while self._texts and session.writable and (uplink.idle or not self._manual):
            self._write_text(self._texts.popleft())

    def watch_backlog(self) -> None:
        """On an open connection: is the sound that waits growing?"""
        waiting_ms = self._uplink.queued_ms
        self._least_waiting_ms = min(self._least_waiting_ms, waiting_ms)
        if waiting_ms - self._least_waiting_ms > SLOW_MS:
            self._least_waiting_ms = math.inf
            self._reports.publish("connection", why="the line is slower than speech", waiting_ms=round(waiting_ms))
            self._on_slow()

    def send(self, build: Callable[[LiveProtocol], bytes]) -> None:
        """Write one message, if there is a line; what the service would punish is logged instead."""
        session = self._session()
        if session.protocol is None:
            return
        try:
            session.send(build(session.protocol))
        except ProtocolMisuse:
            log.exception("not sent: the service would have closed the connection")

    def _write_text(self, text: str) -> None:
        # Some models take clientContent only as history; live text is a turn to them as well.
        if models.profile_for(self._model()).client_content == "always":
            self.send(lambda protocol: protocol.turn(text))
        else:
            self.send(lambda protocol: protocol.text(text))

    def _write(self, item: Item) -> None:
        match item:
            case Sound(end=end, pcm=pcm):
                self.send(lambda protocol: protocol.audio(pcm))
                self._time(end)
            case Picture(jpeg=jpeg):
                self.send(lambda protocol: protocol.image(jpeg))
                self._reports.publish("picture", bytes=len(jpeg))
            case Mark.ACTIVITY_START:
                self.send(lambda protocol: protocol.activity_start())
            case Mark.ACTIVITY_END:
                self.send(lambda protocol: protocol.activity_end())
            case Mark.STREAM_END:
                self.send(lambda protocol: protocol.audio_stream_end())
        self._stopwatch.byte_sent(self._loop.time())

    def _time(self, end: int) -> None:
        """Time whole messages of fresh sound: the pre-roll and what waited for the line are older on purpose."""
        if end > self._fresh_from and end % self._message_samples == 0:
            heard_at = self._captured_at(end)
            if heard_at is not None:
                self._metrics.observe("capture_to_socket", (self._loop.time() - heard_at) * 1000)
