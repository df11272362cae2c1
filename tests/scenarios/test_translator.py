"""Live translation from end to end: one language goes in, another comes out, and nobody takes turns."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
from harness import Device, coded_noise, find, pcm, s16

from edge_agent.simulator import Hear, Rule, Say, Script, SyncTwin

RATE = 16_000
TRANSLATOR: dict[str, Any] = {
    "mode": "speaker",
    "live": {"model": "gemini-3.5-live-translate-preview", "translate_to": "pl"},
    "audio": {"echo": "hardware"},
}


def coded(seconds: float, seed: int) -> tuple[bytes, np.ndarray]:
    """A piece of translation: what the service sends, and the same at 48 kHz for finding it in what was played."""
    sound = coded_noise(seconds, seed=seed, rate=48_000)
    return s16(sound, rate=48_000, to_rate=24_000), sound[:, 0]


def test_who_talks_is_translated_while_talking_and_heard_whole(tmp_path: Path) -> None:
    """Seven seconds of one language go out; three pieces of another come in, two of them while the person talks."""
    voice = np.concatenate([coded_noise(8.0, seed=1), np.zeros((3 * 48_000, 1), np.float32)])
    pieces = [coded(1.0, seed=10 + n) for n in range(3)]
    rules = tuple(
        Rule((Hear(f"piece {n}. "), Say(f"kawalek {n}. ", sound=sent, pace=1.5)), times=1)
        for n, (sent, _) in enumerate(pieces)
    )

    async def story() -> tuple[np.ndarray, list[dict[str, Any]]]:
        async with Device(tmp_path, twin, microphone=voice, **TRANSLATOR) as device:
            await device.ask("tap")
            await device.event("state", state="listening")
            await device.until(state="speaking")
            assert (await device.status())["turn_open"], "it goes on listening while it speaks"
            await device.until(lambda _: any("2." in event.get("line", "") for event in device.events), within_s=20)
            await device.until(state="speaking")
            await device.until(state="listening", within_s=4)  # no end of a turn is ever told, nor waited for
            await device.ask("tap")
            await device.until(state="idle")
            await device.quit()
            return device.played()[0], device.events

    with SyncTwin(Script(rules=rules)) as twin:
        played, events = asyncio.run(story())
        (session,) = twin.sessions
    assert not session.violations
    assert session.setup["generationConfig"]["translationConfig"] == {"targetLanguageCode": "pl"}
    heard = np.concatenate([pcm(turn) for turn in session.audio_turns[:3]])
    _, score = find(pcm(s16(voice[: 6 * 48_000], rate=48_000, to_rate=RATE))[2 * RATE : 5 * RATE], heard)
    assert score > 0.99, "what was said while the translation sounded went out too"
    places = [find(sound, played) for _, sound in pieces]
    assert all(score > 0.9 for _, score in places), places
    assert [at for at, _ in places] == sorted(at for at, _ in places)
    told = [event for event in events if event.get("event") == "caption" and event["speaker"] == "device"]
    assert "kawalek 2." in told[-1]["line"]
    assert not [event for event in events if event.get("event") == "turn" and "broke off" in event["why"]]
    assert not [event for event in events if event.get("event") == "fault"]


def test_a_translator_that_has_nothing_to_say_does_not_seem_to_speak(tmp_path: Path) -> None:
    """The service also sends digital silence; half-duplex would make the device deaf for ever."""
    script = Script(rules=(Rule((Say(sound=bytes(48_000 * 3), pace=1.0),)),))

    async def story() -> None:
        voice = coded_noise(6.0, seed=2)
        async with Device(
            tmp_path, twin, microphone=voice, **TRANSLATOR | {"audio": {"echo": "half-duplex"}}
        ) as device:
            await device.ask("tap")
            await device.until(state="listening")
            await asyncio.sleep(4.5)
            assert (await device.status())["state"] == "listening"
            assert not [event for event in device.events if event.get("state") == "speaking"]

    with SyncTwin(script) as twin:
        asyncio.run(story())
        (session,) = twin.sessions
    assert [mark for mark in session.marks if mark.kind == "audio" and mark.who == "server"], "it was sent"
    assert not session.violations


def test_a_handset_becomes_a_translator(tmp_path: Path) -> None:
    """Lifted it listens and speaks; nothing marks a turn, and hanging up ends it."""
    sent, expected = coded(1.0, seed=20)
    hook: dict[str, Any] = {**TRANSLATOR, "mode": "kiosk", "panel": {"pins": "mock", "button": "hook"}}

    async def story() -> np.ndarray:
        async with Device(tmp_path, twin, microphone=coded_noise(8.0, seed=3), **hook) as device:
            await device.press()
            await device.until(state="speaking")
            await asyncio.sleep(1.5)
            await device.release()
            await device.until(state="idle")
            await device.quit()
            return device.played()[0]

    with SyncTwin(Script(rules=(Rule((Say(sound=sent),), times=1), Rule(())))) as twin:
        played = asyncio.run(story())
        (session,) = twin.sessions
    assert find(expected, played)[1] > 0.9
    assert not session.violations
