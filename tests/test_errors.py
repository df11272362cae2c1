"""The error tree: every error says what to do with it, every fault has a number for light and docs."""

from __future__ import annotations

import inspect

import pytest

from edge_agent import errors
from edge_agent.errors import AgentError, ConfigError, ConnectionEnded, Fault, Reopen, Retry, Stop

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
        "POWER": 8, "SERVICE": 9, "LIMIT": 10, "BUTTON_STUCK": 11, "STORAGE": 12,
    }  # fmt: skip


def test_exit_codes_stay_what_the_unit_file_says() -> None:
    assert (errors.EXIT_OK, errors.EXIT_FAILED, errors.EXIT_USAGE, errors.EXIT_CONFIG) == (0, 1, 2, 78)
