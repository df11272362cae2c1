"""Somebody speaks: suspected, confirmed or cleared over an answer; a voice, and no television, into silence."""

from __future__ import annotations

import sys
from dataclasses import replace

import acoustics
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from edge_agent.audio.bargein import (
    FRAME,
    RATE,
    Few,
    NearEndCleared,
    NearEndConfirmed,
    NearEndDetector,
    NearEndEvent,
    NearEndSuspected,
    Policy,
    VoiceEnded,
    VoiceStarted,
    webrtc_speech,
)
from edge_agent.audio.filters import resample
from edge_agent.errors import DeviceError

Sound = NDArray[np.int16]

POLICY = Policy(
    suspicion=Few(3, 4, -55.0),
    confirmation=Few(6, 8, -48.0),
    within_s=0.6,
    settle_s=0.0,
    early_suspicion=Few(4, 5, -50.0),
    early_confirmation=Few(8, 10, -46.0),
    voice=Few(6, 10, -55.0),
    over_noise_db=-200.0,  # most of these people are as steady as noise
)
"""Numbers of these tests, whatever the device's own are tuned to."""

SAID = (
    "The kettle was put on at seven, and the whole house smelled of toast.",
    "There are three trains in the morning, and the last is the fastest by far.",
    "Rain is likely after four, so take a coat, and mind the step.",
)


def tone(frames: int, dbfs: float) -> Sound:
    """So many frames of sound of a level."""
    alternating = 10 ** (dbfs / 20) * 32_768 * (-1.0) ** np.arange(frames * FRAME)
    sound: Sound = np.clip(np.rint(alternating), -32_768, 32_767).astype(np.int16)
    return sound


def every_frame(_: bytes) -> bool:
    return True


def detector(*, careful: bool = False, policy: Policy = POLICY) -> NearEndDetector:
    found = NearEndDetector(every_frame, policy)
    found.careful = careful
    return found


class Course:
    """A detector and the number of the next sample."""

    def __init__(self, one: NearEndDetector | None = None) -> None:
        self.detector = one or detector()
        self.at = 0
        self.events: list[NearEndEvent] = []

    def hear(self, sound: Sound, *, sounding: bool, block: int = FRAME) -> list[NearEndEvent]:
        """Hear sound block by block; returns what was told of it."""
        before = len(self.events)
        for start in range(0, len(sound), block):
            piece = sound[start : start + block]
            self.events += self.detector.hear(piece, self.at, sounding=sounding)
            self.at += len(piece)
        return self.events[before:]

    @property
    def speaks(self) -> bool:
        """A voice has begun, or was confirmed, and has not ended."""
        told = [event for event in self.events if isinstance(event, VoiceStarted | NearEndConfirmed | VoiceEnded)]
        return bool(told) and not isinstance(told[-1], VoiceEnded)

    def warm(self, seconds: float = 1.2) -> None:
        """Let the device sound until its first second is over, and nobody speak."""
        self.hear(tone(round(seconds * 50), -90), sounding=True)


def kinds(events: list[NearEndEvent]) -> list[str]:
    return [type(event).__name__ for event in events]


def test_three_frames_are_a_suspicion_six_a_confirmation_and_both_name_the_first() -> None:
    course = Course()
    course.warm()
    begun = course.at
    assert course.hear(tone(2, -40), sounding=True) == []
    assert course.hear(tone(1, -40), sounding=True) == [NearEndSuspected(begun)]
    assert course.detector.ducking
    assert course.hear(tone(2, -40), sounding=True) == []
    assert course.hear(tone(1, -40), sounding=True) == [NearEndConfirmed(begun)]
    assert course.speaks
    assert course.detector.ducking


def test_a_suspicion_that_is_not_confirmed_in_time_is_cleared() -> None:
    course = Course()
    course.warm()
    course.hear(tone(3, -50), sounding=True)  # loud enough to suspect, too soft to confirm
    assert course.hear(tone(29, -90), sounding=True) == []
    assert course.hear(tone(1, -90), sounding=True) == [NearEndCleared(course.at)]
    assert not course.detector.ducking


