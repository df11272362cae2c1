"""An answer that does not come: what is tried, what a person sees of it, and when they are told."""

from __future__ import annotations

import pytest
from story import Story, kiosk, ready, speaker, whys

from edge_agent.conversation import actions as do
from edge_agent.conversation import events as ev
from edge_agent.conversation.healing import Rung, next_rung, wait_s
from edge_agent.conversation.moves import State
from edge_agent.errors import Fault


def lights(story: Story) -> list[str]:
    return [action.light for action in story.of(do.Show)]


def test_the_ladder_is_gone_up_rung_by_rung_and_each_rung_is_seen() -> None:
    story = ready(kiosk(answer_timeout_s=20.0, idle_timeout_s=100.0))
    story.online = True
    story.wait(6.1)
    assert story.of(do.Nudge) == [do.Nudge()]
    assert story.machine.light == "healing-1"
    story.wait(3)
    assert do.Connect(resume=True) in story.done
    assert story.machine.light == "healing-2"
    story.wait(4.5)
    assert do.Connect(resume=True, retell=True) in story.done
    assert story.machine.light == "healing-3"
    assert do.Say("no_answer") not in story.done
    story.wait(8)
    assert do.Say("no_answer") in story.done
    assert story.state == State.IDLE
    assert whys(story, "healing") == ["nudge", "reopen", "retell"]


@pytest.mark.parametrize("seconds", [6.5, 9.8, 14.5])
def test_an_answer_on_any_rung_is_heard_and_ends_the_healing(seconds: float) -> None:
    story = ready(kiosk(answer_timeout_s=20.0))
    story.online = True
    story.wait(seconds)
    assert story.machine.rung is not Rung.NONE
    story.answer(2)
    assert story.state == State.SPEAKING
    story.play_out(2)
    assert story.state == State.IDLE
    assert do.Say("no_answer") not in story.done
    assert whys(story, "healing")[-1].endswith("helped")


def test_a_text_that_is_not_answered_is_asked_again_on_the_new_connection() -> None:
    story = kiosk(answer_timeout_s=20.0)
    story.online = True
    story.tell(ev.TextAsked("What time is it?"))
    story.wait(10.2)
    assert story.of(do.SendText) == [do.SendText("What time is it?")] * 2
    story.wait(15)
    assert story.of(do.SendText) == [do.SendText("What time is it?")] * 3
    assert story.state == State.IDLE, "the ladder ends although each rung asked anew"
    assert do.Say("no_answer") in story.done


def test_speech_too_old_to_be_sent_again_is_not_but_its_words_are_told() -> None:
    story = kiosk(answer_timeout_s=20.0, idle_timeout_s=100.0)
    story.online = True
    story.hold(12)
    story.tell(ev.Heard())
    story.wait(15)
    assert do.Connect(resume=True, retell=True) in story.done
    assert do.Connect(resume=True) not in story.done
    assert do.Nudge() in story.last or story.of(do.Nudge), "the story ends with the question"


def test_where_no_words_of_an_old_question_are_known_there_is_nothing_to_tell_a_new_session() -> None:
    story = kiosk(answer_timeout_s=20.0, idle_timeout_s=100.0)
    story.online = True
    story.hold(12)
    story.wait(15)
    assert not [one for one in story.of(do.Connect) if one.retell]
    assert do.Say("no_answer") in story.done


def test_a_handle_that_came_after_the_question_is_resumed_without_asking_twice() -> None:
    story = ready(kiosk(answer_timeout_s=20.0, idle_timeout_s=100.0))
    story.online = True
    story.wait(6.1)
    story.tell(ev.Interrupted())
    story.tell(ev.AnswerDone())
    story.tell(ev.Snapshot())
    story.wait(3.6)
    assert do.Connect(resume=True) in story.done
    assert do.Settle() in story.done, "the gate does not send the question again"
    assert len(story.of(do.Nudge)) == 2, "the model is asked for the answer instead"


def test_a_turn_that_is_closed_while_its_sound_still_waits_looks_busy() -> None:
    story = speaker()
    story.sends = False
    story.press()
    story.wait(2)
    story.release()
    story.press()
    assert story.state == State.CONNECTING
    story.tell(ev.LinkUp())
    assert story.state == State.THINKING
    story.tell(ev.QuestionSent())
    assert story.state == State.IDLE


def test_a_model_that_takes_no_text_turns_is_not_nudged() -> None:
    story = ready(kiosk(answer_timeout_s=20.0, nudges=False))
    story.online = True
    story.wait(6.1)
    assert do.Nudge() not in story.done
    assert do.Connect(resume=True) in story.done


def test_a_new_question_starts_the_ladder_anew() -> None:
    story = ready(kiosk(answer_timeout_s=20.0))
    story.wait(7)
    story.hold(1)
    assert story.machine.rung is Rung.NONE
    assert story.machine.light == "thinking"


