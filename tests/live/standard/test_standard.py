"""Talk by requests: what the twin's standard API receives, what the device hears of it, and every way to fail."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from live.proxies import TestProxy, http_proxy, socks5_proxy

from edge_agent.errors import AgentError, Blocked, CredentialError, NetworkError, Overloaded, Retry, ServiceRefused
from edge_agent.live import events as e
from edge_agent.live import messages
from edge_agent.live.endpoint import Endpoint
from edge_agent.live.models import profile_for
from edge_agent.live.protocol import LiveProtocol
from edge_agent.live.setup import build_setup
from edge_agent.live.standard import connection as standard
from edge_agent.live.standard.connection import StandardConnection
from edge_agent.simulator import Call, Complete, Drop, End, FunctionCall, Hang, Oversized, Rule, Say, Script, Text, Twin
from edge_agent.simulator.sound import noise, silence, tone

KEY = "AIzaTest-0123456789_abcdefghijklmnopqrs"
MODEL = "gemini-3.6-flash"
DATA = Path(__file__).parents[1] / "data"
LIGHT = messages.FunctionDeclaration(name="set_light", description="Switch the light.", behavior="NON_BLOCKING")


class Talk:
    """One conversation by requests with a twin, and what came of it."""

    def __init__(self, twin: Twin, *, model: str = "gemini-3.8-live", **wishes: Any) -> None:
        profile = profile_for(model)
        self.protocol = LiveProtocol(
            build_setup(model=model, profile=profile, **{"manual_turns": True, **wishes}), profile
        )
        self.endpoint = Endpoint.resolve(twin.url)
        self.events: list[e.ServerEvent] = []
        self.ends: list[AgentError | None] = []
        self.spoken: list[tuple[str, str]] = []
        self.tapped: list[tuple[str, bytes]] = []
        self.voice_s: float | None = 0.01
        self.changed = asyncio.Event()

    async def speak(self, text: str, language: str) -> tuple[bytes, int] | None:
        self.spoken.append((text, language))
        return None if self.voice_s is None else (silence(self.voice_s, rate=22_050), 22_050)

    def on_event(self, event: e.ServerEvent) -> None:
        self.events.append(event)
        self.changed.set()

    def on_closed(self, error: AgentError | None) -> None:
        self.ends.append(error)
        self.changed.set()

    async def open(self, *, key: str = KEY, model: str = MODEL, **more: Any) -> StandardConnection:
        self.connection = await StandardConnection.open(
            endpoint=self.endpoint,
            headers={"x-goog-api-key": key},
            protocol=self.protocol,
            model=model,
            speak=self.speak,
            on_event=self.on_event,
            on_closed=self.on_closed,
            tap=lambda direction, frame: self.tapped.append((direction, frame)),
            **more,
        )
        return self.connection

    def ask(self, pcm: bytes) -> None:
        """One marked turn."""
        self.begin()
        for at in range(0, len(pcm), 1280):
            self.connection.send(self.protocol.audio(pcm[at : at + 1280]))
        self.connection.send(self.protocol.activity_end())

    def begin(self) -> None:
        self.connection.send(self.protocol.activity_start())

    async def until(self, condition: Callable[[], Any]) -> Any:
        async with asyncio.timeout(10):
            while not (value := condition()):
                self.changed.clear()
                await self.changed.wait()
        return value

    async def over(self, times: int = 1) -> None:
        await self.until(lambda: len(self.of(e.TurnComplete)) >= times)

    async def calls(self, count: int) -> None:
        await self.until(lambda: len(self.of(e.ToolCall)) == count)

    def of(self, kind: type[Any]) -> list[Any]:
        return [event for event in self.events if type(event) is kind]

    def kinds(self) -> list[str]:
        """What was told, without signs of life, neighbours of a kind once."""
        names = [type(event).__name__ for event in self.events if not isinstance(event, e.Interaction)]
        return [name for n, name in enumerate(names) if n == 0 or names[n - 1] != name]


@contextlib.asynccontextmanager
async def talking(*steps: Any, tls: ssl.SSLContext | None = None, **wishes: Any) -> AsyncIterator[tuple[Twin, Talk]]:
    """A twin behind which nothing but requests gets through, and an open conversation with it."""
    trusted = ssl.create_default_context(cafile=str(DATA / "cert-valid.pem")) if tls else None
    script = Script(rules=(Rule(steps=steps),) if steps else (), think_s=0.0)
    async with Twin(script, key=KEY, tls=tls) as twin:
        twin.blocked_with = 403
        talk = Talk(twin, **wishes)
        await talk.open(ssl_context=trusted)
        try:
            yield twin, talk
        finally:
            await talk.connection.close()


def test_a_spoken_question_is_one_request_and_its_answer_is_told_as_the_live_api_would() -> None:
    async def story() -> None:
        async with talking(
            Say("[de] Guten Morgen! Es ist zehn Uhr, und die Sonne scheint."), instruction="Be kind."
        ) as (
            twin,
            talk,
        ):
            question = noise(0.5, seed=1, rate=16_000)
            talk.ask(question)
            await talk.over()
            assert talk.kinds() == [
                "SetupComplete", "Usage", "OutputCaption", "Audio", "GenerationComplete", "TurnComplete",
            ]  # fmt: skip
            check, asked = twin.requests
            assert (check.method, asked.method) == ("countTokens", "generateContent")
            assert asked.path == f"/v1beta/models/{MODEL}:generateContent"
            assert asked.headers["x-goog-api-key"] == "<redacted>"
            assert asked.turn is not None
            assert asked.turn.audio == question
            instruction = asked.body["systemInstruction"]["parts"][0]["text"]
            assert instruction.startswith("Be kind.")
            assert talk.spoken == [("Guten Morgen! Es ist zehn Uhr, und die Sonne scheint.", "de")]
            caption, sound = talk.of(e.OutputCaption)[0], talk.of(e.Audio)[0]
            assert (caption.text, caption.language, caption.finished) == (talk.spoken[0][0], "de", True)
            assert (len(sound.pcm), sound.rate) == (round(0.01 * 22_050) * 2, 22_050)
            assert talk.of(e.Usage)[0].total == 110
            assert talk.of(e.TurnComplete)[0].idle

    asyncio.run(story())


def test_the_first_sentence_is_heard_before_the_second_is_spoken() -> None:
    async def story() -> None:
        async with talking(Say("The first sentence is this one. And this here is the second sentence.")) as (_, talk):
            talk.connection.send(talk.protocol.turn("hello"))
            await talk.over()
            assert [text for text, _ in talk.spoken] == [
                "The first sentence is this one.",
                "And this here is the second sentence.",
            ]
            assert talk.kinds()[2:6] == ["OutputCaption", "Audio", "OutputCaption", "Audio"]
            captions = talk.of(e.OutputCaption)
            assert "".join(caption.text for caption in captions) == " ".join(text for text, _ in talk.spoken)
            assert [caption.finished for caption in captions] == [False, True]

    asyncio.run(story())


def test_sound_of_the_model_goes_before_the_local_voice() -> None:
    sound = tone(0.05)

    async def story() -> None:
        async with talking(Say(sound=sound)) as (_, talk):
            talk.connection.send(talk.protocol.text("sing"))
            await talk.over()
            assert [(audio.pcm, audio.rate) for audio in talk.of(e.Audio)] == [(sound, 24_000)]
            assert not talk.spoken

    asyncio.run(story())


def test_pictures_go_with_the_question_they_fall_into() -> None:
    picture = (DATA.parents[2] / "edge_agent" / "demo" / "stills").glob("*.jpg")
    jpeg = next(iter(picture)).read_bytes()

    async def story() -> None:
        async with talking(Say("A lighthouse stands there, I think.")) as (twin, talk):
            talk.begin()
            talk.connection.send(talk.protocol.image(jpeg))
            talk.connection.send(talk.protocol.audio(noise(0.3, seed=2, rate=16_000)))
            talk.connection.send(talk.protocol.activity_end())
            await talk.over()
            assert twin.requests[-1].turn is not None
            assert twin.requests[-1].turn.images == (jpeg,)

    asyncio.run(story())


def test_an_open_microphone_is_cut_into_questions_by_its_pauses() -> None:
    async def story() -> None:
        async with talking(Say("Yes, that is so, as far as I know."), manual_turns=False) as (twin, talk):
            speech = tone(0.6, rate=16_000)
            stream = silence(1.0, rate=16_000) + speech + silence(1.2, rate=16_000)
            for at in range(0, len(stream), 1280):
                talk.connection.send(talk.protocol.audio(stream[at : at + 1280]))
            await talk.over()
            asked = twin.requests[-1].turn
            assert asked is not None
            assert speech in asked.audio
            assert len(asked.audio) < len(stream)
            talk.connection.send(talk.protocol.audio(speech))
            talk.connection.send(talk.protocol.audio_stream_end())
            await talk.over(2)
            assert len(twin.requests) == 3

    asyncio.run(story())


def test_functions_are_called_and_the_next_request_carries_their_answers() -> None:
    async def story() -> None:
        steps = (Call((FunctionCall("set_light", {"on": True}),)), Say("The light is on now, as you wished."))
        async with talking(*steps, tools=[LIGHT]) as (twin, talk):
            talk.ask(noise(0.3, seed=3, rate=16_000))
            (call,) = (await talk.until(lambda: talk.of(e.ToolCall)))[0].calls
            assert (call.name, call.args) == ("set_light", {"on": True})
            response = messages.FunctionResponse(id=call.id, name=call.name, response={"result": "on"})
            talk.connection.send(talk.protocol.tool_responses([response]))
            await talk.over()
            assert talk.spoken[0][0] == "The light is on now, as you wished."
            declared = twin.requests[1].body["tools"][0]["functionDeclarations"][0]
            assert declared == {"name": "set_light", "description": "Switch the light."}
            assert [request.status for request in twin.requests] == [200, 200, 200]
            assert twin.requests[1].turn is not None
            assert twin.requests[1].turn.responses == {call.id: {"result": "on"}}

    asyncio.run(story())


def test_after_four_rounds_of_functions_the_model_must_answer_in_words() -> None:
    async def story() -> None:
        async with talking(*(Call((FunctionCall("set_light", {}),)),) * 9, tools=[LIGHT]) as (twin, talk):
            talk.connection.send(talk.protocol.turn("disco"))
            for number in range(1, standard.MAX_ROUNDS + 1):
                await talk.calls(number)
                (call,) = talk.of(e.ToolCall)[-1].calls
                response = messages.FunctionResponse(id=call.id, name=call.name, response={"result": "done"})
                talk.connection.send(talk.protocol.tool_responses([response]))
            await talk.over()
            assert len(talk.of(e.ToolCall)) == standard.MAX_ROUNDS
            modes = [request.body.get("toolConfig", {}) for request in twin.requests if request.method[0] == "g"]
            assert modes == [{}] * 4 + [{"functionCallingConfig": {"mode": "NONE"}}]
            await twin.answer(Say("Enough of it now, I think."))
            talk.connection.send(talk.protocol.turn("stop"))
            await talk.over(2)
            parts = [part for content in twin.requests[-1].body["contents"] for part in content["parts"]]
            assert sum("functionCall" in part for part in parts) == standard.MAX_ROUNDS
            assert sum("functionResponse" in part for part in parts) == standard.MAX_ROUNDS

    asyncio.run(story())


@pytest.mark.parametrize("when", ["waiting", "playing", "calling"])
def test_who_begins_to_speak_cuts_the_answer_off(when: str) -> None:
    async def story() -> None:
        steps: tuple[Any, ...] = {
            "waiting": (Hang(),),
            "playing": (Say("This is a long answer, and it is still being heard."),),
            "calling": (Call((FunctionCall("set_light", {}),)), Say("Never said.")),
        }[when]
        async with talking(*steps, tools=[LIGHT]) as (twin, talk):
            talk.voice_s = 30.0
            talk.ask(noise(0.3, seed=4, rate=16_000))
            if when == "waiting":
                await twin.wait_for(lambda t: len(t.requests) == 2)
            else:
                await talk.until(lambda: talk.of(e.Audio if when == "playing" else e.ToolCall))
            assert not talk.of(e.TurnComplete), "an answer is over when it has been heard"
            talk.begin()
            ended = ["Interrupted", "TurnComplete", *(["ToolCancel"] if when == "calling" else [])]
            assert talk.kinds()[-len(ended) :] == ended
            await twin.answer(Say("Here is the next answer, for you."))
            talk.voice_s = 0.01
            talk.connection.send(talk.protocol.audio(noise(0.3, seed=5, rate=16_000)))
            talk.connection.send(talk.protocol.activity_end())
            await talk.over(2)
            assert talk.spoken[-1][0] == "Here is the next answer, for you."
            assert len(talk.of(e.Interrupted)) == 1

    asyncio.run(story())


def test_where_speech_may_not_interrupt_the_next_question_waits() -> None:
    async def story() -> None:
        async with talking(Say("One answer, and then another one."), manual_turns=False, interruptible=False) as (
            twin,
            talk,
        ):
            talk.voice_s = 0.3
            utterance = silence(0.2, rate=16_000) + tone(0.5, rate=16_000) + silence(1.0, rate=16_000)
            talk.connection.send(talk.protocol.audio(utterance))
            await talk.until(lambda: talk.of(e.Audio))
            talk.connection.send(talk.protocol.audio(utterance))
            assert len(twin.requests) == 2
            await talk.over(2)
            assert len(twin.requests) == 3
            assert not talk.of(e.Interrupted)

    asyncio.run(story())


def test_a_request_to_stop_stops() -> None:
    async def story() -> None:
        async with talking(Hang()) as (twin, talk):
            talk.connection.send(talk.protocol.turn("hello"))
            await twin.wait_for(lambda t: len(t.requests) == 2)
            talk.connection.send(talk.protocol.stop_answer())
            assert talk.kinds()[-2:] == ["Interrupted", "TurnComplete"]

    asyncio.run(story())


def test_a_turn_without_a_word_is_over_at_once_and_costs_nothing() -> None:
    async def story() -> None:
        async with talking() as (twin, talk):
            talk.begin()
            talk.connection.send(talk.protocol.activity_end())
            assert talk.kinds()[-1] == "TurnComplete"
            assert len(twin.requests) == 1

    asyncio.run(story())


def test_a_thinking_model_is_idle_when_the_answer_is_over() -> None:
    async def story() -> None:
        async with talking(Say("Thought out."), model="gemini-3.8-live-extended-thinking") as (_, talk):
            talk.connection.send(talk.protocol.turn("hello"))
            await talk.over()
            assert talk.of(e.TurnComplete)[0].idle
            assert talk.of(e.Interaction)[-1].idle

    asyncio.run(story())


def test_proxies_of_the_environment_are_not_taken_by_themselves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    monkeypatch.delenv("NO_PROXY", raising=False)

    async def story() -> None:
        async with talking(Say("Straight through, as configured.")) as (_, talk):
            talk.connection.send(talk.protocol.turn("hello"))
            await talk.over()

    asyncio.run(story())


def test_functions_that_never_answer_end_the_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(standard, "TOOLS_S", 0.1)

    async def story() -> None:
        async with talking(Call((FunctionCall("set_light", {}),)), Say("Never said."), tools=[LIGHT]) as (twin, talk):
            talk.connection.send(talk.protocol.turn("light"))
            await talk.over()
            assert talk.kinds()[-2:] == ["ToolCancel", "TurnComplete"]
            await twin.answer(Say("Another answer, at last."))
            talk.connection.send(talk.protocol.turn("and now?"))
            await talk.over(2)
            assert talk.spoken == [("Another answer, at last.", "")]

    asyncio.run(story())


def test_without_a_voice_the_words_are_there() -> None:
    async def story() -> None:
        async with talking(Say("[en] Nobody hears this sentence, sadly.")) as (_, talk):
            talk.voice_s = None
            talk.connection.send(talk.protocol.turn("hello"))
            await talk.over()
            assert [caption.text for caption in talk.of(e.OutputCaption)] == ["Nobody hears this sentence, sadly."]
            assert not talk.of(e.Audio)

    asyncio.run(story())


def test_an_answer_that_the_service_withholds_says_why() -> None:
    async def story() -> None:
        async with talking(Complete(reason="SAFETY")) as (_, talk):
            talk.connection.send(talk.protocol.turn("hello"))
            await talk.over()
            assert talk.of(e.TurnComplete)[0].reason == "SAFETY"
            assert talk.connection.is_open

    asyncio.run(story())


def test_thoughts_are_never_spoken() -> None:
    async def story() -> None:
        async with talking(Text("secret musings", thought=True), Say("The plain answer is this one.")) as (_, talk):
            talk.connection.send(talk.protocol.turn("hello"))
            await talk.over()
            assert talk.spoken == [("The plain answer is this one.", "")]

    asyncio.run(story())


def test_the_conversation_so_far_goes_along_with_the_sound_of_the_last_two_questions() -> None:
    async def story() -> None:
        async with talking(Say("An answer of some length."), history=True) as (twin, talk):
            talk.connection.send(talk.protocol.history([("user", "I am Ann."), ("model", "Hello Ann.")]))
            assert len(twin.requests) == 1, "a history asks for nothing"
            for number in range(1, 4):
                talk.ask(noise(0.3, seed=number, rate=16_000))
                await talk.over(number)
            contents = twin.requests[-1].body["contents"]
            assert [content["role"] for content in contents] == ["user", "model"] * 3 + ["user"]
            assert contents[0]["parts"] == [{"text": "I am Ann."}]
            sound = ["inlineData" in content["parts"][0] for content in contents[2::2]]
            assert sound == [False, True, True]

    asyncio.run(story())


@pytest.mark.parametrize(
    ("step", "kind"),
    [
        (End(503, "busy"), Retry),
        (End(429, "quota"), Overloaded),
        (Drop(), NetworkError),
        (Oversized(5_000_000), NetworkError),
    ],
)
def test_what_fails_in_mid_conversation_ends_the_connection_with_its_error(step: Any, kind: type[AgentError]) -> None:
    async def story() -> None:
        async with talking(step) as (_, talk):
            talk.ask(noise(0.3, seed=8, rate=16_000))
            await talk.until(lambda: talk.ends)
            assert isinstance(talk.ends[0], kind)
            assert not talk.connection.is_open
            talk.connection.send(b"{}")
            await talk.connection.close()
            assert len(talk.ends) == 1, "told once"

    asyncio.run(story())


def test_a_service_that_never_answers_is_a_broken_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(standard, "DEADLINE_S", 0.2)
    monkeypatch.setattr(standard, "SLOWEST_BYTES_PER_S", 1e9)
    monkeypatch.setattr(standard, "PROGRESS_S", 0.05)

    async def story() -> None:
        async with talking(Hang()) as (_, talk):
            talk.connection.send(talk.protocol.turn("hello"))
            await talk.until(lambda: talk.ends)
            assert "has not answered a question" in str(talk.ends[0])
            assert isinstance(talk.ends[0], NetworkError)
            assert len(talk.of(e.Interaction)) >= 3, "signs of life, so that nobody gives up before"

    asyncio.run(story())


def test_a_voice_that_breaks_leaves_nobody_waiting(caplog: pytest.LogCaptureFixture) -> None:
    async def story() -> None:
        async with talking(Say("This will never be spoken, alas.")) as (_, talk):

            async def broken(_text: str, _language: str) -> None:
                raise OSError("no voice")

            talk.connection._mouth._speak = broken
            talk.connection.send(talk.protocol.turn("hello"))
            await talk.over()
            assert talk.connection.is_open

    asyncio.run(story())
    assert "the answer could not be told" in caplog.text


def test_a_voice_that_breaks_takes_the_calls_of_its_answer_back() -> None:
    async def story() -> None:
        steps = (Say("I switch the light."), Call((FunctionCall("set_light", {}),)))
        async with talking(*steps, tools=[LIGHT]) as (twin, talk):
            healthy = talk.connection._mouth._speak

            async def broken(_text: str, _language: str) -> None:
                raise OSError("no voice")

            talk.connection._mouth._speak = broken
            talk.connection.send(talk.protocol.turn("light"))
            await talk.until(lambda: talk.of(e.ToolCancel))
            assert talk.of(e.ToolCancel)[0].ids == (talk.of(e.ToolCall)[0].calls[0].id,)
            talk.connection._mouth._speak = healthy
            await twin.answer(Say("Another answer, at last."))
            talk.connection.send(talk.protocol.turn("and now?"))
            await talk.over(2)
            parts = [part for content in twin.requests[-1].body["contents"] for part in content["parts"]]
            assert not any("functionCall" in part for part in parts), "the service refuses calls without answers"

    asyncio.run(story())


def test_a_tap_that_fails_is_reported_once_and_left_out() -> None:
    reported: list[Any] = []

    async def story() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context["exception"]))
        async with talking(Say("An answer, whatever the recorder does.")) as (_, talk):

            def full(_direction: str, _frame: bytes) -> None:
                raise OSError("the disk is full")

            talk.connection._audience._tap = full
            talk.connection.send(talk.protocol.turn("hello"))
            await talk.over()

    asyncio.run(story())
    assert [str(error) for error in reported] == ["the disk is full"]


def test_closing_gives_up_what_is_under_way() -> None:
    async def story() -> None:
        async with talking(Hang()) as (twin, talk):
            before = talk.connection.bytes_sent
            talk.connection.send(talk.protocol.turn("hello"))
            await twin.wait_for(lambda t: len(t.requests) == 2)
            assert talk.connection.bytes_sent > before, "a question counts although its answer never comes"
            await talk.connection.close()
            assert talk.ends == [None]
            assert not talk.connection.is_open
            assert "closed" in repr(talk.connection)

    asyncio.run(story())


def test_opening_tells_at_once_what_is_wrong() -> None:
    async def story() -> None:
        async with Twin(key=KEY) as twin:
            with pytest.raises(CredentialError):
                await Talk(twin).open(key="AIzaWrong-0123456789")
            with pytest.raises(ServiceRefused, match=r"live\.fallback"):
                await Talk(twin).open(model="gemini-3.8-live")
        with pytest.raises(NetworkError):
            await Talk(twin).open()

    asyncio.run(story())


def test_a_network_that_lets_nothing_pass_is_known_at_once() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        page = b"<html>blocked</html>"
        writer.write(
            b"HTTP/1.1 403 Forbidden\r\nContent-Type: text/html\r\nContent-Length: %d\r\n\r\n" % len(page) + page
        )
        writer.close()

    async def story() -> None:
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        async with server, Twin(key=KEY) as twin:
            talk = Talk(twin)
            talk.endpoint = Endpoint.resolve(f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}")
            with pytest.raises(Blocked):
                await talk.open()
            assert not talk.events

    asyncio.run(story())


def test_a_door_that_stays_silent_is_given_up() -> None:
    async def story() -> None:
        async def silent(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await asyncio.sleep(0.5)
            writer.close()

        server = await asyncio.start_server(silent, "127.0.0.1", 0)
        async with server, Twin(key=KEY) as twin:
            talk = Talk(twin)
            talk.endpoint = Endpoint.resolve(f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}")
            with pytest.raises(NetworkError, match="does not answer requests"):
                await talk.open(timeout_s=0.1)
            await asyncio.sleep(0.5)

    asyncio.run(story())


def test_over_tls_and_the_key_appears_nowhere_but_in_its_header(caplog: pytest.LogCaptureFixture) -> None:
    served = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    served.load_cert_chain(DATA / "cert-valid.pem")

    async def story() -> None:
        async with talking(Say("A safe answer, all in all."), tls=served) as (twin, talk):
            talk.ask(noise(0.3, seed=9, rate=16_000))
            await talk.over()
            assert twin.requests[-1].status == 200
            assert talk.connection.bytes_sent > 12_000
            assert talk.connection.bytes_received > 0
            assert talk.connection.heard_at > 0
            assert talk.tapped[0][1].startswith(b'{"setup"')
            assert talk.tapped[1][0] == "down"
            assert all(KEY.encode() not in frame for _, frame in talk.tapped)
            assert KEY not in repr(talk.connection)

    with caplog.at_level(logging.DEBUG):
        asyncio.run(story())
    assert KEY not in caplog.text


def test_a_certificate_not_yet_valid_is_the_clocks_fault() -> None:
    served = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    served.load_cert_chain(DATA / "cert-not-yet-valid.pem")
    trusted = ssl.create_default_context(cafile=str(DATA / "cert-not-yet-valid.pem"))

    async def story() -> None:
        async with Twin(key=KEY, tls=served) as twin:
            with pytest.raises(AgentError, match="clock"):
                await Talk(twin).open(ssl_context=trusted)

    asyncio.run(story())


@pytest.mark.parametrize("proxy", [http_proxy, socks5_proxy], ids=["http", "socks5"])
def test_requests_take_the_same_way_through_a_proxy(
    proxy: Callable[..., contextlib.AbstractAsyncContextManager[TestProxy]],
) -> None:
    served = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    served.load_cert_chain(DATA / "cert-valid.pem")
    trusted = ssl.create_default_context(cafile=str(DATA / "cert-valid.pem"))

    async def story() -> None:
        async with Twin(Script(think_s=0.0), key=KEY, tls=served) as twin:
            await twin.answer(Say("It came through the proxy, safely."))
            async with proxy(login=("ann", "secret-word")) as way:
                talk = Talk(twin)
                await talk.open(ssl_context=trusted, proxy=way.url)
                talk.connection.send(talk.protocol.turn("hello"))
                await talk.over()
                await talk.connection.close()
                assert way.asked[0] == f"127.0.0.1:{twin.port}"
                assert KEY.encode() not in way.seen, "end to end, through the tunnel"
                if proxy is socks5_proxy:
                    return  # httpx leaves the socket of a login that SOCKS refuses to the garbage collector
                with pytest.raises(AgentError) as refused:
                    await Talk(twin).open(ssl_context=trusted, proxy=way.url.replace("secret-word", "wrong-word"))
                assert "word@" not in str(refused.value)
                assert "wrong-word" not in str(refused.value)
            with pytest.raises(NetworkError, match="proxy"):
                await Talk(twin).open(ssl_context=trusted, proxy=way.url)
            with pytest.raises(ServiceRefused, match=r"link\.proxy"):
                await Talk(twin).open(ssl_context=trusted, proxy="socks4://127.0.0.1:1")

    asyncio.run(story())
