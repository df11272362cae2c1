"""Everything at once: a storm of fingers, commands and faults of the line, then quiet; the device must come through.

The storm is drawn from a seed; what the device makes of it depends on real time. The microphone holds coded noise, so
that every message the service got can be laid on the clock of the microphone, and held against the turns and mutes that
the device itself reported to its watchers.
"""

from __future__ import annotations

import asyncio
import base64
import gc
import logging
import random
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from harness import Device, coded_noise, find, pcm, s16

from edge_agent.simulator import Call, Drop, FunctionCall, Hang, Say, Script, SyncTwin, Text, Turn, Wait
from edge_agent.simulator.record import SessionRecord
from edge_agent.simulator.script import Complete, End, GoAway, Raw, Stall, Step

RATE = 16_000
MESSAGE = 640
SLACK_S = 0.12
"""Between the moment of an event and the sample it was decided by: two blocks, the filters, a busy machine."""

CLOSES = ("released", "tapped again", "too long", "muted", "slow line", "microphone lost", "the line did not come back")
"""How reports begin that end a turn; `conversation` reports do as well."""


class Weather:
    """What the service does: anything while it storms, its best afterwards."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)  # noqa: S311  a storm is no secret
        self.calm = False
        sound = coded_noise(1.2, seed=seed, rate=24_000)
        self.sound = (np.clip(sound[:, 0], -1, 1) * 32767).astype("<i2").tobytes()

    async def brain(self, _turn: Turn) -> AsyncIterator[Step]:
        """The steps of one answer."""
        if self.calm:
            yield Say(sound=self.sound, text="All is well.")
            return
        draw = self.random
        for _ in range(draw.randint(1, 3)):
            choices: list[Step] = [
                Say(sound=self.sound, pace=draw.choice([0.0, 0.6, 4.0])),
                Say(sound=self.sound, interrupt_after_s=0.3),
                Text("thinking", thought=True),
                Text("written only"),
                Wait(draw.uniform(0.05, 0.5)),
                Call((FunctionCall("set_volume", {"volume": draw.randint(0, 100)}),)),
                Call((FunctionCall("device_status", {}), FunctionCall("no_such_tool", {}))),
                Call((FunctionCall("look", {}),), wait=False, cancel_after_s=0.05),
                Call((FunctionCall("end_conversation", {}),)),
                Call((FunctionCall("device_status", {}, id="twice"), FunctionCall("device_status", {}, id="twice"))),
                Raw({"serverContent": {"modelTurn": {"parts": [{"inlineData": {"mimeType": "audio/pcm"}}]}}}),
                Raw({"serverContent": {"modelTurn": {"parts": [_media("audio/pcm;rate=22050", b"\1\0" * 900)]}}}),
                Raw({"serverContent": {"modelTurn": {"parts": [_media("audio/pcm", b"\1")]}}}),
                Raw(b"\xff not json {"),
                Raw({"serverContent": {"turnComplete": True, "interactionStatus": "IDLE"}}),
            ]
            yield draw.choice(choices)
        end: Step | None = draw.choice(
            [None, None, None, None, Complete(), Hang(), Drop(), End(1011), End(1000, ""), End(1007, "bad argument")]
        )
        if end is not None:
            yield end

    def gust(self, twin: SyncTwin) -> None:
        """Something of the service's own, whatever is being said."""
        draw = self.random
        match draw.randint(0, 6):
            case 0:
                twin.drop_connections()
            case 1:
                twin.refuse(draw.choice([429, 500, 503]))
            case 2 | 3:
                twin.refuse(None)
            case _:
                away = Raw({"goAway": {"timeLeft": "5s"}})
                steps: list[Step] = [GoAway(0.3), Stall(0.4), Raw("{}"), End(1008, "aborted"), away]
                twin.perform(draw.choice(steps))


def _media(mime: str, data: bytes) -> dict[str, Any]:
    return {"inlineData": {"mimeType": mime, "data": base64.b64encode(data).decode()}}


async def storm(device: Device, twin: SyncTwin, weather: Weather, seconds: float) -> None:
    """Fingers, commands and gusts for that long."""
    draw = weather.random
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        verb = draw.choices(
            ["press", "release", "tap", "mute", "unmute", "volume", "ask", "look", "end", "status", "gust", "edge"],
            [8, 8, 5, 1, 6, 1, 3, 2, 1, 1, 4, 4],
        )[0]
        match verb:
            case "volume":
                await device.ask("volume", volume=draw.randint(0, 100))
            case "ask":
                await device.try_to("ask", text=f"question {draw.randint(0, 99)}")
            case "look":
                await device.try_to("look")
            case "gust":
                await asyncio.to_thread(_quietly, weather.gust, twin)
            case "edge":
                device.agent.panel.drive_button(draw.random() < 0.5)
            case _:
                await device.ask(verb)
        await asyncio.sleep(draw.choice([0.0, 0.01, 0.05, 0.2, 0.5]))


def _quietly(gust: Any, twin: SyncTwin) -> None:
    try:
        gust(twin)
    except (LookupError, RuntimeError):
        return  # no session is open at the moment to do it in


