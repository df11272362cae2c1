"""The conversation machine, told as stories with a clock."""

from __future__ import annotations

import pytest
from story import RATE, Story, kiosk, ready, speaker, whys

from edge_agent.conversation import actions as do
from edge_agent.conversation import events as ev
from edge_agent.conversation.machine import Machine
from edge_agent.conversation.moves import MOVES, State, find
from edge_agent.conversation.rules import STUCK_S, Rules
from edge_agent.errors import Fault


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
    story.online = True
    story.hold(1)
    story.wait(21.6)
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
    story.online = True
    story.press()
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


def test_what_is_shown_while_muted_is_told_with_the_mute_as_its_reason() -> None:
    story = kiosk()
    story.press()
    story.tell(ev.Muted(story.sample))
    for event, shown in ((ev.Unmuted(story.sample), "idle"), (ev.Muted(story.sample), "muted")):
        story.tell(event)
        move = find(State.IDLE, event)
        assert move is not None
        assert (story.machine.shown_state, story.machine.why) == (shown, move.why)


def test_after_unmute_the_pre_roll_does_not_reach_back_over_the_mute() -> None:
    story = kiosk()
    story.tell(ev.Muted(story.sample))
    mute = story.sample
    story.wait(0.1)
    story.tell(ev.Unmuted(story.sample))
    (opened,) = [action for action in story.press() if isinstance(action, do.OpenTurn)]
    assert opened.start is not None
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
    story.wait(1)
    story.tell(ev.AnswerDone())
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
    story.wait(2)
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


def test_a_second_finger_on_the_button_does_not_make_a_tap_of_the_hold() -> None:
    """`ctl press` and `ctl release` while a finger holds the button: the hold ends once, and not as a tap."""
    story = kiosk()
    story.tell(ev.LinkUp())
    story.press()
    story.wait(2)
    story.press()
    story.wait(0.05)
    assert do.CloseTurn(1, story.sample) in story.release()
    story.wait(1)
    assert not [action for action in story.release() if isinstance(action, do.CloseTurn | do.OpenTurn)]
    assert not story.machine.turn_open


def test_a_press_and_release_within_one_block_is_a_tap() -> None:
    story = kiosk()
    story.press()
    story.release()
    assert story.machine.turn_open
    story.wait(0.3)
    assert [action for action in story.press() if isinstance(action, do.CloseTurn)]


def test_whoever_begins_by_holding_the_open_microphones_button_is_not_thrown_out() -> None:
    story = speaker()
    story.press()
    story.tell(ev.LinkUp())
    story.wait(3)
    assert story.machine.turn_open
    story.release()
    assert story.state == State.LISTENING


def test_a_handset_is_heard_again_after_the_mute_is_taken_back() -> None:
    story = Story(manual=False, hook=True)
    story.press()
    story.tell(ev.LinkUp())
    story.tell(ev.Muted(story.sample))
    story.wait(2)
    assert not story.machine.turn_open
    unmuted = story.tell(ev.Unmuted(story.sample))
    assert do.OpenTurn(2, story.sample) in unmuted, "not a sample from before the mute was taken back"
    story.release()
    assert not story.machine.in_conversation


def test_a_lifted_handset_stays_deaf_while_muted_and_is_heard_from_then_on() -> None:
    story = Story(manual=False, hook=True)
    story.tell(ev.Muted(story.sample))
    assert do.Say("muted") in story.press()
    story.wait(1)
    story.tell(ev.Unmuted(story.sample))
    assert story.machine.turn_open


def test_a_handset_hung_up_while_connecting_gives_up_the_line() -> None:
    story = Story(manual=False, hook=True)
    story.press()
    hung_up = story.release()
    assert do.Disconnect() in hung_up
    assert do.Wipe() in hung_up
    assert story.state == State.IDLE


