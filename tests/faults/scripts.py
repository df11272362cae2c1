"""Random scripts: whatever the service may send, in any order, while a person does what people do; and what must hold.

    failures = play_scripts(folder, seeds=range(50), mode="kiosk")      # [] or sentences that say what, where, when

One device plays many scripts, one after the other, in virtual time. A script is some ten moves: messages of the
service (sound, captions, ends, interruptions, tool calls, handles, farewells, nonsense), of the line (a cut), and of a
person (press, release, mute, text, end). Then the person lets go and the service falls silent. Held all the time:

- gate: the service hears nothing but in an open turn, and nothing at all while the device is muted;
- light: it says what the gate does;
- sound: after a flush nothing old is heard, only what came later;
- peace: within a bound of the service's silence the device rests, and afterwards it answers a question;
- manners: nothing is sent that the service would close the connection for, and nothing is logged as a defect.
"""

from __future__ import annotations

import asyncio
import base64
import logging
import random
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from harness import own_tools
from numpy.typing import NDArray
from virtual.device import VirtualDevice
from virtual.loop import run

from edge_agent.conversation.moves import REST
from edge_agent.simulator import (
    Call,
    Drop,
    End,
    FunctionCall,
    GoAway,
    Hang,
    Limits,
    Mark,
    Raw,
    Resumption,
    Rule,
    Say,
    Script,
    Step,
    Twin,
    When,
)
from edge_agent.simulator.sound import tone

TALKING = {"listening", "connecting", "thinking", "speaking", "degraded"}
LATE_S = 0.35  # a message written under one light may be on its way when the next is shown
FADE_S = 0.15  # block of 100 ms, fade, filter
CUE_S = 1.0  # the longest cue, and what the loudspeaker's ring holds
REST_S = 400.0  # longest time to rest: a thinking model may take two minutes, each rung of the ladder its share
MOVES = 10
QUIET = "the device is asked a question"

TOOLS = '''
"""Tools for random scripts."""

import asyncio


async def slow() -> str:
    """Take a second."""
    await asyncio.sleep(1.0)
    return "done"


async def never() -> str:
    """Never return."""
    await asyncio.Event().wait()
    return "done"


def broken() -> str:
    """Fail."""
    raise ValueError("no")
'''


def play_scripts(folder: Path, seeds: Iterable[int], *, mode: str = "kiosk") -> list[str]:
    """Play a script for each seed on one device; returns what went wrong."""
    own_tools(folder, TOOLS)

    async def story() -> list[str]:
        clock = asyncio.get_running_loop().time
        watch = _Watch()
        script = Script(
            rules=(Rule(when=When(text=QUIET), steps=(Say("Yes.", sound=tone(0.5)),)), Rule(steps=(Hang(),))),
            usage=False,
        )
        async with (
            Twin(script, clock=clock, limits=Limits(audio_s=1.0, marks=50, images=1), on_mark=watch.mark) as twin,
            VirtualDevice(folder, twin, keep_sound=False, keep_last=50, **_tables(mode)) as device,
        ):
            watch.begin(device)
            handler = _Defects(watch)
            logging.getLogger("edge_agent").addHandler(handler)
            try:
                for seed in seeds:
                    await _Play(seed, device, twin, watch).run()
                    if watch.failures:
                        break
            finally:
                logging.getLogger("edge_agent").removeHandler(handler)
        return watch.failures

    return run(story())


def _tables(mode: str) -> dict[str, Any]:
    return {
        "mode": "speaker" if mode == "speaker" else "kiosk",
        "live": {"message_ms": 100, "prewarm": mode == "prewarm"},
        "audio": {"block_ms": 100, "echo": "off"},
        "panel": {"button": "hook" if mode == "hook" else "button"},
        "tools": {"deadline_s": 3.0},
        "conversation": {"answer_timeout_s": 5.0, "max_turn_s": 8.0, "idle_timeout_s": 3.0},
    }


