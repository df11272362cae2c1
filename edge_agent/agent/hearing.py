"""What the service says, as the conversation understands it: events of the wire become events of the conversation.

    hearing = Hearing(tell=talk.tell, calls=calls, ...)
    session = Session(on_event=hearing.hear, ...)
    hearing.arriving                  # the sound that came with the event at hand, for the action `Play`

Captions go to watchers and into the story so far, searches to watchers; none of it is decided here.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable

from edge_agent.agent.calls import Calls
from edge_agent.agent.reports import Reports
from edge_agent.agent.story import Story
from edge_agent.conversation import events as ev
from edge_agent.live import events as heard
from edge_agent.live import models
from edge_agent.service.captions import Captions
from edge_agent.service.stopwatch import Stopwatch

log = logging.getLogger("edge_agent")


class Hearing:
    """Translates; all of it belongs to the loop's thread.

    Args:
        tell: gives the conversation an event.
        calls: runs the tools.
        story: what was said so far.
        reports, captions, stopwatch: what is told about it.
        open_microphone: whether the service finds the end of speech.
    """

    def __init__(
        self,
        *,
        tell: Callable[[ev.Event], None],
        calls: Calls,
        story: Story,
        reports: Reports,
        captions: Captions,
        stopwatch: Stopwatch,
        open_microphone: Callable[[], bool],
    ) -> None:
        self.arriving: heard.Audio | None = None
        """The sound of the event at hand."""
        self._waits = False
        self._tell = tell
        self._calls = calls
        self._story = story
        self._reports = reports
        self._captions = captions
        self._stopwatch = stopwatch
        self._open_microphone = open_microphone
        self._loop = asyncio.get_running_loop()

    def hear(self, event: heard.ServerEvent) -> None:  # noqa: C901, PLR0912, PLR0915  one case for each kind of event
        """Take one event of the service."""
        match event:
            case heard.Audio():
                self.arriving = event
                self._tell(ev.AnswerAudio(len(event.pcm) / 2 * 1000 / event.rate))
                self.arriving = None
            case heard.Interrupted():
                self._tell(ev.Interrupted())
            case heard.GenerationComplete():
                self._tell(ev.AnswerGenerated())
            case heard.TurnComplete():
                self._captions.end_turn()
                self._story.end_turn()
                waits, self._waits = self._waits or models.wants_more(event.reason), False
                self._tell(ev.AnswerDone(event.idle, refused=models.blocked(event.reason), waits=waits))
            case heard.WaitingForInput():
                self._waits = True
            case heard.Interaction(idle=idle):
                self._tell(ev.WorkDone() if idle else ev.AnswerProgress())
            case heard.InputCaption():
                if self._open_microphone():
                    self._stopwatch.speech_ended(self._loop.time(), by="transcript")
                self._story.heard("user", event.text)
                self._reports.caption("person", event.text, finished=event.finished)
                self._tell(ev.Heard())
            case heard.VoiceActivity():
                self._tell(ev.Heard())
            case heard.OutputCaption():
                self._story.heard("model", event.text)
                self._reports.caption("device", event.text, finished=event.finished)
                self._tell(ev.AnswerProgress())
            case heard.Text(thought=thought):
                if not thought:
                    self._story.heard("model", event.text)
                    self._reports.caption("device", event.text, finished=False)
                self._tell(ev.AnswerProgress())
            case heard.ToolCall(calls):
                self._calls.begin(calls)
            case heard.ToolCancel(ids):
                self._calls.cancel(ids)
            case heard.Resumption(resumable=resumable):
                self._tell(ev.Snapshot(resumable))
            case heard.GoAway(time_left_s=left):
                self._reports.publish("connection", why="the service will close this connection", time_left_s=left)
                self._tell(ev.LineLeaving(math.inf if left is None else left))
            case heard.Grounding():
                self._reports.publish(
                    "grounding",
                    queries=list(event.queries),
                    sources=[{"title": title, "uri": uri} for title, uri in event.sources],
                    suggestions=event.suggestions,
                )
            case heard.Malformed(why=why):
                log.warning("a message of the service could not be read: %s", why)
            case _:
                log.debug("%r", event)
