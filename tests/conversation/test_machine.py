"""The conversation machine, told as stories with a clock."""

from __future__ import annotations

from typing import TypeVar

import pytest

from edge_agent.conversation import actions as do
from edge_agent.conversation import events as ev
from edge_agent.conversation.machine import STUCK_S, Machine, Rules
from edge_agent.conversation.moves import MOVES, State
from edge_agent.errors import Fault

A = TypeVar("A")
RATE = 16_000


class Story:
    """A machine with a clock; capture runs with the clock from zero."""

    def __init__(self, **rules: object) -> None:
        self.machine = Machine(Rules(**rules), jitter=lambda: 0.5, strict=True)  # type: ignore[arg-type]
        self.now = 100.0
        self.done: list[do.Action] = []
        self.tell(ev.Ready())

    @property
    def sample(self) -> int:
        return round(self.now * RATE)

    def tell(self, event: ev.Event) -> list[do.Action]:
        self.last = self.machine.handle(event, self.now)
        self.done += self.last
        return self.last

    def wait(self, seconds: float) -> None:
        """Let time pass; deadlines come as they fall due."""
        end = self.now + seconds
        while (deadline := self.machine.deadline) is not None and deadline <= end:
            self.now = max(deadline, self.now)
            self.tell(ev.Tick())
        self.now = end

    def press(self) -> list[do.Action]:
        return self.tell(ev.Pressed(self.sample))

    def release(self) -> list[do.Action]:
        return self.tell(ev.Released(self.sample))

    def hold(self, seconds: float) -> None:
        self.press()
        self.wait(seconds)
        self.release()

    def answer(self, seconds: float = 2.0, *, done: bool = True) -> None:
        """The whole answer comes at once, faster than real time."""
        self.tell(ev.AnswerAudio(seconds * 1000))
        if done:
            self.tell(ev.AnswerGenerated())
            self.tell(ev.AnswerDone())

    def play_out(self, seconds: float = 2.0) -> None:
        self.wait(seconds)
        self.tell(ev.PlaybackEnded(self.sample))
        self.wait(0)

    def of(self, kind: type[A]) -> list[A]:
        return [action for action in self.done if isinstance(action, kind)]

    @property
    def state(self) -> str:
        return self.machine.state


def kiosk(**rules: object) -> Story:
    return Story(manual=True, **rules)


def speaker(**rules: object) -> Story:
    return Story(manual=False, idle_timeout_s=30.0, **rules)


