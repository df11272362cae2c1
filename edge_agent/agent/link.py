"""The link to the service: opened, told the story again, lost and found; what is written to it and what comes from it.

    link = Link(lambda: config, uplink=uplink, machine=machine, spending=spending, tell=talk.tell, ...)
    link.opening.offer(...)                       # the tools of every connection
    link.connect(resume=True, retell=False)       # LinkUp or LinkDown will be told
    link.sender.pump()                            # speech and texts out
    link.disconnect()
    link.wipe(keep_handle=False)                  # the visitor has left
    await link.close()

The parts stand on their own: `opening` says what a connection opens with, `session` keeps it up, `sender` writes,
`hearing` translates what comes, `calls` runs what the model calls, `story` knows what was said. Here they are joined,
and a connection that comes up or goes down is turned into what the conversation, the gate, the account, the figures and
the flight recorder have to know of it.

All of it belongs to the loop's thread.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable

from edge_agent.agent.calls import Calls
from edge_agent.agent.fallback import Fallback
from edge_agent.agent.flight import Flight
from edge_agent.agent.hearing import Hearing
from edge_agent.agent.memory import Memory
from edge_agent.agent.opening import Opening
from edge_agent.agent.reports import Reports
from edge_agent.agent.sender import Sender
from edge_agent.agent.spending import Spending
from edge_agent.agent.story import Story
from edge_agent.config import Config
from edge_agent.conversation import events as ev
from edge_agent.conversation.healing import Rung
from edge_agent.conversation.machine import Machine
from edge_agent.errors import AgentError, ConfigError, Fault, Retry, Stop
from edge_agent.live import events as heard
from edge_agent.live import models
from edge_agent.live.session import Order, Session, Up
from edge_agent.live.uplink import Uplink
from edge_agent.service.captions import Captions
from edge_agent.service.metrics import Metrics
from edge_agent.service.stopwatch import Stopwatch


class Link:
    """One device's link.

    Args:
        config: gives the configuration in force.
        uplink: the gate.
        message_samples: length of a whole message of sound, at 16 kHz.
        machine: the conversation.
        tell: gives it an event.
        captured: capture samples so far.
        captured_at: when a capture sample was heard, on the loop's clock; None while there is no sound thread.
        on_writable: the line takes more.
        metrics, reports, captions, stopwatch: what is told about it.
        memory: keeps a household's handle over a restart.
        flight: the flight recorder.
        ssl_context: for wss and https; the system's trust store if None.
    """

    def __init__(
        self,
        config: Callable[[], Config],
        *,
        uplink: Uplink,
        message_samples: int,
        machine: Machine,
        tell: Callable[[ev.Event], None],
        captured: Callable[[], int],
        captured_at: Callable[[int], float | None],
        on_writable: Callable[[], None],
        metrics: Metrics,
        reports: Reports,
        captions: Captions,
        stopwatch: Stopwatch,
        memory: Memory,
        flight: Flight,
        ssl_context: ssl.SSLContext | None,
    ) -> None:
        now = config()
        self._config = config
        self._uplink = uplink
        self._machine = machine
        self._tell = tell
        self._metrics = metrics
        self._reports = reports
        self._stopwatch = stopwatch
        self._memory = memory
        self._flight = flight
        self._loop = asyncio.get_running_loop()
        self.opening = Opening(config)
        self.story = Story()
        self.sender = Sender(
            uplink,
            session=lambda: self.session,
            model=lambda: config().live.model,
            manual=now.manual_turns,
            message_samples=message_samples,
            captured=captured,
            captured_at=captured_at,
            metrics=metrics,
            reports=reports,
            stopwatch=stopwatch,
            on_slow=lambda: tell(ev.LineSlow()),
        )
        self.calls = Calls(
            model=lambda: config().live.model,
            in_conversation=lambda: machine.in_conversation,
            tell=tell,
            sender=self.sender,
            metrics=metrics,
            reports=reports,
            deadline_s=now.tools.deadline_s,
        )
        self.hearing = Hearing(
            tell=tell,
            calls=self.calls,
            story=self.story,
            reports=reports,
            captions=captions,
            stopwatch=stopwatch,
            open_microphone=lambda: not config().manual_turns,
        )
        self.session = Session(
            prepare=self._prepare,
            on_event=self._heard,
            on_up=self.up,
            on_down=self.down,
            story=self._told,
            standard=Fallback(config, tap=flight.tap, ssl_context=ssl_context).opener,
            tap=flight.tap,
            ssl_context=ssl_context,
        )
        self.session.on_writable = on_writable
        self.spending = Spending(
            config,
            remembered=memory.file.section("budget"),
            remember=lambda account: memory.put("budget", account),
            tell=tell,
            metrics=metrics,
            reports=reports,
            counters=lambda: (self.session.bytes_sent, self.session.bytes_received),
            clock=self._loop.time,
        )

    def connect(self, *, resume: bool, retell: bool) -> None:
        """Open a connection: to go on with the session of the handle, or to tell the story again, or a fresh one."""
        self._stopwatch.connecting(self._loop.time())
        self._reports.publish("connection", why="opening")
        self.session.connect(resume=resume, retell=retell)

    def disconnect(self) -> None:
        """Close it, and call what waited for it off."""
        self.session.disconnect()
        self._gone()
        self._flight.link_closed()

    def wipe(self, *, keep_handle: bool) -> None:
        """The visitor has left: keep nothing of what was said, or only a household's handle."""
        if not keep_handle:
            self.session.forget()
            self._memory.keep_handle(None, "")
        self.story.wipe()
        self.spending.settle()
        self._uplink.forget()
        self.calls.abandon()
        self.sender.drop_texts()

    async def close(self) -> None:
        """End it: nothing more is sent."""
        self.sender.drop_texts()
        self._uplink.forget()
        await self.calls.close()
        self.spending.close()
        await self.session.close()

    def up(self, up: Up) -> None:
        """A connection is set up."""
        self.spending.connected()
        self._flight.link_up(resumed=up.resumed)
        self._stopwatch.connected(self._loop.time())
        self._metrics.count("connections")
        again = self._machine.rung is not Rung.NONE  # the question was not answered: it is sent whole, whatever else
        self._uplink.link_up("turn" if again else self._config().live.resume_replay)
        self.sender.begin()
        self._tell(ev.LinkUp(up.resumed, up.retold, up.degraded, up.lasts_s))

    def down(self, error: AgentError) -> None:
        """A connection could not be opened, or was lost."""
        self._gone()
        self._flight.link_down(error)
        self._metrics.count("reconnects", cause=error.kind or type(error).__name__)
        final = isinstance(error, Stop | ConfigError)
        fault = error.fault or (Fault.NETWORK if isinstance(error, Retry) else None)
        wait_s = error.wait_s if isinstance(error, Retry) else 0.0
        self._tell(ev.LinkDown(fault, str(error), final=final, wait_s=wait_s))

    def _gone(self) -> None:
        self._uplink.link_down()
        self.calls.abandon()
        self.sender.drop_texts()

    def _heard(self, event: heard.ServerEvent) -> None:
        self.spending.take(event)
        self.hearing.hear(event)
        if isinstance(event, heard.Resumption) and self._machine.rules.remember_s:
            self._memory.keep_handle(self.session.handle, self._config().live.model)

    def _told(self) -> tuple[tuple[str, str], ...]:
        """Return the story so far, if the model takes one; a question that will be asked again is left out."""
        if models.profile_for(self._config().live.model).client_content == "never":
            return ()
        return self.story.turns(question=not self._machine.resendable)

    async def _prepare(self, handle: str | None, history: bool) -> Order:
        order = await self.opening.prepare(handle, history=history)
        self.calls.offer(self.opening.tools)
        return order
