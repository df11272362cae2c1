"""The tables `[mcp.NAME]`: what they accept, what they refuse and why, and that show, explain and reload know them."""

from __future__ import annotations

import argparse
import tomllib
from pathlib import Path

import pytest

from edge_agent.config import Config, adopt, changes, load, parse
from edge_agent.config.checks import reach
from edge_agent.config.declaring import Setting, named_tables
from edge_agent.config.mcp import McpServer
from edge_agent.errors import ConfigError
from edge_agent.service import config_command
from edge_agent.service.config_command import as_toml

_HOME = """
[mcp.home]
url = "https://ha.example/api/mcp"
token = "file:ha-token"
allow = ["HassTurnOn"]
"""
_NOTES = """
[mcp.notes]
command = ["/opt/notes", "--stdio"]
env = ["LEVEL=warn", "NOTES_TOKEN=file:notes-token"]
allow = ["*"]
deadline_s = 3
"""


def _parse(text: str) -> Config:
    return parse(tomllib.loads(text), source="x.toml")


def test_both_kinds_of_server_are_read() -> None:
    config = _parse(_HOME + _NOTES)
    assert list(config.mcp) == ["home", "notes"]
    assert config.mcp["home"].allow == ["HassTurnOn"]
    assert config.mcp["notes"] == McpServer(
        command=["/opt/notes", "--stdio"],
        env=["LEVEL=warn", "NOTES_TOKEN=file:notes-token"],
        allow=["*"],
        deadline_s=3.0,
    )


@pytest.mark.parametrize("entry", list(named_tables(Config())), ids=lambda entry: entry.key)
def test_every_setting_of_a_server_says_why_it_is_there(entry: Setting) -> None:
    assert entry.key.startswith("mcp.NAME.")
    assert entry.why.endswith(".")
    assert len(entry.why) > 10
    assert bool(entry.unit) == entry.key.endswith("_s")
    assert entry.effect == "connection"


@pytest.mark.parametrize(
    ("host", "where"),
    [
        ("localhost", "machine"), ("127.0.0.1", "machine"), ("::1", "machine"),
        ("192.168.1.4", "network"), ("10.0.0.1", "network"), ("fd00::1", "network"), ("fe80::1%eth0", "network"),
        ("homeassistant", "network"), ("homeassistant.local", "network"), ("ha.home.arpa", "network"),
        ("8.8.8.8", "public"), ("ha.example", "public"), ("local.example.com", "public"), ("0.0.0.0", "public"),
        ("2001:4860::1", "public"),
    ],
)  # fmt: skip
def test_how_far_a_host_is(host: str, where: str) -> None:
    assert reach(host) == where


_URL = "[mcp.a]\nallow = ['x']\nurl = "


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("mcp = 3", ["mcp must hold tables [mcp.NAME], not a whole number"]),
        ("[mcp]\nhome = 3", ["mcp.home must be a table"]),
        ("[mcp.'My Home']\nallow = ['x']", ["'My Home'", "small letters"]),
        ("[mcp.a]\nurll = ''", ["unknown key mcp.a.urll", "did you mean mcp.a.url?"]),
        ("[mcp.a]\nallow = ['x']", ["mcp.a needs either url or command"]),
        (_HOME + "command = ['x']", ["mcp.home needs either url or command, not both"]),
        ("[mcp.a]\ncommand = ['x']", ["mcp.a.allow is missing", "tools list"]),
        ("[mcp.a]\ncommand = ['x']\nallow = ['*', 'y']", ["mcp.a.allow", '["*"] alone']),
        ("[mcp.a]\ncommand = ['x']\nallow = ['y']\ntoken = 'env:T'", ["mcp.a.token goes with url"]),
        (_HOME + "env = ['A=b']", ["mcp.home.env goes with command"]),
        (_URL + "'http://ha.example/mcp'", ["mcp.a.url", "https:// for a server outside"]),
        (_URL + "'http://192.168.1.4:8123/api/mcp'", ["mcp.a.url is http:// to the local network", "insecure = true"]),
        (_URL + "'http://ha.local:8123/api/mcp'", ["insecure = true"]),
        (_URL + "'https://ha.example/mcp?token=abc'", ["tokens never stand in a URL"]),
        (_URL + "'ftp://ha.example/mcp'", ["allowed is https://HOST"]),
        (_URL + "'https://[::1'", ["allowed is https://HOST"]),
        ("[mcp.a]\ncommand = ['x']\nallow = ['y']\nenv = ['A B=1']", ["a list of NAME=VALUE"]),
        ("[mcp.a]\ncommand = ['']\nallow = ['y']", ["a program and its arguments"]),
        (_HOME + "prefix = 'my home'", ["letters, digits and _"]),
        (_HOME + "deadline_s = 500", ["from 0 to 120"]),
    ],
)
def test_what_is_refused_and_the_sentence(text: str, parts: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        _parse(text)
    sentence = str(caught.value)
    assert sentence.startswith("x.toml: ")
    assert "\n" not in sentence
    for part in parts:
        assert part in sentence


@pytest.mark.parametrize(
    "text",
    [
        _URL + "'https://me:hunter2secret@ha.example/mcp'",
        _HOME.replace("file:ha-token", "hunter2secret"),
        "[mcp.a]\ncommand = ['x']\nallow = ['y']\nenv = ['HA_TOKEN=hunter2secret']",
    ],
)
def test_a_secret_pasted_into_the_file_is_refused_and_not_shown(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        _parse(text)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1:8123/api/mcp'", "http://192.168.1.4/api/mcp'\ninsecure = true", "https://ha.example:8443/mcp'"],
)
def test_what_is_allowed(url: str) -> None:
    _parse(f"{_URL}'{url}")


def test_show_gives_the_tables_back(tmp_path: Path) -> None:
    config = _parse(_HOME + _NOTES)
    file = tmp_path / "config.toml"
    file.write_text("\n".join(as_toml(config)))
    assert load(file) == config
    assert '[mcp.notes]\nurl = ""\ncommand = ["/opt/notes", "--stdio"]  # default: []' in file.read_text()


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["mcp"], "mcp.NAME.allow = []"),
        (["mcp.NAME.insecure"], "mcp.NAME.insecure = false"),
        (["mcp.home.allow", "--config", "FILE"], 'mcp.home.allow = ["HassTurnOn"]'),
    ],
)
def test_explain_knows_the_tables(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], part: str
) -> None:
    file = tmp_path / "config.toml"
    file.write_text(_HOME)
    parser = argparse.ArgumentParser()
    config_command.add_arguments(parser)
    assert config_command.run(parser.parse_args(["explain", *(str(file) if w == "FILE" else w for w in words)])) == 0
    assert part in capsys.readouterr().out


def test_a_reload_tells_what_is_new_changed_and_gone() -> None:
    bare, home = Config(), _parse(_HOME)
    other = _parse(_HOME.replace("HassTurnOn", "HassTurnOff"))
    assert {one.key: one.value for one in changes(bare, home)} == {
        "mcp.home.url": "https://ha.example/api/mcp",
        "mcp.home.token": "file:ha-token",
        "mcp.home.allow": ["HassTurnOn"],
    }
    assert [(one.key, one.value) for one in changes(home, other)] == [("mcp.home.allow", ["HassTurnOff"])]
    assert {one.key: one.value for one in changes(home, bare)} == {
        "mcp.home.url": "", "mcp.home.token": "", "mcp.home.allow": [],
    }  # fmt: skip
    assert adopt(bare, home).mcp == home.mcp
    assert adopt(home, other).mcp == other.mcp
    assert adopt(home, bare).mcp == {}
