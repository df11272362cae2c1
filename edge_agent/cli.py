"""The command line: one table of commands; each one's module is imported when it is used, and no other.

    edge-agent COMMAND [ARGUMENT ...]
    edge-agent --help | --version

Exit codes: 0 fine, 1 failed, 2 usage, 78 bad configuration (one line: file, key, what is wrong, what is allowed).
"""

from __future__ import annotations

import argparse
import difflib
import importlib
import os
import select
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from edge_agent import __version__
from edge_agent.errors import EXIT_CONFIG, EXIT_FAILED, EXIT_OK, EXIT_USAGE, AgentError, ConfigError


@dataclass(frozen=True, slots=True)
class Command:
    """A command: its module gives `add_arguments(parser)` and `run(args) -> exit code`."""

    module: str
    help: str


COMMANDS: dict[str, Command] = {
    "run": Command("edge_agent.run", "Run the device in the foreground (what systemd does)."),
    "ctl": Command("edge_agent.service.ctl", "Talk to the running device: status, press, mute, ask, watch ..."),
    "demo": Command("edge_agent.demo.command", "Hold a conversation on real sound without a Pi or a key."),
    "config": Command("edge_agent.configure", "Check, show or explain the configuration."),
    "calibrate": Command("edge_agent.calibrating.command", "Measure loudspeaker and microphone, and store what fits."),
    "tools": Command("edge_agent.tools.command", "List the functions the model may call, or try one."),
    "prompts": Command("edge_agent.prompting.command", "List, record or check the device's own sentences."),
    "rehearse": Command("edge_agent.rehearsal.command", "Ask a list of questions and write a sheet of the answers."),
    "simulate": Command("edge_agent.simulator.command", "Serve the Live API's twin on this machine."),
    "bench": Command("edge_agent.bench.command", "Measure this machine against the budgets."),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line and return its exit code; `argv` without the program's name, `sys.argv` by default."""
    try:
        code = _run(list(sys.argv[1:] if argv is None else argv))
        sys.stdout.flush()
    except BrokenPipeError:
        if not _reader_left():
            raise
        return EXIT_OK
    return code


def _run(words: list[str]) -> int:  # noqa: PLR0911  one way out for each exit code
    if not words or words[0] in {"-h", "--help", "help"}:
        print(_overview())  # noqa: T201  a command line prints
        return EXIT_OK if words else EXIT_USAGE
    if words[0] in {"-V", "--version"}:
        print(f"edge-agent {__version__}")  # noqa: T201  a command line prints
        return EXIT_OK
    name = words.pop(0)
    command = COMMANDS.get(name)
    if command is None:
        close = difflib.get_close_matches(name, COMMANDS, n=1)
        hint = f"did you mean {close[0]}?" if close else "known are: " + ", ".join(COMMANDS)
        print(f"edge-agent: unknown command {name}; {hint}", file=sys.stderr)  # noqa: T201  a command line prints
        return EXIT_USAGE
    try:
        module = importlib.import_module(command.module)
        parser = argparse.ArgumentParser(prog=f"edge-agent {name}", description=command.help)
        module.add_arguments(parser)
        return int(module.run(parser.parse_args(words)))
    except ConfigError as error:
        print(error, file=sys.stderr)  # noqa: T201  a command line prints
        return EXIT_CONFIG
    except AgentError as error:
        print(f"edge-agent {name}: {error}", file=sys.stderr)  # noqa: T201  a command line prints
        return EXIT_FAILED
    except SystemExit as leaving:  # argparse has said what is wrong
        return leaving.code if isinstance(leaving.code, int) else EXIT_USAGE
    except KeyboardInterrupt:
        return EXIT_FAILED


def _reader_left() -> bool:
    """Tell whether our reader (head, grep -m) has gone; if so, Python has nothing left to complain of at its exit."""
    out = sys.stdout.fileno()
    pipe = select.poll()
    pipe.register(out, 0)  # errors alone: that nobody reads is one
    if not pipe.poll(0):
        return False
    os.dup2(os.open(os.devnull, os.O_WRONLY), out)
    return True


def _overview() -> str:
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {command.help}" for name, command in COMMANDS.items()]
    return (
        "usage: edge-agent COMMAND [ARGUMENT ...]\n\n" + "\n".join(lines) + "\n\nedge-agent COMMAND --help tells more."
    )
