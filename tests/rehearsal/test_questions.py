"""The file of questions."""

from __future__ import annotations

import pytest

from edge_agent.rehearsal.questions import MAX_QUESTIONS, conversations, parse


def test_questions_comments_and_conversations() -> None:
    text = (
        "\ufeff# Hours\nWhen do you open?\n  And on   Monday? \n\n---\n# Prices\n-----\n#1 attraction, what is it?\n#\n"
    )
    questions = parse(text, source="q.txt")
    assert [one.text for one in questions] == ["When do you open?", "And on Monday?", "#1 attraction, what is it?"]
    assert [one.conversation for one in questions] == [1, 1, 2], "empty conversations do not count"
    assert [one.line for one in questions] == [2, 3, 8]
    assert [[one.line for one in group] for group in conversations(questions)] == [[2, 3], [8]]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("# only a comment\n\n---\n", "q.txt: there is no question in it; write one to a line"),
        ("x" * 2001, "q.txt: line 1 has 2001 characters; at most 2000 are asked"),
        ("why?\n" * (MAX_QUESTIONS + 1), "q.txt: 501 questions; at most 500 are asked in one rehearsal"),
    ],
)
def test_what_cannot_be_asked_is_refused_with_a_sentence(text: str, told: str) -> None:
    with pytest.raises(ValueError, match=r"q\.txt") as caught:
        parse(text, source="q.txt")
    assert str(caught.value) == told
