"""The device's own sentences: complete in every language, changeable by the owner, spoken without a network."""

from __future__ import annotations

import logging
import shutil
import stat
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from edge_agent import prompts
from edge_agent.conversation import indicator
from edge_agent.errors import ConfigError, Fault
from edge_agent.prompts import NAMES, languages, load, speak, voice

_SHIPPED = ["de", "en", "es", "fr", "it", "nl", "pt"]

_BREATH = 125
"""Characters that take some 8 seconds; more is allowed to owners, who know their visitors."""


@pytest.fixture(autouse=True)
def _nothing_kept() -> Iterator[None]:
    voice.forget()
    yield
    voice.forget()


def test_seven_languages_are_shipped() -> None:
    assert languages() == _SHIPPED


@pytest.mark.parametrize("language", _SHIPPED)
def test_no_sentence_is_missing_or_left_in_english(language: str) -> None:
    file = Path(prompts.__file__).with_name(f"{language}.toml")
    tree = tomllib.loads(file.read_text())
    assert list(tree) == list(NAMES), "every sentence, in the order of the table"
    english = load("en")
    for name, text in tree.items():
        assert text[0].isupper(), name
        assert text.endswith("."), name
        assert language == "en" or text != english.sentence(name).text, name
    assert len(set(tree.values())) == len(tree), "no two sentences are the same"
    assert max(map(len, tree.values())) <= _BREATH, "a sentence is heard in one breath"


@pytest.mark.parametrize("language", _SHIPPED)
def test_every_fault_says_what_to_do(language: str) -> None:
    for fault in Fault:
        text = load(language).sentence(f"fault-{fault.value}").text
        assert text.count(".") >= 2 or "," in text or ";" in text, f"{text!r} only complains"


def test_everything_the_indicator_says_exists() -> None:
    for signal in indicator.SIGNALS.values():
        names = [f"fault-{fault.value}" for fault in Fault] if signal.prompt == "fault" else [signal.prompt]
        assert not signal.prompt or set(names) <= set(NAMES)


def test_a_region_falls_back_to_its_language() -> None:
    assert load("de-AT").sentence("timer_over") == prompts.Sentence("Die Zeit ist um.", "de")
    assert load("fr_CA").sentence("timer_over").language == "fr"


def test_an_unknown_language_is_english_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    assert load("tlh").sentence("timer_over") == prompts.Sentence("Time is up.", "en")
    assert "no sentences in 'tlh'" in caplog.text
    assert "de, en, es, fr, it, nl, pt" in caplog.text


@pytest.mark.parametrize("code", ["../evil", "/etc/passwd", "de/../en", "", "d", "de-", "de..", "de\n", "x" * 9])
def test_what_is_no_code_of_a_language_never_becomes_a_path(code: str, tmp_path: Path) -> None:
    (tmp_path / "evil.toml").write_text('muted = "Ha."')
    for read in (load, prompts.check):
        with pytest.raises(ConfigError, match="BCP-47"):
            read(code, tmp_path / "prompts")


@pytest.mark.parametrize("code", ["de", "DE", "de-AT", "de_AT", "sr-Latn-RS", "es-419", "tlh"])
def test_codes_of_languages_are_taken(code: str) -> None:
    assert load(code).sentence("muted").text


