"""The official SDK as a client of the wire benchmark: the same talk as `edge_agent.bench.wire_client`, by google-genai.

Written as the SDK's guide shows it: one task sends, one receives. `edge-agent bench` runs it.
"""

from __future__ import annotations

from edge_agent.bench import meter

BEGAN = meter.now()

# ruff: noqa: E402  the imports are part of what is measured
import asyncio
import contextlib
import ssl
import warnings

warnings.simplefilter("ignore")  # the SDK's own, about itself

from google import genai
from google.genai import types

IMPORTED = meter.since(BEGAN)

MODEL = "gemini-3.8-live"


async def talk(args: meter.Task) -> dict[str, float]:
    """Talk for `args.seconds` after the warm-up and return the figures."""
    count = meter.Meter(args.sound)
    options = types.HttpOptions(
        base_url=args.url.replace("wss", "https"),
        api_version="v1beta",
        async_client_args={"ssl": ssl.create_default_context(cafile=str(args.ca))},
    )
    client = genai.Client(api_key=args.key, http_options=options)
    config = types.LiveConnectConfig(response_modalities=[types.Modality.AUDIO])
    async with client.aio.live.connect(model=MODEL, config=config) as session:

        async def speak() -> None:
            loop = asyncio.get_running_loop()
            due = loop.time()
            while True:
                blob = types.Blob(data=count.chunk(), mime_type="audio/pcm;rate=16000")
                await session.send_realtime_input(audio=blob)
                due += meter.MESSAGE_S
                await asyncio.sleep(due - loop.time())

        async def listen() -> None:
            async for message in session.receive():
                content = message.server_content
                if content and content.model_turn:
                    for part in content.model_turn.parts or ():
                        if part.inline_data and part.inline_data.data:
                            count.heard(len(part.inline_data.data))

        story = types.Content(role="user", parts=[types.Part(text="Tell me a long story.")])
        await session.send_client_content(turns=story, turn_complete=True)
        tasks = [asyncio.create_task(speak()), asyncio.create_task(listen())]
        done, _ = await asyncio.wait(tasks, timeout=args.warm_up, return_when=asyncio.FIRST_COMPLETED)
        count.begin()
        if not done:
            done, _ = await asyncio.wait(tasks, timeout=args.seconds, return_when=asyncio.FIRST_COMPLETED)
        figures = count.end()
        for task in tasks:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
    await client.aio.aclose()
    return figures


if __name__ == "__main__":
    meter.report(imported=IMPORTED, **asyncio.run(talk(meter.task())))
