"""Every call is answered, whatever the tool does."""
# ruff: noqa: ASYNC110  the stories wait for threads by turning the loop

from __future__ import annotations

import asyncio
import json
import logging
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from edge_agent.errors import Stop
from edge_agent.tools.builtin import NoDevice, device_tools
from edge_agent.tools.declare import Tool, declare, tool
from edge_agent.tools.runner import MAX_ANSWER_BYTES, MAX_RUNNING, Answer, Call, ToolRunner

gate = threading.Event()


def add(a: int, b: int = 1) -> int:
    """Add."""
    return a + b


async def add_later(a: int) -> dict[str, int]:
    """Add, asynchronously."""
    await asyncio.sleep(0)
    return {"sum": a + 1}


def coroutine_from_a_plain_function() -> Awaitable[dict[str, int]]:
    """Return a coroutine."""
    return add_later(1)


def nothing() -> None:
    """Do something without an answer."""


def wrong() -> None:
    """Fail."""
    raise ValueError("the thermometer is gone")


def unreadable() -> None:
    """Fail over a file whose name is no text."""
    raise FileNotFoundError("caf\udce9.txt is not there")


def refuse() -> None:
    """Refuse."""
    raise Stop("The shop is closed.")


def leave() -> None:
    """Try to end the program."""
    raise SystemExit(1)


def stop_iteration() -> None:
    """Raise what a future cannot carry."""
    raise StopIteration


async def cancel_itself() -> None:
    """Raise what looks like a cancellation."""
    raise asyncio.CancelledError


def own_timeout() -> None:
    """Fail by a time-out of its own."""
    raise TimeoutError("no answer from 10.0.0.9")


def long_answer() -> str:
    """Say too much."""
    return just_fits() + "x"


def just_fits() -> str:
    """Say just enough."""
    return "x" * (MAX_ANSWER_BYTES - len('{"result":""}'))


def not_json() -> object:
    """Answer with an object."""
    return object()


async def stubborn() -> str:
    """Refuse to be cancelled."""
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        return "never mind"
    return "never"


@tool(deadline_s=0.02)
async def deaf() -> None:
    """Go on after being cancelled."""
    while not gate.is_set():
        try:
            await asyncio.sleep(0.01)
        except asyncio.CancelledError:
            continue


@tool(scheduling="when-idle", behaviour="non-blocking")
async def timely() -> str:
    """Answer when there is a pause."""
    return "now"


@tool(scheduling="interrupt", behaviour="blocking")
async def awaited() -> str:
    """Answer while the model waits."""
    return "now"


@tool(deadline_s=0.02)
def hang() -> None:
    """Wait for the gate."""
    gate.wait(20)


@tool(deadline_s=0.02)
async def hang_later() -> None:
    """Wait for ever."""
    await asyncio.Event().wait()


_TOOLS: dict[str, Tool] = {
    function.__name__: declare(function)
    for function in (
        add, add_later, coroutine_from_a_plain_function, nothing, wrong, refuse, leave, stop_iteration, cancel_itself,
        own_timeout, long_answer, just_fits, not_json, stubborn, unreadable, hang, hang_later, deaf,
        timely, awaited,
    )
}  # fmt: skip


@pytest.fixture(autouse=True)
def _open_the_gate_at_the_end() -> Any:
    gate.clear()
    yield
    gate.set()
    for thread in threading.enumerate():
        if thread.name.startswith("tool "):
            thread.join(10)


def _story(story: Callable[[ToolRunner, list[Answer]], Awaitable[None]]) -> list[Answer]:
    answers: list[Answer] = []

    async def run() -> None:
        runner = ToolRunner(_TOOLS, deadline_s=10, on_answer=answers.append)
        await asyncio.wait_for(story(runner, answers), 20)
        closing = asyncio.ensure_future(runner.close())
        await asyncio.sleep(0)
        gate.set()  # what does not end by itself ends now
        await closing
        await asyncio.sleep(0.02)  # threads end while their loop still lives, so nothing is left behind

    asyncio.run(run())
    return answers


def _run(name: str, **arguments: Any) -> dict[str, Any]:
    responses = []

    async def story(runner: ToolRunner, _answers: list[Answer]) -> None:
        responses.append((await runner.run(Call("1", name, arguments))).response)

    _story(story)
    return responses[0]


@pytest.mark.parametrize(
    ("name", "arguments", "result"),
    [
        ("add", {"a": 2}, 3),
        ("add", {"a": 2.0, "b": 3}, 5),
        ("add_later", {"a": 2}, {"sum": 3}),
        ("coroutine_from_a_plain_function", {}, {"sum": 2}),
        ("nothing", {}, "done"),
    ],
)
def test_a_result(name: str, arguments: dict[str, Any], result: Any) -> None:
    assert _run(name, **arguments) == {"result": result}


@pytest.mark.parametrize(
    ("name", "arguments", "part"),
    [
        ("fly", {}, "there is no tool fly; known tools: add, add_later"),
        ("add", {}, "add needs the argument a"),
        ("add", {"a": "x"}, "argument a of add must be a whole number"),
        ("wrong", {}, "wrong failed: ValueError: the thermometer is gone"),
        ("refuse", {}, "The shop is closed."),
        ("unreadable", {}, "unreadable failed: FileNotFoundError: caf?.txt is not there"),
        ("leave", {}, "it raised SystemExit"),
        ("stop_iteration", {}, "StopIteration"),
        ("cancel_itself", {}, "it cancelled itself"),
        ("own_timeout", {}, "own_timeout failed: TimeoutError: no answer from 10.0.0.9"),
        ("long_answer", {}, "at most 16384 are passed on"),
        ("not_json", {}, "not JSON"),
        ("hang", {}, "hang took longer than 0.02 s"),
        ("hang_later", {}, "hang_later took longer than 0.02 s"),
        ("deaf", {}, "deaf took longer than 0.02 s"),
    ],
)
def test_whatever_goes_wrong_is_an_answer(
    name: str, arguments: dict[str, Any], part: str, caplog: pytest.LogCaptureFixture
) -> None:
    # what is logged of a name that is no text could not be handed from one process of the tests to another
    with caplog.at_level(logging.CRITICAL, logger="edge_agent.tools.runner"):
        response = _run(name, **arguments)
    assert list(response) == ["error"]
    assert part in response["error"]
    assert response["error"].encode(), "the line can carry it"


