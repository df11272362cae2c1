"""Announcements, alarms and budgets: heard at the right moment, and never over what somebody is saying."""

from __future__ import annotations

from story import kiosk, ready, speaker

from edge_agent.conversation import actions as do
from edge_agent.conversation import events as ev
from edge_agent.conversation.household import ANNOUNCE
from edge_agent.conversation.moves import State
from edge_agent.errors import Fault

DINNER = ANNOUNCE.format(text="Dinner is ready.")


def test_without_a_connection_an_announcement_is_spoken_by_the_device() -> None:
    story = kiosk()
    assert do.Announce("Dinner is ready.") in story.tell(ev.Announced("Dinner is ready."))
    assert not story.of(do.Connect), "an announcement alone costs no session"
    assert story.state == State.IDLE


def test_on_a_connection_the_model_speaks_it() -> None:
    story = kiosk(prewarm=True)
    story.tell(ev.LinkUp())
    assert do.SendText(DINNER) in story.tell(ev.Announced("Dinner is ready."))


def test_an_announcement_waits_for_the_answer_and_the_open_turn() -> None:
    story = ready(kiosk())
    story.answer(2)
    story.tell(ev.Announced("Dinner is ready."))
    assert do.SendText(DINNER) not in story.done
    story.press()
    story.wait(1)
    assert do.SendText(DINNER) not in story.done
    story.release()
    story.answer(1)
    assert do.SendText(DINNER) not in story.done
    story.play_out(1)
    assert do.SendText(DINNER) in story.done


def test_an_announcement_does_not_talk_over_a_person_with_the_open_microphone() -> None:
    story = speaker()
    story.press()
    story.release()
    story.tell(ev.LinkUp())
    story.wait(3)
    story.tell(ev.Heard())
    story.wait(0.5)
    story.tell(ev.Announced("Dinner is ready."))
    assert DINNER not in [one.text for one in story.of(do.SendText)]
    story.wait(1)
    story.tell(ev.Heard())
    story.wait(1.9)
    assert DINNER not in [one.text for one in story.of(do.SendText)]
    story.wait(0.2)
    assert DINNER in [one.text for one in story.of(do.SendText)]


def test_a_notice_waits_for_the_end_of_the_sentence_as_well() -> None:
    story = speaker()
    story.press()
    story.release()
    story.tell(ev.LinkUp())
    story.tell(ev.Heard())
    story.tell(ev.BudgetLow("80 % of the day's money"))
    assert do.Say("budget_low") not in story.done
    story.wait(2.1)
    assert story.done.count(do.Say("budget_low")) == 1


def test_converse_connects_speaks_and_then_listens() -> None:
    story = speaker()
    story.tell(ev.Announced("Shall I close the blinds?", listen=True))
    assert story.state == State.CONNECTING
    story.tell(ev.LinkUp())
    assert story.of(do.SendText)
    story.answer(2)
    assert not story.machine.turn_open
    story.play_out(2)
    assert story.machine.turn_open
    assert story.state == State.LISTENING


def test_converse_with_push_to_talk_listens_for_a_while_only() -> None:
    story = kiosk()
    story.online = True
    story.tell(ev.Announced("Who is there?", listen=True))
    story.wait(1)
    story.answer(1)
    story.play_out(1)
    assert story.machine.turn_open
    story.wait(15.1)
    assert not story.machine.turn_open
    assert story.state == State.THINKING


def test_converse_never_opens_a_muted_microphone() -> None:
    story = speaker()
    story.tell(ev.Muted(story.sample))
    assert do.Announce("Who is there?") in story.tell(ev.Announced("Who is there?", listen=True))
    assert not story.of(do.Connect)
    assert not story.machine.turn_open


def test_muting_after_converse_was_asked_keeps_the_microphone_shut() -> None:
    story = speaker()
    story.tell(ev.Announced("Who is there?", listen=True))
    story.tell(ev.LinkUp())
    story.answer(1)
    story.tell(ev.Muted(story.sample))
    story.play_out(1)
    assert not story.machine.turn_open


def test_without_a_network_converse_is_at_least_spoken() -> None:
    story = speaker()
    story.tell(ev.Announced("Who is there?", listen=True))
    story.tell(ev.LinkDown(Fault.NETWORK, "no route"))
    story.wait(16)
    assert do.Announce("Who is there?") in story.done
    assert story.state == State.OFFLINE


def test_an_alarm_rings_at_rest_and_the_button_only_stops_it() -> None:
    story = kiosk()
    assert do.Ring(True) in story.tell(ev.AlarmRings("tea"))
    assert story.machine.light == "ringing"
    pressed = story.press()
    assert do.Ring(False) in pressed
    assert not story.machine.turn_open
    story.release()
    assert story.machine.light == "idle"
    story.press()
    assert story.machine.turn_open, "the next press is a press again"


def test_an_alarm_does_not_hide_that_the_device_listens() -> None:
    story = kiosk()
    story.press()
    story.tell(ev.LinkUp())
    story.tell(ev.AlarmRings("tea"))
    assert story.machine.light == "listening"
    story.wait(1)
    story.release()
    assert story.machine.light == "ringing"


def test_an_alarm_rings_without_a_network_and_while_muted() -> None:
    story = kiosk()
    story.tell(ev.Muted(story.sample))
    story.hold(1)
    story.tell(ev.AlarmRings("tea"))
    assert story.machine.light == "ringing"


def test_an_alarm_that_rang_long_enough_is_over() -> None:
    story = kiosk()
    story.tell(ev.AlarmRings("tea"))
    story.tell(ev.AlarmEnded())
    assert story.machine.light == "idle"
    story.press()
    assert story.machine.turn_open


def test_end_stops_the_alarm() -> None:
    story = kiosk()
    story.tell(ev.AlarmRings("tea"))
    assert do.Ring(False) in story.tell(ev.EndAsked())


def test_a_nearly_used_up_budget_is_said_at_a_quiet_moment_once() -> None:
    story = ready(kiosk())
    story.answer(2)
    story.tell(ev.BudgetLow("80 % of the day's money"))
    assert do.Say("budget_low") not in story.done
    story.play_out(2)
    assert story.done.count(do.Say("budget_low")) == 1


def test_a_used_up_budget_lets_the_answer_end_and_then_there_is_no_talk() -> None:
    story = ready(kiosk())
    story.answer(3)
    story.tell(ev.BudgetSpent("The money of this day is used up."))
    assert story.state == State.SPEAKING
    story.play_out(3)
    assert do.Wipe() in story.done
    assert story.state == State.FAULT
    assert story.machine.light == "fault-10"
    assert do.Say("fault-10") in story.done
    story.press()
    assert not story.machine.turn_open
    story.release()
    assert story.machine.light == "fault-10", "a press does not make it go away"


def test_a_used_up_budget_refuses_texts_and_speaks_announcements_itself() -> None:
    story = kiosk()
    story.tell(ev.BudgetSpent("The money of this day is used up."))
    story.tell(ev.TextAsked("What time is it?"))
    assert not story.of(do.Connect)
    assert do.Announce("Dinner is ready.") in story.tell(ev.Announced("Dinner is ready.", listen=True))


def test_a_new_day_lets_the_device_talk_again() -> None:
    story = kiosk()
    story.tell(ev.BudgetSpent("The money of this day is used up."))
    story.tell(ev.BudgetFree())
    assert story.state == State.IDLE
    story.press()
    assert story.machine.turn_open
