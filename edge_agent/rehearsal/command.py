"""`edge-agent rehearse QUESTIONS`: ask each question as a visitor would, and write a sheet of the answers for sign-off.

    edge-agent rehearse questions.txt                            writes rehearsal-DATE-TIME.html here
    edge-agent rehearse questions.txt --out sheet.html           to this file, written over if it is there
    edge-agent rehearse questions.txt --spoken                   spoken by espeak-ng instead of typed

The file has one question to a line; `---` begins a new conversation, `# ` a comment (`questions`). Each conversation is
opened as the daemon would open it for a visitor: persona, knowledge, model, voice, language, tools (`asking`). It needs
no microphone, and the daemon may run meanwhile. Every question costs what a visitor's costs, and takes as long as its
answer lasts.

Stopped half-way (Ctrl-C), the sheet holds what was answered. Exit codes: 0 every question was answered, 1 one was not
(the sheet shows which and why), 2 the questions or the sheet's place cannot be used, 78 bad configuration.
"""
# ruff: noqa: T201  a command prints its answer

from __future__ import annotations

import argparse
import asyncio
import contextlib
import ssl
import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from urllib.parse import urlsplit

from edge_agent import __version__
from edge_agent import config as settings
from edge_agent.config import Config
from edge_agent.errors import EXIT_FAILED, EXIT_OK, EXIT_USAGE
from edge_agent.rehearsal.asking import Answer, RehearsalOpening, ask
from edge_agent.rehearsal.questions import Question, parse
from edge_agent.rehearsal.sheet import Heading, draw, sounds_for
from edge_agent.service import logs


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `edge-agent rehearse`."""
    parser.add_argument("questions", type=Path, metavar="QUESTIONS", help="a text file: one question to a line")
    parser.add_argument(
        "--config",
        type=Path,
        default=settings.DEFAULT_PATH,
        metavar="FILE",
        help="the configuration; default: %(default)s",
    )
    parser.add_argument("--out", type=Path, metavar="SHEET", help="where to; default: rehearsal-DATE-TIME.html")
    parser.add_argument("--spoken", action="store_true", help="speak the questions (espeak-ng) instead of typing them")
    parser.add_argument("--ca", type=Path, metavar="PEM", help="trust this certificate authority too (a TLS twin)")


def run(args: argparse.Namespace) -> int:
    """Rehearse, write the sheet, and return the exit code.

    Raises:
        ConfigError: the configuration or the persona cannot be used.
    """
    logs.set_up(level="warning")
    config = settings.load(args.config)
    begun = datetime.now().astimezone()
    out: Path = args.out or Path(f"rehearsal-{begun:%Y-%m-%d-%H%M%S}.html")
    try:
        questions = parse(args.questions.read_bytes().decode(), source=str(args.questions))
        _try_place(out)
        context = ssl.create_default_context(cafile=str(args.ca)) if args.ca else None
    except (OSError, UnicodeDecodeError, ValueError) as error:
        print(f"edge-agent rehearse: {_told(error, args.questions)}", file=sys.stderr)
        return EXIT_USAGE
    opening = RehearsalOpening(config)
    opening.read_persona()
    answers: list[Answer] = []
    stopped = False
    try:
        asyncio.run(_gather(questions, opening, answers, spoken=args.spoken, context=context))
    except KeyboardInterrupt:
        stopped = True
        answers += [Answer(one, asked=False, error="Not asked: stopped by hand.") for one in questions[len(answers) :]]
    sounds = sounds_for(answers, folder=f"{out.stem}-sound")
    for name, wave in sounds.files.items():
        path = out.parent / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(wave)
    heading = _heading(args, config, opening, f"{begun:%d %B %Y, %H:%M}")
    out.write_text(draw(answers, heading, sounds=sounds), encoding="utf-8")
    failed = sum(bool(answer.error) for answer in answers)
    beside = f", with {len(sounds.files)} sounds in {out.stem}-sound/" if sounds.files else ""
    print(f"{out}: {len(answers) - failed} of {len(answers)} questions answered{beside}")
    return EXIT_FAILED if failed or stopped else EXIT_OK


async def _gather(
    questions: Sequence[Question],
    opening: RehearsalOpening,
    answers: list[Answer],
    *,
    spoken: bool,
    context: ssl.SSLContext | None,
) -> None:
    async with contextlib.aclosing(ask(questions, opening, spoken=spoken, ssl_context=context)) as coming:
        async for answer in coming:
            answers.append(answer)
            figure = answer.error or f"{answer.seconds:.1f} s"
            print(f"{len(answers)}/{len(questions)}  {answer.question.text}  [{figure}]", flush=True)


def _heading(args: argparse.Namespace, config: Config, opening: RehearsalOpening, date: str) -> Heading:
    persona = opening.persona
    return Heading(
        date=date,
        questions=args.questions.name,
        model=config.live.model,
        voice=(persona.voice if persona else "") or config.live.voice,
        language=(persona.language if persona else "") or config.live.language,
        service=f"{urlsplit(config.live.url).hostname}, not Google" if config.live.url else "Google's Live API",
        spoken=args.spoken,
        version=__version__,
        persona=persona,
        persona_name=Path(config.persona).name,
        instruction=config.live.system_instruction,
        tools=list(opening.tools),
    )


def _try_place(out: Path) -> None:
    """Find out before anything is asked, and paid for, whether the sheet can be written; an old one stays as it is."""
    with out.open("ab"):
        pass
    if out.stat().st_size == 0:
        out.unlink()


def _told(error: Exception, questions: Path) -> str:
    if isinstance(error, UnicodeDecodeError):
        return f"{questions}: not UTF-8; save the file as UTF-8"
    if isinstance(error, OSError):
        return f"{error.filename or questions}: {error.strerror}; give the path of a file that can be used"
    return str(error)
