"""The local voice: phrases understood from sound, honest words for the rest, sentences for what is missing."""

from __future__ import annotations

import asyncio
import base64
import datetime as dt
import importlib.util
import json
import shutil
from typing import Any

import pytest
from websockets.asyncio.client import connect

from edge_agent.simulator import Twin, sound, voice
from edge_agent.simulator.script import Call, FunctionCall, Hear, Say, Script, Step, Turn
from edge_agent.simulator.virtual import CAPTIONS, setup_of

PHRASES = [
    "what time is it",
    "what day is it",
    "what do you see",
    "tell me a story",
    "turn the light on",
    "turn the light off",
    "good morning",
    "thank you",
    "stop",
    "hello",
]
NOON = dt.datetime(2026, 3, 1, 12, 5, tzinfo=dt.UTC)

talks = pytest.mark.skipif(shutil.which("espeak-ng") is None, reason="espeak-ng is not installed")
hears = pytest.mark.skipif(importlib.util.find_spec("pocketsphinx") is None, reason="pocketsphinx is not installed")


@pytest.fixture(scope="module")
def ear() -> voice.Ear:
    return voice.Ear()


def spoken(text: str) -> bytes:
    return sound.resample(voice.speak(text), sound.ANSWER_RATE, sound.HEARD_RATE)


def turn(kind: Any, text: str = "", audio: bytes = b"", **more: Any) -> Turn:
    given: dict[str, Any] = {"images": (), "history": (), "setup": {}} | more
    return Turn(1, 1, kind, text, audio, **given)


def answers(asked: Turn, ear: voice.Ear | None = None) -> list[Step]:
    async def collect() -> list[Step]:
        return [step async for step in voice.brain(ear=ear, clock=lambda: NOON)(asked)]

    return asyncio.run(collect())


@talks
@hears
@pytest.mark.parametrize("phrase", PHRASES)
def test_a_spoken_phrase_is_understood(ear: voice.Ear, phrase: str) -> None:
    assert ear.hear(spoken(phrase)) == phrase


@talks
@hears
@pytest.mark.parametrize("text", ["the quick brown fox jumps over the lazy dog", "seven hundred and twelve"])
def test_anything_else_is_not_understood_and_the_answer_says_so(ear: voice.Ear, text: str) -> None:
    asked = turn("audio", audio=spoken(text))
    assert answers(asked, ear) == [Hear("[not understood]"), Say(voice.UNKNOWN)]


@hears
def test_silence_is_nothing(ear: voice.Ear) -> None:
    assert answers(turn("audio", audio=bytes(32_000)), ear) == [Hear("[not understood]"), Say(voice.NOTHING)]


@talks
@hears
def test_a_spoken_question_is_captioned_and_answered(ear: voice.Ear) -> None:
    asked = turn("audio", audio=spoken("what time is it"))
    assert answers(asked, ear) == [Hear("what time is it"), Say("It is 12:05.")]


def test_typed_questions_need_no_ear() -> None:
    assert answers(turn("text", "What day is it?")) == [Say("Today is Sunday, the 1 of March.")]
    assert answers(turn("text", "What do you see?")) == [Say("No picture came with your question, so I see nothing.")]
    (seen,) = answers(turn("text", "what do you see", images=(bytes(20_000),)))
    assert isinstance(seen, Say)
    assert "20 kilobytes" in seen.text
    assert answers(turn("audio", audio=bytes(3200))) == [Say("I cannot understand speech here. Please type.")]


def test_the_light_is_switched_by_the_tool_the_device_declared() -> None:
    setup = {"tools": [{"functionDeclarations": [{"name": "set_light"}]}]}
    call, done = answers(turn("text", "turn the light off", setup=setup))
    assert call == Call((FunctionCall("set_light", {"on": False}),))
    assert done == Say("The light is off.")
    assert answers(turn("text", "turn the light off")) == [Say("This device has declared no tool for its light.")]


@talks
def test_espeak_speaks_at_24_khz_and_longer_for_longer_text() -> None:
    short, long = voice.speak("yes"), voice.speak("yes, and a good deal more than that")
    assert 0.2 < len(short) / 48_000 < len(long) / 48_000 < 6.0
    assert sound.rms_dbfs(sound.from_pcm(long)) > -35.0
    assert voice.speak("  ") == b""


def test_without_espeak_tones_stand_in_and_a_sentence_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    assert voice.speak("no voice here, 1") == sound.babble("no voice here, 1")
    assert "apt install espeak-ng" in caplog.text


def test_without_pocketsphinx_a_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(RuntimeError, match="pip install pocketsphinx"):
        voice.Ear()


@talks
@hears
def test_a_spoken_question_is_answered_over_the_wire_with_speech(ear: voice.Ear) -> None:
    question = spoken("what time is it")

    async def ask() -> tuple[str, bytes]:
        script = Script(rules=(), brain=voice.brain(ear=ear, clock=lambda: NOON))
        path = "/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent?key=test-key"
        heard, said = "", b""
        async with asyncio.timeout(30), Twin(script) as twin, connect(twin.url + path, proxy=None) as ws:
            await ws.send(json.dumps({"setup": setup_of(**CAPTIONS)}))
            await ws.recv()
            stream = question + sound.silence(1.2, rate=sound.HEARD_RATE)
            for at in range(0, len(stream), 1280):
                data = base64.b64encode(stream[at : at + 1280]).decode()
                blob = {"mimeType": "audio/pcm;rate=16000", "data": data}
                await ws.send(json.dumps({"realtimeInput": {"audio": blob}}))
            while True:
                content = json.loads(await ws.recv()).get("serverContent", {})
                heard += content.get("inputTranscription", {}).get("text", "")
                for part in content.get("modelTurn", {}).get("parts", []):
                    said += base64.b64decode(part["inlineData"]["data"])
                if content.get("generationComplete"):
                    return heard, said

    heard, said = asyncio.run(ask())
    assert heard == "what time is it"
    assert said == voice.speak("It is 12:05.")
