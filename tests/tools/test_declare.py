"""From signature to declaration, and from the model's JSON to arguments."""

from __future__ import annotations

import enum
import json
from typing import Any, Literal, Optional

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.tools.declare import BadArguments, CannotDeclare, declare, tool


class Wing(enum.Enum):
    NORTH = "north"
    SOUTH = "south"


def opening_hours(  # noqa: D417, PLR0917  such signatures come
    day: Literal["weekday", "weekend"],
    rooms: list[int],
    wing: Wing = Wing.NORTH,
    price: float = 0.0,
    guided: bool | None = None,
    note: Optional[str] = None,  # noqa: UP045  the spelling many owners know
) -> str:
    """Tell when the museum is open,
    and where.

    Use it for any question about opening times.

    Args:
        day: The kind of day.
        rooms (list): Room numbers,
            as on the plan.
        wing: Which wing.

    Returns:
        A sentence.
    """  # noqa: D205  owners write such docstrings
    return f"{day} {rooms} {wing.value} {price} {guided} {note}"


def test_a_signature_becomes_the_services_schema() -> None:
    assert declare(opening_hours).declaration() == {
        "name": "opening_hours",
        "description": "Tell when the museum is open, and where. Use it for any question about opening times.",
        "parameters": {
            "type": "OBJECT",
            "properties": {
                "day": {
                    "type": "STRING",
                    "enum": ["weekday", "weekend"],
                    "description": "The kind of day.",
                },
                "rooms": {
                    "type": "ARRAY",
                    "items": {"type": "INTEGER"},
                    "description": "Room numbers, as on the plan.",
                },
                "wing": {
                    "type": "STRING",
                    "enum": ["north", "south"],
                    "description": "Which wing.",
                },
                "price": {"type": "NUMBER"},
                "guided": {"type": "BOOLEAN", "nullable": True},
                "note": {"type": "STRING", "nullable": True},
            },
            "required": ["day", "rooms"],
        },
    }


def test_no_parameters_means_no_schema() -> None:
    @tool(name="now", behaviour="non-blocking", deadline_s=2, scheduling="silent")
    def what_time_is_it() -> str:
        """Tell the time."""
        return "noon"

    declared = declare(what_time_is_it, source="a file")
    assert declared.declaration() == {"name": "now", "description": "Tell the time.", "behavior": "NON_BLOCKING"}
    assert (declared.options.deadline_s, declared.options.scheduling, declared.source) == (2, "silent", "a file")
    assert what_time_is_it() == "noon", "a marked function is still the function"


def test_a_plain_mark_changes_nothing() -> None:
    @tool
    def ping() -> str:
        """Ping."""
        return "pong"

    assert declare(ping).declaration() == {"name": "ping", "description": "Ping."}


def test_arguments_arrive_as_the_function_expects_them() -> None:
    declared = declare(opening_hours)
    arguments = declared.arguments({"day": "weekend", "rooms": [1, 2.0], "wing": "south", "price": 3, "guided": None})
    assert arguments == {"day": "weekend", "rooms": [1, 2], "wing": Wing.SOUTH, "price": 3.0, "guided": None}
    assert isinstance(arguments["rooms"][1], int)
    assert isinstance(arguments["price"], float)
    assert declared.function(**arguments) == "weekend [1, 2] south 3.0 None None"


