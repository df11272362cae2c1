"""Who keeps the microphone shut: people, the model, and the switch on the device, which beats them all.

    silence = Silence(memory, set_mute=engine.set_mute, tell=talk.muted, publish=reports.publish)
    silence.mute("ctl"); silence.unmute("ctl")       # Stop, with a sentence, where that is not allowed
    silence.pressed()                                # the button: True, it has undone what the model did
    silence.cut(); silence.restore(silence.cuts)     # the mute switch, see `panel.switch`; `cut` in any thread
    silence.muted, silence.muted_by                  # True, "switch"

The microphone is shut while a hand (a person, `ctl`, the model) has muted it or the switch says so. Every hand's mute
is one: whoever may unmute takes it back, and the model never may. What the model muted at somebody's wish, everybody
in the room may undo by the button; what an owner muted stays until an owner unmutes, also where both did. While the
switch says mute nobody can unmute by anything else; when it goes live the microphone stays shut if a hand had muted it
as well. A switch that cannot be read keeps it shut like one that says mute, and is not blamed for it. What a hand did
is remembered over a restart and a power cut; what the switch says is read again.

`set_mute` is called with the change itself, under a lock that no sound thread ever takes, so the engine hears of a
`cut` in the thread of the pin, before the event loop does, and never hears an unmute after it that was decided
before. The engine's commands are appends to a deque: any thread may give them, and the very next block obeys.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, cast, get_args

from edge_agent.agent.memory import Memory
from edge_agent.errors import Stop

Hand = Literal["person", "ctl", "model"]
"""Who may mute other than the switch; `person` is also who muted a device whose memory does not tell."""
By = Literal["person", "ctl", "model", "switch", "fault"]
"""Who keeps it shut; `fault`: nobody, the switch cannot be read."""

SECTION = "mute"
SWITCHED_OFF = "The microphone is switched off at the device; only the switch there can let it hear again."
UNREADABLE = "The mute switch of this device cannot be read, so the microphone stays off until that is mended."
NOT_THE_MODEL = "Only a person can let the microphone hear again."


@dataclass(slots=True)
class MuteState:
    """What keeps the microphone shut; pure."""

    hand: Hand | None = None
    """Whoever muted first and was not taken back; an owner goes before the model."""
    switch: bool = False
    """The switch says mute, or cannot be read."""
    unread: bool = False
    """It cannot be read."""

    @property
    def muted(self) -> bool:
        """Nothing may be heard."""
        return self.switch or self.hand is not None

    @property
    def muted_by(self) -> By | None:
        """What to ask people to undo first; None: it is not muted."""
        if self.switch:
            return "fault" if self.unread else "switch"
        return self.hand

    def shut(self, by: Hand) -> None:
        """A hand mutes."""
        if self.hand is None or self.hand == "model":
            self.hand = by

    def open(self, by: Hand) -> None:
        """A hand unmutes; it takes back every hand's mute.

        Raises:
            Stop: it may not; nothing has changed.
        """
        if by == "model":
            raise Stop(NOT_THE_MODEL)
        if self.switch:
            raise Stop(UNREADABLE if self.unread else SWITCHED_OFF)
        self.hand = None


class Silence:
    """Keeps the state, carries it out and has it remembered; build it inside a running loop.

    All but `cut` belongs to the loop's thread.

    Args:
        memory: Where a hand's mute is remembered; what it holds now is in force.
        set_mute: Shuts the microphone or opens it; may be called in any thread and returns at once.
        tell: Tells the conversation, on the loop, after `set_mute`.
        publish: Tells watchers: event `mute` with `muted` and `by`.
    """

    def __init__(
        self,
        memory: Memory,
        *,
        set_mute: Callable[[bool], None],
        tell: Callable[[bool], None],
        publish: Callable[..., None] = lambda _event, **_fields: None,
    ) -> None:
        self._memory = memory
        self._set_mute = set_mute
        self._tell = tell
        self._publish = publish
        self._loop = asyncio.get_running_loop()
        self._lock = threading.Lock()
        self._cuts = 0
        self._state = MuteState(_remembered(memory))
        self._told = self._state.muted, self._state.muted_by
        if self._state.muted:
            set_mute(True)

    @property
    def muted(self) -> bool:
        """The microphone is shut."""
        return self._state.muted

    @property
    def muted_by(self) -> By | None:
        """Who keeps it shut, the switch before any hand; None: nobody."""
        return self._state.muted_by

    def mute(self, by: Hand) -> None:
        """Shut the microphone, and remember it."""
        with self._lock:
            self._state.shut(by)
            self._set_mute(True)
        self._remember()
        self._tell_all()

    def unmute(self, by: Hand) -> None:
        """Let the microphone hear again, and remember it.

        Raises:
            Stop: the switch says mute, or it is the model who asks; nothing has changed.
        """
        with self._lock:
            self._state.open(by)
            self._set_mute(False)
        self._remember()
        self._tell_all()

    def pressed(self) -> bool:
        """Somebody pressed the button: if nothing but the model's mute keeps the microphone shut, take that back.

        Returns:
            True: the press has done that. False: it has nothing to do with the mute, or cannot undo it.
        """
        if self.muted_by != "model":
            return False
        try:
            self.unmute("person")
        except Stop:  # the switch was thrown in its own thread just now
            return False
        return True

    @property
    def cuts(self) -> int:
        """How often `cut` was called."""
        return self._cuts

    def cut(self) -> None:
        """The switch says mute: shut the microphone at once; in any thread. The loop hears of it a moment later."""
        with self._lock:
            self._cuts += 1
            self._state.switch = True
            self._set_mute(True)
        with contextlib.suppress(RuntimeError):  # the loop has closed: nobody is left to tell
            self._loop.call_soon_threadsafe(self.settle)

    def unread(self, *, on: bool) -> None:
        """The switch cannot be read, or can again; whether the microphone is shut for it is the affair of `cut`."""
        with self._lock:
            self._state.unread = on
        self.settle()

    def restore(self, cuts: int) -> None:
        """The switch says live, unless there were more than `cuts` calls of `cut`."""
        with self._lock:
            if cuts != self._cuts:
                return
            self._state.switch = False
            if not self._state.muted:
                self._set_mute(False)
        self.settle()

    def settle(self) -> None:
        """Tell what the switch has changed and nobody was told yet."""
        if (self._state.muted, self._state.muted_by) != self._told:
            self._tell_all()

    def _tell_all(self) -> None:
        self._told = muted, by = self._state.muted, self._state.muted_by
        self._tell(muted)
        self._publish("mute", muted=muted, by=by)

    def _remember(self) -> None:
        hand = self._state.hand
        self._memory.update(muted=hand is not None)
        self._memory.put(SECTION, {"by": hand} if hand else {})


def _remembered(memory: Memory) -> Hand | None:
    if not memory.state.muted:
        return None
    by = memory.file.section(SECTION).get("by")
    return cast("Hand", by) if by in get_args(Hand) else "person"