def test_unmute_while_the_button_is_held_opens_nothing_and_the_release_says_nothing() -> None:
    story = kiosk()
    story.press()
    story.tell(ev.LinkUp())
    story.tell(ev.Muted(story.sample))
    story.tell(ev.Unmuted(story.sample))
    assert not story.machine.turn_open
    story.wait(2)
    assert not [action for action in story.release() if isinstance(action, do.OpenTurn | do.CloseTurn)]


def test_unmuting_ends_the_sentence_about_the_mute_and_no_other() -> None:
    story = kiosk()
    story.tell(ev.Muted(story.sample))
    assert do.Say("muted") in story.press()
    story.wait(3)
    assert do.Hush() in story.tell(ev.Unmuted(story.sample)), "it is true no more"
    story.tell(ev.Muted(story.sample))
    story.wait(60)
    assert do.Hush() not in story.tell(ev.Unmuted(story.sample)), "what it announces meanwhile is heard to its end"


def test_unmuting_what_is_not_muted_is_silent() -> None:
    assert not [action for action in kiosk().tell(ev.Unmuted(0)) if isinstance(action, do.Cue | do.Say)]


@pytest.mark.parametrize("ending", ["too long", "microphone", "flushed by text", "visitor's end"])
def test_the_pre_roll_never_reaches_into_what_was_before(ending: str) -> None:
    story = kiosk(max_turn_s=10.0)
    story.press()
    story.tell(ev.LinkUp())
    match ending:
        case "too long":
            story.wait(10)
            story.release()
        case "microphone":
            story.wait(1)
            story.tell(ev.FaultRaised(Fault.MICROPHONE, "gone"))
            story.tell(ev.FaultCleared(Fault.MICROPHONE))
            story.release()
        case "flushed by text":
            story.wait(1)
            story.release()
            story.answer(5, done=False)
            story.wait(1)
            story.tell(ev.TextAsked("stop that"))
        case _:
            story.wait(1)
            story.release()
            story.tell(ev.EndAsked())
    before = story.sample
    story.wait(0.2)
    (opened,) = [action for action in story.press() if isinstance(action, do.OpenTurn)]
    assert opened.start is not None
    assert opened.start >= before


def test_a_text_typed_while_an_answer_is_awaited_takes_its_place() -> None:
    story = ready(kiosk())
    story.tell(ev.TextAsked("or rather this"))
    story.tell(ev.Interrupted())
    story.tell(ev.AnswerDone())
    assert story.state == State.THINKING, "the empty end is the overtaken question's"
    assert do.Cue("no_answer") not in story.done
    story.answer()
    assert story.state == State.SPEAKING


def test_three_texts_in_a_row_have_two_empty_ends_and_one_answer() -> None:
    story = kiosk()
    for text in "abc":
        story.tell(ev.TextAsked(text))
    story.tell(ev.LinkUp())
    assert [action.text for action in story.of(do.SendText)] == ["a", "b", "c"]
    story.tell(ev.AnswerDone())
    story.tell(ev.AnswerDone())
    assert do.Cue("no_answer") not in story.done
    story.tell(ev.AnswerDone())
    assert do.Cue("no_answer") in story.last, "the third end is an answer that is empty"


def test_all_texts_that_were_cut_off_are_asked_again_in_order() -> None:
    story = kiosk()
    story.tell(ev.TextAsked("a"))
    story.tell(ev.LinkUp())
    story.tell(ev.TextAsked("b"))
    story.tell(ev.LinkDown(Fault.NETWORK, "cut"))
    story.wait(1)
    story.done.clear()
    story.tell(ev.LinkUp())
    assert [action.text for action in story.of(do.SendText)] == ["a", "b"]
    story.tell(ev.AnswerDone())
    assert story.state == State.THINKING


def test_a_text_asked_during_a_held_turn_follows_it() -> None:
    story = kiosk()
    story.press()
    story.tell(ev.LinkUp())
    story.tell(ev.TextAsked("and this"))
    assert not story.of(do.SendText)
    story.wait(1)
    released = story.release()
    kinds = [type(action) for action in released]
    assert kinds.index(do.CloseTurn) < kinds.index(do.SendText)


