"""The table of verbs, and what it refuses."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.service.verbs import VERBS, refusal

_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda deeper: st.lists(deeper, max_size=3) | st.dictionaries(st.text(max_size=8), deeper, max_size=3),
    max_leaves=8,
)


@pytest.mark.parametrize(
    "request_",
    [
        *({"do": name} for name, verb in VERBS.items() if not any(one.required for one in verb.parameters)),
        {"do": "volume", "volume": 0},
        {"do": "volume", "volume": 100},
        {"do": "ask", "text": "Where is the toilet?"},
        {"do": "cancel", "name": "pasta"},
    ],
)
def test_well_formed(request_: dict[str, Any]) -> None:
    assert refusal(request_) is None


@pytest.mark.parametrize(
    ("request_", "part"),
    [
        ([], "JSON object"),
        ({}, "what to do"),
        ({"do": 3}, "what to do"),
        ({"do": "pres"}, "did you mean press?"),
        ({"do": "fly to the moon"}, "known are"),
        ({"do": "press", "hard": True}, "takes no parameter"),
        ({"do": "volume", "level": 3}, "takes only volume"),
        ({"do": "volume", "volume": 101}, "from 0 to 100"),
        ({"do": "volume", "volume": True}, "whole number"),
        ({"do": "volume", "volume": "50"}, "whole number"),
        ({"do": "ask"}, "needs 'text'"),
        ({"do": "cancel"}, "needs 'name'"),
        ({"do": "ask", "text": "  "}, "not empty"),
        ({"do": "ask", "text": "x" * 9000}, "9000 characters"),
    ],
)
def test_refused_with_a_sentence(request_: object, part: str) -> None:
    sentence = refusal(request_)
    assert sentence is not None
    assert part in sentence


@given(
    _JSON
    | st.fixed_dictionaries({"do": st.sampled_from(sorted(VERBS)) | _JSON}, optional={"volume": _JSON, "text": _JSON})
)
def test_any_json_gets_a_verdict(request_: object) -> None:
    sentence = refusal(request_)
    assert sentence is None or sentence


def test_the_verbs_of_the_design_exist() -> None:
    assert set(VERBS) == {
        "status", "press", "release", "tap", "mute", "unmute", "volume", "ask", "look", "watch", "metrics", "end",
        "record", "timers", "cancel", "say", "converse", "wake-log", "account",
    }  # fmt: skip
