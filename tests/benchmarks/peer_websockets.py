"""A plain client of the wire benchmark: websockets' asyncio client with json and base64, as most programs do it."""

from __future__ import annotations

from edge_agent.bench import meter

BEGAN = meter.now()

# ruff: noqa: E402  the imports are part of what is measured
import asyncio
import base64
import contextlib
import json
import ssl

from websockets.asyncio.client import connect

IMPORTED = meter.since(BEGAN)

MODEL = "models/gemini-3.8-live"
PATH = "/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent"


async def talk(args: meter.Task) -> dict[str, float]:
    """Talk for `args.seconds` after the warm-up and return the figures."""
    count = meter.Meter(args.sound)
    context = ssl.create_default_context(cafile=str(args.ca))
    async with connect(args.url + PATH, ssl=context, additional_headers={"x-goog-api-key": args.key}) as line:
        await line.send(json.dumps({"setup": {"model": MODEL, "generationConfig": {"responseModalities": ["AUDIO"]}}}))
        await line.recv()
        story = {"turns": [{"role": "user", "parts": [{"text": "Tell me a long story."}]}], "turnComplete": True}
        await line.send(json.dumps({"clientContent": story}))

        async def speak() -> None:
            loop = asyncio.get_running_loop()
            due = loop.time()
            while True:
                data = base64.b64encode(count.chunk()).decode()
                blob = {"data": data, "mimeType": "audio/pcm;rate=16000"}
                await line.send(json.dumps({"realtimeInput": {"audio": blob}}))
                due += meter.MESSAGE_S
                await asyncio.sleep(due - loop.time())

        async def listen() -> None:
            async for frame in line:
                message = json.loads(frame)
                for part in message.get("serverContent", {}).get("modelTurn", {}).get("parts", ()):
                    if "inlineData" in part:
                        count.heard(len(base64.b64decode(part["inlineData"]["data"])))

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
    return figures


if __name__ == "__main__":
    meter.report(imported=IMPORTED, **asyncio.run(talk(meter.task())))
