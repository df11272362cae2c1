"""CPU of the wire alone: websockets' sans-I/O core in our connection, its asyncio client, and the official SDK.

    .venv/bin/python tests/benchmarks/wire_cores.py [--seconds 10] [--pairs 5] [--peers ours,asyncio,sdk,pacing]

Each peer is a process of its own that talks over loopback TLS to a server in another process: 40 ms of microphone
sound up every 40 ms, and for each such message 40 ms of answer down, in a binary frame. It reports its own CPU time per
second of talk, after a second to warm up. The peers take turns; the figures are medians over the rounds, and of the
ratios within a round. `pacing` sends nothing: it is what the 40 ms beat itself costs, a part of every other figure.

`ours` and `asyncio` differ in nothing but the WebSocket core: both build and read messages with `LiveProtocol`.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import os
import ssl
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any

CERTIFICATE = Path(__file__).parents[1] / "live" / "data" / "cert-valid.pem"
MODEL = "gemini-3.8-live"
MESSAGE_S = 0.04
MICROPHONE = os.urandom(1280)  # 40 ms at 16 kHz, 16 bit
WARM_UP_S = 1.0

Client = Callable[[int, float], Coroutine[Any, Any, tuple[float, int]]]


def answer() -> bytes:
    """One server message with 40 ms of sound at 24 kHz."""
    blob = {"mimeType": "audio/pcm;rate=24000", "data": base64.b64encode(os.urandom(1920)).decode()}
    return json.dumps({"serverContent": {"modelTurn": {"parts": [{"inlineData": blob}]}}}).encode()


async def serve_forever() -> None:
    """Take any client: complete its setup, then answer each message with one of sound."""
    from websockets.asyncio.server import ServerConnection, serve

    reply = answer()

    async def handler(ws: ServerConnection) -> None:
        await ws.recv()
        await ws.send(b'{"setupComplete":{}}')
        async for _ in ws:
            await ws.send(reply)

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE)
    async with serve(handler, "127.0.0.1", 0, ssl=context, compression=None) as server:
        print(next(iter(server.sockets)).getsockname()[1], flush=True)  # noqa: T201  read by the parent
        await asyncio.get_running_loop().create_future()


async def paced(seconds: float, send: Callable[[], Awaitable[None] | None]) -> float:
    """Call `send` every 40 ms; return the CPU seconds of this process per second, without the warm-up."""
    loop = asyncio.get_running_loop()
    due = start = loop.time()
    cpu = counted_from = 0.0
    while due - start < WARM_UP_S + seconds:
        if not counted_from and due - start >= WARM_UP_S:
            counted_from, cpu = loop.time(), time.process_time()
        sending = send()
        if sending is not None:
            await sending
        due += MESSAGE_S
        await asyncio.sleep(max(0.0, due - loop.time()))
    return (time.process_time() - cpu) / (loop.time() - counted_from)


async def ours(port: int, seconds: float) -> tuple[float, int]:
    """The connection of the daemon."""
    from edge_agent.live.connection import LiveConnection
    from edge_agent.live.endpoint import Endpoint
    from edge_agent.live.events import Audio, ServerEvent

    heard = 0

    def on_event(event: ServerEvent) -> None:
        nonlocal heard
        heard += len(event.pcm) if isinstance(event, Audio) else 0

    protocol = session()
    connection = await LiveConnection.open(
        endpoint=Endpoint.resolve(f"wss://127.0.0.1:{port}"),
        headers={"x-goog-api-key": "benchmark"},
        protocol=protocol,
        on_event=on_event,
        on_closed=lambda _: None,
        ssl_context=ssl.create_default_context(cafile=str(CERTIFICATE)),
    )

    def send() -> None:
        if connection.writable:
            connection.send(protocol.audio(MICROPHONE))

    cpu = await paced(seconds, send)
    await connection.close()
    return cpu, heard


async def asyncio_client(port: int, seconds: float) -> tuple[float, int]:
    """The same protocol on websockets' asyncio client: one task reads, the other writes."""
    from websockets.asyncio.client import connect

    from edge_agent.live.events import Audio

    heard = 0
    protocol = session()
    context = ssl.create_default_context(cafile=str(CERTIFICATE))
    uri = f"wss://127.0.0.1:{port}/"
    async with connect(
        uri, ssl=context, compression=None, additional_headers={"x-goog-api-key": "benchmark"}, max_size=4 * 1024 * 1024
    ) as ws:
        await ws.send(protocol.setup(), text=True)
        protocol.receive(await ws.recv(decode=False))

        async def read() -> None:
            nonlocal heard
            while True:
                for event in protocol.receive(await ws.recv(decode=False)):
                    heard += len(event.pcm) if isinstance(event, Audio) else 0

        reader = asyncio.ensure_future(read())
        cpu = await paced(seconds, lambda: ws.send(protocol.audio(MICROPHONE), text=True))
        reader.cancel()
    return cpu, heard


