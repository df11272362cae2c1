"""Frames that are broken, cut short, or absurd: hundreds of them, and the next question is answered all the same."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from faults.scene import Scene, play
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge_agent.simulator import Oversized, Raw, Rule, Say, Script, Step, Truncated, When
from edge_agent.simulator.sound import tone

GOLDEN = Path(__file__).parents[1] / "live" / "data" / "golden-server.jsonl"
LINES = [json.loads(line) for line in GOLDEN.read_text().splitlines() if line]
MESSAGES = [json.dumps(line["message"]) for line in LINES if isinstance(line.get("message"), dict) and line["message"]]
QUIET = "Are you still there?"
ODD: list[Any] = [None, True, -1, 0, 2**63, 1e308, "", "x" * 5_000, [], {}, [[]], {"a": {"b": {}}}, "AAAA", "9.5s"]


@st.composite
def bent(draw: st.DrawFn) -> str:
    """A message of the service with one value in it replaced by something that does not belong there."""
    tree = json.loads(draw(st.sampled_from(MESSAGES)))
    node: Any = tree
    while isinstance(node, dict | list) and node:
        key = draw(st.sampled_from(sorted(node))) if isinstance(node, dict) else draw(st.integers(0, len(node) - 1))
        deeper = node[key]
        if not isinstance(deeper, dict | list) or not deeper or draw(st.integers(0, 3)) == 0:
            node[key] = draw(st.sampled_from(ODD))
            break
        node = deeper
    return json.dumps(tree)


@st.composite
def cut_short(draw: st.DrawFn) -> bytes:
    """A message without its end, which may fall into the middle of a letter."""
    whole = draw(st.sampled_from(MESSAGES)).encode()
    return whole[: draw(st.integers(0, max(0, len(whole) - 1)))]


@st.composite
def flipped(draw: st.DrawFn) -> bytes:
    """A message with a few bytes changed."""
    data = bytearray(draw(st.sampled_from(MESSAGES)).encode())
    for _ in range(draw(st.integers(1, 4))):
        data[draw(st.integers(0, len(data) - 1))] = draw(st.integers(0, 255))
    return bytes(data)


STEPS: st.SearchStrategy[Step] = st.one_of(
    bent().map(Raw),
    cut_short().map(Raw),
    flipped().map(Raw),
    st.binary(max_size=300).map(Raw),
    st.integers(1, 200).map(lambda deep: Raw("[" * deep * 100)),
    st.sampled_from([Oversized(3_000_000), Oversized(40_000_000), Truncated()]),
)


@settings(max_examples=32, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(frames=st.lists(STEPS, min_size=7, max_size=14))
def test_hundreds_of_bad_frames(
    tmp_path_factory: pytest.TempPathFactory,
    caplog: pytest.LogCaptureFixture,
    seen: Callable[[int], None],
    frames: list[Step],
) -> None:
    seen(len(frames))
    caplog.clear()
    caplog.set_level(logging.WARNING)

    async def story(scene: Scene) -> None:
        await scene.talk_begun()
        await scene.twin.answer(Say("One moment.", sound=tone(0.5)))
        await scene.ask(1.0)
        for frame in frames:
            await scene.twin.perform(frame)
            await asyncio.sleep(0.05)
        await asyncio.sleep(20.0)  # whatever was said, wrongly, is over by now
        await scene.device.do("end")
        await asyncio.sleep(1.0)
        await scene.device.do("ask", text=QUIET)
        await scene.answered()

    script = Script(
        rules=(Rule(when=When(text=QUIET), steps=(Say("Yes.", sound=tone(0.4)),)), Rule((Say("So.", sound=tone(0.4)),)))
    )
    outcome = play(
        tmp_path_factory.mktemp("bad"), story, script=script, audio={"block_ms": 100}, live={"message_ms": 100}
    )
    assert outcome.answers == 1
    errors = [record for record in caplog.records if record.exc_info or "defect" in record.getMessage()]
    assert not errors, "nothing a service sends may look like a defect of the device"


@pytest.fixture(scope="module")
def seen() -> Any:
    """Counts the frames that were tried."""
    total = 0

    def count(frames: int) -> None:
        nonlocal total
        total += frames

    yield count
    assert total >= 200, f"only {total} frames were tried"
