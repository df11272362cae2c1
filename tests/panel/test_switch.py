"""The mute switch: immediate one way, patient the other, and off wherever there is a doubt."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from virtual.loop import run

from edge_agent.errors import DeviceError
from edge_agent.panel.pins import open_panel
from edge_agent.panel.switch import STEADY_S, MuteSwitch


class Shutter:
    """A microphone that can be shut, and nothing more."""

    def __init__(self) -> None:
        self.cuts = 0
        self.shut = False
        self.threads: list[str] = []

    def cut(self) -> None:
        self.cuts += 1
        self.shut = True
        self.threads.append(threading.current_thread().name)

    def restore(self, cuts: int) -> None:
        if cuts == self.cuts:
            self.shut = False


class Pin:
    """A contact whose reports may be swallowed, and which may fail."""

    def __init__(self, *, closed: bool) -> None:
        self.closed = closed
        self.fails = False

    def down(self) -> bool:
        if self.fails:
            raise DeviceError("gone")
        return self.closed


Story = Callable[[MuteSwitch, Shutter, Pin], Awaitable[None]]


def _run(story: Story, *, closed: Literal["live", "muted"] = "live", begins_closed: bool = True) -> None:
    async def main() -> None:
        shutter, pin = Shutter(), Pin(closed=begins_closed)
        switch = MuteSwitch(shutter, closed=closed, loop=asyncio.get_running_loop())
        switch.watch(pin)
        await story(switch, shutter, pin)
        switch.close()

    run(main())


def _move(switch: MuteSwitch, pin: Pin, *, closed: bool) -> None:
    pin.closed = closed
    switch.level(closed, 0.0)


@pytest.mark.parametrize(
    ("closed", "begins_closed", "shut"),
    [("live", True, False), ("live", False, True), ("muted", True, True), ("muted", False, False)],
)
def test_what_the_switch_says_at_the_start_counts_at_once(
    closed: Literal["live", "muted"], begins_closed: bool, shut: bool
) -> None:
    async def story(_switch: MuteSwitch, shutter: Shutter, _pin: Pin) -> None:
        assert shutter.shut is shut, "before the loop goes on"

    _run(story, closed=closed, begins_closed=begins_closed)


def test_it_cuts_in_the_thread_of_the_pin_library_before_the_loop_hears_of_it() -> None:
    async def story(switch: MuteSwitch, shutter: Shutter, pin: Pin) -> None:
        thread = threading.Thread(target=lambda: _move(switch, pin, closed=False), name="pins")
        thread.start()
        thread.join()
        assert shutter.shut
        assert shutter.threads == ["pins"]
        await asyncio.sleep(1)
        assert shutter.shut

    _run(story)


def test_it_goes_live_only_after_a_steady_while() -> None:
    async def story(switch: MuteSwitch, shutter: Shutter, pin: Pin) -> None:
        _move(switch, pin, closed=True)
        await asyncio.sleep(STEADY_S * 0.9)
        _move(switch, pin, closed=False)
        _move(switch, pin, closed=True)
        await asyncio.sleep(STEADY_S * 0.9)
        assert shutter.shut, "it bounced: the wait begins anew"
        await asyncio.sleep(STEADY_S * 0.2)
        assert not shutter.shut

    _run(story, begins_closed=False)


def test_a_cut_during_the_very_last_look_wins() -> None:
    async def story(switch: MuteSwitch, shutter: Shutter, pin: Pin) -> None:
        _move(switch, pin, closed=True)
        await asyncio.sleep(0)
        down = pin.down

        def moved_meanwhile() -> bool:
            pin.down = down  # type: ignore[method-assign]
            seen = pin.down()
            _move(switch, pin, closed=False)
            return seen

        pin.down = moved_meanwhile  # type: ignore[method-assign]
        await asyncio.sleep(1)
        assert pin.down is not moved_meanwhile
        assert shutter.shut
        _move(switch, pin, closed=True)
        await asyncio.sleep(1)
        assert not shutter.shut

    _run(story, begins_closed=False)


@pytest.mark.parametrize("closed", [True, False])
def test_an_edge_that_was_swallowed_is_found(closed: bool) -> None:
    async def story(switch: MuteSwitch, shutter: Shutter, pin: Pin) -> None:
        pin.closed = closed
        switch.check()
        await asyncio.sleep(1)
        switch.check()
        assert shutter.shut is not closed

    _run(story, begins_closed=not closed)


def test_looking_often_does_not_put_the_return_off() -> None:
    async def story(switch: MuteSwitch, shutter: Shutter, pin: Pin) -> None:
        _move(switch, pin, closed=True)
        for _ in range(12):
            await asyncio.sleep(STEADY_S / 10)
            switch.check()
        assert not shutter.shut

    _run(story, begins_closed=False)


def test_a_switch_that_cannot_be_read_is_off_and_says_so_once(caplog: pytest.LogCaptureFixture) -> None:
    async def story(switch: MuteSwitch, shutter: Shutter, pin: Pin) -> None:
        pin.fails = True
        for _ in range(3):
            switch.check()
        assert shutter.shut
        pin.fails = False
        switch.check()
        await asyncio.sleep(1)
        assert not shutter.shut, "it can be read again, and says live"

    _run(story)
    assert caplog.text.count("cannot be read, so the microphone is off: gone") == 1


def test_nothing_moves_after_close_nor_after_the_loop_is_gone() -> None:
    kept: list[tuple[MuteSwitch, Shutter]] = []

    async def story(switch: MuteSwitch, shutter: Shutter, pin: Pin) -> None:
        late = MuteSwitch(shutter, closed="live", loop=asyncio.get_running_loop())
        late.watch(Pin(closed=True))
        kept.append((late, shutter))
        _move(switch, pin, closed=True)
        await asyncio.sleep(0)
        switch.close()
        await asyncio.sleep(1)
        assert shutter.shut
        switch.check()
        switch.level(False, 0.0)
        assert shutter.cuts == 1

    _run(story, begins_closed=False)
    late, shutter = kept[0]
    late.level(True, 0.0)
    assert shutter.shut, "the program ends muted"


def test_on_mock_pins_a_wire_that_comes_off_mutes() -> None:
    async def story() -> None:
        shutter = Shutter()
        panel = open_panel("mock", button_gpio=17, led_gpio=27, on_level=lambda _down, _t: None)
        switch = MuteSwitch(shutter, closed="live", loop=asyncio.get_running_loop())
        wire = panel.wire(24, "the mute switch's pin", switch.level)
        switch.watch(wire)
        assert shutter.shut, "an open contact: no wire at all"
        wire.drive(True)
        await asyncio.sleep(1)
        assert not shutter.shut
        wire.drive(False)
        assert shutter.shut
        switch.close()
        panel.close()

    run(story())


_MOVES = st.lists(
    st.tuples(
        st.sampled_from(["open", "close", "lost open", "lost close", "check", "fail", "heal"]), st.floats(0, 0.2)
    ),
    max_size=30,
)


@given(_MOVES, st.booleans())
def test_while_it_says_mute_and_was_looked_at_the_microphone_is_shut(
    moves: list[tuple[str, float]], begins_closed: bool
) -> None:
    """Whatever is reported, swallowed or unreadable, in whatever order."""

    async def story(switch: MuteSwitch, shutter: Shutter, pin: Pin) -> None:
        known = True
        for move, wait_s in moves:
            match move:
                case "open" | "close":
                    _move(switch, pin, closed=move == "close")
                    known = True
                case "lost open" | "lost close":
                    pin.closed = move == "lost close"
                    known = False
                case "check":
                    switch.check()
                    known = True
                case _:
                    pin.fails = move == "fail"
            if known and not pin.closed:
                assert shutter.shut
            await asyncio.sleep(wait_s)
            if known and not pin.closed:
                assert shutter.shut
        pin.fails = False
        switch.check()
        await asyncio.sleep(1)
        switch.check()
        await asyncio.sleep(1)
        assert shutter.shut is not pin.closed, "it ends as the switch stands"

    _run(story, begins_closed=begins_closed)
