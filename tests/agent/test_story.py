"""The story so far: joined from pieces, bounded, forgotten."""

from __future__ import annotations

from edge_agent.agent.story import MOST_CHARACTERS, MOST_TURNS, Story


def test_pieces_of_one_role_are_one_turn() -> None:
    story = Story()
    for piece in ("What ", "is ", "this?"):
        story.heard("user", piece)
    story.heard("model", "A pump.")
    story.end_turn()
    story.heard("model", "It lifts water.")
    assert story.turns(question=True) == (
        ("user", "What is this?"),
        ("model", "A pump."),
        ("model", "It lifts water."),
    )


def test_a_question_that_will_be_asked_again_is_left_out() -> None:
    story = Story()
    story.heard("user", "Hello.")
    story.heard("model", "Good day.")
    story.end_turn()
    story.heard("user", "What is this?")
    assert story.turns(question=False) == (("user", "Hello."), ("model", "Good day."))
    assert story.turns(question=True)[-1] == ("user", "What is this?")


def test_the_oldest_is_dropped_first() -> None:
    story = Story()
    for number in range(100):
        story.heard("user", f"question {number}")
        story.heard("model", f"answer {number}")
        story.end_turn()
    turns = story.turns(question=True)
    assert len(turns) == MOST_TURNS
    assert turns[-1] == ("model", "answer 99")


def test_one_endless_turn_is_bounded() -> None:
    story = Story()
    for _ in range(3000):
        story.heard("model", "word " * 10)
    assert sum(len(text) for _, text in story.turns(question=True)) <= MOST_CHARACTERS


def test_nothing_of_it_is_shown_or_kept() -> None:
    story = Story()
    story.heard("user", "my secret")
    assert "my secret" not in repr(story)
    story.wipe()
    assert story.turns(question=True) == ()
