"""Were these the words? A transcript compared with the sentence that was to be spoken. Pure.

    same_words("fault 1 I have no network", "Fault one: I have no network.", "en")    # True
    same_words("Of course! I have no network.", "I have no network.", "en")           # False

A transcript is free in case, punctuation, spaces, hyphens and accents, and in writing the numbers from one to thirteen
as digits. Nothing else may differ: a word more is a comment of the model's, a word less is a sentence cut short.
"""

from __future__ import annotations

import re
import unicodedata

_NUMBERS: dict[str, tuple[str, ...]] = {
    code: tuple(words.split())
    for code, words in {
        "de": "eins zwei drei vier fünf sechs sieben acht neun zehn elf zwölf dreizehn",
        "en": "one two three four five six seven eight nine ten eleven twelve thirteen",
        "es": "uno dos tres cuatro cinco seis siete ocho nueve diez once doce trece",
        "fr": "un deux trois quatre cinq six sept huit neuf dix onze douze treize",
        "it": "uno due tre quattro cinque sei sette otto nove dieci undici dodici tredici",
        "nl": "een twee drie vier vijf zes zeven acht negen tien elf twaalf dertien",
        "pt": "um dois três quatro cinco seis sete oito nove dez onze doze treze",
    }.items()
}
"""The numbers of the faults, as the sentences of a language write them."""

_DIGITS = re.compile(r"(?<!\d)\d{1,2}(?!\d)")


def same_words(said: str, sentence: str, language: str) -> bool:
    """Tell whether a transcript holds the words of a sentence, all of them and no others.

    Args:
        said: the transcript.
        sentence: what was to be said.
        language: code of the sentence, such as `de` or `de-CH`; it matters for digits only.
    """
    return spelled(said, language) == spelled(sentence, language)


def spelled(text: str, language: str) -> str:
    """Return the letters and digits of a text in small letters without accents, its numbers up to thirteen as words."""
    numbers = _NUMBERS.get(language.partition("-")[0].lower(), ())

    def word(found: re.Match[str]) -> str:
        number = int(found[0])
        return numbers[number - 1] if 1 <= number <= len(numbers) else found[0]

    plain = unicodedata.normalize("NFKD", _DIGITS.sub(word, text).casefold())
    return "".join(letter for letter in plain if letter.isalnum())
