"""Live translation from end to end: one language goes in, another comes out, and nobody takes turns."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
from harness import find, pcm, s16
from scenarios.house import House, answer, live_in
from showing import Shown

from edge_agent.simulator import Hear, Rule, Say, Script

RATE = 16_000
TRANSLATOR: dict[str, Any] = {
    "mode": "speaker",
    "live": {"model": "gemini-3.5-live-translate-preview", "translate_to": "pl"},
    "audio": {"echo": "hardware"},
}


def test_who_talks_is_translated_while_talking_and_heard_whole(tmp_path: Path, shown: Shown) -> None:
    """Eight seconds of one language go out; three pieces of another come in, two of them while the person talks."""
    pieces = [answer(f"kawalek {n}. ", seconds=1.0, seed=10 + n, pace=1.5) for n in range(3)]
    rules = tuple(Rule((Hear(f"piece {n}. "), piece), times=1) for n, piece in enumerate(pieces))

    async def story(house: House) -> None:
        device = house.device
        await device.tap()
        await device.until(state="listening")
        said = device.air.say(8.0)
        await device.until(state="speaking")
        assert device.status()["turn_open"], "it goes on listening while it speaks"
        await device.until(lambda _: any("2." in event.get("line", "") for event in device.events))
        await device.until(state="speaking")
        await device.until(state="listening", within_s=4.0)  # no end of a turn is ever told, nor waited for
        await device.tap()
        await device.until(state="idle")
        (session,) = house.twin.sessions
        assert session.setup["generationConfig"]["translationConfig"] == {"targetLanguageCode": "pl"}
        heard = np.concatenate([pcm(turn) for turn in session.audio_turns[:3]])
        _, score = find(said.sent[2 * RATE : 5 * RATE], heard)
        assert score > 0.99, "what was said while the translation sounded went out too"
        places = [
            find(pcm(s16(pcm(piece.sound or b""), rate=24_000, to_rate=48_000)), device.air.heard) for piece in pieces
        ]
        assert all(score > 0.9 for _, score in places), places
        assert [at for at, _ in places] == sorted(at for at, _ in places)
        told = [event for event in device.events if event["event"] == "caption" and event["speaker"] == "device"]
        assert "kawalek 2." in told[-1]["line"]
        assert not [why for why in house.whys("turn") if "broke off" in why]
        assert not [event for event in device.events if event["event"] == "fault"]

    live_in(tmp_path, shown, story, script=Script(rules=rules), **TRANSLATOR)


def test_a_translator_that_has_nothing_to_say_does_not_seem_to_speak(tmp_path: Path, shown: Shown) -> None:
    """The service also sends digital silence; half-duplex would make the device deaf for ever."""
    script = Script(rules=(Rule((Say(sound=bytes(48_000 * 3), pace=1.0),)),))

    async def story(house: House) -> None:
        await house.device.tap()
        await house.device.until(state="listening")
        await house.device.say_aloud(6.0)
        assert house.device.state == "listening"
        assert not [event for event in house.device.events if event.get("state") == "speaking"]
        (session,) = house.twin.sessions
        assert [mark for mark in session.marks if mark.kind == "audio" and mark.who == "server"], "it was sent"

    live_in(tmp_path, shown, story, script=script, **TRANSLATOR | {"audio": {"echo": "half-duplex"}})


def test_a_handset_becomes_a_translator(tmp_path: Path, shown: Shown) -> None:
    """Lifted it listens and speaks; nothing marks a turn, and hanging up ends it."""
    piece = answer(seconds=1.0, seed=20)
    hook: dict[str, Any] = {**TRANSLATOR, "mode": "kiosk", "panel": {"button": "hook"}}

    async def story(house: House) -> None:
        house.device.air.say(8.0)
        await house.device.press()
        await house.device.until(state="speaking")
        await asyncio.sleep(1.5)
        await house.device.release()
        await house.device.until(state="idle")
        assert house.played(piece)
        assert len(house.twin.sessions) == 1

    live_in(tmp_path, shown, story, script=Script(rules=(Rule((piece,), times=1), Rule(()))), **hook)
