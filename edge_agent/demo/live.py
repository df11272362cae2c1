"""`edge-agent demo --live`: the daemon talks to Google; the microphone, the loudspeaker and the keyboard are yours.

Space or Enter is the button: press it, talk, press it again. Ctrl-C ends. Everything but the URL and the sound devices
is what the demonstration runs. Nothing of your voice is written to disk; events.jsonl and latency.md are, and
events.jsonl holds the captions.

Needs GEMINI_API_KEY; says in a sentence where to get one if it is missing.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import select
import shutil
import sys
import tempfile
from collections.abc import Callable, Generator, Mapping
from pathlib import Path
from typing import Any

from edge_agent.demo import latency
from edge_agent.demo.daemon import Daemon, socket_path
from edge_agent.demo.journal import Journal
from edge_agent.demo.performance import Step
from edge_agent.demo.service import STILLS
from edge_agent.demo.settings import live_config
from edge_agent.demo.terminal import open_screen
from edge_agent.errors import EXIT_CONFIG, EXIT_FAILED, EXIT_OK, AgentError

HOW = Step("live", "Space or Enter: press, talk, press again. m: mute. e: end of the visit. Ctrl-C: leave.")
KEYS = {" ": "tap", "\n": "tap", "\r": "tap", "m": "mute", "e": "end", "q": "quit", "\x04": "quit"}
"""What a key does; Ctrl-D and q leave."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `--live`."""
    group = parser.add_argument_group("talking to Google, with the key in GEMINI_API_KEY")
    group.add_argument("--live", action="store_true", help="use Google, your microphone and your loudspeaker")
    group.add_argument("--microphone", default="pyaudio:default", metavar="DEVICE", help="%(default)s")
    group.add_argument("--loudspeaker", default="pyaudio:default", metavar="DEVICE", help="%(default)s")
    group.add_argument("--camera", default=f"files:{STILLS}", metavar="DEVICE", help="the shipped stills, or off")
    group.add_argument("--model", default="", help="the Live model; empty: the daemon's default")


def why_not(environment: Mapping[str, str], *, terminal: bool) -> tuple[str, int] | None:
    """Say why `--live` cannot be given here, and the exit code that goes with it; None when it can."""
    if not environment.get("GEMINI_API_KEY", "").strip():
        sentence = (
            "--live talks to Google and needs a key: get one at https://aistudio.google.com/apikey, then type "
            "GEMINI_API_KEY=... scripts/demo --live. Without a key, scripts/demo shows the same against a stand-in."
        )
        return sentence, EXIT_CONFIG
    if not terminal:
        return "--live takes Space or Enter as the button and needs a terminal; start it in one.", EXIT_FAILED
    return None


def run(args: argparse.Namespace) -> int:
    """Talk until Ctrl-C; return the exit code."""
    refusal = why_not(os.environ, terminal=sys.stdin.isatty())
    if refusal is not None:
        sentence, code = refusal
        print(sentence, file=sys.stderr)  # noqa: T201  a sentence for the person at the terminal
        return code
    journal = Journal()
    folder = Path(tempfile.mkdtemp(prefix="edge-demo-"))
    config = live_config(
        microphone=args.microphone,
        loudspeaker=args.loudspeaker,
        camera=args.camera,
        model=args.model,
        socket=socket_path(folder),
    )
    figures: dict[str, Any] = {}
    try:
        with (
            Daemon(folder, config, journal, env={}, log=args.out / "daemon.log") as daemon,
            open_screen(journal, [HOW], plain=args.plain, title="edge-agent demo --live"),
        ):
            journal.add("demo", "step", name=HOW.name, line=HOW.line)
            with contextlib.suppress(KeyboardInterrupt), _keys(sys.stdin) as next_key:
                talk(daemon.call, next_key, journal)
            figures = daemon.call({"do": "metrics"})["figures"]
    except AgentError as error:
        print(f"The demonstration ended: {error}", file=sys.stderr)  # noqa: T201  as above
        return EXIT_FAILED
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        _write(args.out, journal, figures)
    for line in latency.lines(latency.table(figures)):
        print(line)  # noqa: T201  the command's result
    print(f"\nLeft behind: events.jsonl, latency.md and daemon.log in {args.out}")  # noqa: T201
    return EXIT_OK


def talk(
    call: Callable[[dict[str, Any]], dict[str, Any]], next_key: Callable[[], str | None], journal: Journal
) -> None:
    """Carry out keys until one says to leave, or the journal says that nothing more will come.

    Args:
        call: sends a control request to the daemon.
        next_key: returns a key, or None when none came within a moment.
        journal: notes the button, and knows when the daemon has ended.

    Raises:
        Stop: the daemon does not answer.
    """
    muted = False
    while not journal.failure:
        key = next_key()
        deed = KEYS.get(key or "")
        if deed is None:
            continue
        if deed == "quit":
            return
        if deed == "mute":
            muted = not muted
            deed = "mute" if muted else "unmute"
        if deed == "tap":
            journal.add("person", "press")
        call({"do": deed})
        if deed == "tap":
            journal.add("person", "release")


def _write(out: Path, journal: Journal, figures: dict[str, Any]) -> None:
    entries = journal.entries()
    journal.write(out / "events.jsonl", zero=entries[0].t if entries else 0.0)
    if figures:
        rows = latency.table(figures)
        text = latency.markdown(rows, latency.remarks(figures, None))
        (out / "latency.md").write_text(text, encoding="utf-8")


@contextlib.contextmanager
def _keys(terminal: Any) -> Generator[Callable[[], str | None], None, None]:
    """Let keys come one by one, without Enter and without being echoed, while the context lasts."""
    import termios  # noqa: PLC0415  a terminal's, and only needed with one
    import tty  # noqa: PLC0415

    before = termios.tcgetattr(terminal)

    def next_key() -> str | None:
        ready, _, _ = select.select([terminal], [], [], 0.1)
        return os.read(terminal.fileno(), 1).decode(errors="replace") if ready else None

    try:
        tty.setcbreak(terminal)
        yield next_key
    finally:
        termios.tcsetattr(terminal, termios.TCSADRAIN, before)
