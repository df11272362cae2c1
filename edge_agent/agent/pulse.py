"""The pulse of the sound: are both streams alive? Only then the service manager's watchdog is told so.

    pulse = Pulse(faults=lambda: machine.faults, tell=talk.tell, alive=notifier.watchdog, leave=agent.leave)
    pulse.look(sound, now)              # once a second

A stream without a sign of life for `DEAD_S` is a fault, taken back when it moves again. A sound library that does not
come back within `HUNG_S` never will, and cannot be ended from inside: the process leaves, to be started anew.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Protocol

from edge_agent.conversation import events as ev
from edge_agent.errors import EXIT_FAILED, Fault

log = logging.getLogger("edge_agent")

DEAD_S = 2.0
HUNG_S = 10.0


class Streams(Protocol):
    """What there is to look at; see `edge_agent.audio.sound.Sound`."""

    def input_age_s(self, now: float) -> float:
        """Seconds since the microphone gave a block."""

    def output_age_s(self, now: float) -> float:
        """Seconds since the loudspeaker took one."""


class Pulse:
    """See the module's docstring.

    Args:
        faults: the faults that stand.
        tell: gives the conversation an event.
        alive: called whenever both streams live.
        leave: ends the process with an exit code.
    """

    def __init__(
        self,
        *,
        faults: Callable[[], Mapping[Fault, str]],
        tell: Callable[[ev.Event], None],
        alive: Callable[[], None],
        leave: Callable[[int], None],
    ) -> None:
        self._faults = faults
        self._tell = tell
        self._alive = alive
        self._leave = leave
        self._said: dict[Fault, str] = {}

    def look(self, streams: Streams, now: float) -> None:
        """Look once."""
        microphone, loudspeaker = streams.input_age_s(now), streams.output_age_s(now)
        age = max(microphone, loudspeaker)
        if age > HUNG_S:
            log.error("the sound thread has not moved for %.0f s; leaving, to be started anew", age)
            self._leave(EXIT_FAILED)
        if age <= DEAD_S:
            self._alive()
            self._take_back()
            return
        fault, name = (Fault.MICROPHONE, "microphone") if microphone > DEAD_S else (Fault.LOUDSPEAKER, "loudspeaker")
        if fault not in self._faults():
            self._said[fault] = f"The {name} gives no sign of life; if it does not come back, the device starts anew."
            self._tell(ev.FaultRaised(fault, self._said[fault]))

    def _take_back(self) -> None:
        """A stream moves again: take back what was said of it, unless the sound thread knows of more."""
        for fault, sentence in self._said.items():
            if self._faults().get(fault) == sentence:
                self._tell(ev.FaultCleared(fault))
        self._said.clear()
