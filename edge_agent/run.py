"""`edge-agent run`: the device in the foreground, as systemd starts it.

Reads the configuration (bad: one line and exit code 78, which the unit does not restart on), sets the log up, and runs
the agent until SIGTERM or SIGINT (exit code 0 within 5 s). SIGHUP reads the configuration again.
"""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path

from edge_agent import config as settings
from edge_agent.service import logs


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `edge-agent run`."""
    parser.add_argument(
        "--config",
        type=Path,
        default=settings.DEFAULT_PATH,
        metavar="FILE",
        help="the configuration; default: %(default)s",
    )
    parser.add_argument("--log", choices=["debug", "info", "warning", "error"], default="info", help="how much to log")
    parser.add_argument("--ca", type=Path, metavar="PEM", help="trust this certificate authority too (a TLS twin)")


def run(args: argparse.Namespace) -> int:
    """Run the device; return the exit code.

    Raises:
        ConfigError: the configuration cannot be used.
    """
    logs.set_up(level=args.log)
    config = settings.load(args.config)
    from edge_agent.agent import Agent, wishes  # noqa: PLC0415  numpy and the rest only once the configuration is right

    wishes.check(config, args.config)
    context = None
    if args.ca is not None:
        import ssl  # noqa: PLC0415  only for a twin with a certificate of its own

        context = ssl.create_default_context(cafile=str(args.ca))

    async def life() -> int:
        return await Agent(config, config_path=args.config, ssl_context=context).run()

    return asyncio.run(life())
