"""Talk where WebSockets are blocked: the surface of `LiveConnection`, and single requests over HTTPS behind it.

    connection = await StandardConnection.open(
        endpoint=endpoint, headers=headers(key), protocol=LiveProtocol(setup, profile), model="gemini-3.6-flash",
        speak=speak, on_event=machine.event, on_closed=machine.closed)
    connection.send(protocol.audio(pcm))
    await connection.close()

Some networks let HTTPS pass and answer the upgrade to WebSocket themselves. There a turn becomes one request: the
question is recorded (`question`), sent whole with `generateContent` (`request`), and the answer is
told as the very messages the Live API would have sent, through the same `LiveProtocol`. Text is spoken by `speak`,
sentence by sentence, so that the first one is heard while the next is made; without a voice the captions remain.
Functions of the device are called as in a Live session, in at most `MAX_ROUNDS` rounds; the last request must be
answered in words.

`open` asks the service to count the tokens of one full stop: free, by the same route as the questions, and it tells a
refused key, a missing model or a closed door at once. Then `SetupComplete` comes.

An answer is over (`TurnComplete`) when somebody listening in real time has heard it, as with the Live API. Whoever
begins to speak before cuts it off: `Interrupted`, `TurnComplete`, and cancelled calls. What fails ends the connection
with an error of the tree. A request has `DEADLINE_S` and the time its sound needs on the slowest line; while it is
under way a sign of life comes every `PROGRESS_S`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from edge_agent.errors import AgentError, NetworkError
from edge_agent.live import messages, models
from edge_agent.live.audience import Audience
from edge_agent.live.endpoint import Endpoint
from edge_agent.live.events import ServerEvent
from edge_agent.live.protocol import LiveProtocol
from edge_agent.live.standard import question as asking
from edge_agent.live.standard.http import Requests
from edge_agent.live.standard.question import Collector, Question
from edge_agent.live.standard.request import Dialogue, Reply
from edge_agent.live.standard.voice import Mouth, Speak

OPEN_TIMEOUT_S = 10.0  # as for a WebSocket: name, TCP, TLS, proxy and the first answer together
DEADLINE_S = 30.0  # for one answer, once the question is there
SLOWEST_BYTES_PER_S = 8_000  # 64 kbit/s; 10 s of speech take a minute there, and still arrive
PROGRESS_S = 5.0  # the conversation gives an answer up after 20 s without a sign
MAX_ROUNDS = 4  # of function calls within one answer
TOOLS_S = 60.0  # the device answers every call of its own accord, long before
CLOSE_TIMEOUT_S = 2.0  # of the five seconds in which the daemon must end

_log = logging.getLogger("edge_agent.live.standard")

_QUESTION_OF_NOTHING = b'{"contents":[{"role":"user","parts":[{"text":"."}]}]}'

_setup_of = msgspec.json.Decoder(messages.ClientMessage).decode


class StandardConnection:
    """One conversation by requests; make it with `open`. All of it belongs to the loop's thread."""

    def __init__(
        self,
        *,
        endpoint: Endpoint,
        headers: Mapping[str, str],
        protocol: LiveProtocol,
        model: str,
        speak: Speak,
        on_event: Callable[[ServerEvent], None],
        on_closed: Callable[[AgentError | None], None],
        tap: Callable[[str, bytes], None] | None = None,
    ) -> None:
        self.on_writable: Callable[[], None] | None = None
        """Never called: a question is recorded, so the line always takes more."""
        self._loop = asyncio.get_running_loop()
        self._endpoint = endpoint
        self._on_closed = on_closed
        self._audience = Audience(protocol, on_event, tap)
        first = protocol.setup()
        setup = _setup_of(first).setup or messages.Setup(model=model)
        self._audience.sent(first)
        self._dialogue = Dialogue(setup)
        history = setup.history_config
        self._collector = Collector(
            manual=protocol.manual_turns, history=bool(history and history.initial_history_in_client_content)
        )
        handling = setup.realtime_input_config and setup.realtime_input_config.activity_handling
        self._interruptible = handling != "NO_INTERRUPTION"
        self._says_idle = models.profile_for(setup.model).idle_signal == "interactionStatus"
        self._mouth = Mouth(self._give, speak, language=_language(setup))
        self._requests = Requests(endpoint, headers, models.model_id(model), siblings=setup.model)
        self._still_there: asyncio.TimerHandle
        self._answering: asyncio.Task[None] | None = None
        self._ending: set[asyncio.Task[None]] = set()
        self._waiting: Question | None = None
        self._pending: set[str] = set()
        self._responses: list[messages.FunctionResponse] = []
        self._pictures: list[bytes] = []
        self._settled: asyncio.Future[None] | None = None
        self._opened = False
        self._closed = False

    @classmethod
    async def open(
        cls,
        *,
        endpoint: Endpoint,
        headers: Mapping[str, str],
        protocol: LiveProtocol,
        model: str,
        speak: Speak,
        on_event: Callable[[ServerEvent], None],
        on_closed: Callable[[AgentError | None], None],
        proxy: str = "",
        ssl_context: ssl.SSLContext | None = None,
        timeout_s: float = OPEN_TIMEOUT_S,
        tap: Callable[[str, bytes], None] | None = None,
    ) -> StandardConnection:
        """Make sure that requests get through, and return.

        Args:
            endpoint: of the Live API; requests go to the same host.
            headers: request headers; the one with the key among them.
            protocol: a fresh session; its setup says who the device is and what it can do.
            model: id of the model that answers requests (`live.fallback`).
            speak: the local voice.
            on_event: told of every event, in order; what it raises is reported to the loop's exception handler.
            on_closed: told once when a connection that was opened has ended.
            proxy: URL of the proxy to go through; "" goes straight.
            ssl_context: for https; the system's trust store if None.
            timeout_s: for the first request, seconds.
            tap: sees every message both ways, as the Live API would have got and sent it.

        Raises:
            NetworkError, Overloaded, Retry: try again later; even requests do not get through.
            CredentialError, ServiceRefused: a person has to act.
        """
        connection = cls(
            endpoint=endpoint,
            headers=headers,
            protocol=protocol,
            model=model,
            speak=speak,
            on_event=on_event,
            on_closed=on_closed,
            tap=tap,
        )
        try:
            async with asyncio.timeout(timeout_s):
                await connection._requests.connect(proxy, ssl_context)
                await connection._requests.post("countTokens", _QUESTION_OF_NOTHING)
        except TimeoutError:
            await connection._requests.close()
            raise NetworkError(f"{endpoint.host} does not answer requests (waited {timeout_s:g} s).") from None
        except BaseException:
            await connection._requests.close()
            raise
        connection._opened = True
        connection._give({"setupComplete": {}})
        return connection

    def send(self, frame: bytes) -> None:
        """Take one message of `LiveProtocol`. After the connection has ended this does nothing."""
        if not self.is_open:
            return
        self._audience.sent(frame)
        for sign in self._collector.take(frame):
            match sign:
                case asking.Began():
                    if self._interruptible:
                        self._interrupt()
                case asking.Asked(question):
                    self._asked(question)
                case asking.Answered(responses, pictures):
                    self._answered(responses, pictures)
                case asking.Told(role, text):
                    self._dialogue.tell(role, text)
                case asking.Stopped():
                    self._interrupt()

    @property
    def bytes_sent(self) -> int:
        """Bytes of request bodies, without headers and TLS."""
        return self._requests.bytes_sent

    @property
    def bytes_received(self) -> int:
        """Bytes of answers as they came over the line."""
        return self._requests.bytes_received

    @property
    def writable(self) -> bool:
        """True until the connection ends."""
        return self.is_open

    @property
    def heard_at(self) -> float:
        """When the last bytes came, on the loop's clock."""
        return self._requests.heard_at

    @property
    def is_open(self) -> bool:
        """True until the connection ends or is being closed."""
        return self._opened and not self._closed

    async def close(self, code: int = 1000) -> None:  # noqa: ARG002  the surface of LiveConnection
        """Give up what is under way; at most 2 s. May be called again."""
        told = self._closed or not self._opened
        self._closed = True
        if self._answering is not None:
            self._drop(self._answering)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                if self._ending:
                    await asyncio.wait(list(self._ending))
                await self._requests.close()
        if not told:
            self._on_closed(None)

    def __repr__(self) -> str:
        state = "open" if self.is_open else "closed"
        return f"StandardConnection({self._endpoint.host}:{self._endpoint.port}, {state})"

    # The question, and what becomes of it.

    def _asked(self, question: Question) -> None:
        if self._answering is not None:
            self._waiting = question  # the newest counts; only where speech does not cut answers off
        elif question.empty:
            self._over("")
        else:
            self._answering = self._loop.create_task(self._answer(question))

    async def _answer(self, question: Question) -> None:
        try:
            self._dialogue.ask(question)
            played_until = await self._converse()
            self._give({"serverContent": {"generationComplete": True}})
            await asyncio.sleep(played_until - self._loop.time())
            self._answering = None
            self._over("")
        except _NoAnswer as reason:
            self._answering = None
            self._over(str(reason))
        except AgentError as error:
            self._answering = None
            self._fail(error)
        except Exception:  # noqa: BLE001  logged whole
            # The voice is the device's: whatever it raises must not leave the person waiting.
            _log.exception("the answer could not be told")
            self._answering = None
            self._over("NOT_TOLD")
            self._withdraw()
        waiting, self._waiting = self._waiting, None
        if waiting is not None and self.is_open:
            self._asked(waiting)

    async def _converse(self) -> float:
        """Ask, call functions, ask again; return when a listener has heard all, on the loop's clock."""
        played_until = self._loop.time()
        for left in range(MAX_ROUNDS, -1, -1):
            reply = await self._request(functions=left > 0)
            self._dialogue.add(reply)
            if reply.usage is not None:
                self._give({"usageMetadata": reply.usage})
            if reply.reason:
                raise _NoAnswer(reply.reason)
            calls = self._expect(reply) if left else False
            played_until = await self._mouth.tell(reply, max(played_until, self._loop.time()))
            if not calls:
                self._dialogue.abandon()  # a call where words were asked for gets no answer
                break
            await self._wait_for_functions()
            self._dialogue.answer(self._responses, self._pictures)
        return played_until

    def _expect(self, reply: Reply) -> bool:
        """Ask the device for its functions, if the model did."""
        if not reply.calls:
            return False
        self._pending = {call["id"] for call in reply.calls}
        self._responses, self._pictures = [], []
        self._settled = self._loop.create_future()
        self._give({"toolCall": {"functionCalls": reply.calls}})
        return True

    async def _wait_for_functions(self) -> None:
        if self._settled is None:
            return
        try:
            async with asyncio.timeout(TOOLS_S):
                await self._settled
        except TimeoutError:
            self._withdraw()
            raise _NoAnswer("TOOLS_SILENT") from None

    def _answered(self, responses: list[messages.FunctionResponse], pictures: list[bytes]) -> None:
        self._pictures += pictures
        for response in responses:
            if response.id in self._pending and not response.will_continue:
                self._pending.discard(response.id)
                self._responses.append(response)
        if not self._pending and self._settled is not None and not self._settled.done():
            self._settled.set_result(None)

    def _interrupt(self) -> None:
        """Cut the answer off, in the order in which the Live API does it."""
        task, self._answering = self._answering, None
        self._waiting = None
        if task is None:
            return
        self._drop(task)
        self._give({"serverContent": {"interrupted": True}})
        self._over("")
        self._withdraw()

    def _withdraw(self) -> None:
        """Take back the calls that are still open: their answer will not come, or come too late."""
        self._dialogue.abandon()
        if self._pending:
            self._give({"toolCallCancellation": {"ids": sorted(self._pending)}})
            self._pending.clear()

    def _drop(self, task: asyncio.Task[None]) -> None:
        task.cancel()
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)

    # What the device hears of it.

    def _over(self, reason: str) -> None:
        content: dict[str, Any] = {"turnComplete": True}
        if reason:
            content["turnCompleteReason"] = reason
        if self._says_idle:
            content["interactionStatus"] = "IDLE"
        self._give({"serverContent": content})

    def _give(self, message: dict[str, Any]) -> None:
        self._audience.received(msgspec.json.encode(message))

    async def _request(self, *, functions: bool) -> Reply:
        body = self._dialogue.body(functions=functions)
        limit_s = DEADLINE_S + len(body) / SLOWEST_BYTES_PER_S
        self._progress()
        try:
            async with asyncio.timeout(limit_s):
                return self._dialogue.read(await self._requests.post("generateContent", body))
        except TimeoutError:
            raise NetworkError(f"{self._endpoint.host} has not answered a question (waited {limit_s:.0f} s).") from None
        finally:
            self._still_there.cancel()

    def _progress(self) -> None:
        """Say that the answer is being worked on, now and until the request is over."""
        self._give({"serverContent": {"interactionStatus": "IN_PROGRESS"}})
        self._still_there = self._loop.call_later(PROGRESS_S, self._progress)

    def _fail(self, error: AgentError) -> None:
        """End with an error; the client is closed behind."""
        if self._closed:
            return
        self._closed = True
        task = self._loop.create_task(self._requests.close())
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)
        self._on_closed(error)


class _NoAnswer(Exception):
    """The service answered, but with nothing to say; the message is its word for why."""


def _language(setup: messages.Setup) -> str:
    wishes = setup.generation_config
    speech = wishes.speech_config if wishes is not None else None
    return (speech.language_code if speech is not None else None) or ""