def test_an_answer_of_just_the_limit_passes() -> None:
    assert len(json.dumps(_run("just_fits"), separators=(",", ":"))) == MAX_ANSWER_BYTES


def test_calls_run_side_by_side_and_are_answered_as_they_finish() -> None:
    async def story(runner: ToolRunner, answers: list[Answer]) -> None:
        runner.start([Call("slow", "hang", {}), Call("quick", "add", {"a": 1}), Call("bad", "fly", {})])
        assert runner.pending == {"slow", "quick", "bad"}
        while runner.pending:
            await asyncio.sleep(0.001)
        assert len(answers) == 3

    answers = _story(story)
    assert [answer.id for answer in answers][-1] == "slow"
    assert {answer.id: answer.ok for answer in answers} == {"slow": False, "quick": True, "bad": False}
    assert all(answer.seconds >= 0 for answer in answers)


def test_a_cancelled_call_is_never_answered() -> None:
    async def story(runner: ToolRunner, _answers: list[Answer]) -> None:
        runner.start(
            [Call("a", "hang", {}), Call("b", "hang_later", {}), Call("s", "stubborn", {}), Call("c", "add", {"a": 1})]
        )
        await asyncio.sleep(0)
        runner.cancel(["a", "b", "s", "unknown"])
        gate.set()
        while runner.pending:
            await asyncio.sleep(0.001)
        await asyncio.sleep(0.05)

    assert [answer.id for answer in _story(story)] == ["c"]


def test_how_an_answer_enters_the_talk_is_spelled_as_the_service_takes_it() -> None:
    async def story(runner: ToolRunner, answers: list[Answer]) -> None:
        runner.start([Call(name, name, {}) for name in ("timely", "awaited", "add_later", "fly")])
        while len(answers) < 4:
            await asyncio.sleep(0.001)

    entries = {answer.id: answer.scheduling for answer in _story(story)}
    assert entries == {"timely": "WHEN_IDLE", "awaited": None, "add_later": None, "fly": None}


def test_a_doubled_id_is_answered_once() -> None:
    async def story(runner: ToolRunner, _answers: list[Answer]) -> None:
        runner.start([Call("a", "add", {"a": 1}), Call("a", "add", {"a": 2})])
        while runner.pending:
            await asyncio.sleep(0.001)

    answers = _story(story)
    assert [answer.response for answer in answers] == [{"result": 2}]


def test_hanging_tools_are_bounded_and_the_rest_is_told() -> None:
    async def story(runner: ToolRunner, answers: list[Answer]) -> None:
        runner.start([Call(str(number), "hang", {}) for number in range(MAX_RUNNING)])
        while len(answers) < MAX_RUNNING:
            await asyncio.sleep(0.001)
        late = await runner.run(Call("late", "add", {"a": 1}))
        assert "tools are running already" in late.response["error"]
        gate.set()
        while not (await runner.run(Call("later", "add", {"a": 1}))).ok:
            await asyncio.sleep(0.001)

    assert len(_story(story)) == MAX_RUNNING


def test_closing_drops_what_still_runs() -> None:
    async def story(runner: ToolRunner, _answers: list[Answer]) -> None:
        runner.start([Call("a", "hang", {}), Call("b", "hang_later", {})])

    assert _story(story) == []


def test_other_tools_serve_the_calls_to_come() -> None:
    async def story(runner: ToolRunner, _answers: list[Answer]) -> None:
        runner.replace({})
        assert "there is no tool add; known tools: none" in (await runner.run(Call("1", "add", {}))).response["error"]

    _story(story)


class _Device(NoDevice):
    def __init__(self) -> None:
        self.did: list[Any] = []

    def set_volume(self, volume: int) -> None:
        self.did.append(volume)

    def end_conversation(self) -> None:
        self.did.append("end")

    async def look(self) -> None:
        self.did.append("look")

    def status(self) -> dict[str, Any]:
        return {"volume": 40}


def test_the_devices_own_tools() -> None:
    device = _Device()
    tools = {one.__name__: declare(one) for one in device_tools(device, camera=True)}

    async def run() -> list[dict[str, Any]]:
        runner = ToolRunner(tools, deadline_s=5, on_answer=lambda _: None)
        calls = [
            Call("1", "set_volume", {"volume": 30}),
            Call("2", "set_volume", {"volume": 300}),
            Call("3", "device_status", {}),
            Call("4", "look", {}),
            Call("5", "end_conversation", {}),
        ]
        return [(await runner.run(call)).response for call in calls]

    responses = asyncio.run(run())
    assert device.did == [30, "look", "end"]
    assert responses[1] == {"error": "volume must be from 0 to 100"}
    assert responses[2] == {"result": {"volume": 40}}
    assert all("result" in responses[number] for number in (0, 3, 4))


def test_without_a_camera_the_model_is_not_offered_one() -> None:
    names = [one.__name__ for one in device_tools(NoDevice(), camera=False)]
    assert names == ["set_volume", "end_conversation", "device_status"]
    assert not any("mute" in name for name in names), "mute cannot be undone by the model"
