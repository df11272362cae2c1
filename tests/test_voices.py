"""The thirty voices, and the names a person may get wrong."""

from __future__ import annotations

import pytest

from edge_agent.errors import ConfigError
from edge_agent.voices import VOICES, check_voice


def test_there_are_thirty_voices_and_case_does_not_matter() -> None:
    assert len(VOICES) == 30
    assert [check_voice(voice.upper()) for voice in VOICES] == list(VOICES)


def test_a_voice_that_does_not_exist_is_answered_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"did you mean .*Puck"):
        check_voice("Pucks")
    with pytest.raises(ConfigError, match="the voices are Achernar, "):
        check_voice("qqqqqq")
