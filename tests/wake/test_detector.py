"""Wake words on synthetic voices, by the real models; figures in docs/wake.md come from `wakewords.py`."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Sequence

import numpy as np
import pytest
import wakewords
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from wakewords import ESPEAK, FLITE, RATE, listen, utterance

from edge_agent.errors import ConfigError
from edge_agent.wake import Heard, Model, WakeDetector, cutoff_for, find
from edge_agent.wake.detector import _quantize
from edge_agent.wake.tflite import Interpreter, Unusable

NABU = find("okay_nabu")
DETECTOR = WakeDetector([NABU])
ALIKE = "okay, nah, boo"  # its score comes close


def nabu(text: str = "okay nabu") -> NDArray[np.int16]:
    """A voice that every setting of the tests hears, with a second before and after it."""
    return utterance(text, voice="flite:rms", wpm=165, room=False).sound


def hits(found: Sequence[tuple[int, Heard]]) -> list[tuple[int, str]]:
    return [(at, heard.word) for at, heard in found if heard.fired]


@pytest.mark.parametrize(
    ("word", "espeak", "flite"),
    [("okay_nabu", 14, 4), ("hey_jarvis", 1, 4), ("hey_mycroft", 13, 3), ("alexa", 17, 4)],
)
def test_a_word_is_heard_by_voice_and_fires_once(word: str, espeak: int, flite: int) -> None:
    for voices, least in ((ESPEAK, espeak), (FLITE, flite)):
        heard = wakewords.score(word, voices, room=False)
        assert heard.hits >= least
        assert heard.twice == 0


def test_a_word_is_heard_across_a_room() -> None:
    assert wakewords.score("okay_nabu", ESPEAK[::4] + FLITE, room=True).hits >= 7


@pytest.mark.parametrize("word", ["okay_nabu", "alexa"])
def test_talk_that_sounds_alike_seldom_fires(word: str) -> None:
    other = wakewords.false_accepts(word, ESPEAK[::7] + FLITE[:2], room=False)
    assert other.said == 60
    assert other.hits <= 2


def test_nothing_fires_on_silence_noise_tones_or_the_edges_of_them() -> None:
    rng = np.random.default_rng(5)
    silence = np.zeros(2 * RATE, np.int16)
    parts = [silence]
    for level in (3, 100, 3_000, 20_000):
        parts += [(rng.standard_normal(2 * RATE) * level).clip(-32768, 32767).astype(np.int16), silence]
    parts += [(20_000 * np.sin(np.arange(RATE) * f * 2 * np.pi / RATE)).astype(np.int16) for f in (50, 440, 3_000)]
    sound = np.concatenate([*parts, np.full(RATE, 32767, np.int16), np.full(RATE, -32768, np.int16)])
    assert not hits(listen(WakeDetector([find(word) for word in wakewords.PHRASES], sensitivity=0.7), sound))


def test_several_words_at_once_each_by_its_name() -> None:
    detector = WakeDetector([find(word) for word in wakewords.PHRASES])
    assert detector.words == ("Okay Nabu", "Hey Jarvis", "Hey Mycroft", "Alexa")
    sound = np.concatenate([nabu("okay nabu"), nabu("alexa"), nabu("hey mycroft")])
    assert [word for _, word in hits(listen(detector, sound))] == ["Okay Nabu", "Alexa", "Hey Mycroft"]


def test_of_words_that_fire_together_one_is_told() -> None:
    """Piper's voices fire all four at once; one utterance must not open two turns."""
    twin = Model("twin", "Twin", NABU.cutoff - 0.05, NABU.window, NABU.data, NABU.library)
    found = listen(WakeDetector([NABU, twin]), nabu())
    assert len(hits(found)) == 1
    assert len(found) == 1


def test_the_stop_word_does_not_wait_for_the_wake_word() -> None:
    stop = Model("stop", "Stop", NABU.cutoff, NABU.window, NABU.data, NABU.library)
    detector = WakeDetector([NABU], stop=stop)
    assert detector.words == ("Okay Nabu",)
    found = [heard for _, heard in listen(detector, nabu())]
    assert [(heard.word, heard.kind, heard.fired) for heard in found] == [
        ("Okay Nabu", "wake", True), ("Stop", "stop", True),
    ]  # fmt: skip


def test_a_word_said_again_fires_again() -> None:
    sound = np.concatenate([nabu()] * 3)
    at = [at for at, _ in hits(listen(WakeDetector([NABU]), sound))]
    assert len(at) == 3
    assert min(b - a for a, b in itertools.pairwise(at)) > RATE


@settings(max_examples=15)
@given(st.lists(st.integers(0, 4_000), min_size=1, max_size=12))
def test_however_the_sound_is_cut_it_is_heard_alike(sizes: list[int]) -> None:
    sound = np.concatenate([nabu(), nabu(ALIKE)])
    whole = listen(DETECTOR, sound, len(sound))
    assert [heard.fired for _, heard in whole] == [True, False]
    DETECTOR.reset()
    found, start = [], 0
    for size in itertools.cycle([*sizes, 320]):
        part = sound[start : start + size]
        start += len(part)
        found += [(start - heard.ago, heard) for heard in DETECTOR.hear(part)]
        if start == len(sound):
            break
    assert [(at, heard.word, heard.score, heard.fired) for at, heard in found] == [
        (at, heard.word, heard.score, heard.fired) for at, heard in whole
    ]


