"""The twin on the wire: handshake, frames, pongs, cuts, TLS, steering; with a plain WebSocket client."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import logging
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, ConnectionClosedError, InvalidStatus

from edge_agent.simulator import (
    Call,
    Drop,
    End,
    FunctionCall,
    GoAway,
    Limits,
    Mark,
    Oversized,
    Raw,
    Rule,
    Say,
    Script,
    Stall,
    Step,
    SyncTwin,
    Truncated,
    Turn,
    Twin,
    When,
)
from edge_agent.simulator.sound import noise
from edge_agent.simulator.virtual import MANUAL, setup_of

PATH = "/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent"
PLATFORM_PATH = "/ws/google.cloud.aiplatform.v1beta1.LlmBidiService/BidiGenerateContent"
KEY = {"x-goog-api-key": "test-key"}
SOUND = noise(0.5, seed=1)
SAY = Say("hello there", SOUND, pace=0)


def plain(**more: Any) -> Script:
    return Script(rules=(Rule((SAY,)),), think_s=0.0, turn_complete="sent", **more)


def client(twin: Twin | SyncTwin, **more: Any) -> connect:
    more.setdefault("additional_headers", KEY)
    return connect(twin.url + PATH, ping_interval=None, compression=None, max_size=None, proxy=None, **more)


async def opened(ws: ClientConnection, **fields: Any) -> None:
    await ws.send(json.dumps({"setup": setup_of(**fields)}))
    assert json.loads(await ws.recv()) == {"setupComplete": {}}


async def until(ws: ClientConnection, field: str) -> list[dict[str, Any]]:
    """Read messages up to the first one whose serverContent or top level has this field."""
    found = []
    while True:
        found.append(json.loads(await ws.recv()))
        if field in found[-1] or field in found[-1].get("serverContent", {}):
            return found


async def ask(ws: ClientConnection, text: str = "hello") -> None:
    await ws.send(json.dumps({"realtimeInput": {"text": text}}))


def sound_of(messages: list[dict[str, Any]]) -> bytes:
    parts = [p for m in messages for p in m.get("serverContent", {}).get("modelTurn", {}).get("parts", [])]
    return b"".join(base64.b64decode(part["inlineData"]["data"]) for part in parts)


def run(work: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(30):
            await work()

    asyncio.run(bounded())


def test_a_spoken_turn_arrives_whole_and_is_answered_in_binary_frames() -> None:
    async def work() -> None:
        pcm = noise(1.0, seed=5, rate=16_000)
        async with Twin(plain()) as twin, client(twin) as ws:
            await opened(ws, **MANUAL)
            await ws.send(json.dumps({"realtimeInput": {"activityStart": {}}}))
            for at in range(0, len(pcm), 1280):
                data = base64.b64encode(pcm[at : at + 1280]).decode()
                blob = {"mimeType": "audio/pcm;rate=16000", "data": data}
                await ws.send(json.dumps({"realtimeInput": {"audio": blob}}))
            await ws.send(json.dumps({"realtimeInput": {"activityEnd": {}}}))
            first = await ws.recv()
            assert isinstance(first, bytes)
            messages = [json.loads(first), *await until(ws, "turnComplete")]
            assert sound_of(messages) == SOUND
            assert bytes(twin.session.audio) == pcm
            assert twin.session.audio_turns == [pcm]
            assert twin.session.violations == []
            times = [mark.t for mark in twin.session.marks]
            assert times == sorted(times)

    run(work)


def test_text_frames_when_the_script_says_so() -> None:
    async def work() -> None:
        async with Twin(plain(opcode="text")) as twin, client(twin) as ws:
            await ws.send(json.dumps({"setup": setup_of()}))
            assert await ws.recv() == '{"setupComplete":{}}'

    run(work)


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        (PATH, {}, 403),
        (PATH, {"x-goog-api-key": "wrong"}, 400),
        (PATH + "?key=wrong", {}, 400),
        (PATH, {"authorization": "Bearer wrong"}, 401),
        (PATH + "Constrained", KEY, 401),
        (PATH + "Constrained", {"authorization": "Bearer test-key"}, 401),
        (PATH, {"authorization": "Token test-key"}, 401),
        (PLATFORM_PATH, {"authorization": "Token test-key"}, 401),
        (PLATFORM_PATH, {"authorization": "Bearer wrong"}, 401),
        ("/ws/other", KEY, 404),
    ],
)
def test_a_bad_handshake_is_refused_like_google_does(path: str, headers: dict[str, str], status: int) -> None:
    async def work() -> None:
        async with Twin(plain()) as twin:
            with pytest.raises(InvalidStatus) as caught:
                await connect(twin.url + path, additional_headers=headers, proxy=None)
            assert caught.value.response.status_code == status
            assert json.loads(caught.value.response.body)["error"]["code"] == status
            assert twin.refused == [status]
            assert twin.sessions == []

    run(work)


def test_the_agent_platform_takes_an_account_and_has_limits_of_its_own() -> None:
    async def work() -> None:
        async with Twin(plain()) as twin:
            model = "projects/p/locations/l/publishers/google/models/gemini-3.8-live"
            for setup, code in (
                ({}, None),
                ({"contextWindowCompression": {"triggerTokens": 4999}}, 1007),
                ({"contextWindowCompression": {"slidingWindow": {"targetTokens": "128001"}}}, 1007),
                ({"realtimeInputConfig": {"turnCoverage": "TURN_INCLUDES_AUDIO_ACTIVITY_AND_ALL_VIDEO"}}, 1007),
            ):
                headers = {"Authorization": "Bearer test-key"}
                async with connect(twin.url + PLATFORM_PATH, additional_headers=headers, proxy=None) as ws:
                    await ws.send(json.dumps({"setup": {"model": model, **setup}}))
                    if code is None:
                        assert "sessionId" in json.loads(await ws.recv())["setupComplete"]
                    else:
                        with pytest.raises(ConnectionClosed) as caught:
                            await ws.recv()
                        assert caught.value.rcvd is not None
                        assert caught.value.rcvd.code == code

    run(work)


def test_a_changed_key_counts_for_the_handshakes_to_come() -> None:
    async def work() -> None:
        async with Twin(plain()) as twin, client(twin) as ws:
            await opened(ws)
            twin.key = "another-key"
            with pytest.raises(InvalidStatus):
                await connect(twin.url + PATH, additional_headers=KEY, proxy=None)
            async with connect(
                twin.url + PATH, additional_headers={"x-goog-api-key": "another-key"}, proxy=None
            ) as another:
                await opened(another)

    run(work)


def test_the_key_may_come_by_query_or_token_and_is_never_kept(caplog: pytest.LogCaptureFixture) -> None:
    async def work() -> None:
        async with Twin(plain(), key="sesame-42") as twin:
            for path, headers in (
                (PATH + "?key=sesame-42", {}),
                (PATH, {"X-Goog-Api-Key": "sesame-42"}),
                (PATH + "Constrained?access_token=sesame-42", {}),
                (PATH.replace("v1beta", "v1alpha") + "Constrained", {"Authorization": "Token sesame-42"}),
            ):
                async with connect(twin.url + path, additional_headers=headers, proxy=None) as ws:
                    await opened(ws)
            assert [record.key_in_query for record in twin.sessions] == [True, False, True, False]
            assert twin.sessions[1].headers["x-goog-api-key"] == "<redacted>"
            assert "sesame" not in repr(twin.sessions)

    with caplog.at_level(logging.DEBUG, logger="edge_agent"):
        run(work)
    assert "sesame" not in caplog.text


def test_a_violation_closes_with_the_documented_code_and_reason() -> None:
    async def work() -> None:
        async with Twin(plain()) as twin, client(twin) as ws:
            await opened(ws)
            await ws.send('{"realtimeInput":{"mediaChunks":[]}}')
            with pytest.raises(ConnectionClosedError) as caught:
                await ws.recv()
            assert caught.value.rcvd is not None
            assert caught.value.rcvd.code == 1007
            assert caught.value.rcvd.reason.startswith("realtime_input.media_chunks is deprecated")
            await twin.wait_for(lambda t: not t.session.open)
            assert twin.session.closed_by == "server"
            assert twin.session.closed == (1007, caught.value.rcvd.reason)

    run(work)


async def _closed(ws: ClientConnection) -> int | None:
    with contextlib.suppress(ConnectionClosed):
        while True:
            await ws.recv()
    return ws.close_code


@pytest.mark.parametrize(
    ("step", "code"), [(End(1011, "busy"), 1011), (Drop(), 1006), (Truncated(), 1006), (End(1000, ""), 1000)]
)
def test_the_connection_can_end_in_every_way(step: Step, code: int) -> None:
    async def work() -> None:
        async with Twin(Script(rules=(Rule((SAY, step)),), think_s=0.0)) as twin, client(twin) as ws:
            await opened(ws)
            await ask(ws)
            assert await _closed(ws) == code
            await twin.wait_for(lambda t: not t.session.open)
            assert twin.session.closed is not None
            assert twin.session.closed[0] == code

    run(work)


def test_raw_and_oversized_messages_arrive_untouched() -> None:
    async def work() -> None:
        steps = (Raw("{oops"), Raw(b"\xff\x00"), Oversized(3_000_000))
        async with Twin(Script(rules=(Rule(steps),), think_s=0.0)) as twin, client(twin) as ws:
            await opened(ws)
            await ask(ws)
            assert await ws.recv() == "{oops"
            assert await ws.recv() == b"\xff\x00"
            big = await ws.recv()
            assert len(big) == 3_000_000
            json.loads(big)

    run(work)


@pytest.mark.parametrize("pong", ["normal", 0.3, "never"])
def test_pongs_are_prompt_late_or_missing(pong: Any) -> None:
    async def work() -> None:
        async with Twin(plain(pong=pong)) as twin, client(twin) as ws:
            await opened(ws)
            loop = asyncio.get_running_loop()
            asked = loop.time()
            waiter = asyncio.ensure_future(await ws.ping())
            if pong == "never":
                await ask(ws)
                await until(ws, "turnComplete")
                assert not waiter.done()
                waiter.cancel()
            else:
                await waiter
                assert (loop.time() - asked >= 0.3) == (pong == 0.3)

    run(work)


def test_a_stall_holds_back_answers_and_pongs() -> None:
    async def work() -> None:
        async with Twin(plain()) as twin, client(twin) as ws:
            await opened(ws)
            await twin.perform(Stall(0.5))
            await asyncio.sleep(0.05)
            waiter = asyncio.ensure_future(await ws.ping())
            await ask(ws)
            await twin.wait_for(lambda t: t.session.texts)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(ws.recv(), 0.1)
            await until(ws, "turnComplete")
            assert not waiter.done()
            waiter.cancel()

    run(work)


def test_a_slow_line_is_felt_by_the_sender() -> None:
    async def work() -> None:
        async with Twin(plain(uplink_bytes_per_s=100_000.0)) as twin, client(twin) as ws:
            ws.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
            await opened(ws, **MANUAL)
            await ws.send(json.dumps({"realtimeInput": {"activityStart": {}}}))
            blob = {"mimeType": "audio/pcm;rate=16000", "data": base64.b64encode(bytes(1280)).decode()}
            message = json.dumps({"realtimeInput": {"audio": blob}})

            async def send_20_s() -> None:
                for _ in range(500):
                    await ws.send(message)

            with pytest.raises(TimeoutError):
                await asyncio.wait_for(send_20_s(), 0.5)
            assert 0 < len(twin.session.audio) < 0.5 * 100_000
            assert twin.session.violations == []

    run(work)


def test_a_running_twin_is_steered() -> None:
    async def work() -> None:
        async with Twin(plain()) as twin:
            async with client(twin) as ws:
                await opened(ws)
                await twin.answer(Say(sound=noise(0.2, seed=8), pace=0))
                await twin.add_rule(Rule((Say(sound=noise(0.1, seed=9), pace=0),), When(text="special")))
                await ask(ws)
                assert sound_of(await until(ws, "turnComplete")) == noise(0.2, seed=8)
                await ask(ws)
                assert sound_of(await until(ws, "turnComplete")) == SOUND
                await ask(ws, "something special")
                assert sound_of(await until(ws, "turnComplete")) == noise(0.1, seed=9)
                await twin.perform(GoAway(50.0))
                assert (await until(ws, "goAway"))[-1] == {"goAway": {"timeLeft": "50s"}}
                twin.drop_connections()
                assert await _closed(ws) == 1006
            twin.refuse_with = 503
            with pytest.raises(InvalidStatus):
                await client(twin)
            twin.refuse_with = None
            async with client(twin) as ws:
                await opened(ws)
            assert [record.number for record in twin.sessions] == [1, 2]

    run(work)


def test_waiting_in_vain_says_what_was_seen() -> None:
    async def work() -> None:
        async with Twin(plain()) as twin, client(twin) as ws:
            await opened(ws)
            with pytest.raises(TimeoutError, match="c:setup s:setupComplete"):
                await twin.wait_for(lambda t: t.session.texts, timeout_s=0.05)

            def mistaken(t: Twin) -> bool:
                return bool(t.session.texts) and t.no_such_thing  # type: ignore[attr-defined]

            await ask(ws)
            with pytest.raises(AttributeError, match="no_such_thing"):
                await twin.wait_for(mistaken)

    run(work)


def test_a_brain_answers_what_no_rule_matches_and_sees_tool_responses() -> None:
    async def brain(turn: Turn) -> AsyncIterator[Step]:
        yield Call((FunctionCall("look", {"at": turn.text}, "call-1"),))
        yield Say(f"I saw {turn.responses['call-1']['output']}", SOUND, pace=0)

    async def work() -> None:
        script = Script(rules=(), brain=brain, think_s=0.0, turn_complete="sent")
        async with Twin(script) as twin, client(twin) as ws:
            await opened(ws, outputAudioTranscription={})
            await ask(ws, "the tea")
            call = (await until(ws, "toolCall"))[-1]["toolCall"]["functionCalls"][0]
            assert call == {"id": "call-1", "name": "look", "args": {"at": "the tea"}}
            response = {"id": "call-1", "name": "look", "response": {"output": "a pot"}}
            await ws.send(json.dumps({"toolResponse": {"functionResponses": [response]}}))
            texts = [
                m["serverContent"].get("outputTranscription", {}).get("text", "")
                for m in await until(ws, "turnComplete")
            ]
            assert "".join(texts) == "I saw a pot"
            assert twin.errors == []

    run(work)


def test_an_interrupted_brain_is_stopped_and_a_failing_one_ends_the_session() -> None:
    stopped: list[str] = []

    async def brain(turn: Turn) -> AsyncIterator[Step]:
        if turn.text == "fail":
            raise ValueError("no idea")
        try:
            yield Call((FunctionCall("never"),))
            yield SAY
        finally:
            stopped.append(turn.text)

    async def work() -> None:
        async with Twin(Script(rules=(), brain=brain, think_s=0.0)) as twin, client(twin) as ws:
            await opened(ws)
            await ask(ws, "first")
            await until(ws, "toolCall")
            await ask(ws, "fail")
            assert await _closed(ws) == 1011
            assert stopped == ["first"]
            assert [str(error) for error in twin.errors] == ["no idea"]

    run(work)


def test_plain_ws_is_for_this_machine_only() -> None:
    with pytest.raises(ValueError, match="give a certificate"):
        Twin(host="0.0.0.0")


def test_tls_on_a_certificate_of_ones_own(certificate: tuple[Path, Path]) -> None:
    async def work() -> None:
        server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        server.load_cert_chain(*certificate)
        trusting = ssl.create_default_context(cafile=str(certificate[0]))
        async with Twin(plain(), tls=server) as twin:
            assert twin.url.startswith("wss://127.0.0.1:")
            async with client(twin, ssl=trusting) as ws:
                await opened(ws)
                await ask(ws)
                assert sound_of(await until(ws, "turnComplete")) == SOUND
            with pytest.raises(ssl.SSLCertVerificationError):
                await client(twin, ssl=ssl.create_default_context())

    run(work)


def test_closing_the_twin_ends_sessions_and_the_port_is_free_again() -> None:
    async def work() -> None:
        async with Twin(plain()) as twin:
            ws = await client(twin)
            await opened(ws)
            port = twin.port
        assert await _closed(ws) in {1001, 1006}
        assert not twin.session.open
        async with Twin(plain(), port=port) as again:
            assert again.port == port

    run(work)


def test_the_twin_serves_from_a_thread() -> None:
    marks: list[tuple[int, Mark]] = []
    twin = SyncTwin(plain(), limits=Limits(marks=500), on_mark=lambda n, mark: marks.append((n, mark)))
    with twin:

        async def talk() -> None:
            async with client(twin) as ws:
                await opened(ws)
                await ask(ws, "hello")
                assert sound_of(await until(ws, "turnComplete")) == noise(0.1, seed=4)

        twin.answer(Say(sound=noise(0.1, seed=4), pace=0))
        asyncio.run(talk())
        assert twin.wait_for(lambda t: not t.session.open) is True
        assert twin.session.texts == ["hello"]
        assert [mark.kind for _, mark in marks] == twin.session.kinds()
        twin.refuse(429)
        with pytest.raises(InvalidStatus):
            asyncio.run(talk())
        assert twin.refused == [429]
        taken = twin.port
        with pytest.raises(OSError, match=r"(?i)address already in use"):
            SyncTwin(plain(), port=taken).start()
    with pytest.raises(RuntimeError, match="not running"):
        twin.answer(SAY)


def test_a_cut_client_is_noticed() -> None:
    async def work() -> None:
        async with Twin(plain()) as twin:
            ws = await client(twin)
            await opened(ws)
            ws.transport.abort()
            await twin.wait_for(lambda t: not t.session.open)
            assert twin.session.closed == (1006, "")
            assert twin.session.closed_by == "client"

    run(work)
