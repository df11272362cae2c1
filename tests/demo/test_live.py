"""`demo --live`: refused with a sentence where it cannot be, and the keyboard is the button where it can."""

from __future__ import annotations

import argparse
import io
import os
import termios
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edge_agent import config
from edge_agent.demo import command, live
from edge_agent.demo.daemon import Daemon, socket_path
from edge_agent.demo.journal import Journal
from edge_agent.demo.settings import KEY_VARIABLE, live_config
from edge_agent.errors import EXIT_CONFIG, EXIT_FAILED
from edge_agent.simulator import Rule, Say, Script, SyncTwin


def arguments(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    return parser.parse_args(words)


def keys(*pressed: str | None) -> Callable[[], str | None]:
    left = list(pressed)
    return lambda: left.pop(0) if left else "q"


def test_without_a_key_a_sentence_says_where_to_get_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.run(arguments("--live", "--out", str(tmp_path))) == EXIT_CONFIG
    said = capsys.readouterr().err
    assert "GEMINI_API_KEY" in said
    assert "aistudio.google.com" in said
    assert "Traceback" not in said


def test_without_a_terminal_there_is_no_button(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GEMINI_API_KEY", "secret-key")
    monkeypatch.setattr("sys.stdin", io.StringIO())
    assert command.run(arguments("--live", "--out", str(tmp_path))) == EXIT_FAILED
    said = capsys.readouterr().err
    assert "terminal" in said
    assert "secret-key" not in said


def test_live_and_fast_exclude_each_other(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.run(arguments("--live", "--fast", "--out", str(tmp_path))) == EXIT_FAILED
    assert "choose one" in capsys.readouterr().err


def test_an_empty_key_is_no_key() -> None:
    assert live.why_not({"GEMINI_API_KEY": " "}, terminal=True)
    assert live.why_not({"GEMINI_API_KEY": "k"}, terminal=True) is None


def test_the_own_microphone_and_loudspeaker_are_the_default() -> None:
    args = arguments("--live")
    assert (args.microphone, args.loudspeaker) == ("pyaudio:default", "pyaudio:default")
    assert args.camera.startswith("files:")


def test_keys_drive_the_device_until_one_says_to_leave() -> None:
    journal, done = Journal(), []

    def call(request: dict[str, Any]) -> dict[str, Any]:
        done.append(request["do"])
        return {"ok": True}

    live.talk(call, keys(" ", None, "x", "\n", "m", "m", "e", "q", " "), journal)
    assert done == ["tap", "tap", "mute", "unmute", "end"]
    assert [entry.event for entry in journal.entries()] == ["press", "release"] * 2


def test_keys_come_one_by_one_without_enter_and_the_terminal_is_as_it_was() -> None:
    master, slave = os.openpty()
    with os.fdopen(slave, "r+b", buffering=0) as terminal, os.fdopen(master, "r+b", buffering=0) as person:
        before = termios.tcgetattr(terminal)
        with live._keys(terminal) as next_key:
            assert next_key() is None
            person.write(b" \r")
            assert [next_key(), next_key(), next_key()] == [" ", "\n", None]
        assert termios.tcgetattr(terminal) == before


def test_talking_ends_when_the_daemon_has_ended() -> None:
    journal = Journal()
    journal.fail("The daemon ended unasked.")
    live.talk(lambda _: {"ok": True}, keys(" "), journal)
    assert journal.entries() == []


def test_the_live_path_holds_a_conversation_when_only_url_and_devices_differ(tmp_path: Path) -> None:
    journal = Journal()
    with SyncTwin(Script(rules=(Rule(steps=(Say(sound=b"\0\1" * 4800, text="Hello."),)),)), key="live-key") as twin:
        text = live_config(
            microphone="silence:", loudspeaker="null:", camera="off", model="", socket=socket_path(tmp_path)
        )
        text = text.replace("[live]", f'[live]\nurl = "{twin.url}"').replace(
            "env:GEMINI_API_KEY", f"env:{KEY_VARIABLE}"
        )
        assert "GEMINI_API_KEY" not in text
        (tmp_path / "check.toml").write_text(text)
        assert config.load(tmp_path / "check.toml").live.url == twin.url
        with Daemon(tmp_path, text, journal, env={KEY_VARIABLE: "live-key"}, log=tmp_path / "daemon.log") as daemon:
            live.talk(daemon.call, keys(" ", " "), journal)
            said = journal.wait(
                lambda e: e.event == "caption" and e.fields.get("speaker") == "device", after=0.0, timeout_s=10.0
            )
    assert said is not None
    assert said.fields["line"] == "Hello."
    assert twin.session.violations == []