@dataclass
class _Watch:
    """Looks on, and notes what must not be."""

    failures: list[str] = field(default_factory=list)
    moves: list[str] = field(default_factory=list)
    device: VirtualDevice | None = None
    flushed_at: float = -1.0
    stopped: bool = False
    """A flush came, and nothing of an answer was queued since."""
    own_at: float = -1.0
    """When a sound of the device's own was last under way."""
    lights: list[tuple[float, str]] = field(default_factory=list)
    muted_at: float | None = None
    holes: int = 0
    """Black holes so far, earlier scripts included."""

    def begin(self, device: VirtualDevice) -> None:
        self.device = device
        talk, loop = device.agent.talk, device.loop
        engine = talk.engine

        play, cue, flush = engine.play, engine.cue, engine.flush

        def played(*args: Any, **kwargs: Any) -> float:
            self.stopped = False
            return play(*args, **kwargs)

        def cued(name: str) -> None:
            self.own_at = loop.time()
            cue(name)

        def flushed() -> None:
            self.stopped, self.flushed_at = True, loop.time()
            flush()

        engine.play, engine.cue, engine.flush = played, cued, flushed  # type: ignore[method-assign]
        take = device.air.take

        def taken(block: NDArray[np.int32]) -> None:
            take(block)
            self.block(block)

        device.air.take = taken  # type: ignore[method-assign]

    def fail(self, sentence: str) -> None:
        if self.failures:
            return  # the first is the one to look at
        now = self.device.now if self.device else 0.0
        self.failures.append(f"{now:.2f}: {sentence}; {' | '.join(self.moves)}")

    @property
    def _forgiven(self) -> tuple[str, ...]:
        """Faults of the script, not of the device: another one's handle, and words that came late out of a hole.

        A connection that was given up in a hole, also in an earlier script, may be open to the service for long.
        """
        late = ("cancelled call",) if "hole" in self.moves else ()
        return ("resumption handle not found", *late, *(("still open",) if self.holes else ()))

    def block(self, block: NDArray[np.int32]) -> None:
        """A block was played: is anything old in it, and do light and gate agree?"""
        device = self.device
        if device is None:
            return
        now = device.now
        if device.agent.talk.engine.prompt_ms:
            self.own_at = now
        if self.stopped and now - self.flushed_at > FADE_S and now - self.own_at > CUE_S and block.any():
            self.fail("something old is heard after a flush")
        machine, uplink = device.agent.talk.machine, device.agent.talk.uplink
        if machine.turn_open != uplink.turn_open:
            self.fail(f"the turn is {'open' if machine.turn_open else 'shut'} and the gate is not")
        if machine.light == "listening" and not uplink.turn_open:
            self.fail("the light says listening and the gate is shut")
        if machine.light in {"idle", "muted", "offline"} and uplink.turn_open:
            self.fail(f"the gate is open under the light {machine.light}")
        if machine.muted and uplink.turn_open:
            self.fail("a turn is open while muted")

    def mark(self, _: int, mark: Mark) -> None:
        """The service received or sent something."""
        device = self.device
        if device is None or mark.who != "client":
            return
        if mark.kind == "violation" and not any(words in mark.detail["reason"] for words in self._forgiven):
            self.fail(f"the service found fault: {mark.detail}")
        if mark.kind != "audio" or "hole" in self.moves:  # what fell into a hole comes out of it late
            return
        recent = [light for t, light in device.lights if t >= device.now - LATE_S]
        before = [light for t, light in device.lights if t < device.now - LATE_S][-1:]
        if not any(light in TALKING or light.startswith("healing") for light in (*before, *recent)):
            self.fail(f"sound passed under the light {device.lights[-1][1]}")
        if self.muted_at is not None and device.now - self.muted_at > LATE_S:
            self.fail("sound passed while muted")


class _Defects(logging.Handler):
    """Takes what the device calls a defect."""

    def __init__(self, watch: _Watch) -> None:
        super().__init__(logging.ERROR)
        self._watch = watch

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if record.exc_info or "defect" in text:
            self._watch.fail(f"logged: {text} {record.exc_info[1] if record.exc_info else ''}")


class _Play:
    """One script."""

    def __init__(self, seed: int, device: VirtualDevice, twin: Twin, watch: _Watch) -> None:
        self._random = random.Random(seed)  # noqa: S311  repeatable, not secret
        self._seed = seed
        self._device = device
        self._twin = twin
        self._watch = watch
        self._down = False

    async def run(self) -> None:
        watch, draw = self._watch, self._random
        watch.moves = [f"seed {self._seed}"]
        await self._person("press")
        for _ in range(draw.randint(2, 2 * MOVES)):
            move = draw.choices(("service", "person", "line"), (8, 3, 1))[0]
            await getattr(self, f"_{move}")()
            await asyncio.sleep(draw.choice((0.0, 0.0, 0.05, 0.3, 1.0, 2.5)))
            if watch.failures:
                return
        await self._peace()

    async def _service(self) -> None:
        steps = message(self._random)
        self._watch.moves.append(", ".join(_named(step) for step in steps))
        await self._twin.perform(*steps)

    async def _line(self) -> None:
        what = self._random.choice(("cut", "fin", "hole", "end"))
        self._watch.moves.append(what)
        network = self._device.network
        match what:
            case "hole":
                self._watch.holes += 1
                network.black_hole()
                asyncio.get_running_loop().call_later(self._random.choice((1.0, 4.0)), network.heal)
            case "end":
                await self._twin.perform(End(self._random.choice((1000, 1008, 1011)), "The operation was aborted."))
            case _:
                network.cut(fin=what == "fin")

    async def _person(self, what: str | None = None) -> None:
        device = self._device
        if what is None:
            what = self._random.choice(("press", "press", "tap", "mute", "ask", "end", "unmute"))
        if what == "press" and self._down:
            what = "release"
        self._watch.moves.append(what)
        match what:
            case "press":
                self._down = True
                await device.press()
            case "release":
                self._down = False
                await device.release()
            case "tap":
                await device.press()
                await device.release()
                self._down = False
            case "mute":
                self._watch.muted_at = device.now
                await device.do("mute")
            case "unmute":
                self._watch.muted_at = None
                await device.do("unmute")
            case "ask":
                await device.do("ask", text="hello")
            case "end":
                await device.do("end")

    async def _peace(self) -> None:
        """The person lets go, the service falls silent: the device rests, and then it is as good as new."""
        device, watch = self._device, self._watch
        if self._down:
            await self._person("release")
        if watch.muted_at is not None:
            await self._person("unmute")
        device.network.heal()
        watch.moves.append("silence")
        began = device.now
        while device.agent.talk.machine.state not in REST or device.agent.talk.machine.in_conversation:
            if device.now - began > REST_S:
                watch.fail(f"it does not come to rest: {device.status()} {device.agent.talk.machine.why}")
                return
            await asyncio.sleep(0.5)
        if self._seed % 5 == 0:
            await self._still_works()

    async def _still_works(self) -> None:
        device, watch = self._device, self._watch
        watch.moves.append("a question")
        await device.do("ask", text=QUIET)
        began = device.now
        while device.state != "speaking":
            if device.now - began > 60.0:
                watch.fail(f"it does not answer any more: {device.status()}")
                return
            await asyncio.sleep(0.1)
        await device.do("end")
        await asyncio.sleep(0.5)


