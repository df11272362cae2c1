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
from edge_agent.live import messages as _wire_types
from edge_agent.live.endpoint import Endpoint
from edge_agent.live.events import Audio, ServerEvent
from edge_agent.live.models import profile_for
from edge_agent.live.protocol import LiveProtocol
from edge_agent.live.session import Order, Session
from edge_agent.live.setup import build_setup

IMPORTED = meter.since(BEGAN)

MODEL = "gemini-3.8-live"


async def talk(args: meter.Task) -> dict[str, float]:
    """Talk for `args.seconds` after the warm-up and return the figures."""
    loop = asyncio.get_running_loop()
    count = meter.Meter(args.sound)
    up: asyncio.Future[None] = loop.create_future()
    lost: asyncio.Future[None] = loop.create_future()

    def prepare(handle: str | None) -> Order:
        profile = profile_for(MODEL)
        setup: _wire_types.Setup = build_setup(model=MODEL, profile=profile, handle=handle, captions=False)
        headers = {"x-goog-api-key": args.key}
        return Order(Endpoint.resolve(args.url), headers, LiveProtocol(setup, profile))

    def on_event(event: ServerEvent) -> None:
        if type(event) is Audio:
            count.heard(len(event.pcm))

    def on_down(error: AgentError) -> None:
        for future in (up, lost):
            if not future.done():
                future.set_exception(error)

    session = Session(
        prepare=prepare,
        on_event=on_event,
        on_up=lambda _resumed: up.set_result(None),
        on_down=on_down,
        ssl_context=ssl.create_default_context(cafile=str(args.ca)),
    )
    session.connect(resume=False)
    await up
    if session.protocol is None:
        raise RuntimeError("a session that is up has a protocol")
    session.send(session.protocol.turn("Tell me a long story."))
    due = loop.time()

    def speak() -> None:
        nonlocal due
        if session.protocol is not None and session.writable:
            session.send(session.protocol.audio(count.chunk()))
        due += meter.MESSAGE_S
        loop.call_at(due, speak)

    speak()
    done, _ = await asyncio.wait([lost], timeout=args.warm_up)
    count.begin()
    if not done:
        done, _ = await asyncio.wait([lost], timeout=args.seconds)
    figures = count.end()
    for future in done:
        future.result()
    await session.close()
    return figures


if __name__ == "__main__":
    meter.report(imported=IMPORTED, **asyncio.run(talk(meter.task())))
