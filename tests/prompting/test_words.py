"""A transcript is the sentence, or it is not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent import prompts
from edge_agent.errors import Fault
from edge_agent.prompting.words import _NUMBERS, same_words, spelled


@pytest.mark.parametrize(
    ("said", "sentence", "language"),
    [
        (" i have NO network", "I have no network.", "en"),
        ("Fault 12: my memory-card", "Fault twelve: my memory card", "en"),
        ("Fehler 13", "Fehler dreizehn", "de"),
        ("Das W-LAN ist so weit", "Das WLAN ist soweit.", "de"),
        ("Auf Grosser Strasse", "auf großer Straße", "de-CH"),
        ("Panne 1 : je n\u2019ai pas de re\u0301seau.", "Panne un : je n'ai pas de réseau.", "fr"),
        ("Storing één", "Storing een", "nl"),
        ("Fallo 10", "Fallo diez", "es"),
    ],
)
def test_spelling_does_not_matter(said: str, sentence: str, language: str) -> None:
    assert same_words(said, sentence, language)


@pytest.mark.parametrize(
    "said",
    [
        "Sure! I have no network.",
        "I have no network. Anything else?",
        "I have no.",
        "I have a network.",
        "",
        "Ich habe kein Netz.",
        "I have 2 networks.",
    ],
)
def test_other_words_do(said: str) -> None:
    assert not same_words(said, "I have no network.", "en")


def test_digits_beyond_the_faults_stay_digits() -> None:
    assert spelled("Room 14, 120 people, 007", "en") == "room14120people007"
    assert spelled("Fel 1", "sv") == "fel1"


@pytest.mark.parametrize("language", prompts.languages())
def test_every_fault_may_be_transcribed_with_its_number(language: str) -> None:
    for fault in Fault:
        text = prompts.load(language).sentence(f"fault-{fault.value}").text
        number = _NUMBERS[language][fault.value - 1]
        assert number in text, "the sentence names its number"
        assert same_words(text.replace(number, str(fault.value), 1), text, language)


@given(st.text(max_size=80), st.sampled_from(["en", "de-AT", "xx", ""]))
def test_no_text_is_another_than_itself_and_none_is_refused(text: str, language: str) -> None:
    assert same_words(text.upper().lower(), text.upper().lower(), language)
    assert spelled(text, language).isalnum() or not spelled(text, language)
