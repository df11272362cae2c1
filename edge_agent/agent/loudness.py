"""How loud the device is: what people set, under a cap, quieter at night, and loud enough for an alarm.

    loudness = Loudness(lambda: config, memory, engine=engine, publish=reports.publish, clock_is_set=...)
    loudness.set(80, by="ctl")      # Change(volume=70, note="The volume is now 70, the loudest this device may be ...")
    loudness.step(-1, by="knob")    # one detent
    loudness.ring(on=True)          # an alarm begins to ring
    loudness.second()               # once a second
    loudness.left()                 # a conversation has ended and was wiped
    loudness.reload()               # the configuration is another
    loudness.volume                 # in force, without the alarm

Five rules, the first one the strongest:

1. The cap: never louder than `audio.volume_max`, whoever asks and whatever rings.
2. While an alarm rings, at least `audio.alarm_volume`, day and night, and whatever is set meanwhile.
3. In kiosk mode, what a visitor had the model set lasts as long as the visit: until the conversation ends, or quiet
   hours begin or end, or the owner sets another one by `ctl` or the knob. It is not remembered.
4. Within `audio.quiet_hours` at most `audio.quiet_volume`, until somebody sets a volume: then that, as long as these
   hours last. When they end, the volume of the day returns as it was. A restart within the hours forgets what was set
   in them, and a device that does not know the time has none.
5. What somebody set by day, remembered over restarts; `audio.volume` if nobody ever did.

The hours are those on the wall at each second, so that a clock that is set, a time zone that changes and the two odd
nights of the year need no rule of their own.

A step is `STEP` of 100, which goes through the whole range in about one turn of a knob. While nothing is played and
nobody is being listened to, a step is answered by the cue `volume`, as loud as the device is now. A turning knob
writes to the card once, after it has come to rest.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Literal, Protocol

from edge_agent.agent.alarms import EARLIEST, system_zone
from edge_agent.agent.memory import Memory
from edge_agent.config import Config
from edge_agent.config.checks import span

By = Literal["ctl", "tool", "knob"]

STEP = 4
"""25 steps from silent to full: the usual encoder has 20 or 24 detents in a turn."""
ZONE_EVERY_S = 30  # a device that travels has its new time zone within this, as its alarms have
LOUDEST = 100


class Loudspeaker(Protocol):
    """What of the sound engine is needed."""

    @property
    def queue_ms(self) -> float:
        """Sound of answers that waits, milliseconds."""

    @property
    def prompt_ms(self) -> float:
        """The device's own sentences that wait or are being heard, milliseconds."""

    def cue(self, name: str) -> None:
        """Play a sound of the cue table."""

    def set_volume(self, volume: int) -> None:
        """Move to a volume from 0 to 100."""


@dataclass(frozen=True, slots=True)
class Change:
    """What became of a wish."""

    volume: int
    """In force now, 0 to 100."""
    note: str = ""
    """A sentence, where it is not what was asked for."""


