"""From the pin library's thread to one clean edge on the loop."""

import asyncio
import threading
from collections.abc import Awaitable, Callable

from edge_agent.errors import DeviceError
from edge_agent.panel import button as module
from edge_agent.panel.button import Button
from edge_agent.panel.contact import Edge
from edge_agent.panel.pins import NullPanel, Panel, open_panel


class Pin(NullPanel):
    """A button whose reports may be swallowed, but whose level can always be read."""

    def __init__(self) -> None:
        super().__init__()
        self.level = False
        self.fails = False

    def down(self) -> bool:
        if self.fails:
            raise DeviceError("gone")
        return self.level


def _run(story: Callable[[Button, asyncio.Event], Awaitable[None]]) -> list[Edge]:
    edges: list[Edge] = []

    async def main() -> None:
        came = asyncio.Event()

        def on_edge(edge: Edge) -> None:
            edges.append(edge)
            came.set()

        watcher = Button(debounce_ms=10, on_edge=on_edge, loop=asyncio.get_running_loop())
        await asyncio.wait_for(story(watcher, came), 10)
        watcher.close()

    asyncio.run(main())
    return edges


async def _next(came: asyncio.Event) -> None:
    await came.wait()
    came.clear()


def test_a_bouncing_press_driven_from_another_thread_is_one_edge() -> None:
    async def story(watcher: Button, came: asyncio.Event) -> None:
        panel: Panel = open_panel("mock", button_gpio=17, led_gpio=27, on_level=watcher.level)
        watcher.watch(panel)

        def finger() -> None:
            for down in (True, False, True, False, True):
                panel.drive_button(down)

        thread = threading.Thread(target=finger)
        thread.start()
        await _next(came)
        thread.join()
        assert watcher.down
        panel.drive_button(False)
        await _next(came)
        panel.close()

    edges = _run(story)
    assert [edge.down for edge in edges] == [True, False]
    assert edges[0].t < edges[1].t


def test_a_handset_that_is_lifted_already_counts_as_lifted() -> None:
    async def story(watcher: Button, came: asyncio.Event) -> None:
        pin = Pin()
        pin.level = True
        watcher.watch(pin)
        await _next(came)

    assert [edge.down for edge in _run(story)] == [True]


def test_a_release_that_the_library_swallowed_is_found_by_reading_the_pin() -> None:
    async def story(watcher: Button, came: asyncio.Event) -> None:
        pin = Pin()
        watcher.watch(pin)
        pin.level = True
        watcher.level(True, asyncio.get_running_loop().time())
        await _next(came)
        pin.level = False
        await _next(came)

    assert module.REREAD_S <= 0.5
    assert [edge.down for edge in _run(story)] == [True, False]


def test_a_pin_that_cannot_be_read_back_is_believed_by_its_reports() -> None:
    async def story(watcher: Button, came: asyncio.Event) -> None:
        pin = Pin()
        watcher.watch(pin)
        pin.fails = True
        watcher.level(True, asyncio.get_running_loop().time())
        await _next(came)

    assert [edge.down for edge in _run(story)] == [True]


def test_nothing_comes_after_close_nor_after_the_loop_is_gone() -> None:
    kept: list[Button] = []
    late: list[Edge] = []

    async def story(watcher: Button, came: asyncio.Event) -> None:
        kept.append(Button(debounce_ms=0, on_edge=late.append, loop=asyncio.get_running_loop()))
        watcher.level(True, asyncio.get_running_loop().time())
        watcher.close()
        await asyncio.sleep(0)
        watcher.level(False, asyncio.get_running_loop().time())
        await asyncio.sleep(0)
        assert not came.is_set()

    assert _run(story) == []
    kept[0].level(True, 1.0)
    assert late == []


def test_a_new_debounce_time_takes_hold_at_once() -> None:
    async def story(watcher: Button, came: asyncio.Event) -> None:
        watcher.set_debounce(0)
        watcher.level(True, 5.0)
        await _next(came)

    assert _run(story) == [Edge(True, 5.0)]
