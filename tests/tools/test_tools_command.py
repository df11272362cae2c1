"""`edge-agent tools list|try`."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

import pytest

from edge_agent.tools import command

_HOURS = '''
def opening_hours(day: str, rooms: list[int] = [], loud: bool = False) -> dict[str, object]:
    """Tell when the museum is open.

    Args:
        day: Which day.
    """
    return {"day": day, "rooms": rooms, "loud": loud}
'''


@pytest.fixture
def config(tmp_path: Path) -> Path:
    folder = tmp_path / "tools"
    folder.mkdir(mode=0o755)
    (folder / "hours.py").write_text(_HOURS)
    (folder / "hours.py").chmod(0o644)
    (folder / "broken.py").write_text("1 / 0")
    (folder / "broken.py").chmod(0o644)
    path = tmp_path / "config.toml"
    path.write_text(f'[tools]\nfolder = "{folder}"\n[camera]\nsource = "files:x"\n')
    return path


def _tools(config: Path, *words: str) -> int:
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    return command.run(parser.parse_args(["--config", str(config), *words]), owner_uid=os.geteuid())


def test_list(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _tools(config, "list") == 0
    captured = capsys.readouterr()
    assert "opening_hours(day: string, rooms: array of integer (optional), loud: boolean (optional))" in captured.out
    assert "Tell when the museum is open." in captured.out
    assert "look()" in captured.out
    assert "broken.py was skipped: it fails when loaded: ZeroDivisionError" in captured.err


def test_a_household_is_offered_timers_and_mute_and_strangers_are_not(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _tools(config, "list") == 0
    assert "set_timer" not in capsys.readouterr().out
    config.write_text('mode = "speaker"\n' + config.read_text())
    assert _tools(config, "list") == 0
    listed = capsys.readouterr().out
    assert "set_timer(" in listed
    assert "mute_microphone(" in listed


def test_list_as_json_is_what_the_service_gets(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _tools(config, "list", "--json") == 0
    declared = {one["name"]: one for one in json.loads(capsys.readouterr().out)}
    assert declared["opening_hours"]["parameters"]["required"] == ["day"]


def test_try(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _tools(config, "try", "opening_hours", "day=3=three", "rooms=[1, 2]", "loud=true") == 0
    assert json.loads(capsys.readouterr().out) == {"result": {"day": "3=three", "rooms": [1, 2], "loud": True}}


@pytest.mark.parametrize(
    ("words", "code", "part"),
    [
        (["opening_hours"], 1, "needs the argument day"),
        (["opening_hours", "day=x", "colour=red"], 1, "has no argument colour"),
        (["set_volume", "volume=30"], 1, "Only the running daemon"),
        (["look"], 1, "Only the running daemon"),
        (["end_conversation"], 1, "edge-agent ctl end"),
        (["device_status"], 1, "edge-agent ctl status"),
        (["opening_hours", "sunday"], 2, "arguments are written KEY=VALUE"),
        (["opening_hours", "day=x", "rooms=one"], 2, "rooms is array of integer, to be written as JSON"),
        (["fly"], 2, "There is no tool fly; known are: set_volume"),
    ],
)
def test_what_goes_wrong(
    config: Path, capsys: pytest.CaptureFixture[str], words: list[str], code: int, part: str
) -> None:
    assert _tools(config, "try", *words) == code
    captured = capsys.readouterr()
    assert part in captured.out + captured.err


def test_a_bad_configuration_is_exit_78(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad = tmp_path / "bad.toml"
    bad.write_text("x = 1")
    assert _tools(bad, "list") == 78
    assert "unknown key x" in capsys.readouterr().err


_PROGRAM = Path(__file__).parent / "child_server.py"


@pytest.fixture
def served(config: Path) -> Path:
    config.write_text(
        config.read_text()
        + f'[mcp.good]\ncommand = ["{sys.executable}", "{_PROGRAM}"]\nallow = ["add", "text"]\n'
        + '[mcp.gone]\ncommand = ["/no/such/program"]\nallow = ["*"]\n'
    )
    return config


def test_tools_of_servers_are_listed_and_what_is_not_there_is_said(
    served: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("mcp")
    assert _tools(served, "list") == 0
    captured = capsys.readouterr()
    assert "add(a: integer, b: integer)  [mcp good]\n    Add two numbers." in captured.out
    assert "opening_hours(" in captured.out
    assert "gone is not available: /no/such/program cannot be started" in captured.err
    assert _tools(served, "list", "--json") == 0
    declared = {one["name"]: one for one in json.loads(capsys.readouterr().out)}
    assert declared["add"]["parametersJsonSchema"]["required"] == ["a", "b"]


def test_a_servers_tool_can_be_tried(served: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("mcp")
    assert _tools(served, "try", "add", "a=1", "b=2") == 0
    assert json.loads(capsys.readouterr().out) == {"result": {"sum": 3}}
    assert _tools(served, "try", "add", "a=1") == 1
    assert "'b' is a required property" in capsys.readouterr().out
    assert _tools(served, "try", "fly") == 2
    assert "gone is not available" in capsys.readouterr().err
