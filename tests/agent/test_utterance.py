"""Which voice speaks a sentence: the owner's WAV, a recording, espeak-ng, or none; and what a bad WAV does."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import numpy as np
import pytest
from harness import pcm
from numpy.typing import NDArray

from edge_agent import prompts
from edge_agent.agent import utterance
from edge_agent.agent.utterance import Utterance, places, spoken, utter
from edge_agent.audio.wavfile import header, write_wav
from edge_agent.config import Config, Conversation
from edge_agent.prompts import sounds
from edge_agent.prompts.voice import Speech


@pytest.fixture(autouse=True)
def _espeak(monkeypatch: pytest.MonkeyPatch) -> None:
    """A voice of 100 samples at another rate than the engine's."""
    monkeypatch.setattr(prompts, "speak", lambda _text, _language: Speech(b"\1\0" * 100, 12_000))


class Owner:
    """A device's folders, and what it would say."""

    def __init__(self, folder: Path, language: str = "de-AT") -> None:
        self.config = Config(conversation=Conversation(prompts=language, prompts_folder=str(folder / "prompts")))
        self.own, self.state = places(self.config)

    def wav(self, path: str, frames: NDArray[np.float32] | None = None, *, rate: int = 24_000) -> Path:
        """Put a sound into the owner's folder."""
        target = self.own / path
        target.parent.mkdir(parents=True, exist_ok=True)
        write_wav(target, np.full(240, 0.25, np.float32) if frames is None else frames, rate)
        return target

    def record(self, place: Path, name: str, language: str, text: str) -> Path:
        """Put a recording into a folder."""
        wav = header(240, rate=24_000, channels=1, bits=16) + b"\0\1" * 240
        return sounds.keep(place, name, language, wav, text=text, voice="Puck", model="m", at="2026-11-22T10:00:00")

    def utter(self, name: str = "timer_over") -> Utterance:
        sentence = prompts.sentence(name, self.config.conversation.prompts, self.config.prompts_folder)
        return utter(name, sentence, self.config)


def test_the_owner_goes_before_the_recording_and_the_recording_before_espeak(tmp_path: Path) -> None:
    owner = Owner(tmp_path)
    assert owner.utter().source == "espeak-ng"
    in_state = owner.record(owner.state, "timer_over", "de", "Die Zeit ist um.")
    assert owner.utter()[::2] == ("recorded", in_state)
    in_folder = owner.record(owner.own, "timer_over", "de", "Die Zeit ist um.")
    assert owner.utter()[::2] == ("recorded", in_folder)
    general = owner.wav("de/timer_over.wav")
    assert owner.utter()[::2] == ("own", general)
    austrian = owner.wav("de-AT/timer_over.wav")
    assert owner.utter()[::2] == ("own", austrian)
    assert owner.utter("muted").source == "espeak-ng", "another sentence is none of its business"


def test_a_recording_of_other_words_is_not_played(tmp_path: Path) -> None:
    owner = Owner(tmp_path, "de")
    owner.record(owner.own, "timer_over", "de", "Die Zeit ist um.")
    assert owner.utter().source == "recorded"
    (owner.own / "de.toml").write_text('timer_over = "Servus."\n')
    assert owner.utter().source == "espeak-ng"


def test_a_language_without_the_words_may_have_the_sound(tmp_path: Path) -> None:
    owner = Owner(tmp_path, "sv")
    (owner.own).mkdir()
    (owner.own / "sv.toml").write_text('muted = "Min mikrofon är av."\n')
    english = owner.wav("en/timer_over.wav")
    assert owner.utter().path == english
    swedish = owner.wav("sv/timer_over.wav")
    assert owner.utter().path == swedish
    owner.wav("en/muted.wav")
    assert owner.utter("muted").source == "espeak-ng", "English sound for Swedish words"


def test_words_of_a_region_are_not_said_by_the_sound_of_the_whole_language(tmp_path: Path) -> None:
    owner = Owner(tmp_path, "de-AT")
    owner.wav("de/timer_over.wav")
    (owner.own / "de-AT.toml").write_text('timer_over = "Servus."\n')
    assert owner.utter().source == "espeak-ng"


def test_any_rate_and_any_number_of_channels_becomes_mono_at_the_engines_rate(tmp_path: Path) -> None:
    owner = Owner(tmp_path)
    t = np.arange(44_100) / 44_100
    stereo = np.stack([0.5 * np.sin(2 * np.pi * 440 * t), np.zeros(len(t))], axis=1).astype(np.float32)
    owner.wav("de/timer_over.wav", stereo, rate=44_100)
    speech = owner.utter().speech
    assert speech is not None
    assert speech.rate == 24_000
    expected = 0.25 * np.sin(2 * np.pi * 440 * np.arange(24_000) / 24_000)
    assert np.abs(pcm(speech.pcm) - expected)[200:-200].max() < 0.001


@pytest.mark.parametrize("wrong", ["text", "empty", "long", "huge", "unreadable"])
def test_a_bad_wav_is_a_sentence_in_the_log_and_the_next_voice_speaks(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, wrong: str
) -> None:
    owner = Owner(tmp_path)
    recorded = owner.record(owner.own, "timer_over", "de", "Die Zeit ist um.")
    path = owner.wav("de/timer_over.wav")
    match wrong:
        case "text":
            path.write_text("I am a song.")
            part = "not a WAV file"
        case "empty":
            path.write_bytes(header(0, rate=24_000, channels=1, bits=16))
            part = "holds no sound"
        case "long":
            owner.wav("de/timer_over.wav", np.zeros(15 * 8000 + 1, np.float32), rate=8000)
            part = "lasts 15.0 s; a sentence lasts 15 s at most"
        case "huge":
            owner.wav("de/timer_over.wav", np.zeros(480, np.float32))
            monkeypatch.setattr(sounds, "MAX_WAV_BYTES", 600)
            part = "has more than 0.0006 MB"
        case "unreadable":
            monkeypatch.setattr(utterance, "read_wav", _refused)
            part = "cannot be read: Permission denied"
    with caplog.at_level(logging.WARNING):
        found = owner.utter()
    assert str(path) in caplog.text
    assert part in caplog.text
    if wrong == "unreadable":  # so is the recording
        assert (found.source, len(caplog.records)) == ("espeak-ng", 2)
    else:
        assert (found.source, found.path, len(caplog.records)) == ("recorded", recorded, 1)


def _refused(_path: Path) -> None:
    raise PermissionError(13, "Permission denied")


def test_espeak_speaks_at_the_engines_rate_and_silence_stays_silence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = Owner(tmp_path).utter()
    assert found.speech is not None
    assert (len(found.speech.pcm), found.speech.rate) == (400, 24_000)
    assert asyncio.run(spoken("Dinner is ready.", "en")) == found.speech
    monkeypatch.setattr(prompts, "speak", lambda _text, _language: None)
    assert Owner(tmp_path).utter() == ("none", None, None)
    assert asyncio.run(spoken("Dinner is ready.", "en")) is None