def test_soft_speech_for_long_is_suspected_again_and_again_and_never_confirmed() -> None:
    course = Course()
    course.warm()
    names = kinds(course.hear(tone(300, -50), sounding=True))
    assert names.count("NearEndSuspected") == pytest.approx(9, abs=1)
    assert "NearEndConfirmed" not in names


def test_the_first_second_of_sound_believes_less() -> None:
    for silence, stopped in ((0.0, False), (1.2, True)):
        course = Course()
        if silence:
            course.warm(silence)
        names = kinds(course.hear(tone(7, -47), sounding=True))
        assert ("NearEndConfirmed" in names) is stopped
    course = Course()
    assert "NearEndConfirmed" in kinds(course.hear(tone(10, -40), sounding=True)), "but not nothing"


def test_every_answer_has_a_first_second_also_where_nobody_listened_in_between() -> None:
    course = Course()
    course.warm()
    course.detector.reset()  # nobody listened any more; the answer ended, and another has begun
    course.at += 10 * RATE
    assert kinds(course.hear(tone(7, -47), sounding=True)) == ["NearEndSuspected"]


def test_a_hold_off_begins_with_the_sample_told_however_long_nobody_was_asked() -> None:
    course = Course()
    course.warm()
    course.at += 20 * RATE
    course.detector.hold_off(course.at)
    lost = course.at
    course.hear(tone(150, -40), sounding=True)
    first = course.events[0]
    assert isinstance(first, NearEndSuspected)
    assert first.sample == pytest.approx(lost + POLICY.hold_off_s * RATE, abs=FRAME)
    course.detector.hold_off(course.at, 0.1)
    course.detector.hold_off(course.at, 0.02)
    assert course.detector._deaf_until == course.at + 1_600, "a shorter one does not end a longer one"


def test_a_suspicion_held_off_is_cleared() -> None:
    course = Course()
    course.warm()
    course.hear(tone(4, -40), sounding=True)
    course.detector.hold_off(course.at)
    assert kinds(course.hear(tone(29, -40), sounding=True)) == ["NearEndCleared"]


def test_an_answer_that_ends_by_itself_clears_the_suspicion_and_the_person_is_a_voice() -> None:
    course = Course()
    course.warm()
    course.hear(tone(4, -50), sounding=True)
    assert kinds(course.hear(tone(10, -50), sounding=False)) == ["NearEndCleared", "VoiceStarted"]
    assert not course.detector.ducking
    assert course.speaks


def test_who_goes_on_speaking_when_the_device_begins_speaks_over_it() -> None:
    course = Course()
    course.hear(tone(20, -30), sounding=False)
    assert kinds(course.events) == ["VoiceStarted"]
    assert kinds(course.hear(tone(20, -30), sounding=True)) == ["VoiceEnded", "NearEndSuspected", "NearEndConfirmed"]


def test_a_voice_ends_with_a_pause_at_its_last_frame_of_speech() -> None:
    course = Course()
    course.hear(tone(20, -30), sounding=False)
    spoken = course.at
    assert course.hear(tone(39, -90), sounding=False) == []
    assert course.hear(tone(1, -90), sounding=False) == [VoiceEnded(spoken)]


def test_who_speaks_on_over_the_device_is_one_voice_until_they_pause() -> None:
    course = Course()
    course.warm()
    course.hear(tone(100, -40), sounding=True)
    spoken = course.at
    assert kinds(course.events) == ["NearEndSuspected", "NearEndConfirmed"]
    assert course.hear(tone(60, -90), sounding=True) == [VoiceEnded(spoken)]
    assert not course.detector.ducking


def test_a_reset_tells_how_what_was_heard_ends() -> None:
    course = Course()
    assert course.detector.reset() == []
    course.warm()
    course.hear(tone(4, -50), sounding=True)
    assert course.detector.reset() == [NearEndCleared(course.at)]
    course.warm(0.2)
    course.hear(tone(20, -40), sounding=True)
    assert course.detector.reset() == [VoiceEnded(course.at)]
    assert not course.detector.ducking
    assert course.hear(tone(100, -90), sounding=True) == [], "and it ends once"


