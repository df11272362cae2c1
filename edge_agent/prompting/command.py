"""`edge-agent prompts list|record|check`: the device's own sentences, and the voice they are spoken with.

    edge-agent prompts list                       every sentence, with what will speak it
    edge-agent prompts list --language fr         in another language than the configured one
    edge-agent prompts record                     have the model speak those that have no sound yet, and keep them
    edge-agent prompts record --only muted --again
    edge-agent prompts check                      WAVs that cannot be played, have no sentence, or are out of date

`record` opens one connection with the configured credential, model and voice (`recorder`); it needs no microphone, and
the daemon may run meanwhile. Each sentence costs a short turn. What was recorded before in the same voice and words is
not asked for again, so an interrupted recording goes on where it was; `--again` asks all the same. Recordings go into
`conversation.prompts_folder` if this user may write there, else into `prompts` in the state folder (`sounds` says how
they lie there). The device plays them from the next sentence on.

What it uses counts in the device's account (`account`), and a cap of [budget] or [link] that is reached ends it.

Exit codes: 0 fine, 1 a sentence could not be recorded or a sound cannot be used, 2 usage, 78 bad configuration.
"""
# ruff: noqa: T201  a command prints its answer

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import shutil
import ssl
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_agent import config as settings
from edge_agent import prompts
from edge_agent.agent.utterance import RATE, places, read
from edge_agent.audio.wavfile import encode, header, to_s32
from edge_agent.config import Config
from edge_agent.errors import EXIT_FAILED, EXIT_OK, EXIT_USAGE
from edge_agent.persona import load_persona
from edge_agent.prompting.account import Account
from edge_agent.prompting.inspection import inspect
from edge_agent.prompting.recorder import Line, StudioOpening, record
from edge_agent.prompts import NAMES, Sentence, sounds
from edge_agent.service import logs