def test_the_model_says_goodbye_and_the_conversation_ends_when_that_was_heard() -> None:
    story = ready(kiosk())
    story.tell(ev.ToolsCalled(1))
    story.tell(ev.EndWished())
    story.tell(ev.ToolsSettled(1))
    story.answer(2)
    assert story.machine.in_conversation
    story.play_out(2)
    assert not story.machine.in_conversation
    assert whys(story, "conversation") == ["ended"]


def test_the_model_ends_without_a_word() -> None:
    story = ready(kiosk())
    story.tell(ev.ToolsCalled(1))
    story.tell(ev.EndWished())
    story.tell(ev.ToolsSettled(1))
    story.tell(ev.AnswerDone())
    assert not story.machine.in_conversation
    assert do.Cue("no_answer") not in story.done


def test_the_model_ends_and_then_nothing_at_all_comes() -> None:
    story = ready(kiosk())
    story.tell(ev.ToolsCalled(1))
    story.tell(ev.EndWished())
    story.tell(ev.ToolsSettled(1))
    story.wait(5.1)
    assert not story.machine.in_conversation
    assert do.Cue("no_answer") not in story.done


@pytest.mark.parametrize("stays", ["press", "text", "voice"])
def test_whoever_speaks_again_is_not_sent_away(stays: str) -> None:
    story = ready(kiosk()) if stays != "voice" else speaker()
    if stays == "voice":
        story.press()
        story.release()
        story.tell(ev.LinkUp())
    story.answer(3, done=False)
    story.tell(ev.EndWished())
    match stays:
        case "press":
            story.hold(1)
        case "text":
            story.tell(ev.TextAsked("wait"))
        case _:
            story.tell(ev.Interrupted())
    story.tell(ev.AnswerDone())
    story.answer(2)
    story.play_out(2)
    assert story.machine.in_conversation


def test_a_wish_to_end_outside_a_conversation_does_not_wait_for_the_next_one() -> None:
    story = kiosk(prewarm=True)
    story.tell(ev.LinkUp())
    story.tell(ev.EndWished())
    ready(story)
    story.answer(1)
    story.play_out(1)
    assert story.machine.in_conversation


def test_a_thinking_models_end_told_twice_is_one_end() -> None:
    """`turnComplete` and the status IDLE in one message, for the turn that the person overtook."""
    story = ready(kiosk())
    story.hold(1)
    story.tell(ev.AnswerDone())
    story.tell(ev.WorkDone())
    assert story.state == State.THINKING
    assert do.Cue("no_answer") not in story.done


def test_a_thinking_model_that_finishes_without_a_word_is_no_answer() -> None:
    story = ready(kiosk())
    story.tell(ev.AnswerDone(idle=False))
    assert story.state == State.THINKING
    story.tell(ev.WorkDone())
    assert do.Cue("no_answer") in story.last


def test_thoughts_are_a_sign_of_life() -> None:
    story = ready(kiosk(answer_timeout_s=10.0))
    story.online = True
    story.wait(2)
    story.tell(ev.AnswerProgress())
    for _ in range(5):
        story.wait(4)
        story.tell(ev.AnswerProgress())
        assert story.state == State.THINKING
    story.wait(13.1)
    assert story.state == State.IDLE


def test_a_thinking_model_that_falls_silent_is_given_up() -> None:
    story = ready(kiosk(idle_timeout_s=10.0))
    story.tell(ev.AnswerAudio(500))
    story.tell(ev.AnswerDone(idle=False))
    story.play_out(0.5)
    story.wait(100)
    assert story.state == State.THINKING
    story.wait(21)
    assert story.state == State.IDLE
    assert "no answer came" in whys(story)


def test_empty_sound_is_no_answer() -> None:
    story = ready(kiosk())
    assert do.Play() not in story.tell(ev.AnswerAudio(0))
    assert story.state == State.THINKING
    story.tell(ev.AnswerDone())
    assert do.Cue("no_answer") in story.last