def test_a_rest_of_a_frame_is_not_joined_to_what_came_much_later() -> None:
    frames: list[bytes] = []

    def keep(frame: bytes) -> bool:
        frames.append(frame)
        return False

    one = NearEndDetector(keep, POLICY)
    one.hear(tone(1, -30)[:200], 0, sounding=False)
    one.hear(tone(2, -20), RATE, sounding=False)
    assert len(frames) == 2
    assert frames[0] == tone(1, -20).tobytes()


@settings(max_examples=40, deadline=None)
@given(
    parts=st.lists(
        st.tuples(st.integers(1, 60), st.sampled_from([-90.0, -52.0, -47.0, -30.0]), st.sampled_from(["on", "off"])),
        min_size=1, max_size=12,
    ),
    cuts=st.lists(st.integers(100, 3_000), min_size=1, max_size=10),
    careful=st.booleans(),
)  # fmt: skip
def test_every_suspicion_ends_and_no_chunking_changes_anything(
    parts: list[tuple[int, float, str]], cuts: list[int], careful: bool
) -> None:
    told = []
    for chunks in ([FRAME], [5 * FRAME], cuts):
        course = Course(detector(careful=careful))
        number = 0
        for frames, dbfs, sounds in parts:
            sound, at = tone(frames, dbfs), 0
            while at < len(sound):
                size = min(chunks[number % len(chunks)], len(sound) - at)
                ducked = course.detector.ducking
                fresh = course.hear(sound[at : at + size], sounding=sounds == "on", block=size)
                if not fresh:
                    assert course.detector.ducking is ducked or not course.detector.ducking
                at += size
                number += 1
        told.append(course.events + course.detector.reset())
    assert told[0] == told[1] == told[2]
    state = "quiet"
    after = {
        ("quiet", "NearEndSuspected"): "suspected",
        ("suspected", "NearEndConfirmed"): "voice",
        ("suspected", "NearEndCleared"): "quiet",
        ("quiet", "VoiceStarted"): "voice",
        ("voice", "VoiceEnded"): "quiet",
    }
    for event in told[0]:
        state = after[state, type(event).__name__]  # any other order is a KeyError
    assert state == "quiet"


def test_the_background_is_learned_from_what_nobody_asks_about_and_from_what_is_no_voice() -> None:
    for overhears in (True, False):
        one = NearEndDetector(lambda _: False, POLICY)
        for at in range(0, 40 * RATE, FRAME):
            if overhears:
                one.overhear(tone(1, -40))
            else:
                one.hear(tone(1, -40), at, sounding=False)
        assert one.background_dbfs == pytest.approx(-40.1, abs=0.2)
        one.reset()
        assert one.background_dbfs > -41
        one.hear(tone(500, -20), 40 * RATE, sounding=True)
        assert one.background_dbfs < -39, "the device itself is no background"


def test_noise_that_is_no_speech_is_no_voice() -> None:
    one = NearEndDetector(webrtc_speech(), POLICY)
    hiss = (np.random.default_rng(1).normal(0, 300, 20 * RATE)).astype(np.int16)
    assert one.hear(hiss, 0, sounding=False) == []


def heard(text: str, voice: str, dbfs: float) -> NDArray[np.float64]:
    return resample(acoustics.speech(text, voice=voice, dbfs=dbfs).astype(np.float32), 48_000, RATE).astype(np.float64)


