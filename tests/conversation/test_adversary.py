"""Awkward moments: what comes late, twice, never, or in the other order, and a line that will not stay."""

from __future__ import annotations

import pytest
from story import RATE, Story, kiosk, ready, speaker, whys

from edge_agent.conversation import actions as do
from edge_agent.conversation import events as ev
from edge_agent.conversation.moves import State
from edge_agent.errors import Fault


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


@pytest.mark.parametrize("lasts_s", [0.0, -3600.0, 0.5])
def test_a_credential_that_is_about_to_end_does_not_make_connections_by_the_hundred(lasts_s: float) -> None:
    story = speaker(prewarm=True)
    seen = 0
    for _ in range(300):
        if len(story.of(do.Connect)) > seen:
            seen = len(story.of(do.Connect))
            story.tell(ev.LinkUp(lasts_s=lasts_s))
        story.wait(0.2)
    assert seen <= 20, "in a minute"


@pytest.mark.parametrize("make", [kiosk, speaker])
@pytest.mark.parametrize("left_s", [0.0, 1.0])
def test_a_service_that_sends_everybody_away_is_not_asked_by_the_hundred(make: type[Story], left_s: float) -> None:
    story = make(prewarm=True)
    before = 0
    for _ in range(300):
        if len(story.of(do.Connect)) > before:
            before = len(story.of(do.Connect))
            story.tell(ev.LinkUp())
            story.tell(ev.LineLeaving(left_s))
        story.wait(0.2)
    assert before <= 20, "in a minute"


def test_a_network_that_flaps_is_not_followed_at_every_turn() -> None:
    story = speaker(prewarm=True)
    story.online = True
    story.wait(1)
    for _ in range(120):
        story.tell(ev.NetworkBack())
        story.wait(0.5)
    assert len(story.of(do.Connect)) <= 20, "in a minute"
    story.wait(60)
    assert story.machine.connected, "and then all is well"


@pytest.mark.parametrize("patience_s", [20.0, 45.0, 60.0, 120.0])
def test_the_owners_patience_does_not_make_a_healing_line_hopeless(patience_s: float) -> None:
    story = kiosk(answer_timeout_s=patience_s, idle_timeout_s=400.0)
    story.tell(ev.TextAsked("What time is it?"))
    story.tell(ev.LinkUp())
    story.tell(ev.QuestionSent())
    for _ in range(int(patience_s * 10)):
        connects = len(story.of(do.Connect))
        story.wait(0.1)
        if len(story.of(do.Connect)) > connects:
            story.wait(3.0)
            story.tell(ev.LinkUp())
            story.tell(ev.QuestionSent())
    story.wait(10)
    assert do.Say("offline") not in story.done, "three seconds for a connection are nothing"
    assert do.Say("no_answer") in story.done
    assert whys(story, "healing") == ["nudge", "reopen", "retell"]


def test_a_stopped_answer_that_never_ends_does_not_keep_a_bad_line() -> None:
    story = ready(kiosk(answer_timeout_s=20.0, idle_timeout_s=100.0))
    story.online = True
    story.tell(ev.AnswerAudio(5000))
    story.wait(1)
    story.hold(1)
    story.wait(19)
    before = len(story.of(do.Connect))
    story.wait(6)
    assert do.Say("no_answer") in story.done
    assert len(story.of(do.Connect)) == before + 1


def test_what_a_mute_has_dropped_is_not_waited_for_on_another_line() -> None:
    story = kiosk(answer_timeout_s=20.0, idle_timeout_s=100.0)
    story.online = True
    story.press()
    story.wait(2)
    story.tell(ev.Heard())
    story.tell(ev.Muted(story.sample))
    story.tell(ev.QuestionSent())
    story.wait(12)
    assert do.Connect(resume=True) not in story.done, "nothing is left to be sent again"
    assert do.Connect(resume=True, retell=True) in story.done


def test_a_household_remembers_no_longer_than_it_wants_to_although_a_line_is_kept_open() -> None:
    story = speaker(prewarm=True, remember_s=60.0)
    story.tell(ev.LinkUp())
    story.press()
    story.release()
    story.answer(1)
    story.play_out(1)
    story.tell(ev.EndAsked())
    assert story.of(do.Connect)[-1] == do.Connect(resume=True)
    story.tell(ev.LinkUp(resumed=True))
    story.wait(61)
    assert story.of(do.Connect)[-1] == do.Connect(resume=False)


def test_a_budget_that_is_spent_while_the_device_starts_counts() -> None:
    story = kiosk()
    story.machine.state = State.STARTING
    story.machine._started = False
    story.tell(ev.BudgetSpent("The money of this day is used up."))
    story.tell(ev.Ready())
    story.press()
    assert not story.machine.turn_open


def test_no_line_is_kept_open_for_talk_that_is_not_possible() -> None:
    story = kiosk(prewarm=True)
    story.online = True
    story.wait(1)
    story.hold(1)
    story.wait(1)
    story.answer(1)
    story.tell(ev.BudgetSpent("The data of this day is used up."))
    story.play_out(1)
    story.wait(10)
    assert not story.machine.connected
    story.tell(ev.BudgetFree())
    story.wait(1)
    assert story.machine.connected


def test_a_session_that_was_told_no_story_is_not_asked_to_answer_it() -> None:
    story = kiosk(answer_timeout_s=20.0, idle_timeout_s=100.0)
    story.hold(12)
    story.tell(ev.LinkUp())
    story.tell(ev.Heard())
    story.wait(10)
    assert do.Connect(resume=True, retell=True) in story.done
    nudges = len(story.of(do.Nudge))
    story.tell(ev.LinkUp(retold=False))
    assert len(story.of(do.Nudge)) == nudges
    assert do.Say("no_answer") in story.done, "nothing is left that could be asked"


def test_an_announcement_after_another_is_still_listened_for() -> None:
    """Both waited for the end of an answer, and the line went meanwhile."""
    story = ready(kiosk())
    story.answer(2)
    story.tell(ev.Announced("Dinner is ready."))
    story.tell(ev.Announced("Are you coming?", listen=True))
    story.tell(ev.LinkDown(None, "gone"))
    story.play_out(2)
    story.online = True
    story.wait(3)
    assert do.Announce("Dinner is ready.") in story.done
    assert do.Announce("Are you coming?") not in story.done
    assert story.of(do.SendText)


def test_a_quota_of_the_service_outlives_the_day_of_the_owners_budget() -> None:
    story = kiosk()
    story.press()
    story.tell(ev.LinkDown(Fault.LIMIT, "no quota left", wait_s=600.0))
    story.wait(1)
    story.tell(ev.BudgetFree())
    assert Fault.LIMIT in story.machine.faults
