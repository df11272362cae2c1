"""Function calls of the model: run, answered, counted, cancelled; every call is settled, whatever becomes of it.

    calls = Calls(model=lambda: config.live.model, ...)
    calls.offer(tools)                # what the model of the next connection may call
    calls.begin(event.calls)          # ToolsCalled is told, the tools run
    calls.cancel(event.ids)           # the model no longer wants them
    calls.abandon()                   # the line is gone: nobody is left to answer

An answer goes out after what a tool has caused (a picture), in the order of completion.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping

from edge_agent.agent.reports import Reports
from edge_agent.agent.sender import Sender
from edge_agent.conversation import events as ev
from edge_agent.live import events as heard
from edge_agent.live import messages, models
from edge_agent.service.metrics import Metrics
from edge_agent.tools.declare import Tool
from edge_agent.tools.runner import Answer, Call, ToolRunner

log = logging.getLogger("edge_agent")


class Calls:
    """The calls that are open.

    Args:
        model: the model's name in force; it decides which calls it waits for.
        in_conversation: whether somebody talks.
        tell: gives the conversation an event.
        sender: writes the answers.
        metrics, reports: what is told about them.
        deadline_s: of a tool that names none.
    """

    def __init__(
        self,
        *,
        model: Callable[[], str],
        in_conversation: Callable[[], bool],
        tell: Callable[[ev.Event], None],
        sender: Sender,
        metrics: Metrics,
        reports: Reports,
        deadline_s: float,
    ) -> None:
        self.runner = ToolRunner({}, deadline_s=deadline_s, on_answer=self._answered)
        self._model = model
        self._in_conversation = in_conversation
        self._tell = tell
        self._sender = sender
        self._metrics = metrics
        self._reports = reports
        self._blocking: set[str] = set()
        self._tools: Mapping[str, Tool] = {}

    def offer(self, tools: Mapping[str, Tool]) -> None:
        """Take the tools that the model of the next connection was offered."""
        self._tools = tools
        self.runner.replace(tools)

    def begin(self, calls: Iterable[heard.Call]) -> None:
        """Run what the model called; a call under an id that is still open is ignored."""
        if not self._in_conversation():
            log.warning("the service called a tool while nobody talked with it; it was not run")
            return
        fresh: dict[str, Call] = {}
        for call in calls:
            if call.id not in self.runner.pending:
                fresh.setdefault(call.id, Call(call.id, call.name, call.args))
        waited_for = {one.id for one in fresh.values() if self._waits_for(one.name)}
        self._blocking |= waited_for
        self._tell(ev.ToolsCalled(len(fresh), len(waited_for)))
        for one in fresh.values():
            self._reports.publish("tool", name=one.name, phase="called")
        self.runner.start(fresh.values())

    def cancel(self, ids: Iterable[str]) -> None:
        """The model withdrew calls: their answers are dropped."""
        gone = self.runner.pending & set(ids)
        self.runner.cancel(gone)
        self._tell(ev.ToolsSettled(len(gone), self._settle(gone)))

    def abandon(self) -> None:
        """Nobody is left to be answered."""
        self.runner.cancel(self.runner.pending)
        self._blocking.clear()

    async def close(self) -> None:
        """Cancel all of them."""
        await self.runner.close()

    def _waits_for(self, name: str) -> bool:
        """Tell whether the model says nothing before this call is answered."""
        profile = models.profile_for(self._model())
        tool = self._tools.get(name)
        asked = tool.options.behaviour if tool is not None else None
        if asked is None or not profile.behaviors:
            return not profile.behaviors or profile.behaviors[0] == models.BLOCKING
        return asked == "blocking"

    def _settle(self, ids: Iterable[str]) -> int:
        settled = self._blocking & set(ids)
        self._blocking -= settled
        return len(settled)

    def _answered(self, answer: Answer) -> None:
        self._metrics.count("tool_calls", outcome="ok" if answer.ok else "error")
        self._reports.publish(
            "tool", name=answer.name, phase="answered", ok=answer.ok, seconds=round(answer.seconds, 3)
        )
        response = messages.FunctionResponse(
            id=answer.id, name=answer.name, response=answer.response, scheduling=answer.scheduling
        )
        self._sender.pump()  # a picture that the tool took goes first
        self._sender.send(lambda protocol: protocol.tool_responses([response]))
        self._tell(ev.ToolsSettled(1, self._settle([answer.id])))
