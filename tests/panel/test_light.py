"""The light plays its rhythm by timers alone, in virtual time."""

import asyncio
import heapq
import itertools
import types
from collections.abc import Callable
from typing import Any

import pytest

from edge_agent.errors import DeviceError
from edge_agent.panel.light import Light, load_patterns
from edge_agent.panel.patterns import Color
from edge_agent.panel.pins import NullPanel, open_panel

DARK = (0.0, 0.0, 0.0)
PATTERNS = load_patterns()


class Clock:
    """The two methods of an event loop that the light uses, over a clock of our own."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.fired = 0
        self._timers: list[tuple[float, int, Any, Callable[..., None], tuple[Any, ...]]] = []
        self._order = itertools.count()

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, callback: Callable[..., None], *args: Any) -> Any:
        handle = types.SimpleNamespace(cancelled=False)
        handle.cancel = lambda: setattr(handle, "cancelled", True)
        heapq.heappush(self._timers, (when, next(self._order), handle, callback, args))
        return handle

    def run(self, seconds: float, *, late: float = 0.0) -> None:
        end = self.now + seconds
        while self._timers and self._timers[0][0] + late <= end:
            when, _, handle, callback, args = heapq.heappop(self._timers)
            if not handle.cancelled:
                self.now = max(self.now, when + late)
                self.fired += 1
                callback(*args)
        self.now = end

    @property
    def pending(self) -> int:
        return sum(1 for timer in self._timers if not timer[2].cancelled)


class Recorder(NullPanel):
    """A panel that notes when it is set to what."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self.clock = clock
        self.log: list[tuple[float, Color]] = []
        self.broken = False

    def show(self, color: Color) -> None:
        if self.broken:
            raise DeviceError("the light's pin failed")
        super().show(color)
        self.log.append((round(self.clock.now - 1000.0, 6), color))


def _light(panel: Any, clock: Any) -> Light:
    return Light(panel, PATTERNS, clock)


def test_the_first_colour_stands_before_show_returns() -> None:
    clock = Clock()
    panel = open_panel("mock", button_gpio=17, led_gpio=27, on_level=lambda _down, _t: None)
    light = _light(panel, clock)
    assert panel.lit() == DARK
    light.show("listening")
    assert panel.lit() == (1.0, 1.0, 1.0)
    assert light.current == "listening"
    light.close()
    assert panel.lit() == DARK
    panel.close()


def test_connecting_blinks_every_120_ms_without_drift() -> None:
    clock = Clock()
    panel = Recorder(clock)
    light = _light(panel, clock)
    light.show("connecting")
    panel.log.clear()
    clock.run(60.0, late=0.004)
    lit = [t for t, color in panel.log if color != DARK]
    assert lit == [pytest.approx(0.24 * (n + 1) + 0.004) for n in range(len(lit))]
    assert len(lit) == 249


def test_a_steady_light_needs_no_timer() -> None:
    clock = Clock()
    light = _light(Recorder(clock), clock)
    for name in ("off", "listening"):
        light.show(name)
        assert clock.pending == 0


def test_showing_what_is_shown_keeps_the_rhythm() -> None:
    clock = Clock()
    panel = Recorder(clock)
    light = _light(panel, clock)
    light.show("muted")
    clock.run(1.0)
    light.show("muted")
    assert panel.lit() == DARK
    assert clock.pending == 1


def test_the_last_pattern_shown_is_the_only_one_that_plays() -> None:
    clock = Clock()
    panel = Recorder(clock)
    light = _light(panel, clock)
    for name in ("connecting", "thinking", "fault-3", "listening"):
        light.show(name)
    panel.log.clear()
    clock.run(30.0)
    assert panel.log == []
    assert panel.lit() == PATTERNS["listening"].at(0)


def test_a_loop_that_stood_still_comes_back_into_the_rhythm() -> None:
    clock = Clock()
    panel = Recorder(clock)
    light = _light(panel, clock)
    light.show("offline")  # 1.6 s on, 1.6 s off
    clock.now += 3.2 * 10 + 1.7
    before = clock.fired
    clock.run(0.1)
    assert panel.lit() == DARK
    assert clock.fired - before == 1


def test_a_light_that_is_only_on_or_off_wakes_the_loop_for_its_rhythm_alone() -> None:
    clock = Clock()
    panel = Recorder(clock)
    panel.dimmable = False
    light = _light(panel, clock)
    light.show("idle")
    clock.run(50.0)
    assert clock.fired <= 2 * 50 / 5.0 + 1
    assert {color for _, color in panel.log} == {DARK, (1.0, 1.0, 1.0)}


def test_an_unknown_pattern_changes_nothing() -> None:
    clock = Clock()
    light = _light(Recorder(clock), clock)
    light.show("idle")
    with pytest.raises(KeyError):
        light.show("disco")
    assert light.current == "idle"


def test_a_failing_light_is_logged_once_and_shines_again_when_it_can(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    panel = Recorder(clock)
    light = _light(panel, clock)
    panel.broken = True
    light.show("connecting")
    clock.run(5.0)
    assert caplog.text.count("the light does not work") == 1
    panel.broken = False
    clock.run(0.3)
    assert panel.log


def test_a_reload_shows_the_same_state_in_its_new_form() -> None:
    clock = Clock()
    panel = Recorder(clock)
    light = _light(panel, clock)
    light.show("listening")
    light.replace({**PATTERNS, "listening": PATTERNS["offline"]})
    assert panel.lit() == PATTERNS["offline"].at(0)
    clock.run(1.7)
    assert panel.lit() == DARK


def test_it_runs_on_a_real_event_loop() -> None:
    async def story() -> list[Color]:
        loop = asyncio.get_running_loop()
        panel = open_panel("mock", button_gpio=17, led_gpio=27, on_level=lambda _down, _t: None)
        light = Light(panel, PATTERNS, loop)
        light.show("connecting")
        seen = [panel.lit()]
        while len(seen) < 4:
            await asyncio.sleep(0.01)
            if panel.lit() != seen[-1]:
                seen.append(panel.lit())
        light.close()
        panel.close()
        return seen

    seen = asyncio.run(asyncio.wait_for(story(), 10))
    assert [max(color) > 0.5 for color in seen] == [True, False, True, False]
