"""The device's own voice is not what a person says: nothing of its sentences reaches the service.

The room gives what the loudspeaker plays back to the microphone, late and half as loud. Where nobody else makes a
sound, whatever the service hears is the device itself; where a person speaks, they are heard whole.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from harness import coded_noise, find, pcm
from scenarios.house import SAME, answering
from virtual.device import VirtualDevice
from virtual.loop import run
from virtual.room import RoomAir

from edge_agent.audio.wavfile import write_wav
from edge_agent.simulator import Script, Twin

SENTENCE_S = 3.0
ROOM = "delay_ms = 60\necho_gain_db = -6\n"  # rings of both devices and a few metres of air
AUDIBLE_DBFS = -50.0  # the echo of the sentence stands at -26 dBFS
WINDOW_S = 0.02
CUE_S = 0.3
"""The tone at the press may be heard in the turn it opens, and is no speech: to cut it would cut the first word."""

Story = Callable[[VirtualDevice], Awaitable[None]]


def loudest_dbfs(sound: np.ndarray[Any, np.dtype[np.floating[Any]]], rate: int) -> float:
    """The loudest 20 ms, dBFS."""
    width = round(WINDOW_S * rate)
    count = len(sound) // width
    if not count:
        return -120.0
    frames = np.asarray(sound[: count * width], np.float64).reshape(count, width)
    return float(10 * np.log10(np.mean(frames**2, axis=1).max() + 1e-12))


def audible_s(sound: np.ndarray[Any, np.dtype[np.floating[Any]]], rate: int) -> float:
    """How much of it is audible, in steps of 20 ms, seconds."""
    width = round(WINDOW_S * rate)
    frames = np.asarray(sound[: len(sound) // width * width], np.float64).reshape(-1, width)
    return float(np.sum(np.mean(frames**2, axis=1) > 10 ** (AUDIBLE_DBFS / 10)) * WINDOW_S)


def live_in_a_room(folder: Path, story: Story, *, silence_s: float = 0.0, **tables: Any) -> Twin:
    """Play a story with a device just unmuted by a press, which says so: three seconds of noise, and silence."""
    sounds = folder / "prompts" / "en"
    sounds.mkdir(parents=True)
    noise, silence = coded_noise(SENTENCE_S, seed=77, rate=24_000), np.zeros((round(24_000 * silence_s), 1), np.float32)
    write_wav(sounds / "unmuted.wav", np.concatenate([noise, silence]), 24_000)
    (folder / "hall.toml").write_text(ROOM)
    tables["conversation"] = {"prompts_folder": str(folder / "prompts"), **tables.get("conversation", {})}

    async def whole() -> Twin:
        air = RoomAir(folder / "hall.toml")
        script = Script(rules=(answering(),))
        async with (
            Twin(script, clock=asyncio.get_running_loop().time) as twin,
            VirtualDevice(folder, twin, air=air, **tables) as device,
        ):
            await asyncio.sleep(8.0)  # "I am ready" has been said
            device.agent.silence.mute("model")
            await device.tap()
            await device.event("prompt", name="unmuted")
            await story(device)
            await device.until(state="idle", within_s=60.0)
            heard = air.record.echo[air.frame(device.events[0]["t"]) :]
            assert loudest_dbfs(heard, 48_000) > -30.0, "the microphone hears what the loudspeaker plays"
        assert not twin.errors
        assert not [one for session in twin.sessions for one in session.violations]
        return twin

    return run(whole())


async def hold(device: VirtualDevice, seconds: float = 1.5) -> None:
    """Hold the button, and say nothing."""
    await device.press()
    await asyncio.sleep(seconds)
    await device.release()


@pytest.mark.parametrize("after_s", [0.3, 1.5, SENTENCE_S + 0.05, SENTENCE_S + 0.3])
def test_a_press_during_or_after_a_sentence_sends_nothing_of_it(tmp_path: Path, after_s: float) -> None:
    async def story(device: VirtualDevice) -> None:
        await asyncio.sleep(after_s)
        await hold(device)

    twin = live_in_a_room(tmp_path, story, audio={"cues": False})
    (turn,) = twin.session.audio_turns
    assert len(turn) >= 2 * 16_000, "a turn was sent"
    assert loudest_dbfs(pcm(turn), 16_000) < AUDIBLE_DBFS


def test_of_the_devices_own_sounds_a_turn_holds_the_tone_of_its_press_and_no_more(tmp_path: Path) -> None:
    async def story(device: VirtualDevice) -> None:
        await asyncio.sleep(SENTENCE_S + 2.0)
        await hold(device)

    twin = live_in_a_room(tmp_path, story, audio={"cues": True})
    (turn,) = twin.session.audio_turns
    assert 0.0 < audible_s(pcm(turn), 16_000) <= CUE_S


def test_what_a_person_says_after_pressing_into_a_sentence_is_heard(tmp_path: Path) -> None:
    said = []

    async def story(device: VirtualDevice) -> None:
        await asyncio.sleep(1.0)
        await device.press()
        await asyncio.sleep(0.4)  # a person waits until the device is silent
        said.append(device.air.say(2.0))
        await asyncio.sleep(2.2)
        await device.release()

    twin = live_in_a_room(tmp_path, story, audio={"cues": False})
    (turn,) = twin.session.audio_turns
    assert find(said[0].sent, pcm(turn))[1] > SAME


def test_the_silence_at_a_sentences_end_costs_nobody_their_first_word(tmp_path: Path) -> None:
    said = []

    async def story(device: VirtualDevice) -> None:
        await asyncio.sleep(SENTENCE_S + 0.8)
        said.append(device.air.say(2.0))
        await asyncio.sleep(0.12)
        await device.press()
        await asyncio.sleep(2.2)
        await device.release()

    twin = live_in_a_room(tmp_path, story, silence_s=3.0, audio={"cues": False})
    (turn,) = twin.session.audio_turns
    assert find(said[0].sent[: round(0.4 * 16_000)], pcm(turn))[1] > SAME
