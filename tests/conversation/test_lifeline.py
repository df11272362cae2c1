"""The connection over a long talk: handed over before its end, quota honoured, the network's return used at once."""

from __future__ import annotations

import dataclasses
import itertools

import pytest
from story import Story, kiosk, ready, speaker, whys

from edge_agent.conversation import actions as do
from edge_agent.conversation import events as ev
from edge_agent.conversation.moves import State
from edge_agent.errors import Fault


def told(story: Story) -> list[str]:
    return whys(story, "connection")


def test_a_connection_is_handed_over_before_the_known_limit() -> None:
    story = speaker(connection_limit_s=540.0, max_conversation_s=3600.0)
    story.online = True
    story.press()
    story.wait(1)
    for _ in range(60):
        story.answer(1)
        story.play_out(1)
        story.tell(ev.Snapshot())
        story.wait(9)
    connects = story.of(do.Connect)
    assert connects == [do.Connect(resume=False), do.Connect(resume=True)]


def test_a_hand_over_in_mid_answer_waits_for_its_last_sample() -> None:
    story = ready(kiosk(connection_limit_s=20.0, idle_timeout_s=100.0))
    story.wait(5)
    story.answer(20, done=False)
    story.wait(10)
    assert do.Disconnect() not in story.done
    story.tell(ev.AnswerDone())
    story.tell(ev.Snapshot())
    story.wait(8)
    assert do.Disconnect() not in story.done
    story.play_out(2)
    assert do.Disconnect() in story.done


@pytest.mark.parametrize("left_s", [60.0, 1.0, 0.0])
def test_a_leaving_line_waits_for_the_newest_handle_but_not_beyond_its_end(left_s: float) -> None:
    story = ready(kiosk(idle_timeout_s=100.0))
    story.answer(2)
    story.play_out(2)
    story.tell(ev.LineLeaving(left_s))
    story.wait(max(0.0, min(3.0, left_s - 0.5)) + 0.05)
    assert do.Connect(resume=True) in story.done


def test_a_quota_of_a_minute_is_honoured_and_the_person_told_at_once() -> None:
    story = kiosk(idle_timeout_s=100.0)
    story.press()
    story.tell(ev.LinkDown(Fault.LIMIT, "no quota left", wait_s=60.0))
    story.wait(0)
    assert do.Say("fault-10") in story.done
    assert not story.machine.turn_open
    story.wait(59)
    assert len(story.of(do.Connect)) == 1, "not before the service is ready for us"
    story.release()
    story.press()
    story.wait(0.5)
    assert len(story.of(do.Connect)) <= 2
    story.wait(2)
    assert len(story.of(do.Connect)) == 2


def test_a_press_within_the_wait_does_not_ask_the_service_again() -> None:
    story = kiosk(idle_timeout_s=5.0)
    story.hold(1)
    story.tell(ev.LinkDown(Fault.LIMIT, "no quota left", wait_s=60.0))
    story.wait(10)
    story.done.clear()
    story.hold(1)
    story.wait(1)
    assert do.Say("fault-10") in story.done
    assert not story.of(do.Connect)


def test_the_networks_return_is_tried_at_once() -> None:
    story = kiosk(idle_timeout_s=100.0)
    story.press()
    for _ in range(6):
        story.tell(ev.LinkDown(Fault.NETWORK, "no route"))
        story.wait(8)
    before = len(story.of(do.Connect))
    story.tell(ev.LinkDown(Fault.NETWORK, "no route"))
    story.tell(ev.NetworkBack())
    story.wait(0.01)
    assert len(story.of(do.Connect)) == before + 1


def test_a_line_from_before_the_network_changed_is_replaced() -> None:
    story = ready(kiosk(idle_timeout_s=100.0))
    story.answer(1)
    story.play_out(1)
    story.tell(ev.Snapshot())
    story.tell(ev.NetworkBack())
    story.wait(0)
    assert story.of(do.Connect)[-1] == do.Connect(resume=True)


def test_a_degraded_line_says_so_and_its_thinking_looks_different() -> None:
    story = kiosk()
    story.hold(1)
    story.tell(ev.LinkUp(degraded=True))
    assert story.machine.light == "degraded"
    assert any("degraded" in why for why in told(story))


def test_a_household_goes_on_with_its_conversation_within_the_time_it_set() -> None:
    story = speaker(remember_s=300.0)
    story.online = True
    story.press()
    story.release()
    story.wait(1)
    story.answer(1)
    story.play_out(1)
    story.wait(40)
    assert do.Wipe(keep_handle=True) in story.done
    story.wait(100)
    story.press()
    story.release()
    assert story.of(do.Connect)[-1] == do.Connect(resume=True)
    story.tell(ev.EndAsked())
    story.wait(301)
    story.press()
    assert story.of(do.Connect)[-1] == do.Connect(resume=False)


