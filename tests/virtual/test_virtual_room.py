"""A whole device in a room: what it says comes back through its own sound path, and a person can be heard over it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import numpy as np
import pytest
from acoustics import convolve, image_rir, level, save_rir, speech
from harness import coded_answer
from numpy.typing import NDArray
from virtual.device import VirtualDevice
from virtual.loop import run
from virtual.room import RoomAir
from virtual.sound import RATE_HZ

from edge_agent.audio.filters import Decimator
from edge_agent.simulator import Rule, Say, Script, Twin

HEARD_HZ = 16_000
ANSWER = coded_answer(3.0, seed=42)

Story = Callable[[VirtualDevice, RoomAir], Awaitable[None]]


def tell(folder: Path, text: str, story: Story) -> RoomAir:
    """Run a story of a device in the room that `text` describes."""
    (folder / "room.toml").write_text(text)
    air = RoomAir(folder / "room.toml")

    async def told() -> None:
        script = Script(rules=(Rule(steps=(Say(sound=ANSWER, text="An answer."),)),))
        async with (
            Twin(script, clock=asyncio.get_running_loop().time) as twin,
            VirtualDevice(folder / "device", twin, air=air, audio={"echo": "off"}) as device,
        ):
            await story(device, air)

    run(told())
    return air


def captured(device: VirtualDevice) -> tuple[int, NDArray[np.float64]]:
    """Return what the capture ring holds, 16 kHz, and the number of its first sample."""
    ring = device.agent.talk.ring
    first = ring.oldest
    return first, np.frombuffer(ring.read(first, ring.written), "<i2") / 32_768


def lag(early: NDArray[np.floating], late: NDArray[np.floating]) -> int:
    """By how many samples the second signal follows the first, where they agree best."""
    size = 1 << (len(early) + len(late)).bit_length()
    agreement = np.fft.irfft(np.conj(np.fft.rfft(early, size)) * np.fft.rfft(late, size), size)
    return int(np.argmax(agreement[: size // 2]))


@pytest.mark.parametrize(("delay_ms", "gain_db"), [(20, -6), (120, -20)])
def test_an_answer_comes_back_in_the_ring_with_the_delay_and_gain_of_the_room(
    tmp_path: Path, delay_ms: float, gain_db: float
) -> None:
    async def story(device: VirtualDevice, air: RoomAir) -> None:
        await device.ask_aloud(1.0)
        await device.until(state="speaking")
        begins = air.frame(device.now) * HEARD_HZ // RATE_HZ
        await device.until(state="idle")
        first, heard = captured(device)
        assert first == 0
        played = air.record.loudspeaker[:: RATE_HZ // HEARD_HZ]  # the answer holds nothing above 3.4 kHz
        answer = played[begins : begins + 2 * HEARD_HZ]
        behind = lag(answer, heard[begins:])
        assert behind == pytest.approx((delay_ms / 1_000 + Decimator.delay_s) * HEARD_HZ, abs=1)
        echo = heard[begins + behind : begins + behind + len(answer)]
        assert level(echo) - level(answer) == pytest.approx(gain_db, abs=0.2)
        assert float(np.corrcoef(answer, echo)[0, 1]) > 0.99

    tell(tmp_path, f"delay_ms = {delay_ms}\necho_gain_db = {gain_db}", story)


def test_a_person_talks_over_an_answer_in_a_room_that_rings(tmp_path: Path) -> None:
    room, microphone = (4.0, 3.0, 2.5), (2.0, 1.5, 0.8)
    save_rir(tmp_path / "rir.wav", image_rir(room, source_m=(2.08, 1.5, 0.8), mic_m=microphone, rt60_s=0.3))
    there = convolve(speech("stop please"), image_rir(room, source_m=(3.0, 2.0, 1.5), mic_m=microphone, rt60_s=0.3))
    begun = []

    async def story(device: VirtualDevice, air: RoomAir) -> None:
        await device.ask_aloud(1.0)
        await device.until(state="speaking")
        begun.append(air.speak(there, at=device.now + 0.5))
        await asyncio.sleep(2.0)
        await device.until(state="idle")

    air = tell(tmp_path, 'rir = "rir.wav"\nnoise = -65\ndistortion = 0.3\nrecord = "heard.wav"', story)
    at = air.frame(begun[0])
    np.testing.assert_allclose(air.record.near[at : at + len(there)], there, atol=1e-6)
    meanwhile = slice(at, at + len(there))
    assert level(air.record.echo[meanwhile]) > -40
    assert level(air.record.noise) == pytest.approx(-65, abs=1)
    together = air.record.near + air.record.echo + air.record.noise
    np.testing.assert_allclose(air.record.microphone[meanwhile], np.clip(together[meanwhile], -1, 1), atol=1e-6)
    assert (tmp_path / "heard.wav").stat().st_size == 44 + 4 * air.record.frames


def test_only_the_parts_asked_for_are_kept(tmp_path: Path) -> None:
    (tmp_path / "room.toml").write_text("noise = -60")
    air = RoomAir(tmp_path / "room.toml", keep=("echo",))

    async def story() -> None:
        async with VirtualDevice(tmp_path / "device", None, air=air):
            await asyncio.sleep(3.0)

    run(story())
    assert len(air.record.echo) == air.record.frames >= 3 * RATE_HZ
    assert len(air.record.noise) == len(air.record.near) == len(air.record.loudspeaker) == 0