async def sdk(port: int, seconds: float) -> tuple[float, int]:
    """The official SDK as its guide uses it."""
    from google import genai
    from google.genai import types

    heard = 0
    context = ssl.create_default_context(cafile=str(CERTIFICATE))
    options = types.HttpOptions(base_url=f"https://127.0.0.1:{port}", async_client_args={"ssl": context})
    client = genai.Client(api_key="benchmark", http_options=options)
    config = types.LiveConnectConfig(response_modalities=[types.Modality.AUDIO])
    async with client.aio.live.connect(model=MODEL, config=config) as live:

        async def read() -> None:
            nonlocal heard
            while True:
                async for message in live.receive():
                    heard += len(message.data or b"")

        reader = asyncio.ensure_future(read())
        cpu = await paced(
            seconds,
            lambda: live.send_realtime_input(audio=types.Blob(data=MICROPHONE, mime_type="audio/pcm;rate=16000")),
        )
        reader.cancel()
    return cpu, heard


def session() -> Any:
    """A fresh `LiveProtocol`."""
    from edge_agent.live.models import profile_for
    from edge_agent.live.protocol import LiveProtocol
    from edge_agent.live.setup import build_setup

    profile = profile_for(MODEL)
    return LiveProtocol(build_setup(model=MODEL, profile=profile), profile)


async def pacing(_port: int, seconds: float) -> tuple[float, int]:
    """Nothing but the beat."""
    return await paced(seconds, lambda: None), 0


PEERS: dict[str, Client] = {"pacing": pacing, "ours": ours, "asyncio": asyncio_client, "sdk": sdk}


def measure(peer: str, port: int, seconds: float) -> float:
    """Run one peer in a process of its own; return its CPU milliseconds per second of talk."""
    command = [sys.executable, __file__, "--client", peer, "--port", str(port), "--seconds", str(seconds)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 60, check=True)
    cpu, heard = run.stdout.split()
    least = 0.9 * seconds / MESSAGE_S * 1920
    if int(heard) < least and peer != "pacing":
        raise RuntimeError(f"{peer} heard {heard} bytes of at least {least:.0f}: the run does not count")
    return float(cpu) * 1000


def compare(peers: list[str], seconds: float, pairs: int) -> dict[str, list[float]]:
    """Measure all peers in turns; return the figures of each, one per round."""
    server = subprocess.Popen([sys.executable, __file__, "--serve"], stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        port = int(server.stdout.readline())
        figures: dict[str, list[float]] = {peer: [] for peer in peers}
        for _ in range(pairs):
            for peer in peers:
                figures[peer].append(measure(peer, port, seconds))
        return figures
    finally:
        server.terminate()
        server.wait(timeout=10)


def main() -> None:
    """Print one line per peer."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--peers", default="ours,asyncio,sdk,pacing")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--client", choices=list(PEERS), help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        asyncio.run(serve_forever())
    elif options.client:
        cpu, heard = asyncio.run(PEERS[options.client](options.port, options.seconds))
        print(cpu, heard)  # noqa: T201  read by the parent
    else:
        peers = options.peers.split(",")
        figures = compare(peers, options.seconds, options.pairs)
        print(f"CPU ms per second of talk, wire only, median of {options.pairs} (least to most)")  # noqa: T201
        for peer in peers:
            ratios = [ours / other for ours, other in zip(figures[peers[0]], figures[peer], strict=True)]
            own = figures[peer]
            print(  # noqa: T201
                f"{peer:10} {statistics.median(own):6.1f}  ({min(own):.1f} to {max(own):.1f})"
                f"   {peers[0]} / {peer}: {statistics.median(ratios):.2f}"
            )


if __name__ == "__main__":
    main()
