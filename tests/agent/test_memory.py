"""What the device remembers over a restart, and how it goes on with a household's conversation."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from edge_agent.agent.memory import MOST_HANDLE, Memory
from edge_agent.conversation import events as ev
from edge_agent.errors import Fault
from edge_agent.service.state import StateFile

MODEL = "gemini-3.8-live"


class Bench:
    """A memory on a folder, with a wall clock that is set by hand."""

    def __init__(self, folder: Path) -> None:
        self.told: list[ev.Event] = []
        self.faults: dict[Fault, str] = {}
        self.wall = 1_800_000_000.0
        self.memory = Memory(
            StateFile(folder), faults=lambda: self.faults, tell=self.told.append, wall=lambda: self.wall
        )


def run(story: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(story())


def test_a_households_conversation_is_gone_on_with_after_a_restart(tmp_path: Path) -> None:
    async def story() -> None:
        first = Bench(tmp_path)
        first.memory.keep_handle("a-handle", MODEL)
        await first.memory.close()
        second = Bench(tmp_path)
        second.wall += 100
        kept = second.memory.kept(MODEL, within_s=300.0)
        assert kept is not None
        assert (kept.handle, round(kept.age_s)) == ("a-handle", 100)
        await second.memory.close()

    run(story)


@pytest.mark.parametrize(
    ("model", "later_s", "within_s"),
    [("another-model", 10.0, 300.0), (MODEL, 301.0, 300.0), (MODEL, -50.0, 300.0), (MODEL, 1.0, 0.0)],
)
def test_what_is_too_old_of_another_model_or_of_the_future_is_not(
    tmp_path: Path, model: str, later_s: float, within_s: float
) -> None:
    async def story() -> None:
        bench = Bench(tmp_path)
        bench.memory.keep_handle("a-handle", MODEL)
        bench.wall += later_s
        assert bench.memory.kept(model, within_s) is None
        await bench.memory.close()

    run(story)


def test_a_forgotten_conversation_is_gone_from_the_card_too(tmp_path: Path) -> None:
    async def story() -> None:
        bench = Bench(tmp_path)
        bench.memory.keep_handle("a-handle", MODEL)
        await asyncio.to_thread(bench.memory.file.flush)
        bench.memory.keep_handle(None, "")
        await bench.memory.close()
        assert "a-handle" not in (tmp_path / "state.json").read_text()

    run(story)


def test_a_handle_of_unheard_of_length_is_not_kept(tmp_path: Path) -> None:
    async def story() -> None:
        bench = Bench(tmp_path)
        bench.memory.keep_handle("x" * (MOST_HANDLE + 1), MODEL)
        assert bench.memory.kept(MODEL, 300.0) is None
        await bench.memory.close()

    run(story)


@pytest.mark.parametrize("section", [{"handle": 3, "model": MODEL, "at": 1.0}, {"handle": "h", "model": MODEL}, {}])
def test_a_strange_section_is_no_conversation(tmp_path: Path, section: dict[str, Any]) -> None:
    async def story() -> None:
        bench = Bench(tmp_path)
        bench.memory.put("handle", section)
        assert bench.memory.kept(MODEL, 300.0) is None
        await bench.memory.close()

    run(story)


def test_a_card_that_cannot_be_written_is_a_fault_until_it_can(tmp_path: Path) -> None:
    async def story() -> None:
        (tmp_path / "card").write_text("no folder")
        bench = Bench(tmp_path / "card")
        bench.memory.update(volume=10)
        async with asyncio.timeout(5):
            while not bench.told:  # noqa: ASYNC110  told from a task of the memory's
                await asyncio.sleep(0.01)
        assert isinstance(bench.told[0], ev.FaultRaised)
        assert bench.told[0].fault is Fault.STORAGE
        bench.faults[Fault.STORAGE] = "full"
        (tmp_path / "card").unlink()
        bench.memory.update(volume=11)
        async with asyncio.timeout(5):
            while len(bench.told) < 2:  # noqa: ASYNC110  as above
                await asyncio.sleep(0.01)
        assert bench.told[1] == ev.FaultCleared(Fault.STORAGE)
        await bench.memory.close()

    run(story)
