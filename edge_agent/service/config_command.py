"""`edge-agent config check|show|explain|voices`: look at the settings without starting anything.

    edge-agent config check                 one line: fine, or file, key, what is wrong, what is allowed (exit 78)
    edge-agent config show                  the whole configuration in force, as TOML, changed keys marked
    edge-agent config explain [KEY]         what a key means: type, unit, default, when a change takes effect, why
    edge-agent config voices                the voices there are, each with the word that its guide gives it

`check` and `show` read --config; `explain` and `voices` need no file. What the file alone does not show is asked of
`further`, which the command line gives: whether the chosen model can do what is set.
"""
# ruff: noqa: T201  a command prints its answer

from __future__ import annotations

import argparse
import difflib
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from edge_agent.config import DEFAULT_PATH, Config, load, settings
from edge_agent.config.declaring import Setting, named_tables
from edge_agent.errors import EXIT_CONFIG, EXIT_OK, EXIT_USAGE, ConfigError
from edge_agent.voices import VOICES

_EFFECTS = {
    "now": "at once after a reload",
    "connection": "at the next connection after a reload",
    "restart": "after a restart",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `edge-agent config`."""
    actions = parser.add_subparsers(dest="action", metavar="check|show|explain|voices", required=True)
    for name, text in (
        ("check", "Say whether the configuration is right."),
        ("show", "Print the configuration in force as TOML."),
    ):
        action = actions.add_parser(name, help=text, description=text)
        action.add_argument("--config", type=Path, default=DEFAULT_PATH, metavar="FILE", help="default: %(default)s")
    text = "Explain one setting, the settings of a table, or all."
    explain = actions.add_parser("explain", help=text, description=text)
    explain.add_argument("key", nargs="?", default="", metavar="KEY", help="such as audio.volume, or audio")
    explain.add_argument("--config", type=Path, metavar="FILE", help="also tell the value that this file gives")
    text = "List the voices that live.voice may name."
    actions.add_parser("voices", help=text, description=text).set_defaults(config=None)


def run(args: argparse.Namespace, *, further: Callable[[Config], None] = lambda _: None) -> int:
    """Carry out one `config` command; return the exit code.

    Args:
        args: as `add_arguments` declared them.
        further: looks deeper into a configuration that `check` found to be well-formed; raises ConfigError.
    """
    try:
        config = load(args.config) if args.config is not None else Config()
        if args.action == "check":
            further(config)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return EXIT_CONFIG
    if args.action == "check":
        changed = sum(entry.value != entry.default for entry in settings(config))
        differ = "setting differs from its default" if changed == 1 else "settings differ from their defaults"
        print(f"{args.config}: fine, {changed} {differ}")
    elif args.action == "show":
        print("\n".join(as_toml(config)))
    elif args.action == "voices":
        print("\n".join(_voices()))
    else:
        return _explain(args.key, config)
    return EXIT_OK


def as_toml(config: Config) -> Iterator[str]:
    """Yield the lines of a TOML file that gives `config`; values that differ from the default say so.

    Only a login within a URL is left out: what is shown is pasted into mails.
    """
    table = ""
    for entry in settings(config):
        prefix, _, name = entry.key.rpartition(".")
        if prefix != table:
            table = prefix
            yield ""
            yield f"[{table}]"
        note = "" if entry.value == entry.default else f"  # default: {toml(entry.default)}"
        yield f"{name} = {toml(entry.shown)}{note}"


def toml(value: Any) -> str:
    """Return a setting's value as TOML; JSON's strings, numbers, booleans and lists of these are TOML too."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def explanation(entry: Setting) -> Iterator[str]:
    """Yield the lines that explain one setting."""
    unit = f", {entry.unit}" if entry.unit else ""
    yield f"{entry.key} = {toml(entry.shown)}"
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
        if entry.key == key == "live.voice":
            print("\n".join(f"    {line}" for line in _voices()))
    return EXIT_OK


def _voices() -> Iterator[str]:
    width = max(map(len, VOICES))
    yield from (f"{name:<{width}}  {VOICES[name]}" for name in sorted(VOICES))
