"""Who is around: the background is what did not mean the device, the talker whoever did."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_agent.audio.company import LOUDEST_FRAMES, TALKER_DBFS, WITHHELD_S, Company, dbfs

FRAME_S = 0.02


def power(level: float) -> float:
    return float(10 ** (level / 10))


def heard(company: Company, level: float, seconds: float) -> None:
    for _ in range(round(seconds / FRAME_S)):
        company.background(power(level), FRAME_S)


def said(company: Company, level: float, seconds: float, *, over_db: float | None = 8.0) -> None:
    for _ in range(round(seconds / FRAME_S)):
        company.talks(power(level))
    company.settle(over_db=over_db)


def test_nothing_is_known_at_first_and_any_voice_will_do() -> None:
    company = Company()
    assert company.background_dbfs == -120.0
    assert company.talker_dbfs == TALKER_DBFS
    assert company.least(over_db=8, under_db=8) < -100


def test_the_background_is_the_mean_of_the_last_ten_seconds_or_so() -> None:
    company = Company()
    heard(company, -40.0, 60.0)
    assert company.background_dbfs == pytest.approx(-40.0, abs=0.1)
    heard(company, -60.0, WITHHELD_S + 20.0)
    assert company.background_dbfs == pytest.approx(-40.0 - 8.7, abs=0.5), "two time constants later"


def test_a_wake_word_and_the_first_syllables_of_a_voice_are_no_background() -> None:
    company = Company()
    heard(company, -55.0, 60.0)
    heard(company, -25.0, WITHHELD_S - 0.1)
    company.recall()
    heard(company, -55.0, 10.0)
    assert company.background_dbfs == pytest.approx(-55.0, abs=0.1)
    heard(company, -25.0, 2 * WITHHELD_S)
    assert company.background_dbfs > -40, "but who goes on without the device is"


def test_the_talker_is_the_loudest_half_second_of_the_last_voice() -> None:
    company = Company()
    heard(company, -60.0, 30.0)
    for level in (-30.0, -22.0, -30.0):
        for _ in range(LOUDEST_FRAMES):
            company.talks(power(level))
    company.settle(over_db=8)
    assert company.talker_dbfs == pytest.approx(-22.0, abs=0.1)
    said(company, -26.0, 2.0)
    assert company.talker_dbfs == pytest.approx(-26.0, abs=0.1), "the last one, not the loudest ever"
    said(company, -10.0, 0.04)
    assert company.talker_dbfs < -20.0, "a bang is no half second"


def test_who_speaks_softly_counts_as_a_person_at_arms_length() -> None:
    company = Company()
    heard(company, -70.0, 30.0)
    said(company, -22.0, 2.0)
    said(company, -45.0, 2.0)
    assert company.talker_dbfs == TALKER_DBFS


def test_a_television_that_got_through_is_not_who_talked_to_the_device() -> None:
    company = Company()
    heard(company, -40.0, 60.0)
    said(company, -22.0, 2.0)
    said(company, -35.0, 2.0)
    assert company.talker_dbfs == pytest.approx(-22.0, abs=0.1), "too near the background"
    said(company, -15.0, 2.0, over_db=None)
    assert company.talker_dbfs == pytest.approx(-22.0, abs=0.1), "nobody had asked"


@settings(max_examples=30, deadline=None)
@given(st.floats(-90, -10), st.floats(-60, 0), st.floats(0, 20), st.floats(0, 20))
def test_nobody_has_to_be_louder_than_they_were(around: float, own: float, over: float, under: float) -> None:
    company = Company()
    heard(company, around, 4.0)
    said(company, own, 1.0)
    least = company.least(over_db=over, under_db=under)
    assert least <= company.talker_dbfs - under
    assert least <= company.background_dbfs + over
    assert least >= min(company.talker_dbfs - under, company.background_dbfs + over) - 1e-9


def test_silence_has_a_level() -> None:
    assert dbfs(0.0) == -120.0
    assert dbfs(1.0) == 0.0
