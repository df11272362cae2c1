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
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from edge_agent.config import DEFAULT_PATH, Config, load
from edge_agent.errors import EXIT_CONFIG, EXIT_FAILED, EXIT_OK, ConfigError
from edge_agent.service.client import NotReachable, call, watch
from edge_agent.service.verbs import VERBS

_STATUS_ORDER = (
    "state", "why", "mode", "muted", "light", "turn_open", "connected", "volume", "fault",
    "audio_s", "capture_s", "xruns", "t",
)  # fmt: skip
_METER_DB = 60.0  # range of the level meter; below lies the noise of a quiet room
_METER_WIDTH = 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `edge-agent ctl`."""
    parser.add_argument("--socket", type=Path, help="the control socket; default: control.socket of the configuration")
    parser.add_argument("--config", type=Path, help=f"the configuration that names the socket; default: {DEFAULT_PATH}")
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
    request |= {one.name: value for one in verb.parameters if (value := getattr(args, one.name)) is not None}
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
    fields = {key: value for key, value in answer.items() if key != "ok"}
    if verb == "metrics" and isinstance(fields.get("text"), str):
        yield fields["text"].rstrip("\n")
        return
    if not fields:
        yield "done"
        return
    names = [name for name in _STATUS_ORDER if name in fields] + [name for name in fields if name not in _STATUS_ORDER]
    width = max(len(name) for name in names)
    for name in names:
        yield f"{name:{width}}  {_value(name, fields[name])}"


def readable_event(event: dict[str, Any]) -> str:
    """Return the line a person reads for an event of `watch`."""
    kind = str(event.get("event", "?"))
    rest = {key: value for key, value in event.items() if key not in {"event", "t", "audio_s"}}
    if kind == "caption":
        text, who = rest.pop("text", ""), rest.pop("who", "")
        open_end = "" if rest.get("finished", True) else " ..."
        body = f"{who}: {text}{open_end}" if who else f"{text}{open_end}"
    elif kind == "state":
        state, why = rest.pop("state", "?"), rest.pop("why", "")
        body = f"{state}  ({why})" if why else str(state)
    elif kind == "level":
        body = "  ".join(
            f"{name} {_meter(rest.get(key))}" for name, key in (("mic", "mic_dbfs"), ("out", "speaker_dbfs"))
        )
        body += "  CLIPPED" if rest.get("clipped") else ""
    elif kind == "lost":
        body = f"{rest.get('count', '?')} events were lost: this terminal reads too slowly"
    else:
        body = "  ".join(f"{key} {_value(key, value)}" for key, value in rest.items() if value is not None)
    clock = f"{event['t']:10.3f}" if isinstance(event.get("t"), (int, float)) else " " * 10
    return f"{clock}  {kind:10}  {body}".rstrip()


def _watch(path: Path, *, as_json: bool) -> int:
    terminal = sys.stdout.isatty()
    level_shown = False
    try:
        with contextlib.closing(watch(path)) as events:
            for event in events:
                if as_json:
                    print(json.dumps(event, ensure_ascii=False), flush=True)
                    continue
                is_level = event.get("event") == "level"
                if is_level and not terminal:
                    continue  # ten lines a second help nobody in a file; --json has them
                if level_shown:
                    print("\r\x1b[K", end="")  # the meter is one line that renews itself
                print(readable_event(event), end="" if is_level else "\n", flush=True)
                level_shown = is_level
    except KeyboardInterrupt:
        if level_shown:
            print()
        return EXIT_OK
    except BrokenPipeError:
        # Our reader (head, grep -m) has enough; Python would complain while flushing stdout at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_OK
    print("The daemon has ended.", file=sys.stderr)
    return EXIT_OK


def _socket_path(args: argparse.Namespace) -> Path:
    if args.socket is not None:
        return Path(args.socket)
    if args.config is not None:
        return Path(load(args.config).control.socket)
    try:
        return Path(load(DEFAULT_PATH).control.socket)
    except ConfigError:
        return Path(Config().control.socket)  # absent, unreadable for this user, or broken: where it lies by default


def _value(name: str, value: Any) -> str:
    if value is None:
        return "-" if name != "fault" else "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if name == "fault" and isinstance(value, dict):
        return f"{value.get('code', '?')}: {value.get('text', '')}"
    if isinstance(value, float):
        return f"{value:.3f}".rstrip("0").rstrip(".")
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _meter(dbfs: Any) -> str:
    if not isinstance(dbfs, (int, float)):
        return f"{'':{_METER_WIDTH}}  -inf dB"
    filled = round(max(0.0, min(1.0, 1 + dbfs / _METER_DB)) * _METER_WIDTH)
    return f"{'#' * filled:{_METER_WIDTH}} {dbfs:5.1f} dB"