def programme(seconds: float, dbfs: float) -> NDArray[np.float64]:
    """What a television says: voices one after the other, with hardly a pause."""
    voices = ("en-us", "en-gb+f3", "flite:slt")
    said = [heard(text, voice, dbfs) for voice in voices for text in SAID]
    whole = np.concatenate([np.append(one, np.zeros(RATE // 4)) for one in said])
    return np.resize(whole, round(seconds * RATE))


@pytest.mark.parametrize("television_dbfs", [-45.0, -40.0])
@pytest.mark.parametrize("careful", [True, False])
def test_a_person_before_a_television_is_a_voice_from_their_first_word_to_their_last(
    television_dbfs: float, careful: bool
) -> None:
    sound = programme(60.0, television_dbfs)
    question = heard("What is the weather going to be like tomorrow", "en-us+f4", -30.0)
    begins, ends = 40 * RATE, 40 * RATE + len(question)
    sound[begins:ends] += question
    samples = np.clip(np.rint(sound * 32_768), -32_768, 32_767).astype(np.int16)
    one = NearEndDetector(webrtc_speech(), POLICY)
    asked = 20 * RATE if careful else begins - RATE  # after an answer, or after a wake word
    for at in range(0, asked, FRAME):
        one.overhear(samples[at : at + FRAME])
    one.careful = careful
    events = [
        event
        for at in range(asked, len(samples), FRAME)
        for event in one.hear(samples[at : at + FRAME], at, sounding=False)
    ]
    if careful:
        assert kinds(events) == ["VoiceStarted", "VoiceEnded"], "the television is none"
        assert events[0].sample == pytest.approx(begins, abs=0.4 * RATE)
    assert isinstance(events[0], VoiceStarted)
    assert isinstance(events[-1], VoiceEnded)
    assert events[-1].sample == pytest.approx(ends, abs=0.35 * RATE), "and it does not go on for the person"


def in_a_living_room(
    television_dbfs: float, *, policy: Policy = POLICY, careful: bool = True
) -> dict[str, list[float]]:
    """Let a television talk, a person ask, and over the answer the television for 40 s, then the person.

    Returns the times at which the answer was stopped before the person begins again, and after.
    """
    sound = programme(80.0, television_dbfs)
    question, interruption = (
        heard(text, "en-us+f4", -28.0) for text in ("What is the weather going to be like", "Wait, that is enough now")
    )
    asks, answered, begins = 20 * RATE, 25 * RATE, 70 * RATE
    sound[asks : asks + len(question)] += question
    sound[begins : begins + len(interruption)] += interruption
    samples = np.clip(np.rint(sound * 32_768), -32_768, 32_767).astype(np.int16)
    one = NearEndDetector(webrtc_speech(), policy)
    events: list[NearEndEvent] = []
    for at in range(0, len(samples), FRAME):
        frame = samples[at : at + FRAME]
        if at < asks - RATE // 2:
            one.overhear(frame)
            continue
        one.careful = careful and at > answered
        events += one.hear(frame, at, sounding=at >= answered)
    stops = [event.sample for event in events if isinstance(event, NearEndConfirmed)]
    return {
        "television": [at / RATE for at in stops if at < begins],
        "person": [at / RATE for at in stops if at >= begins],
    }


@pytest.mark.parametrize("television_dbfs", [-40.0, -44.0])
def test_a_television_over_an_answer_stops_nothing_and_the_person_does(television_dbfs: float) -> None:
    found = in_a_living_room(television_dbfs)
    assert found["television"] == []
    assert len(found["person"]) == 1
    assert found["person"][0] == pytest.approx(70.0, abs=0.4)
    assert in_a_living_room(television_dbfs, policy=replace(POLICY, over_others_db=-200.0))["television"]


def test_who_has_talked_to_others_before_is_heard_over_the_answer_all_the_same() -> None:
    course = Course(detector(policy=replace(POLICY, over_noise_db=-200.0)))
    for _ in range(50 * 20):
        course.detector.overhear(tone(1, -30))
    course.warm()
    assert "NearEndConfirmed" in kinds(course.hear(tone(20, -34), sounding=True))
    for _ in range(50 * 20):
        course.detector.overhear(tone(1, -20))
    course.hear(tone(60, -90), sounding=True)
    assert "NearEndConfirmed" in kinds(course.hear(tone(20, -34), sounding=True)), "a crowd may not shut it up"


def test_the_first_syllables_of_a_question_and_the_question_itself_are_no_background() -> None:
    one = detector(careful=True)
    course = Course(one)
    course.hear(tone(50 * 60, -70), sounding=False)
    for _ in range(5):
        course.hear(np.concatenate([tone(30, -25), tone(45, -70)]), sounding=False)
    assert kinds(course.events) == ["VoiceStarted", "VoiceEnded"] * 5
    assert one.background_dbfs == pytest.approx(-70.0, abs=1.0)


def test_a_soft_voice_is_not_missed_because_of_a_loud_one_before() -> None:
    """Once somebody was louder than the background, it does not speak for them; who asks anew may speak softly."""
    soft = tone(20, -47)
    for anew in ("nobody", "an answer", "a wake word", "nobody listened"):
        course = Course()
        for _ in range(50 * 20):
            course.detector.overhear(tone(1, -50))
        course.hear(tone(20, -30), sounding=False)
        course.hear(tone(60, -90), sounding=False)
        if anew == "an answer":
            course.hear(tone(60, -90), sounding=True)
        elif anew == "a wake word":
            course.detector.careful = True
            course.detector.careful = False
        elif anew == "nobody listened":
            course.detector.reset()
        found = kinds(course.hear(soft, sounding=False))
        assert (found == ["VoiceStarted"]) is (anew != "nobody"), anew


def test_who_talked_over_the_answer_goes_on_after_it_although_somebody_louder_was_there_before() -> None:
    course = Course()
    for _ in range(50 * 40):
        course.detector.overhear(tone(1, -34))
    course.hear(tone(12, -25), sounding=False)
    course.warm()
    assert "NearEndConfirmed" in kinds(course.hear(tone(20, -36), sounding=True))
    assert course.hear(tone(60, -36), sounding=False) == []
    assert course.speaks


@given(cuts=st.lists(st.integers(1, 2_000), min_size=1, max_size=30))
def test_what_is_overheard_counts_the_same_in_blocks_of_any_length(cuts: list[int]) -> None:
    rng = np.random.default_rng(4)
    sound = np.concatenate([rng.normal(0, level, RATE // 4) for level in (300, 40, 900, 30, 200)]).astype(np.int16)
    whole, cut = detector(), detector()
    whole.overhear(sound)
    at = number = 0
    while at < len(sound):
        size = cuts[number % len(cuts)]
        cut.overhear(sound[at : at + size])
        at, number = at + size, number + 1
    assert cut.noise_dbfs == pytest.approx(whole.noise_dbfs, abs=1e-6)
    assert cut.background_dbfs == pytest.approx(whole.background_dbfs, abs=1e-6)


def test_a_voice_detector_that_is_missing_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "webrtcvad", None)
    with pytest.raises(DeviceError, match=r"webrtcvad is not installed; install webrtcvad-wheels\.$"):
        webrtc_speech()


def test_noise_that_the_canceller_lets_through_in_the_gaps_of_an_answer_is_nobody_and_a_person_over_it_is_one() -> None:
    """A fan at -32 dBFS: WebRTC's detector takes it for speech, and the suppressor opens and shuts over it."""
    fan = acoustics.pink(40.0, dbfs=-32.0, seed=5, rate=RATE)
    learned, over = fan[: 10 * RATE], fan[10 * RATE :].copy()
    gaps = np.resize(np.repeat([1.0, 0.003, 0.003], 20 * FRAME), len(over))
    person = heard("Wait, that is enough, thank you", "en-us+f4", -20.0)
    begins = 20 * RATE
    with_person = over * gaps
    with_person[begins : begins + len(person)] += person
    told = {}
    for name, db in (("blind", -200.0), ("own", Policy().over_noise_db)):
        one = NearEndDetector(webrtc_speech(), replace(POLICY, over_noise_db=db))
        for at in range(0, len(learned), FRAME):
            one.overhear((learned[at : at + FRAME] * 32_768).astype(np.int16))
        samples = np.clip(np.rint(with_person * 32_768), -32_768, 32_767).astype(np.int16)
        events = [
            event
            for at in range(0, len(samples), FRAME)
            for event in one.hear(samples[at : at + FRAME], at, sounding=True)
        ]
        told[name] = [event.sample / RATE for event in events if isinstance(event, NearEndConfirmed)]
    assert len(told["blind"]) > 1, "without knowing the noise it is a crowd"
    assert len(told["own"]) == 1
    assert told["own"][0] == pytest.approx(begins / RATE, abs=0.5)


def test_what_the_duck_takes_away_was_the_devices_own_echo() -> None:
    """A burst that leaks through is loud for 120 ms, and the suspicion lowers it; a person goes on."""
    patient = replace(POLICY, settle_s=0.16)
    for after_dbfs, kind in ((-60, "NearEndCleared"), (-35, "NearEndConfirmed")):
        course = Course(detector(policy=patient))
        course.warm()
        events = course.hear(np.concatenate([tone(6, -33), tone(40, after_dbfs)]), sounding=True)
        assert kinds(events)[:2] == ["NearEndSuspected", kind]
        assert course.at - events[0].sample > 0
