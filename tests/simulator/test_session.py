"""The twin's session core in virtual time: turns, interruption, tools, resumption, faults."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.simulator.record import Handles, Limits
from edge_agent.simulator.script import (
    Call,
    Complete,
    Drop,
    End,
    Entry,
    FunctionCall,
    GoAway,
    Hang,
    Hear,
    Oversized,
    Raw,
    Resumption,
    Rule,
    Rules,
    Say,
    Script,
    Stall,
    Step,
    Text,
    Truncated,
    Wait,
    When,
)
from edge_agent.simulator.sound import noise, tone
from edge_agent.simulator.virtual import CAPTIONS, MANUAL, Talk

LONG = Say("one two three four five six seven eight nine ten", noise(10.0, seed=1), pace=4.0)
SHORT = Say("yes", noise(0.5, seed=2), pace=1.0)


def answering(*steps: Step, **more: Any) -> Script:
    return Script(rules=(Rule(steps),), think_s=0.2, **more)


def test_manual_turn_is_answered_in_the_documented_order() -> None:
    talk = Talk(answering(Hear("hi"), SHORT)).open(sessionResumption={}, **MANUAL, **CAPTIONS)
    talk.turn(0.4)
    talk.wait(5)
    assert talk.kinds() == [
        "setupComplete",
        "inputTranscription",
        "audio",
        "outputTranscription",
        "audio",
        "generationComplete",
        "turnComplete",
        "usageMetadata",
        "sessionResumptionUpdate",
    ]
    assert talk.sound() == SHORT.sound
    assert talk.record.audio_turns == [tone(0.4, rate=16_000)]
    assert talk.record.violations == []


def test_captions_are_sent_only_if_the_setup_asks_for_them() -> None:
    talk = Talk(answering(Hear("hi"), SHORT)).open(**MANUAL)
    talk.turn()
    talk.wait(5)
    assert "inputTranscription" not in talk.kinds()
    assert "outputTranscription" not in talk.kinds()


@pytest.mark.parametrize(("pace", "seconds"), [(1.0, 1.0), (4.0, 0.25), (0.5, 2.0), (0.0, 0.0)])
def test_pace_sets_how_fast_sound_comes(pace: float, seconds: float) -> None:
    talk = Talk(answering(Say(sound=noise(1.0, seed=3), pace=pace))).open(**MANUAL)
    talk.turn()
    asked = talk.now
    talk.wait(10)
    times = talk.at("audio")
    assert times[0] == pytest.approx(asked + 0.2)
    assert talk.at("generationComplete")[0] == pytest.approx(asked + 0.2 + seconds)
    assert len(times) == 10


def test_turn_complete_waits_for_the_assumed_playback_unless_told_otherwise() -> None:
    waits = Talk(answering(LONG)).open(**MANUAL)
    waits.turn()
    asked = waits.now
    waits.wait(20)
    assert waits.at("turnComplete")[0] == pytest.approx(asked + 0.2 + 10.0)
    at_once = Talk(answering(LONG, turn_complete="sent")).open(**MANUAL)
    at_once.turn()
    at_once.wait(20)
    assert at_once.at("turnComplete") == pytest.approx(at_once.at("generationComplete"))


def test_activity_start_in_mid_answer_interrupts_and_the_next_turn_is_answered() -> None:
    rules = (Rule((LONG,), When(nth=1)), Rule((SHORT,)))
    talk = Talk(Script(rules=rules)).open(**MANUAL, **CAPTIONS)
    talk.turn()
    talk.wait(1.0)
    talk.realtime(activityStart={})
    stopped = talk.now
    talk.wait(0.5)
    assert talk.at("interrupted") == [stopped]
    assert talk.at("turnComplete") == [stopped]
    assert "generationComplete" not in talk.kinds()
    assert talk.sound(since=stopped) == b""
    talk.realtime(activityEnd={})
    talk.wait(3)
    assert talk.sound(since=stopped) == SHORT.sound


def test_only_what_was_sent_enters_the_history() -> None:
    talk = Talk(answering(LONG)).open(**MANUAL, **CAPTIONS)
    talk.turn(0.4)
    talk.wait(0.2 + 1.25)  # half of what is sent in 2.5 s
    talk.realtime(activityStart={})
    said = talk.record.history[1]
    assert said.text == "one two three four five"
    assert said.audio_s == pytest.approx(5.0, abs=0.2)
    assert talk.record.history[0] == Entry("user", "", 0.4)


def test_late_tail_of_the_old_answer_comes_between_interrupted_and_turn_complete() -> None:
    talk = Talk(answering(LONG, late_tail=3)).open(**MANUAL)
    talk.turn()
    talk.wait(1.0)
    before = len(talk.at("audio"))
    talk.realtime(activityStart={})
    talk.wait(5)
    assert talk.kinds()[-5:] == ["audio", "interrupted", "audio", "turnComplete", "usageMetadata"]
    assert len(talk.at("audio")) == before + 3


def test_interrupted_and_turn_complete_may_share_a_message() -> None:
    talk = Talk(answering(LONG, interrupted_with_complete=True, usage=False)).open(**MANUAL)
    talk.turn()
    talk.wait(1.0)
    talk.realtime(activityStart={})
    assert talk.messages()[-1][1] == {"serverContent": {"turnComplete": True, "interrupted": True}}
    assert not talk.session.answering


def test_no_interruption_keeps_the_answer_and_answers_the_turn_afterwards() -> None:
    rules = (Rule((LONG,), When(nth=1)), Rule((SHORT,)))
    realtime = MANUAL["realtimeInputConfig"] | {"activityHandling": "NO_INTERRUPTION"}
    talk = Talk(Script(rules=rules)).open(realtimeInputConfig=realtime)
    talk.turn()
    talk.wait(1)
    talk.turn()
    talk.wait(20)
    assert "interrupted" not in talk.kinds()
    assert LONG.sound is not None
    assert SHORT.sound is not None
    assert talk.sound() == LONG.sound + SHORT.sound


def test_voice_detection_finds_the_turn_and_its_sound() -> None:
    detection = {"automaticActivityDetection": {"silenceDurationMs": 500}}
    talk = Talk(answering(SHORT)).open(realtimeInputConfig=detection)
    talk.hush(1.0)
    talk.speak(1.0)
    ended = talk.now
    talk.hush(2.0)
    assert talk.at("audio")[0] == pytest.approx(ended + 0.5 + 0.2, abs=0.05)
    (turn,) = talk.record.audio_turns
    assert len(turn) / 32_000 == pytest.approx(0.3 + 1.0 + 0.5, abs=0.05)  # look-back, speech, silence
    assert tone(1.0, rate=16_000) in turn
    assert bytes(talk.record.audio).count(tone(1.0, rate=16_000)) == 1


def test_speech_while_answering_interrupts_with_voice_detection() -> None:
    talk = Talk(answering(LONG)).open()
    talk.speak(0.5)
    talk.hush(1.5)
    assert not talk.at("interrupted")
    begun = talk.now
    talk.speak(0.3)
    assert talk.at("interrupted")[0] == pytest.approx(begun + 0.08, abs=0.05)


def test_silence_alone_is_never_a_turn() -> None:
    talk = Talk(answering(SHORT)).open()
    talk.hush(30.0)
    talk.realtime(audioStreamEnd=True)
    talk.wait(2)
    assert talk.kinds() == ["setupComplete"]
    assert talk.record.audio_turns == []


@pytest.mark.parametrize(("answers", "expected"), [(True, 1), (False, 0)])
def test_audio_stream_end_ends_the_speech(answers: bool, expected: int) -> None:
    talk = Talk(answering(SHORT, stream_end_answers=answers)).open()
    talk.speak(0.5)
    talk.realtime(audioStreamEnd=True)
    talk.wait(3)
    assert len(talk.at("turnComplete")) == expected


def test_sound_of_another_rate_is_heard_at_16_khz() -> None:
    talk = Talk(answering(SHORT)).open(**MANUAL)
    talk.realtime(activityStart={})
    talk.audio(tone(1.0, rate=48_000), rate=48_000)
    talk.realtime(activityEnd={})
    assert len(talk.record.audio_turns[0]) / 32_000 == pytest.approx(1.0, abs=0.01)


def test_text_and_content_and_image_reach_their_rules() -> None:
    rules = (
        Rule((Say("seen", tone(0.1)),), When(image=True)),
        Rule((Say("clock", tone(0.1)),), When(text="TIME")),
        Rule((Say("old friend", tone(0.1)),), When(history="clock")),
        Rule((Say("else", tone(0.1)),), times=1),
    )
    talk = Talk(Script(rules=rules)).open(**CAPTIONS)
    for message in (
        {"realtimeInput": {"text": "hello"}},
        {"clientContent": {"turns": [{"role": "user", "parts": [{"text": "the time?"}]}], "turnComplete": True}},
        {"realtimeInput": {"video": {"mimeType": "image/jpeg", "data": "_9j_2Q=="}, "text": "and this"}},
        {"realtimeInput": {"text": "again"}},
    ):
        talk.send(message)
        talk.wait(1.5)
    texts = [m["serverContent"]["outputTranscription"]["text"] for _, m in talk.messages() if "outputTr" in str(m)]
    assert texts == ["else", "clock", "seen", "old friend"]
    assert talk.record.images == [b"\xff\xd8\xff\xd9"]
    assert talk.record.texts == ["hello", "the time?", "and this", "again"]


def test_a_turn_no_rule_matches_is_logged_and_stays_unanswered() -> None:
    talk = Talk(Script(rules=())).open(**MANUAL)
    talk.turn()
    talk.wait(5)
    assert "noRule" in talk.record.kinds("server")
    assert talk.kinds() == ["setupComplete"]


def test_client_content_stops_speech_and_waits_for_more() -> None:
    talk = Talk(answering(LONG)).open(**MANUAL)
    talk.turn()
    talk.wait(1)
    talk.send({"clientContent": {"turnComplete": False}})
    talk.wait(3)
    assert talk.kinds()[-3:] == ["interrupted", "turnComplete", "usageMetadata"]


def test_initial_history_gets_no_answer_but_is_remembered() -> None:
    talk = Talk(answering(SHORT)).open(historyConfig={"initialHistoryInClientContent": True}, **MANUAL)
    turns = [{"role": "user", "parts": [{"text": "Capital?"}]}, {"role": "model", "parts": [{"text": "Paris."}]}]
    talk.send({"clientContent": {"turns": turns, "turnComplete": True}})
    talk.wait(3)
    assert talk.kinds() == ["setupComplete"]
    assert [entry.text for entry in talk.record.history] == ["Capital?", "Paris."]
    talk.turn()
    talk.wait(3)
    assert talk.sound() == SHORT.sound


CALL = Call((FunctionCall("set_light", {"on": True}), FunctionCall("look", None, "mine")))


def answer_call(talk: Talk, call_id: str, **more: Any) -> None:
    talk.send({"toolResponse": {"functionResponses": [{"id": call_id, "response": {"output": 1}, **more}]}})


def test_a_blocking_call_holds_the_answer_until_every_response_is_in() -> None:
    talk = Talk(answering(CALL, SHORT)).open(**MANUAL)
    talk.turn()
    talk.wait(3)
    asked = [m["toolCall"]["functionCalls"] for _, m in talk.messages() if "toolCall" in m]
    assert asked == [[{"id": "fc-1", "name": "set_light", "args": {"on": True}}, {"id": "mine", "name": "look"}]]
    answer_call(talk, "mine")
    talk.wait(3)
    assert talk.sound() == b""
    answer_call(talk, "fc-1", name="set_light")
    talk.wait(3)
    assert talk.sound() == SHORT.sound
    assert talk.record.responses == {"mine": {"output": 1}, "fc-1": {"output": 1}}
    answer_call(talk, "fc-1")
    assert talk.closed is not None
    assert talk.closed[0] == 1007


def test_pending_calls_are_withdrawn_by_an_interruption_and_late_answers_forgiven_for_a_second() -> None:
    talk = Talk(answering(CALL, SHORT)).open(**MANUAL)
    talk.turn()
    talk.wait(1)
    talk.realtime(activityStart={})
    assert talk.kinds()[-4:] == ["interrupted", "turnComplete", "usageMetadata", "toolCallCancellation"]
    talk.wait(0.5)
    answer_call(talk, "mine")
    assert talk.closed is None
    talk.wait(0.6)
    answer_call(talk, "fc-1")
    assert talk.closed == (1007, "Function response for the cancelled call 'fc-1'.")


def test_a_call_can_be_cancelled_by_the_script_and_the_answer_goes_on() -> None:
    talk = Talk(answering(Call((FunctionCall("look"),), cancel_after_s=0.5), SHORT)).open(**MANUAL)
    talk.turn()
    asked = talk.now
    talk.wait(5)
    assert talk.at("toolCallCancellation") == [pytest.approx(asked + 0.7)]
    assert talk.sound() == SHORT.sound


@pytest.mark.parametrize(("scheduling", "replies"), [("WHEN_IDLE", True), ("INTERRUPT", True), ("SILENT", False)])
def test_scheduling_decides_how_a_late_response_enters(scheduling: str, replies: bool) -> None:
    call = Call((FunctionCall("look"),), wait=False, reply=(SHORT,))
    talk = Talk(answering(call, LONG)).open(**MANUAL)
    talk.turn()
    talk.wait(1)
    answer_call(talk, "fc-1", scheduling=scheduling)
    talk.wait(20)
    assert bool(talk.at("interrupted")) == (scheduling == "INTERRUPT")
    assert SHORT.sound is not None
    assert talk.sound().endswith(SHORT.sound) == replies
    assert len(talk.at("turnComplete")) == 1 + replies


@pytest.mark.parametrize(
    ("model", "response", "reason"),
    [
        ("gemini-3.8-live", {"name": "other"}, "names 'other', called was 'look'"),
        ("gemini-3.8-live-extended-thinking", {"scheduling": "SILENT"}, "Scheduling of function responses"),
    ],
)
def test_a_response_that_does_not_fit_its_call_is_refused(model: str, response: dict[str, str], reason: str) -> None:
    talk = Talk(answering(Call((FunctionCall("look"),)))).open(model=f"models/{model}", **MANUAL)
    talk.turn()
    talk.wait(1)
    answer_call(talk, "fc-1", **response)
    assert talk.closed is not None
    assert reason in talk.closed[1]


def test_a_call_outside_any_turn_is_waited_for() -> None:
    talk = Talk(answering(SHORT)).open(**MANUAL)
    talk.session.perform((Call((FunctionCall("look"),)), Raw({"goAway": {}})), talk.now)
    talk.wait(1)
    assert talk.kinds() == ["setupComplete", "toolCall"]
    answer_call(talk, "fc-1")
    talk.wait(1)
    assert talk.kinds()[-1] == "goAway"


def test_partial_responses_keep_a_call_open() -> None:
    talk = Talk(answering(Call((FunctionCall("look"),)), SHORT)).open(**MANUAL)
    talk.turn()
    talk.wait(1)
    answer_call(talk, "fc-1", willContinue=True)
    talk.wait(1)
    assert talk.sound() == b""
    answer_call(talk, "fc-1")
    talk.wait(1)
    assert talk.sound() == SHORT.sound


def test_resuming_restores_the_snapshot_and_nothing_after_it() -> None:
    handles, script = Handles(), answering(SHORT)
    first = Talk(script, handles=handles).open(sessionResumption={}, **CAPTIONS)
    first.realtime(text="one")
    first.wait(2)
    (early,) = first.record.handles
    first.realtime(text="two")
    first.wait(2)
    late = first.record.handles[-1]
    first.realtime(text="three, never in a handle")
    first.session.lost(first.now)

    for handle, texts in ((early, ["one", "yes"]), (late, ["one", "yes", "two", "yes"])):
        second = Talk(script, handles=handles, number=2, start=first.now).open(sessionResumption={"handle": handle})
        assert second.kinds() == ["setupComplete"]
        assert [entry.text for entry in second.record.history] == texts
        assert second.record.resumed_from == handle
        second.session.lost(second.now)


def test_resume_is_refused_while_open_with_another_model_unknown_or_too_old() -> None:
    handles, script = Handles(), answering(SHORT)
    first = Talk(script, handles=handles).open(sessionResumption={})
    first.realtime(text="one")
    first.wait(2)
    (handle,) = first.record.handles

    def resume(start: float, **fields: Any) -> tuple[int, str] | None:
        return Talk(script, handles=handles, number=2, start=start).open(**fields).closed

    asked = {"sessionResumption": {"handle": handle}}
    assert (resume(3.0, **asked) or (0,))[0] == 1011
    first.session.lost(3.0)
    assert (resume(3.0, model="models/gemini-3.1-flash-live-preview", **asked) or (0,))[0] == 1007
    assert (resume(3.0, sessionResumption={"handle": "made-up"}) or (0,))[0] == 1007
    assert (resume(3.0 + 7201, **asked) or (0,))[0] == 1007
    assert resume(4.0, **asked) is None


def test_no_update_without_being_asked_and_not_resumable_carries_no_handle() -> None:
    talk = Talk(answering(SHORT, Resumption(resumable=False))).open(**MANUAL)
    talk.turn()
    talk.wait(3)
    updates = [m["sessionResumptionUpdate"] for _, m in talk.messages() if "sessionResumptionUpdate" in m]
    assert updates == [{"resumable": False}]


def test_updates_can_be_withheld() -> None:
    talk = Talk(answering(SHORT, resumption_updates=False)).open(sessionResumption={}, **MANUAL)
    talk.turn()
    talk.wait(3)
    assert talk.record.handles == []
    assert "sessionResumptionUpdate" not in talk.kinds()


def test_go_away_names_the_time_left_and_keeps_it() -> None:
    talk = Talk(answering(SHORT, go_away_after_s=10.0, go_away_left_s=5.5)).open()
    talk.wait(30)
    assert [m["goAway"] for _, m in talk.messages() if "goAway" in m] == [{"timeLeft": "5.5s"}]
    assert talk.at("goAway") == [10.0]
    assert talk.outs[-1][0] == 15.5
    assert talk.closed == (1008, "The operation was aborted.")


def test_setup_can_be_slow_refused_or_never_answered() -> None:
    slow = Talk(answering(SHORT, setup_delay_s=3.0)).open()
    slow.wait(10)
    assert slow.at("setupComplete") == [3.0]
    never = Talk(answering(SHORT, setup_delay_s=float("inf"))).open()
    never.wait(1000)
    assert never.outs == []
    refused = Talk(answering(SHORT, end_before_setup=End(1011, "busy"))).open()
    assert refused.closed == (1011, "busy")


def test_the_connection_can_end_by_time_or_by_what_it_heard() -> None:
    by_time = Talk(answering(SHORT, end_after_s=60.0, end_with=End(1011, "Deadline expired"))).open()
    by_time.wait(100)
    assert by_time.outs[-1][0] == 60.0
    assert by_time.closed == (1011, "Deadline expired")
    by_sound = Talk(answering(SHORT, end_after_audio_bytes=32_000)).open()
    by_sound.speak(2.0)
    assert by_sound.outs[-1][0] == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("step", "closed"),
    [
        (End(1008, "x" * 200), (1008, "x" * 123)),
        (Drop(), (1006, "Cut")),
        (Truncated(), (1006, "HalfFrame")),
    ],
)
def test_a_step_can_end_the_connection_in_mid_answer(step: Step, closed: tuple[int, str]) -> None:
    talk = Talk(answering(SHORT, step, SHORT)).open(**MANUAL)
    talk.turn()
    talk.wait(5)
    assert talk.closed == closed
    assert talk.sound() == SHORT.sound


def test_raw_messages_are_sent_as_they_stand() -> None:
    steps = (Raw("{oops"), Raw(b"\xff\x00"), Raw({"goAway": {}}), Oversized(5000), Text("hm", thought=True))
    talk = Talk(answering(*steps)).open(**MANUAL)
    talk.realtime(activityStart={})
    talk.realtime(activityEnd={})
    outs = talk.session.tick(0.2)
    data = [getattr(out, "data", b"") for out in outs]
    assert data[:3] == [b"{oops", b"\xff\x00", b'{"goAway":{}}']
    assert [getattr(out, "binary", None) for out in outs[:3]] == [False, True, True]
    assert len(data[3]) == 5000
    assert json.loads(data[4])["serverContent"]["modelTurn"]["parts"] == [{"text": "hm", "thought": True}]


def test_the_wire_style_follows_the_script() -> None:
    loud = noise(0.1, seed=9)
    talk = Talk(answering(Say(sound=loud), base64="urlsafe", unknown_keys=True, mime="audio/pcm")).open(**MANUAL)
    talk.turn()
    talk.wait(2)
    (message,) = [m for _, m in talk.messages() if "modelTurn" in m.get("serverContent", {})]
    assert "futureField" in message
    assert "futureDetail" in message["serverContent"]
    blob = message["serverContent"]["modelTurn"]["parts"][0]["inlineData"]
    assert blob["mimeType"] == "audio/pcm"
    assert "+" not in blob["data"]
    assert "/" not in blob["data"]
    assert talk.sound() == loud


def test_several_parts_and_captions_can_share_a_message_where_the_model_does_so() -> None:
    say = Say("one two", noise(0.6, seed=4), parts=3, captions_with_sound=True)
    for model, parts in (("models/gemini-3.8-live", 3), ("models/gemini-2.5-flash-native-audio-latest", 1)):
        talk = Talk(answering(say)).open(model=model, **MANUAL, **CAPTIONS)
        talk.turn()
        talk.wait(3)
        contents = [m["serverContent"] for _, m in talk.messages() if "modelTurn" in m.get("serverContent", {})]
        assert [len(c["modelTurn"]["parts"]) for c in contents] == [parts] * (6 // parts)
        assert "".join(c.get("outputTranscription", {}).get("text", "") for c in contents) == "one two"


def test_stall_holds_everything_back_and_then_lets_it_go() -> None:
    talk = Talk(answering(Stall(5.0), SHORT)).open(**MANUAL)
    talk.turn()
    asked = talk.now
    talk.wait(5.1)
    assert talk.kinds() == ["setupComplete"]
    talk.wait(5)
    assert talk.at("audio")[0] == pytest.approx(asked + 5.2)
    assert talk.sound() == SHORT.sound


def test_server_interrupts_itself_in_mid_answer() -> None:
    say = Say(sound=noise(5.0, seed=5), pace=1.0, interrupt_after_s=1.5)
    talk = Talk(answering(say)).open(**MANUAL)
    talk.turn()
    asked = talk.now
    talk.wait(10)
    assert talk.at("interrupted") == [pytest.approx(asked + 1.7)]
    assert len(talk.sound()) / 48_000 == pytest.approx(1.5, abs=0.11)


def test_hang_never_completes_and_can_be_interrupted() -> None:
    talk = Talk(answering(SHORT, Hang())).open(**MANUAL)
    talk.turn()
    talk.wait(100)
    assert "turnComplete" not in talk.kinds()
    talk.realtime(activityStart={})
    assert talk.kinds()[-3:-1] == ["interrupted", "turnComplete"]


def test_empty_turn_with_a_reason() -> None:
    talk = Talk(answering(Complete(reason="NEED_MORE_INPUT", generation=False), usage=False)).open(**MANUAL)
    talk.turn()
    talk.wait(1)
    assert talk.messages()[-1][1] == {"serverContent": {"turnComplete": True, "turnCompleteReason": "NEED_MORE_INPUT"}}


def test_extended_thinking_tells_utterance_from_idle() -> None:
    script = answering(SHORT, Complete(status="IN_PROGRESS"), SHORT)
    talk = Talk(script).open(model="models/gemini-3.8-live-extended-thinking", **MANUAL)
    talk.turn()
    talk.wait(5)
    states = [
        m["serverContent"]["interactionStatus"]
        for _, m in talk.messages()
        if "interactionStatus" in m.get("serverContent", {})
    ]
    assert states == ["IN_PROGRESS", "IDLE"]


def test_transcription_model_answers_in_text() -> None:
    talk = Talk(answering(Say("heard you")))
    talk.send(
        {"setup": {"model": "models/gemini-3.5-transcribe-live", "generationConfig": {"responseModalities": ["TEXT"]}}}
    )
    talk.speak(0.3)
    talk.realtime(audioStreamEnd=True)
    talk.wait(2)
    assert "text" in talk.kinds()
    assert "audio" not in talk.kinds()


def test_usage_counts_the_whole_context_again() -> None:
    talk = Talk(answering(SHORT)).open()
    for _ in range(2):
        talk.realtime(text="hello there friend")
        talk.wait(3)
    prompts = [m["usageMetadata"]["promptTokenCount"] for _, m in talk.messages() if "usageMetadata" in m]
    assert prompts[1] > 2 * prompts[0]


def test_the_agent_platform_has_its_own_names() -> None:
    talk = Talk(answering(SHORT), platform=True)
    model = "projects/p/locations/l/publishers/google/models/gemini-3.8-live"
    talk.send({"setup": {"model": model, "explicitVadSignal": True}})
    talk.speak(0.4)
    talk.hush(3)
    assert talk.messages()[0][1] == {"setupComplete": {"sessionId": "twin-1"}}
    assert [m["voiceActivity"]["type"] for _, m in talk.messages() if "voiceActivity" in m] == [
        "ACTIVITY_START",
        "ACTIVITY_END",
    ]
    usage = next(m["usageMetadata"] for _, m in talk.messages() if "usageMetadata" in m)
    assert "candidatesTokenCount" in usage


def test_memory_stays_bounded_when_asked() -> None:
    talk = Talk(answering(SHORT), limits=Limits(audio_s=2.0, marks=50, images=1)).open(**MANUAL)
    for _ in range(4):
        talk.turn(1.5)
        talk.realtime(video={"mimeType": "image/png", "data": "AAAA"})
    assert len(talk.record.audio) == 64_000
    assert talk.record.audio_dropped > 0
    assert sum(map(len, talk.record.audio_turns)) <= 64_000
    assert len(talk.record.marks) == 50
    assert talk.record.marked > 150
    assert len(talk.record.images) == 1


def test_rules_are_counted_across_sessions() -> None:
    script = Script(rules=(Rule((SHORT,), times=1), Rule((LONG,), When(session=2))))
    rules = Rules(script)
    first = Talk(script, rules=rules).open(**MANUAL)
    first.turn()
    first.wait(5)
    second = Talk(script, rules=rules, number=2).open(**MANUAL)
    second.turn()
    second.wait(20)
    assert first.sound() == SHORT.sound
    assert second.sound() == LONG.sound


ACTIONS: dict[str, Callable[[Talk, float], None]] = {
    "press": lambda talk, _: talk.realtime(activityStart={}),
    "release": lambda talk, _: talk.realtime(activityEnd={}),
    "talk": lambda talk, seconds: talk.speak(min(seconds, 0.2)),
    "text": lambda talk, _: talk.realtime(text="hi"),
    "content": lambda talk, _: talk.send({"clientContent": {"turnComplete": False}}),
    "image": lambda talk, _: talk.realtime(video={"mimeType": "image/jpeg", "data": "AAAA"}),
    "wait": lambda talk, seconds: talk.wait(seconds),
}


@given(st.lists(st.tuples(st.sampled_from(sorted(ACTIONS)), st.floats(0, 2)), max_size=25), st.integers(0, 3))
def test_in_any_order_every_interruption_is_closed_and_no_old_sound_follows_the_turn(
    actions: list[tuple[str, float]], tail: int
) -> None:
    """Whatever an honest client does, each `interrupted` is followed by a `turnComplete` before any new answer."""
    talk = Talk(answering(Say(sound=noise(3.0, seed=1), pace=2.0), late_tail=tail)).open(**MANUAL)
    pressed = False
    for action, seconds in [*actions, ("release", 0.0), ("wait", 60.0)]:
        if (action == "press" and pressed) or (action == "release" and not pressed):
            continue
        pressed = action == "press" or (pressed and action != "release")
        ACTIONS[action](talk, seconds)
    assert talk.record.violations == []
    assert talk.session.due is None
    assert not talk.session.answering
    kinds = " ".join(kind for _, out in talk.outs for kind, _ in getattr(out, "described", ()))
    for piece in kinds.split("interrupted")[1:]:
        assert "turnComplete" in piece
        assert piece.split("turnComplete")[0].count("audio") <= tail


def test_a_long_prefix_loses_nothing_of_the_speech() -> None:
    talk = Talk(answering(SHORT)).open(realtimeInputConfig={"automaticActivityDetection": {"prefixPaddingMs": 1500}})
    talk.hush(2.0)
    speech = noise(3.0, seed=7, rate=16_000)
    talk.audio(speech)
    talk.hush(2.0)
    assert speech in talk.record.audio_turns[0]


def test_wait_moves_the_following_steps() -> None:
    talk = Talk(answering(Wait(2.0), SHORT)).open(**MANUAL)
    talk.turn()
    asked = talk.now
    talk.wait(5)
    assert talk.at("audio")[0] == pytest.approx(asked + 2.2)


def test_go_away_without_a_time_does_not_close() -> None:
    talk = Talk(answering(SHORT, GoAway(None))).open(**MANUAL)
    talk.turn()
    talk.wait(100)
    assert talk.closed is None
    assert {"goAway": {}} in [m for _, m in talk.messages()]


TRANSLATE: dict[str, Any] = {
    "model": "models/gemini-3.5-live-translate-preview",
    "generationConfig": {"responseModalities": ["AUDIO"], "translationConfig": {"targetLanguageCode": "pl"}},
}


def test_a_translator_speaks_while_the_person_does_and_never_ends_a_turn() -> None:
    script = answering(Hear("hello"), Say("czesc", noise(1.0, seed=5), pace=1.0))
    talk = Talk(script).open(sessionResumption={}, **CAPTIONS, **TRANSLATE)
    begun = talk.now
    talk.speak(6.0)
    assert talk.at("audio")[0] < begun + 3.2, "it does not wait for the end"
    talk.hush(1.5)
    talk.wait(5)
    assert {"turnComplete", "generationComplete", "interrupted"} & set(talk.kinds()) == set()
    assert {"inputTranscription", "outputTranscription", "usageMetadata", "sessionResumptionUpdate"} < set(talk.kinds())
    assert talk.sound() == noise(1.0, seed=5) * 3
    assert [round(len(pcm) / 32_000, 1) for pcm in talk.record.audio_turns] == [2.5, 2.5, 1.8], "with 0.8 s of pause"
    assert talk.record.violations == []


def test_who_speaks_again_does_not_stop_the_translation() -> None:
    talk = Talk(answering(Say("x", noise(4.0, seed=7), pace=1.0))).open(**TRANSLATE)
    for _ in range(2):
        talk.speak(1.0)
        talk.hush(1.0)
    talk.wait(10)
    assert "interrupted" not in talk.kinds()
    assert talk.sound() == noise(4.0, seed=7) * 2


def test_what_is_over_with_a_piece_is_not_translated_again() -> None:
    talk = Talk(answering(Say("x", noise(0.2, seed=6)))).open(**TRANSLATE)
    talk.hush(1.0)
    talk.speak(2.0)  # with the look-back one piece, and 0.2 s of the pause
    talk.hush(2.0)
    talk.wait(3)
    assert len(talk.record.audio_turns) == 1


def test_a_translator_without_a_language_gives_silence() -> None:
    talk = Talk(answering(SHORT)).open(**(TRANSLATE | {"generationConfig": {"responseModalities": ["AUDIO"]}}))
    talk.speak(3.0)
    talk.wait(3)
    assert len(talk.sound()) == len(SHORT.sound or b"")
    assert not any(talk.sound())


@pytest.mark.parametrize(
    "message",
    [
        {"realtimeInput": {"text": "Hello"}},
        {"realtimeInput": {"video": {"mimeType": "image/jpeg", "data": "/9j/2Q=="}}},
        {"realtimeInput": {"activityStart": {}}},
        {"clientContent": {"turns": [{"role": "user", "parts": [{"text": "Hi"}]}], "turnComplete": True}},
    ],
)
def test_a_translator_takes_nothing_but_sound(message: dict[str, Any]) -> None:
    talk = Talk(answering(SHORT)).open(**TRANSLATE)
    talk.send(message)
    talk.wait(0.1)
    assert talk.closed is not None
    assert talk.closed[0] == 1007


def test_the_older_model_takes_text_turns_as_initial_history_only() -> None:
    model = {"model": "models/gemini-3.1-flash-live-preview", "historyConfig": {"initialHistoryInClientContent": True}}
    talk = Talk(answering(SHORT)).open(**model, **MANUAL)
    turn = {"clientContent": {"turns": [{"role": "user", "parts": [{"text": "Hi"}]}], "turnComplete": True}}
    talk.send(turn)
    talk.wait(0.1)
    assert talk.closed is None
    talk.turn()
    talk.send(turn)
    talk.wait(0.1)
    assert talk.closed == (1007, "Request contains an invalid argument.")