def test_a_tool_in_the_middle_of_an_answer_is_no_answer_that_broke_off() -> None:
    story = ready(kiosk(idle_timeout_s=100.0))
    story.tell(ev.AnswerAudio(1000))
    story.tell(ev.ToolsCalled(1))
    story.wait(9)
    assert "the answer broke off" not in whys(story)
    assert story.state == State.THINKING


def test_the_next_answer_sounds_though_the_old_turn_is_never_ended_and_the_sound_never_pauses() -> None:
    story = kiosk()
    story.hold(1)
    story.tell(ev.LinkUp())
    story.answer(60, done=False)
    story.press()
    for _ in range(4):
        story.wait(0.25)
        assert do.Play() not in story.tell(ev.AnswerAudio(250))
    story.release()
    played = []
    for _ in range(20):
        story.wait(0.25)
        played.append(do.Play() in story.tell(ev.AnswerAudio(250)))
    assert played.index(True) == 11, "three seconds after the question, and not later"


def test_a_service_that_takes_us_and_sends_us_away_again_is_not_hammered() -> None:
    story = kiosk(prewarm=True)
    tries = 0
    for _ in range(600):
        if do.Connect(resume=False) in story.last:
            tries += 1
            story.tell(ev.LinkUp())
            story.wait(0.05)
            story.tell(ev.LinkDown(Fault.SERVICE, "internal error"))
        story.wait(1)
    assert tries < 60, "half a minute apart in the end"


def test_a_connection_that_lived_is_mended_at_once() -> None:
    story = kiosk(prewarm=True)
    for _ in range(6):
        story.tell(ev.LinkDown(Fault.NETWORK, "no route"))
        story.wait(31)
    story.tell(ev.LinkUp())
    story.wait(600)
    story.tell(ev.LinkDown(Fault.NETWORK, "cut"))
    story.wait(0.5)
    assert do.Connect(resume=False) in story.last


def test_a_service_that_keeps_failing_is_called_by_its_own_number() -> None:
    story = kiosk(idle_timeout_s=100.0)
    story.hold(1)
    for _ in range(20):
        if do.Connect(resume=False) in story.last or story.state == State.CONNECTING:
            story.tell(ev.LinkDown(Fault.SERVICE, "internal error"))
        story.wait(1)
    assert story.state == State.FAULT
    assert story.machine.light == "fault-9"
    assert do.Say("fault-9") in story.done
    assert Fault.NETWORK not in story.machine.faults
    story.press()
    story.tell(ev.LinkUp())
    assert story.machine.fault is None


def test_a_wrong_clock_is_said_and_waited_for_and_heals() -> None:
    story = kiosk()
    story.hold(1)
    while story.now < 130:
        if story.machine.state == State.CONNECTING or do.Connect(resume=False) in story.last:
            story.tell(ev.LinkDown(Fault.CLOCK, "not yet valid"))
        story.wait(1)
    assert story.state == State.WAITING_FOR_CLOCK
    assert story.machine.light == "waiting-for-clock"
    assert do.Say("waiting_for_clock") in story.done
    story.wait(40)
    story.tell(ev.LinkUp())
    assert story.state == State.IDLE


def test_the_loss_of_the_network_is_reported_as_a_fault_once() -> None:
    story = kiosk(idle_timeout_s=100.0)
    story.hold(1)
    for _ in range(3):
        story.tell(ev.LinkDown(Fault.NETWORK, "no route"))
        story.wait(31)
    faults = [report for report in story.of(do.Report) if report.event == "fault"]
    assert [(report.fault, report.why) for report in faults] == [(Fault.NETWORK, "no route")]


def test_a_leaving_connection_is_changed_when_nobody_notices() -> None:
    story = ready(kiosk())
    story.answer(3, done=False)
    story.tell(ev.LineLeaving())
    assert do.Disconnect() not in story.done
    story.tell(ev.AnswerGenerated())
    story.tell(ev.AnswerDone())
    story.play_out(3)
    assert do.Disconnect() not in story.done, "the service gives its handle after the turn"
    story.tell(ev.Snapshot())
    assert story.last.index(do.Disconnect()) < story.last.index(do.Connect(resume=True))
    story.tell(ev.LinkUp(resumed=True))
    assert story.state == State.IDLE
    story.press()
    assert story.state == State.LISTENING


