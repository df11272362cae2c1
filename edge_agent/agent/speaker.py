"""The answers on their way to the loudspeaker, and what the sound thread tells of them and of its devices.

    speaker = Speaker(engine, block_ms=20, tell=talk.tell, sample=talk.sample, ...)
    speaker.play(pcm, rate=24_000, came_at=session.heard_at)
    speaker.finish()                       # all of the answer has come
    speaker.flush(by="button")             # silence, now
    speaker.events(events)                 # what the engine reported
    speaker.failed(error)                  # a device, or the thread itself

The queue of the engine holds two minutes; what is longer is dropped, counted, and said once for each answer. All of it
belongs to the loop's thread.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable

from edge_agent.agent.reports import Reports
from edge_agent.audio.engine import AnswerEnded, AnswerStarted, Duplex, EngineEvent, Flushed, Underrun
from edge_agent.audio.levels import Level
from edge_agent.conversation import events as ev
from edge_agent.errors import AgentError, Fault
from edge_agent.service.metrics import Metrics
from edge_agent.service.stopwatch import Stopwatch

log = logging.getLogger("edge_agent")


class Speaker:
    """Plays answers.

    Args:
        engine: plays.
        block_ms: length of a block, in which what is dropped is counted.
        tell: gives the conversation an event.
        sample: where capture stands now, in capture samples.
        metrics, reports, stopwatch: what is told about it.
    """

    def __init__(
        self,
        engine: Duplex,
        *,
        block_ms: int,
        tell: Callable[[ev.Event], None],
        sample: Callable[[], int],
        metrics: Metrics,
        reports: Reports,
        stopwatch: Stopwatch,
    ) -> None:
        self._engine = engine
        self._block_ms = block_ms
        self._tell = tell
        self._sample = sample
        self._metrics = metrics
        self._reports = reports
        self._stopwatch = stopwatch
        self._loop = asyncio.get_running_loop()
        self._overflowing = False

    def play(self, pcm: bytes, *, rate: int, came_at: float) -> None:
        """Play a piece of the answer (s16le mono) that came over the line at `came_at` on the loop's clock."""
        try:
            dropped = self._engine.play(pcm, rate=rate)
        except ValueError as error:
            log.warning("a piece of the answer could not be played: %s", error)
            return
        if dropped:
            if not self._overflowing:
                log.warning("the answer is longer than the playback queue; what does not fit is dropped and counted")
            self._overflowing = True
            self._metrics.count("blocks_dropped", dropped / self._block_ms, queue="playback")
        self._metrics.observe("socket_to_queue", (self._loop.time() - came_at) * 1000)

    def finish(self) -> None:
        """All of the answer has come; it is played to its end."""
        self._overflowing = False
        self._engine.end_of_answer()

    def flush(self, *, by: str) -> None:
        """Be silent; `by` says who cut the answer off."""
        self._stopwatch.interrupted(self._loop.time())
        self._metrics.count("interruptions", by=by)
        self._engine.flush()

    def events(self, events: Iterable[EngineEvent]) -> None:
        """Take what the engine reported."""
        now = self._loop.time()
        for event in events:
            match event:
                case AnswerStarted():
                    self._stopwatch.answer_started(now)
                case AnswerEnded():
                    if not self._engine.queue_ms:  # else the next answer has come meanwhile, and ends later
                        self._tell(ev.PlaybackEnded(self._sample()))
                case Flushed():
                    self._stopwatch.silent(now)
                case Underrun(gap_ms=gap_ms):
                    self._reports.publish("underrun", gap_ms=round(gap_ms, 1))
                case Level():
                    self._reports.publish("level", mic_dbfs=event.mic_dbfs, speaker_dbfs=event.speaker_dbfs)

    def failed(self, error: BaseException) -> None:
        """The sound thread reports a device, or itself."""
        if isinstance(error, AgentError):
            log.error("%s", error)
            self._tell(ev.FaultRaised(error.fault or Fault.MICROPHONE, str(error)))
            return
        log.error("defect: the sound thread has ended", exc_info=error)
        sentence = f"The sound has failed ({type(error).__name__}); the device starts anew in a moment."
        self._tell(ev.FaultRaised(Fault.MICROPHONE, sentence))
