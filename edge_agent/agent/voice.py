"""The device's own voice: its sentences and announcements, spoken behind what is being played, and hushed.

    voice = Voice(lambda: config, engine=engine, reports=reports)
    voice.prompt("offline")              # a sentence of the prompts, in the owner's language
    voice.announce("Dinner is ready.")   # a text of the owner's
    voice.hush()                         # a person begins to talk
    await voice.close()

Sentences are heard in the order in which they were asked for. A sentence of the prompts is the owner's own sound, else
a recording, else spoken by espeak-ng (`utterance`); an announcement is always spoken. Where the owner's file of
sentences has become unusable, the built-in ones are spoken; where there is no voice nothing is, and watchers are told
the text all the same. All of it belongs to the loop's thread; files are read and sound is made in another.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

from edge_agent import prompts
from edge_agent.agent.reports import Reports
from edge_agent.agent.utterance import spoken, utter
from edge_agent.audio.engine import Duplex
from edge_agent.config import Config
from edge_agent.prompts.voice import Speech

log = logging.getLogger("edge_agent")


class Voice:
    """Speaks by itself.

    Args:
        config: gives the configuration in force.
        engine: plays what is spoken.
        reports: tells watchers what is spoken.
    """

    def __init__(self, config: Callable[[], Config], *, engine: Duplex, reports: Reports) -> None:
        self._config = config
        self._engine = engine
        self._reports = reports
        self._loop = asyncio.get_running_loop()
        self._speaking: set[asyncio.Task[None]] = set()
        self._in_turn = asyncio.Lock()

    def prompt(self, name: str) -> None:
        """Speak a sentence of the prompts."""
        self._soon(self._prompt(name))

    def announce(self, text: str) -> None:
        """Speak a text in the language of the prompts."""
        self._soon(self._announcement(text))

    def hush(self) -> None:
        """Stop speaking: what a person says now must not be mixed with it."""
        for task in self._speaking:
            task.cancel()
        self._engine.hush()

    async def close(self) -> None:
        """Stop speaking for good."""
        under_way = list(self._speaking)
        self.hush()
        if under_way:
            await asyncio.wait(under_way)

    def _soon(self, speaking: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(speaking)
        self._speaking.add(task)
        task.add_done_callback(self._spoken)

    def _spoken(self, task: asyncio.Task[None]) -> None:
        self._speaking.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("defect: a sentence could not be spoken", exc_info=error)

    async def _prompt(self, name: str) -> None:
        config = self._config()
        async with self._in_turn:  # a sentence that is known by heart would overtake one that is not
            sentence = await asyncio.to_thread(
                prompts.sentence, name, config.conversation.prompts, config.prompts_folder
            )
            self._reports.publish("prompt", name=name, text=sentence.text)
            self._say((await asyncio.to_thread(utter, name, sentence, config)).speech)

    async def _announcement(self, text: str) -> None:
        async with self._in_turn:
            self._reports.publish("announcement", text=text)
            self._say(await spoken(text, self._config().conversation.prompts))

    def _say(self, speech: Speech | None) -> None:
        if speech is not None:
            self._engine.say(speech.pcm, rate=speech.rate)
