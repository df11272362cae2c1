"""A machine that loses sound every few seconds: people interrupt it all the same, and it does not interrupt itself."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from acoustics import RATE_HZ, Sound
from scenarios.parlour import answer, person
from virtual.loop import run
from virtual.room import RoomAir

from edge_agent.audio.bargein import NearEndConfirmed, NearEndDetector, webrtc_speech
from edge_agent.audio.echo import open_canceller
from edge_agent.audio.engine import Duplex, EngineEvent
from edge_agent.audio.ring import RATE, CaptureRing

ANSWER_S = 40.0
QUIET_S = 3.0
WITHIN_S = 1.5
WORDS = person("okay thanks, I know that already")
ROOM = "delay_ms = 60\necho_gain_db = -3\nnoise = -62\n"


@dataclass
class Course:
    """What came of an answer, times in seconds since it began."""

    confirmed: list[float] = field(default_factory=list)
    losses: float = 0.0
    ring: CaptureRing = field(default_factory=lambda: CaptureRing(60.0))

    def loud_blocks(self, dbfs: float) -> int:
        """Blocks of what would go up that are louder than this."""
        start = round((QUIET_S + 5.0) * RATE)
        sound = np.frombuffer(self.ring.read(start, self.ring.written), np.int16).astype(np.float64)
        frames = sound[: len(sound) // 320 * 320].reshape(-1, 320)
        return int(np.sum(np.mean(frames**2, axis=1) > 10 ** (dbfs / 10) * 32_768**2))


def tell(folder: Path, *, every_s: float, stall_s: float, people: dict[float, Sound] | None = None) -> Course:
    """Give a long answer in a room; every so often the sound thread is away for so long. People speak at their time."""
    (folder / "room.toml").write_text(ROOM)
    air = RoomAir(folder / "room.toml", keep=())
    course = Course()
    engine = Duplex(
        block_frames=960,
        ring=course.ring,
        mic_gain_db=0.0,
        mic_channel="left",
        volume=100,
        canceller=open_canceller("software"),
        detector=NearEndDetector(webrtc_speech()),
    )

    def failed(error: BaseException) -> None:
        raise error

    async def story() -> None:
        loop = asyncio.get_running_loop()

        def heard(events: list[EngineEvent]) -> None:
            course.confirmed += [loop.time() - began for event in events if isinstance(event, NearEndConfirmed)]

        began = loop.time() + QUIET_S
        sound = air.sound(
            input="room", output="room", block_ms=20, engine=engine,
            on_events=heard, on_wake=lambda: None, on_failure=failed,
        )  # fmt: skip
        sound.start()
        engine.attend(True)
        await asyncio.sleep(QUIET_S)
        engine.play(answer(ANSWER_S))
        engine.end_of_answer()
        for at, words in (people or {}).items():
            air.speak(words, at=began + at)
        while loop.time() < began + ANSWER_S - every_s:
            await asyncio.sleep(every_s)
            sound.stall(stall_s)
        await asyncio.sleep(1.0)
        course.losses = sound.xruns
        sound.stop()
        await asyncio.sleep(0.2)

    run(story())
    return course


@pytest.mark.parametrize("stall_s", [0.25, 0.8])
def test_who_speaks_over_the_answer_is_heard_a_second_and_a_half_after_sound_was_lost(
    tmp_path: Path, stall_s: float
) -> None:
    begins = [at + stall_s + 1.5 for at in (10.0, 20.0, 30.0)]
    course = tell(tmp_path, every_s=5.0, stall_s=stall_s, people=dict.fromkeys(begins, WORDS))
    assert course.losses >= 7
    for at in begins:
        assert any(0.0 < confirmed - at < WITHIN_S for confirmed in course.confirmed)
    for confirmed in course.confirmed:
        assert any(0.0 < confirmed - at < len(WORDS) / RATE_HZ for at in begins), "nobody spoke then"


@pytest.mark.parametrize(("every_s", "stall_s"), [(5.0, 0.25), (5.0, 0.8), (2.0, 0.3)])
def test_a_device_that_loses_sound_all_the_time_does_not_interrupt_itself(
    tmp_path: Path, every_s: float, stall_s: float
) -> None:
    course = tell(tmp_path, every_s=every_s, stall_s=stall_s)
    assert course.losses >= ANSWER_S / every_s - 1
    assert course.confirmed == []
    assert course.loud_blocks(-40.0) <= 5, "nor does the service hear the answer"
