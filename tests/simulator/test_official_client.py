"""The official SDK talks with the twin over TLS: its own frames out, its own types in."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from edge_agent.simulator import Call, FunctionCall, Hear, Resumption, Rule, Say, Script, Twin, When
from edge_agent.simulator.sound import noise

genai = pytest.importorskip("google.genai", reason="the official SDK comes with the test extra")
from google.genai import errors, types  # noqa: E402  after the skip

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")

MODEL = "gemini-3.8-live"
ANSWER = noise(0.6, seed=11)


def run(certificate: tuple[Path, Path], script: Script, work: Callable[[Twin, Any], Awaitable[None]]) -> None:
    """Serve over TLS and hand over the twin and an SDK client that trusts its certificate."""

    async def main() -> None:
        server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        server.load_cert_chain(*certificate)
        trusting = ssl.create_default_context(cafile=str(certificate[0]))
        async with asyncio.timeout(60), Twin(script, key="sdk-key", tls=server) as twin:
            options = types.HttpOptions(
                base_url=twin.url.replace("wss", "https"),
                api_version="v1beta",
                async_client_args={"ssl": trusting},
            )
            client = genai.Client(api_key="sdk-key", http_options=options)
            await work(twin, client.aio.live)
            await client.aio.aclose()
            client.close()

    asyncio.run(main())


async def _receive(session: Any) -> list[Any]:
    return [message async for message in session.receive()]


def _sound(messages: list[Any]) -> bytes:
    parts = [
        p
        for m in messages
        if m.server_content and m.server_content.model_turn
        for p in m.server_content.model_turn.parts
    ]
    return b"".join(part.inline_data.data for part in parts if part.inline_data)


def _captions(messages: list[Any], name: str) -> str:
    found = [getattr(m.server_content, name) for m in messages if m.server_content]
    return "".join(caption.text or "" for caption in found if caption)


def test_a_spoken_turn_with_captions(certificate: tuple[Path, Path]) -> None:
    pcm = noise(0.5, seed=3, rate=16_000)

    async def work(twin: Twin, live: Any) -> None:
        config = types.LiveConnectConfig(
            response_modalities=[types.Modality.AUDIO],
            speech_config=types.SpeechConfig(
                voice_config=types.VoiceConfig(prebuilt_voice_config=types.PrebuiltVoiceConfig(voice_name="Kore"))
            ),
            system_instruction="Be brief.",
            input_audio_transcription=types.AudioTranscriptionConfig(),
            output_audio_transcription=types.AudioTranscriptionConfig(),
            realtime_input_config=types.RealtimeInputConfig(
                automatic_activity_detection=types.AutomaticActivityDetection(disabled=True),
                turn_coverage=types.TurnCoverage.TURN_INCLUDES_ONLY_ACTIVITY,
            ),
            session_resumption=types.SessionResumptionConfig(),
            context_window_compression=types.ContextWindowCompressionConfig(
                trigger_tokens=25_000, sliding_window=types.SlidingWindow(target_tokens=8_000)
            ),
        )
        async with live.connect(model=MODEL, config=config) as session:
            await session.send_realtime_input(activity_start=types.ActivityStart())
            for at in range(0, len(pcm), 1280):
                blob = types.Blob(data=pcm[at : at + 1280], mime_type="audio/pcm;rate=16000")
                await session.send_realtime_input(audio=blob)
            await session.send_realtime_input(video=types.Blob(data=b"\xff\xd8\xff\xd9", mime_type="image/jpeg"))
            await session.send_realtime_input(activity_end=types.ActivityEnd())
            messages = await _receive(session)
        assert _sound(messages) == ANSWER
        assert _captions(messages, "input_transcription") == "good morning"
        assert _captions(messages, "output_transcription") == "Good morning to you."
        assert messages[-1].server_content.turn_complete
        assert messages[-1].usage_metadata.total_token_count > 0
        assert bytes(twin.session.audio) == pcm
        assert twin.session.audio_turns == [pcm]
        assert twin.session.images == [b"\xff\xd8\xff\xd9"]
        assert twin.session.violations == []

    steps = (Hear("good morning", pieces=2), Say("Good morning to you.", ANSWER, pace=0))
    run(certificate, Script(rules=(Rule(steps),), think_s=0.0, turn_complete="sent"), work)


def test_text_turns_tool_call_and_response(certificate: tuple[Path, Path]) -> None:
    async def work(twin: Twin, live: Any) -> None:
        light = types.FunctionDeclaration(
            name="set_light",
            description="Turns the light on or off.",
            parameters=types.Schema(type=types.Type.OBJECT, properties={"on": types.Schema(type=types.Type.BOOLEAN)}),
            behavior=types.Behavior.BLOCKING,
        )
        config = {"response_modalities": ["AUDIO"], "tools": [types.Tool(function_declarations=[light])]}
        async with live.connect(model=MODEL, config=config) as session:
            content = types.Content(role="user", parts=[types.Part(text="light on, please")])
            await session.send_client_content(turns=content, turn_complete=True)
            messages = []
            async for message in session.receive():
                messages.append(message)
                if message.tool_call:
                    (call,) = message.tool_call.function_calls
                    assert (call.name, call.args) == ("set_light", {"on": True})
                    response = types.FunctionResponse(id=call.id, name=call.name, response={"output": "done"})
                    await session.send_tool_response(function_responses=response)
            assert _sound(messages) == ANSWER
            await session.send_realtime_input(text="thank you")
            assert _sound(await _receive(session)) == ANSWER[:4800]
        assert list(twin.session.responses.values()) == [{"output": "done"}]
        assert twin.session.texts == ["light on, please", "thank you"]
        assert twin.session.violations == []

    rules = (
        Rule((Call((FunctionCall("set_light", {"on": True}),)), Say(sound=ANSWER, pace=0)), When(text="light")),
        Rule((Say(sound=ANSWER[:4800], pace=0),)),
    )
    run(certificate, Script(rules=rules, think_s=0.0, turn_complete="sent"), work)


def test_resuming_and_interrupting(certificate: tuple[Path, Path]) -> None:
    async def work(twin: Twin, live: Any) -> None:
        config: dict[str, Any] = {"response_modalities": ["AUDIO"], "session_resumption": {}}
        async with live.connect(model=MODEL, config=config) as session:
            await session.send_realtime_input(text="remember the kettle")
            update = None
            while update is None:
                async for message in session.receive():
                    if message.session_resumption_update:
                        update = message.session_resumption_update
                        break
            assert update.resumable
        await twin.wait_for(lambda t: not t.session.open)
        resumed = {"response_modalities": ["AUDIO"], "session_resumption": {"handle": update.new_handle}}
        async with live.connect(model=MODEL, config=resumed) as session:
            await session.send_realtime_input(text="a long story")
            first = await anext(aiter(session.receive()))
            assert first.server_content.model_turn
            await session.send_realtime_input(text="stop")
            assert any(m.server_content and m.server_content.interrupted for m in await _receive(session))
        assert twin.session.history[0].text == "remember the kettle"
        assert twin.session.resumed_from == update.new_handle

    rules = (
        Rule((Say(sound=noise(20.0, seed=1), pace=1.0),), When(text="story")),
        Rule((Resumption(), Say(sound=ANSWER, pace=0))),
    )
    run(certificate, Script(rules=rules, think_s=0.0, turn_complete="sent"), work)


def test_what_the_service_refuses_reaches_the_sdk_as_its_error(certificate: tuple[Path, Path]) -> None:
    async def work(twin: Twin, live: Any) -> None:
        with pytest.raises(errors.APIError) as caught:
            async with live.connect(model="gemini-3.5-flash", config={"response_modalities": ["AUDIO"]}):
                pass
        assert caught.value.code == 1008
        assert "models/gemini-3.5-flash is not found" in str(caught.value)
        assert twin.session.violations

    run(certificate, Script(), work)
