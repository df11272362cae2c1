"""The talk: the conversation machine joined to button, sound, light, camera, and the link to the service.

    talk = Talk(lambda: config, metrics=..., reports=..., memory=memory, volume=60, show=light.show, ...)
    talk.sound = Sound(engine=talk.engine, ...)
    talk.tell(Ready())
    talk.press(now)
    await talk.close()

Everything decided is decided in `conversation`; everything heard or spoken passes `audio`; everything sent passes the
gate in `live.uplink`. What is left is translation, in three directions:

    service, sound, camera, button  ->  events of the conversation          (`tell`, by way of `link` and `speaker`)
    actions of the conversation     ->  link, speaker, voice, camera, light (`_do`)
    microphone sound                ->  gate -> socket                      (`pump`, by way of `link.sender`)

All of it belongs to the loop's thread.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from edge_agent.agent import wishes
from edge_agent.agent.ears import open_ears
from edge_agent.agent.eyes import Eyes
from edge_agent.agent.flight import Flight
from edge_agent.agent.link import Link
from edge_agent.agent.listener import Listener
from edge_agent.agent.memory import Memory
from edge_agent.agent.reports import Reports
from edge_agent.agent.speaker import Speaker
from edge_agent.agent.voice import Voice
from edge_agent.audio.cues import load_cues
from edge_agent.audio.engine import Duplex, EngineEvent
from edge_agent.audio.ring import RATE, CaptureRing
from edge_agent.audio.sound import Sound
from edge_agent.config import Config
from edge_agent.conversation import actions as do
from edge_agent.conversation import events as ev
from edge_agent.conversation.answering import TRANSLATED
from edge_agent.conversation.machine import Machine
from edge_agent.conversation.rules import Rules
from edge_agent.errors import DeviceError, Fault
from edge_agent.live.uplink import Uplink
from edge_agent.service.captions import Captions
from edge_agent.service.metrics import Metrics
from edge_agent.service.stopwatch import Stopwatch
from edge_agent.vision.camera import open_camera
from edge_agent.vision.photographer import Photographer

log = logging.getLogger("edge_agent")

SAMPLES_PER_MS = RATE // 1000
REST_MS = 100  # sound taken together while nobody waits for it


class Talk:
    """One device's talk.

    Args:
        config: gives the configuration in force.
        metrics, reports, captions: what is told about it.
        memory: what is remembered from the last run: mute, the account, a household's conversation.
        volume: in force.
        show: plays a light pattern by name.
        on_state: told after every event, when the shown state may have changed.
        flight: the flight recorder.
        ssl_context: for wss; the system's trust store if None.
    """

    def __init__(
        self,
        config: Callable[[], Config],
        *,
        metrics: Metrics,
        reports: Reports,
        captions: Captions,
        memory: Memory,
        volume: int,
        show: Callable[[str], None],
        on_state: Callable[[], None],
        flight: Flight,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        now = config()
        self._loop = asyncio.get_running_loop()
        self._config = config
        self.sound: Sound | None = None
        """The sound thread, once it runs."""
        self.on_ring: Callable[[bool], None] = lambda _on: None
        """Starts and stops the sound of an alarm."""
        self.wording: Callable[[str], str] = lambda prompt: prompt
        """Tells which sentence is the right one here for a prompt."""
        self.on_left: Callable[[], None] = lambda: None
        """Told when a conversation has ended and was wiped."""
        self.ring = CaptureRing()
        self.ears = open_ears(now, memory.calibration(now.audio))
        self.engine = Duplex(
            block_frames=48 * now.audio.block_ms,
            ring=self.ring,
            mic_gain_db=now.audio.mic_gain_db,
            mic_channel=now.audio.mic_channel,
            volume=volume,
            cues=load_cues(Path(now.audio.cue_sounds)) if now.audio.cue_sounds else None,
            canceller=self.ears.canceller,
            detector=self.ears.detector,
            tail_s=self.ears.tail_s,
            idle_blocks=max(1, REST_MS // now.audio.block_ms),
        )
        self.engine.set_mute(memory.state.muted)
        rules = self._rules()
        remember_s = rules.remember_s
        kept = memory.kept(now.live.model, remember_s)
        known_until = 0.0 if kept is None else self._loop.time() + remember_s - kept.age_s
        self.machine = Machine(rules, muted=memory.state.muted, known_until=known_until)
        self.message_samples = now.live.message_ms * SAMPLES_PER_MS
        self.uplink = Uplink(self.ring, manual=now.manual_turns, message_samples=self.message_samples)
        self._stopwatch = Stopwatch(metrics, reports.latency)
        self.link = Link(
            config,
            uplink=self.uplink,
            message_samples=self.message_samples,
            machine=self.machine,
            tell=self.tell,
            captured=lambda: self.engine.captured,
            captured_at=lambda sample: None if self.sound is None else self.sound.captured_at(sample),
            on_writable=self.pump,
            metrics=metrics,
            reports=reports,
            captions=captions,
            stopwatch=self._stopwatch,
            memory=memory,
            flight=flight,
            ssl_context=ssl_context,
        )
        if kept is not None:
            self.link.session.restore(kept.handle, age_s=kept.age_s)
        self.eyes = Eyes(
            now.camera,
            Photographer(lambda: open_camera(now.camera.source, max_px=now.camera.max_px), max_kb=now.camera.max_kb),
            self.uplink,
            self.machine,
            sample_of=self._sample_of,
            on_offered=self.pump,
            on_fault=self._camera_fault,
            frugal=lambda: self.link.spending.frugal,
        )
        self._metrics = metrics
        self._reports = reports
        self._captions = captions
        self._flight = flight
        self._light = show
        self._on_state = on_state
        self.speaker = Speaker(
            self.engine,
            block_ms=now.audio.block_ms,
            tell=self.tell,
            sample=self.sample,
            metrics=metrics,
            reports=reports,
            stopwatch=self._stopwatch,
        )
        self.listener = Listener(
            tell=self.tell, metrics=metrics, reports=reports, on_lost=self._lost, clock=self._loop.time
        )
        self._voice = Voice(config, engine=self.engine, reports=reports)
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    def tell(self, event: ev.Event) -> None:
        """Give the conversation an event and carry out what it wants."""
        if self._closed:
            return
        now = self._loop.time()
        actions = self.machine.handle(event, now)
        self._flight.decided(event, actions, self.machine.state)
        for action in actions:
            try:
                self._do(action, now)
            except Exception:
                # The machine counts on the rest: a cue that cannot be played must not keep a turn open.
                log.exception("defect: %s could not be carried out", type(action).__name__)
        self._on_state()
        self._arm()
        self.engine.attend(self.machine.attentive, careful=self.machine.careful)
        self.pump()

    @property
    def takes_text(self) -> bool:
        """True where the model takes written turns."""
        return not self.machine.rules.continuous

    def heard(self, events: list[EngineEvent]) -> None:
        """Take what the sound engine reported."""
        self.speaker.events(events)
        self.listener.events(events)

    def press(self, at: float) -> None:
        """The button went down at `at` on the loop's clock (a handset: it was lifted)."""
        self._stopwatch.pressed(at)
        lifted = self.machine.rules.hook and not self.machine.in_conversation
        self.tell(ev.Pressed(self._sample_of(at)))
        persona = self.link.opening.persona
        greeting = "" if persona is None else persona.greeting
        if lifted and self.machine.turn_open and greeting and self.takes_text:
            self.tell(ev.TextAsked(f"Greet the person with these words: {greeting}"))
        self._stopwatch.press_done()

    def release(self, at: float) -> None:
        """The button came up at `at` on the loop's clock (a handset: it was hung up)."""
        self.tell(ev.Released(self._sample_of(at)))

    def muted(self, on: bool) -> None:
        """The microphone was shut, or opened again; the engine knows already."""
        self.tell(ev.Muted(self.sample()) if on else ev.Unmuted(self.sample()))

    def say(self, prompt: str) -> None:
        """Speak one of the device's own sentences, the one of them that is right here."""
        self._voice.prompt(self.wording(prompt))

    def end_after_answer(self) -> None:
        """End the conversation once the present answer has been played."""
        self.tell(ev.EndWished())

    def reload(self) -> None:
        """Take what a changed configuration changes at once; the rest waits for the next connection."""
        config = self._config()
        self.machine.rules = self._rules()
        self.engine.set_gain(config.audio.mic_gain_db)
        self.link.spending.reload()
        self.link.calls.runner.limit(config.tools.deadline_s)
        self._arm()
        if not self.machine.in_conversation:
            self.tell(ev.LineLeaving())  # a connection that was opened ahead knows only the old configuration

    async def close(self) -> None:
        """Stop talking: nothing more is sent, sockets, camera and tools are closed."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        self._voice.hush()
        await self.link.close()
        await self._voice.close()
        await self.eyes.close()
        await self._flight.close()

    def sample(self) -> int:
        """Where capture stands now, in capture samples."""
        return self.ring.written if self.sound is None else self.sound.sample_at(self._loop.time())

    def pump(self) -> None:
        """Write what the gate lets out, as far as the line takes it."""
        self.link.sender.pump()
        if self.machine.asking and self.link.sender.all_asked:
            self.tell(ev.QuestionSent())
        waiting = self.machine.connected and not self.uplink.idle
        self.engine.wake_loop((self.message_samples if self.uplink.turn_open else 1) if waiting else 0)
        if waiting:
            self.link.sender.watch_backlog()

    # From the conversation.

    def _do(self, action: do.Action, now: float) -> None:  # noqa: C901, PLR0912, PLR0915  a case for each action
        match action:
            case do.Connect(resume=resume, retell=retell):
                if self.machine.in_conversation:
                    self.eyes.prepare()
                self.link.connect(resume=resume, retell=retell)
            case do.Disconnect():
                self.link.disconnect()
            case do.OpenTurn(turn=turn, start=start):
                begin = self.sample() if start is None else start
                if not self.ears.full_duplex:
                    begin = max(begin, self.engine.own_voice_until)  # nothing takes its own sentence out of the room
                self.uplink.open(turn, begin)
                self._voice.hush()
                self.link.sender.begin()
                self._stopwatch.turn_opened(now, connected=self.machine.connected)
                self._metrics.count("turns")
                self.link.spending.opened()
                self.eyes.open(turn)
            case do.CloseTurn(end=end):
                self.uplink.close(self.sample() if end is None else end)
                self._stopwatch.speech_ended(now)
            case do.VoidTurns():
                self.uplink.void()
            case do.SendText(text=text):
                self._stopwatch.speech_ended(now, by="text")
                self.link.spending.opened()
                self.link.sender.text(text)
            case do.Nudge():
                self.link.sender.send(lambda protocol: protocol.nudge())
            case do.Hold(on=on):
                self.uplink.hold(on=on)
            case do.Reveal(start=start):
                self.uplink.reveal(start)
            case do.Settle():
                self.uplink.answered()
            case do.Play():
                arriving = self.link.hearing.arriving
                if arriving is not None:
                    self.uplink.answered()
                    self.speaker.play(arriving.pcm, rate=arriving.rate, came_at=self.link.session.heard_at)
            case do.FinishAnswer():
                self.speaker.finish()
            case do.Flush(by=by):
                self.speaker.flush(by=by)
            case do.Wipe(keep_handle=keep_handle):
                self._wipe(keep_handle=keep_handle)
            case do.Show(light=light):
                self._light(light)
                self._stopwatch.light_set(self._loop.time())
                self._reports.publish("light", light=light)
            case do.Cue(name=name):
                if self._config().audio.cues:
                    self.engine.cue(name)
            case do.Hush():
                self._voice.hush()
            case do.Say(prompt=prompt):
                self.say(prompt)
            case do.Announce(text=text):
                self._voice.announce(text)
            case do.Ring(on=on):
                self.on_ring(on)
            case do.WakeCame(outcome=outcome):
                self.listener.came(outcome)
            case do.Report():
                if action.why == TRANSLATED:
                    self._captions.end_turn()  # nothing else ends a line of what is translated
                self._reports.of_conversation(action, self.machine.turns)

    def _wipe(self, *, keep_handle: bool) -> None:
        """The visitor has left: keep nothing of what was said, heard or seen."""
        self.link.wipe(keep_handle=keep_handle)
        if self._config().mode == "kiosk":
            self._flight.visitor_left()
        self.engine.wipe()
        self.ring.wipe()
        self.eyes.wipe()
        self._captions.wipe()
        self.on_left()
        self._metrics.count("conversations")

    # Plumbing.

    def _lost(self, part: str) -> None:
        """A part of the ears has failed: go on with what is left."""
        self.ears = self.ears.without(part)
        self.machine.rules = self._rules()
        self._arm()

    def _rules(self) -> Rules:
        rules = wishes.rules_for(self._config())
        detects = rules.detects and self.ears.detector is not None
        return replace(rules, full_duplex=self.ears.full_duplex, detects=detects)

    def _camera_fault(self, error: DeviceError | None) -> None:
        if error is not None:
            self.tell(ev.FaultRaised(Fault.CAMERA, str(error)))
        elif Fault.CAMERA in self.machine.faults:
            self.tell(ev.FaultCleared(Fault.CAMERA))

    def _sample_of(self, at: float) -> int:
        return max(0, self.sample() - round(max(0.0, self._loop.time() - at) * RATE))

    def _arm(self) -> None:
        deadline = self.machine.deadline
        if self._timer is not None:
            if self._timer.when() == deadline:
                return
            self._timer.cancel()
            self._timer = None
        if deadline is not None:
            self._timer = self._loop.call_at(deadline, self._due)

    def _due(self) -> None:
        self._timer = None
        self.tell(ev.Tick())