class Loudness:
    """The volume in force; all of it belongs to the loop's thread, and it is in force once this is built.

    Args:
        config: Gives the configuration in force.
        memory: Remembers what people set by day.
        engine: Plays as loud as this says.
        publish: Tells watchers: event `volume` with `volume` and `by` (ctl, tool, knob, left, hours, config).
        clock_is_set: Says whether the wall clock can be trusted.
        may_tick: Says whether a cue disturbs nobody; False while a person is being listened to.
        wall: The wall clock, seconds since 1970.
        zone: Gives the device's time zone.
    """

    def __init__(
        self,
        config: Callable[[], Config],
        memory: Memory,
        *,
        engine: Loudspeaker,
        publish: Callable[..., None] = lambda _event, **_fields: None,
        clock_is_set: Callable[[], bool] | None = None,
        may_tick: Callable[[], bool] = lambda: True,
        wall: Callable[[], float] = time.time,
        zone: Callable[[], tzinfo] = system_zone,
    ) -> None:
        self._config = config
        self._memory = memory
        self._engine = engine
        self._publish = publish
        self._clock_is_set = clock_is_set or (lambda: wall() >= EARLIEST)
        self._may_tick = may_tick
        self._wall = wall
        self._read_zone = zone
        self._zone = zone()
        self._seconds = 0
        self._tonight: int | None = None
        self._visitors: int | None = None
        self._ringing = False
        self._stepped = self._unsaved = False
        self._quiet = self._is_quiet()
        self._told = self.volume
        self._played = self._to_play
        engine.set_volume(self._played)

    @property
    def wanted(self) -> int:
        """What somebody set for the day, 0 to 100; it may be above the cap."""
        remembered = self._memory.state.volume
        return self._config().audio.volume if remembered is None else remembered

    @property
    def cap(self) -> int:
        """The loudest that is allowed now, 1 to 100."""
        return self._config().audio.volume_max

    @property
    def volume(self) -> int:
        """The volume in force, 0 to 100, but for a ringing alarm."""
        if self._visitors is not None:
            return min(self._visitors, self.cap)
        volume = self.wanted
        if self._quiet:
            volume = min(volume, self._config().audio.quiet_volume) if self._tonight is None else self._tonight
        return min(volume, self.cap)

    def set(self, volume: int, *, by: By) -> Change:
        """Set the volume, 0 to 100, as near to it as is allowed.

        Raises:
            ValueError: it is not from 0 to 100.
        """
        if not 0 <= volume <= LOUDEST:
            msg = f"volume {volume} is not from 0 to {LOUDEST}"
            raise ValueError(msg)
        cap = self.cap
        self._want(min(volume, cap), by)
        self._memory.save()
        self._stepped = self._unsaved = False
        self._tell(by)
        if volume <= cap:
            return Change(self.volume)
        return Change(self.volume, f"The volume is now {cap}, the loudest this device may be (audio.volume_max).")

    def step(self, steps: int, *, by: By = "knob") -> Change:
        """Turn it up by so many steps, or down if negative."""
        before = self.volume
        self._want(max(0, min(before + steps * STEP, self.cap)), by)
        self._stepped = self._unsaved = True
        if self.volume != before:
            self._tell(by)
        idle = not self._ringing and not self._engine.queue_ms and not self._engine.prompt_ms
        if idle and self._config().audio.cues and self._may_tick():
            self._engine.cue("volume")
        return Change(self.volume)

    def ring(self, *, on: bool) -> None:
        """An alarm begins to ring, or has ended."""
        self._ringing = on
        self._play()

    def left(self) -> None:
        """The conversation has ended: what its visitor set is over."""
        if self._visitors is not None:
            self._visitors = None
            self._tell("left")

    def second(self) -> None:
        """Look at the wall clock, and bring a turned knob to the card once it rests."""
        self._seconds += 1
        if self._seconds % ZONE_EVERY_S == 0 and self._config().audio.quiet_hours:
            self._zone = self._read_zone()
        self._look("hours")
        if self._unsaved and not self._stepped:
            self._unsaved = False
            self._memory.save()
        self._stepped = False

    def reload(self) -> None:
        """Take the settings that have changed."""
        self._zone = self._read_zone()
        self._look("config")

    def _look(self, by: str) -> None:
        """Find out whether these are quiet hours, and take on the volume that is in force now."""
        self._hours()
        if self.volume != self._told:
            self._tell(by)
        else:
            self._play()

    def _want(self, volume: int, by: By) -> None:
        self._hours()
        self._visitors = None
        if by == "tool" and self._config().mode == "kiosk":
            self._visitors = volume
        elif self._quiet:
            self._tonight = volume
        else:
            self._memory.file.update(volume=volume)

    def _hours(self) -> None:
        """Find out whether these are quiet hours, and forget what held in other ones."""
        quiet = self._is_quiet()
        if quiet != self._quiet:
            self._visitors = None
        if not quiet:
            self._tonight = None
        self._quiet = quiet

    def _is_quiet(self) -> bool:
        hours = span(self._config().audio.quiet_hours)
        if hours is None or not self._clock_is_set():
            return False
        begin, end = hours
        clock = datetime.fromtimestamp(self._wall(), self._zone)
        minute = 60 * clock.hour + clock.minute
        return begin <= minute < end if begin < end else minute >= begin or minute < end

    @property
    def _to_play(self) -> int:
        """The volume that is played at, a ringing alarm included."""
        return min(max(self.volume, self._config().audio.alarm_volume if self._ringing else 0), self.cap)

    def _play(self) -> None:
        volume = self._to_play
        if volume != self._played:
            self._played = volume
            self._engine.set_volume(volume)

    def _tell(self, by: str) -> None:
        self._play()
        self._told = self.volume
        self._publish("volume", volume=self._told, by=by)
