"""What the device remembers over a restart: volume, mute, sections of its parts, and a household's conversation.

    memory = Memory(StateFile(), tell=...)
    memory.load()                        # complaints go to the log
    memory.update(volume=40)             # at once in memory, soon on the card
    memory.put("budget", {...})
    memory.keep_handle(handle, model)    # speaker mode: the conversation may be gone on with
    await memory.close()

A card that cannot be written is a fault of its own, told once and taken back when it works again. The handle of a
conversation is written at most every `HANDLE_EVERY_S`, and never where the device does not remember.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from edge_agent.audio.calibration import Calibration, complaint
from edge_agent.config.device import Audio
from edge_agent.conversation import events as ev
from edge_agent.errors import Fault
from edge_agent.service.state import State, StateFile

log = logging.getLogger("edge_agent")

HANDLE_EVERY_S = 30.0  # a new handle comes with every turn; a card should not be written that often
MOST_HANDLE = 4096  # characters; the service's have some hundred


@dataclass(frozen=True, slots=True)
class Kept:
    """A conversation that may be gone on with."""

    handle: str
    age_s: float
    """How long ago the service gave it."""


class Memory:
    """The state file and what keeps it on the card; all of it belongs to the loop's thread.

    Args:
        file: the state file.
        faults: the faults that stand.
        tell: gives the conversation an event.
        wall: the wall clock, seconds since 1970.
    """

    def __init__(
        self,
        file: StateFile,
        *,
        faults: Callable[[], dict[Fault, str]],
        tell: Callable[[ev.Event], None],
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.file = file
        self._faults = faults
        self._tell = tell
        self._wall = wall
        self._loop = asyncio.get_running_loop()
        self._saving: set[asyncio.Task[None]] = set()
        self._later: asyncio.TimerHandle | None = None
        for sentence in file.load():
            log.warning("%s", sentence)

    @property
    def state(self) -> State:
        """The remembered values."""
        return self.file.state

    def update(self, **values: Any) -> None:
        """Change values of the state, at once in memory and soon on the card."""
        self.file.update(**values)
        self.save()

    def put(self, section: str, tree: dict[str, Any]) -> None:
        """Change a section, at once in memory and soon on the card."""
        self.file.put(section, tree)
        self.save()

    def save(self) -> None:
        """Bring to the card what changed."""
        task = self._loop.create_task(self._save())
        self._saving.add(task)
        task.add_done_callback(self._saving.discard)

    def calibration(self, audio: Audio) -> Calibration | None:
        """Return what was measured with the microphone and loudspeaker of these settings; None if nothing was."""
        section = self.file.section("calibration")
        if told := complaint(section):
            log.warning("%s", told)
        found = Calibration.from_section(section)
        return found if found is not None and found.fits(audio) else None

    def keep_handle(self, handle: str | None, model: str) -> None:
        """Remember how to go on with the conversation; None: nothing of it."""
        if handle is None or len(handle) > MOST_HANDLE:
            if self.file.section("handle"):
                self.put("handle", {})
            return
        self.file.put("handle", {"handle": handle, "model": model, "at": round(self._wall(), 1)})
        if self._later is None:
            self._later = self._loop.call_later(HANDLE_EVERY_S, self._save_later)

    def kept(self, model: str, within_s: float) -> Kept | None:
        """Return the conversation to go on with: with the same model, and not older than `within_s`."""
        section = self.file.section("handle")
        handle, at = section.get("handle"), section.get("at")
        if not isinstance(handle, str) or not handle or section.get("model") != model:
            return None
        if isinstance(at, bool) or not isinstance(at, int | float):
            return None
        age_s = self._wall() - at
        return Kept(handle, age_s) if 0 <= age_s <= within_s else None

    async def close(self) -> None:
        """Write what is left."""
        if self._later is not None:
            self._later.cancel()
        if self._saving:
            await asyncio.wait(list(self._saving))
        await asyncio.to_thread(self.file.flush)

    def _save_later(self) -> None:
        self._later = None
        self.save()

    async def _save(self) -> None:
        error = await asyncio.to_thread(self.file.flush)
        if error is not None:
            self._tell(ev.FaultRaised(Fault.STORAGE, str(error)))
        elif Fault.STORAGE in self._faults() and not self.file.failed:
            self._tell(ev.FaultCleared(Fault.STORAGE))
