"""Timers and alarms of this device: watched, rung, spoken, and kept on the card.

    alarms = Alarms(lambda: config, state_file, engine=talk.engine, louder=louder, tell=talk.tell, save=save)
    alarms.start()                       # once the device is ready
    alarms.set_timer(600, "pasta")       # and the other wishes of a person, from the model or from `ctl`
    alarms.ring(on=True)                 # the conversation's action `Ring`
    await alarms.close()

What is due is told to the conversation (`AlarmRings`), which answers with `Ring(True)`; from then on the cue `alarm`
sounds every two seconds, and now and then the device's own voice says the name, without a network, muted or not, and
as loud as `loudness` makes a ringing device. `Ring(False)`, a press or `ctl end` made into an action, stops it. After
ten minutes in which nobody came it ends by itself (`AlarmEnded`) and counts as missed. What fell due while the device
was off, or before it knew the time, is announced (`Announced`) once.

Where the cue cannot be played the name is said all the more often, where the name cannot be said the cue goes on; where
neither can be heard, it is announced. Each is a defect that the log names once.

The clocks are looked at again each half minute, so that an alarm follows a wall clock that is set and a time zone that
changes; with nothing set, nothing wakes the processor. All of it belongs to the loop's thread.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
import uuid
from collections.abc import Callable
from datetime import UTC, tzinfo
from pathlib import Path
from typing import Any, Protocol
from zoneinfo import ZoneInfo

from edge_agent import prompts
from edge_agent.agent.utterance import spoken, utter
from edge_agent.config import Config
from edge_agent.conversation import events as ev
from edge_agent.errors import Stop
from edge_agent.service.state import StateFile
from edge_agent.tools.timers import Entry, Moment, Timers

log = logging.getLogger(__name__)

SECTION = "timers"
EARLIEST = 1_793_491_200.0  # 1 November 2026: a clock that stands before this program was written has not been set
CHECK_S = 30.0  # between two looks at the clocks: how late an alarm may be when the wall clock is set forward
RING_S = 600.0  # whoever is in the house has come by then; a neighbour should not suffer longer
BEAT_S = 2.0  # from one alarm cue to the next
SPOKEN_EVERY = 10  # beats: the name is told to whoever comes later, without drowning the signal
JUMP_S = 2.0  # the wall clock was set, not merely trimmed
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_LOCALTIME = Path("/etc/localtime")


class Loudspeaker(Protocol):
    """What of the sound engine an alarm needs."""

    @property
    def prompt_ms(self) -> float:
        """The device's own sentences that wait or are being heard, milliseconds."""

    def cue(self, name: str) -> None:
        """Play a sound of the cue table."""

    def say(self, pcm: bytes, *, rate: int) -> None:
        """Play a sentence, s16le mono."""

    def hush(self) -> None:
        """Stop both."""


