"""An event loop whose clock jumps: where nothing is left to do now, the next timer's moment is now.

    result = run(story())          # a day of `asyncio.sleep` takes a moment

Everything else is asyncio's own selector loop. Time stands still while a thread works for the loop (`run_in_executor`,
`asyncio.to_thread`, a tool's thread), so that a sentence which espeak-ng needs 50 ms for costs no virtual time, and a
test does not depend on how fast a machine is. TCP connections and servers are laid over `wire.Network`; sockets of
other kinds, and those a caller brings, stay real.
"""

from __future__ import annotations

import asyncio
import random
import selectors
import ssl
import threading
import time
from asyncio import sslproto
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from typing import Any, TypeVar

from virtual.wire import End, Listener, Network

START_S = 1_000.0  # the clock's first moment: no time of a machine that has just been switched on
REAL_PATIENCE_S = 20.0  # a thread that works longer hangs, or waits for a clock that stands still because of it

T = TypeVar("T")


def run(story: Coroutine[Any, Any, T], *, seed: int = 1) -> T:
    """Run a story in virtual time and return its result; `seed` makes whatever is drawn by lot repeatable."""
    random.seed(seed)
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(story)


def network() -> Network:
    """Return the network of the running loop."""
    return running().network


def running() -> VirtualLoop:
    """Return the running loop."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop), "no virtual time here"
    return loop


class StandStill(RuntimeError):
    """Nothing is planned and nobody works: the story waits for something that will never come."""


class _Jumping(selectors.DefaultSelector):
    """Waits by moving the clock."""

    loop: VirtualLoop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        found = super().select(0)
        if found or timeout == 0:
            return found
        loop = self.loop
        began = time.monotonic()
        while loop.threads_at_work or timeout is None:
            found = super().select(0.2)
            if found:
                return found
            if time.monotonic() - began > REAL_PATIENCE_S:
                raise StandStill(f"no thread came back within {REAL_PATIENCE_S:g} s, and no timer is set")
        loop.jump(timeout)
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """See the module's docstring."""

    def __init__(self) -> None:
        self._now = START_S
        self._jobs = 0
        self.network = Network(self)
        """The network that all TCP of this loop goes over."""
        self.unwatched: set[str] = set()
        """Names of threads the clock does not wait for, such as a tool that never returns."""
        selector = _Jumping()
        selector.loop = self
        super().__init__(selector)
        self._clock_resolution = 1e-7  # float rounding of a day; a timer that is due within it is due

    def time(self) -> float:
        """Return the virtual time, seconds."""
        return self._now

    def jump(self, seconds: float) -> None:
        """Move the clock forward."""
        self._now += seconds

    @property
    def threads_at_work(self) -> bool:
        """True while a thread works for this loop."""
        if self._jobs:
            return True
        return any(
            thread.name.startswith("tool ") and thread.name not in self.unwatched for thread in threading.enumerate()
        )

    def run_in_executor(  # type: ignore[override]  # the stub's signature has no name for what comes back
        self, executor: Executor | None, func: Callable[..., Any], *args: Any
    ) -> asyncio.Future[Any]:
        """Run in a thread; the clock stands still meanwhile."""
        return self.stand_still(super().run_in_executor(executor, func, *args))

    def stand_still(self, work: asyncio.Future[T]) -> asyncio.Future[T]:
        """Let time stand still until a thread has done its work; returns the work."""
        self._jobs += 1
        work.add_done_callback(self._job_done)
        return work

    async def shutdown_default_executor(self, *args: Any) -> None:
        """End the helper threads; the clock stands still meanwhile."""
        self._jobs += 1
        try:
            await super().shutdown_default_executor(*args)
        finally:
            self._jobs -= 1

    async def create_connection(  # type: ignore[override]
        self,
        protocol_factory: Callable[[], asyncio.BaseProtocol],
        host: str | None = None,
        port: int | None = None,
        **options: Any,
    ) -> tuple[asyncio.BaseTransport, asyncio.BaseProtocol]:
        """Connect over the virtual network; a socket that is brought along is real."""
        if options.get("sock") is not None or port is None:
            give: Any = super().create_connection  # its overloads tell addresses from sockets
            real: tuple[asyncio.BaseTransport, asyncio.BaseProtocol] = await give(
                protocol_factory, host, port, **options
            )
            return real
        near, far, listener = await self.network.connect(str(host), port)
        protocol = protocol_factory()
        self._serve(far, listener)
        near.begin(protocol)
        await asyncio.sleep(0)
        context = options.get("ssl")
        if context is not None:
            name = options.get("server_hostname") or host
            secure = await self.start_tls(near, protocol, context, server_hostname=name)
            assert secure is not None
            return secure, protocol
        return near, protocol

    async def create_server(  # type: ignore[override]
        self,
        protocol_factory: Callable[[], asyncio.BaseProtocol],
        host: str | None = None,
        port: int | None = None,
        **options: Any,
    ) -> Listener:
        """Listen on the virtual network."""
        return self.network.listen(self, protocol_factory, host=str(host), port=port or 0, ssl=options.get("ssl"))

    def _serve(self, end: End, listener: Listener) -> None:
        protocol = listener.protocol_factory()
        if listener.ssl is None:
            end.begin(protocol)
            return
        assert isinstance(listener.ssl, ssl.SSLContext)
        secure: Any = sslproto.SSLProtocol  # asyncio's own; the stub wants a waiter, which a server has not
        end.begin(secure(self, protocol, listener.ssl, None, server_side=True, ssl_handshake_timeout=10.0))

    def _job_done(self, _: asyncio.Future[Any]) -> None:
        self._jobs -= 1
