"""The sound thread with small real-time devices: it runs, reports what breaks, goes on, and never hides a hang."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edge_agent.audio.engine import AnswerEnded, AnswerStarted, Duplex, EngineEvent
from edge_agent.audio.filters import Interpolator
from edge_agent.audio.ring import CaptureRing
from edge_agent.audio.sound import Sound
from edge_agent.errors import DeviceError, Fault, StreamEnded

BLOCK_MS = 10
BLOCK = 480
NEVER_S = 20.0  # a wait that only a broken program needs wholly


class Microphone:
    """Counts upwards at real time; may die or hang at a block."""

    name = "test microphone"
    ring_ms = 100.0

    def __init__(self, *, dies_at: int | None = None, hangs_at: int | None = None) -> None:
        self.blocks = 0
        self.closed_in: list[str] = []
        self.hang = threading.Event()
        self._dies_at, self._hangs_at = dies_at, hangs_at
        self._start = time.monotonic()

    def read(self, into: NDArray[np.int32]) -> int:
        if self.blocks == self._dies_at:
            msg = "The microphone was pulled out."
            raise StreamEnded(msg)
        if self.blocks == self._hangs_at:
            self.hang.wait(NEVER_S)
        self.blocks += 1
        time.sleep(max(0.0, self._start + self.blocks * BLOCK_MS / 1_000 - time.monotonic()))
        into[:] = 2**20 * self.blocks
        return 1 if self.blocks == 7 else 0

    def close(self) -> None:
        self.closed_in.append(threading.current_thread().name)


class Loudspeaker:
    """Keeps what it is given; its ring of 100 ms empties at real time."""

    name = "test loudspeaker"
    ring_ms = 100.0

    def __init__(self, *, breaks_at: int | None = None) -> None:
        self.heard: list[NDArray[np.int32]] = []
        self.frames = 0
        self.closed_in: list[str] = []
        self.seen_audio_s: list[float] = []
        self.sound: Sound | None = None
        self._breaks_at = breaks_at
        self._start = time.monotonic()

    def writable(self) -> int:
        played = int((time.monotonic() - self._start) * 48_000)
        return min(4_800, 4_800 - (self.frames - played))

    def write(self, block: NDArray[np.int32]) -> int:
        if len(self.heard) == self._breaks_at:
            msg = "a library's own complaint"
            raise ValueError(msg)
        if self.sound is not None:
            self.seen_audio_s.append(self.sound.audio_s)
        self.heard.append(block.copy())
        self.frames += len(block)
        return 0

    def close(self) -> None:
        self.closed_in.append(threading.current_thread().name)


class Stage:
    """An engine, its thread and everything it reported."""

    def __init__(self, microphones: list[Any], loudspeakers: list[Any], **more: Any) -> None:
        self.ring = CaptureRing(16.0)
        self.engine = Duplex(block_frames=BLOCK, ring=self.ring, mic_gain_db=0, mic_channel="left", volume=100)
        self.events: list[EngineEvent] = []
        self.failures: list[BaseException] = []
        self.recovered: list[Fault] = []
        self.wakes = 0
        self.changed = threading.Condition()
        self.microphones, self.loudspeakers = iter(microphones), iter(loudspeakers)
        self.opened: list[tuple[str, int, float]] = []
        arguments: dict[str, Any] = {
            "on_events": self._on_events,
            "on_wake": self._on_wake,
            "on_failure": self._on_failure,
            "on_recovery": self._on_recovery,
        }
        self.sound = Sound(
            input="mic:1",
            output="out:1",
            block_ms=BLOCK_MS,
            engine=self.engine,
            open_input=lambda device, *, block_frames, epoch: self._open(self.microphones, device, block_frames, epoch),
            open_output=lambda device, *, block_frames, epoch: self._open(
                self.loudspeakers, device, block_frames, epoch
            ),
            **(arguments | more),
        )

    def _open(self, devices: Iterator[Any], device: str, block_frames: int, epoch: float) -> Any:
        self.opened.append((device, block_frames, epoch))
        found = next(devices)
        if isinstance(found, Exception):
            raise found
        return found

    def _on_events(self, events: list[EngineEvent]) -> None:
        self._note(lambda: self.events.extend(events))

    def _on_wake(self) -> None:
        def count() -> None:
            self.wakes += 1

        self._note(count)

    def _on_failure(self, error: BaseException) -> None:
        self._note(lambda: self.failures.append(error))

    def _on_recovery(self, fault: Fault) -> None:
        self._note(lambda: self.recovered.append(fault))

    def _note(self, change: Callable[[], None]) -> None:
        with self.changed:
            change()
            self.changed.notify_all()

    def until(self, condition: Callable[[], object]) -> None:
        with self.changed:
            assert self.changed.wait_for(condition, NEVER_S), (self.events, self.failures)

    def until_captured(self, seconds: float) -> None:
        self.engine.wake_loop(True)
        goal = self.engine.captured + seconds * 16_000
        self.until(lambda: self.engine.captured >= goal)


def test_sound_goes_in_and_out_by_one_thread_and_the_counters_tell() -> None:
    microphone, loudspeaker = Microphone(), Loudspeaker()
    stage = Stage([microphone], [loudspeaker])
    loudspeaker.sound = stage.sound
    answer = np.random.default_rng(1).normal(0, 3_000, 6_000).astype(np.int16)
    stage.engine.play(answer.tobytes())
    stage.engine.end_of_answer()
    stage.sound.start()
    stage.until(lambda: any(isinstance(event, AnswerEnded) for event in stage.events))
    stage.until_captured(0.1)
    assert stage.sound.input_age_s(time.monotonic()) < NEVER_S
    assert stage.sound.stop(NEVER_S)
    assert not stage.sound.alive
    assert not stage.failures
    assert stage.wakes > 5
    assert {name for name, _, _ in stage.opened} == {"mic:1", "out:1"}
    assert {frames for _, frames, _ in stage.opened} == {BLOCK}
    assert len({epoch for _, _, epoch in stage.opened}) == 1
    assert microphone.closed_in == loudspeaker.closed_in == ["sound"]
    assert stage.sound.capture_s == pytest.approx(microphone.blocks * BLOCK_MS / 1_000)
    assert stage.sound.audio_s == pytest.approx(loudspeaker.frames / 48_000)
    assert loudspeaker.seen_audio_s[0] == pytest.approx(len(loudspeaker.heard[0]) / 48_000)
    assert stage.sound.xruns == 1
    assert stage.sound.output_ring_ms == 100.0
    heard = np.concatenate(loudspeaker.heard)
    start = next(event.frame for event in stage.events if isinstance(event, AnswerStarted)) - 32
    difference = heard[start : start + 12_000].astype(np.int64) - Interpolator().process(answer)
    assert np.abs(difference).max() < 1_000  # float32 rounding of full scale 2**31


def test_the_loudspeakers_ring_holds_about_two_blocks() -> None:
    loudspeaker = Loudspeaker()
    stage = Stage([Microphone()], [loudspeaker])
    stage.sound.start()
    stage.until_captured(0.3)
    assert stage.sound.stop(NEVER_S)
    assert stage.sound.counters["output_target_ms"] == 2 * BLOCK_MS
    assert len(loudspeaker.heard[0]) == 2 * BLOCK
    assert all(len(block) <= 2 * BLOCK for block in loudspeaker.heard)


def test_a_microphone_that_dies_is_reported_and_the_answer_still_plays() -> None:
    loudspeaker = Loudspeaker()
    dying = Microphone(dies_at=5)
    stage = Stage([dying], [loudspeaker])
    stage.sound.start()
    stage.until(lambda: stage.failures)
    (failure,) = stage.failures
    assert isinstance(failure, StreamEnded)
    assert failure.fault is Fault.MICROPHONE
    assert str(failure) == "The microphone was pulled out."
    assert dying.closed_in == ["sound"]
    stage.engine.play(bytes(2 * 2_400))
    stage.engine.end_of_answer()
    stage.until(lambda: any(isinstance(event, AnswerEnded) for event in stage.events))
    assert stage.sound.stop(NEVER_S)
    assert not np.frombuffer(stage.ring.read(stage.ring.written - 160, stage.ring.written), np.int16).any()


def test_a_microphone_that_comes_back_is_taken_up_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge_agent.audio.sound.RETRY_S", 0.05)
    absent = DeviceError("There is no microphone mic:1.", fault=Fault.MICROPHONE)
    microphone = Microphone()
    stage = Stage([absent, absent, absent, microphone], [Loudspeaker()])
    stage.sound.start()
    stage.until(lambda: stage.recovered)
    stage.until_captured(0.05)
    assert stage.sound.stop(NEVER_S)
    assert microphone.blocks > 3
    assert stage.failures == [absent]  # said once, not at every try
    assert stage.recovered == [Fault.MICROPHONE]
    assert len([name for name, _, _ in stage.opened if name == "mic:1"]) == 4


def test_a_loudspeaker_that_breaks_is_reported_and_the_microphone_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge_agent.audio.sound.RETRY_S", 0.1)
    breaking, healthy = Loudspeaker(breaks_at=3), Loudspeaker()
    stage = Stage([Microphone()], [breaking, healthy])
    stage.sound.start()
    stage.until(lambda: stage.recovered == [Fault.LOUDSPEAKER])
    before = stage.engine.captured
    stage.until_captured(0.05)
    assert stage.sound.stop(NEVER_S)
    (failure,) = stage.failures
    assert isinstance(failure, StreamEnded)
    assert failure.fault is Fault.LOUDSPEAKER
    assert str(failure) == "The loudspeaker out:1 failed: ValueError: a library's own complaint"
    assert stage.engine.captured > before
    assert healthy.frames > 0


def test_a_loudspeaker_that_can_be_neither_asked_nor_closed_is_put_away() -> None:
    class Broken(Loudspeaker):
        def writable(self) -> int:
            raise OSError(19, "No such device")

        def close(self) -> None:
            raise OSError

    stage = Stage([Microphone()], [Broken()])
    stage.sound.start()
    stage.until(lambda: len(stage.failures) == 2)
    stage.until_captured(0.05)
    assert stage.sound.stop(NEVER_S)
    assert [str(error) for error in stage.failures] == [
        "The loudspeaker out:1 failed: OSError: [Errno 19] No such device",
        "The loudspeaker out:1 did not close: OSError",
    ]


def test_a_block_that_comes_late_is_counted() -> None:
    class Stalling(Microphone):
        def read(self, into: NDArray[np.int32]) -> int:
            if self.blocks == 5:
                time.sleep(0.1)
            return super().read(into)

    stage = Stage([Stalling()], [Loudspeaker()])
    stage.sound.start()
    stage.until_captured(0.3)
    assert stage.sound.stop(NEVER_S)
    assert stage.sound.late >= 1


def test_an_opener_that_fails_in_its_own_way_becomes_a_sentence() -> None:
    stage = Stage([KeyError("no such card")], [OSError("busy")])
    stage.sound.start()
    stage.until(lambda: len(stage.failures) == 2)
    assert stage.sound.stop(NEVER_S)
    assert [str(error) for error in stage.failures] == [
        "The loudspeaker out:1 cannot be opened: OSError: busy",
        "The microphone mic:1 cannot be opened: KeyError: 'no such card'",
    ]
    assert [type(error) for error in stage.failures] == [DeviceError, DeviceError]
    assert [getattr(error, "fault", None) for error in stage.failures] == [Fault.LOUDSPEAKER, Fault.MICROPHONE]


def test_a_hang_in_a_library_shows_in_the_heartbeat_and_in_stop() -> None:
    microphone = Microphone(hangs_at=3)
    stage = Stage([microphone], [Loudspeaker()])
    stage.engine.wake_loop(True)
    stage.sound.start()
    stage.until(lambda: stage.wakes == 3)
    assert not stage.sound.stop(0.05)
    assert stage.sound.alive
    far_away = time.monotonic() + 60
    assert stage.sound.input_age_s(far_away) >= 60
    assert stage.sound.output_age_s(far_away) >= 60
    microphone.hang.set()
    assert stage.sound.stop(NEVER_S)


def test_an_error_that_is_no_devices_ends_the_thread_and_is_told() -> None:
    def explode() -> None:
        msg = "the loop is gone"
        raise RuntimeError(msg)

    microphone, loudspeaker = Microphone(), Loudspeaker()
    stage = Stage([microphone], [loudspeaker], on_wake=explode)
    stage.engine.wake_loop(True)
    stage.sound.start()
    stage.until(lambda: stage.failures)
    assert stage.sound.stop(NEVER_S)
    assert str(stage.failures[0]) == "the loop is gone"
    assert microphone.closed_in == loudspeaker.closed_in == ["sound"]


def test_samples_and_moments_belong_together() -> None:
    stage = Stage([Microphone()], [Loudspeaker()])
    stage.sound.start()
    stage.until_captured(0.2)
    assert stage.sound.stop(NEVER_S)
    written = stage.engine.captured
    last = stage.sound.captured_at(written)
    assert last == pytest.approx(time.monotonic(), abs=NEVER_S)
    assert stage.sound.sample_at(last) == written
    assert stage.sound.sample_at(last + 0.005) == written + 80
    assert stage.sound.sample_at(last + 60) == written + 2 * 160  # a device that stopped is not extrapolated
    assert stage.sound.captured_at(written - 1_600) == pytest.approx(last - 0.1)


def test_stop_before_start_is_fine() -> None:
    assert Stage([], []).sound.stop(0.1)
