"""speexdsp: slower than AEC3, gentler to the person, dependent on the delay it is told, and freed once."""

from __future__ import annotations

import gc

import numpy as np
import pytest
from echoes import erle_db, level_db, scene, through
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_agent.audio.echo import speex
from edge_agent.audio.echo.speex import Speex
from edge_agent.errors import DeviceError, Fault


@pytest.mark.parametrize("delay_ms", [0, 20, 60, 150, 250])
def test_the_echo_is_gone_after_four_seconds_where_the_delay_is_known(delay_ms: float) -> None:
    heard = scene(12.0, delay_ms=delay_ms)
    out = through(Speex(delay_ms=delay_ms), heard.near, heard.far)
    assert erle_db(heard.echo, out, 4.0, 12.0) > 28  # 34


def test_a_delay_wrong_by_15_ms_is_borne_and_an_unknown_one_is_not() -> None:
    heard = scene(12.0, delay_ms=250)
    for told in (235, 265):
        assert erle_db(heard.echo, through(Speex(delay_ms=told), heard.near, heard.far), 4.0, 12.0) > 25
    assert erle_db(heard.echo, through(Speex(), heard.near, heard.far), 4.0, 12.0) < 10


def test_a_delay_told_while_it_runs_counts_from_there() -> None:
    heard = scene(12.0, delay_ms=250)
    canceller = Speex()
    through(canceller, heard.near[:16_000], heard.far[:16_000])
    canceller.delay(250)
    out = through(canceller, heard.near[16_000:], heard.far[16_000:])
    assert erle_db(heard.echo[16_000:], out, 6.0, 11.0) > 25


def test_drift_costs_much_and_still_leaves_a_canceller() -> None:
    heard = scene(12.0, drift_ppm=50.0)
    assert erle_db(heard.echo, through(Speex(delay_ms=60), heard.near, heard.far), 4.0, 12.0) > 17  # 21


def test_a_jump_of_the_delay_is_learned_within_four_seconds() -> None:
    heard = scene(12.0, jump=(6.0, 40.0))
    assert erle_db(heard.echo, through(Speex(delay_ms=60), heard.near, heard.far), 10.0, 12.0) > 20  # 25


def test_a_person_alone_is_untouched() -> None:
    heard = scene(8.0, answer=False, person_at=(1.0, 4.5))
    out = through(Speex(), heard.near, heard.far)
    assert level_db(out, 1.0, 8.0) == pytest.approx(level_db(heard.near, 1.0, 8.0), abs=0.5)


def test_the_noise_of_the_room_is_left_as_it_is() -> None:
    heard = scene(8.0, answer=False)
    out = through(Speex(), heard.near, heard.far)
    assert level_db(out, 2.0, 8.0) == pytest.approx(level_db(heard.noise, 2.0, 8.0), abs=2)


def test_a_person_who_talks_over_the_answer_is_hardly_touched() -> None:
    heard = scene(12.0, person_at=(8.0,))
    out = through(Speex(delay_ms=60), heard.near, heard.far)
    assert level_db(out, 8.0, 10.5) == pytest.approx(level_db(heard.person, 8.0, 10.5), abs=2)


def test_a_mute_in_the_middle_of_an_answer_is_survived() -> None:
    heard = scene(16.0, person_at=(9.5, 13.0))
    out = through(Speex(delay_ms=60), heard.near, heard.far, muted=(96_000, 144_000))
    assert not out[96_000:144_000].any()
    assert level_db(out, 9.0, 9.5) < level_db(heard.echo, 9.0, 9.5) - 10
    assert level_db(out, 9.5, 10.5) == pytest.approx(level_db(heard.person, 9.5, 10.5), abs=2)


def test_silence_gives_silence() -> None:
    quiet = np.zeros(16_000, np.int16)
    assert not through(Speex(), quiet, quiet).any()


@settings(max_examples=20)
@given(cuts=st.lists(st.integers(1, 31_999), max_size=12), muted=st.tuples(st.integers(0, 200), st.integers(0, 80)))
def test_any_chunking_gives_the_same_bits(cuts: list[int], muted: tuple[int, int]) -> None:
    heard = scene(12.0)
    near, far = heard.near[:32_000], heard.far[:32_000]
    mute = (muted[0] * 160, (muted[0] + muted[1]) * 160 + 77)
    whole = through(Speex(delay_ms=60), near, far, muted=mute)
    assert np.array_equal(through(Speex(delay_ms=60), near, far, cuts, muted=mute), whole)


def test_reset_forgets_the_room_and_keeps_the_delay() -> None:
    first, second = scene(12.0), scene(12.0, delay_ms=250)
    canceller = Speex(delay_ms=250)
    through(canceller, first.near[:32_100], first.far[:32_100])
    canceller.reset()
    fresh = through(Speex(delay_ms=250), second.near, second.far)
    assert np.array_equal(through(canceller, second.near, second.far), fresh)


@pytest.mark.parametrize("ms", [-1.0, 501.0])
def test_an_impossible_delay_is_refused(ms: float) -> None:
    with pytest.raises(ValueError, match="0 to 500 ms"):
        Speex(delay_ms=ms)


def test_the_memory_of_the_library_is_freed_exactly_once(monkeypatch: pytest.MonkeyPatch) -> None:
    freed: list[int] = []
    real = speex._free

    def counted(library: object, echo: int, rest: int) -> None:
        freed.append(echo)
        real(library, echo, rest)  # type: ignore[arg-type]

    monkeypatch.setattr(speex, "_free", counted)
    canceller = Speex()
    canceller.close()
    canceller.close()
    assert len(freed) == 1
    canceller.reset()
    canceller.reset()
    assert len(freed) == 2
    del canceller
    gc.collect()
    assert len(freed) == 3


def test_a_closed_canceller_refuses_and_opens_again_with_reset() -> None:
    canceller, heard = Speex(), scene(12.0)
    canceller.close()
    with pytest.raises(ValueError, match="closed"):
        canceller.process(heard.near[-320:], heard.far[-320:])
    canceller.reset()
    assert len(canceller.process(heard.near[-320:], heard.far[-320:])) == 320


def test_without_the_library_the_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speex, "LIBRARY", "libspeexdsp-that-is-not-there.so.1")
    with pytest.raises(DeviceError, match=r"apt install libspeexdsp1") as caught:
        Speex()
    assert caught.value.fault is Fault.MICROPHONE
