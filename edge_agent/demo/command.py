"""`edge-agent demo`: the product in a minute, without a Pi, a key or a sound card.

Starts the twin of the Live API, a private sound server and the real daemon, lets recorded visitors press the button and
talk, and judges from the recording whether everything happened. Leaves session.wav, timeline.png, events.jsonl and the
latencies in `--out`. Where no sound server can be had, WAV files stand in for it, and the end says so. `--fast` chooses
them at once.

`--live` is the same daemon talking to Google through this machine's own microphone and loudspeaker, with the key in
GEMINI_API_KEY; see `live`.

Exit codes: 0 everything happened, 1 something did not (a sentence says what), 78 the key is missing.
"""

from __future__ import annotations

import argparse
import contextlib
import signal
import sys
from collections.abc import Generator
from pathlib import Path
from typing import Any

from edge_agent.demo import live, results
from edge_agent.demo.journal import Journal
from edge_agent.demo.performance import BRISK_S, PAUSE_S, STEPS, Missed, Performance
from edge_agent.demo.terminal import open_screen
from edge_agent.errors import EXIT_FAILED, EXIT_OK, AgentError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `edge-agent demo`."""
    parser.add_argument("--out", type=Path, default=Path("demo-out"), metavar="FOLDER", help="results; %(default)s")
    parser.add_argument("--plain", action="store_true", help="plain lines instead of the live page")
    parser.add_argument("--fast", action="store_true", help="WAV files instead of a sound server")
    live.add_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Give the demonstration; return the exit code."""
    if args.live and args.fast:
        _say("--fast plays WAV files and --live uses your microphone; choose one of them.")
        return EXIT_FAILED
    try:
        args.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        _say(f"The folder {args.out} cannot be made: {error.strerror}; choose another with --out.")
        return EXIT_FAILED
    with terminated_like_interrupted():
        try:
            return live.run(args) if args.live else _play(args)
        except KeyboardInterrupt:
            _say("Interrupted; the daemon has been ended.")
            return EXIT_FAILED


def _play(args: argparse.Namespace) -> int:
    from edge_agent.demo.stage import Stage  # noqa: PLC0415  loads the recogniser

    journal = Journal()
    stage = Stage(args.out, journal, files=args.fast)
    title = "edge-agent demo: six steps, about a minute; every sound and every message is real"
    try:
        with stage, open_screen(journal, STEPS, plain=args.plain, title=title):
            with contextlib.suppress(Missed):  # the journal holds it, and so will the checks
                Performance(stage, pause_s=PAUSE_S if stage.real_sound else BRISK_S).run()
            with contextlib.suppress(AgentError):  # a daemon that has died has no figures; the checks tell of it
                stage.measure()
            stage.end()
            evidence = stage.evidence()
        outcome = results.write(args.out, evidence, journal, notes=stage.notes, real_sound=stage.real_sound)
    except AgentError as error:
        _say(f"The demonstration could not be given: {error}")
        return EXIT_FAILED
    except OSError as error:
        _say(f"The results cannot be written to {args.out}: {error}")
        return EXIT_FAILED
    for line in results.told(outcome):
        print(line)  # noqa: T201  the command's result
    if outcome.broken:
        first = outcome.broken[0]
        why = first.sentence.rstrip(".")
        _say(f"\nNot everything happened. {first.step}: {why}. See {args.out / 'daemon.log'}.")
        return EXIT_FAILED
    return EXIT_OK


@contextlib.contextmanager
def terminated_like_interrupted() -> Generator[None, None, None]:
    """Let SIGTERM end the demonstration as Ctrl-C does: everything that was started is ended in order."""

    def interrupt(_number: int, _frame: Any) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _say(sentence: str) -> None:
    print(sentence, file=sys.stderr)  # noqa: T201  a sentence for the person at the terminal
