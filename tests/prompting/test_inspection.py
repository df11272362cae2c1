"""What is wrong with a folder of sounds, one sentence for each file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edge_agent import prompts
from edge_agent.audio.wavfile import encode, header, to_s32, write_wav
from edge_agent.prompting.inspection import Findings, inspect
from edge_agent.prompts import sounds

WAV = header(240, rate=24_000, channels=1, bits=16) + encode(to_s32(np.full(240, 0.1, np.float32)), 16)


def keep(place: Path, name: str, language: str, text: str, *, wav: bytes = WAV, model: str = "m") -> Path:
    return sounds.keep(place, name, language, wav, text=text, voice="Puck", model=model, at="2026-11-22T10:00:00")


def look(*places: Path, language: str = "en") -> Findings:
    sentences = prompts.load(language, places[0]).sentences
    return inspect(places, language, sentences, voice="Puck", model="m")


def test_a_folder_that_is_in_order_or_not_there_gives_no_word(tmp_path: Path) -> None:
    place, other = tmp_path / "prompts", tmp_path / "state"
    assert look(place, other) == Findings()
    keep(other, "timer_over", "en", "Time is up.")
    (place / "en").mkdir(parents=True)
    (place / "en" / ".hidden").write_text("?")
    write_wav(place / "en" / "muted.wav", np.full(240, 0.1, np.float32), 8_000)
    assert look(place, other) == Findings()


def test_every_place_is_looked_through(tmp_path: Path) -> None:
    broken = keep(tmp_path / "state", "timer_over", "en", "Time is up.", wav=b"no sound")
    found = look(tmp_path / "prompts", tmp_path / "state")
    assert found.faults == [f"{broken} is not a WAV file; allowed is PCM of 8, 16, 24 or 32 bits or float of 32 bits."]


def test_a_recording_of_another_model_is_a_note(tmp_path: Path) -> None:
    path = keep(tmp_path, "timer_over", "en", "Time is up.", model="gemini-2.5")
    found = look(tmp_path)
    assert not found.faults
    assert found.notes == [f"{path} was recorded with the voice Puck of gemini-2.5; it is played all the same."]


@pytest.mark.parametrize("language", ["sv", "de-AT"])
def test_languages_that_are_not_asked_about_are_left_alone(tmp_path: Path, language: str) -> None:
    """Words that only the one language has, and recordings of the other's words, are no question here."""
    (tmp_path / "sv.toml").write_text('muted = "Min mikrofon är av."\n')
    keep(tmp_path, "timer_over", "sv", "Hej då.")
    keep(tmp_path, "timer_over", "fr", "Salut.")
    assert look(tmp_path, language=language) == Findings()
