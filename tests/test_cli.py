"""The command line: every command exists, says what it does, and costs only what it needs."""

from __future__ import annotations

import argparse
import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from edge_agent import __version__
from edge_agent.cli import COMMANDS, main


def test_without_a_command_the_commands_are_listed_and_it_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    shown = capsys.readouterr().out
    assert all(name in shown for name in COMMANDS)
    assert main(["--help"]) == 0


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"edge-agent {__version__}\n"


def test_a_mistyped_command_is_guessed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["simulat"]) == 2
    assert "did you mean simulate?" in capsys.readouterr().err


@pytest.mark.parametrize("name", list(COMMANDS))
def test_every_command_has_arguments_and_a_run(name: str) -> None:
    module = importlib.import_module(COMMANDS[name].module)
    parser = argparse.ArgumentParser()
    module.add_arguments(parser)
    assert callable(module.run)


@pytest.mark.parametrize("name", list(COMMANDS))
def test_a_wrong_argument_is_a_usage_error(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([name, "--no-such-option"]) == 2
    assert "usage: edge-agent" in capsys.readouterr().err


def test_a_wrong_configuration_is_one_line_and_78(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "config.toml"
    path.write_text("mode = 3")
    assert main(["run", "--config", str(path)]) == 78
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert str(path) in error


def test_no_daemon_is_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ctl", "--socket", str(tmp_path / "none.sock"), "status"]) == 1
    assert "No daemon answers" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "spared"),
    [
        (["--version"], {"numpy", "asyncio", "msgspec"}),
        (["ctl", "--help"], {"numpy", "asyncio", "msgspec"}),
        (["run", "--help"], {"numpy", "websockets", "gpiozero"}),
        (["simulate", "--help"], {"gpiozero", "pyaudio", "matplotlib", "rich"}),
    ],
)
def test_a_command_imports_only_what_it_needs(words: list[str], spared: set[str]) -> None:
    code = f"import sys\nfrom edge_agent.cli import main\nmain({words!r})\nprint(*sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True)
    assert not spared & set(done.stderr.split())


@pytest.mark.parametrize("words", [["config", "explain"], ["--help"]])
def test_a_reader_that_has_enough_is_no_failure(words: list[str]) -> None:
    code = f"from edge_agent.cli import main\nraise SystemExit(main({words!r}))"
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run(
            [sys.executable, "-c", code], stdout=writer, stderr=subprocess.PIPE, text=True, timeout=30, check=False
        )
    finally:
        os.close(writer)
    assert done.stderr == ""
    assert done.returncode == 0
