"""`edge-agent config`, as the command line offers it: `service.config_command`, with the model's own say in `check`.

What a setting may hold is known to `config`; whether the chosen model can do it only to the agent, whether a wake word
can be heard only to `wake`, and which languages the device speaks by itself only to `prompts`. All are asked here, so
that what would be refused at the start or at the first press, or said in English, is one line now.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from edge_agent.config import Config
from edge_agent.errors import ConfigError
from edge_agent.service import config_command


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `edge-agent config`."""
    config_command.add_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Carry out one `config` command; return the exit code."""
    return config_command.run(args, further=lambda config: _look_deeper(config, args.config))


def _look_deeper(config: Config, file: Path) -> None:
    from edge_agent import prompts, wake  # noqa: PLC0415  `show` and `explain` need not wait for numpy and the rest
    from edge_agent.agent import wishes  # noqa: PLC0415  as above

    wishes.check(config, file)
    if config.mode == "speaker":
        wake.check(config.wake, file)
    try:
        prompts.check(config.conversation.prompts, config.prompts_folder)
    except ConfigError as error:
        raise ConfigError(f"{file}: {error}") from None
