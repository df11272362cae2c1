"""Wall-clock times as people say them, in zones with daylight saving."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.errors import Stop
from edge_agent.tools.walltime import LAST, instants, is_time, local, understood

BERLIN = ZoneInfo("Europe/Berlin")


def at(text: str) -> float:
    """Seconds since 1970 of an ISO time, UTC if it names no offset."""
    time = datetime.fromisoformat(text)
    return (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()


@pytest.mark.parametrize(
    ("time", "now", "instant"),
    [
        ("07:00", "2026-11-22T05:00+01:00", "2026-11-22T07:00+01:00"),
        ("7:00", "2026-11-22T07:00+01:00", "2026-11-23T07:00+01:00"),
        ("07:00:30", "2026-11-22T07:00+01:00", "2026-11-22T07:00:30+01:00"),
        ("00:00", "2026-12-31T23:59+01:00", "2027-01-01T00:00+01:00"),
        # the night before the clocks change, and after
        ("07:00", "2026-10-24T22:00+02:00", "2026-10-25T07:00+01:00"),
        ("07:00", "2027-03-27T22:00+01:00", "2027-03-28T07:00+02:00"),
        # 02:30 comes twice on 25 October 2026 ...
        ("02:30", "2026-10-25T01:00+02:00", "2026-10-25T02:30+02:00"),
        ("02:30", "2026-10-25T02:40+02:00", "2026-10-25T02:30+01:00"),
        ("02:30", "2026-10-25T02:40+01:00", "2026-10-26T02:30+01:00"),
        # ... and not at all on 28 March 2027
        ("02:30", "2027-03-28T00:30+01:00", "2027-03-28T03:30+02:00"),
        # dates
        ("2027-07-01T07:30", "2026-11-22T05:00+01:00", "2027-07-01T07:30+02:00"),
        ("2027-07-01 07:30", "2026-11-22T05:00+01:00", "2027-07-01T07:30+02:00"),
        ("2027-07-01T07:30Z", "2026-11-22T05:00+01:00", "2027-07-01T09:30+02:00"),
        ("2027-07-01T07:30-05:00", "2026-11-22T05:00+01:00", "2027-07-01T14:30+02:00"),
        ("2020-01-01T00:00", "2026-11-22T05:00+01:00", "2020-01-01T00:00+01:00"),
    ],
)
def test_what_is_meant(time: str, now: str, instant: str) -> None:
    assert understood(time, BERLIN, at(now))[1] == at(instant)


@pytest.mark.parametrize("time", ["", "soon", "24:00", "7:60", "7 pm", "7:00 pm", "2027-07-01", "2027-02-30T07:00"])
def test_what_is_no_time_is_explained(time: str) -> None:
    with pytest.raises(Stop, match=r"is no time; write HH:MM"):
        understood(time, BERLIN, at("2026-11-22"))


@given(
    st.floats(at("2000-01-01"), at("2090-01-01")),
    st.times().map(lambda time: time.strftime("%H:%M")),
    st.sampled_from(["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata", "UTC"]),
)
def test_the_next_one_is_ahead_and_within_a_day(now: float, time: str, name: str) -> None:
    zone = ZoneInfo(name)
    asked, instant = understood(time, zone, now)
    assert now < instant <= now + 25 * 3600
    assert asked[11:16] == time
    assert instant in instants(asked, zone), "found again from what is kept"
    shown = local(instant, zone)
    assert shown[11:16] == time or instants(asked, zone) == [instant], (
        "only an hour that does not exist is shown shifted"
    )


def test_an_hour_that_comes_twice_has_two_instants_and_one_that_never_comes_has_one() -> None:
    assert instants("2026-10-25T02:30", BERLIN) == [at("2026-10-25T00:30Z"), at("2026-10-25T01:30Z")]
    assert instants("2027-03-28T02:30", BERLIN) == [at("2027-03-28T01:30Z")]


@given(st.text(max_size=30))
def test_any_text_is_a_time_or_a_sentence(text: str) -> None:
    with contextlib.suppress(Stop):
        asked, _ = understood(text, BERLIN, at("2026-11-22"))
        assert instants(asked, BERLIN)


@pytest.mark.parametrize(
    ("asked", "good"),
    [
        ("2027-03-01T07:30:00", True),
        ("2027-03-01T07:30:00+01:00", True),
        ("0001-01-01T00:00:00", False),
        ("9999-12-31T23:59:59", False),
        ("soon", False),
    ],
)
def test_only_times_of_this_century_count(asked: str, good: bool) -> None:
    assert is_time(asked) is good
    assert at("2099-12-31") < LAST
