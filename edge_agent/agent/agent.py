"""One device's life: starts its parts, watches over them, takes commands, and ends them.

`run` ends with exit code 0 after SIGTERM or SIGINT, within 5 s. A sound library that hangs, or a name server that does
not answer, cannot be ended from inside: then the process leaves at once. SIGHUP reads the configuration again.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import ssl
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from edge_agent import config as settings
from edge_agent import prompts
from edge_agent.agent import wishes
from edge_agent.agent.alarms import EARLIEST, Alarms
from edge_agent.agent.board import Board
from edge_agent.agent.commands import Commands
from edge_agent.agent.ears import open_wake
from edge_agent.agent.figures import sample_figures
from edge_agent.agent.flight import Flight, RecordedFlight
from edge_agent.agent.helpers import Helpers
from edge_agent.agent.loudness import Loudness
from edge_agent.agent.memory import Memory
from edge_agent.agent.pulse import Pulse
from edge_agent.agent.reports import Reports
from edge_agent.agent.silence import Silence
from edge_agent.agent.talk import Talk
from edge_agent.agent.wording import wording
from edge_agent.audio.sound import Sound
from edge_agent.config import Config
from edge_agent.conversation import events as ev
from edge_agent.conversation.moves import BUSY
from edge_agent.errors import EXIT_OK, ConfigError, Fault, Stop
from edge_agent.panel.button import Button
from edge_agent.panel.contact import Edge
from edge_agent.panel.light import Light, load_patterns
from edge_agent.panel.pins import Panel
from edge_agent.service.captions import Captions
from edge_agent.service.control import ControlServer
from edge_agent.service.metrics import Metrics
from edge_agent.service.network import NetworkWatch
from edge_agent.service.notify import Notifier
from edge_agent.service.state import StateFile
from edge_agent.tools.builtin import device_tools
from edge_agent.tools.mcp import McpTools
from edge_agent.wake import WakeDetector

log = logging.getLogger("edge_agent")

CHECK_S = 1.0  # how often what must be looked after is
START_S = 5.0  # devices that need longer to open are reported when they do
FIRST_BLOCK_S = 0.01  # between two looks for the first block
STOP_S = 2.0  # of the five seconds in which the daemon must end, what the sound thread gets
TALK_S = 2.5  # what line, camera and tools get; the line's own limit is 2 s
END_S = 4.5  # of them, when threads are left alone that look up a name, read a file or speak a sentence

_WHEN = {"now": "now", "connection": "at the next connection", "restart": "at the next restart"}


class Agent:
    """One device; build it inside a running loop.

    `config_path` is read again on SIGHUP; `ssl_context` stands in for the system's trust store.

    Raises:
        ConfigError: a setting cannot be used.
    """

    def __init__(
        self, config: Config, *, config_path: Path | None = None, ssl_context: ssl.SSLContext | None = None
    ) -> None:
        self.metrics = Metrics()
        self.sound: Sound | None = None
        self._loop = asyncio.get_running_loop()
        self._config_path = config_path
        self._notifier = Notifier()
        self.memory = Memory(StateFile(), faults=lambda: self.talk.machine.faults, tell=self._tell)
        config = self.config = self._calibrated(config)
        self.flight = (
            RecordedFlight(config.recorder, metrics=self.metrics, clock=self._loop.time)
            if config.recorder.folder
            else Flight()
        )
        self._captions = Captions(Path(config.captions.file) if config.captions.file else None)
        self._reports = Reports(
            self.metrics,
            self._captions,
            clock=self._loop.time,
            audio_s=lambda: self.sound.audio_s if self.sound else 0.0,
            told=self.flight.told,
        )
        self.talk = Talk(
            lambda: self.config,
            metrics=self.metrics,
            reports=self._reports,
            captions=self._captions,
            memory=self.memory,
            volume=config.audio.volume,
            show=self._show,
            on_state=self._state_changed,
            flight=self.flight,
            ssl_context=ssl_context,
        )
        talk = self.talk
        self.silence = Silence(
            self.memory, set_mute=talk.engine.set_mute, tell=talk.muted, publish=self._reports.publish
        )
        talk.wording = lambda prompt: wording(prompt, self.config, muted_by=self.silence.muted_by)
        self.loudness = Loudness(
            lambda: self.config,
            self.memory,
            engine=talk.engine,
            publish=self._reports.publish,
            clock_is_set=self._clock_is_set,
            may_tick=lambda: not talk.machine.turn_open,
        )
        self.board = Board(
            config.panel,
            silence=self.silence,
            tell=self._tell,
            on_level=self._level,
            on_step=self.loudness.step,
            loop=self._loop,
        )
        self.alarms = Alarms(
            lambda: self.config,
            self.memory.file,
            engine=self.talk.engine,
            louder=lambda on: self.loudness.ring(on=on),
            tell=self.talk.tell,
            save=self.memory.save,
            publish=self._reports.publish,
            clock_is_set=self._clock_is_set,
        )
        self.talk.on_ring = lambda on: self.alarms.ring(on=on)
        self._mcp = McpTools(config.mcp, deadline_s=config.tools.deadline_s)
        self._network = NetworkWatch(self._network_changed)
        household = config.mode == "speaker"  # strangers one after the other should leave no timers, nor a deaf device
        talk.on_left = self.loudness.left
        self.talk.link.opening.offer(
            device_tools(
                self,
                camera=config.camera.source != "off",
                mute=self._mute_by_model if household and config.panel.pins != "none" else None,
                unmuting="lifting its handset anew" if config.panel.button == "hook" else "pressing its button",
                timers=self.alarms if household else None,
            ),
            mcp=self._mcp.tools,
        )
        self.button = Button(debounce_ms=config.panel.debounce_ms, on_edge=self._edge, loop=self._loop)
        self.commands = Commands(self)
        self._wake: WakeDetector | None = None
        self._light: Light | None = None
        self._control: ControlServer | None = None
        self._stop = asyncio.Event()
        self._last_state = ""
        self._watching = self._found_down = False
        self._next_check: asyncio.TimerHandle | None = None
        self._pulse = Pulse(
            faults=lambda: self.talk.machine.faults,
            tell=self._tell,
            alive=self._notifier.watchdog,
            leave=self._leave,
        )
        self._helpers = Helpers()
        self._loop.set_default_executor(self._helpers)

    async def run(self) -> int:
        """Run until a signal; return the exit code.

        Raises:
            ConfigError: a setting cannot be used; what had been started has been stopped again.
        """
        for name in (signal.SIGTERM, signal.SIGINT):
            self._loop.add_signal_handler(name, self._stop.set)
        self._loop.add_signal_handler(signal.SIGHUP, self._reload)
        try:
            await self._start()
            await self._stop.wait()
        finally:
            await self._end()
        return EXIT_OK

    def stop(self) -> None:
        """End `run`, as SIGTERM does."""
        self._stop.set()

    # Life.

    async def _start(self) -> None:
        sys.setswitchinterval(0.001)  # the sound thread waits at most this long for the interpreter
        self.talk.link.opening.read_persona()
        await asyncio.to_thread(prompts.load, self.config.conversation.prompts, self.config.prompts_folder)
        patterns = load_patterns(self.config.panel.patterns)
        self._control = ControlServer(
            Path(self.config.control.socket), self.commands.do, watch=self._present, on_watchers=self._watched
        )
        await self._control.start()
        self.talk.engine.levels(self.flight.records)
        self.board.open()
        self._light = Light(self.panel, patterns, self._loop)
        self._light.show("starting")
        talk = self.talk
        sample_figures(
            self.metrics,
            talk=talk,
            sound=lambda: self.sound,
            volume=lambda: self.loudness.volume,
            block_ms=self.config.audio.block_ms,
        )
        await self._mcp.start()
        self._wake = await asyncio.to_thread(open_wake, self.config)
        talk.engine.listen_for(self._wake)
        self.sound = talk.sound = Sound(
            input=self.config.audio.input,
            output=self.config.audio.output,
            block_ms=self.config.audio.block_ms,
            engine=talk.engine,
            on_events=lambda events: self._from_thread(talk.heard, events),
            on_wake=lambda: self._from_thread(talk.pump),
            on_failure=lambda error: self._from_thread(talk.speaker.failed, error),
            on_recovery=lambda fault: self._from_thread(talk.tell, ev.FaultCleared(fault)),
        )
        self.sound.start()
        await self._first_block()
        talk.tell(ev.Ready())
        talk.link.spending.second()  # what was used up before a restart is still used up
        self.alarms.start()
        self._network.start()
        self._watching = True
        self._found_down = self.panel.down()
        self.button.watch(self.panel)
        self._notifier.ready(f"{self.config.mode}: {talk.machine.shown_state}")
        self._next_check = self._loop.call_later(CHECK_S, self._check)

    async def _first_block(self) -> None:
        """Wait until sound flows, or a device has said why it does not; no longer than `START_S`."""
        until = self._loop.time() + START_S
        while self.sound is not None and not self.sound.capture_s and self._loop.time() < until:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), FIRST_BLOCK_S)
                return

    async def _end(self) -> None:
        until = self._loop.time() + END_S
        self._notifier.stopping()
        if self._next_check is not None:
            self._next_check.cancel()  # from here on the sound thread may rest
        self.button.close()
        if self._light is not None:
            self._light.close()
        await self._network.close()
        await self.alarms.close()
        talk_ended = await self._end_talk()
        if self._control is not None:
            await self._control.close()
        self.board.close()
        await self.memory.close()
        if self.sound is not None and not await asyncio.to_thread(self.sound.stop, STOP_S):
            log.error("the sound library hangs; leaving without it")
            self._leave(EXIT_OK)
        if self._wake is not None:
            self._wake.close()
        if not (talk_ended and await self._helpers.finished(until - self._loop.time())):
            log.warning("a tool, a name server, a file or the voice does not come to an end; leaving without it")
            self._leave(EXIT_OK)

    async def _end_talk(self) -> bool:
        """Close line, camera and tools; False if one of them does not let itself be ended."""
        try:
            async with asyncio.timeout(TALK_S):
                await asyncio.gather(self.talk.close(), self._mcp.close())
        except TimeoutError:
            return False
        return True

    def _check(self) -> None:
        """Once a second, whatever must be looked after."""
        self._next_check = self._loop.call_later(CHECK_S, self._check)
        if self.talk.machine.state in BUSY:
            self.metrics.count("talk_seconds", CHECK_S)
        self.talk.link.spending.second()
        self.flight.second()
        self.board.second()
        self.loudness.second()
        if self.sound is not None:
            self._pulse.look(self.sound, self._loop.time())

    def _leave(self, code: int) -> None:
        """A library call that never returns cannot be ended from inside: leave the process at once."""
        logging.shutdown()
        os._exit(code)

    def _reload(self) -> None:
        if self._config_path is None:
            log.info("nothing to reload: the configuration did not come from a file")
            return
        try:
            fresh = self._calibrated(settings.load(self._config_path))
            wishes.check(fresh, self._config_path)
        except ConfigError as error:
            log.warning("not reloaded: %s", error)
            return
        for entry in settings.changes(self.config, fresh):
            log.info("%s = %r takes effect %s", entry.key, entry.shown, _WHEN[entry.effect])
        self.config = settings.adopt(self.config, fresh)
        self._captions.path = Path(self.config.captions.file) if self.config.captions.file else None
        self.button.set_debounce(self.config.panel.debounce_ms)
        self._mcp.replace(self.config.mcp)
        self.loudness.reload()
        self.talk.reload()

    def _calibrated(self, config: Config) -> Config:
        """Return a configuration with what was measured in place of what it leaves open."""
        calibration = self.memory.calibration(config.audio)
        return config if calibration is None else replace(config, audio=calibration.over(config.audio))

    def _tell(self, event: ev.Event) -> None:
        self.talk.tell(event)

    def _network_changed(self, connected: bool) -> None:
        log.info("the network is %s", "there" if connected else "gone")
        if connected:
            self.talk.tell(ev.NetworkBack())

    def _clock_is_set(self) -> bool:
        return time.time() >= EARLIEST and Fault.CLOCK not in self.talk.machine.faults

    # Panel.

    @property
    def panel(self) -> Panel:
        """Button and light."""
        return self.board.panel

    def _level(self, down: bool, at: float) -> None:
        """Take a pin's level, from any thread; until the device is ready it is not followed, and then read."""
        if self._watching:
            self.button.level(down, at)

    def _edge(self, edge: Edge) -> None:
        self.flight.button(down=edge.down)
        if not edge.down:
            self._found_down = False
            self.talk.release(edge.t)
        elif self._found_down:
            self.talk.press(edge.t)  # jammed, or lifted before the start: nobody has asked now to be heard
        else:
            self.press(edge.t)

    def _show(self, light: str) -> None:
        if self._light is not None:
            self._light.show(light)

    def _state_changed(self) -> None:
        machine = self.talk.machine
        if machine.shown_state != self._last_state:
            self._last_state = machine.shown_state
            self._reports.publish("state", state=self._last_state, why=machine.why, turn_open=machine.turn_open)
            self._notifier.status(f"{self.config.mode}: {self._last_state}")

    def press(self, at: float) -> None:
        """Somebody pressed the button, or lifted the handset, at `at` on the loop's clock.

        What the model has muted is unmuted. That is all such a press does, unless it lifts a handset: whoever holds one
        is heard at once. Like every press it first of all stops an alarm.
        """
        hook = self.config.panel.button == "hook"
        undone = (hook or not self.talk.machine.ringing) and self.silence.pressed()
        if undone and not hook:
            self.talk.say("unmuted")
        else:
            self.talk.press(at)

    # What the model and `ctl` may do to the device.

    def _mute_by_model(self) -> None:
        if not self.board.pressable:
            raise Stop("The button of this device does not work, so that nobody here could undo it: it stays as it is.")
        self.silence.mute("model")

    def set_volume(self, volume: int) -> str:
        """Set the loudness, 0 to 100, and remember it; return a sentence where it has become another."""
        return self.loudness.set(volume, by="tool").note

    async def record(self) -> str:
        """Write what the flight recorder holds; return the file.

        Raises:
            Stop: it is switched off, or the file could not be written.
        """
        path = await self.flight.write("asked for")
        if path is None:
            raise Stop("The flight recorder could not write its file; the log says why.")
        return str(path)

    def end_conversation(self) -> None:
        """End the conversation once the present answer has been played."""
        self.talk.end_after_answer()

    async def look(self) -> None:
        """Send a picture that was taken inside a turn."""
        await self.talk.eyes.look()

    def status(self) -> dict[str, Any]:
        """Return what `ctl status` shows."""
        machine, sound = self.talk.machine, self.sound
        fault = machine.fault
        return {
            "state": machine.shown_state,
            "why": machine.why if fault is None else machine.faults[fault],
            "mode": self.config.mode,
            "muted": self.silence.muted,
            "muted_by": self.silence.muted_by,
            "light": machine.light,
            "lit": list(self.panel.lit()),
            "turn_open": machine.turn_open,
            "connected": machine.connected,
            "volume": self.loudness.volume,
            "echo": self.talk.ears.echo,
            "fault": None if fault is None else {"code": fault.value, "text": machine.faults[fault]},
            "t": self._loop.time(),
            "audio_s": 0.0 if sound is None else sound.audio_s,
            "capture_s": 0.0 if sound is None else sound.capture_s,
            "xruns": 0 if sound is None else sound.xruns,
        }

    # What is told about it.

    def _present(self) -> list[dict[str, Any]]:
        return [{"event": "status", **self.status()}]

    def _watched(self, count: int) -> None:
        self.talk.engine.levels(count > 0 or self.flight.records)
        self._reports.to = self._control.publish if self._control is not None and count else None

    def _from_thread(self, call: Callable[..., None], *args: Any) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has closed: nobody is left to tell
            self._loop.call_soon_threadsafe(call, *args)
