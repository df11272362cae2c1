"""The device's own sentences are spoken in order, in the owner's words, and not while a person talks."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_agent import prompts
from edge_agent.agent import utterance
from edge_agent.agent.reports import Reports
from edge_agent.agent.voice import Voice
from edge_agent.audio.engine import Duplex
from edge_agent.audio.ring import CaptureRing
from edge_agent.audio.wavfile import write_wav
from edge_agent.config import Config, Conversation
from edge_agent.prompts.voice import Speech
from edge_agent.service.captions import Captions
from edge_agent.service.metrics import Metrics


class Room:
    """A voice, what watchers were told of it, and what came out of it, in samples of one length per text."""

    def __init__(self, config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
        self.told: list[tuple[str, str]] = []
        self.spoken: list[tuple[str, str]] = []
        self.heard: list[bytes] = []
        self.slow: dict[str, threading.Event] = {}
        self.engine = Duplex(block_frames=960, ring=CaptureRing(), mic_gain_db=0.0, mic_channel="left", volume=50)
        metrics = Metrics()
        reports = Reports(metrics, Captions(None), clock=lambda: 0.0, audio_s=lambda: 0.0, told=self._note)
        self.voice = Voice(lambda: config, engine=self.engine, reports=reports)
        monkeypatch.setattr(prompts, "speak", self._speak)
        monkeypatch.setattr(self.engine, "say", self._say)

    def _note(self, event: str, fields: Any) -> None:
        self.told.append((event, fields["text"]))

    def _say(self, pcm: bytes, *, rate: int) -> None:
        assert rate == utterance.RATE
        self.heard.append(pcm)

    def _speak(self, text: str, language: str) -> Speech | None:
        if text in self.slow:
            assert self.slow[text].wait(5.0)
        self.spoken.append((text, language))
        return Speech(text.encode(), utterance.RATE) if text != "mute" else None

    async def silence(self) -> None:
        """Until nothing is being spoken."""
        while self.voice._speaking:
            await asyncio.wait(list(self.voice._speaking))
            await asyncio.sleep(0)


def test_a_sentence_that_takes_long_is_not_overtaken(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story() -> None:
        room = Room(Config(), monkeypatch)
        room.slow["long"] = threading.Event()
        room.voice.announce("long")
        room.voice.announce("short")
        room.voice.announce("mute")
        await asyncio.sleep(0.05)
        assert not room.heard
        room.slow["long"].set()
        await room.silence()
        assert room.heard == [b"long", b"short"]
        assert room.told == [("announcement", "long"), ("announcement", "short"), ("announcement", "mute")]
        await room.voice.close()

    asyncio.run(story())


def test_what_is_hushed_while_its_sound_is_made_is_never_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story() -> None:
        room = Room(Config(), monkeypatch)
        room.slow["long"] = threading.Event()
        room.voice.announce("long")
        await asyncio.sleep(0.05)
        room.voice.hush()
        room.slow["long"].set()
        room.voice.announce("after")
        await room.silence()
        assert room.heard == [b"after"]
        await room.voice.close()

    asyncio.run(story())


def test_the_owners_sentence_is_spoken_and_the_built_in_one_where_the_file_has_become_unusable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "de.toml").write_text('timer_over = "Servus."\n')

    async def story() -> None:
        room = Room(Config(conversation=Conversation(prompts="de", prompts_folder=str(tmp_path))), monkeypatch)
        room.voice.prompt("timer_over")
        await room.silence()
        (tmp_path / "de.toml").write_text("timer_over = ")
        room.voice.prompt("timer_over")
        await room.silence()
        built_in = prompts.load("de").sentence("timer_over").text
        assert room.spoken == [("Servus.", "de"), (built_in, "de")]
        assert str(tmp_path / "de.toml") in caplog.text
        await room.voice.close()

    asyncio.run(story())


def test_files_are_read_beside_the_loop_and_a_defect_is_logged(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    load, threads = prompts.load, []

    def loaded(*args: Any) -> prompts.Prompts:
        threads.append(threading.current_thread())
        if len(threads) > 1:
            raise RuntimeError("no card")
        return load(*args)

    monkeypatch.setattr(prompts, "load", loaded)

    async def story() -> None:
        room = Room(Config(), monkeypatch)
        room.voice.prompt("timer_over")
        room.voice.prompt("muted")
        room.voice.announce("after")
        await room.silence()
        assert threading.main_thread() not in threads, "a slow card would stop the talk"
        assert room.heard == [b"Time is up.", b"after"]
        assert "defect: a sentence could not be spoken" in caplog.text
        assert "no card" in caplog.text
        await room.voice.close()

    asyncio.run(story())


def test_a_sentence_is_the_owners_sound_and_an_announcement_of_the_same_words_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "en").mkdir()
    write_wav(tmp_path / "en" / "timer_over.wav", np.full(240, 0.5, np.float32), 24_000)

    async def story() -> None:
        room = Room(Config(conversation=Conversation(prompts_folder=str(tmp_path))), monkeypatch)
        room.voice.prompt("timer_over")
        room.voice.announce("Time is up.")
        await room.silence()
        assert room.heard == [b"\x00\x40" * 240, b"Time is up."]
        assert room.told == [("prompt", "Time is up."), ("announcement", "Time is up.")]
        await room.voice.close()

    asyncio.run(story())
