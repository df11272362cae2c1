"""A twin that speaks what it is given, and the configuration of a device that talks with it."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from harness import KEY
from showing import Shown

from edge_agent.simulator import Say, Script, Step, SyncTwin, Turn
from edge_agent.simulator.sound import noise, silence

Answers = dict[str, list[tuple[Step, ...]]]


def asked_for(turn: Turn) -> str:
    """The words that are to be spoken."""
    found = re.search(r"<<<(.*)>>>", turn.text)
    assert found, turn.text
    return found[1]


def seconds_for(text: str) -> float:
    """How long somebody speaks these words."""
    return 0.05 * len(text)


def speech(text: str) -> bytes:
    """Some sound, as long as the words are, between silences; 24 kHz s16le."""
    return silence(0.4) + noise(seconds_for(text), seed=len(text)) + silence(0.6)


def spoken(text: str, words: str | None = None, **more: Any) -> Say:
    """The step that speaks a text, with other words as its transcript if any are given."""
    return Say(text if words is None else words, speech(text), **{"pace": 0, **more})


def speaker(answers: Answers | None = None, **more: Any) -> Script:
    """A script that speaks what it is asked for; `answers` come first, by the sentence they answer."""
    left = {text: list(steps) for text, steps in (answers or {}).items()}

    async def brain(turn: Turn) -> AsyncIterator[Step]:
        text = asked_for(turn)
        if left.get(text):
            for step in left[text].pop(0):
                yield step
        else:
            yield spoken(text)

    return Script(rules=(), brain=brain, **{"think_s": 0.0, "turn_complete": "sent", **more})


@pytest.fixture
def twin() -> Iterator[SyncTwin]:
    """Speaks what it is given; every session must have kept to the service's rules."""
    with SyncTwin(speaker(), key=KEY) as running:
        yield running
        assert not running.twin.errors
        assert not [violation for session in running.sessions for violation in session.violations]


@pytest.fixture
def configured(tmp_path: Path) -> Callable[..., Path]:
    """Write key and configuration for a service at an address; `live` is TOML of that table, `more` follows it."""

    def write(url: str, *, live: str = "", more: str = "") -> Path:
        key = tmp_path / "key"
        key.write_text(KEY)
        key.chmod(0o600)
        path = tmp_path / "config.toml"
        path.write_text(
            f'[live]\nurl = "{url}"\ncredential = "file:{key}"\n{live}\n'
            f'[conversation]\nprompts_folder = "{tmp_path / "prompts"}"\nanswer_timeout_s = 1.0\n{more}\n'
        )
        return path

    return write


@pytest.fixture(autouse=True)
def _no_key_is_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[None]:
    """Whatever is told, the key is not in it."""
    shown = Shown()
    with shown.listening(0):
        yield
    out, err = capsys.readouterr()
    shown.add("stdout", out)
    shown.add("stderr", err)
    shown.files(tmp_path)
    assert not shown.of(KEY)