def test_a_folder_that_may_not_be_looked_into_is_a_sentence_and_no_defect(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    is_there = Path.exists

    def refused(path: Path) -> bool:
        if tmp_path in path.parents:
            raise PermissionError(13, "Permission denied")
        return is_there(path)

    monkeypatch.setattr(Path, "exists", refused)
    with pytest.raises(ConfigError, match="Permission denied"):
        load("en", tmp_path)
    assert prompts.sentence("muted", "en", tmp_path).text == load("en").sentence("muted").text
    assert "Permission denied" in caplog.text


def test_the_owner_changes_sentences_and_adds_languages(tmp_path: Path) -> None:
    (tmp_path / "de.toml").write_text('timer_over = "Tschüss."')
    (tmp_path / "sv.toml").write_text('timer_over = "Hej då."')
    (tmp_path / "de-CH.toml").write_text('timer_over = "Uf Wiederluege."')
    german = load("de", tmp_path)
    assert german.sentence("timer_over").text == "Tschüss."
    assert german.sentence("muted").text.startswith("Mein Mikrofon ist aus.")
    swiss = load("de-CH", tmp_path)
    assert swiss.sentence("timer_over") == prompts.Sentence("Uf Wiederluege.", "de-CH")
    swedish = load("sv", tmp_path)
    assert swedish.sentence("timer_over") == prompts.Sentence("Hej då.", "sv")
    assert swedish.sentence("muted") == load("en").sentence("muted"), "in an English voice"
    assert languages(tmp_path) == sorted(["de-CH", "sv", *_SHIPPED])


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("godbye = 'x'", "unknown sentence godbye"),
        ("timer_over = 3", "timer_over must be a text"),
        ("timer_over = ' '", "not empty"),
        (f"timer_over = '{'x' * 301}'", "301 characters"),
        ("timer_over", "cannot be read"),
    ],
)
def test_mistakes_of_the_owner_are_named(tmp_path: Path, text: str, part: str) -> None:
    (tmp_path / "en.toml").write_text(text)
    with pytest.raises(ConfigError, match=part) as caught:
        load("en", tmp_path)
    assert str(tmp_path / "en.toml") in str(caught.value)


espeak = pytest.mark.skipif(shutil.which("espeak-ng") is None, reason="espeak-ng is not installed")


@espeak
@pytest.mark.parametrize("language", _SHIPPED)
def test_a_sentence_is_spoken(language: str) -> None:
    speech = speak(load(language).sentence("fault-4").text, language)
    assert speech is not None
    pcm, rate = speech
    samples = np.frombuffer(pcm, "<i2").astype(np.float64)
    assert rate == 22050
    assert 2 < len(samples) / rate < 15, "seconds"
    assert np.sqrt(np.mean(samples**2)) > 300, "it is sound, not silence"


@espeak
def test_what_was_spoken_once_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    first = speak("Hello.", "en")

    def never(*_args: object, **_kwargs: object) -> None:
        raise AssertionError

    monkeypatch.setattr(subprocess, "run", never)
    assert speak("Hello.", "en") is first


@espeak
def test_an_unknown_voice_is_replaced_by_the_english_one(caplog: pytest.LogCaptureFixture) -> None:
    assert speak("Hello.", "xx") == speak("Hello.", "en")
    assert "English voice" in caplog.text


@espeak
def test_a_text_that_looks_like_an_option_is_spoken() -> None:
    speech = speak("--version", "en")
    assert speech is not None
    assert len(speech.pcm) > 10_000


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(voice, "_synthesize", lambda text, _: voice.Speech(b"\0" * int(text), 8000))
    for number in range(180_000, 200_000, 100):
        speak(str(number), "en")
    kept = sum(len(speech.pcm) for speech in voice._kept.values())
    assert 0.9 * voice.KEPT_BYTES < kept <= voice.KEPT_BYTES
    assert ("199900", "en") in voice._kept


def test_a_sentence_too_long_to_be_kept_is_still_spoken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(voice, "_synthesize", lambda *_: voice.Speech(b"\0" * 2 * voice.KEPT_BYTES, 8000))
    assert speak("A long one.", "en") is not None
    assert not voice._kept


def _fake_espeak(folder: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = folder / "espeak-ng"
    fake.write_text(f"#!/bin/sh\n{script}\n")
    fake.chmod(fake.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")


@pytest.mark.parametrize(
    ("script", "part"),
    [
        ("cat > /dev/null; echo broken >&2; exit 3", "espeak-ng failed: broken"),
        ("cat > /dev/null; echo not a wav", "no WAV sound"),
        ("cat > /dev/null", "no WAV sound"),
    ],
)
def test_a_broken_voice_is_silence_and_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, script: str, part: str
) -> None:
    _fake_espeak(tmp_path, script, monkeypatch)
    with caplog.at_level(logging.WARNING):
        assert speak("Hello.", "en") is None
        assert speak("Hello.", "en") is None
    assert len(caplog.records) == 1
    assert part in caplog.text


def test_a_voice_that_hangs_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    _fake_espeak(tmp_path, "exec sleep 60", monkeypatch)
    monkeypatch.setattr(voice, "DEADLINE_S", 0.1)
    assert speak("Hello.", "en") is None
    assert "longer than 0.1 s" in caplog.text


def test_no_voice_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert speak("Hello.", "en") is None
    assert "apt install espeak-ng" in caplog.text
