"""A whole device in virtual time: the real agent, the real connection, the real twin; devices of sound are of air.

    async def story() -> None:
        async with Twin(Script(), clock=asyncio.get_running_loop().time) as twin, VirtualDevice(folder, twin) as device:
            said = await device.ask_aloud(3.0)          # press, speak, release
            await device.until(state="speaking")
            device.lights, device.cues, device.prompts  # what the person saw and heard, with times

    run(story())

Faked are the two sound devices (`sound.Air`), the TCP line between device and twin (`wire.Network`), and time
(`loop.VirtualLoop`); nothing else. The button is pressed where `ctl press` presses it.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar
from unittest import mock

from harness import KEY
from virtual.loop import network, running
from virtual.sound import Air, Utterance
from virtual.wire import Network

from edge_agent import config as settings
from edge_agent.agent import Agent
from edge_agent.simulator import SessionRecord, Twin
from edge_agent.vision.photographer import _Worker

LOOK_S = 0.01
SOCKET_PATH_MOST = 100
BEFORE_PRESS_S = 0.3  # people begin to speak before their finger is down; the pre-roll is 0.5 s
AFTER_SPEECH_S = 0.2  # and let go a little after the last syllable

T = TypeVar("T")


class VirtualDevice:
    """One running agent; `tables` are of the configuration, laid over a quiet kiosk.

    Args:
        folder: for the key, the state and the control socket.
        twin: the service; None: an address where nobody listens.
        keep_sound: keep what the loudspeaker plays.
        keep_last: keep only so many of the newest events, lights, cues and prompts; None: all.
        ssl_context: whom to trust where the twin speaks TLS.
        air: what is between the device and the people, such as `room.RoomAir`; None: nothing, no echo.
    """

    def __init__(
        self,
        folder: Path,
        twin: Twin | None,
        *,
        keep_sound: bool = True,
        keep_last: int | None = None,
        ssl_context: ssl.SSLContext | None = None,
        air: Air | None = None,
        **tables: Any,
    ) -> None:
        self._patches = contextlib.ExitStack()
        folder.mkdir(parents=True, exist_ok=True)
        key = folder / "key"
        if not key.exists():
            key.write_text(KEY)
            key.chmod(0o600)
            if twin is not None and twin.key == "test-key":
                twin.key = KEY
        tree: dict[str, Any] = {
            "mode": "kiosk",
            "live": {"url": twin.url if twin else "ws://127.0.0.1:9", "credential": f"file:{key}"},
            "audio": {
                "input": "silence:",
                "output": "null:",
                "mic_gain_db": 0.0,
                "mic_channel": "left",
                "volume": 100,
                "echo": "off",  # people say noise, and nothing comes back, unless `air` is a room
            },
            "conversation": {"voice_detector": "service"},  # noise is no speech to a detector
            "panel": {"pins": "none"},
            "tools": {"folder": str(folder / "tools")},
            "control": {"socket": str(self._socket(folder))},
        }
        for name, table in tables.items():
            tree[name] = {**tree.get(name, {}), **table} if isinstance(table, dict) else table
        self.tree = tree
        self.air = air or Air(keep=keep_sound)
        self.events: list[dict[str, Any]] = []
        """All watch events so far."""
        self.lights: list[tuple[float, str]] = []
        """Every light that was shown, with its time."""
        self.cues: list[tuple[float, str]] = []
        """Every short sound, with its time."""
        self.prompts: list[tuple[float, str]] = []
        """Every sentence of the device's own, with its time."""
        self._keep_last = keep_last
        self._ssl_context = ssl_context

    def _socket(self, folder: Path) -> Path:
        """Return a path that the kernel takes for a socket's: at most 107 bytes."""
        near = folder / "c.sock"
        if len(str(near)) < SOCKET_PATH_MOST:
            return near
        return Path(self._patches.enter_context(tempfile.TemporaryDirectory(prefix="device-"))) / "c.sock"

    async def __aenter__(self) -> Self:
        try:
            return await self._entered()
        except BaseException:
            self._patches.close()  # else the next test would run in this one's clothes
            raise

    async def _entered(self) -> Self:
        self.loop = asyncio.get_running_loop()
        self._patches.enter_context(mock.patch("edge_agent.agent.agent.Sound", self.air.sound))
        self._patches.enter_context(mock.patch.object(Agent, "_leave", self._left))
        self._patches.enter_context(mock.patch.object(_Worker, "submit", _submitted))
        self._patches.enter_context(self.network.as_kernel())
        self.agent = Agent(settings.parse(self.tree, source="test"), ssl_context=self._ssl_context)
        self._run = asyncio.create_task(self.agent.run())
        cue = self.agent.talk.engine.cue

        def noted(name: str) -> None:
            self._keep(self.cues, (self.loop.time(), name))
            cue(name)

        self.agent.talk.engine.cue = noted  # type: ignore[method-assign]
        self.agent._reports.to = self._note
        await self._until(lambda: self._run.done() or self.state != "starting", 10.0)
        if self._run.done():
            self._run.result()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._patches:
            self.network.heal()
            self.agent.stop()
            code = await asyncio.wait_for(self._run, 10.0)
            assert code == 0, f"the agent ended with {code}"

    @property
    def network(self) -> Network:
        """The line to the service."""
        return network()

    @property
    def state(self) -> str:
        """The state as `ctl status` shows it."""
        return self.agent.talk.machine.shown_state

    @property
    def now(self) -> float:
        """The time, seconds."""
        return self.loop.time()

    def status(self) -> dict[str, Any]:
        """What `ctl status` shows."""
        return self.agent.status()

    async def do(self, verb: str, **parameters: Any) -> dict[str, Any]:
        """What `ctl` does."""
        return await self.agent.commands.do({"do": verb, **parameters})

    async def press(self) -> None:
        """The finger goes down."""
        await self.do("press")

    async def release(self) -> None:
        """The finger comes up."""
        await self.do("release")

    async def tap(self) -> None:
        """Press shortly."""
        await self.press()
        await asyncio.sleep(0.1)
        await self.release()

    async def ask_aloud(self, seconds: float = 2.0) -> Utterance:
        """Hold the button and speak: the first syllable before the finger is down, the finger up after the last."""
        said = await self.begin_to_ask(seconds)
        await asyncio.sleep(max(0.0, said.ends + AFTER_SPEECH_S - self.now))
        await self.release()
        return said

    async def begin_to_ask(self, seconds: float = 2.0) -> Utterance:
        """Begin to speak, and press."""
        said = self.air.say(seconds)
        await asyncio.sleep(BEFORE_PRESS_S)
        await self.press()
        return said

    async def ask(self, seconds: float = 2.0) -> Utterance:
        """Ask something aloud: with the button held, or into the open microphone, which is opened first."""
        if self.tree["mode"] != "speaker":
            return await self.ask_aloud(seconds)
        if not self.agent.talk.machine.turn_open:
            await self.tap()
            await self.until(state="listening")
        return await self.say_aloud(seconds)

    async def say_aloud(self, seconds: float = 2.0) -> Utterance:
        """Speak into an open microphone, and wait until it is said."""
        said = self.air.say(seconds)
        await asyncio.sleep(seconds)
        return said

    async def until(
        self, condition: Callable[[dict[str, Any]], bool] | None = None, within_s: float = 30.0, **wanted: Any
    ) -> float:
        """Wait for a status; returns how long that took, seconds."""
        began = self.now

        def holds() -> bool:
            status = self.status()
            return all(status[key] == value for key, value in wanted.items()) and (
                condition is None or condition(status)
            )

        await self._until(holds, within_s, lambda: f"never saw {wanted or condition}; now {self.status()}")
        return self.now - began

    async def event(self, event: str, within_s: float = 30.0, **wanted: Any) -> dict[str, Any]:
        """Wait for a watch event, also a past one."""

        def found() -> dict[str, Any] | None:
            for one in self.events:
                if one["event"] == event and all(one.get(key) == value for key, value in wanted.items()):
                    return one
            return None

        await self._until(lambda: found() is not None, within_s, lambda: f"never heard of {event} {wanted}")
        one = found()
        assert one is not None
        return one

    def told(self, sessions: Iterable[SessionRecord]) -> str:
        """What happened lately, a line for each event: the device's, and what the service saw in these sessions."""
        lines = [
            (event["t"], " ".join(f"{key}={value}" for key, value in event.items() if key not in {"t", "audio_s"}))
            for event in self.events
            if event["event"] not in {"level", "latency"}
        ]
        for record in sessions:
            said = [mark for mark in record.marks if mark.kind != "audio"]
            lines += [(mark.t, f"    {record.number} {mark.who} {mark.kind} {mark.detail or ''}") for mark in said]
        return "\n".join(f"{t:9.2f} {what[:160]}" for t, what in sorted(lines)[-70:])

    async def _until(
        self, condition: Callable[[], bool], within_s: float, complaint: Callable[[], str] = lambda: "waited in vain"
    ) -> None:
        end = self.now + within_s
        while not condition():
            assert self.now < end, complaint()
            await asyncio.sleep(LOOK_S)

    def _left(self, code: int) -> None:
        """The agent would have left the process at once, because something hangs."""
        raise AssertionError(f"the agent could not end in good order and left with {code}")

    def _note(self, event: dict[str, Any]) -> None:
        match event["event"]:
            case "light":
                self._keep(self.lights, (event["t"], event["light"]))
            case "prompt":
                self._keep(self.prompts, (event["t"], event["name"]))
        self._keep(self.events, event)

    def _keep(self, kept: list[T], one: T) -> None:
        kept.append(one)
        if self._keep_last is not None:
            del kept[: -self._keep_last]


_submit = _Worker.submit


def _submitted(worker: _Worker, job: Callable[[], Any]) -> asyncio.Future[Any]:
    """Give the camera's thread a job; time stands still until it is done."""
    return running().stand_still(_submit(worker, job))