def test_after_no_answer_at_all_the_next_turn_gets_another_connection() -> None:
    story = ready(kiosk(answer_timeout_s=20.0, idle_timeout_s=100.0))
    story.online = True
    story.wait(19)
    before = len(story.of(do.Connect))
    story.wait(4)
    assert do.Say("no_answer") in story.done
    assert len(story.of(do.Connect)) == before + 1
    assert story.state == State.IDLE


def test_a_running_tool_stops_the_ladder() -> None:
    story = ready(kiosk(answer_timeout_s=20.0))
    story.tell(ev.ToolsCalled(1))
    story.wait(60)
    assert do.Nudge() not in story.done


def test_an_answer_that_breaks_off_leaves_a_suspicious_line_behind() -> None:
    story = ready(kiosk(idle_timeout_s=100.0))
    story.online = True
    story.answer(2, done=False)
    story.wait(2)
    story.wait(5.1)
    story.tell(ev.PlaybackEnded(story.sample))
    story.wait(4)
    assert "the answer broke off" in whys(story)
    assert story.of(do.Connect)[-1] == do.Connect(resume=True)


def test_words_without_any_answer_make_an_open_microphone_doubt_the_line_once() -> None:
    story = speaker()
    story.online = True
    story.press()
    story.wait(4)
    story.tell(ev.Heard())
    story.wait(10.1)
    assert story.of(do.Connect) == [do.Connect(resume=False), do.Connect(resume=True)]
    story.wait(3)
    story.tell(ev.Heard())
    story.wait(12)
    assert len(story.of(do.Connect)) == 2, "a model may keep silent when it was not meant"


def test_a_caption_that_comes_after_its_answer_is_no_question() -> None:
    story = speaker()
    story.online = True
    story.press()
    story.wait(4)
    story.answer(1)
    story.play_out(1)
    story.tell(ev.Heard())
    story.wait(12)
    assert len(story.of(do.Connect)) == 1


def test_the_shares_are_the_whole_of_the_patience() -> None:
    assert sum(wait_s(rung, 20.0) for rung in Rung) == pytest.approx(20.0)


def test_every_way_up_ends() -> None:
    for nudge in (True, False):
        for resend in (True, False):
            rung: Rung | None = Rung.NONE
            seen = []
            while rung is not None:
                seen.append(rung)
                rung = next_rung(rung, nudge=nudge, resend=resend, retell=nudge or resend)
            assert seen == sorted(set(seen))


def test_the_light_says_nothing_of_healing_while_the_device_listens() -> None:
    story = ready(kiosk())
    story.wait(7)
    story.press()
    assert story.machine.light == "listening"


def test_a_line_lost_while_healing_is_told_as_what_it_is() -> None:
    story = ready(kiosk(answer_timeout_s=20.0, idle_timeout_s=100.0))
    story.wait(9.5)
    story.tell(ev.LinkDown(Fault.NETWORK, "no route"))
    story.wait(20)
    assert do.Say("offline") in story.done
    assert story.state == State.OFFLINE


def test_the_end_of_the_turn_that_the_nudge_interrupts_is_not_the_answer() -> None:
    story = ready(kiosk(answer_timeout_s=20.0, idle_timeout_s=100.0))
    story.online = True
    story.wait(6.1)
    story.tell(ev.Interrupted())
    story.tell(ev.AnswerDone())
    assert story.machine.rung is Rung.NUDGE
    assert do.Say("no_answer") not in story.done
    story.wait(3.1)
    assert do.Connect(resume=True) in story.done


def test_an_answer_after_the_nudge_is_heard_though_the_old_turn_ended_empty_first() -> None:
    story = ready(kiosk(answer_timeout_s=20.0))
    story.wait(6.1)
    story.tell(ev.Interrupted())
    story.tell(ev.AnswerDone())
    story.answer(2)
    assert story.state == State.SPEAKING


def test_an_end_that_comes_before_the_question_was_sent_is_not_its_answer() -> None:
    story = kiosk()
    story.sends = False
    story.hold(1)
    story.tell(ev.LinkUp())
    story.tell(ev.AnswerDone())
    assert story.state == State.THINKING
    assert do.Say("no_answer") not in story.done
    story.tell(ev.QuestionSent())
    story.tell(ev.AnswerDone())
    assert do.Say("no_answer") in story.done


def test_the_ladder_waits_until_the_question_has_been_sent() -> None:
    story = kiosk(answer_timeout_s=20.0)
    story.sends = False
    story.hold(8)
    story.tell(ev.LinkUp())
    story.wait(40)
    assert not story.of(do.Nudge), "a nudge in the middle of the speech would cut it in two"
    story.tell(ev.QuestionSent())
    story.wait(6.1)
    assert story.of(do.Nudge)
