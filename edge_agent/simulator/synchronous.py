"""The twin in a thread of its own, for code that is not asynchronous: plain tests, and the demo.

    with SyncTwin(script, key="test-key") as twin:
        twin.url
        twin.answer(Say("Yes."))
        twin.wait_for(lambda t: t.sessions and t.sessions[0].texts)
        twin.sessions[0].audio

Every method does what `Twin`'s does and returns when it is done. The records are filled by the twin's thread while they
are read here: read what has settled, or wait for it.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, Self, TypeVar

from edge_agent.simulator.record import SessionRecord
from edge_agent.simulator.script import Rule, Step
from edge_agent.simulator.server import Twin

_T = TypeVar("_T")

_MARGIN_S = 30.0  # to speak a step's text on a busy machine


class SyncTwin:
    """A `Twin` served by its own thread; takes `Twin`'s arguments."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.twin = Twin(*args, **kwargs)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._started = threading.Event()
        self._stop: asyncio.Event | None = None
        self._failure: BaseException | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start serving; returns when connections are taken. Raises what the start raised."""
        self._thread = threading.Thread(target=self._serve, name="live-api-twin", daemon=True)
        self._thread.start()
        self._started.wait()
        if self._failure is not None:
            self._thread.join()
            raise self._failure

    def stop(self) -> None:
        """End every connection and the thread; may be called again."""
        if self._loop is not None and self._stop is not None:
            self._loop.call_soon_threadsafe(self._stop.set)
            self._loop = None
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    @property
    def url(self) -> str:
        """Scheme, host and port, as `live.url` wants it."""
        return self.twin.url

    @property
    def port(self) -> int:
        """The port it listens on."""
        return self.twin.port

    @property
    def sessions(self) -> list[SessionRecord]:
        """The records of all sessions so far."""
        return self.twin.sessions

    @property
    def session(self) -> SessionRecord:
        """The newest session's record."""
        return self.twin.session

    @property
    def refused(self) -> list[int]:
        """HTTP status of every refused handshake."""
        return self.twin.refused

    def refuse(self, status: int | None) -> None:
        """Refuse the handshakes to come with an HTTP status; None takes them again."""
        self.twin.refuse_with = status

    def answer(self, *steps: Step) -> None:
        """See `Twin.answer`."""
        self._call(self.twin.answer(*steps))

    def add_rule(self, rule: Rule) -> None:
        """See `Twin.add_rule`."""
        self._call(self.twin.add_rule(rule))

    def perform(self, *steps: Step, session: int | None = None) -> None:
        """See `Twin.perform`."""
        self._call(self.twin.perform(*steps, session=session))

    def drop_connections(self) -> None:
        """See `Twin.drop_connections`."""

        async def drop() -> None:
            self.twin.drop_connections()

        self._call(drop())

    def wait_for(self, condition: Callable[[Twin], Any], *, timeout_s: float = 10.0) -> Any:
        """See `Twin.wait_for`; the condition runs in the twin's thread."""
        return self._call(self.twin.wait_for(condition, timeout_s=timeout_s), timeout_s + _MARGIN_S)

    def _call(self, work: Coroutine[Any, Any, _T], timeout_s: float = _MARGIN_S) -> _T:
        if self._loop is None:
            work.close()
            raise RuntimeError("the twin is not running: use it inside its `with` block")
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout_s)

    def _serve(self) -> None:
        try:
            asyncio.run(self._main())
        except BaseException as error:  # noqa: BLE001  handed to the thread that called start
            self._failure = error
        finally:
            self._started.set()

    async def _main(self) -> None:
        async with self.twin:
            self._loop = asyncio.get_running_loop()
            self._stop = asyncio.Event()
            self._started.set()
            await self._stop.wait()