@pytest.mark.parametrize(
    ("given_", "part"),
    [
        ({}, "needs the argument day"),
        ({"day": "weekend"}, "needs the argument rooms"),
        ({"day": "sunday", "rooms": []}, "argument day of opening_hours must be one of weekday, weekend"),
        ({"day": 3, "rooms": []}, "must be a string"),
        ({"day": None, "rooms": []}, "must not be null"),
        ({"day": "weekend", "rooms": 3}, "argument rooms of opening_hours must be an array"),
        ({"day": "weekend", "rooms": [1, "2"]}, "rooms of opening_hours[1] must be a whole number"),
        ({"day": "weekend", "rooms": [1.5]}, "must be a whole number"),
        ({"day": "weekend", "rooms": [True]}, "must be a whole number"),
        ({"day": "weekend", "rooms": [], "price": True}, "must be a number"),
        ({"day": "weekend", "rooms": [], "guided": 1}, "must be true or false"),
        ({"day": "weekend", "rooms": [], "colour": "red"}, "has no argument colour; it takes only day, rooms"),
    ],
)
def test_wrong_arguments_are_explained_to_the_model(given_: dict[str, Any], part: str) -> None:
    with pytest.raises(BadArguments) as caught:
        declare(opening_hours).arguments(given_)
    assert part in str(caught.value)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda deeper: st.lists(deeper, max_size=3) | st.dictionaries(st.text(max_size=4), deeper, max_size=2),
)


@given(
    st.dictionaries(st.sampled_from(["day", "rooms", "wing", "price", "guided", "note"]) | st.text(max_size=4), _JSON)
)
def test_any_json_fits_or_is_refused(given_: dict[str, Any]) -> None:
    declared = declare(opening_hours)
    try:
        arguments = declared.arguments(given_)
    except BadArguments as error:
        assert "opening_hours" in str(error)  # noqa: PT017  the arguments may also fit
    else:
        assert declared.function(**arguments)


def _undocumented(x: int) -> None: ...


def _bare(x) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001
    """Do."""


def _starred(*things: str) -> None:
    """Do."""


def _keywords(**things: str) -> None:
    """Do."""


def _positional(x: int, /) -> None:
    """Do."""


def _mapping(x: dict[str, int]) -> None:
    """Do."""


def _either(x: int | str) -> None:
    """Do."""


def _numbers(x: Literal[1, 2]) -> None:
    """Do."""


def _deep(x: list[dict[str, int]]) -> None:
    """Do."""


def _unknown(x: Nowhere) -> None:  # type: ignore[name-defined]  # noqa: F821
    """Do."""


def _misdescribed(x: int) -> None:  # noqa: D417  what is tested
    """Do.

    Args:
        y: Not there.
    """


@tool(name="two words")
def _badly_named() -> None:
    """Do."""


@pytest.mark.parametrize(
    ("function", "part"),
    [
        (_undocumented, "has no docstring"),
        (_bare, "_bare: parameter x has no annotation; allowed are str, int"),
        (_starred, "parameter things cannot be passed by name"),
        (_keywords, "parameter things cannot be passed by name"),
        (_positional, "parameter x cannot be passed by name"),
        (_mapping, "parameter x has the type dict[str, int]; allowed are"),
        (_either, "parameter x has the type"),
        (_numbers, "Literal[1, 2]"),
        (_deep, "dict[str, int]"),
        (_unknown, "Nowhere"),
        (_misdescribed, "describes y, which it does not take"),
        (_badly_named, "two words: a tool's name has up to 64 letters"),
    ],
)
def test_what_cannot_be_declared_is_refused_by_name(function: Any, part: str) -> None:
    with pytest.raises(CannotDeclare) as caught:
        declare(function)
    assert part in str(caught.value)


def test_a_declaration_is_plain_json() -> None:
    assert json.loads(json.dumps(declare(opening_hours).declaration())) == declare(opening_hours).declaration()


@pytest.mark.parametrize(
    ("taken", "behavior"),
    [
        (None, "NON_BLOCKING"),
        (("BLOCKING", "NON_BLOCKING"), "NON_BLOCKING"),
        (("BLOCKING",), None),
        ((), None),
    ],
)
def test_a_behaviour_that_a_family_of_models_does_not_take_is_left_out(
    taken: tuple[str, ...] | None, behavior: str | None
) -> None:
    @tool(behaviour="non-blocking")
    def beside() -> None:
        """Work beside the talk."""

    assert declare(beside).declaration(taken).get("behavior") == behavior
