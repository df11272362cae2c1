"""Awkward moments: what comes late, twice, never, or in the other order, and a line that will not stay."""

from __future__ import annotations

import pytest
from story import RATE, Story, kiosk, speaker

from edge_agent.conversation import actions as do
from edge_agent.conversation import events as ev
from edge_agent.conversation.moves import State


def conversing(story: Story) -> Story:
    """The model's voice has begun to ask whether the blinds shall be closed."""
    story.tell(ev.Announced("Shall I close the blinds?", listen=True))
    story.tell(ev.LinkUp())
    story.tell(ev.AnswerAudio(2000))
    return story


@pytest.mark.parametrize("make", [kiosk, speaker])
def test_converse_listens_although_the_servers_turn_ends_after_the_sound(make: type[Story]) -> None:
    story = conversing(make())
    story.tell(ev.AnswerGenerated())
    story.play_out(2)
    story.tell(ev.AnswerDone())
    assert story.machine.turn_open
    assert story.state == State.LISTENING


def test_converse_listens_although_the_model_worked_on_for_a_while() -> None:
    story = conversing(speaker())
    story.tell(ev.AnswerDone(idle=False))
    story.play_out(2)
    assert not story.machine.turn_open
    story.tell(ev.WorkDone())
    assert story.machine.turn_open


def test_converse_never_listens_into_what_was_captured_before() -> None:
    """The loudspeaker did not report the end of the question; the turn begins where capture stands now."""
    story = conversing(speaker())
    story.tell(ev.AnswerDone())
    story.wait(10)
    assert story.machine.turn_open
    (opened,) = story.of(do.OpenTurn)
    assert opened.start is None or opened.start >= (story.now - 8) * RATE


def test_a_finger_that_answers_converse_talks_instead_of_ending_the_turn() -> None:
    story = conversing(kiosk())
    story.tell(ev.AnswerDone())
    story.play_out(2)
    story.wait(1)
    story.press()
    assert story.machine.turn_open
    story.wait(20)
    assert story.machine.turn_open, "held for as long as a person talks"
    story.release()
    assert not story.machine.turn_open


def test_a_tap_answers_converse_too() -> None:
    story = conversing(kiosk())
    story.tell(ev.AnswerDone())
    story.play_out(2)
    story.wait(1)
    story.hold(0.1)
    story.wait(5)
    assert story.machine.turn_open
    story.press()
    assert not story.machine.turn_open


def test_a_handset_on_its_hook_is_not_listened_to() -> None:
    story = speaker(hook=True)
    assert do.Announce("Who is there?") in story.tell(ev.Announced("Who is there?", listen=True))
    story.wait(30)
    assert not story.of(do.OpenTurn)


def test_a_handset_hung_up_over_converse_is_not_listened_to() -> None:
    story = speaker(hook=True)
    story.press()
    story.tell(ev.LinkUp())
    story.tell(ev.Announced("Who is there?", listen=True))
    story.release()
    story.done.clear()
    story.online = True
    story.wait(40)
    assert not story.of(do.OpenTurn)
