"""The right words for what a device has."""

from __future__ import annotations

from typing import Any

import pytest

from edge_agent import config as settings
from edge_agent.agent.silence import By
from edge_agent.agent.wording import wording
from edge_agent.prompts import NAMES

KIOSK: dict[str, Any] = {}
TAPPED = {"mode": "speaker"}
CALLED = {"mode": "speaker", "wake": {"word": "okay_nabu"}}
LIFTED = {"panel": {"button": "hook"}}


@pytest.mark.parametrize(
    ("device", "name"),
    [
        (KIOSK, "conversation_too_long"),
        (TAPPED, "conversation_too_long"),
        (CALLED, "conversation_too_long_wake"),
        (LIFTED, "conversation_too_long_handset"),
    ],
)
def test_whoever_is_to_begin_anew_is_told_how(device: dict[str, Any], name: str) -> None:
    config = settings.parse(device, source="test")
    assert wording("conversation_too_long", config, muted_by=None) == name
    assert name in NAMES


@pytest.mark.parametrize(
    ("by", "name"),
    [("ctl", "muted"), ("person", "muted"), (None, "muted"), ("switch", "muted_by_switch"), ("fault", "fault-13")],
)
def test_whoever_speaks_to_a_mute_device_is_told_who_can_help(by: By | None, name: str) -> None:
    assert wording("muted", settings.parse({}, source="test"), muted_by=by) == name
    assert name in NAMES


@pytest.mark.parametrize("prompt", sorted(NAMES))
def test_other_sentences_are_said_as_they_are_called(prompt: str) -> None:
    assert wording(prompt, settings.parse(KIOSK, source="test"), muted_by=None) == prompt
