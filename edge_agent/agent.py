"""The daemon: builds all parts, introduces them to each other, and runs them. The only module that knows them all.

    sys.exit(asyncio.run(Agent(config).run()))

Everything decided is decided in `conversation`; everything heard or spoken passes `audio`; everything sent passes the
gate in `live.uplink`. What is left here is translation, in four directions:

    panel, control, sound, live  ->  events of the conversation         (`tell`)
    actions of the conversation  ->  panel, sound, live, camera         (`_do`)
    microphone sound             ->  gate -> socket                     (`_pump`)
    whatever happens             ->  watchers, metrics, log             (`_publish`)

`run` ends with exit code 0 after SIGTERM or SIGINT, within 5 s. A sound library that hangs cannot be joined; then the
process leaves at once, for systemd to start it anew.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import ssl
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from edge_agent import config as settings
from edge_agent import prompts
from edge_agent.audio.engine import AnswerEnded, AnswerStarted, Duplex, EngineEvent, Flushed, Underrun
from edge_agent.audio.levels import Level
from edge_agent.audio.ring import CaptureRing
from edge_agent.audio.sound import Sound
from edge_agent.config import Config
from edge_agent.conversation import actions as do
from edge_agent.conversation import events as ev
from edge_agent.conversation.machine import Machine, Rules
from edge_agent.conversation.moves import BUSY
from edge_agent.errors import EXIT_FAILED, EXIT_OK, AgentError, ConfigError, DeviceError, Fault, Retry, Stop
from edge_agent.live import credentials, messages, models
from edge_agent.live import events as heard
from edge_agent.live.endpoint import Endpoint
from edge_agent.live.protocol import LiveProtocol, ProtocolMisuse
from edge_agent.live.session import Order, Session
from edge_agent.live.setup import build_setup
from edge_agent.live.uplink import Item, Mark, Picture, Uplink
from edge_agent.live.uplink import Sound as MicrophoneSound
from edge_agent.panel.button import Button
from edge_agent.panel.contact import Edge
from edge_agent.panel.light import Light, load_patterns
from edge_agent.panel.pins import NullPanel, Panel, open_panel
from edge_agent.persona import Persona, load_persona
from edge_agent.service import logs
from edge_agent.service.captions import Captions
from edge_agent.service.control import ControlServer
from edge_agent.service.metrics import Metrics
from edge_agent.service.notify import Notifier
from edge_agent.service.state import StateFile
from edge_agent.service.stopwatch import Stopwatch
from edge_agent.tools.builtin import device_tools
from edge_agent.tools.registry import find_tools
from edge_agent.tools.runner import Answer, Call, ToolRunner
from edge_agent.vision.camera import open_camera
from edge_agent.vision.photographer import Photographer

log = logging.getLogger("edge_agent")

CHECK_S = 1.0  # how often heartbeats are looked at
DEAD_S = 2.0  # a sound stream silent for longer is a fault
HUNG_S = 10.0  # a sound library that does not come back in this time never will: the process leaves
START_S = 5.0  # devices that need longer to open are reported when they do
STOP_S = 2.0  # of the five seconds in which the daemon must end, what the sound thread gets
RATE = 16_000  # capture samples per second


class Agent:
    """One device. `config_path` is read again on SIGHUP; `ssl_context` stands in for the system's trust store."""

    def __init__(
        self, config: Config, *, config_path: Path | None = None, ssl_context: ssl.SSLContext | None = None
    ) -> None:
        self.config = config
        self.metrics = Metrics()
        self.notifier = Notifier()
        self.state_file = StateFile()
        self._config_path = config_path
        self._complaints = self.state_file.load()
        remembered = self.state_file.state
        self.volume = config.audio.volume if remembered.volume is None else remembered.volume
        self.ring = CaptureRing()
        self.engine = Duplex(
            block_frames=48 * config.audio.block_ms,
            ring=self.ring,
            mic_gain_db=config.audio.mic_gain_db,
            mic_channel=config.audio.mic_channel,
            volume=self.volume,
            half_duplex=config.echo == "half-duplex",
        )
        self.engine.set_mute(remembered.muted)
        self.machine = Machine(_rules(config), muted=remembered.muted)
        self.uplink = Uplink(self.ring, manual=config.manual_turns, message_samples=config.live.message_ms * 16)
        self.stopwatch = Stopwatch(self.metrics, self._latency)
        self.captions = Captions(Path(config.captions.file) if config.captions.file else None)
        self.session = Session(
            prepare=self._prepare,
            on_event=self._heard,
            on_up=self._link_up,
            on_down=self._link_down,
            ssl_context=ssl_context,
        )
        self.session.on_writable = self._pump
        self.photographer = Photographer(
            lambda: open_camera(config.camera.source, max_px=config.camera.max_px), max_kb=config.camera.max_kb
        )
        self.runner = ToolRunner({}, deadline_s=config.tools.deadline_s, on_answer=self._tool_answered)
        self.panel: Panel = NullPanel()
        self.sound: Sound | None = None
        self.persona: Persona | None = None
        self._light: Light | None = None
        self._button: Button | None = None
        self._control: ControlServer | None = None
        self._stop = asyncio.Event()
        self._exit_code = EXIT_OK
        self._tasks: set[asyncio.Task[Any]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._arriving: heard.Audio | None = None
        self._kept_still: Picture | None = None
        self._ending = False
        self._last_state = ""

    # Life.

    async def run(self) -> int:
        """Run until a signal; return the exit code.

        Raises:
            ConfigError: a setting cannot be used; nothing has been started, or it has been stopped again.
        """
        loop = self._loop = asyncio.get_running_loop()
        for name in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(name, self._stop.set)
        loop.add_signal_handler(signal.SIGHUP, self._reload)
        try:
            await self._start()
            await self._stop.wait()
        finally:
            await self._end()
        return self._exit_code

    async def _start(self) -> None:
        sys.setswitchinterval(0.001)  # the sound thread waits at most this long for the interpreter
        for complaint in self._complaints:
            log.warning("%s", complaint)
        self.persona = self._load_persona()
        prompts.load(self.config.conversation.prompts)
        patterns = load_patterns(self.config.panel.patterns)
        self._control = ControlServer(
            Path(self.config.control.socket), self._request, watch=self._greet_watcher, on_watchers=self._watchers
        )
        await self._control.start()
        self._open_panel()
        self._light = Light(self.panel, patterns, self._loop)
        self._light.show("starting")
        self._sample_metrics()
        self.sound = Sound(
            input=self.config.audio.input,
            output=self.config.audio.output,
            block_ms=self.config.audio.block_ms,
            engine=self.engine,
            on_events=lambda events: self._from_thread(self._sound_events, events),
            on_wake=lambda: self._from_thread(self._pump),
            on_failure=lambda error: self._from_thread(self._sound_failed, error),
            on_recovery=lambda fault: self._from_thread(self._sound_recovered, fault),
        )
        self.sound.start()
        await self._first_block()
        self.tell(ev.Ready())
        if self._button is not None:
            self._button.watch(self.panel)
        self.notifier.ready(f"{self.config.mode}: {self.machine.shown_state}")
        self._later(CHECK_S, self._check)

    async def _first_block(self) -> None:
        """Wait until sound flows, or a device has said why it does not; no longer than `START_S`."""
        until = self._loop.time() + START_S
        while self.sound is not None and not self.sound.capture_s and self._loop.time() < until:  # noqa: ASYNC110
            await asyncio.sleep(0.01)

    async def _end(self) -> None:
        self.notifier.stopping()
        if self._timer is not None:
            self._timer.cancel()
        self.uplink.forget()
        if self._button is not None:
            self._button.close()
        if self._light is not None:
            self._light.close()
        await self.runner.close()
        for task in list(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(list(self._tasks))
        await self.session.close()
        await self.photographer.close()
        if self._control is not None:
            await self._control.close()
        self.panel.close()
        self.state_file.flush()
        if self.sound is not None and not await asyncio.to_thread(self.sound.stop, STOP_S):
            log.error("the sound library hangs; leaving without it")
            logging.shutdown()
            os._exit(self._exit_code)

    def _open_panel(self) -> None:
        panel = self.config.panel
        self._button = Button(debounce_ms=panel.debounce_ms, on_edge=self._edge, loop=self._loop)
        try:
            self.panel = open_panel(
                panel.pins,
                button_gpio=panel.button_gpio,
                led_gpio=panel.led_gpio,
                led_rgb_gpio=panel.led_rgb_gpio,
                on_level=self._button.level,
            )
        except DeviceError as error:
            log.warning("no button and no light: %s", error)

    def _check(self) -> None:
        """Once a second: are the streams alive? Then tell the watchdog so."""
        now = self._loop.time()
        self._later(CHECK_S, self._check)
        if self.machine.state in BUSY:
            self.metrics.count("talk_seconds", CHECK_S)
        if self.sound is None:
            return
        age = max(self.sound.input_age_s(now), self.sound.output_age_s(now))
        if age > HUNG_S:
            log.error("the sound thread has not moved for %.0f s; leaving, to be started anew", age)
            self._exit_code = EXIT_FAILED
            logging.shutdown()
            os._exit(EXIT_FAILED)
        if age > DEAD_S:
            stuck = self.sound.input_age_s(now) > DEAD_S
            fault = Fault.MICROPHONE if stuck else Fault.LOUDSPEAKER
            if fault not in self.machine.faults:
                name = "microphone" if stuck else "loudspeaker"
                self.tell(ev.FaultRaised(fault, f"The {name} gives no sign of life; its library may hang."))
        else:
            self.notifier.watchdog()

    def _reload(self) -> None:
        if self._config_path is None:
            log.info("nothing to reload: the configuration did not come from a file")
            return
        try:
            fresh = settings.load(self._config_path)
        except ConfigError as error:
            log.warning("not reloaded: %s", error)
            return
        for entry in settings.changes(self.config, fresh):
            when = {"now": "now", "connection": "at the next connection", "restart": "at the next restart"}
            log.info("%s = %r takes effect %s", entry.key, entry.value, when[entry.effect])
        self.config = settings.adopt(self.config, fresh)
        self.machine.rules = _rules(self.config)
        self.engine.set_gain(self.config.audio.mic_gain_db)
        self.captions.path = Path(self.config.captions.file) if self.config.captions.file else None
        if self._button is not None:
            self._button.set_debounce(self.config.panel.debounce_ms)

    # To the conversation.

    def tell(self, event: ev.Event) -> None:
        """Give the conversation an event and carry out what it wants."""
        now = self._loop.time()
        for action in self.machine.handle(event, now):
            self._do(action, now)
        if self.machine.shown_state != self._last_state:
            self._last_state = self.machine.shown_state
            self._publish("state", state=self._last_state, why=self.machine.why, turn_open=self.machine.turn_open)
            self.notifier.status(f"{self.config.mode}: {self._last_state}")
        self._arm()
        self._pump()

    def _arm(self) -> None:
        deadline = self.machine.deadline
        if self._timer is not None:
            if deadline is not None and self._timer.when() == deadline:
                return
            self._timer.cancel()
            self._timer = None
        if deadline is not None:
            self._timer = self._loop.call_at(deadline, self._due)

    def _due(self) -> None:
        self._timer = None
        self.tell(ev.Tick())

    def _sample(self) -> int:
        """Where capture stands now, in capture samples."""
        return self.ring.written if self.sound is None else self.sound.sample_at(self._loop.time())

    def _edge(self, edge: Edge) -> None:
        if edge.down:
            self._press(edge.t)
        else:
            self.tell(ev.Released(self._sample()))

    def _press(self, at: float) -> None:
        self.stopwatch.pressed(at)
        greets = self.config.panel.button == "hook" and not self.machine.in_conversation
        self.tell(ev.Pressed(self._sample()))
        if greets and self.machine.turn_open and self.persona is not None and self.persona.greeting:
            self.tell(ev.TextAsked(f"Greet the person with these words: {self.persona.greeting}"))

    def _sound_events(self, events: list[EngineEvent]) -> None:
        now = self._loop.time()
        for event in events:
            match event:
                case AnswerStarted():
                    self.stopwatch.answer_started(now)
                case AnswerEnded():
                    self.tell(ev.PlaybackEnded(self._sample()))
                    if self._ending:
                        self._ending = False
                        self.tell(ev.EndAsked())
                case Flushed():
                    self.stopwatch.silent(now)
                case Underrun(gap_ms=gap_ms):
                    self._publish("underrun", gap_ms=round(gap_ms, 1))
                case Level():
                    self._publish("level", mic_dbfs=event.mic_dbfs, speaker_dbfs=event.speaker_dbfs)

    def _sound_failed(self, error: BaseException) -> None:
        log.error("%s", error)
        fault = error.fault if isinstance(error, AgentError) else None
        self.tell(ev.FaultRaised(fault or Fault.MICROPHONE, str(error)))

    def _sound_recovered(self, fault: Fault) -> None:
        self.tell(ev.FaultCleared(fault))

    def _link_up(self, resumed: bool) -> None:
        self.stopwatch.connected(self._loop.time())
        self.metrics.count("connections")
        self.uplink.link_up(self.config.live.resume_replay)
        self.tell(ev.LinkUp(resumed))

    def _link_down(self, error: AgentError) -> None:
        self.uplink.link_down()
        self.runner.cancel(self.runner.pending)
        self.metrics.count("reconnects", cause=type(error).__name__)
        log.warning("connection: %s", error)
        final = isinstance(error, Stop | ConfigError)
        fault = error.fault or (Fault.NETWORK if isinstance(error, Retry) else None)
        self.tell(ev.LinkDown(fault, str(error), final=final))

    def _heard(self, event: heard.ServerEvent) -> None:  # noqa: C901, PLR0912  one case for each kind of event
        match event:
            case heard.Audio():
                self._arriving = event
                self.tell(ev.AnswerAudio(len(event.pcm) / 2 * 1000 / event.rate))
                self._arriving = None
            case heard.Interrupted():
                self.tell(ev.Interrupted())
            case heard.GenerationComplete():
                self.tell(ev.AnswerGenerated())
            case heard.TurnComplete() | heard.Interaction(idle=True):
                self.captions.end_turn()
                self.tell(ev.AnswerDone(event.idle))
            case heard.InputCaption():
                if not self.config.manual_turns:
                    self.stopwatch.speech_ended(self._loop.time(), by="transcript")
                self._caption("person", event.text, finished=event.finished)
                self.tell(ev.Heard())
            case heard.OutputCaption():
                self._caption("device", event.text, finished=event.finished)
            case heard.Text(thought=False):
                self._caption("device", event.text, finished=False)
            case heard.ToolCall(calls):
                self.tell(ev.ToolsCalled(len(calls)))
                for call in calls:
                    self._publish("tool", name=call.name, phase="called")
                self.runner.start([Call(call.id, call.name, call.args) for call in calls])
            case heard.ToolCancel(ids):
                pending = self.runner.pending & set(ids)
                self.runner.cancel(pending)
                self.tell(ev.ToolsSettled(len(pending)))
            case heard.Usage():
                self.metrics.gauge("tokens", event.prompt, kind="prompt", period="turn")
                self.metrics.gauge("tokens", event.response, kind="response", period="turn")
                self._publish("usage", prompt=event.prompt, response=event.response, total=event.total)
            case heard.GoAway(time_left_s=left):
                self._publish("connection", why="the service will close this connection", time_left_s=left)
            case heard.Malformed(why=why):
                log.warning("a message of the service could not be read: %s", why)
            case _:
                log.debug("%r", event)

    def _tool_answered(self, answer: Answer) -> None:
        self.metrics.count("tool_calls", outcome="ok" if answer.ok else "error")
        self._publish("tool", name=answer.name, phase="answered", ok=answer.ok, seconds=round(answer.seconds, 3))
        response = messages.FunctionResponse(
            id=answer.id, name=answer.name, response=answer.response, scheduling=answer.scheduling
        )
        if self.session.protocol is not None:
            self._pump()  # a picture that the tool took goes first
            self._send(lambda protocol: protocol.tool_responses([response]))
        self.tell(ev.ToolsSettled(1))

    # From the conversation.

    def _do(self, action: do.Action, now: float) -> None:  # noqa: C901, PLR0912  one case for each kind of action
        match action:
            case do.Connect(resume=resume):
                self.stopwatch.connecting(now)
                self._publish("connection", why="opening")
                if self.config.camera.source != "off":
                    self.photographer.prepare()
                self.session.connect(resume=resume)
            case do.Disconnect():
                self.session.disconnect()
                self.uplink.link_down()
            case do.OpenTurn(turn=turn, start=start):
                self.uplink.open(turn, start)
                self.stopwatch.turn_opened(now, connected=self.machine.connected)
                self.metrics.count("turns")
                self._look_along(turn)
            case do.CloseTurn(end=end):
                self.uplink.close(self._sample() if end is None else end)
                self.stopwatch.speech_ended(now)
            case do.VoidTurns():
                self.uplink.void()
            case do.SendText(text=text):
                self.stopwatch.speech_ended(now, by="text")
                self._send(lambda protocol: protocol.turn(text))
            case do.Play():
                self._play()
            case do.FinishAnswer():
                self.engine.end_of_answer()
            case do.Flush(by=by):
                self.stopwatch.interrupted(now)
                self.metrics.count("interruptions", by=by)
                self.engine.flush()
            case do.Wipe():
                self._wipe()
            case do.Show(light=light):
                if self._light is not None:
                    self._light.show(light)
                    self.stopwatch.light_set(self._loop.time())
                self._publish("light", light=light)
            case do.Cue(name=name):
                if self.config.audio.cues:
                    self.engine.cue(name)
            case do.Say(prompt=prompt):
                self._task(self._speak(prompt))
            case do.Report():
                self._report(action)

    def _play(self) -> None:
        audio = self._arriving
        if audio is None:
            return
        self.uplink.answered()
        dropped = self.engine.play(audio.pcm, rate=audio.rate)
        if dropped:
            log.warning("the playback queue is full; %.0f ms of the answer were dropped", dropped)
            self.metrics.count("blocks_dropped", dropped / self.config.audio.block_ms, queue="playback")
        self.metrics.observe("socket_to_queue", (self._loop.time() - self.session.heard_at) * 1000)

    def _wipe(self) -> None:
        """The visitor has left: keep nothing of him."""
        self.session.forget()
        self.uplink.forget()
        self.engine.flush()
        self.ring.wipe()
        self.photographer.wipe()
        self.runner.cancel(self.runner.pending)
        self.captions.wipe()
        self._kept_still = None
        self._ending = False
        self.metrics.count("conversations")

    def _report(self, report: do.Report) -> None:
        match report.event:
            case "ignored":
                log.debug("ignored: %s", report.why)
            case "defect":
                log.error("defect in the table of moves: %s", report.why)
            case "fault":
                code = None if report.fault is None else report.fault.value
                self._publish("fault", code=code, text=report.why)
                self.metrics.count("faults", code=str(code))
            case _:
                self._publish(report.event, why=report.why, turn=self.machine.turns)

    async def _speak(self, name: str) -> None:
        sentence = prompts.load(self.config.conversation.prompts).sentence(name)
        self._publish("prompt", name=name, text=sentence.text)
        speech = await asyncio.to_thread(prompts.speak, sentence.text, sentence.language)
        if speech is not None:
            self.engine.say(speech.pcm, rate=speech.rate)

    # Microphone and camera to the service.

    def _pump(self) -> None:
        """Write what the gate lets out, as far as the line takes it."""
        session = self.session
        while session.writable and (item := self.uplink.pull()) is not None:
            self._write(item)
        self.engine.wake_loop(self.machine.connected and not self.uplink.idle)

    def _write(self, item: Item) -> None:
        match item:
            case MicrophoneSound(end=end, pcm=pcm):
                self._send(lambda protocol: protocol.audio(pcm))
                if self.sound is not None and self.ring.written - end < self.config.live.message_ms * 16:
                    late = self._loop.time() - self.sound.captured_at(end)  # of fresh sound, not of what had to wait
                    self.metrics.observe("capture_to_socket", late * 1000)
            case Picture(jpeg=jpeg):
                self._send(lambda protocol: protocol.image(jpeg))
                self._publish("picture", bytes=len(jpeg))
            case Mark.ACTIVITY_START:
                self._send(lambda protocol: protocol.activity_start())
            case Mark.ACTIVITY_END:
                self._send(lambda protocol: protocol.activity_end())
            case Mark.STREAM_END:
                self._send(lambda protocol: protocol.audio_stream_end())
        self.stopwatch.byte_sent(self._loop.time())

    def _send(self, build: Callable[[LiveProtocol], bytes]) -> None:
        protocol = self.session.protocol
        if protocol is None:
            return
        try:
            self.session.send(build(protocol))
        except ProtocolMisuse:
            log.exception("not sent: the service would have closed the connection")

    def _look_along(self, turn: int) -> None:
        """Take the still or the stills that belong to a turn."""
        if self.config.camera.source != "off":
            self._task(self._stills(turn))

    async def _stills(self, turn: int) -> None:
        while self.machine.turn_open and self.machine.turns == turn and not self.machine.muted:
            picture = await self._take_still()
            if picture is None:
                return
            if self.config.camera.when == "ask":
                self._kept_still = picture
                return
            if self.uplink.offer(picture):
                self._pump()
            if self.config.camera.when == "turn":
                return
            await asyncio.sleep(1.0)

    async def _take_still(self) -> Picture | None:
        try:
            still = await self.photographer.take()
        except DeviceError as error:
            self.tell(ev.FaultRaised(Fault.CAMERA, str(error)))
            return None
        if still is None:
            return None
        self.tell(ev.FaultCleared(Fault.CAMERA))
        return Picture(self._sample_of(still.taken_at), still.jpeg)

    def _sample_of(self, at: float) -> int:
        return max(0, self._sample() - round(max(0.0, self._loop.time() - at) * RATE))

    # What the device's own tools may do.

    def set_volume(self, volume: int) -> None:
        """Set the loudness, 0 to 100, and remember it."""
        self.volume = volume
        self.engine.set_volume(volume)
        self.state_file.update(volume=volume)
        self._save()
        self._publish("volume", volume=volume)

    def end_conversation(self) -> None:
        """End the conversation once the present answer has been played."""
        self._ending = True

    async def look(self) -> None:
        """Send a picture that was taken inside a turn: a fresh one while it is open, else the one kept from it."""
        if self.config.camera.source == "off":
            raise Stop("There is no camera; set camera.source.")
        if self.machine.muted:
            raise Stop("The device is muted; the camera is blind too.")
        picture = await self._take_still() if self.machine.turn_open else self._kept_still
        if picture is None or not self.uplink.offer(picture):
            raise Stop("There is no picture of this turn; pictures are only taken while a person is talking.")
        self._pump()

    def status(self) -> dict[str, Any]:
        """Return what `ctl status` shows."""
        fault = self.machine.fault
        sound = self.sound
        return {
            "state": self.machine.shown_state,
            "why": self.machine.why if fault is None else self.machine.faults[fault],
            "mode": self.config.mode,
            "muted": self.machine.muted,
            "light": self.machine.light,
            "lit": list(self.panel.lit()),
            "turn_open": self.machine.turn_open,
            "connected": self.machine.connected,
            "volume": self.volume,
            "fault": None if fault is None else {"code": fault.value, "text": self.machine.faults[fault]},
            "t": self._loop.time(),
            "audio_s": 0.0 if sound is None else sound.audio_s,
            "capture_s": 0.0 if sound is None else sound.capture_s,
            "xruns": 0 if sound is None else sound.xruns,
        }

    # Control.

    async def _request(self, request: dict[str, Any]) -> dict[str, Any]:  # noqa: C901  one case for each verb
        match request["do"]:
            case "status":
                return self.status()
            case "press":
                await self._finger(down=True)
            case "release":
                await self._finger(down=False)
            case "tap":
                await self._finger(down=True)
                await self._finger(down=False)
            case "mute":
                self._mute()
            case "unmute":
                self._unmute()
            case "volume":
                if request.get("volume") is not None:
                    self.set_volume(request["volume"])
                return {"volume": self.volume}
            case "ask":
                self.tell(ev.TextAsked(request["text"]))
            case "look":
                await self.look()
            case "metrics":
                return {"text": self.metrics.text(), "figures": self.metrics.figures()}
            case "end":
                self.tell(ev.EndAsked())
        return {"state": self.machine.shown_state}

    async def _finger(self, *, down: bool) -> None:
        """Move the button: electrically on mock pins, else as an event."""
        if self.config.panel.pins != "mock" or self._button is None:
            if down:
                self._press(self._loop.time())
            else:
                self.tell(ev.Released(self._sample()))
            return
        self.panel.drive_button(down)
        for _ in range(500):  # until the debounced edge has reached the conversation
            if self._button.down is down:
                break
            await asyncio.sleep(0.002)

    def _mute(self) -> None:
        self.engine.set_mute(True)
        self.state_file.update(muted=True)
        self.tell(ev.Muted(self._sample()))
        self._publish("mute", muted=True)
        self._save()

    def _unmute(self) -> None:
        self.state_file.update(muted=False)
        self.engine.set_mute(False)
        self.tell(ev.Unmuted())
        self._publish("mute", muted=False)
        self._save()

    def _save(self) -> None:
        self._task(self._flush_state())

    async def _flush_state(self) -> None:
        error = await asyncio.to_thread(self.state_file.flush)
        if error is not None:
            self.tell(ev.FaultRaised(Fault.STORAGE, str(error)))
        elif Fault.STORAGE in self.machine.faults and not self.state_file.failed:
            self.tell(ev.FaultCleared(Fault.STORAGE))

    def _greet_watcher(self) -> list[dict[str, Any]]:
        return [{"event": "status", **self.status()}]

    def _watchers(self, count: int) -> None:
        self.engine.levels(count > 0)

    # Reports.

    def _publish(self, event: str, **fields: Any) -> None:
        if event in {"state", "fault", "turn", "conversation", "connection"}:
            log.info("%s %s", event, " ".join(f"{key}={value}" for key, value in fields.items()))
        if self._control is not None and self._control.watchers:
            audio_s = 0.0 if self.sound is None else self.sound.audio_s
            self._control.publish({"event": event, "t": self._loop.time(), "audio_s": audio_s, **fields})

    def _caption(self, speaker: Any, text: str, *, finished: bool) -> None:
        line = self.captions.add(speaker, text, finished=finished)
        self._publish("caption", speaker=speaker, text=text, line=line, finished=finished)

    def _latency(self, name: str, ms: float) -> None:
        self._publish("latency", name=name, ms=round(ms, 2))

    def _sample_metrics(self) -> None:
        sample = self.metrics.sample
        sample("playback_queue_ms", lambda: self.engine.queue_ms)
        sample("uplink_backlog_ms", lambda: self.uplink.queued_ms)
        sample("clipped_samples", lambda: self.engine.counters["clipped"])
        sample("blocks_captured", lambda: self.engine.counters["blocks_captured"])
        sample(
            "blocks_dropped", lambda: self.uplink.dropped_samples / (16 * self.config.audio.block_ms), queue="uplink"
        )
        sample("muted", lambda: float(self.machine.muted))
        sample("volume", lambda: float(self.volume))
        sample("bytes", lambda: float(self.session.bytes_sent), direction="up", period="start")
        sample("bytes", lambda: float(self.session.bytes_received), direction="down", period="start")
        sample("xruns", lambda: float(self.sound.xruns if self.sound else 0), stream="both")
        sample("output_ring_ms", lambda: self.sound.output_ring_ms if self.sound else 0.0)

    # Plumbing.

    def _prepare(self, handle: str | None) -> Order:
        """Build all one connection needs from the configuration as it stands; a new conversation reads it afresh."""
        config = self.config
        key = credentials.load(config.live.credential)
        logs.secrets.add(key.reveal())
        profile = models.profile_for(config.live.model)
        if handle is None:
            self.persona = self._load_persona()
        persona = self.persona
        found = find_tools(
            folder=Path(config.tools.folder),
            allow=config.tools.allow,
            functions=device_tools(self, camera=config.camera.source != "off"),
        )
        for skipped in found.skipped:
            log.warning("%s", skipped)
        self.runner.replace(found.tools)
        setup = build_setup(
            model=config.live.model,
            profile=profile,
            voice=(persona.voice if persona else "") or config.live.voice,
            language=(persona.language if persona else "") or config.live.language,
            instruction=persona.compose() if persona else config.live.system_instruction,
            tools=[messages.FunctionDeclaration(**tool.declaration()) for tool in found.tools.values()],
            handle=handle,
            manual_turns=config.manual_turns,
            captions=config.captions.show,
            camera=config.camera.source != "off",
        )
        endpoint = Endpoint.resolve(config.live.url, config.live.api_version)
        return Order(endpoint, credentials.headers(key), LiveProtocol(setup, profile))

    def _load_persona(self) -> Persona | None:
        return load_persona(Path(self.config.persona)) if self.config.persona else None

    def _from_thread(self, call: Callable[..., None], *args: Any) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has closed: nobody is left to tell
            self._loop.call_soon_threadsafe(call, *args)

    def _later(self, seconds: float, call: Callable[[], None]) -> None:
        self._loop.call_later(seconds, call)

    def _task(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _rules(config: Config) -> Rules:
    return Rules(
        manual=config.manual_turns,
        hook=config.panel.button == "hook",
        pre_roll_s=config.audio.pre_roll_ms / 1000,
        tap_s=config.panel.tap_ms / 1000,
        long_press_s=config.panel.long_press_ms / 1000,
        idle_timeout_s=config.idle_timeout_s,
        max_turn_s=config.conversation.max_turn_s,
        max_conversation_s=config.conversation.max_conversation_s,
        answer_timeout_s=config.conversation.answer_timeout_s,
        prewarm=config.live.prewarm,
    )
