"""An MCP server that is a program of this machine: started, spoken to line by line, and ended with us.

    async with child(["/opt/notes/bin/notes-mcp"], {"LEVEL": "warn"}, ended, log) as (read, write):
        session = ClientSession(read, write)

Messages are lines of JSON on its stdin and stdout; `ended` is called with a sentence when it closes its side or says
something that is no message. What it writes to stderr goes to our log, a few short lines a minute. It inherits
PATH, HOME, LANG and USER, and nothing else of ours: no key and no credentials folder.

Leaving the block closes its stdin, asks it to end after 0.6 s, and kills it and everything it started after 1.2 s, so
that the daemon's stop is never held up. The package's own transport waits up to six seconds and lets stderr through.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any

from edge_agent.errors import ConfigError
from edge_agent.tools.schema import plain

MAX_LINE_BYTES = 1 << 20  # a list of many tools fits; more would fill a small device's memory
MAX_LOG_LINES = 20  # a minute, of a server's stderr
MAX_LOG_CHARACTERS = 200
WATCH_S = 1.0  # how late an end is noticed that the pipes do not tell
GRACE_S = 0.6  # until the next stronger hint to end; two of them and a margin are under 2 s
INHERITED = ("PATH", "HOME", "LANG", "USER")


@contextlib.asynccontextmanager
async def child(
    command: Sequence[str], environment: Mapping[str, str], ended: Callable[[str], None], log: logging.Logger
) -> AsyncIterator[tuple[Any, Any]]:
    """Start a server; yields the two streams an MCP `ClientSession` takes.

    Args:
        command: The program, found on PATH, and its arguments; no shell.
        environment: Variables beside the inherited ones.
        ended: Called on the event loop with a sentence when the server cannot be spoken to any more.
        log: Takes what the server writes to stderr, at info level.

    Raises:
        ConfigError: the program cannot be started; the sentence names it.
    """
    import anyio  # noqa: PLC0415  the MCP package's streams; neither is loaded where no server is configured

    inherited = {name: os.environ[name] for name in INHERITED if name in os.environ}
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={**inherited, **environment},
            limit=MAX_LINE_BYTES,
            start_new_session=True,  # a group of its own, so that what it starts can be ended with it
        )
    except OSError as error:
        raise ConfigError(f"{command[0]} cannot be started: {error.strerror}") from None
    heard, read = anyio.create_memory_object_stream[Any](0)
    write, said = anyio.create_memory_object_stream[Any](0)
    tasks = [
        asyncio.ensure_future(_hear(process, heard, ended)),
        asyncio.ensure_future(_say(process, said)),
        asyncio.ensure_future(_note(process, log)),
        asyncio.ensure_future(_watch(process, heard, ended)),
    ]
    try:
        yield read, write
    finally:
        try:
            await _end(process)
        finally:
            _kill(process)
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            await _gone(process)
            _close_pipes(process)
            for stream in (heard, read, write, said):
                stream.close()


async def _hear(process: asyncio.subprocess.Process, heard: Any, ended: Callable[[str], None]) -> None:
    """Pass on its messages; close the stream at its end, so that open requests are answered with an error."""
    import anyio  # noqa: PLC0415  see above
    from mcp.shared.message import SessionMessage  # noqa: PLC0415
    from mcp.types import jsonrpc_message_adapter  # noqa: PLC0415

    assert process.stdout is not None  # noqa: S101  asked for above; for the type checker
    why = "it ended"
    try:
        while line := await process.stdout.readline():
            if line.strip():
                await heard.send(SessionMessage(jsonrpc_message_adapter.validate_json(line, by_name=False)))
    except ValueError as error:  # of JSON, of its shape, or of a line without an end
        long = "limit" in str(error)
        why = "it sent a line of more than 1 MiB" if long else "it wrote something to stdout that is no message"
    except (anyio.ClosedResourceError, anyio.BrokenResourceError):
        return  # we left
    ended(why)
    heard.close()
    while await process.stdout.read(1 << 16):
        pass  # so that it can end: a full pipe would hold it


async def _watch(process: asyncio.subprocess.Process, heard: Any, ended: Callable[[str], None]) -> None:
    """Tell its end also where something it started holds its stdout open."""
    while process.returncode is None:  # noqa: ASYNC110  nothing else tells it, see `_gone`
        await asyncio.sleep(WATCH_S)
    ended("it ended")
    heard.close()


async def _say(process: asyncio.subprocess.Process, said: Any) -> None:
    assert process.stdin is not None  # noqa: S101  asked for above; for the type checker
    async for message in said:
        text = message.message.model_dump_json(by_alias=True, exclude_unset=True)
        process.stdin.write(text.encode() + b"\n")
        with contextlib.suppress(ConnectionError):  # its end is told by the other direction
            await process.stdin.drain()


async def _note(process: asyncio.subprocess.Process, log: logging.Logger) -> None:
    assert process.stderr is not None  # noqa: S101  asked for above; for the type checker
    minute, lines, rest = time.monotonic(), 0, b""
    while chunk := await process.stderr.read(4096):
        *whole, rest = (rest + chunk).split(b"\n")
        rest = rest[-4096:]
        for line in whole:
            if time.monotonic() - minute > 60:
                minute, lines = time.monotonic(), 0
            lines += 1
            text = plain(line.decode(errors="replace"), MAX_LOG_CHARACTERS)
            if text and lines <= MAX_LOG_LINES:
                log.info("%s", text)
            elif lines == MAX_LOG_LINES + 1:
                log.info("it writes more to stderr than is logged")


async def _end(process: asyncio.subprocess.Process) -> None:
    assert process.stdin is not None  # noqa: S101  asked for above; for the type checker
    process.stdin.close()
    if await _gone(process):
        return
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    await _gone(process)


async def _gone(process: asyncio.subprocess.Process) -> bool:
    """Tell whether it ends in time; not by `wait`, which also waits for pipes that a grandchild may hold."""
    deadline = time.monotonic() + GRACE_S
    while process.returncode is None and time.monotonic() < deadline:  # noqa: ASYNC110  nothing else tells it
        await asyncio.sleep(0.02)
    return process.returncode is not None


def _kill(process: asyncio.subprocess.Process) -> None:
    """End what is left of its group."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


def _close_pipes(process: asyncio.subprocess.Process) -> None:
    """Let go of pipes that a survivor outside the group may still hold open; asyncio offers no public way."""
    transport = getattr(process, "_transport", None)
    if transport is not None:
        transport.close()
