"""The camera never blocks the talk, and nothing of a visitor's pictures outlives the visit."""

import asyncio
import gc
import itertools
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from edge_agent.errors import DeviceError, Fault, StreamEnded
from edge_agent.vision.camera import Still
from edge_agent.vision.photographer import Photographer

JPEG = (Path(__file__).resolve().parents[2] / "edge_agent/demo/stills/1-red-teapot.jpg").read_bytes()


class Clock:
    """Time that passes when told."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Camera:
    """A camera whose every capture can be held up, counted and broken."""

    name = "a test's camera"

    def __init__(self, log: list[str], clock: Clock) -> None:
        self.log = log
        self.clock = clock
        self.gate = threading.Event()
        self.gate.set()
        self.started = threading.Event()
        self.error: Exception | None = None
        self.jpeg = JPEG
        self.threads: set[int] = set()
        self.numbers = itertools.count()
        log.append("open")

    def capture(self) -> Still:
        self.threads.add(threading.get_ident())
        self.started.set()
        self.gate.wait(10)
        if self.error is not None:
            raise self.error
        self.log.append("capture")
        return Still(self.jpeg, next(self.numbers) + 1, 1, self.clock())

    def forget(self) -> None:
        self.log.append("forget")

    def close(self) -> None:
        self.threads.add(threading.get_ident())
        self.log.append("close")


class Stage:
    """A photographer, its cameras and its clock."""

    def __init__(self, **settings: float) -> None:
        self.clock = Clock()
        self.log: list[str] = []
        self.cameras: list[Camera] = []
        self.open_errors: list[Exception] = []
        defaults: dict[str, float] = {"capture_s": 5, "open_s": 5, "idle_close_s": 60}
        self.photographer = Photographer(
            self.open,
            clock=self.clock,
            max_kb=int(settings.pop("max_kb", 256)),
            **{**defaults, **settings},
        )

    def open(self) -> Camera:
        if self.open_errors:
            raise self.open_errors.pop(0)
        self.cameras.append(Camera(self.log, self.clock))
        return self.cameras[-1]


def _run(stage: Stage, story: Callable[[Stage, Photographer], Awaitable[None]]) -> None:
    async def main() -> None:
        await story(stage, stage.photographer)
        await stage.photographer.close()

    asyncio.run(asyncio.wait_for(main(), 20))
    assert not [thread for thread in threading.enumerate() if thread.name == "camera" and not _ends(thread)]


def _ends(thread: threading.Thread) -> bool:
    thread.join(5)
    return not thread.is_alive()


async def _until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110  the worker thread and the camera know no event of ours
        await asyncio.sleep(0.002)


def test_a_still_comes_from_a_thread_of_its_own_and_the_loop_goes_on() -> None:
    async def story(stage: Stage, photographer: Photographer) -> None:
        still = await photographer.take()
        assert still is not None
        assert still.jpeg == JPEG
        stage.cameras[0].gate.clear()
        stage.clock.now += 2
        second = asyncio.create_task(photographer.take())
        await _until(stage.cameras[0].started.is_set)
        for _ in range(100):
            await asyncio.sleep(0)
        assert not second.done()
        stage.cameras[0].gate.set()
        assert await second is not None
        assert threading.get_ident() not in stage.cameras[0].threads

    _run(Stage(), story)


def test_at_most_one_picture_a_second_is_taken() -> None:
    async def story(stage: Stage, photographer: Photographer) -> None:
        first = await photographer.take()
        stage.clock.now += 0.99
        assert await photographer.take() is first
        stage.clock.now += 0.02
        second = await photographer.take()
        assert second is not first
        assert stage.log.count("capture") == 2

    _run(Stage(), story)


def test_all_who_ask_at_once_get_one_picture() -> None:
    async def story(stage: Stage, photographer: Photographer) -> None:
        stills = await asyncio.gather(*(photographer.take() for _ in range(20)))
        assert len({id(still) for still in stills}) == 1
        assert stage.log.count("capture") == 1

    _run(Stage(), story)


def test_someone_who_stops_waiting_does_not_spoil_it_for_the_others() -> None:
    async def story(stage: Stage, photographer: Photographer) -> None:
        one, other = asyncio.create_task(photographer.take()), asyncio.create_task(photographer.take())
        await asyncio.sleep(0)
        one.cancel()
        assert await other is not None
        assert stage.log == ["open", "capture"]

    _run(Stage(), story)


def test_no_camera_is_no_still() -> None:
    async def main() -> None:
        photographer = Photographer(lambda: None)
        assert await photographer.take() is None
        assert await photographer.take() is None
        await photographer.close()

    asyncio.run(main())


def test_after_the_visitor_has_left_the_last_still_is_gone_from_memory() -> None:
    async def story(stage: Stage, photographer: Photographer) -> None:
        assert await photographer.take() is not None
        assert photographer.last is not None
        photographer.wipe()
        assert photographer.last is None
        await _until(lambda: "forget" in stage.log)
        await asyncio.sleep(0)
        gc.collect()
        assert not [thing for thing in gc.get_objects() if isinstance(thing, Still)]

    _run(Stage(), story)


def test_a_still_that_was_under_way_when_the_visitor_left_reaches_nobody() -> None:
    async def story(stage: Stage, photographer: Photographer) -> None:
        await photographer.take()
        camera = stage.cameras[0]
        stage.clock.now += 2
        camera.gate.clear()
        camera.started.clear()
        old = asyncio.create_task(photographer.take())
        await _until(camera.started.is_set)
        photographer.wipe()
        new = asyncio.create_task(photographer.take())
        await asyncio.sleep(0)
        stage.clock.now += 2
        camera.gate.set()
        assert await old is None
        await _until(lambda: photographer.counters["wiped"] == 1)
        stage.clock.now += 2
        still = await new
        assert still is not None
        assert still.width == 3  # the third picture: the second was the old visitor's
        assert photographer.last is still

    _run(Stage(interval_s=0.01), story)


def test_a_camera_that_does_not_answer_fails_at_its_deadline_and_is_left_alone() -> None:
    async def story(stage: Stage, photographer: Photographer) -> None:
        await photographer.take()
        stage.clock.now += 2
        camera = stage.cameras[0]
        camera.gate.clear()
        with pytest.raises(DeviceError, match=r"gave no picture within 0\.05 s") as failed:
            await photographer.take()
        assert failed.value.fault == Fault.CAMERA
        for _ in range(5):
            stage.clock.now += 100
            with pytest.raises(DeviceError, match="gave no picture"):
                await photographer.take()
        assert len(stage.cameras) == 1
        assert sum(thread.name == "camera" for thread in threading.enumerate()) == 1
        camera.gate.set()
        await _until(lambda: photographer.counters["late"] == 1)
        assert await photographer.take() is not None  # opened anew
        assert stage.log == ["open", "capture", "capture", "close", "open", "capture"]

    _run(Stage(capture_s=0.05), story)


def test_leaving_does_not_wait_for_a_camera_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge_agent.vision.photographer.LEAVE_S", 0.05)
    stage = Stage(capture_s=0.02)

    async def main() -> None:
        await stage.photographer.take()
        stage.clock.now += 2
        stage.cameras[0].gate.clear()
        with pytest.raises(DeviceError):
            await stage.photographer.take()
        await stage.photographer.close()
        assert await stage.photographer.take() is None

    asyncio.run(asyncio.wait_for(main(), 5))
    hung = next(thread for thread in threading.enumerate() if thread.name == "camera")
    assert hung.daemon
    stage.cameras[0].gate.set()
    assert _ends(hung)


def test_leaving_while_the_camera_opens_gives_it_back() -> None:
    stage = Stage()
    gate, opening = threading.Event(), threading.Event()
    plain_open = stage.open

    def slow() -> Camera:
        opening.set()
        gate.wait(10)
        return plain_open()

    stage.photographer._open = slow

    async def main() -> None:
        asked = asyncio.create_task(stage.photographer.take())
        await _until(opening.is_set)
        leaving = asyncio.create_task(stage.photographer.close())
        await asyncio.sleep(0.01)
        gate.set()
        await leaving
        with pytest.raises(asyncio.CancelledError):
            await asked

    asyncio.run(asyncio.wait_for(main(), 5))
    assert stage.log == ["open", "close"]


def test_a_camera_that_died_is_opened_again_at_growing_intervals() -> None:
    async def story(stage: Stage, photographer: Photographer) -> None:
        stage.open_errors = [DeviceError("There is no camera /dev/video0", fault=Fault.CAMERA) for _ in range(9)]
        waits = []
        while stage.open_errors:
            left = len(stage.open_errors)
            begun = stage.clock.now
            while len(stage.open_errors) == left:
                with pytest.raises(DeviceError, match="There is no camera"):
                    await photographer.take()
                stage.clock.now += 0.5
            waits.append(stage.clock.now - begun - 0.5)
        assert waits[:7] == [0.0, 0.5, 1.5, 3.5, 7.5, 15.5, 31.5]
        assert max(waits) <= 60
        stage.clock.now += 61
        assert await photographer.take() is not None

    _run(Stage(), story)


def test_a_stream_that_ended_is_closed_and_a_success_resets_the_interval() -> None:
    async def story(stage: Stage, photographer: Photographer) -> None:
        for _ in range(3):
            assert await photographer.take() is not None
            stage.clock.now += 2
            stage.cameras[-1].error = StreamEnded("the webcam was unplugged")
            with pytest.raises(DeviceError, match="unplugged") as failed:
                await photographer.take()
            assert failed.value.fault == Fault.CAMERA
            stage.clock.now += 1.01
        await _until(lambda: stage.log == ["open", "capture", "close"] * 3)

    _run(Stage(), story)


def test_whatever_a_plug_in_raises_is_a_sentence() -> None:
    async def story(stage: Stage, photographer: Photographer) -> None:
        await photographer.take()
        stage.clock.now += 2
        stage.cameras[0].error = ZeroDivisionError("division by zero")
        with pytest.raises(DeviceError, match="ZeroDivisionError: division by zero"):
            await photographer.take()

    _run(Stage(), story)


def test_one_unfit_picture_does_not_close_the_camera() -> None:
    async def story(stage: Stage, photographer: Photographer) -> None:
        await photographer.take()
        stage.clock.now += 2
        stage.cameras[0].error = DeviceError("b.jpg cannot be used", fault=Fault.CAMERA)
        with pytest.raises(DeviceError, match=r"b\.jpg"):
            await photographer.take()
        stage.cameras[0].error = None
        assert await photographer.take() is not None
        assert stage.log == ["open", "capture", "capture"]

    _run(Stage(), story)


def test_a_still_that_is_too_large_is_refused_and_counted() -> None:
    async def story(stage: Stage, photographer: Photographer) -> None:
        with pytest.raises(DeviceError, match=r"has 19 kB and was not sent; allowed are 8 \(camera.max_kb\)"):
            await photographer.take()
        assert photographer.counters["too_large"] == 1
        assert photographer.last is None
        assert stage.log == ["open", "capture"]

    _run(Stage(max_kb=8), story)


def test_what_is_no_jpeg_is_not_sent() -> None:
    async def story(stage: Stage, photographer: Photographer) -> None:
        await photographer.take()
        stage.clock.now += 2
        stage.cameras[0].jpeg = JPEG[:-40]
        with pytest.raises(DeviceError, match="was not sent: a JPEG that is cut off"):
            await photographer.take()

    _run(Stage(), story)


def test_the_camera_is_opened_ahead_and_closed_when_nobody_asks() -> None:
    async def story(stage: Stage, photographer: Photographer) -> None:
        photographer.prepare()
        photographer.prepare()
        await _until(lambda: stage.log == ["open"])
        assert await photographer.take() is not None
        await _until(lambda: stage.log == ["open", "capture", "close"])
        assert await photographer.take() is photographer.last
        stage.clock.now += 2
        assert await photographer.take() is not None
        assert stage.log[:4] == ["open", "capture", "close", "open"]

    _run(Stage(idle_close_s=0.03), story)


def test_a_failure_while_preparing_shows_at_the_next_take() -> None:
    async def story(stage: Stage, photographer: Photographer) -> None:
        stage.open_errors = [DeviceError("no permission", fault=Fault.CAMERA)]
        photographer.prepare()
        await _until(lambda: photographer.counters["failed"] == 1)
        with pytest.raises(DeviceError, match="no permission"):
            await photographer.take()

    _run(Stage(), story)
