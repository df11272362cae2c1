"""Who speaks to a device that listens by itself, as stories with a clock: what is seen, heard and sent."""

from __future__ import annotations

import pytest
from story import RATE, Story, kiosk, whys

from edge_agent.conversation import actions as do
from edge_agent.conversation import events as ev
from edge_agent.conversation.moves import State
from edge_agent.errors import Fault

FOLLOW_UP_S = 8.0
IDLE_S = 12.0
WAKE_WAITS_S = 4.0
HUSH_S = 3.0
LIMIT_S = 300.0
CALLED_S = 6.0
ROOM_S = 30.0


class Home(Story):
    """A household's device: what its people do and say, and what they see and hear of it."""

    def __init__(self, **rules: object) -> None:
        wanted = {
            "manual": False,
            "detects": True,
            "follow_up_s": FOLLOW_UP_S,
            "full_duplex": True,
            "max_conversation_s": LIMIT_S,
        }
        super().__init__(**{**wanted, **rules})
        self.online = True

    def wake(self) -> list[do.Action]:
        return self.tell(ev.WakeHeard(self.sample, "okay nabu"))

    def starts(self, *, ago: float = 0.2) -> list[do.Action]:
        """Somebody began to speak a moment ago, and is noticed now."""
        return self.tell(ev.VoiceStarted(self.sample - round(ago * RATE)))

    def ends(self, *, after: float = 0.8) -> list[do.Action]:
        """They have said their last word so long ago."""
        self.wait(after)
        return self.tell(ev.VoiceEnded(self.sample - round(after * RATE)))

    def says(self, seconds: float = 2.0) -> None:
        self.starts()
        self.wait(seconds)
        self.ends()

    def interrupts(self) -> list[do.Action]:
        return self.tell(ev.NearEndConfirmed(self.sample - RATE // 4))

    def stop(self) -> list[do.Action]:
        return self.tell(ev.StopHeard(self.sample))

    @property
    def light(self) -> str:
        return self.machine.light

    @property
    def cues(self) -> list[str]:
        return [cue.name for cue in self.of(do.Cue)]

    @property
    def opened(self) -> list[do.OpenTurn]:
        return self.of(do.OpenTurn)

    @property
    def listening(self) -> list[str]:
        return whys(self, "listening")

    @property
    def ended(self) -> list[str]:
        return whys(self, "conversation")

    def ears_only(self) -> bool:
        return self.light == "attentive" and self.machine.attentive and not self.machine.turn_open


def home(**rules: object) -> Home:
    return Home(**rules)


def asked(story: Home) -> Home:
    """Somebody has called the device and asked something."""
    story.wake()
    story.wait(0.6)
    story.says()
    assert story.machine.turn_open
    return story


def answering(story: Home, *, done: bool = False) -> Home:
    """It has begun to answer, with the stream open."""
    asked(story)
    story.wait(0.5)
    story.answer(10, done=done)
    story.wait(1)
    assert story.state == State.SPEAKING
    return story


def followed(story: Home) -> Home:
    """It has answered, and listens for more."""
    asked(story)
    story.answer(2)
    story.play_out(2)
    story.done.clear()
    assert story.ears_only()
    return story


# Called, and spoken to.


def test_wake_word_and_question_in_one_breath_are_sent_from_before_the_words_end() -> None:
    story = home()
    story.wake()
    word = story.sample
    assert story.light == "connecting"
    assert not story.opened, "nothing is sent for a wake word"
    story.wait(0.3)
    (opened,) = [action for action in story.starts(ago=0.2) if isinstance(action, do.OpenTurn)]
    assert opened.start == word - RATE // 2, "with the pre-roll before the word's end"
    story.wait(2)
    assert story.light == "listening"
    assert "listen" not in story.cues, "not into what they are saying"


def test_wake_word_pause_and_question_are_sent_from_the_question_on() -> None:
    story = home()
    story.wake()
    story.wait(2.5)
    assert story.ears_only()
    began = story.sample - RATE // 5
    story.starts(ago=0.2)
    assert story.opened == [do.OpenTurn(1, began - RATE // 2)]


def test_a_wake_word_that_nobody_speaks_after_is_forgotten_unsent() -> None:
    story = home()
    story.wake()
    story.wait(WAKE_WAITS_S - 0.1)
    assert story.ears_only()
    story.wait(0.2)
    assert not story.opened
    assert story.listening == ["wake", "nobody spoke"]
    assert story.ended == ["nobody spoke"]
    assert story.cues[-1] == "done"
    assert do.Disconnect() in story.last
    assert story.light == "idle"


def test_a_wake_word_without_a_line_is_forgotten_too() -> None:
    story = home()
    story.online = False
    story.wake()
    story.tell(ev.LinkDown(Fault.NETWORK, "no route"))
    story.wait(WAKE_WAITS_S + 0.1)
    assert story.ended == ["nobody spoke"]
    assert story.state == State.OFFLINE
    assert do.Say("offline") not in story.done, "nobody asked anything"


def test_a_tap_listens_as_a_wake_word_does_but_longer() -> None:
    story = home()
    story.hold(0.1)
    story.wait(FOLLOW_UP_S - 0.3)
    assert story.ears_only()
    assert not story.opened
    story.wait(0.5)
    assert story.ended == ["nobody spoke"]


def test_a_tap_while_it_listens_for_the_tapper_ends_that() -> None:
    story = home()
    story.hold(0.1)
    story.wait(1)
    story.hold(0.1)
    assert not story.machine.attentive
    assert story.listening == ["tap", "tapped again"]
    assert story.cues[-1] == "done"
    story.wait(IDLE_S + 1)
    assert len(story.ended) == 1
    assert story.cues[-1] == "done", "and then it goes quietly"
    assert not story.opened


def test_a_tap_while_somebody_speaks_ends_their_turn() -> None:
    story = home()
    story.wake()
    story.wait(1)
    story.starts()
    story.tell(ev.Heard())
    story.wait(2)
    assert do.CloseTurn(1, story.sample) in story.press()
    story.release()
    assert story.light == "thinking", "what was understood is waited for"
    story.wait(1)
    story.answer(2)
    story.play_out(2)
    assert story.ears_only()


def test_a_false_wake_word_in_a_follow_up_costs_nothing() -> None:
    story = followed(home())
    story.wait(2)
    story.wake()
    story.wait(WAKE_WAITS_S + 0.1)
    assert story.listening == ["wake", "nobody spoke"]
    assert not story.opened
    assert not story.ended
    assert story.machine.connected


def test_a_wake_word_with_an_open_microphone_that_sends_all_it_hears_opens_a_turn_like_a_tap() -> None:
    story = home(detects=False, idle_timeout_s=60.0)
    story.wake()
    assert story.machine.turn_open
    story.wait(30)
    assert story.machine.turn_open, "nobody has spoken for too long"
    assert do.Say("turn_too_long") not in story.done


def test_a_jammed_button_leaves_the_wake_word() -> None:
    story = home(max_turn_s=10.0)
    story.press()
    story.wait(60)
    assert story.light == "fault-11"
    story.wake()
    assert story.machine.attentive


# After the answer.


def test_the_next_question_needs_no_wake_word() -> None:
    story = followed(home())
    story.wait(FOLLOW_UP_S - 1)
    story.says()
    assert len(story.opened) == 1
    story.answer(1)
    story.play_out(1)
    assert story.ears_only()


def test_a_follow_up_that_nobody_takes_ends_with_light_and_cue_and_keeps_the_line_for_a_while() -> None:
    story = followed(home())
    story.wait(FOLLOW_UP_S + 0.1)
    assert story.light == "idle"
    assert story.cues == ["done"]
    assert story.machine.connected
    assert not story.ended
    story.wait(IDLE_S)
    assert story.ended == ["nobody there"]
    assert story.cues == ["done"], "the second end is silent"
    assert not story.machine.connected
    assert not story.opened


def test_a_long_follow_up_is_as_long_as_the_owner_wished() -> None:
    story = followed(home(follow_up_s=40.0))
    story.wait(39)
    assert story.ears_only()
    story.wait(2)
    assert not story.machine.attentive


def test_without_a_follow_up_the_device_listens_to_whoever_calls_and_to_nobody_after_the_answer() -> None:
    story = asked(home(follow_up_s=0.0, idle_timeout_s=30.0))
    story.answer(2)
    story.play_out(2)
    assert not story.machine.attentive
    assert story.light == "idle"
    assert do.CloseTurn(1, None) in story.done
    story.starts()
    story.wait(5)
    assert len(story.opened) == 1, "the room's talk is not sent"
    asked(story)
    assert len(story.opened) == 2, "the conversation goes on by the wake word"


def test_without_a_follow_up_the_answer_can_be_interrupted_all_the_same() -> None:
    story = answering(home(follow_up_s=0.0))
    story.interrupts()
    assert story.of(do.Flush) == [do.Flush("near-end")]
    assert story.machine.turn_open


@pytest.mark.parametrize("why", ["tap", "converse", "speech lost"])
def test_whoever_is_asked_to_speak_has_time_to_however_short_a_follow_up_is(why: str) -> None:
    story = home(follow_up_s=0.0)
    match why:
        case "tap":
            story.hold(0.1)
        case "converse":
            story.tell(ev.Announced("Shall I go on?", listen=True))
            story.wait(1)
            story.answer(1)
            story.play_out(1)
        case _:
            asked(story)
            story.online = False
            story.tell(ev.LinkDown(Fault.NETWORK, "cut"))
            story.wait(20)
            story.online = True
            story.tell(ev.NetworkBack())
            story.wait(0.2)
            assert do.Say("speech_lost") in story.done
    story.wait(CALLED_S - 0.5)
    assert story.machine.attentive
    story.wait(1)
    assert not story.machine.attentive


def test_a_room_that_talks_on_and_is_not_answered_is_left_to_itself() -> None:
    story = followed(home())
    began = story.now
    while story.machine.attentive:
        story.wait(HUSH_S + 1.5)
        if story.machine.attentive:
            story.says(1.0)
        assert story.now - began < ROOM_S + HUSH_S + 5
    assert story.now - began > ROOM_S - FOLLOW_UP_S
    assert story.cues == ["done"], "said once"
    assert story.light == "idle"


def test_a_family_that_is_answered_is_followed_for_as_long_as_it_talks() -> None:
    story = followed(home())
    for _ in range(12):
        story.wait(4)
        story.says(1.0)
        story.answer(2)
        story.play_out(2)
        assert story.ears_only()


def test_what_a_television_said_and_nobody_answered_is_not_sent_and_paid_again() -> None:
    """The models of today keep silent where they were not meant."""
    story = followed(home())
    story.says()
    story.tell(ev.Heard())
    story.wait(25)
    assert not whys(story, "healing")
    assert not story.of(do.Connect)
    assert story.light == "idle"


def test_an_owner_who_wants_answers_heard_to_their_end_has_them_so() -> None:
    story = answering(home(interruptible=False))
    assert not story.machine.attentive, "the answer is not even lowered"
    story.interrupts()
    assert not story.of(do.Flush)
    story.hold(0.1)
    assert story.of(do.Flush) == [do.Flush("press")], "a hand stops it all the same"


def test_a_television_in_a_follow_up_sends_nothing() -> None:
    """The device's own ears find it to be background: no voice starts."""
    story = followed(home())
    assert story.machine.careful
    story.wait(FOLLOW_UP_S + IDLE_S + 1)
    assert not story.opened
    assert not story.of(do.CloseTurn)


def test_whoever_called_need_not_be_louder_than_the_background() -> None:
    story = home()
    story.wake()
    assert not story.machine.careful
    story = followed(home())
    story.press()
    assert not story.machine.careful, "nor who tapped"


def test_a_tap_in_a_follow_up_is_somebody_who_wants_to_talk() -> None:
    story = followed(home())
    story.wait(FOLLOW_UP_S - 1)
    story.hold(0.1)
    assert story.cues == ["listen"]
    story.wait(5)
    assert story.ears_only()
    story.says()
    assert len(story.opened) == 1


def test_a_television_that_is_taken_for_a_person_is_cut_off_without_a_word() -> None:
    story = followed(home(max_turn_s=60.0))
    story.starts()
    for _ in range(12):
        story.wait(4.9)
        story.tell(ev.Heard())
    story.wait(2)
    assert do.CloseTurn(2, None) in story.done
    assert do.Say("turn_too_long") not in story.done
    assert not story.machine.turn_open


def test_a_person_who_called_and_talks_for_too_long_is_told() -> None:
    story = home(max_turn_s=30.0)
    story.wake()
    story.wait(1)
    story.starts()
    story.wait(31)
    assert do.CloseTurn(1, None) in story.done
    assert do.Say("turn_too_long") in story.done
    assert not story.ended
    story.answer(1)
    story.play_out(1)
    assert story.ears_only()


def test_no_conversation_is_longer_than_the_owner_allows() -> None:
    story = asked(home(max_conversation_s=60.0))
    for _ in range(40):
        story.answer(2)
        story.play_out(2)
        if story.ended:
            break
        story.wait(1)
        story.says()
    assert story.ended == ["conversation too long"]


# The stream while a person speaks.


def test_a_long_question_without_a_transcript_is_not_cut_off() -> None:
    story = home(idle_timeout_s=5.0, max_turn_s=60.0)
    story.wake()
    story.wait(1)
    story.starts()
    story.wait(40)
    assert story.machine.turn_open
    assert not story.ended


def test_pauses_in_a_question_do_not_close_the_stream() -> None:
    story = home()
    story.wake()
    for _ in range(4):
        story.wait(1)
        story.says(3)
        story.wait(1)
    assert len(story.opened) == 1
    assert not story.of(do.CloseTurn)


def test_words_that_are_understood_while_they_are_said_do_not_change_the_line() -> None:
    story = home()
    story.wake()
    story.wait(1)
    story.starts()
    for _ in range(15):
        story.wait(1)
        story.tell(ev.Heard())
    assert whys(story, "healing") == []
    assert len(story.of(do.Connect)) == 1


def test_silence_closes_the_stream_and_the_answer_is_heard_all_the_same() -> None:
    story = asked(home())
    story.tell(ev.Heard())
    story.wait(HUSH_S + 0.1)
    assert do.CloseTurn(1, None) in story.done
    assert whys(story)[-1] == "silence"
    assert story.light == "thinking"
    assert story.machine.attentive, "something may be added"
    story.wait(4)
    story.answer(2)
    assert story.state == State.SPEAKING
    story.play_out(2)
    assert story.ears_only()
    story.wait(FOLLOW_UP_S - 0.2)
    assert story.ears_only()


def test_the_light_says_listening_until_the_last_of_it_is_sent() -> None:
    story = asked(home())
    story.sends = False
    story.wait(HUSH_S + 0.1)
    assert not story.machine.turn_open
    assert story.light == "listening"
    story.tell(ev.QuestionSent())
    assert story.light == "attentive"


def test_a_cough_is_sent_and_nothing_comes_of_it() -> None:
    story = home()
    story.wake()
    story.wait(1)
    story.says(0.3)
    story.wait(HUSH_S + 0.1)
    assert story.ears_only()
    story.wait(FOLLOW_UP_S)
    assert story.light == "idle"
    assert story.cues[-1] == "done"
    assert do.Say("no_answer") not in story.done


def test_the_ears_do_not_fall_asleep_while_the_answer_is_on_its_way() -> None:
    story = asked(home(follow_up_s=2.0, idle_timeout_s=5.0))
    story.tell(ev.Heard())
    story.wait(9)
    assert story.cues[-1] == "listen"
    story.answer(2)
    assert story.state == State.SPEAKING


def test_a_question_that_was_understood_and_not_answered_is_asked_once_more_on_a_new_line() -> None:
    story = asked(home())
    story.done.clear()
    story.tell(ev.Heard())
    story.wait(10.5)
    assert whys(story, "healing") == ["reopen"]
    assert len(story.of(do.Connect)) == 1
    assert do.Settle() not in story.done, "it has to go out again"
    story.wait(1)
    story.answer(2)
    story.play_out(2)
    assert story.ears_only()


def test_a_question_on_a_line_that_breaks_before_anything_came_of_it_is_asked_again() -> None:
    story = asked(home())
    story.wait(HUSH_S + 0.5)
    assert story.ears_only()
    story.done.clear()
    story.tell(ev.LinkDown(Fault.NETWORK, "cut"))
    assert do.Settle() not in story.done
    assert story.state == State.CONNECTING
    story.wait(2)
    assert len(story.of(do.Connect)) == 1
    story.answer(2)
    assert story.state == State.SPEAKING


def test_an_answered_question_on_a_line_that_breaks_is_not_asked_again() -> None:
    story = followed(home())
    story.tell(ev.LinkDown(Fault.NETWORK, "cut"))
    assert do.Settle() in story.last
    assert do.Say("offline") not in story.done


def test_offline_what_was_asked_is_kept_for_15_seconds_and_what_follows_it_is_not_kept() -> None:
    story = home()
    story.online = False
    story.wake()
    story.tell(ev.LinkDown(Fault.NETWORK, "no route"))
    story.wait(1)
    story.says()
    story.wait(HUSH_S + 0.1)
    assert do.CloseTurn(1, None) in story.done, "the room's talk is nobody's question"
    assert story.light == "connecting"
    story.wait(5)
    assert do.Say("offline") not in story.done
    story.online = True
    story.wait(1)
    story.tell(ev.LinkDown(Fault.NETWORK, "no route"))
    story.wait(1.5)
    assert story.machine.connected
    assert not story.of(do.VoidTurns)
    assert story.ears_only(), "for as long as the answer may take"
    story.answer(1)
    assert story.state == State.SPEAKING


def test_offline_for_good_the_person_is_told() -> None:
    story = home()
    story.online = False
    story.wake()
    story.tell(ev.LinkDown(Fault.NETWORK, "no route"))
    story.wait(1)
    story.says()
    for _ in range(20):
        story.wait(1)
        if story._opening is not None:
            story.tell(ev.LinkDown(Fault.NETWORK, "no route"))
    assert do.Say("offline") in story.done
    assert do.VoidTurns() in story.done
    assert not story.machine.attentive
    assert story.light == "offline"


def test_a_written_question_waits_no_longer_for_a_line_because_somebody_called() -> None:
    story = home()
    story.online = False
    story.tell(ev.TextAsked("What time is it?"))
    story.wait(1)
    story.wake()
    story.wait(15)
    assert do.Say("offline") in story.done


# Somebody speaks over the answer.


@pytest.mark.parametrize("service", ["first", "later", "never"])
def test_barge_in_with_the_stream_open_is_one_silence_whoever_asks_for_it(service: str) -> None:
    story = answering(home())
    if service == "first":
        story.tell(ev.Interrupted())
        story.wait(0.3)
    if service == "first":
        story.starts()
    else:
        story.interrupts()
    if service == "later":
        story.wait(0.3)
        story.tell(ev.Interrupted())
    assert len(story.of(do.Flush)) == 1
    assert len(story.opened) == 1, "the stream is open"
    assert story.light == "listening"
    for _ in range(4):
        story.wait(0.3)
        assert do.Play() not in story.tell(ev.AnswerAudio(300)), "the rest of the old answer"
    story.tell(ev.AnswerDone())
    story.ends()
    assert do.Play() in story.tell(ev.AnswerAudio(300)), "the new one"


def test_barge_in_with_the_stream_closed_opens_it_where_the_voice_began() -> None:
    story = asked(home())
    story.wait(HUSH_S + 1)
    story.answer(10)
    story.wait(2)
    assert not story.machine.turn_open
    began = story.sample - RATE // 4
    story.interrupts()
    assert do.Flush("near-end") in story.last
    assert story.opened[-1] == do.OpenTurn(2, began - RATE // 2)
    assert story.cues.count("listen") == 1, "silence says enough"


def test_what_a_canceller_kept_back_before_it_knew_the_room_follows() -> None:
    story = answering(home())
    story.done.clear()
    began = story.sample - RATE // 4
    story.interrupts()
    assert story.of(do.Reveal) == [do.Reveal(began - RATE // 2)], "the gate knows what went out already"


def test_in_half_duplex_what_was_kept_back_follows() -> None:
    story = answering(home(full_duplex=False))
    story.done.clear()
    began = story.sample - RATE // 4
    story.interrupts()
    assert story.of(do.Reveal) == [do.Reveal(began)], "and nothing of the device's own voice before it"


def test_in_half_duplex_words_under_the_cue_are_heard() -> None:
    story = home(full_duplex=False)
    story.wake()
    word = story.sample
    story.wait(0.5)
    story.interrupts()
    assert story.opened == [do.OpenTurn(1, word - RATE // 2)]
    assert story.of(do.Reveal) == [do.Reveal(word - RATE // 2)]


def test_in_half_duplex_a_follow_up_does_not_reach_back_into_the_answer() -> None:
    story = followed(home(full_duplex=False))
    silent = story.sample
    story.wait(0.3)
    story.starts(ago=0.2)
    (opened,) = story.opened
    assert opened.start is not None
    assert opened.start >= silent


def test_barge_in_that_comes_to_nothing_is_a_follow_up() -> None:
    story = answering(home(), done=True)
    story.interrupts()
    story.ends()
    story.wait(HUSH_S + 0.1)
    assert story.ears_only()
    story.wait(FOLLOW_UP_S)
    assert story.light == "idle"


def test_barge_in_while_a_tool_runs_is_held_back_and_then_heard() -> None:
    story = answering(home(holds=True))
    story.tell(ev.ToolsCalled(1, blocking=1))
    story.interrupts()
    assert story.of(do.Hold) == [do.Hold(True)]
    assert story.light == "thinking"
    story.ends()
    story.wait(5)
    assert story.machine.turn_open, "the model still owes something"
    story.tell(ev.ToolsSettled(1, blocking=1))
    assert story.of(do.Hold)[-1] == do.Hold(False)
    assert story.machine.turn_open
    story.wait(HUSH_S - 0.1)
    assert story.machine.turn_open, "the model needs a moment to go on"
    story.wait(0.2)
    assert not story.machine.turn_open


def test_barge_in_on_a_degraded_line() -> None:
    story = home()
    story.online = False
    story.wake()
    story.tell(ev.LinkUp(degraded=True))
    story.wait(1)
    story.says()
    story.wait(HUSH_S + 0.1)
    story.answer(10)
    story.wait(1)
    story.interrupts()
    assert story.light == "listening"
    assert len(story.opened) == 2
    story.ends()
    story.answer(1)
    story.play_out(1)
    assert story.ears_only()


def test_a_voice_while_the_line_is_changed_is_kept_for_the_new_one() -> None:
    story = followed(home())
    story.tell(ev.LineLeaving(60.0))
    story.tell(ev.Snapshot())
    assert do.Connect(resume=True) in story.done
    assert story.machine.attentive
    story.says(0.1)
    assert story.machine.turn_open
    assert story.machine.connected
    assert story.light == "listening"


def test_the_line_is_not_changed_between_question_and_answer() -> None:
    story = asked(home())
    story.tell(ev.LineLeaving(60.0))
    story.tell(ev.Snapshot())
    story.tell(ev.Heard())
    story.wait(HUSH_S + 2)
    assert len(story.of(do.Connect)) == 1
    story.answer(2)
    story.play_out(2)
    story.tell(ev.Snapshot())
    assert len(story.of(do.Connect)) == 2


def test_a_wake_word_over_the_answer_silences_it() -> None:
    story = answering(home(), done=True)
    assert do.Flush("wake") in story.wake()
    assert story.light == "listening"
    story.wait(HUSH_S + 0.1)
    assert story.ears_only()


def test_a_wake_word_over_an_answer_to_a_written_question_listens() -> None:
    story = home()
    story.tell(ev.TextAsked("Tell me a tale."))
    story.wait(1)
    story.answer(20)
    assert do.Flush("wake") in story.wake()
    assert story.ears_only()
    assert story.cues == ["ready"]
    story.wait(0.5)
    assert story.cues == ["ready", "listen"], "whoever only called is told that the device listens"


def test_an_answer_to_a_written_question_is_not_listened_after_but_a_call_in_between_is() -> None:
    story = home()
    story.tell(ev.TextAsked("What time is it?"))
    story.wait(1)
    story.answer(1)
    story.play_out(1)
    assert not story.machine.attentive
    story.tell(ev.TextAsked("And now?"))
    story.wake()
    story.wait(6)
    story.answer(1)
    story.play_out(1)
    assert story.ears_only()
    assert not story.ended


def test_a_follow_up_comes_though_the_model_worked_on_after_its_answer() -> None:
    story = asked(home())
    story.wait(HUSH_S + 0.1)
    story.answer(2, done=False)
    story.tell(ev.AnswerDone(idle=False))
    story.play_out(2)
    assert story.light == "thinking"
    story.wait(3)
    story.tell(ev.WorkDone())
    assert story.ears_only()
    story.wait(FOLLOW_UP_S - 0.2)
    assert story.ears_only()


def test_a_spurious_interruption_of_the_service_leaves_the_device_listening() -> None:
    story = asked(home())
    story.wait(HUSH_S + 0.1)
    story.answer(5, done=False)
    story.tell(ev.Interrupted())
    assert story.ears_only()


# Stop.


def test_stop_over_the_answer_is_silence_and_the_rest_never_sounds() -> None:
    story = answering(home())
    assert do.Flush("stop") in story.stop()
    assert not story.machine.turn_open
    assert not story.machine.attentive
    for _ in range(10):
        story.wait(0.5)
        assert do.Play() not in story.tell(ev.AnswerAudio(400))
    story.tell(ev.AnswerDone())
    assert do.Play() not in story.tell(ev.AnswerAudio(400)), "nor what the service says to a word it half heard"
    story.tell(ev.AnswerDone())
    assert not story.ended, "it may be gone on with"
    story.wake()
    story.wait(1)
    story.says()
    assert do.Play() in story.tell(ev.AnswerAudio(400))


def test_stop_that_is_noticed_as_a_voice_first_is_silence_all_the_same() -> None:
    story = answering(home())
    story.interrupts()
    story.wait(0.2)
    story.stop()
    assert not story.machine.turn_open
    assert do.VoidTurns() in story.done
    story.tell(ev.AnswerDone())
    assert do.Play() not in story.tell(ev.AnswerAudio(400))


def test_stop_in_a_follow_up_ends_the_listening_and_is_answered_by_a_cue_only() -> None:
    story = followed(home())
    story.starts()
    story.wait(0.3)
    story.stop()
    assert not story.machine.attentive
    assert story.cues == ["done"]
    assert do.Play() not in story.tell(ev.AnswerAudio(400))
    story.wait(IDLE_S + 1)
    assert story.ended == ["nobody there"]


def test_stop_while_it_thinks_is_silence() -> None:
    story = asked(home())
    story.tell(ev.ToolsCalled(1))
    story.stop()
    assert not story.machine.turn_open
    story.tell(ev.ToolsSettled(1))
    assert story.light == "idle"
    assert do.Play() not in story.tell(ev.AnswerAudio(400))
    story.tell(ev.AnswerDone())
    assert do.Say("no_answer") not in story.done


def test_stop_inside_a_sentence_is_one_of_its_words() -> None:
    story = home()
    story.wake()
    story.wait(0.5)
    story.starts()
    story.wait(0.4)
    story.stop()
    story.wait(2)
    assert story.machine.turn_open
    assert not story.of(do.VoidTurns)


@pytest.mark.parametrize("by", ["stop", "wake", "tap"])
def test_the_devices_own_sentence_is_stopped_by_whoever_calls_and_by_stop(by: str) -> None:
    story = home()
    match by:
        case "stop":
            story.stop()
        case "wake":
            story.wake()
        case _:
            story.hold(0.1)
    assert story.of(do.Hush) == [do.Hush()]


def test_stop_for_an_alarm_stops_the_alarm_and_nothing_else() -> None:
    story = followed(home())
    story.tell(ev.AlarmRings("tea"))
    assert story.light == "ringing"
    assert story.stop() == [do.Ring(False), do.WakeCame("stopped"), do.Show("attentive")]
    assert story.machine.attentive


def test_stop_at_rest_is_not_for_the_device() -> None:
    story = home()
    story.stop()
    assert story.cues == ["ready"]
    assert story.state == State.IDLE


def test_an_answer_to_a_new_written_question_is_heard_after_a_stop() -> None:
    story = answering(home())
    story.stop()
    story.tell(ev.AnswerDone())
    story.tell(ev.TextAsked("Go on."))
    assert do.Play() in story.tell(ev.AnswerAudio(400))


# Mute.


@pytest.mark.parametrize("when", ["ears", "speaks", "thinks", "sounds", "follow-up"])
def test_mute_shuts_the_ears_whatever_goes_on(when: str) -> None:
    story = home()
    match when:
        case "ears":
            story.wake()
        case "speaks":
            story.wake()
            story.wait(1)
            story.starts()
        case "thinks":
            asked(story)
            story.tell(ev.Heard())
            story.wait(HUSH_S + 0.1)
        case "sounds":
            answering(story)
        case _:
            followed(story)
    opened = len(story.opened)
    assert do.VoidTurns() in story.tell(ev.Muted(story.sample))
    assert not story.machine.attentive
    for event in (
        ev.NearEndConfirmed(story.sample - 10),
        ev.VoiceStarted(story.sample - 10),
        ev.WakeHeard(story.sample - 10, "okay nabu"),
        ev.StopHeard(story.sample - 10),
    ):
        told = [one for one in story.tell(event) if not isinstance(one, do.Report | do.WakeCame)]
        assert not told, "said before, told after"
    if when == "sounds":
        assert story.state == State.SPEAKING, "the answer plays on"
        story.play_out(9)
    story.wait(LIMIT_S)
    assert len(story.opened) == opened
    assert story.light == "muted"


def test_after_an_unmute_the_ears_open_again_by_themselves_only_after_an_answer() -> None:
    story = followed(home())
    story.starts()
    story.tell(ev.Muted(story.sample))
    story.tell(ev.Unmuted(story.sample))
    assert not story.machine.attentive
    story.wake()
    story.wait(1)
    story.says()
    story.answer(1)
    story.play_out(1)
    assert story.ears_only(), "the voice that the mute cut off is no longer waited for"


# The house.


def test_converse_listens_for_whoever_answers_and_says_so() -> None:
    story = home()
    story.tell(ev.Announced("Shall I close the blinds?", listen=True))
    story.wait(1)
    story.answer(2)
    story.play_out(2)
    assert story.ears_only()
    assert story.cues == ["ready", "listen"]
    assert story.machine.careful, "a television has not been asked"
    story.says()
    assert len(story.opened) == 1


def test_converse_in_a_conversation_opens_the_ears_once() -> None:
    story = followed(home())
    story.tell(ev.Announced("Shall I close the blinds?", listen=True))
    story.answer(2)
    story.play_out(2)
    assert story.listening == ["asked"]
    story.wait(FOLLOW_UP_S + 0.1)
    assert story.light == "idle"


def test_converse_that_nobody_answers_is_over_soon() -> None:
    story = home()
    story.tell(ev.Announced("Shall I close the blinds?", listen=True))
    story.wait(1)
    story.answer(2)
    story.play_out(2)
    story.wait(FOLLOW_UP_S + 0.1)
    assert story.ended == ["nobody spoke"]


def test_a_family_that_talks_on_hears_the_announcement_to_its_end() -> None:
    story = followed(home())
    story.tell(ev.Announced("Dinner is ready."))
    story.answer(3)
    story.wait(1)
    story.interrupts()
    assert not story.of(do.Flush)
    assert not story.opened
    assert do.Flush("wake") in story.wake(), "but whoever calls is heard"


def test_an_announcement_does_not_cut_in_on_whoever_has_just_called() -> None:
    story = home()
    story.wake()
    story.wait(1)
    story.tell(ev.Announced("Dinner is ready."))
    assert not story.of(do.SendText)
    story.says()
    story.wait(1)
    story.answer(2)
    assert not story.of(do.SendText)
    story.play_out(2)
    assert len(story.of(do.SendText)) == 1


def test_an_announcement_after_a_false_wake_word_is_spoken_by_the_device_itself() -> None:
    story = home()
    story.wake()
    story.tell(ev.Announced("Dinner is ready."))
    story.wait(WAKE_WAITS_S + 0.1)
    assert do.Announce("Dinner is ready.") in story.done


def test_an_alarm_rings_into_everything_and_calling_the_device_stops_it() -> None:
    story = followed(home())
    assert do.Ring(True) in story.tell(ev.AlarmRings("tea"))
    assert do.Ring(False) in story.wake()
    assert story.listening == []


def test_a_written_question_in_a_follow_up_takes_its_place() -> None:
    story = followed(home())
    story.tell(ev.TextAsked("What time is it?"))
    assert story.listening == ["asked in writing"]
    story.answer(1)
    story.play_out(1)
    assert not story.machine.attentive


def test_the_model_ends_the_conversation_without_a_word_and_nobody_is_listened_to() -> None:
    story = asked(home())
    story.tell(ev.ToolsCalled(1))
    story.tell(ev.EndWished())
    story.tell(ev.ToolsSettled(1))
    story.wait(5.1)
    assert story.ended == ["ended"]
    assert story.listening == ["wake"]


def test_whoever_speaks_on_is_not_sent_away() -> None:
    story = asked(home())
    story.tell(ev.ToolsCalled(1))
    story.tell(ev.EndWished())
    story.tell(ev.ToolsSettled(1))
    story.wait(1)
    story.starts()
    story.wait(6)
    assert not story.ended


def test_the_model_ends_the_conversation_with_a_farewell() -> None:
    story = answering(home())
    story.tell(ev.EndWished())
    story.tell(ev.AnswerGenerated())
    story.tell(ev.AnswerDone())
    story.play_out(9)
    assert story.ended == ["ended"]
    assert story.cues[-1] == "goodbye"
    assert not story.machine.attentive


def test_a_long_press_ends_a_follow_up() -> None:
    story = followed(home())
    story.hold(1.6)
    assert story.ended == ["long press"]
    assert not story.machine.attentive


def test_a_budget_that_is_used_up_lets_the_sentence_and_its_answer_be_finished() -> None:
    story = home()
    story.wake()
    story.wait(1)
    story.starts()
    story.tell(ev.BudgetSpent("The money of this day is used up."))
    story.wait(2)
    story.ends()
    assert story.machine.turn_open
    story.answer(2)
    story.play_out(2)
    assert story.ended == ["the budget is used up"]
    assert do.Say("fault-10") in story.done
    story.wake()
    assert not story.machine.attentive
    assert len(story.opened) == 1


def test_a_budget_that_is_used_up_is_not_spoken_over() -> None:
    story = asked(home())
    story.wait(HUSH_S + 0.1)
    story.answer(10)
    story.tell(ev.BudgetSpent("The money of this day is used up."))
    story.interrupts()
    assert do.Flush("near-end") in story.done
    assert len(story.opened) == 1


def test_a_lost_microphone_shuts_the_ears() -> None:
    story = followed(home())
    story.tell(ev.FaultRaised(Fault.MICROPHONE, "unplugged"))
    assert not story.machine.attentive
    assert story.light == "fault-4"
    story.tell(ev.NearEndConfirmed(story.sample))
    story.wake()
    assert not story.opened
    assert story.cues[-1] == "error"


def test_a_service_that_refuses_shuts_the_ears() -> None:
    story = followed(home())
    story.tell(ev.LinkDown(Fault.CREDENTIAL, "the key was refused", final=True))
    assert not story.machine.attentive
    assert story.light == "fault-3"


def test_a_model_that_works_on_is_given_its_time_although_the_stream_is_closed() -> None:
    story = asked(home(max_turn_s=20.0))
    story.tell(ev.AnswerAudio(500))
    story.tell(ev.AnswerDone(idle=False))
    story.play_out(0.5)
    story.wait(21)
    assert whys(story)[-1] == "silence"
    assert do.Say("turn_too_long") not in story.done, "nobody talked"
    story.wait(90)
    assert do.Say("no_answer") not in story.done
    story.wait(10)
    assert do.Say("no_answer") in story.done


def test_whoever_is_told_to_ask_again_need_not_call_again() -> None:
    story = asked(home(max_turn_s=20.0))
    story.tell(ev.AnswerAudio(500))
    story.tell(ev.AnswerDone(idle=False))
    story.play_out(0.5)
    story.wait(121)
    assert do.Say("no_answer") in story.done
    assert story.machine.attentive


# Who does without ears.


def test_push_to_talk_is_deaf_to_voices() -> None:
    story = kiosk(detects=True, follow_up_s=FOLLOW_UP_S)
    story.hold(1)
    story.tell(ev.LinkUp())
    story.answer(5)
    assert not story.machine.attentive
    for event in (ev.NearEndConfirmed(story.sample), ev.VoiceStarted(story.sample), ev.WakeHeard(story.sample, "x")):
        assert not [one for one in story.tell(event) if one != do.WakeCame("ignored")]
    assert story.state == State.SPEAKING


def test_a_handset_is_heard_as_long_as_it_is_lifted_and_by_no_wake_word() -> None:
    story = Home(hook=True)
    story.wake()
    assert story.state == State.IDLE
    story.press()
    story.wait(1)
    story.answer(5)
    assert not story.machine.attentive
    story.interrupts()
    assert not story.of(do.Flush)
    story.play_out(5)
    assert story.machine.turn_open


def test_an_interpreter_is_not_silenced_by_whom_it_translates() -> None:
    story = Home(continuous=True)
    story.hold(0.1)
    story.wait(1)
    story.tell(ev.AnswerAudio(5000))
    assert not story.machine.attentive
    story.interrupts()
    story.wake()
    assert not story.of(do.Flush)
    assert story.machine.turn_open


# What came of a wake word.


@pytest.mark.parametrize(
    ("then", "outcome"),
    [
        ("speaks", "turn"),
        ("nobody", "nobody spoke"),
        ("mutes", "muted"),
        ("taps twice", "ignored"),
        ("writes", "ignored"),
        ("ends", "ignored"),
    ],
)
def test_what_came_of_a_wake_word_is_told_once(then: str, outcome: do.WakeOutcome) -> None:
    story = home()
    story.wake()
    assert not story.of(do.WakeCame), "that is not known yet"
    match then:
        case "speaks":
            story.says()
        case "nobody":
            story.wait(WAKE_WAITS_S + 0.1)
        case "mutes":
            story.tell(ev.Muted(story.sample))
        case "taps twice":
            story.hold(0.1)
            story.hold(0.1)
        case "writes":
            story.tell(ev.TextAsked("?"))
        case _:
            story.tell(ev.EndAsked())
    assert story.of(do.WakeCame) == [do.WakeCame(outcome)]


def test_a_wake_word_over_an_answer_whose_stream_is_open_came_to_a_turn() -> None:
    story = answering(home())
    story.wake()
    assert story.of(do.WakeCame)[-1] == do.WakeCame("turn")


def test_a_wake_word_on_a_muted_device_is_told_so() -> None:
    story = home()
    story.tell(ev.Muted(story.sample))
    story.wake()
    story.stop()
    assert story.of(do.WakeCame) == [do.WakeCame("muted"), do.WakeCame("muted")]


def test_a_false_wake_with_a_spent_budget_is_told_why_now_and_then_and_a_hand_always() -> None:
    story = home()
    story.tell(ev.BudgetSpent("The money of this day is used up."))
    said = do.Say("fault-10")
    for _ in range(5):
        story.wake()
        story.wait(60)
    assert story.of(do.Say).count(said) == 1, "the television has called it five times"
    assert story.cues.count("error") == 1
    story.press()
    story.release()
    assert story.of(do.Say).count(said) == 2
    story.wait(300)
    story.wake()
    assert story.of(do.Say).count(said) == 3, "ten minutes after it was told the last time"
    assert story.light == "fault-10"
