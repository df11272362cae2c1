"""Our client alone, as a process that measures itself: `live` without sound, panel and conversation.

    python -m edge_agent.bench.wire_client --url wss://127.0.0.1:PORT --ca chain.pem --sound speech.pcm --seconds 8

40 ms of speech go up every 40 ms, the answer comes down at real time and is decoded to PCM, as the daemon does it.
Prints one JSON line (`meter`).
"""

from __future__ import annotations

from edge_agent.bench import meter

BEGAN = meter.now()

# ruff: noqa: E402  the imports are part of what is measured
import asyncio
import ssl

from edge_agent.errors import AgentError
from edge_agent.live.endpoint import Endpoint
from edge_agent.live.events import Audio, ServerEvent
from edge_agent.live.models import profile_for
from edge_agent.live.protocol import LiveProtocol
from edge_agent.live.session import Order, Session
from edge_agent.live.setup import build_setup

IMPORTED = meter.since(BEGAN)

MODEL = "gemini-3.8-live"


async def prepare_order(args: meter.Task) -> Order:
    """Return how to open the connection: a plain new session without captions."""
    profile = profile_for(MODEL)
    setup = build_setup(model=MODEL, profile=profile, captions=False)
    return Order(Endpoint.resolve(args.url), {"x-goog-api-key": args.key}, LiveProtocol(setup, profile))


class Client:
    """One talk: `speak` sends 40 ms and comes again 40 ms later; what is heard is counted."""

    def __init__(self, args: meter.Task) -> None:
        self._loop = asyncio.get_running_loop()
        self.count = meter.Meter(args.sound)
        self.up: asyncio.Future[None] = self._loop.create_future()
        self.lost: asyncio.Future[None] = self._loop.create_future()
        self._due = self._loop.time()
        self.session = Session(
            prepare=lambda _handle, _history: prepare_order(args),
            on_event=self._event,
            on_up=lambda _up: self.up.set_result(None),
            on_down=self._down,
            ssl_context=ssl.create_default_context(cafile=str(args.ca)),
        )

    def ask(self) -> None:
        """Ask for an answer without an end, and begin to speak."""
        if self.session.protocol is not None:
            self.session.send(self.session.protocol.turn("Tell me a long story."))
        self._due = self._loop.time()
        self._speak()

    def _speak(self) -> None:
        session = self.session
        if session.protocol is not None and session.writable:
            session.send(session.protocol.audio(self.count.chunk()))
        self._due += meter.MESSAGE_S
        self._loop.call_at(self._due, self._speak)

    def _event(self, event: ServerEvent) -> None:
        if type(event) is Audio:
            self.count.heard(len(event.pcm))

    def _down(self, error: AgentError) -> None:
        first = self.lost if self.up.done() else self.up
        if not first.done():
            first.set_exception(error)


async def talk(args: meter.Task) -> dict[str, float]:
    """Talk for `args.seconds` after the warm-up and return the figures.

    Raises:
        AgentError: the connection could not be opened, or was lost.
    """
    client = Client(args)
    client.session.connect(resume=False)
    await client.up
    client.ask()
    await asyncio.wait([client.lost], timeout=args.warm_up)
    client.count.begin()
    await asyncio.wait([client.lost], timeout=args.seconds)
    figures = client.count.end()
    if client.lost.done():
        client.lost.result()
    await client.session.close()
    return figures


if __name__ == "__main__":
    meter.report(imported=IMPORTED, **asyncio.run(talk(meter.task())))
