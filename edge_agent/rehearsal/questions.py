"""A file of questions, read into conversations. Pure.

    # Opening hours and prices                a comment
    When do you open on Sunday?
    And on Monday?                            knows what was said before

    ---                                       a new conversation, as for the next visitor
    How much is a ticket for a family of five?

One question to a line; blank lines do not count. `# ` or a lone `#` at the beginning of a line makes a comment.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

MAX_QUESTIONS = 500  # each costs money and half a minute; a longer list is some other file
MAX_CHARACTERS = 2000  # nobody says more in one breath


@dataclass(frozen=True, slots=True)
class Question:
    """One question: its text, its line in the file, and the conversation it belongs to, both from 1."""

    text: str
    line: int
    conversation: int


def parse(text: str, *, source: str) -> list[Question]:
    """Return the questions of a file in order; `source` is its name, for sentences.

    Raises:
        ValueError: a sentence: no question, too many, or one that is too long.
    """
    found: list[Question] = []
    conversation, fresh = 1, True
    for number, raw in enumerate(text.removeprefix("\ufeff").splitlines(), 1):
        line = " ".join(raw.split())
        if not line or line == "#" or line.startswith("# "):
            continue
        if set(line) == {"-"} and len(line) >= 3:
            conversation += 0 if fresh else 1
            fresh = True
            continue
        if len(line) > MAX_CHARACTERS:
            raise ValueError(f"{source}: line {number} has {len(line)} characters; at most {MAX_CHARACTERS} are asked")
        found.append(Question(line, number, conversation))
        fresh = False
    if not found:
        raise ValueError(f"{source}: there is no question in it; write one to a line")
    if len(found) > MAX_QUESTIONS:
        raise ValueError(f"{source}: {len(found)} questions; at most {MAX_QUESTIONS} are asked in one rehearsal")
    return found


def conversations(questions: Sequence[Question]) -> list[list[Question]]:
    """Return the questions by conversation, in order."""
    grouped: dict[int, list[Question]] = {}
    for question in questions:
        grouped.setdefault(question.conversation, []).append(question)
    return list(grouped.values())