def test_a_leaving_connection_nobody_uses_is_replaced_by_a_clean_one() -> None:
    story = kiosk(prewarm=True)
    story.tell(ev.LinkUp())
    assert story.tell(ev.LineLeaving())[-1] == do.Connect(resume=False)


def test_a_connection_is_not_changed_under_an_open_turn() -> None:
    story = kiosk()
    story.press()
    story.tell(ev.LinkUp())
    story.tell(ev.LineLeaving())
    story.wait(1)
    story.release()
    assert do.Disconnect() not in story.done


def test_a_slow_line_is_said_after_a_held_turn_and_ends_an_open_one() -> None:
    story = kiosk()
    story.press()
    story.tell(ev.LinkUp())
    assert do.Say("slow_line") not in story.tell(ev.LineSlow())
    story.wait(1)
    assert do.Say("slow_line") in story.release()
    assert do.Say("slow_line") in story.tell(ev.LineSlow())
    open_microphone = speaker()
    open_microphone.press()
    open_microphone.release()
    open_microphone.tell(ev.LinkUp())
    assert do.Say("slow_line") in open_microphone.tell(ev.LineSlow())
    assert not open_microphone.machine.turn_open


def test_a_fault_beside_the_talk_is_not_spoken_into_it() -> None:
    story = kiosk()
    story.press()
    story.tell(ev.LinkUp())
    assert not [a for a in story.tell(ev.FaultRaised(Fault.CAMERA, "no camera")) if isinstance(a, do.Say)]
    story.wait(1)
    assert do.Say("fault-6") in story.release()


def test_an_open_microphones_monologue_is_closed_and_answered_not_wiped() -> None:
    story = speaker(max_turn_s=60.0)
    story.press()
    story.release()
    story.online = True
    for _ in range(13):
        story.wait(5)
        story.tell(ev.Heard())
    assert do.CloseTurn(1, None) in story.done
    assert story.machine.in_conversation
    story.answer(1)
    assert story.state == State.SPEAKING


def test_a_turn_that_was_answered_with_silence_is_never_sent_again() -> None:
    story = ready(kiosk())
    story.tell(ev.AnswerDone())
    assert do.Settle() in story.last


def test_new_rules_in_the_middle_of_a_turn_count_from_its_beginning() -> None:
    story = kiosk(max_turn_s=60.0)
    story.press()
    story.tell(ev.LinkUp())
    story.wait(20)
    story.machine.rules = Rules(max_turn_s=10.0)
    story.wait(0)
    assert not story.machine.turn_open


def test_end_while_a_tool_runs_leaves_nothing_owed() -> None:
    story = ready(kiosk())
    story.tell(ev.ToolsCalled(2))
    story.tell(ev.EndAsked())
    assert story.state == State.IDLE
    story.tell(ev.ToolsSettled(1))
    story.tell(ev.AnswerAudio(500))
    assert story.state == State.IDLE


def test_sound_that_nobody_asked_for_is_heard_in_a_conversation_only() -> None:
    story = kiosk(prewarm=True)
    story.tell(ev.LinkUp())
    assert do.Play() not in story.tell(ev.AnswerAudio(500))
    ready(story)
    story.answer(1)
    story.play_out(1)
    story.answer(1)
    assert story.state == State.SPEAKING


def test_a_model_that_wants_to_end_does_not_cut_a_person_off() -> None:
    story = kiosk()
    story.press()
    story.tell(ev.LinkUp())
    story.tell(ev.EndWished())
    story.wait(8)
    assert story.machine.turn_open
    story.release()
    story.answer(1)
    story.play_out(1)
    assert story.machine.in_conversation
