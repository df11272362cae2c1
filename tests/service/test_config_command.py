"""`edge-agent config`: check, show, explain."""

from __future__ import annotations

import argparse
import tomllib
from pathlib import Path

import pytest

from edge_agent.config import Config, parse, settings
from edge_agent.errors import ConfigError
from edge_agent.service import config_command


def _config(*words: str) -> int:
    parser = argparse.ArgumentParser()
    config_command.add_arguments(parser)
    return config_command.run(parser.parse_args(words))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "config.toml"
    path.write_text('mode = "speaker"\n[audio]\nvolume = 10\n')
    return path


def test_check(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _config("check", "--config", str(file)) == 0
    assert capsys.readouterr().out == f"{file}: fine, 2 settings differ from their defaults\n"
    file.write_text("[audio]\nvolume = 'x'")
    assert _config("check", "--config", str(file)) == 78
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert "audio.volume" in captured.err


def test_show_is_toml_that_gives_the_same(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _config("show", "--config", str(file)) == 0
    shown = capsys.readouterr().out
    assert 'mode = "speaker"  # default: "kiosk"' in shown
    config = parse(tomllib.loads(shown), source="shown")
    assert (config.mode, config.audio.volume) == ("speaker", 10)


@pytest.mark.parametrize("password", ["Zwiebelfisch", "with@sign", "with%2Fslash"])
def test_the_password_of_a_proxy_is_not_shown(file: Path, capsys: pytest.CaptureFixture[str], password: str) -> None:
    file.write_text(f'[link]\nproxy = "http://agent:{password}@proxy.example:3128"\n')
    assert _config("show", "--config", str(file)) == 0
    assert _config("explain", "link.proxy", "--config", str(file)) == 0
    shown = capsys.readouterr().out
    assert shown.count('proxy = "http://***@proxy.example:3128"') == 2
    assert password not in shown


def test_explain(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _config("explain", "audio.pre_roll_ms") == 0
    assert capsys.readouterr().out.splitlines() == [
        "audio.pre_roll_ms = 500",
        "    Sound kept from before the press, so that the first syllable is not lost.",
        "    a whole number, ms; default 500; a change takes effect at once after a reload",
    ]
    assert _config("explain", "audio", "--config", str(file)) == 0
    table = capsys.readouterr().out
    assert "audio.volume = 10\n" in table
    assert "live.url" not in table
    assert _config("explain") == 0
    everything = capsys.readouterr().out
    assert all(f"{entry.key} = " in everything for entry in settings(Config()))


def test_an_unknown_key_gets_a_hint(capsys: pytest.CaptureFixture[str]) -> None:
    assert _config("explain", "audio.volumme") == 2
    assert "did you mean audio.volume?" in capsys.readouterr().err
    assert _config("explain", "qqqqqq") == 2
    assert "lists all" in capsys.readouterr().err


def test_the_voices_are_listed_and_explained_where_they_are_set(capsys: pytest.CaptureFixture[str]) -> None:
    assert _config("voices") == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 30
    assert lines == sorted(lines)
    assert "Puck           upbeat" in lines
    assert _config("explain", "live.voice") == 0
    assert "    Puck           upbeat\n" in capsys.readouterr().out
    assert _config("explain", "live") == 0
    assert "upbeat" not in capsys.readouterr().out


def test_check_asks_further_and_the_others_do_not(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def refuse(config: Config) -> None:
        raise ConfigError(f"{config.audio.volume} is not for this model")

    parser = argparse.ArgumentParser()
    config_command.add_arguments(parser)
    assert config_command.run(parser.parse_args(["check", "--config", str(file)]), further=refuse) == 78
    assert capsys.readouterr().err == "10 is not for this model\n"
    assert config_command.run(parser.parse_args(["show", "--config", str(file)]), further=refuse) == 0
