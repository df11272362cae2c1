"""Half an hour of talk in real time: the real daemon as a process of its own, over a line that fails; nothing grows.

Before anything is measured, an answer longer than the playback queue fills it and is broken off: its memory, touched
for the first time while answers go by, would look like growth for the first minutes.
"""

from __future__ import annotations

import asyncio
import os
import random
import ssl
import time
from pathlib import Path
from typing import Any

import pytest
from badline import BadLine
from harness import coded_noise
from soak.growth import Growth, Recent, entries, rss_mb

from edge_agent.audio.wavfile import write_wav
from edge_agent.bench.children import certificate
from edge_agent.bench.daemon import Daemon
from edge_agent.bench.service import KEY
from edge_agent.simulator import Limits, Rule, Say, Script, SyncTwin
from edge_agent.simulator.sound import tone

LASTS_S = float(os.environ.get("EDGE_AGENT_REAL_SOAK_S", "1800"))
SAMPLE_S = LASTS_S / 180
QUEUE_S = 120.0  # of sound is what the playback queue holds
REST = {"idle", "offline", "fault", "muted", "waiting-for-clock"}

pytestmark = [pytest.mark.slow, pytest.mark.soak, pytest.mark.timeout(LASTS_S + 240)]


class Talker:
    """Somebody who asks, in real time, and keeps asking."""

    def __init__(self, daemon: Daemon) -> None:
        self.daemon = daemon
        self.asked = self.answered = 0

    async def do(self, verb: str, **fields: Any) -> dict[str, Any]:
        """What `ctl` does."""
        return await asyncio.to_thread(self.daemon.call, verb, **fields)

    async def state(self) -> str:
        status = await self.do("status")
        return str(status["state"])

    async def fill_queue(self, twin: SyncTwin) -> None:
        """Let the longest answer there can be come, and break it off with a question."""
        twin.answer(Say("A long story.", sound=tone(QUEUE_S + 10.0), pace=30.0))
        await self.do("press")
        await asyncio.sleep(1.0)
        await self.do("release")
        until = time.monotonic() + 40.0
        queued_ms = 0.0
        while queued_ms < 1000 * (QUEUE_S - 5.0):
            assert time.monotonic() < until, f"the playback queue was never full: {queued_ms:.0f} ms"
            await asyncio.sleep(0.2)
            queued_ms = (await asyncio.to_thread(self.daemon.figures))["playback_queue_ms"]
        await self.question(1.0)

    async def question(self, seconds: float) -> None:
        """Hold the button, and wait for what comes of it."""
        self.asked += 1
        await self.do("press")
        await asyncio.sleep(seconds)
        await self.do("release")
        answered = False
        until = time.monotonic() + 40.0
        while time.monotonic() < until:
            state = await self.state()
            answered = answered or state == "speaking"
            if state in REST:
                break
            await asyncio.sleep(0.1)
        self.answered += answered


async def trouble(line: BadLine, twin: SyncTwin, draw: random.Random) -> None:
    """Every half minute something goes wrong."""
    while True:
        await asyncio.sleep(draw.uniform(15.0, 45.0))
        match draw.choice(("cut", "fin", "hole", "refused", "delay")):
            case "cut":
                line.cut()
            case "fin":
                line.cut(fin=True)
            case "hole":
                line.black_hole()
                await asyncio.sleep(draw.uniform(1.0, 6.0))
                line.heal()
            case "refused":
                twin.refuse(503)
                await asyncio.sleep(4.0)
                twin.refuse(None)
            case "delay":
                line.delay_s = 0.5
                await asyncio.sleep(10.0)
                line.delay_s = 0.0


def test_half_an_hour_of_talk_leaves_nothing_behind(tmp_path: Path) -> None:
    microphone = tmp_path / "mic.wav"
    write_wav(microphone, coded_noise(20.0, seed=5), 48_000)
    growth = Growth("soak-real", f"{LASTS_S / 60:.0f} minutes of talk in real time, the daemon alone", unit="minutes")
    script = Script(
        rules=(Rule(steps=(Say("Yes, that is so.", sound=tone(5.0)),)),), go_away_after_s=120.0, go_away_left_s=10.0
    )

    async def story() -> Talker:
        twin.twin.sessions = Recent()
        twin.twin._handles.KEPT = 16
        async with BadLine(twin.twin.port, secure=True) as line:
            settings: dict[str, dict[str, Any]] = {
                "live": {"url": line.url},
                "audio": {"input": f"wav:{microphone}?loop", "output": "null:", "mic_gain_db": 0.0},
                "panel": {"pins": "mock"},
                "conversation": {"idle_timeout_s": 5},
            }
            daemon = await asyncio.to_thread(Daemon, tmp_path / "d", settings, ca=ca)
            try:
                talker = Talker(daemon)
                await talker.fill_queue(twin)
                draw = random.Random(9)  # noqa: S311  repeatable, not secret
                beside = [
                    asyncio.create_task(trouble(line, twin, draw)),
                    asyncio.create_task(watch(daemon, growth)),
                ]
                until = time.monotonic() + LASTS_S
                while time.monotonic() < until:
                    for _ in range(draw.randint(1, 3)):
                        await talker.question(draw.uniform(1.0, 3.0))
                        await asyncio.sleep(draw.uniform(0.2, 2.0))
                    await asyncio.sleep(draw.uniform(1.0, 9.0))
                for task in beside:
                    task.cancel()
                await asyncio.wait(beside)
                for task in beside:
                    if not task.cancelled():
                        task.result()
            finally:
                code = await asyncio.to_thread(daemon.close)
            assert code == 0
            return talker

    ca, key = certificate(tmp_path)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(ca, key)
    with SyncTwin(script, key=KEY, tls=tls, limits=Limits(audio_s=5.0, marks=200, images=1)) as twin:
        talker = asyncio.run(story())
    growth.tell(f"{talker.asked} questions, {talker.answered} answered")
    growth.draw(
        [
            ("memory, MB", ["rss_mb"]),
            ("queues, ms", ["playback_queue_ms", "uplink_backlog_ms"]),
            ("threads, files", ["threads", "files"]),
        ]
    )
    assert talker.answered > 0.85 * talker.asked
    assert growth.of("rss_mb") < 1.0
    assert growth.of("threads") < 1
    assert growth.of("files") < 2
    assert max(growth.curves["uplink_backlog_ms"]) <= 15_100


async def watch(daemon: Daemon, growth: Growth) -> None:
    """Sample the daemon's process."""
    began = time.monotonic()
    pid = daemon._process.pid
    while True:
        await asyncio.sleep(SAMPLE_S)
        figures = await asyncio.to_thread(daemon.figures)
        growth.sample(
            (time.monotonic() - began) / 60,
            rss_mb=rss_mb(pid),
            threads=entries(f"/proc/{pid}/task"),
            files=entries(f"/proc/{pid}/fd"),
            playback_queue_ms=figures["playback_queue_ms"],
            uplink_backlog_ms=figures["uplink_backlog_ms"],
        )
