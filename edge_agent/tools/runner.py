"""Run the tools the model calls, and answer every call.

    runner = ToolRunner(found.tools, deadline_s=10, on_answer=send)
    runner.start([Call("id-1", "opening_hours", {"day": "weekend"})])      # returns at once
    runner.cancel(["id-1"])                                                # its answer will be dropped
    await runner.close()

Calls run side by side: async functions on the event loop, others in threads, at most eight at a time. Every call that
is not cancelled is answered exactly once, in the order of completion: with `{"result": value}`, or with
`{"error": sentence}` for an unknown tool, bad arguments, an exception, a deadline passed, or an answer over 16 KiB of
JSON. Nothing a tool does raises here. An async function must not block: it shares the loop with the line.

A tool that does not end when it is cancelled is left behind: its caller is answered all the same. An async one may take
two seconds of `close` to end.

A thread cannot be ended from outside: a function that hangs keeps its thread (a daemon thread, so it does not hold up
the end of the process) and its place among the eight; while all eight hang, further calls are answered with an error.
"""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import logging
import threading
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from edge_agent.errors import AgentError
from edge_agent.tools.declare import BadArguments, Scheduling, Tool

log = logging.getLogger(__name__)

MAX_ANSWER_BYTES = 16 * 1024  # of JSON; the model reads it all, and every turn bills it again
MAX_RUNNING = 8  # a model calls one or two at a time; more are hanging
MAX_ERROR_CHARACTERS = 300
CLOSE_S = 2.0  # what async tools may take to end with the daemon, a server's child process included

_Entry = Literal["WHEN_IDLE", "INTERRUPT", "SILENT"]
_SCHEDULING: dict[Scheduling, _Entry] = {"when-idle": "WHEN_IDLE", "interrupt": "INTERRUPT", "silent": "SILENT"}