def _sound(ms: int) -> dict[str, Any]:
    data = base64.b64encode(tone(ms / 1000)).decode()
    return {
        "modelTurn": {"role": "model", "parts": [{"inlineData": {"mimeType": "audio/pcm;rate=24000", "data": data}}]}
    }


def message(draw: random.Random) -> tuple[Step, ...]:
    """Return one thing that a service may send, usual or not."""

    def content(**fields: Any) -> tuple[Step, ...]:
        return (Raw({"serverContent": fields}),)

    def sound() -> tuple[Step, ...]:
        return content(**_sound(draw.choice((0, 40, 200, 1000, 4000))))

    def sounds() -> tuple[Step, ...]:
        return tuple(step for _ in range(3) for step in sound())

    def whole() -> tuple[Step, ...]:
        return (*sounds(), *content(generationComplete=True), *content(turnComplete=True))

    def call() -> tuple[Step, ...]:
        names = draw.sample(("slow", "never", "broken", "nobody knows this", "end_conversation"), draw.randint(1, 2))
        cancel = draw.choice((None, None, 0.2, 2.0))
        return (Call(tuple(FunctionCall(name) for name in names), wait=False, cancel_after_s=cancel),)

    def nonsense() -> tuple[Step, ...]:
        return (
            Raw(
                draw.choice(
                    (
                        "{",
                        "[]",
                        "null",
                        b"\xff\xfe",
                        '{"serverContent":7}',
                        '{"serverContent":{"modelTurn":{"parts":[{"inlineData":{"data":"*"}}]}}}',
                        '{"serverContent":{"modelTurn":{"parts":[{"inlineData":{"mimeType":"audio/pcm;rate=7","data":"AAA="}}]}}}',
                        '{"toolCall":{"functionCalls":[{"id":"","name":""}]}}',
                        '{"setupComplete":{}}',
                        '{"goAway":{"timeLeft":"soon"}}',
                        '{"sessionResumptionUpdate":{"newHandle":"of somebody else","resumable":true}}',
                        '{"neverHeardOf":{"a":[1,2,3]}}',
                    )
                )
            ),
        )

    tellings = (
        sound,
        sounds,
        whole,
        whole,
        call,
        nonsense,
        lambda: content(turnComplete=True),
        lambda: content(turnComplete=True, interactionStatus=draw.choice(("IDLE", "IN_PROGRESS"))),
        lambda: content(generationComplete=True),
        lambda: content(interrupted=True),
        lambda: content(interrupted=True, turnComplete=True),
        lambda: content(outputTranscription={"text": "so"}),
        lambda: content(inputTranscription={"text": "hm"}),
        lambda: content(modelTurn={"parts": [{"text": "thinking", "thought": True}]}),
        lambda: (Raw({"toolCallCancellation": {"ids": ["nobody"]}}),),
        lambda: (Raw({"usageMetadata": {"totalTokenCount": 5}}),),
        lambda: (Resumption(resumable=draw.random() < 0.7),),
        lambda: (GoAway(draw.choice((0.0, 1.0, 5.0, 60.0)), close=draw.random() < 0.7),),
        lambda: (Drop(),),
    )
    return draw.choice(tellings)()


def _named(step: Step) -> str:
    return repr(step)[:160] if "inlineData" not in repr(step) else "sound"
