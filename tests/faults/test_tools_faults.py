"""A tool is too slow, broken, or no longer wanted."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from faults.scene import Scene, answer, play
from harness import own_tools

from edge_agent.simulator import Call, FunctionCall, Rule, Script

Row = Callable[..., None]

TOOLS = '''
"""Tools that fail."""

import asyncio


async def slow() -> str:
    """Take five seconds."""
    await asyncio.sleep(5.0)
    return "done"


async def never() -> str:
    """Never return."""
    await asyncio.Event().wait()
    return "done"


def broken() -> str:
    """Fail."""
    raise ValueError("the lamp is not plugged in")
'''


def calling(name: str, **call: float) -> Script:
    """A script that calls a tool and waits for it, at the first turn; every turn is answered."""
    ask = Call((FunctionCall(name),), **call)  # type: ignore[arg-type]  # the one keyword there is
    return Script(rules=(Rule(steps=(ask, answer(seed=3)), times=1), Rule(steps=(answer(),))))


async def ask_and_be_answered(scene: Scene) -> None:
    scene.fault()
    await scene.ask(2.0)
    await scene.answered()


def test_a_call_that_is_cancelled_while_it_runs_is_never_answered(tmp_path: Path, row: Row) -> None:
    responses: list[object] = []

    async def story(scene: Scene) -> None:
        scene.fault()
        await scene.ask(2.0)
        await scene.answered()
        await asyncio.sleep(6.0)
        await scene.ask(2.0)
        await scene.answered()
        responses.extend(scene.twin.session.responses)

    outcome = play(own_tools(tmp_path, TOOLS), story, script=calling("slow", cancel_after_s=1.0))
    assert not responses
    row("tool-cancelled", outcome)


def test_a_tool_that_never_returns_is_answered_for(tmp_path: Path, row: Row) -> None:
    responses: list[str] = []

    async def story(scene: Scene) -> None:
        await ask_and_be_answered(scene)
        responses.extend(response["error"] for response in scene.twin.session.responses.values())

    row("tool-hangs", play(own_tools(tmp_path, TOOLS), story, script=calling("never")))
    (sentence,) = responses
    assert "took longer than 10 s" in sentence


def test_a_tool_that_raises_is_answered_for(tmp_path: Path, row: Row) -> None:
    responses: list[str] = []

    async def story(scene: Scene) -> None:
        await ask_and_be_answered(scene)
        responses.extend(response["error"] for response in scene.twin.session.responses.values())

    row("tool-raises", play(own_tools(tmp_path, TOOLS), story, script=calling("broken")))
    (sentence,) = responses
    assert "the lamp is not plugged in" in sentence


def test_a_line_cut_while_a_tool_runs(tmp_path: Path, row: Row) -> None:
    async def story(scene: Scene) -> None:
        await scene.ask(2.0)
        await scene.device.event("tool", name="slow", phase="called")
        scene.fault()
        scene.network.cut()
        await scene.answered()
        await asyncio.sleep(6.0)

    row("tool-cut", play(own_tools(tmp_path, TOOLS), story, script=calling("slow")))
