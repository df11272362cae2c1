"""The loop's helper threads, as far as the daemon's end depends on them: names, files, the voice.

    helpers = Helpers()
    loop.set_default_executor(helpers)        # asyncio.to_thread, and asyncio's own look-up of names
    ...
    if not await helpers.finished(0.5):
        os._exit(0)                           # one of them hangs, and a thread cannot be ended from outside

The standard executor is joined when the loop closes and again when the interpreter ends, however long that takes: a
name server that does not answer would hold up the end of the daemon for half a minute.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

MOST = 8  # at once; the daemon rarely needs two
_LOOK_S = 0.01


class Helpers(ThreadPoolExecutor):
    """A pool of threads that tells whether any of them is at work."""

    def __init__(self) -> None:
        super().__init__(max_workers=MOST, thread_name_prefix="helper")
        self._lock = threading.Lock()
        self._working = 0

    @property
    def working(self) -> int:
        """Jobs that run or wait."""
        return self._working

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Take a job, as every executor does."""
        with self._lock:
            self._working += 1
        try:
            job = super().submit(fn, *args, **kwargs)
        except BaseException:
            self._done(None)
            raise
        job.add_done_callback(self._done)
        return job

    async def finished(self, within_s: float) -> bool:
        """Wait until no job is left; False if one is after `within_s` seconds."""
        loop = asyncio.get_running_loop()
        until = loop.time() + within_s
        while self._working and loop.time() < until:  # noqa: ASYNC110  jobs end in threads; this is once in a life
            await asyncio.sleep(_LOOK_S)
        return not self._working

    def _done(self, _job: Future[Any] | None) -> None:
        with self._lock:
            self._working -= 1