def test_a_kiosk_never_goes_on_with_the_visitor_before() -> None:
    story = ready(kiosk())
    story.answer(1)
    story.play_out(1)
    story.wait(13)
    assert do.Wipe(keep_handle=False) in story.done
    story.press()
    assert story.of(do.Connect)[-1] == do.Connect(resume=False)


def test_sound_is_held_back_only_while_a_blocking_call_is_open_and_the_light_says_so() -> None:
    story = speaker(holds=True)
    story.press()
    story.release()
    story.tell(ev.LinkUp())
    story.tell(ev.ToolsCalled(2, blocking=1))
    assert do.Hold(True) in story.last
    assert story.machine.light == "thinking"
    assert do.Hold(False) in story.tell(ev.ToolsSettled(1, blocking=1))
    story.tell(ev.ToolsSettled(1))
    story.tell(ev.ToolsCalled(1))
    assert story.of(do.Hold) == [do.Hold(True), do.Hold(False)]


def test_a_cut_ends_the_holding_back() -> None:
    story = speaker(holds=True)
    story.press()
    story.tell(ev.LinkUp())
    story.tell(ev.ToolsCalled(1, blocking=1))
    assert do.Hold(False) in story.tell(ev.LinkDown(Fault.NETWORK, "cut"))


def test_a_press_while_sound_is_held_back_does_not_say_it_listens() -> None:
    story = ready(kiosk(holds=True))
    story.tell(ev.ToolsCalled(1, blocking=1))
    story.press()
    assert story.machine.light == "thinking"
    story.tell(ev.ToolsSettled(1, blocking=1))
    assert story.machine.light == "listening"
    assert story.state == State.LISTENING


def test_speech_into_an_outage_of_twelve_seconds_finds_every_moment_of_its_return() -> None:
    story = kiosk(idle_timeout_s=100.0)
    story.press()
    tries: list[float] = []
    began = story.now
    while story.now - began < 12:
        tries.extend(story.now for action in story.last if isinstance(action, do.Connect))
        story.tell(ev.LinkDown(Fault.NETWORK, "no route"))
        story.wait(story.machine.deadline - story.now if story.machine.deadline else 1.0)
    assert story.machine.turn_open, "what is said is younger than fifteen seconds"
    assert max(b - a for a, b in itertools.pairwise(tries)) <= 2.0


def test_a_line_that_is_cut_after_every_answer_is_opened_again_at_once_each_time() -> None:
    story = kiosk(idle_timeout_s=100.0)
    for _ in range(12):
        story.hold(1)
        story.wait(0.3)
        story.tell(ev.LinkUp())
        story.answer(1)
        story.play_out(1)
        story.tell(ev.LinkDown(Fault.NETWORK, "cut"))
    assert story.machine.deadline is not None
    assert story.machine.deadline - story.now <= 0.5


def test_lost_speech_is_told_when_the_line_is_back_and_only_to_who_spoke() -> None:
    story = kiosk(idle_timeout_s=100.0)
    story.press()
    story.wait(2)
    story.release()
    for _ in range(20):
        story.tell(ev.LinkDown(Fault.NETWORK, "no route"))
        story.wait(1)
    assert do.Say("offline") in story.done
    assert do.Say("speech_lost") not in story.done
    story.tell(ev.LinkUp())
    assert story.done.count(do.Say("speech_lost")) == 1
    story.tell(ev.EndAsked())
    story.hold(1)
    story.tell(ev.LinkUp())
    assert story.done.count(do.Say("speech_lost")) == 1


def test_nobody_falls_asleep_while_speech_waits_for_the_line() -> None:
    story = speaker()
    story.machine.rules = dataclasses.replace(story.machine.rules, idle_timeout_s=3.0)
    story.press()
    story.release()
    story.wait(10)
    assert story.machine.turn_open
    story.tell(ev.LinkUp())
    assert story.state == State.LISTENING


def test_what_nobody_waits_for_is_not_sent_again_after_a_cut() -> None:
    story = speaker()
    story.press()
    story.release()
    story.tell(ev.LinkUp())
    story.wait(2)
    story.press()
    assert story.state == State.IDLE
    assert do.Settle() in story.tell(ev.LinkDown(Fault.NETWORK, "cut"))
