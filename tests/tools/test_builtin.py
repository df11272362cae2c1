"""What the model may do about the microphone and about timers, as it reads it and as it is answered."""

from __future__ import annotations

import asyncio
import inspect
from typing import Any

import pytest

from edge_agent.errors import Stop
from edge_agent.tools.builtin import NoDevice, device_tools
from edge_agent.tools.declare import declare
from edge_agent.tools.runner import Call, ToolRunner


class _Timers:
    """Notes what was wished for."""

    def __init__(self) -> None:
        self.wished: list[tuple[Any, ...]] = []

    def set_timer(self, duration_s: int, name: str) -> dict[str, Any]:
        self.wished.append(("timer", duration_s, name))
        return {"name": name or "1", "rings_in_s": duration_s}

    def set_alarm(self, time: str, name: str) -> dict[str, Any]:
        if time == "soon":
            raise Stop("'soon' is no time.")
        self.wished.append(("alarm", time, name))
        return {"name": name or "1", "at": time}

    def cancel_timer(self, name: str) -> dict[str, Any]:
        self.wished.append(("cancel", name))
        return {"name": name}

    def list_timers(self) -> dict[str, Any]:
        return {"timers": [], "missed": []}


def _responses(tools: list[Any], *calls: tuple[str, dict[str, Any]]) -> list[dict[str, Any]]:
    async def run() -> list[dict[str, Any]]:
        runner = ToolRunner({one.__name__: declare(one) for one in tools}, deadline_s=5, on_answer=lambda _: None)
        return [(await runner.run(Call(name, name, arguments))).response for name, arguments in calls]

    return asyncio.run(run())


def test_timers_and_alarms_are_set_listed_and_cancelled() -> None:
    timers = _Timers()
    responses = _responses(
        device_tools(NoDevice(), camera=False, timers=timers),
        ("set_timer", {"duration_s": 600.0, "name": "pasta"}),
        ("set_timer", {"duration_s": 60}),
        ("set_alarm", {"time": "07:00"}),
        ("set_alarm", {"time": "soon"}),
        ("set_timer", {"duration_s": "ten minutes"}),
        ("cancel_timer", {"name": "pasta"}),
        ("list_timers", {}),
    )
    assert timers.wished == [("timer", 600, "pasta"), ("timer", 60, ""), ("alarm", "07:00", ""), ("cancel", "pasta")]
    assert responses == [
        {"result": {"name": "pasta", "rings_in_s": 600}},
        {"result": {"name": "1", "rings_in_s": 60}},
        {"result": {"name": "1", "at": "07:00"}},
        {"error": "'soon' is no time."},
        {"error": "argument duration_s of set_timer must be a whole number"},
        {"result": {"name": "pasta"}},
        {"result": {"timers": [], "missed": []}},
    ]


class _Capped(NoDevice):
    """A device that is never louder than 70."""

    def set_volume(self, volume: int) -> str | None:  # type: ignore[override]
        """Say so."""
        return "The volume is now 70, the loudest this device may be." if volume > 70 else None


def test_the_model_learns_that_there_is_a_loudest() -> None:
    responses = _responses(
        device_tools(_Capped(), camera=False), ("set_volume", {"volume": 90}), ("set_volume", {"volume": 50})
    )
    assert [one["result"] for one in responses] == [
        "The volume is now 70, the loudest this device may be.",
        "The volume is now 50.",
    ]


def test_the_model_mutes_and_learns_that_only_a_person_undoes_it() -> None:
    muted: list[str] = []
    tools = device_tools(NoDevice(), camera=False, mute=lambda: muted.append("muted"))
    (response,) = _responses(tools, ("mute_microphone", {}))
    assert muted == ["muted"]
    assert "cannot undo it" in response["result"]
    assert "only somebody at the device can, by pressing its button." in response["result"]
    handset = device_tools(NoDevice(), camera=False, mute=lambda: None, unmuting="lifting its handset anew")
    (response,) = _responses(handset, ("mute_microphone", {}))
    assert "by lifting its handset anew." in response["result"]


def test_there_is_no_way_back_from_mute_for_the_model() -> None:
    tools = [declare(one) for one in device_tools(NoDevice(), camera=True, mute=lambda: None, timers=_Timers())]
    assert [tool.name for tool in tools if "mute" in tool.name] == ["mute_microphone"]
    (mute,) = [tool for tool in tools if tool.name == "mute_microphone"]
    assert mute.parameters == (), "no argument turns it round"


def test_what_outlives_a_conversation_is_offered_only_where_it_is_given() -> None:
    plain = {one.__name__ for one in device_tools(NoDevice(), camera=True)}
    assert plain == {"set_volume", "end_conversation", "device_status", "look"}


def test_every_tool_and_parameter_is_explained_to_the_model() -> None:
    for one in device_tools(NoDevice(), camera=True, mute=lambda: None, timers=_Timers()):
        tool = declare(one)
        assert tool.description.endswith("."), tool.name
        assert all(parameter.description for parameter in tool.parameters), tool.name


@pytest.mark.parametrize(
    ("name", "arguments", "part"),
    [
        ("set_timer", {"duration_s": 60, "name": "tea"}, "a timer of 60 s named tea"),
        ("set_alarm", {"time": "07:00"}, "an alarm for 07:00."),
        ("cancel_timer", {"name": "tea"}, "ctl cancel tea"),
        ("list_timers", {}, "ctl timers"),
        ("mute_microphone", {}, "ctl mute"),
    ],
)
def test_without_a_daemon_each_says_so(name: str, arguments: dict[str, Any], part: str) -> None:
    nobody = NoDevice()
    tools = device_tools(nobody, camera=False, mute=nobody.mute, timers=nobody)
    (response,) = _responses(tools, (name, arguments))
    assert "Only the running daemon" in response["error"]
    assert part in response["error"]
    assert all(inspect.iscoroutinefunction(one) for one in tools), "the device belongs to the event loop"
