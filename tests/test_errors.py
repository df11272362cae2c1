"""The error tree: every error says what to do with it, every fault has a number for light and docs."""

from __future__ import annotations

import ast
import inspect
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

import edge_agent
from edge_agent import errors, prompts
from edge_agent.conversation import rules
from edge_agent.errors import (
    FAILURES,
    AgentError,
    ConfigError,
    ConnectionEnded,
    Failure,
    Fault,
    LimitReached,
    Overloaded,
    Reopen,
    Retry,
    Stop,
    failure,
)
from edge_agent.panel import patterns

_ALL = [one for _, one in inspect.getmembers(errors, inspect.isclass) if issubclass(one, AgentError)]


def _made(cls: type[AgentError]) -> AgentError:
    if cls is ConnectionEnded:
        return ConnectionEnded("Line cut. Try later.", code=1011, reason="overload")
    return cls("Line cut. Try later.")


@pytest.mark.parametrize("cls", _ALL)
def test_every_error_is_a_sentence(cls: type[AgentError]) -> None:
    assert str(_made(cls)) == "Line cut. Try later."
    assert cls.__doc__


@pytest.mark.parametrize("cls", [one for one in _ALL if one is not AgentError])
def test_every_error_answers_exactly_one_question(cls: type[AgentError]) -> None:
    """Try again, open anew, stop: or the configuration is wrong and the process ends."""
    answers = [kind for kind in (Retry, Reopen, Stop, ConfigError) if issubclass(cls, kind)]
    assert len(answers) == 1


def test_the_tree_in_the_docstring_is_the_tree() -> None:
    drawn = errors.__doc__ or ""
    for cls in _ALL:
        assert cls.__name__ in drawn


def test_the_caller_may_name_the_fault() -> None:
    error = errors.DeviceError("No microphone.", fault=Fault.MICROPHONE)
    assert error.fault is Fault.MICROPHONE
    assert errors.DeviceError("Something.").fault is None
    assert errors.CredentialError("No key.").fault is Fault.CREDENTIAL


def test_the_closing_code_is_kept() -> None:
    error = ConnectionEnded("Closed.", code=1008, reason="not found")
    assert (error.code, error.reason, error.fault) == (1008, "not found", Fault.SERVICE)


def test_standard_exceptions_are_caught_by_their_usual_names() -> None:
    with pytest.raises(ConnectionError):
        raise errors.NetworkError("No route.")
    with pytest.raises(OSError, match="dead"):
        raise errors.StreamEnded("The stream is dead.")
    with pytest.raises(ValueError, match="wrong"):
        raise ConfigError("wrong")


def test_fault_numbers_stay_what_the_docs_and_stickers_say() -> None:
    assert {fault.name: fault.value for fault in Fault} == {
        "NETWORK": 1, "CLOCK": 2, "CREDENTIAL": 3, "MICROPHONE": 4, "LOUDSPEAKER": 5, "CAMERA": 6, "UPDATE": 7,
        "POWER": 8, "SERVICE": 9, "LIMIT": 10, "BUTTON_STUCK": 11, "STORAGE": 12, "MUTE_SWITCH": 13,
    }  # fmt: skip


def test_exit_codes_stay_what_the_unit_file_says() -> None:
    assert (errors.EXIT_OK, errors.EXIT_FAILED, errors.EXIT_USAGE, errors.EXIT_CONFIG) == (0, 1, 2, 78)


WORDS: dict[str, Any] = {"host": "live.example", "port": 443, "code": 1011, "detail": "a detail"}
ROOT = Path(edge_agent.__file__).parent


@pytest.mark.parametrize(("kind", "row"), FAILURES.items())
def test_every_row_makes_the_error_it_promises(kind: str, row: Failure) -> None:
    error = failure(kind, said="so it is", reason="why", **WORDS)
    assert type(error) is row.error
    assert error.kind == kind
    assert error.fault is row.sign.fault
    assert "{" not in str(error)
    if "{said}" in row.sentence:
        assert str(error).endswith(' The service says: "so it is"')
        assert "says" not in str(failure(kind, **WORDS))
    if isinstance(error, Retry):
        assert error.wait_s == row.wait_s >= 0.0
        assert getattr(failure(kind, wait_s=77.0, **WORDS), "wait_s", None) == 77.0
    if isinstance(error, ConnectionEnded):
        assert (error.code, error.reason) == (1011, "why")


@pytest.mark.parametrize("row", FAILURES.values(), ids=FAILURES)
def test_every_row_can_be_shown_and_said(row: Failure) -> None:
    """The prompt exists in every language, the light is a pattern, the sentence is one."""
    for language in prompts.languages():
        tree = tomllib.loads((ROOT / "prompts" / f"{language}.toml").read_text())
        assert tree[row.sign.prompt]
    lights = tomllib.loads((ROOT / "panel" / "patterns.toml").read_text())
    assert row.sign.light in {*lights, *patterns.FAULT_NAMES}
    assert row.when
    assert row.sentence.removesuffix("{said}").endswith(".") or row.sentence == "{detail}"
    assert row.answer


@pytest.mark.parametrize("row", FAILURES.values(), ids=FAILURES)
def test_the_light_of_a_row_is_what_the_device_at_rest_shows(row: Failure) -> None:
    fault = row.sign.fault
    lines = {Fault.NETWORK: "offline", Fault.CLOCK: "waiting-for-clock", Fault.MUTE_SWITCH: "muted"}
    shown = f"fault-{fault.value}" if fault in rules.BLOCKING else lines.get(fault, "idle")
    assert row.sign.light == shown


def test_every_fault_that_can_be_found_has_a_row_and_every_answer_is_one_of_the_five() -> None:
    assert {row.sign.fault for row in FAILURES.values()} == set(Fault) - {Fault.UPDATE, Fault.POWER}
    assert {row.answer for row in FAILURES.values()} == {words for _, words in errors._ANSWERS}


def test_the_table_in_the_docs_is_the_table_in_the_code() -> None:
    page = (ROOT.parent / "docs" / "network.md").read_text().splitlines()
    table = []
    for row in FAILURES.values():
        wait = f"{row.wait_s:g} s" if row.wait_s else ""
        cells = (row.when, row.answer, wait, str(row.sign.fault.value), row.sign.light, row.sign.prompt)
        table.append(f"| {' | '.join(cells)} |")
    begin = page.index("| what happened | what the device does | waits at least | fault | light | says |") + 2
    assert page[begin : begin + len(table) + 1] == [*table, ""]


def test_the_code_names_no_row_that_is_not_there() -> None:
    """A wrong name would be a KeyError on the day the failure happens."""
    named: set[str] = set()
    for path in ROOT.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "failure":
                named |= {str(leaf.value) for leaf in ast.walk(node.args[0]) if isinstance(leaf, ast.Constant)}
    causes = (ROOT / "live" / "causes.py").read_text()
    named |= set(re.findall(r'"((?:http|close|own|tls|proxy)-[a-z0-9-]+)"', causes))
    assert {name for name in named if name != "proxy-"} <= set(FAILURES)
    assert len(named) > 30


def test_a_retry_says_how_long_to_wait_and_a_stop_does_not() -> None:
    assert Retry("Busy.").wait_s == errors.NetworkError("Cut.").wait_s == 0.0
    assert Overloaded("Full.", wait_s=37.0).wait_s == 37.0
    assert not hasattr(LimitReached("Spent."), "wait_s")
    assert isinstance(failure("http-blocked", code=403, host="h"), errors.Blocked)
    assert AgentError("Something.").kind == ""