def test_hold_to_talk_from_press_to_answer_to_the_visitors_end() -> None:
    story = kiosk()
    assert story.state == State.IDLE
    pressed = story.press()
    assert do.OpenTurn(1, story.sample - RATE // 2) in pressed
    assert do.Connect(resume=False) in pressed
    assert do.Show("connecting") in pressed
    story.tell(ev.LinkUp())
    assert story.state == State.LISTENING
    story.wait(3)
    released = story.release()
    assert do.CloseTurn(1, story.sample) in released
    assert story.state == State.THINKING
    story.answer()
    assert story.state == State.SPEAKING
    story.play_out()
    assert story.state == State.IDLE
    story.wait(12)
    assert do.Wipe() in story.last
    assert do.Disconnect() in story.last
    assert not story.machine.in_conversation


def test_a_tap_leaves_the_turn_open_and_the_next_tap_ends_it() -> None:
    story = kiosk()
    story.hold(0.1)
    assert story.machine.turn_open
    story.tell(ev.LinkUp())
    story.wait(4)
    ended = story.press()
    assert do.CloseTurn(1, story.sample) in ended
    story.wait(1)
    story.release()
    assert story.state == State.THINKING


def test_press_over_the_answer_silences_it_and_its_tail_never_plays() -> None:
    story = kiosk()
    story.hold(1)
    story.tell(ev.LinkUp())
    story.answer(5, done=False)
    story.wait(1)
    pressed = story.press()
    assert do.Flush("press") in pressed
    assert do.OpenTurn(2, story.sample) in pressed, "the pre-roll must not hold the device's own voice"
    assert do.Play() not in story.tell(ev.AnswerAudio(500))
    story.tell(ev.Interrupted())
    story.tell(ev.AnswerDone())
    story.wait(1)
    story.release()
    assert do.Play() in story.tell(ev.AnswerAudio(500)), "the new answer is heard"


def test_the_next_answer_is_not_swallowed_when_the_server_never_ends_the_old_turn() -> None:
    story = kiosk()
    story.hold(1)
    story.tell(ev.LinkUp())
    story.answer(5, done=False)
    story.press()
    story.wait(2)
    story.release()
    assert do.Play() in story.tell(ev.AnswerAudio(500))


def test_an_answer_sent_whole_before_the_press_does_not_hide_the_next() -> None:
    story = kiosk()
    story.hold(1)
    story.tell(ev.LinkUp())
    story.answer(8)
    story.wait(1)
    story.press()
    story.wait(0.5)
    story.release()
    assert do.Play() in story.tell(ev.AnswerAudio(500))


def test_an_empty_end_of_the_overtaken_turn_is_not_taken_for_the_answer() -> None:
    story = kiosk()
    story.hold(1)
    story.tell(ev.LinkUp())
    story.press()
    story.wait(0.5)
    story.release()
    story.tell(ev.AnswerDone())
    assert story.state == State.THINKING
    assert do.Cue("no_answer") not in story.done


def test_an_empty_answer_is_said_and_the_device_is_ready_again() -> None:
    story = kiosk()
    story.hold(1)
    story.tell(ev.LinkUp())
    story.tell(ev.AnswerDone())
    assert story.state == State.IDLE
    assert do.Cue("no_answer") in story.last


def test_no_answer_in_time_is_said() -> None:
    story = kiosk(answer_timeout_s=20.0, idle_timeout_s=100.0)
    story.hold(1)
    story.tell(ev.LinkUp())
    story.wait(20.1)
    assert story.state == State.IDLE
    assert do.Say("no_answer") in story.done


def test_a_turn_that_is_too_long_ends_by_itself_and_is_answered() -> None:
    story = kiosk(max_turn_s=60.0)
    story.press()
    story.tell(ev.LinkUp())
    story.wait(60)
    assert do.CloseTurn(1, None) in story.done
    assert story.state == State.THINKING


def test_a_button_that_sticks_becomes_fault_11_until_it_comes_up() -> None:
    story = kiosk(max_turn_s=60.0, answer_timeout_s=5.0, idle_timeout_s=1000.0)
    story.press()
    story.tell(ev.LinkUp())
    story.wait(60 + STUCK_S)
    assert story.state == State.FAULT
    assert story.machine.light == "fault-11"
    story.press()
    assert not story.machine.turn_open
    story.release()
    assert story.state == State.IDLE


def test_a_conversation_that_is_too_long_ends_when_nothing_is_being_said() -> None:
    story = kiosk(max_conversation_s=30.0, idle_timeout_s=20.0)
    for _ in range(6):
        story.hold(2)
        story.tell(ev.LinkUp())
        story.answer(6)
        story.play_out(6)
        if not story.machine.in_conversation:
            break
    ends = [report.why for report in story.of(do.Report) if report.event == "conversation"]
    assert ends == ["conversation too long"]


def test_mute_in_mid_turn_ends_it_voids_what_waits_and_lets_the_answer_play() -> None:
    story = kiosk()
    story.press()
    story.tell(ev.LinkUp())
    story.wait(1)
    muted = story.tell(ev.Muted(story.sample))
    assert do.VoidTurns() in muted
    assert not story.machine.turn_open
    story.answer()
    assert story.state == State.SPEAKING
    story.play_out()
    assert story.machine.shown_state == "muted"
    assert story.machine.light == "muted"
    pressed = story.press()
    assert not [action for action in pressed if isinstance(action, do.OpenTurn)]
    assert do.Say("muted") in pressed


def test_after_unmute_the_pre_roll_does_not_reach_back_over_the_mute() -> None:
    story = kiosk()
    story.tell(ev.Muted(story.sample))
    mute = story.sample
    story.wait(0.1)
    story.tell(ev.Unmuted())
    (opened,) = [action for action in story.press() if isinstance(action, do.OpenTurn)]
    assert opened.start >= mute


def test_mute_while_connecting_sends_nothing_and_waits_for_nothing() -> None:
    story = kiosk()
    story.hold(1)
    story.tell(ev.Muted(story.sample))
    assert story.state == State.IDLE
    assert do.VoidTurns() in story.done


def test_text_is_answered_even_while_muted_and_with_a_broken_microphone() -> None:
    story = kiosk()
    story.tell(ev.Muted(story.sample))
    story.tell(ev.FaultRaised(Fault.MICROPHONE, "no microphone"))
    assert story.state == State.FAULT
    story.tell(ev.TextAsked("hello"))
    assert story.state == State.CONNECTING
    assert do.SendText("hello") in story.tell(ev.LinkUp())
    story.answer()
    assert story.state == State.SPEAKING
    story.play_out()
    assert story.state == State.FAULT


def test_a_text_turn_cut_off_before_its_answer_is_asked_again() -> None:
    story = kiosk()
    story.tell(ev.TextAsked("hello"))
    story.tell(ev.LinkUp())
    story.tell(ev.LinkDown(Fault.NETWORK, "cut"))
    story.wait(1)
    assert do.SendText("hello") in story.tell(ev.LinkUp())


def test_a_cut_in_mid_turn_is_mended_and_resumes_the_same_conversation() -> None:
    story = kiosk()
    story.press()
    story.tell(ev.LinkUp())
    story.wait(1)
    story.tell(ev.LinkDown(Fault.NETWORK, "the line was cut"))
    assert story.state == State.CONNECTING
    assert story.machine.turn_open
    story.wait(1)
    assert do.Connect(resume=True) in story.done
    story.tell(ev.LinkUp(resumed=True))
    assert story.state == State.LISTENING


def test_a_cut_in_mid_answer_finishes_the_sound_that_has_come() -> None:
    story = kiosk()
    story.hold(1)
    story.tell(ev.LinkUp())
    story.answer(5, done=False)
    assert do.FinishAnswer() in story.tell(ev.LinkDown(Fault.NETWORK, "cut"))
    assert story.state == State.SPEAKING


def test_a_line_that_stays_away_is_said_after_15_s_and_heals_by_itself() -> None:
    story = kiosk()
    story.hold(2)
    story.tell(ev.LinkDown(Fault.NETWORK, "no route"))
    while story.now < 130:
        story.wait(1)
        if do.Connect(resume=False) in story.done[-3:] or isinstance(story.last[0], do.Connect):
            story.tell(ev.LinkDown(Fault.NETWORK, "no route"))
    assert story.state == State.OFFLINE
    assert do.Say("offline") in story.done
    story.wait(40)
    story.tell(ev.LinkUp())
    assert story.state == State.IDLE
    assert do.Disconnect() in story.last, "nobody talks: the connection is not kept"


def test_a_refused_key_is_a_fault_that_the_next_press_puts_to_the_test() -> None:
    story = kiosk()
    story.hold(1)
    story.tell(ev.LinkDown(Fault.CREDENTIAL, "the key was refused", final=True))
    assert story.state == State.FAULT
    assert story.machine.light == "fault-3"
    assert do.Say("fault-3") in story.done
    assert do.Connect(resume=False) in story.press()
    assert story.machine.fault is None


def test_open_microphone_stays_open_over_answers_and_falls_asleep() -> None:
    story = speaker()
    story.press()
    story.wait(0.1)
    story.release()
    story.tell(ev.LinkUp())
    assert story.state == State.LISTENING
    story.answer(3)
    assert story.state == State.SPEAKING
    assert story.machine.turn_open
    story.play_out(3)
    assert story.state == State.LISTENING
    story.wait(20)
    story.tell(ev.Heard())
    story.wait(29)
    assert story.state == State.LISTENING
    story.wait(1.1)
    assert story.state == State.IDLE
    assert not story.machine.turn_open


def test_open_microphone_barge_in_by_voice_and_by_press() -> None:
    story = speaker()
    story.press()
    story.release()
    story.tell(ev.LinkUp())
    story.answer(5, done=False)
    assert do.Flush("voice") in story.tell(ev.Interrupted())
    assert story.state == State.LISTENING
    assert do.Play() not in story.tell(ev.AnswerAudio(200)), "a late tail"
    story.tell(ev.AnswerDone())
    story.answer(5)
    assert do.Flush("press") in story.press()
    assert story.state == State.LISTENING


def test_a_long_press_ends_the_open_microphone() -> None:
    story = speaker()
    story.press()
    story.release()
    story.tell(ev.LinkUp())
    story.answer(5)
    story.press()
    story.wait(1.5)
    assert not story.machine.in_conversation
    assert do.Cue("goodbye") in story.done


def test_a_handset_talks_while_lifted_and_is_forgotten_when_hung_up() -> None:
    story = Story(manual=False, hook=True)
    story.press()
    story.tell(ev.LinkUp())
    story.answer(2)
    story.play_out()
    assert story.state == State.LISTENING
    assert do.Wipe() in story.release()
    assert story.state == State.IDLE


def test_prewarm_opens_a_clean_connection_after_each_visitor() -> None:
    story = kiosk(prewarm=True)
    assert do.Connect(resume=False) in story.done
    story.tell(ev.LinkUp())
    story.hold(1)
    story.answer()
    story.play_out()
    ended = story.tell(ev.EndAsked())
    assert ended.index(do.Disconnect()) < ended.index(do.Connect(resume=False))


def test_a_tool_call_holds_the_answer_deadline() -> None:
    story = kiosk(answer_timeout_s=5.0)
    story.hold(1)
    story.tell(ev.LinkUp())
    story.tell(ev.ToolsCalled(1))
    story.wait(8)
    assert story.state == State.THINKING
    story.tell(ev.ToolsSettled(1))
    story.wait(4)
    assert story.state == State.THINKING
    story.answer()
    assert story.state == State.SPEAKING


def test_a_thinking_model_keeps_the_device_thinking_between_utterances() -> None:
    story = kiosk()
    story.hold(1)
    story.tell(ev.LinkUp())
    story.tell(ev.AnswerAudio(500))
    story.tell(ev.AnswerDone(idle=False))
    story.play_out(0.5)
    assert story.state == State.THINKING
    story.answer()
    story.play_out()
    assert story.state == State.IDLE


def test_an_answer_that_breaks_off_does_not_hang_the_device() -> None:
    story = kiosk(idle_timeout_s=1000.0)
    story.hold(1)
    story.tell(ev.LinkUp())
    story.answer(1, done=False)
    story.wait(10)
    assert story.state == State.IDLE


@pytest.mark.parametrize("fault", [Fault.LOUDSPEAKER, Fault.CAMERA, Fault.STORAGE])
def test_faults_that_do_not_stop_talk_do_not_stop_it(fault: Fault) -> None:
    story = kiosk()
    story.tell(ev.FaultRaised(fault, "broken"))
    assert story.state == State.IDLE
    assert story.machine.fault is fault
    story.press()
    assert story.machine.turn_open


def test_the_table_names_a_rule_for_every_row_and_no_rule_without_one() -> None:
    rules = {move.rule for move in MOVES}
    assert all(callable(getattr(Machine, rule)) for rule in rules)
    pairs = [(move.on, state) for move in MOVES for state in move.within]
    assert len(pairs) == len(set(pairs)), "two rows for one event in one state"
