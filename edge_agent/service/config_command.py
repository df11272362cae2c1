"""`edge-agent config check|show|explain`: look at the settings without starting anything.

    edge-agent config check                 one line: fine, or file, key, what is wrong, what is allowed (exit 78)
    edge-agent config show                  the whole configuration in force, as TOML, changed keys marked
    edge-agent config explain [KEY]         what a key means: type, unit, default, when a change takes effect, why

`check` and `show` read --config; `explain` needs no file.
"""
# ruff: noqa: T201  a command prints its answer

from __future__ import annotations

import argparse
import difflib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from edge_agent.config import DEFAULT_PATH, Config, load, settings
from edge_agent.errors import EXIT_CONFIG, EXIT_OK, EXIT_USAGE, ConfigError
from edge_agent.settings import Setting, named_tables

_EFFECTS = {
    "now": "at once after a reload",
    "connection": "at the next connection after a reload",
    "restart": "after a restart",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `edge-agent config`."""
    actions = parser.add_subparsers(dest="action", metavar="check|show|explain", required=True)
    for name, text in (
        ("check", "Say whether the configuration is right."),
        ("show", "Print the configuration in force as TOML."),
    ):
        action = actions.add_parser(name, help=text, description=text)
        action.add_argument("--config", type=Path, default=DEFAULT_PATH, help="the file; default: %(default)s")
    text = "Explain one setting, the settings of a table, or all."
    explain = actions.add_parser("explain", help=text, description=text)
    explain.add_argument("key", nargs="?", default="", metavar="KEY", help="such as audio.volume, or audio")
    explain.add_argument("--config", type=Path, help="also tell the value that this file gives")


def run(args: argparse.Namespace) -> int:
    """Carry out one `config` command; return the exit code."""
    try:
        config = load(args.config) if args.config is not None else Config()
    except ConfigError as error:
        print(error, file=sys.stderr)
        return EXIT_CONFIG
    if args.action == "check":
        changed = sum(entry.value != entry.default for entry in settings(config))
        print(f"{args.config}: fine, {changed} settings differ from their defaults")
    elif args.action == "show":
        print("\n".join(as_toml(config)))
    else:
        return _explain(args.key, config)
    return EXIT_OK


def as_toml(config: Config) -> Iterator[str]:
    """Yield the lines of a TOML file that gives exactly `config`; values that differ from the default say so."""
    table = ""
    for entry in settings(config):
        prefix, _, name = entry.key.rpartition(".")
        if prefix != table:
            table = prefix
            yield ""
            yield f"[{table}]"
        note = "" if entry.value == entry.default else f"  # default: {toml(entry.default)}"
        yield f"{name} = {toml(entry.value)}{note}"


def toml(value: Any) -> str:
    """Return a setting's value as TOML; JSON's strings, numbers, booleans and lists of these are TOML too."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def explanation(entry: Setting) -> Iterator[str]:
    """Yield the lines that explain one setting."""
    unit = f", {entry.unit}" if entry.unit else ""
    yield f"{entry.key} = {toml(entry.value)}"
    yield f"    {entry.why}"
    yield f"    {entry.type}{unit}; default {toml(entry.default)}; a change takes effect {_EFFECTS[entry.effect]}"


def _explain(key: str, config: Config) -> int:
    known = [*settings(config), *named_tables(config)]
    wanted = [entry for entry in known if not key or entry.key == key or entry.key.startswith(key + ".")]
    if not wanted:
        close = difflib.get_close_matches(key, [entry.key for entry in known], n=1, cutoff=0.5)
        hint = f"did you mean {close[0]}?" if close else "edge-agent config explain lists all."
        print(f"There is no setting {key}; {hint}", file=sys.stderr)
        return EXIT_USAGE
    for entry in wanted:
        print("\n".join(explanation(entry)))
    return EXIT_OK
