"""`edge-agent simulate`: serve the twin until interrupted.

Prints one line with the URL to put into a configuration, and what goes with it, once connections are taken:

    live.url = "ws://127.0.0.1:8787"   credential: the key "test-key" (env:TWIN_KEY after export TWIN_KEY=test-key)

Without `--script` and `--voice` every turn is answered with one friendly sentence. With `--voice` turns that no rule of
the script matches are heard and answered by the local voice. With `--replay` the first connections meet what a flight
recording says the service said. `--verbose` prints one line for every message. Exit codes: 0 after an interruption, 1
when the port or the certificate cannot be used, 78 for a wrong script or recording.
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import signal
import ssl
import sys
import time
from pathlib import Path

from edge_agent.errors import EXIT_CONFIG, EXIT_FAILED, EXIT_OK
from edge_agent.simulator import replay, scriptfile, voice
from edge_agent.simulator.record import Limits, Mark
from edge_agent.simulator.script import Script
from edge_agent.simulator.server import Twin

DEFAULT_PORT = 8787
DEFAULT_KEY = "test-key"

_LIMITS = Limits(audio_s=600.0, marks=20_000, images=20)  # a twin left running for days stays under 100 MB a session


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `edge-agent simulate`."""
    names = ", ".join(sorted(scriptfile.examples()))
    parser.add_argument("--port", type=int, default=DEFAULT_PORT, help="port to listen on; 0 takes a free one")
    parser.add_argument("--host", default="127.0.0.1", help="address; other than loopback needs --tls-cert")
    parser.add_argument("--script", metavar="FILE", help=f"what the twin does: a TOML file, or one of {names}")
    parser.add_argument(
        "--replay", metavar="FILE", type=Path, help="play the service's side of a flight recording first"
    )
    parser.add_argument("--key", default=DEFAULT_KEY, help="the API key the twin accepts")
    parser.add_argument("--voice", action="store_true", help="understand a few phrases and answer them, offline")
    parser.add_argument("--tls-cert", type=Path, metavar="FILE", help="certificate chain (PEM): serve wss://")
    parser.add_argument("--tls-key", type=Path, metavar="FILE", help="its private key, unless the chain file holds it")
    parser.add_argument("--verbose", action="store_true", help="print every message")


def run(args: argparse.Namespace) -> int:
    """Serve until SIGINT or SIGTERM; see the module docstring for the exit codes."""
    try:
        script = scriptfile.load(scriptfile.find(args.script)) if args.script else Script()
        recording = replay.load(args.replay) if args.replay else None
    except scriptfile.ScriptError as error:
        _say(str(error))
        return EXIT_CONFIG
    if args.voice:
        script = _with_voice(script, scripted=bool(args.script))
    if recording is not None:
        count = len(recording.attempts)
        _say(f"plays {count} connection{'s' * (count != 1)} of {args.replay} ({recording.why}), then the script")
    try:
        return asyncio.run(_serve(script, args, recording))
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        _say(f"the twin cannot serve on {args.host}:{args.port}: {error}")
        return EXIT_FAILED


async def _serve(script: Script, args: argparse.Namespace, recording: replay.Recording | None) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    tls = None
    if args.tls_cert is not None:
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        await asyncio.to_thread(tls.load_cert_chain, args.tls_cert, args.tls_key)
    start = time.monotonic()

    def show(session: int, mark: Mark) -> None:
        arrow = "→" if mark.who == "client" else "←"
        detail = " ".join(f"{key}={_short(value)}" for key, value in mark.detail.items())
        print(f"{mark.t - start:9.3f} s  session {session} {arrow} {mark.kind} {detail}".rstrip(), flush=True)  # noqa: T201  asked for

    observer = show if args.verbose else None
    try:
        async with Twin(
            script,
            key=args.key,
            host=args.host,
            port=args.port,
            tls=tls,
            limits=_LIMITS,
            on_mark=observer,
            replay=recording,
        ) as twin:
            print(  # noqa: T201  the command's result
                f'live.url = "{twin.url}"   credential: the key "{args.key}" '
                f"(env:TWIN_KEY after export TWIN_KEY={args.key})",
                flush=True,
            )
            await stop.wait()
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
    return EXIT_OK


def _with_voice(script: Script, *, scripted: bool) -> Script:
    ear = None
    if voice.why_deaf():
        _say(voice.why_deaf())
    else:
        ear = voice.Ear()
    if voice.why_mute():
        _say(voice.why_mute())
    rules = script.rules if scripted else ()
    return dataclasses.replace(script, rules=rules, brain=voice.brain(ear=ear))


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _say(sentence: str) -> None:
    print(sentence, file=sys.stderr, flush=True)  # noqa: T201  a sentence for the person at the terminal