@dataclass(frozen=True, slots=True)
class Call:
    """A call as the model made it."""

    id: str
    name: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to one call."""

    id: str
    name: str
    response: dict[str, Any]
    """`{"result": value}` or `{"error": sentence}`; plain JSON values."""
    seconds: float
    scheduling: _Entry | None = None
    """How the answer enters the talk, as the Live API spells it; None for a tool the model waits for."""

    @property
    def ok(self) -> bool:
        """True if the tool did its work."""
        return "error" not in self.response


class ToolRunner:
    """Runs calls on the running event loop.

    Args:
        tools: The tools that may be called, by name.
        deadline_s: Seconds a tool may take if it does not set its own deadline.
        on_answer: Takes each answer, on the event loop.
    """

    def __init__(self, tools: Mapping[str, Tool], *, deadline_s: float, on_answer: Callable[[Answer], None]) -> None:
        self._tools = tools
        self._deadline_s = deadline_s
        self._on_answer = on_answer
        self._calls: dict[str, asyncio.Task[None]] = {}
        self._running = 0
        self._works: set[asyncio.Future[Any]] = set()

    @property
    def pending(self) -> frozenset[str]:
        """The ids of calls that will still be answered."""
        return frozenset(self._calls)

    def limit(self, deadline_s: float) -> None:
        """Take another deadline for tools that name none, for the calls to come."""
        self._deadline_s = deadline_s

    def replace(self, tools: Mapping[str, Tool]) -> None:
        """Take other tools for the calls to come."""
        self._tools = tools

    def start(self, calls: Iterable[Call]) -> None:
        """Begin calls; each will be answered through `on_answer`. An id that is still pending is ignored."""
        loop = asyncio.get_running_loop()
        for call in calls:
            if call.id in self._calls:
                log.warning("the model called %s twice under one id; the second is ignored", call.name)
                continue
            self._calls[call.id] = loop.create_task(self._answer(call))

    def cancel(self, ids: Iterable[str]) -> None:
        """Drop the answers of calls; async tools are cancelled, threads run to their end unheard."""
        for one in ids:
            task = self._calls.pop(one, None)
            if task is not None:
                task.cancel()

    async def close(self) -> None:
        """Cancel every call and wait for the async ones, at most two seconds."""
        ending: set[asyncio.Future[Any]] = {*self._calls.values(), *self._works}
        self.cancel(list(self._calls))
        if ending:
            await asyncio.wait(ending, timeout=CLOSE_S)

    async def run(self, call: Call) -> Answer:
        """Run one call and return its answer; raises nothing but the cancellation of the caller."""
        begin = time.monotonic()
        tool = self._tools.get(call.name)
        try:
            response = await self._respond(tool, call)
        except BadArguments as error:
            response = _error(str(error))
        except AgentError as error:
            response = _error(str(error))
        except Exception as error:  # other people's code may fail in any way; the model is told
            log.warning("the tool %s failed", call.name, exc_info=True)
            response = _error(f"{call.name} failed: {type(error).__name__}: {error}")
        return Answer(call.id, call.name, response, time.monotonic() - begin, _entry(tool))

    async def _answer(self, call: Call) -> None:
        answer = await self.run(call)
        if self._calls.get(call.id) is asyncio.current_task():
            del self._calls[call.id]
            self._on_answer(answer)

    async def _respond(self, tool: Tool | None, call: Call) -> dict[str, Any]:
        if tool is None:
            known = ", ".join(self._tools) or "none"
            return _error(f"there is no tool {call.name[:64]}; known tools: {known}")
        arguments = tool.arguments(call.arguments)
        if self._running >= MAX_RUNNING:
            return _error(f"{MAX_RUNNING} tools are running already; try again later")
        deadline_s = self._deadline_s if tool.options.deadline_s is None else tool.options.deadline_s
        try:
            async with asyncio.timeout(deadline_s) as limit:
                if inspect.iscoroutinefunction(tool.function):
                    value = await self._run_async(tool.function(**arguments))
                else:
                    value = await self._run_in_thread(tool, arguments)
                if inspect.isawaitable(value):  # a plain function that hands back a coroutine
                    value = await self._run_async(value)
        except TimeoutError:
            if not limit.expired():
                raise  # the tool's own time-out, a failure like any other
            return _error(f"{call.name} took longer than {deadline_s:g} s and was given up")
        return _encoded(tool.name, value)

    async def _run_async(self, work: Awaitable[Any]) -> Any:
        """Await a tool's work in a task of its own: one that swallows its cancellation cannot hold the answer back."""
        task = asyncio.ensure_future(work)
        self._running += 1
        self._works.add(task)
        task.add_done_callback(self._work_ended)
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError:
            task.cancel()
            raise
        if task.cancelled():
            # The tool cancelled itself, nobody cancelled us: that is a failure like any other.
            raise RuntimeError("it cancelled itself")
        return task.result()

    def _work_ended(self, task: asyncio.Future[Any]) -> None:
        self._running -= 1
        self._works.discard(task)
        if not task.cancelled():
            task.exception()  # of a call that was given up, nobody else will ask

    async def _run_in_thread(self, tool: Tool, arguments: dict[str, Any]) -> Any:
        loop = asyncio.get_running_loop()
        done: asyncio.Future[Any] = loop.create_future()
        context = contextvars.copy_context()

        def finish(value: Any, error: BaseException | None) -> None:
            self._running -= 1
            if done.done():
                return  # given up or cancelled meanwhile
            if error is None:
                done.set_result(value)
            else:
                done.set_exception(error)

        def work() -> None:
            value, error = None, None
            try:
                value = context.run(tool.function, **arguments)
            except Exception as raised:  # noqa: BLE001  handed to the loop, which answers it
                error = raised
            except BaseException as raised:  # noqa: BLE001  SystemExit in a tool must not pass for an answer
                error = RuntimeError(f"it raised {type(raised).__name__}")
            if isinstance(error, StopIteration):
                error = RuntimeError("it raised StopIteration")  # a future cannot carry it
            try:
                loop.call_soon_threadsafe(finish, value, error)
            except RuntimeError:
                log.debug("the tool %s ended after the daemon", tool.name)

        threading.Thread(target=work, name=f"tool {tool.name}", daemon=True).start()
        self._running += 1  # after the start, which may fail; `finish` runs on this loop, so never before this line
        return await done


def _entry(tool: Tool | None) -> _Entry | None:
    if tool is None or tool.options.scheduling is None or tool.options.behaviour == "blocking":
        return None
    return _SCHEDULING[tool.options.scheduling]


def _encoded(name: str, value: Any) -> dict[str, Any]:
    """Return the value as plain JSON values inside an object, or why that cannot be."""
    if value is None:
        value = "done"
    try:
        encoded = msgspec.json.encode({"result": value})
    except (TypeError, ValueError, RecursionError) as error:
        return _error(f"{name} answered something that is not JSON: {error}")
    if len(encoded) > MAX_ANSWER_BYTES:
        return _error(f"{name} answered {len(encoded)} bytes; at most {MAX_ANSWER_BYTES} are passed on")
    plain: dict[str, Any] = msgspec.json.decode(encoded)
    return plain


def _error(sentence: str) -> dict[str, Any]:
    # A name of a file may hold bytes that are no text; what the line cannot carry would leave the model unanswered.
    return {"error": sentence[:MAX_ERROR_CHARACTERS].encode("utf-8", "replace").decode()}