class Alarms:
    """The timers and alarms of a device; build it inside a running loop.

    Args:
        config: Gives the configuration in force.
        state: Where they are remembered (section `timers`).
        engine: What they are heard through.
        louder: Told as the ringing begins and ends, so that it is heard however low the volume is.
        tell: Takes `AlarmRings`, `AlarmEnded` and `Announced`.
        save: Brings the state file to the card soon.
        publish: Tells watchers: event `timer` with `name`, `kind` and `phase` (set, cancelled, rings, stopped, missed).
        clock_is_set: Says whether the wall clock can be trusted.
        wall: The wall clock, seconds since 1970.
        zone: Gives the device's time zone.
        boot: An id of this start of the machine; the loop's clock began with it.
    """

    def __init__(
        self,
        config: Callable[[], Config],
        state: StateFile,
        *,
        engine: Loudspeaker,
        louder: Callable[[bool], None],
        tell: Callable[[ev.Event], None],
        save: Callable[[], None],
        publish: Callable[..., None] = lambda _event, **_fields: None,
        clock_is_set: Callable[[], bool] | None = None,
        wall: Callable[[], float] = time.time,
        zone: Callable[[], tzinfo] | None = None,
        boot: str = "",
    ) -> None:
        self._config = config
        self._state = state
        self._engine = engine
        self._louder = louder
        self._tell = tell
        self._save_soon = save
        self._publish = publish
        self._wall = wall
        self._clock_is_set = clock_is_set or (lambda: wall() >= EARLIEST)
        self._zone = zone or system_zone
        self._loop = asyncio.get_running_loop()
        self._timers = Timers(zone=self._zone(), boot=boot or boot_id())
        self._timer: asyncio.TimerHandle | None = None
        self._ringer: asyncio.Task[None] | None = None
        self._announcing: set[asyncio.Task[None]] = set()
        self._broken: set[str] = set()
        self._silence_at = 0.0
        self._set_at: tuple[bool, float] | None = None
        self._started = False

    def start(self) -> None:
        """Take up what is remembered, and begin to watch."""
        for complaint in self._timers.load(self._state.section(SECTION), self._now()):
            log.warning("%s", complaint)
        self._started = True
        self._check()

    async def close(self) -> None:
        """Stop watching and ringing; what is set stays in the state file, which the owner flushes afterwards."""
        if self._timer is not None:
            self._timer.cancel()
        if self._started:
            self._remember()
            self._started = False
        if self._announcing:
            await asyncio.wait(list(self._announcing))
        await self._silence()

    def ring(self, *, on: bool) -> None:
        """Let what is due be heard, or stop it for good: somebody has heard it."""
        if on:
            if self._timers.ringing and self._ringer is None:
                self._louder(True)
                self._broken.clear()
                self._ringer = self._loop.create_task(self._ring())
            return
        for entry in self._timers.stop():
            self._told(entry, "stopped")
        self._end_ringing()

    # What a person may wish, by voice or over the control socket. Each may raise Stop with a sentence.

    def set_timer(self, duration_s: int, name: str = "") -> dict[str, Any]:
        """Set a timer; return its facts as `Timers.describe` does."""
        self._must_be_started()
        return self._added(self._timers.set_timer(duration_s, name, self._now()))

    def set_alarm(self, time: str, name: str = "") -> dict[str, Any]:
        """Set an alarm; return its facts as `Timers.describe` does."""
        self._must_be_started()
        self._timers.rezone(self._zone())
        return self._added(self._timers.set_alarm(time, name, self._now()))

    def cancel_timer(self, name: str) -> dict[str, Any]:
        """Take back a timer or alarm, or stop it if it rings; return the `name` of the one it was."""
        self._must_be_started()
        rang = bool(self._timers.ringing)
        entry = self._timers.cancel(name)
        self._told(entry, "cancelled")
        if rang and not self._timers.ringing:
            self._end_ringing()
            self._tell(ev.AlarmEnded())
        self._check()
        return {"name": entry.name}

    def list_timers(self) -> dict[str, Any]:
        """Return `timers` and `missed`, as `Timers.overview` does."""
        return self._timers.overview(self._now())

    # Watching.

    def _now(self) -> Moment:
        return Moment(self._wall(), self._loop.time(), self._clock_is_set())

    def _check(self) -> None:
        """Look what is due, tell it, and look again in time."""
        if not self._started:
            return
        if self._timers.waiting:
            self._timers.rezone(self._zone())
        now = self._now()
        due = self._timers.due(now)
        if due or self._clock_was_set(now):
            self._remember()
        for entry in due.ring:
            self._told(entry, "rings")
            self._silence_at = self._loop.time() + RING_S
            self._tell(ev.AlarmRings(entry.name))
        if due.missed:
            self._announce_missed(due.missed)
        if self._timers.ringing and self._loop.time() >= self._silence_at:
            self._nobody_came()
        self._arm()

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        waits = [] if not self._timers.waiting else [CHECK_S]
        next_s = self._timers.next_s(self._now())
        if next_s is not None:
            waits.append(next_s)
        if self._timers.ringing:
            waits.append(max(0.0, self._silence_at - self._loop.time()))
        if waits and self._started:
            self._timer = self._loop.call_later(min(waits), self._check)

    def _clock_was_set(self, now: Moment) -> bool:
        """True if the wall clock moved against the steady one: what is on the card tells another time."""
        before, self._set_at = self._set_at, (now.sure, now.wall - now.steady)
        if before is None or not self._timers.waiting:
            return False
        return before[0] != now.sure or abs(before[1] - self._set_at[1]) > JUMP_S

    def _must_be_started(self) -> None:
        if not self._started:
            raise Stop("The device is still starting; ask again in a moment.")

    def _added(self, entry: Entry) -> dict[str, Any]:
        self._told(entry, "set")
        facts = self._timers.describe(entry, self._now())
        self._check()
        return facts

    def _told(self, entry: Entry, phase: str) -> None:
        log.info("a %s: %s", entry.kind, phase)  # not its name: that is what a person said
        self._publish("timer", name=entry.name, kind=entry.kind, phase=phase)
        self._remember()

    def _remember(self) -> None:
        if self._started:
            self._state.put(SECTION, self._timers.dump(self._now()))
            self._save_soon()

    def _announce_missed(self, missed: tuple[Entry, ...]) -> None:
        for entry in missed:
            self._told(entry, "missed")
        self._announce_soon("alarm_missed", missed)

    def _announce_soon(self, prompt: str, entries: tuple[Entry, ...]) -> None:
        task = self._loop.create_task(self._announce(prompt, entries))
        self._announcing.add(task)
        task.add_done_callback(self._announcing.discard)

    async def _announce(self, prompt: str, entries: tuple[Entry, ...]) -> None:
        """Have it said by whoever can."""
        text = (await self._sentence(prompt)).text
        names = ", ".join(entry.spoken_name for entry in entries if entry.spoken_name)
        self._tell(ev.Announced(f"{text} {names}." if names else text))

    # Ringing.

    async def _ring(self) -> None:
        beat = 0
        while True:
            signalled = self._signal()
            await asyncio.sleep(BEAT_S)
            if beat % SPOKEN_EVERY == 0 or not signalled:
                await asyncio.sleep(await self._name_it(beat // SPOKEN_EVERY if signalled else beat))
            beat += 1

    def _signal(self) -> bool:
        """Play the cue; False if that is impossible."""
        try:
            self._engine.cue("alarm")
        except Exception as error:  # noqa: BLE001  whatever it is, the alarm must be heard
            self._defect("the signal of an alarm cannot be played", error)
            return False
        return True

    async def _name_it(self, turn: int) -> float:
        """Say what rings, as `_say_name`, if that is possible."""
        try:
            return await self._say_name(turn)
        except Exception as error:  # noqa: BLE001  as above
            self._defect("the name of an alarm cannot be said", error)
            return 0.0

    def _defect(self, what: str, error: Exception) -> None:
        """Log it once in a ringing; the second defect leaves nothing to be heard, so have it announced."""
        if what in self._broken:
            return
        self._broken.add(what)
        log.error("defect: %s", what, exc_info=error)
        if len(self._broken) > 1 and self._timers.ringing:
            self._announce_soon(_prompt_of(self._timers.ringing[0]), self._timers.ringing)

    async def _say_name(self, turn: int) -> float:
        """Say what rings, one after the other if there are several; return how long that takes, seconds."""
        ringing = self._timers.ringing
        if not ringing or self._engine.prompt_ms:
            return 0.0
        entry = ringing[turn % len(ringing)]
        prompt = _prompt_of(entry)
        sentence = await self._sentence(prompt)
        if entry.spoken_name:  # in one voice with its sentence, and nobody has recorded the name
            speech = await spoken(f"{sentence.text} {entry.spoken_name}.", sentence.language)
        else:
            speech = (await asyncio.to_thread(utter, prompt, sentence, self._config())).speech
        if speech is None or entry not in self._timers.ringing:
            return 0.0
        self._engine.say(speech.pcm, rate=speech.rate)
        return len(speech.pcm) / 2 / speech.rate

    async def _sentence(self, name: str) -> prompts.Sentence:
        config = self._config()
        return await asyncio.to_thread(prompts.sentence, name, config.conversation.prompts, config.prompts_folder)

    def _nobody_came(self) -> None:
        for entry in self._timers.give_up():
            self._told(entry, "missed")
        self._end_ringing()
        self._tell(ev.AlarmEnded())

    def _end_ringing(self) -> None:
        if self._ringer is not None:
            self._ringer.cancel()
            self._ringer = None
            self._engine.hush()
            self._louder(False)
        self._arm()

    async def _silence(self) -> None:
        ringer = self._ringer
        self._end_ringing()
        if ringer is not None:
            await asyncio.wait([ringer])


def _prompt_of(entry: Entry) -> str:
    return "timer_over" if entry.kind == "timer" else "alarm_rings"


def boot_id() -> str:
    """Return an id of this start of the machine, as the kernel gives it; a fresh one where there is none."""
    try:
        return _BOOT_ID.read_text().strip()
    except OSError:
        return uuid.uuid4().hex


def system_zone() -> tzinfo:
    """Return the time zone of the machine with its rules: $TZ if it names one, else /etc/localtime, else UTC."""
    name = os.environ.get("TZ", "").removeprefix(":")
    try:
        if name:
            return ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # unknown, no name but a rule, a folder
        log.debug("TZ=%s names no time zone; the machine's counts", name)
    try:
        with _LOCALTIME.open("rb") as file:
            return ZoneInfo.from_file(file, key="local time")
    except (OSError, ValueError):
        return UTC