ESPEAK = "espeak-ng"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `edge-agent prompts`."""
    actions = parser.add_subparsers(dest="action", metavar="list|record|check", required=True)
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--config", type=Path, metavar="FILE", help=f"default: {settings.DEFAULT_PATH}, if it exists")
    common.add_argument("--language", metavar="CODE", help="such as de; default: conversation.prompts")
    text = "List the device's own sentences and what speaks them."
    actions.add_parser("list", help=text, description=text, parents=[common])
    text = "Have the model speak the sentences once, and keep them."
    recording = actions.add_parser("record", help=text, description=text, parents=[common])
    recording.add_argument("--only", action="append", metavar="NAME", help="this sentence alone; may be repeated")
    recording.add_argument("--again", action="store_true", help="also those that are recorded already")
    recording.add_argument("--ca", type=Path, metavar="PEM", help="trust this certificate authority too (a TLS twin)")
    text = "Find sounds that cannot be used or are out of date."
    actions.add_parser("check", help=text, description=text, parents=[common])


def run(args: argparse.Namespace) -> int:
    """Carry out one `prompts` command; return the exit code.

    Raises:
        ConfigError: the configuration, the persona or a file of sentences cannot be used.
        AgentError: the model records nothing.
    """
    logs.set_up(level="warning")
    config = settings.load(args.config) if args.config or settings.DEFAULT_PATH.exists() else Config()
    language = args.language or config.conversation.prompts
    loaded = prompts.load(language, config.prompts_folder)
    match args.action:
        case "list":
            return _list(config, language, loaded.sentences)
        case "check":
            return _check(config, language, loaded.sentences)
        case _:
            return _record(args, config, language, loaded.sentences)


def place_for(config: Config) -> Path | None:
    """Return the first folder in which this user may put recordings; None if there is none."""
    for place in places(config):
        there = next(folder for folder in (place, *place.parents) if folder.exists())
        if there.is_dir() and os.access(there, os.W_OK | os.X_OK):
            return place
    return None


def voice_of(config: Config) -> str:
    """Return the voice that the model has on this device.

    Raises:
        ConfigError: the persona cannot be used.
    """
    persona = load_persona(Path(config.persona)) if config.persona else None
    return (persona.voice if persona else "") or config.live.voice


def _list(config: Config, language: str, sentences: Mapping[str, Sentence]) -> int:
    width = max(map(len, NAMES))
    for name, sentence in sentences.items():
        source = _source(config, language, name, sentence)
        print(f"{name:<{width}}  {source:<{len('recorded')}}  {sentence.language:<5}  {sentence.text}")
    return EXIT_OK


def _source(config: Config, language: str, name: str, sentence: Sentence) -> str:
    for wav in sounds.sources(name, sentence, language, places(config)):
        with contextlib.suppress(OSError, ValueError):  # what is wrong with it, `check` tells
            read(wav.path)
            return "own WAV" if wav.own else "recorded"
    return ESPEAK if shutil.which(ESPEAK) else "silent"


def _check(config: Config, language: str, sentences: Mapping[str, Sentence]) -> int:
    found = inspect(places(config), language, sentences, voice=voice_of(config), model=config.live.model)
    spoken = [_source(config, language, name, sentence) for name, sentence in sentences.items()]
    for sentence in [*found.faults, *found.notes]:
        print(sentence)
    silent = spoken.count("silent")
    if silent:
        print(f"{silent} sentences have no sound at all: install {ESPEAK}, or record them (edge-agent prompts record).")
    counts = ", ".join(f"{spoken.count(kind)} {kind}" for kind in ("own WAV", "recorded", ESPEAK) if kind in spoken)
    print(f"{len(spoken)} sentences in {language!r}: {counts or 'all silent'}.")
    return EXIT_FAILED if found.faults or silent else EXIT_OK


def _record(args: argparse.Namespace, config: Config, language: str, sentences: Mapping[str, Sentence]) -> int:
    unknown = [name for name in args.only or () if name not in NAMES]
    if unknown:
        return _usage(f"there is no sentence {unknown[0]}; there are {', '.join(NAMES)}")
    try:
        context = ssl.create_default_context(cafile=str(args.ca)) if args.ca else None
    except OSError as error:
        return _usage(f"{args.ca}: {error.strerror}; give the path of a PEM file")
    place = place_for(config)
    if place is None:
        tried = " nor ".join(map(str, places(config)))
        return _usage(f"this user may write neither to {tried}; set conversation.prompts_folder to a folder of yours")
    booth = _Booth(config, language, place, voice_of(config))
    lines = booth.lines(sentences, args.only or list(NAMES), again=args.again)
    stopped = False
    try:
        if lines:
            booth.account.read()
            why = booth.account.refusal()
            if why:
                print(f"edge-agent prompts: {why}", file=sys.stderr)
                return EXIT_FAILED
            asyncio.run(booth.record(lines, context))
    except KeyboardInterrupt:
        stopped = True
    except OSError as error:
        print(f"edge-agent prompts: {place} cannot be written: {error.strerror}", file=sys.stderr)
        stopped = True
    booth.sum_up(len(lines))
    return EXIT_OK if booth.kept == len(lines) and not stopped else EXIT_FAILED


def _usage(sentence: str) -> int:
    print(f"edge-agent prompts: {sentence}", file=sys.stderr)
    return EXIT_USAGE


class _Booth:
    """One recording: what is asked for, what is kept, and what is told of it."""

    def __init__(self, config: Config, language: str, place: Path, voice: str) -> None:
        self.kept = 0
        """Sentences recorded by now."""
        self._config = config
        self._language = language
        self._place = place
        self._voice = voice
        self.account = Account(config)

    def lines(self, sentences: Mapping[str, Sentence], names: Sequence[str], *, again: bool) -> list[Line]:
        """Return the sentences that are to be asked for, and tell why the others are not."""
        wanted = []
        for name in dict.fromkeys(names):
            sentence = sentences[name]
            why = self._needless(name, sentence, again=again)
            if why:
                print(f"{name}: {why}")
            else:
                wanted.append(Line(name, sentence.text, sentence.language))
        return wanted

    async def record(self, lines: Sequence[Line], context: ssl.SSLContext | None) -> None:
        """Record, and keep each sentence as soon as it is there."""
        print(f"Recording {len(lines)} sentences with the voice {self._voice}, to {self._place}", flush=True)
        numbers = {line.name: f"{number}/{len(lines)}  " for number, line in enumerate(lines, 1)}
        opening = StudioOpening(self._config, voice=self._voice)
        coming = record(
            lines,
            opening,
            patience_s=self._config.conversation.answer_timeout_s,
            on_again=lambda line, why: print(f"{numbers[line.name]}{line.name}  {why}; once more", flush=True),
            ledger=self.account.used,
            forbidden=self.account.refusal,
            ssl_context=context,
        )
        async with contextlib.aclosing(coming):
            async for result in coming:
                name = result.line.name
                if result.sound is None:
                    print(
                        f"{numbers[name]}{name}  {'not kept' if result.asked else 'not asked'}: {result.why}",
                        flush=True,
                    )
                    continue
                await asyncio.to_thread(self._keep, result.line, result.sound)
                self.kept += 1
                print(f"{numbers[name]}{name}  {len(result.sound) / RATE:.1f} s", flush=True)

    def sum_up(self, count: int) -> None:
        """Tell what was done and what it took."""
        if not count:
            print("Nothing is left to record.")
            return
        print(f"{self.kept} of {count} sentences recorded; {self._cost()}")
        if why := self.account.book():
            print(why)
        if self.kept and self._place != self._config.prompts_folder:
            print(
                f"Only a device that runs as you finds them in {self._place}; for the service, record as root, "
                f"or as a user who may write to {self._config.prompts_folder}"
            )

    def _needless(self, name: str, sentence: Sentence, *, again: bool) -> str:
        for wav in sounds.sources(name, sentence, self._language, places(self._config)):
            try:
                read(wav.path)
            except (OSError, ValueError):
                continue
            if wav.own:
                return f"has a sound of its own, {wav.path}"
            found = sounds.recording(wav.path.parents[2], name, sentence.language)
            if not again and found is not None and found.voice == self._voice:
                return "is recorded already"
        return ""

    def _keep(self, line: Line, sound: NDArray[np.float32]) -> None:
        wav = header(len(sound), rate=RATE, channels=1, bits=16) + encode(to_s32(sound), 16)
        sounds.keep(
            self._place,
            line.name,
            line.language,
            wav,
            text=line.text,
            voice=self._voice,
            model=self._config.live.model,
            at=datetime.now().astimezone().isoformat(timespec="seconds"),
        )

    def _cost(self) -> str:
        used = self.account.used.day
        if not used.tokens:
            return "the service reported no tokens."
        into, out = (sum(n for (way, _), n in used.tokens.items() if way == one) for one in ("in", "out"))
        return f"{into} tokens in, {out} out, about {used.money:.4f} {self._config.budget.currency}."
