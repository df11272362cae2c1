"""`edge-agent tools list|try`: see what the model may call, and call it yourself.

    edge-agent tools list                               every tool with its parameters and source, and what was skipped
    edge-agent tools try opening_hours day=weekend      the answer exactly as the model would get it

`try` runs the tool as the daemon would, with its deadline and its limits, in this process. Values are written as text;
for a parameter that is not a text, as JSON (`days=[1,2]`). Exit codes: 0 answered, 1 answered with an error, 2 usage.

The MCP servers of the configuration are opened for it, at most 20 s; which one is not there is said, and the rest goes
on. A daemon that runs beside keeps its own sessions.
"""
# ruff: noqa: T201  a command prints its answer

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from edge_agent.config import DEFAULT_PATH, Config, load
from edge_agent.errors import EXIT_CONFIG, EXIT_FAILED, EXIT_OK, EXIT_USAGE, ConfigError
from edge_agent.tools.builtin import NoDevice, device_tools
from edge_agent.tools.declare import Kind, Tool
from edge_agent.tools.mcp import McpTools
from edge_agent.tools.registry import Found, find_tools
from edge_agent.tools.runner import Answer, Call, ToolRunner

OPEN_S = 20.0  # for servers to be there; longer than one attempt takes
_KEYS = {"parameters_json_schema": "parametersJsonSchema"}  # as the service spells it


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `edge-agent tools`."""
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help=f"the configuration; default: {DEFAULT_PATH}, if it exists"
    )
    actions = parser.add_subparsers(dest="action", metavar="list|try", required=True)
    text = "List the tools the model may call, and what was skipped."
    listing = actions.add_parser("list", help=text, description=text)
    listing.add_argument("--json", action="store_true", help="print the declarations as the service gets them")
    text = "Call a tool and print its answer."
    trying = actions.add_parser("try", help=text, description=text)
    trying.add_argument("name", metavar="NAME")
    trying.add_argument("arguments", nargs="*", metavar="KEY=VALUE")


def run(args: argparse.Namespace, *, owner_uid: int = 0) -> int:
    """Carry out one `tools` command; return the exit code. `owner_uid`: see `registry.find_tools`."""
    try:
        config = load(args.config) if args.config or DEFAULT_PATH.exists() else Config()
    except ConfigError as error:
        print(error, file=sys.stderr)
        return EXIT_CONFIG
    return asyncio.run(_run(args, config, owner_uid))


def parse_argument(tool: Tool, text: str) -> tuple[str, Any]:
    """Return name and value of `KEY=VALUE`, the value as JSON unless the tool wants a text there.

    Raises:
        ValueError: a sentence: no `=`, or not JSON.
    """
    name, equals, written = text.partition("=")
    if not equals:
        raise ValueError(f"{text}: arguments are written KEY=VALUE")
    kinds = {parameter.name: parameter.kind for parameter in tool.parameters}
    if name not in kinds or kinds[name].api_type == "STRING":
        return name, written
    try:
        return name, json.loads(written)
    except ValueError:
        raise ValueError(f"{text}: {name} is {_shown(kinds[name])}, to be written as JSON") from None


async def _run(args: argparse.Namespace, config: Config, owner_uid: int) -> int:
    nobody = NoDevice()
    household = config.mode == "speaker"  # strangers are offered neither mute nor timers
    servers = McpTools(config.mcp, deadline_s=config.tools.deadline_s)
    await servers.start()
    try:
        await servers.ready(OPEN_S)
        found = find_tools(
            folder=Path(config.tools.folder),
            allow=config.tools.allow,
            functions=device_tools(
                nobody,
                camera=config.camera.source != "off",
                mute=nobody.mute if household and config.panel.pins != "none" else None,
                timers=nobody if household else None,
            ),
            extra=servers.tools(),
            owner_uid=owner_uid,
        )
        complaints = [*servers.complaints, *map(str, found.skipped)]
        if args.action == "list":
            return _list(found, complaints, as_json=args.json)
        return await _try(found, complaints, args.name, args.arguments, config.tools.deadline_s)
    finally:
        await servers.close()


def _list(found: Found, complaints: list[str], *, as_json: bool) -> int:
    if as_json:
        declared = [tool.declaration() for tool in found.tools.values()]
        on_the_wire = [{_KEYS.get(key, key): value for key, value in one.items()} for one in declared]
        print(json.dumps(on_the_wire, indent=2, ensure_ascii=False))
    else:
        for tool in found.tools.values():
            parameters = ", ".join(
                f"{one.name}: {_shown(one.kind)}{'' if one.required else ' (optional)'}" for one in tool.parameters
            )
            print(f"{tool.name}({parameters})  [{tool.source}]\n    {tool.description}")
        if not found.tools:
            print("No tools were found.")
    for complaint in complaints:
        print(complaint, file=sys.stderr)
    return EXIT_OK


async def _try(found: Found, complaints: list[str], name: str, arguments: list[str], deadline_s: float) -> int:
    tool = found.tools.get(name)
    if tool is None:
        for complaint in complaints:
            print(complaint, file=sys.stderr)
        print(f"There is no tool {name}; known are: {', '.join(found.tools) or 'none'}.", file=sys.stderr)
        return EXIT_USAGE
    try:
        given = dict(parse_argument(tool, text) for text in arguments)
    except ValueError as error:
        print(error, file=sys.stderr)
        return EXIT_USAGE

    def ignore(_answer: Answer) -> None:
        """`run` returns the answer itself."""

    runner = ToolRunner(found.tools, deadline_s=deadline_s, on_answer=ignore)
    answer = await runner.run(Call("try", name, given))
    await runner.close()
    print(json.dumps(answer.response, indent=2, ensure_ascii=False))
    return EXIT_OK if answer.ok else EXIT_FAILED


def _shown(kind: Kind) -> str:
    if kind.items is not None:
        return f"array of {_shown(kind.items)}"
    return " | ".join(kind.words) if kind.words else kind.api_type.lower()