def test_a_near_miss_is_told_once_with_its_highest_score() -> None:
    found = [heard for _, heard in listen(WakeDetector([NABU]), nabu(ALIKE))]
    assert [heard.fired for heard in found] == [False]
    assert NABU.cutoff / 2 < found[0].score <= NABU.cutoff


def test_a_near_miss_becomes_a_hit_where_the_device_is_more_sensitive() -> None:
    sound = nabu(ALIKE)
    (near,) = [heard.score for _, heard in listen(WakeDetector([NABU]), sound)]
    sensitivity = next(one / 100 for one in range(50, 101) if cutoff_for(NABU.cutoff, one / 100) < near)
    assert hits(listen(WakeDetector([NABU], sensitivity=sensitivity), sound))


def test_after_a_reset_nothing_from_before_can_fire() -> None:
    """Cut the word at every tenth of a second: a reset in between, and what is left alone never is the word."""
    sound, detector = nabu(), WakeDetector([NABU])
    (fires, _), *_ = hits(listen(detector, sound))
    for cut in range(fires - RATE // 2, fires - 160, RATE // 10):
        detector.reset()
        before = detector.hear(sound[:cut])
        detector.reset()
        silence = detector.hear(np.zeros(2 * RATE, np.int16))
        assert not [heard for heard in (*before, *silence) if heard.fired]


def test_a_reset_leaves_no_trace() -> None:
    detector, loud = WakeDetector([NABU]), (np.random.default_rng(1).standard_normal(3_333) * 9_000).astype(np.int16)
    fresh = listen(detector, nabu())
    detector.hear(loud)
    assert listen(detector, nabu()) == fresh


def test_scores_are_those_of_the_library() -> None:
    """The lean way through TensorFlow Lite and pymicro-wakeword's own class decide alike."""
    library = pytest.importorskip("pymicro_wakeword")
    for voice, wpm in (*ESPEAK[::3], *FLITE):
        sound = utterance("okay nabu", voice=voice, wpm=wpm, room=True).sound
        theirs, front = library.MicroWakeWord.from_builtin(library.Model.OKAY_NABU), library.MicroWakeWordFeatures()
        scores = [theirs.process_streaming_prob(frame) for frame in front.process_streaming(sound.tobytes())]
        ours = [heard.score for _, heard in listen(DETECTOR, sound) if heard.fired]
        assert ours[:1] == pytest.approx([score for score in scores if score > theirs.probability_cutoff][:1])
        assert bool(ours) == (max(scores) > theirs.probability_cutoff)
    assert NABU.library.samefile(theirs.libtensorflowlite_c_path)


@given(st.floats(0.1, 0.99), st.floats(0, 1), st.floats(0, 1))
def test_the_cutoff_never_rises_with_sensitivity_and_can_be_exceeded(own: float, one: float, other: float) -> None:
    low, high = sorted((one, other))
    assert cutoff_for(own, low) >= cutoff_for(own, high) > 0
    assert cutoff_for(own, low) < 255 / 256
    assert cutoff_for(own, 0.5) == pytest.approx(own)
    assert cutoff_for(own, 1.0) == pytest.approx(0.4 * own)


def test_more_sensitive_hears_more() -> None:
    voices = ESPEAK[:8]
    ladder = [wakewords.score("hey_mycroft", voices, room=True, sensitivity=step).hits for step in (0.0, 0.5, 1.0)]
    assert ladder == sorted(ladder)
    assert ladder[0] < ladder[2]


def test_a_model_that_fails_while_it_runs_is_dropped_and_the_others_go_on(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    detector = WakeDetector([find("alexa"), NABU])
    step = Interpreter.step
    broken = detector._ears[0]._interpreter

    def failing(self: Interpreter, address: int) -> int:
        if self is broken:
            raise Unusable("it fails while it runs")
        return step(self, address)

    monkeypatch.setattr(Interpreter, "step", failing)
    found = hits(
        [(0, heard) for start in range(0, len(nabu()), 640) for heard in detector.hear(nabu()[start : start + 640])]
    )
    assert [word for _, word in found] == ["Okay Nabu"]
    assert [record.message for record in caplog.records] == [
        "The wake word Alexa is not listened for any more: it fails while it runs. Restart the device."
    ]


def test_features_out_of_a_models_range_are_clipped() -> None:
    """A shriek must not turn into silence by running over the edge of 8 bits."""
    rows = np.array([[-9.0, 0.0, 12.75, 26.0, 99.0]])
    assert _quantize(rows, "int8", 0.1, -128).view(np.int8).tolist() == [[-128, -128, 0, 127, 127]]
    assert _quantize(rows, "uint8", 0.1, 10).tolist() == [[0, 10, 138, 255, 255]]


def test_a_missing_front_end_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pymicro_features", None)
    with pytest.raises(ConfigError, match=r"pymicro-features cannot be loaded .* type: pip install pymicro-wakeword"):
        WakeDetector([NABU])


def test_a_closed_detector_is_deaf_and_may_be_closed_again() -> None:
    detector = WakeDetector([NABU])
    detector.close()
    detector.close()
    assert detector.hear(nabu()) == []
