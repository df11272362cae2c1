"""An event loop whose clock leaps to the next thing to do, so that a night takes no time.

def test_a_night() -> None:
    async def story() -> None:
        await asyncio.sleep(8 * 3600)

    play(story)

`loop.time()` begins at 1000 s. Nothing may be waited for but timers and what another callback does.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from typing import Any


class _Leaping(selectors.DefaultSelector):
    """Waits for nobody: time passes at once."""

    now = 1000.0

    def select(self, timeout: float | None = None) -> Any:
        ready = super().select(0)
        assert ready or timeout is not None, "nothing would ever happen any more"
        if not ready and timeout:
            self.now += timeout
        return ready


class _Loop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self.selector = _Leaping()
        super().__init__(self.selector)

    def time(self) -> float:
        return self.selector.now


def play(story: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run a story on such a loop."""
    with asyncio.Runner(loop_factory=_Loop) as runner:
        runner.run(story())