async def comes_to_rest(device: Device) -> None:
    """Everybody leaves; the device is idle, and the next person is answered."""
    await device.release()
    await device.ask("unmute")
    await device.ask("volume", volume=70)
    await device.ask("end")
    await device.until(lambda status: status["state"] in {"idle", "offline", "fault"} and not status["turn_open"])
    line = device.agent.talk.machine._line
    # a quota that was told in the storm is waited for, ten seconds and a little, before anybody is connected
    await device.until(lambda status: line._not_before <= status["t"], within_s=20.0)
    if device.tree["mode"] == "kiosk":
        await device.hold(0.6)
    else:  # the noise never pauses: only the second tap tells the service that the person has finished
        await device.ask("tap")
        await device.until(state="listening")
        await asyncio.sleep(0.6)
        await device.ask("tap")
    await device.until(state="speaking")
    await device.until(state="idle")
    status = await device.ask("end")
    await device.until(state="idle", turn_open=False, connected=False, fault=None)
    assert status["state"] == "idle"


def reported(events: list[dict[str, Any]], to_capture: float) -> tuple[list[list[float]], list[list[float]]]:
    """Turns and mutes that the device told its watchers, on the clock of the microphone, seconds."""
    turns: list[list[float]] = []
    mutes: list[list[float]] = []
    for event in events:
        at = event.get("t", 0.0) + to_capture
        match event.get("event"):
            case "turn" if event["why"] == "opened":
                turns.append([at, float("inf")])
            case "turn" | "conversation":
                ends = event["event"] == "conversation" or event["why"].startswith((*CLOSES, "the service refused"))
                if ends and turns and turns[-1][1] == float("inf"):
                    turns[-1][1] = at
            case "mute":
                open_mute = bool(mutes) and mutes[-1][1] == float("inf")
                if event["muted"] and not open_mute:
                    mutes.append([at, float("inf")])
                elif open_mute and not event["muted"]:
                    mutes[-1][1] = at
    return turns, mutes


def heard(sessions: list[SessionRecord], microphone: np.ndarray) -> list[float]:
    """When, on the microphone's clock, each message that the service got was spoken, seconds."""
    times = []
    for session in sessions:
        sound = pcm(session.audio)
        expected: int | None = None
        for start in range(0, len(sound) - MESSAGE + 1, MESSAGE):
            piece = sound[start : start + MESSAGE]
            if float(np.abs(piece).max()) < 1e-3:
                expected = None
                continue
            at, score = -1, 0.0
            if expected is not None and expected + MESSAGE + 64 <= len(microphone):
                low = max(0, expected - 32)
                at, score = find(piece, microphone[low : expected + MESSAGE + 32])
                at += low
            if score < 0.8:
                at, score = find(piece, microphone)
            if score > 0.8:  # a message over the seam of two turns is found with the next one
                times.append(at / RATE)
                expected = at + MESSAGE
    return times


def open_files() -> int:
    """How many files and sockets this process holds."""
    return len(list(Path("/proc/self/fd").iterdir()))


def run_storm(tmp_path: Path, seed: int, seconds: float, mode: str) -> None:
    """One storm and its aftermath."""
    gc.collect()
    open_before = open_files()
    weather = Weather(seed)
    voice = coded_noise(seconds + 30.0, seed=seed + 1)
    stills = Path(__file__).parents[2] / "edge_agent" / "demo" / "stills"
    with SyncTwin(Script(rules=(), brain=weather.brain, late_tail=2)) as twin:

        async def story() -> tuple[list[dict[str, Any]], float]:
            device = Device(
                tmp_path,
                twin,
                microphone=voice,
                mode=mode,
                audio={"cues": True, "echo": "off"},
                camera={"source": f"files:{stills}", "when": "ask"},
                conversation={"idle_timeout_s": 3.0, "max_turn_s": 4.0, "answer_timeout_s": 3.0},
            )
            async with device:
                status = await device.status()
                to_capture = status["capture_s"] - status["t"]
                await storm(device, twin, weather, seconds)
                weather.calm = True
                twin.refuse(None)
                await comes_to_rest(device)
                begin = time.monotonic()
                assert await device.quit() == 0
                assert time.monotonic() - begin < 5.0
            left = asyncio.all_tasks() - {asyncio.current_task()}
            assert not left, f"tasks outlive the device: {left}"
            return device.events, to_capture

        events, to_capture = asyncio.run(story())
        sessions = list(twin.sessions)
    gc.collect()
    assert open_files() <= open_before + 1, "files or sockets were left open"
    violations = [(session.number, session.violations) for session in sessions if session.violations]
    assert not violations
    turns, mutes = reported(events, to_capture)
    assert len(turns) >= max(2, seconds // 10), "it was no storm"
    times = heard(sessions, pcm(s16(voice, rate=48_000, to_rate=RATE)))
    assert times
    for at in times:
        end = at + MESSAGE / RATE
        assert any(start - 0.5 - SLACK_S <= at and end <= stop + SLACK_S for start, stop in turns), (
            f"sound of {at:.3f} s reached the service, outside every turn {turns}"
        )
        assert not any(start + SLACK_S < at and end < stop - SLACK_S for start, stop in mutes), (
            f"sound of {at:.3f} s reached the service though the device was muted {mutes}"
        )


@pytest.mark.parametrize(("seed", "mode"), [(1, "kiosk"), (2, "speaker")])
def test_a_storm_of_fingers_and_faults_leaves_a_device_that_answers(
    tmp_path: Path, seed: int, mode: str, caplog: pytest.LogCaptureFixture
) -> None:
    run_storm(tmp_path, seed, 4.0, mode)
    assert not [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]


@pytest.mark.slow
@pytest.mark.parametrize(("seed", "mode"), [(3, "kiosk"), (4, "speaker")])
def test_a_long_storm(tmp_path: Path, seed: int, mode: str, caplog: pytest.LogCaptureFixture) -> None:
    run_storm(tmp_path, seed, 45.0, mode)
    assert not [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]
