"""The session: one connection at a time, closed in order, and a handle that goes where it should."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from edge_agent.errors import AgentError, ConnectionEnded, CredentialError, Fault, ServiceRefused
from edge_agent.live.credentials import Secret, headers
from edge_agent.live.endpoint import Endpoint
from edge_agent.live.events import ServerEvent, SetupComplete
from edge_agent.live.models import profile_for
from edge_agent.live.protocol import LiveProtocol
from edge_agent.live.session import BLOCKED_MOST, Line, Opener, Order, Session, Up
from edge_agent.live.setup import build_setup
from edge_agent.simulator import End, Say, Script, Twin

MODEL = "gemini-3.8-live"


class Bench:
    """A session on a twin, and what it called back."""

    def __init__(self, twin: Twin, *, key: str = "test-key") -> None:
        self.ups: list[Up] = []
        self.downs: list[AgentError] = []
        self.events: list[ServerEvent] = []
        self.handles: list[str | None] = []
        self.failure: AgentError | None = None
        self.told: list[tuple[str, str]] = []
        self.standard: Opener | None = None
        self.renewals: list[str] = []
        self.url = twin.url
        self._key = key
        self.session = Session(
            prepare=self._prepare,
            on_event=self.events.append,
            on_up=self.ups.append,
            on_down=self.downs.append,
            story=lambda: self.told,
            standard=lambda: self.standard,
        )

    async def _prepare(self, handle: str | None, history: bool) -> Order:
        self.handles.append(handle)
        if self.failure is not None:
            raise self.failure
        profile = profile_for(MODEL)
        setup = build_setup(model=MODEL, profile=profile, handle=handle, manual_turns=True, history=history)
        endpoint = Endpoint.resolve(self.url)
        return Order(endpoint, headers(Secret(self._key)), LiveProtocol(setup, profile), renew=self._renew)

    def _renew(self) -> bool:
        if not self.renewals:
            return False
        self._key = self.renewals.pop()
        return True

    async def until(self, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(5):
            while not condition():  # noqa: ASYNC110  callbacks come from the session under test
                await asyncio.sleep(0.005)

    async def refused(self, count: int) -> None:
        """Until so many connections could not be had."""
        await self.until(lambda: len(self.downs) == count)

    async def ask(self, text: str) -> None:
        assert self.session.protocol is not None
        self.session.send(self.session.protocol.turn(text))


def test_a_connection_comes_up_and_answers() -> None:
    async def story() -> None:
        async with Twin(Script(turn_complete="sent")) as twin:
            bench = Bench(twin)
            bench.session.connect(resume=False)
            await bench.until(lambda: bench.ups)
            assert bench.ups == [Up()]
            assert isinstance(bench.events[0], SetupComplete)
            assert bench.session.writable
            await twin.answer(Say(sound=bytes(4800)))
            await bench.ask("hello")
            await bench.until(lambda: bench.session.handle)
            assert bench.session.bytes_received > 4800
            await bench.session.close()
            assert bench.downs == []
            assert bench.session.handle is None

    asyncio.run(story())


def test_a_resumption_uses_the_newest_handle_and_a_fresh_one_none() -> None:
    async def story() -> None:
        async with Twin(Script(turn_complete="sent")) as twin:
            bench = Bench(twin)
            bench.session.connect(resume=False)
            await bench.until(lambda: bench.ups)
            await twin.answer(Say(sound=bytes(480)))
            await bench.ask("remember this")
            await bench.until(lambda: bench.session.handle)
            bench.session.connect(resume=True)
            await bench.until(lambda: len(bench.ups) == 2)
            assert bench.ups == [Up(), Up(resumed=True)]
            assert twin.sessions[1].resumed_from
            assert twin.sessions[0].closed is not None, "the old one is closed before the new one opens"
            bench.session.connect(resume=False)
            await bench.until(lambda: len(bench.ups) == 3)
            assert bench.handles[0] is None
            assert bench.handles[1] is not None
            assert bench.handles[2] is None
            await bench.session.close()

    asyncio.run(story())


def test_a_refused_handle_is_dropped_so_that_the_next_try_begins_anew() -> None:
    async def story() -> None:
        async with Twin(Script(turn_complete="sent")) as twin:
            bench = Bench(twin)
            bench.session.restore("of-another-life", age_s=60.0)
            bench.session.connect(resume=True)
            await bench.until(lambda: bench.downs)
            assert isinstance(bench.downs[0], ConnectionEnded)
            bench.session.connect(resume=True)
            await bench.until(lambda: bench.ups)
            assert bench.handles == ["of-another-life", None]
            await bench.session.close()

    asyncio.run(story())


def test_a_connection_that_was_given_up_never_calls_back() -> None:
    async def story() -> None:
        async with Twin(Script(setup_delay_s=0.2)) as twin:
            bench = Bench(twin)
            bench.session.connect(resume=False)
            await asyncio.sleep(0.05)
            bench.session.disconnect()
            await asyncio.sleep(0.4)
            assert (bench.ups, bench.downs, bench.events) == ([], [], [])
            await bench.session.close()

    asyncio.run(story())


def test_a_key_that_cannot_be_read_or_is_refused_goes_down_with_its_fault() -> None:
    async def story() -> None:
        async with Twin() as twin:
            bench = Bench(twin, key="a-wrong-key")
            bench.session.connect(resume=False)
            await bench.until(lambda: bench.downs)
            assert bench.downs[0].fault is Fault.CREDENTIAL
            assert "a-wrong-key" not in str(bench.downs[0])
            bench.failure = CredentialError("There is no key file.")
            bench.session.connect(resume=False)
            await bench.until(lambda: len(bench.downs) == 2)
            assert str(bench.downs[1]) == "There is no key file."
            await bench.session.close()

    asyncio.run(story())


def test_a_lost_connection_is_told_once_and_sending_is_harmless() -> None:
    async def story() -> None:
        async with Twin(Script(turn_complete="sent")) as twin:
            bench = Bench(twin)
            bench.session.connect(resume=False)
            await bench.until(lambda: bench.ups)
            await twin.perform(End(1011, "Internal error encountered."))
            await bench.until(lambda: bench.downs)
            assert len(bench.downs) == 1
            assert bench.session.protocol is None
            assert not bench.session.writable
            bench.session.send(b"{}")
            await bench.session.close()
            assert len(bench.downs) == 1

    asyncio.run(story())


def test_a_fault_of_our_own_while_preparing_is_told_and_not_waited_for_ever(caplog: pytest.LogCaptureFixture) -> None:
    async def story() -> None:
        async with Twin(Script()) as twin:
            bench = Bench(twin)
            bench.failure = KeyError("a tool of the owner's")  # type: ignore[assignment]
            bench.session.connect(resume=False)
            await bench.until(lambda: bench.downs)
            assert isinstance(bench.downs[0], ServiceRefused)
            assert "KeyError" in str(bench.downs[0])
            assert "a tool of the owner's" in caplog.text
            bench.failure = None
            bench.session.connect(resume=False)
            await bench.until(lambda: bench.ups)
            await bench.session.close()

    asyncio.run(story())


def test_a_connection_given_up_while_it_is_prepared_is_never_opened() -> None:
    async def story() -> None:
        async with Twin(Script()) as twin:
            bench = Bench(twin)
            bench.session.connect(resume=False)
            await asyncio.sleep(0)
            bench.session.disconnect()
            await bench.session.close()
            assert not bench.ups
            assert not bench.downs
            assert not bench.session.writable
            assert bench.session.heard_at == 0.0

    asyncio.run(story())


def test_a_session_closed_for_a_bad_message_does_not_go_back_to_its_handle() -> None:
    async def story() -> None:
        async with Twin(Script(turn_complete="sent")) as twin:
            bench = Bench(twin)
            bench.session.connect(resume=False)
            await bench.until(lambda: bench.ups)
            await bench.ask("hello")
            await bench.until(lambda: bench.session.handle)
            bench.session.connect(resume=True)
            await bench.until(lambda: len(bench.ups) == 2)
            assert bench.ups[1].resumed
            assert bench.session.bytes_sent > 0
            assert bench.session.bytes_received > 0
            await twin.perform(End(1007, "invalid argument"))
            await bench.until(lambda: bench.downs)
            assert bench.session.handle is None
            await bench.session.close()

    asyncio.run(story())


def test_a_resumed_session_that_dies_at_once_is_not_resumed_again() -> None:
    async def story() -> None:
        async with Twin(Script(turn_complete="sent")) as twin:
            bench = Bench(twin)
            bench.session.connect(resume=False)
            await bench.until(lambda: bench.ups)
            await bench.ask("hello")
            await bench.until(lambda: bench.session.handle)
            await twin.perform(End(1011))
            await bench.until(lambda: bench.downs)
            assert bench.session.handle, "a session that lived is worth another try"
            bench.session.connect(resume=True)
            await bench.until(lambda: len(bench.ups) == 2)
            await twin.perform(End(1011))
            await bench.until(lambda: len(bench.downs) == 2)
            assert bench.session.handle is None
            await bench.session.close()

    asyncio.run(story())


def test_without_a_handle_the_new_session_is_told_the_story_so_far() -> None:
    async def story() -> None:
        async with Twin(Script(turn_complete="sent")) as twin:
            bench = Bench(twin)
            bench.told = [("user", "My name is Ada."), ("model", "Hello Ada.")]
            bench.session.connect(resume=True)
            await bench.until(lambda: bench.ups)
            assert bench.ups == [Up(retold=True)]
            await twin.answer(Say(sound=bytes(480)))
            await bench.ask("What is my name?")
            await bench.until(lambda: bench.session.handle)
            assert [entry.text for entry in twin.sessions[0].history][:2] == ["My name is Ada.", "Hello Ada."]
            await bench.session.close()

    asyncio.run(story())


def test_a_story_is_told_instead_of_a_handle_where_that_is_asked_for_and_to_no_stranger() -> None:
    async def story() -> None:
        async with Twin(Script(turn_complete="sent")) as twin:
            bench = Bench(twin)
            bench.told = [("user", "My name is Ada.")]
            bench.session.restore("of-another-life", age_s=0.0)
            bench.session.connect(resume=True, retell=True)
            await bench.until(lambda: bench.ups)
            assert bench.ups == [Up(retold=True)]
            bench.session.connect(resume=False)
            await bench.until(lambda: len(bench.ups) == 2)
            assert bench.ups[1] == Up()
            assert bench.handles == [None, None]
            await bench.session.close()

    asyncio.run(story())


def test_a_handle_the_service_has_forgotten_by_its_age_is_not_tried() -> None:
    async def story() -> None:
        async with Twin(Script(turn_complete="sent")) as twin:
            bench = Bench(twin)
            bench.session.restore("of-yesterday", age_s=2 * 3600 + 1)
            bench.session.connect(resume=True)
            await bench.until(lambda: bench.ups)
            assert bench.handles == [None]
            await bench.session.close()

    asyncio.run(story())


def test_a_refused_credential_is_renewed_once() -> None:
    async def story() -> None:
        async with Twin() as twin:
            bench = Bench(twin, key="a-key-that-is-over")
            bench.renewals = ["test-key"]
            bench.session.connect(resume=False)
            await bench.until(lambda: bench.ups)
            assert bench.downs == []
            bench._key, bench.renewals = "over-again", ["refused-as-well", "never-tried"]
            bench.session.connect(resume=False)
            await bench.until(lambda: bench.downs)
            assert bench.downs[0].fault is Fault.CREDENTIAL
            assert bench.renewals == ["refused-as-well"]
            await bench.session.close()

    asyncio.run(story())


class Plain:
    """Stands for a connection without WebSockets."""

    def __init__(self) -> None:
        self.on_writable: Callable[[], None] | None = None
        self.bytes_sent = self.bytes_received = 0
        self.writable = self.is_open = True
        self.heard_at = 0.0
        self.sent: list[bytes] = []

    def send(self, frame: bytes) -> None:
        self.sent.append(frame)

    async def close(self) -> None:
        self.is_open = False


async def refuse_upgrades(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A proxy that answers itself."""
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 403 Forbidden\r\nContent-Type: text/html\r\nContent-Length: 13\r\n\r\n<h1>No.</h1>\n")
    await writer.drain()
    writer.close()


