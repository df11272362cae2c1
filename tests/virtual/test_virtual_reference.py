"""The echo reference against a whole room: what the engine believes is played is what the loudspeaker played."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from virtual.loop import run
from virtual.room import RoomAir

from edge_agent.audio.echo import Trusted
from edge_agent.audio.engine import Duplex
from edge_agent.audio.filters import Decimator
from edge_agent.audio.reference import RATE, lead_for
from edge_agent.audio.ring import CaptureRing

CARD = 48_000
ROOM = "delay_ms = 40\necho_gain_db = -6\n"


class Listening(Trusted):
    """A canceller that keeps what it is told is played."""

    def __init__(self, samples: int) -> None:
        self.far: list[NDArray[np.int16]] = []
        self._samples = samples

    def process(self, near: NDArray[np.int16], far: NDArray[np.int16], *, muted: bool = False) -> NDArray[np.int16]:
        if len(far) == self._samples:  # a block, and not the silence that flushes it
            self.far.append(far.copy())
        return super().process(near, far, muted=muted)


def believed(folder: Path, *, room: str, block_ms: int, stalls: tuple[float, ...] = ()) -> tuple[Listening, RoomAir]:
    """Play 8 s of noise in a room; the sound thread is late by each of `stalls`, a second apart."""
    (folder / "room.toml").write_text(room)
    air = RoomAir(folder / "room.toml")
    canceller = Listening(block_ms * 16)
    engine = Duplex(
        block_frames=block_ms * 48,
        ring=CaptureRing(),
        mic_gain_db=0.0,
        mic_channel="left",
        volume=100,
        canceller=canceller,
    )

    def failed(error: BaseException) -> None:
        raise error

    async def story() -> None:
        sound = air.sound(
            input="room", output="room", block_ms=block_ms, engine=engine,
            on_events=lambda _: None, on_wake=lambda: None, on_failure=failed,
        )  # fmt: skip
        engine.attend(True)
        noise = np.random.default_rng(1).normal(0, 3_000, 8 * 24_000).astype(np.int16)
        engine.play(noise.tobytes())
        engine.end_of_answer()
        sound.start()
        await asyncio.sleep(1.0)
        for stall in stalls:
            sound.stall(stall)
            await asyncio.sleep(1.0)
        await asyncio.sleep(7.0 - len(stalls))
        sound.stop()
        await asyncio.sleep(0.2)

    run(story())
    return canceller, air


def ahead_ms(canceller: Listening, air: RoomAir, since_s: float, until_s: float) -> list[float]:
    """By how much the reference runs ahead of the loudspeaker in each quarter of a second."""
    far = np.concatenate(canceller.far).astype(np.float64)
    frames = np.zeros((len(air.record.loudspeaker) // 48 * 48, 2), np.int32)
    frames[:, 0] = air.record.loudspeaker[: len(frames)] * 2.0**31
    down = Decimator(channel="left")
    played = np.concatenate([down.process(frames[at : at + 9_600]).copy() for at in range(0, len(frames), 9_600)])
    reach, size, found = RATE // 10, RATE // 4, []
    for start in range(round(since_s * RATE), round(until_s * RATE) - size, size):
        window = played[start - reach : start + size + reach].astype(np.float64)
        match = np.correlate(window, far[start : start + size], "valid")
        assert match.max() > 0.6 * np.linalg.norm(far[start : start + size]) ** 2, "it is another sound"
        found.append((int(np.argmax(match)) - reach) / 16)
    return found


@pytest.mark.parametrize("block_ms", [10, 20, 40])
def test_the_engine_knows_what_the_loudspeaker_plays(tmp_path: Path, block_ms: int) -> None:
    ahead = ahead_ms(*believed(tmp_path, room=ROOM, block_ms=block_ms), 0.5, 7.5)
    assert ahead == pytest.approx([lead_for(48 * block_ms) / 16] * len(ahead), abs=0.2)


@pytest.mark.parametrize("ppm", [-200, 200])
def test_two_clocks_do_not_run_away_from_each_other(tmp_path: Path, ppm: int) -> None:
    ahead = ahead_ms(*believed(tmp_path, room=f"{ROOM}drift_ppm = {ppm}", block_ms=20), 0.5, 7.5)
    assert ahead == pytest.approx([15.0] * len(ahead), abs=1.0)


def test_a_thread_that_is_late_by_less_than_the_rings_moves_nothing(tmp_path: Path) -> None:
    ahead = ahead_ms(*believed(tmp_path, room=ROOM, block_ms=20, stalls=(0.05, 0.1, 0.15)), 0.5, 7.5)
    assert ahead == pytest.approx([15.0] * len(ahead), abs=0.2)


def test_after_sound_was_lost_on_both_sides_it_finds_the_loudspeaker_again(tmp_path: Path) -> None:
    whole, listened = believed(tmp_path, room=ROOM, block_ms=20)
    canceller, air = believed(tmp_path, room=ROOM, block_ms=20, stalls=(0.5,))
    unheard = listened.record.frames // 3 - sum(map(len, whole.far))  # the block that was not complete at the end
    lost = air.record.frames // 3 - sum(map(len, canceller.far)) - unheard
    assert lost == pytest.approx(0.3 * RATE, abs=0.03 * RATE), "the microphone's ring holds 200 ms"
    canceller.far.insert(0, np.zeros(lost, np.int16))  # the microphone's numbers go on without the gap
    ahead = ahead_ms(canceller, air, 2.0, 7.0)
    assert ahead == pytest.approx([15.0] * len(ahead), abs=1.0)
