"""`edge-agent ctl VERB`: ask the running daemon, read its answer as text or as JSON.

    edge-agent ctl status            edge-agent ctl ask "Who painted this?"
    edge-agent ctl volume 40         edge-agent ctl watch --json

The verbs come from the table in `verbs`. Exit codes: 0 done, 1 refused or no daemon there, 2 usage, 78 bad
configuration given with --config. `watch` ends quietly on Ctrl-C, when its reader closes the pipe, and with the daemon.
"""
# ruff: noqa: T201  a command prints its answer

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from edge_agent.config import DEFAULT_PATH, Config, load
from edge_agent.errors import EXIT_CONFIG, EXIT_FAILED, EXIT_OK, ConfigError
from edge_agent.service.client import NotReachable, call, watch
from edge_agent.service.verbs import VERBS
from edge_agent.service.watchview import View, clip, value

_STATUS_ORDER = (
    "state", "why", "mode", "muted", "muted_by", "light", "turn_open", "connected", "volume", "fault",
    "audio_s", "capture_s", "xruns", "t",
)  # fmt: skip


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `edge-agent ctl`."""
    parser.add_argument(
        "--socket",
        type=Path,
        metavar="FILE",
        help="the control socket; default: control.socket of the configuration",
    )
    parser.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help=f"the configuration that names the socket; default: {DEFAULT_PATH}",
    )
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    for verb in VERBS.values():
        one = verbs.add_parser(verb.name, help=verb.help, description=verb.help)
        one.add_argument("--json", action="store_true", help="print the daemon's JSON as it comes")
        for parameter in verb.parameters:
            one.add_argument(
                parameter.name,
                type=int if parameter.kind is int else str,
                nargs=None if parameter.required else "?",
                help=parameter.help,
            )


def run(args: argparse.Namespace) -> int:
    """Carry out one `ctl` command; return the exit code."""
    try:
        path = _socket_path(args)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return EXIT_CONFIG
    verb = VERBS[args.verb]
    request = {"do": verb.name}
    request |= {one.name: given for one in verb.parameters if (given := getattr(args, one.name)) is not None}
    try:
        if verb.name == "watch":
            return _watch(path, as_json=args.json)
        answer = call(path, request)
    except NotReachable as error:
        print(error, file=sys.stderr)
        return EXIT_FAILED
    except KeyboardInterrupt:
        return EXIT_FAILED
    if args.json:
        print(json.dumps(answer, ensure_ascii=False))
    elif answer.get("ok"):
        for line in readable_answer(verb.name, answer):
            print(line)
    else:
        print(answer.get("error", "the daemon refused and gave no reason"), file=sys.stderr)
    return EXIT_OK if answer.get("ok") else EXIT_FAILED


def readable_answer(verb: str, answer: dict[str, Any]) -> Iterator[str]:
    """Yield the lines a person reads for an answer."""
    fields = {key: one for key, one in answer.items() if key != "ok"}
    if verb == "metrics" and isinstance(fields.get("text"), str):
        yield fields["text"].rstrip("\n")
        return
    if verb == "timers" and isinstance(fields.get("timers"), list):
        yield from _timers(fields["timers"], fields.get("missed", []))
        return
    if verb == "wake-log" and isinstance(fields.get("heard"), list):
        yield from _wake_log(fields["heard"])
        return
    if not fields:
        yield "done"
        return
    names = [name for name in _STATUS_ORDER if name in fields] + [name for name in fields if name not in _STATUS_ORDER]
    width = max(len(name) for name in names)
    for name in names:
        yield f"{name:{width}}  {_value(name, fields[name])}"


def _timers(timers: list[dict[str, Any]], missed: list[dict[str, Any]]) -> Iterator[str]:
    if not timers:
        yield "nothing is set"
    width = max((len(one["name"]) for one in (*timers, *missed)), default=0)
    for one in timers:
        left = one["rings_in_s"]
        when = "rings now" if one["ringing"] else "when the clock is set" if left is None else f"in {_length(left)}"
        yield f"{one['name']:{width}}  {one['kind']}  {when}{', at ' + one['at'] if one['at'] else ''}"
    for one in missed:
        yield f"{one['name']:{width}}  {one['kind']}  missed{', at ' + one['at'] if one['at'] else ''}"


def _wake_log(heard: list[dict[str, Any]]) -> Iterator[str]:
    if not heard:
        yield "nothing was heard, and nothing nearly"
    width = max((len(one["word"]) for one in heard), default=0)
    for one in heard:
        at = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(one["at"]))
        yield f"{at}  {one['word']:{width}}  {one['score']:.2f}  {one['outcome'] if one['fired'] else 'near miss'}"


def _length(seconds: int) -> str:
    """Return a length as h:mm:ss."""
    return f"{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02}"


def _watch(path: Path, *, as_json: bool) -> int:
    paper = _Paper() if not as_json else None
    view = View(paper.line, paper.transient if sys.stdout.isatty() else None) if paper else None
    try:
        with contextlib.closing(watch(path)) as events:
            for event in events:
                if view is None:
                    print(json.dumps(event, ensure_ascii=False), flush=True)
                else:
                    view.show(event)
        if view is not None:
            view.close()
    except KeyboardInterrupt:
        if paper is not None:
            paper.end()
        return EXIT_OK
    except BrokenPipeError:
        # Our reader (head, grep -m) has enough; Python would complain while flushing stdout at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_OK
    if paper is not None:
        paper.end()
    print("The daemon has ended.", file=sys.stderr)
    return EXIT_OK


class _Paper:
    """Stdout, with a last line that may be renewed."""

    def __init__(self) -> None:
        self._wet = False

    def line(self, text: str) -> None:
        print(("\r\x1b[K" if self._wet else "") + text, flush=True)
        self._wet = False

    def transient(self, text: str) -> None:
        width = shutil.get_terminal_size().columns - 1  # a wrapped line could not be taken back
        print(f"\r\x1b[K{clip(text, width, tail=text.endswith('...'))}", end="", flush=True)
        self._wet = True

    def end(self) -> None:
        if self._wet:
            print()


def _socket_path(args: argparse.Namespace) -> Path:
    if args.socket is not None:
        return Path(args.socket)
    if args.config is not None:
        return Path(load(args.config).control.socket)
    try:
        return Path(load(DEFAULT_PATH).control.socket)
    except ConfigError:
        return Path(Config().control.socket)  # absent, unreadable for this user, or broken: where it lies by default


def _value(name: str, one: Any) -> str:
    if name == "fault":
        return f"{one.get('code', '?')}: {one.get('text', '')}" if isinstance(one, dict) else "none"
    return value(one)