def test_blocked_three_times_the_standard_way_is_taken_and_the_live_one_when_it_is_free_again() -> None:
    async def story() -> None:
        wall = await asyncio.start_server(refuse_upgrades, "127.0.0.1", 0)
        port = wall.sockets[0].getsockname()[1]
        async with wall, Twin() as twin:
            bench = Bench(twin)
            bench.url = f"ws://127.0.0.1:{port}"
            plain: list[Plain] = []

            async def standard(order: Order, _on_event: object, _on_closed: object) -> Line:
                order.protocol.receive('{"setupComplete":{}}')
                plain.append(Plain())
                return plain[-1]

            bench.standard = standard
            for number in range(1, BLOCKED_MOST):
                bench.session.connect(resume=False)
                await bench.refused(number)
            bench.session.connect(resume=False)
            await bench.until(lambda: bench.ups)
            assert bench.ups[0].degraded
            assert bench.ups[0].lasts_s == 300.0, "then the live way is tried again"
            assert bench.session.writable
            bench.told = [("user", "My name is Ada.")]
            bench.session.restore("a-handle", age_s=0.0)
            bench.session.connect(resume=True)
            await bench.until(lambda: len(bench.ups) == 2)
            assert bench.handles[-1] is None, "the standard way knows no handles"
            assert b"My name is Ada." in plain[1].sent[0]
            assert len(plain) == 2, "while it is known to be blocked, nobody waits for another refusal"
            assert not plain[0].is_open
            bench.url, bench.session._blocked_until = twin.url, 0.0
            bench.session.connect(resume=False)
            await bench.until(lambda: len(bench.ups) == 3)
            assert not bench.ups[2].degraded
            await bench.session.close()

    asyncio.run(story())


def test_where_the_owner_wants_no_fallback_a_blocked_line_stays_down() -> None:
    async def story() -> None:
        wall = await asyncio.start_server(refuse_upgrades, "127.0.0.1", 0)
        async with wall, Twin() as twin:
            bench = Bench(twin)
            bench.url = f"ws://127.0.0.1:{wall.sockets[0].getsockname()[1]}"
            for number in range(1, BLOCKED_MOST + 2):
                bench.session.connect(resume=False)
                await bench.refused(number)
            assert not bench.ups
            await bench.session.close()

    asyncio.run(story())
