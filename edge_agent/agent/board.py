"""What people touch: button and light, the mute switch, the volume knob, opened in one go and watched.

    board = Board(config.panel, silence=silence, tell=talk.tell, on_level=agent_level, on_step=loudness.step, loop=loop)
    board.open()          # before the sound thread starts: the switch has been read when this returns
    board.panel           # the light's and the button's pins
    board.pressable       # True where a button can be pressed
    board.second()        # once a second
    board.close()

What cannot be opened is logged and left out, so that the device still talks: no button, no light, no knob. A mute
switch that cannot be read mutes, and is a fault: a device that was built with one must not listen because a pin is
taken.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from edge_agent import config
from edge_agent.agent.silence import Silence
from edge_agent.conversation import events as ev
from edge_agent.errors import DeviceError, Fault
from edge_agent.panel.knob import Knob, open_knob
from edge_agent.panel.pins import NullPanel, Panel, open_panel
from edge_agent.panel.switch import MuteSwitch
from edge_agent.panel.wires import OnLevel, Wire

log = logging.getLogger("edge_agent")


class Board:
    """The panel of one device; all but `on_level` belongs to the loop's thread.

    Args:
        wanted: The table `[panel]`.
        silence: What the mute switch works on.
        tell: Takes the fault of a mute switch that cannot be read, and its end.
        on_level: Told each raw level of the button, in a thread of the pin library.
        on_step: Told each step of the knob, +1 or -1, on the loop.
        loop: Where.
    """

    def __init__(
        self,
        wanted: config.Panel,
        *,
        silence: Silence,
        tell: Callable[[ev.Event], None],
        on_level: OnLevel,
        on_step: Callable[[int], object],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self.panel: Panel = NullPanel()
        self.switch_wire: Wire | None = None
        """The mute switch's contact, where there is one."""
        self.knob: Knob | None = None
        self._wanted = wanted
        self._silence = silence
        self._tell = tell
        self._on_level = on_level
        self._on_step = on_step
        self._loop = loop
        self._switch: MuteSwitch | None = None
        self._no_panel: DeviceError | None = None

    @property
    def pressable(self) -> bool:
        """True where there is a button, or a handset."""
        return not isinstance(self.panel, NullPanel)

    def open(self) -> None:
        """Open what is there; afterwards the microphone is shut if the mute switch says so."""
        wanted = self._wanted
        try:
            self.panel = open_panel(
                wanted.pins,
                button_gpio=wanted.button_gpio,
                led_gpio=wanted.led_gpio,
                led_rgb_gpio=wanted.led_rgb_gpio,
                on_level=self._on_level,
            )
        except DeviceError as error:
            log.warning("no button and no light: %s", error)
            self._no_panel = error
        if wanted.mute_gpio >= 0:
            self._open_switch()
        if wanted.volume_knob != "none":
            try:
                self.knob = open_knob(
                    wanted.volume_knob,
                    self.panel,
                    wanted.volume_gpio,
                    debounce_ms=wanted.debounce_ms,
                    on_step=self._on_step,
                    loop=self._loop,
                )
            except DeviceError as error:
                log.warning("no volume knob: %s", error)

    def second(self) -> None:
        """Read the mute switch again, in case a report of it was lost."""
        if self._switch is not None:
            self._switch.check()

    def close(self) -> None:
        """Darken the light and give the pins back; may be called again."""
        if self.knob is not None:
            self.knob.close()
        if self._switch is not None:
            self._switch.close()
        self.panel.close()

    def _open_switch(self) -> None:
        switch = MuteSwitch(self._silence, closed=self._wanted.mute_closed, loop=self._loop, on_failure=self._unread)
        try:
            self.switch_wire = self.panel.wire(self._wanted.mute_gpio, "the mute switch's pin", switch.level)
        except DeviceError as error:
            why = str(self._no_panel or error)
            log.warning("the microphone stays off, its switch cannot be read: %s", why)
            self._unread(why)
            self._silence.cut()
        else:
            switch.watch(self.switch_wire)
            self._switch = switch
        self._silence.settle()

    def _unread(self, why: str) -> None:
        """The mute switch cannot be read; "": it can be again."""
        self._silence.unread(on=bool(why))
        if why:
            sentence = f"The mute switch cannot be read, so the microphone stays off: {why.rstrip('.')}."
            self._tell(ev.FaultRaised(Fault.MUTE_SWITCH, sentence))
        else:
            self._tell(ev.FaultCleared(Fault.MUTE_SWITCH))
