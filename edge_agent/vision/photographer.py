"""The camera as the event loop sees it: stills on demand, and never in the way of the talk.

    photographer = Photographer(lambda: open_camera(source, max_px=768), max_kb=256)
    photographer.prepare()               # optional: open in the background, so that the first still comes soon
    still = await photographer.take()    # None: no camera (`off`), or wiped meanwhile
    photographer.wipe()                  # the visitor has left
    await photographer.close()

The camera lives in one worker thread. Promises: at most one picture a second is taken, and whoever asks sooner gets the
last one; who asks while one is being taken gets that one, so never more than one waits; a camera that does not answer
fails at its deadline and is left alone until it comes back, and no second thread is ever started beside it; after a
failure the camera is opened anew, at growing intervals; after `wipe` neither the last still nor one that was under way
is ever handed out. A camera that nobody has asked for a while is closed, so that its own light goes dark.

Failures are `DeviceError`s (fault CAMERA). A still above `max_kb` is refused with one and counted in `counters`; it
cannot be made smaller here, since nothing here decodes pictures.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
import time
from collections.abc import Callable
from typing import Any

from edge_agent.errors import AgentError, DeviceError, Fault, Reopen
from edge_agent.vision import jpeg
from edge_agent.vision.camera import Camera, Still

log = logging.getLogger(__name__)

INTERVAL_S = 1.0  # the Live API looks at one image a second at most
CAPTURE_S = 3.0  # a still that comes later belongs to another question
OPEN_S = 12.0  # importing picamera2, opening and settling on a slow card
IDLE_CLOSE_S = 60.0  # within a conversation the camera stays open
BACKOFF_S = (1.0, 60.0)  # first and longest wait before a failed camera is opened again; it doubles in between
LEAVE_S = 2.0  # how long close waits for a camera before it leaves it to the process's end


class Photographer:
    """Takes stills through one worker thread; every method belongs to the loop's thread.

    Args:
        open: opens the camera, in the worker thread; None means that there is none.
        max_kb: a larger still is refused, kilobytes of 1024.
        interval_s, capture_s, open_s, idle_close_s: see the constants above, seconds.
        clock: `time.monotonic`, or a test's.
    """

    def __init__(
        self,
        open: Callable[[], Camera | None],  # noqa: A002  it is what the function does
        *,
        max_kb: int = 256,
        interval_s: float = INTERVAL_S,
        capture_s: float = CAPTURE_S,
        open_s: float = OPEN_S,
        idle_close_s: float = IDLE_CLOSE_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.counters = {"taken": 0, "failed": 0, "too_large": 0, "late": 0, "wiped": 0}
        self._open = open
        self._max_bytes = max_kb * 1024
        self._interval_s = interval_s
        self._capture_s = capture_s
        self._open_s = open_s
        self._idle_close_s = idle_close_s
        self._clock = clock
        self._worker = _Worker()
        self._camera: Camera | None = None
        self._absent = False
        self._closed = False
        self._last: Still | None = None
        self._next_at = float("-inf")
        self._visit = 0
        self._shot: asyncio.Task[Still | None] | None = None
        self._hung: asyncio.Future[Any] | None = None
        self._backoff_s = BACKOFF_S[0]
        self._blocked_until = float("-inf")
        self._why = ""
        self._idle: asyncio.TimerHandle | None = None

    @property
    def last(self) -> Still | None:
        """The newest still of this visit."""
        return self._last

    def prepare(self) -> None:
        """Begin to open the camera; a failure shows at the next `take`."""
        if self._shot is None and not self._closed and not self._absent and self._clock() >= self._blocked_until:
            self._begin(self._opened())

    async def take(self) -> Still | None:
        """Return a still that is at most a second old; None without a camera or when wiped meanwhile.

        Raises:
            DeviceError: fault CAMERA; the camera failed, does not answer, or its picture is not fit to be sent.
        """
        visit = self._visit
        while True:
            if self._absent or self._closed or visit != self._visit:
                return None
            if self._last is not None and self._clock() < self._next_at:
                return self._last
            if self._shot is None:
                if self._clock() < self._blocked_until:
                    raise DeviceError(self._why, fault=Fault.CAMERA)
                shot = self._begin(self._still(visit))
            else:
                shot = self._shot
            try:
                still = await asyncio.shield(shot)
            except DeviceError:
                if visit != self._visit:
                    return None
                raise
            if still is not None and visit == self._visit:
                return still

    def wipe(self) -> None:
        """Forget the last still, and the one under way as soon as it comes."""
        self._visit += 1
        self._last = None
        forget = getattr(self._camera, "forget", None)
        if forget is not None and self._hung is None and not self._closed:
            self._worker.submit(lambda: _quietly(forget, "did not forget its last pictures"))

    async def close(self) -> None:
        """Give the camera back, waiting at most `LEAVE_S` for it; `take` answers None from now on."""
        self._closed = True
        self.wipe()
        self._stop_idle()
        if self._shot is not None:
            self._shot.cancel()
            await asyncio.wait({self._shot})
        if self._hung is not None:
            await asyncio.wait({self._hung}, timeout=LEAVE_S)
        if self._hung is None:
            await asyncio.wait({self._release()}, timeout=LEAVE_S)
        self._worker.end()

    def _begin(self, work: Any) -> asyncio.Task[Still | None]:
        self._stop_idle()
        shot: asyncio.Task[Still | None] = asyncio.get_running_loop().create_task(work)
        self._shot = shot
        shot.add_done_callback(self._ended)
        return shot

    def _ended(self, shot: asyncio.Task[Still | None]) -> None:
        self._shot = None
        if not shot.cancelled() and (error := shot.exception()) is not None:
            log.debug("no still: %s", error)  # whoever asked has been told; after a cancelled ask nobody else would be
        if self._camera is not None and not self._closed:
            self._idle = asyncio.get_running_loop().call_later(self._idle_close_s, self._close_idle)

    def _stop_idle(self) -> None:
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None

    def _close_idle(self) -> None:
        self._idle = None
        if self._shot is None and self._hung is None:
            self._release()

    async def _opened(self) -> None:
        if self._camera is None and not self._absent:
            self._camera = await self._in_worker(self._open, self._open_s, "did not open")
            self._absent = self._camera is None

    async def _still(self, visit: int) -> Still | None:
        wait = self._next_at - self._clock()
        if wait > 0:
            await asyncio.sleep(wait)
        await self._opened()
        camera = self._camera
        if camera is None or visit != self._visit:
            return None
        still: Still = await self._in_worker(camera.capture, self._capture_s, "gave no picture")
        self._next_at = self._clock() + self._interval_s
        self._backoff_s = BACKOFF_S[0]
        if visit != self._visit:
            self.counters["wiped"] += 1
            return None
        self._check(camera, still)
        self.counters["taken"] += 1
        self._last = still
        return still

    def _check(self, camera: Camera, still: Still) -> None:
        if len(still.jpeg) > self._max_bytes:
            self.counters["too_large"] += 1
            raise DeviceError(
                f"A still of {camera.name} has {len(still.jpeg) / 1024:.0f} kB and was not sent; "
                f"allowed are {self._max_bytes // 1024} (camera.max_kb), or take smaller ones (camera.max_px)",
                fault=Fault.CAMERA,
            )
        try:
            jpeg.inspect(still.jpeg)
        except ValueError as error:
            self.counters["failed"] += 1
            raise DeviceError(f"A still of {camera.name} was not sent: {error}", fault=Fault.CAMERA) from error

    async def _in_worker(self, job: Callable[[], Any], deadline_s: float, failed: str) -> Any:
        """Run a job in the worker thread; a failure closes the camera and puts it off for a while."""
        if self._hung is not None:
            raise DeviceError(self._why, fault=Fault.CAMERA)
        future = self._worker.submit(job)
        try:
            done, _ = await asyncio.wait({future}, timeout=deadline_s)
        except asyncio.CancelledError:
            self._abandon(future)
            raise
        if not done:
            self._abandon(future)
            raise self._failure(f"The camera {failed} within {deadline_s:g} s; check its cable and power", None)
        try:
            return future.result()
        except AgentError as error:
            if not isinstance(error, Reopen) and self._camera is not None:
                # One picture is unfit; the camera itself works on.
                self.counters["failed"] += 1
                raise DeviceError(str(error), fault=Fault.CAMERA) from error
            failure = self._failure(str(error), error)
        except Exception as error:  # noqa: BLE001  libraries and plug-ins raise anything; it is reported, not passed on
            failure = self._failure(f"The camera {failed}: {type(error).__name__}: {error}", error)
        self._release()
        raise failure

    def _failure(self, sentence: str, cause: BaseException | None) -> DeviceError:
        self.counters["failed"] += 1
        self._why = sentence
        self._blocked_until = self._clock() + self._backoff_s
        self._backoff_s = min(2 * self._backoff_s, BACKOFF_S[1])
        failure = DeviceError(sentence, fault=Fault.CAMERA)
        failure.__cause__ = cause
        return failure

    def _abandon(self, future: asyncio.Future[Any]) -> None:
        """Leave a job to itself: nothing else is given to the camera until it is done."""
        self._hung = future
        future.add_done_callback(self._came_back)

    def _came_back(self, future: asyncio.Future[Any]) -> None:
        """A camera that had missed its deadline answers after all: what it brings is dropped, and it is closed."""
        self._hung = None
        self.counters["late"] += 1
        if future.cancelled():
            return
        if future.exception() is None and self._camera is None:
            self._camera = future.result()
        self._release()
        if self._closed:
            self._worker.end()

    def _release(self) -> asyncio.Future[Any]:
        """Close the camera in its thread; the next still opens it anew."""
        camera, self._camera = self._camera, None
        close = (lambda: None) if camera is None else camera.close
        return self._worker.submit(lambda: _quietly(close, "did not close cleanly"))


class _Worker:
    """One daemon thread that runs jobs in order and hands results to the loop; started when first needed.

    A daemon thread, because a camera library that hangs must not keep the process from ending.
    """

    def __init__(self) -> None:
        self._jobs: queue.SimpleQueue[tuple[Callable[[], Any], asyncio.Future[Any]] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def submit(self, job: Callable[[], Any]) -> asyncio.Future[Any]:
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="camera", daemon=True)
            self._thread.start()
        self._jobs.put((job, future))
        return future

    def end(self) -> None:
        """Let the thread end after the jobs it has."""
        if self._thread is not None:
            self._jobs.put(None)
            self._thread = None

    def _run(self) -> None:
        while (work := self._jobs.get()) is not None:
            job, future = work
            try:
                result, error = job(), None
            except Exception as raised:  # noqa: BLE001  it travels to the loop in the future
                result, error = None, raised
            try:
                future.get_loop().call_soon_threadsafe(_settle, future, result, error)
            except RuntimeError:  # the loop is closed: the program ends and nobody waits for pictures
                return
            del job, future, work, result, error


def _quietly(job: Callable[[], Any], failed: str) -> None:
    """Run a job whose failure is worth a line in the log and nothing more: the camera is given up or empty anyway."""
    try:
        job()
    except Exception as error:  # noqa: BLE001  libraries and plug-ins raise anything
        log.warning("the camera %s: %s", failed, error)


def _settle(future: asyncio.Future[Any], result: Any, error: Exception | None) -> None:
    if future.cancelled():
        return
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(result)
