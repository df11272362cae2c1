"""The way without WebSockets in a whole device: who opens it, whose voice speaks, and back to Live."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from harness import Device, coded_noise

from edge_agent import prompts
from edge_agent.agent.fallback import Fallback
from edge_agent.config import Config, Live
from edge_agent.prompts.voice import Speech
from edge_agent.simulator import Say, SyncTwin


def test_the_owner_may_want_none() -> None:
    assert Fallback(lambda: Config(live=Live(fallback=""))).opener() is None
    assert Fallback(Config).opener() is not None


def test_a_brokers_token_is_good_for_websockets_only() -> None:
    assert Fallback(lambda: Config(live=Live(credential="ephemeral:https://broker.example/t"))).opener() is None


@pytest.mark.parametrize(("language", "voice"), [("de-DE", "de"), ("", "en"), ("FR", "fr")])
def test_the_devices_voice_speaks_the_language_of_the_answer(
    language: str, voice: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, str]] = []

    def speak(text: str, language: str) -> Speech | None:
        asked.append((text, language))
        return Speech(b"\0\0", 22_050) if text else None

    monkeypatch.setattr(prompts, "speak", speak)
    fallback = Fallback(Config)
    assert asyncio.run(fallback.speak("Hello", language)) == (b"\0\0", 22_050)
    assert asyncio.run(fallback.speak("", language)) is None
    assert asked == [("Hello", voice), ("", voice)]


def test_a_question_is_answered_where_websockets_are_blocked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    speech = Speech((coded_noise(1.0, seed=81, rate=22_050)[:, 0] * 32767).astype("<i2").tobytes(), 22_050)
    monkeypatch.setattr(prompts, "speak", lambda _text, _language: speech)
    with SyncTwin() as twin:
        twin.twin.blocked_with = 403
        twin.answer(Say("It works without WebSockets as well."))

        async def story() -> None:
            async with Device(tmp_path, twin, microphone=coded_noise(20.0, seed=82)) as device:
                agent = device.agent
                if agent.talk.link.session._standard() is None:
                    agent.talk.link.session._standard = Fallback(lambda: agent.config).opener
                await device.hold(1.0)
                await device.event("caption", speaker="device", text="It works without WebSockets as well.")
                await device.until(state="speaking")
                await device.until(state="idle")

        asyncio.run(story())
        assert len(twin.refused) == 3, "three times, then by requests"
        (asked,) = [request for request in twin.twin.requests if request.method == "generateContent"]
        assert asked.turn is not None
        assert 1.0 <= len(asked.turn.audio) / 32_000 <= 2.5, "what was said meanwhile is in the question"
        assert not twin.sessions
