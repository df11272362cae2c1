"""Which canceller a policy gives, and what is said when none can be had."""

from __future__ import annotations

import re
import sys
from typing import get_args

import pytest
from echoes import coupling_db, erle_db, scene, through

from edge_agent.audio.echo import Canceller, HalfDuplex, Policy, open_canceller, speex
from edge_agent.audio.echo.aec3 import Aec3
from edge_agent.audio.echo.speex import Speex
from edge_agent.errors import DeviceError, Fault


@pytest.fixture
def no_aec3(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pywebrtc_audio", None)


@pytest.fixture
def no_speex(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speex, "LIBRARY", "libspeexdsp-that-is-not-there.so.1")


@pytest.mark.parametrize(
    ("policy", "name", "gates"),
    [
        ("software", "aec3", False),
        ("half-duplex", "half-duplex", True),
        ("hardware", "hardware", False),
        ("off", "", None),
    ],
)
def test_each_policy_has_its_canceller(policy: Policy, name: str, gates: bool | None) -> None:
    canceller = open_canceller(policy)
    assert (canceller.name if canceller else "") == name
    assert (canceller.gates if canceller else None) == gates


def test_every_policy_is_told_apart_above() -> None:
    assert set(get_args(Policy)) == {"software", "half-duplex", "hardware", "off"}


def test_the_kind_may_be_named() -> None:
    assert isinstance(open_canceller("software", kind="aec3"), Aec3)
    assert isinstance(open_canceller("software", kind="speex"), Speex)


@pytest.mark.usefixtures("no_aec3")
def test_without_aec3_speex_takes_its_place_unless_aec3_was_asked_for() -> None:
    found = open_canceller("software", delay_ms=120)
    assert found is not None
    assert found.name == "speex"
    with pytest.raises(DeviceError, match="pywebrtc-audio"):
        open_canceller("software", kind="aec3")


@pytest.mark.usefixtures("no_aec3", "no_speex")
def test_without_either_the_sentence_says_what_to_install_and_what_works_without() -> None:
    with pytest.raises(DeviceError, match=r"pywebrtc-audio.*libspeexdsp1.*half-duplex") as caught:
        open_canceller("software")
    assert caught.value.fault is Fault.MICROPHONE
    fallback = open_canceller("half-duplex")
    assert fallback is not None
    assert fallback.name == "half-duplex"


@pytest.mark.parametrize(
    ("delay_ms", "told"),
    [(None, "20 ms after its reference: nothing is calibrated"), (120.0, "120 ms .* as calibrated")],
)
def test_speex_says_when_it_expects_the_echo(
    delay_ms: float | None, told: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO", logger="edge_agent"):
        open_canceller("software", kind="speex", delay_ms=delay_ms)
    assert re.search(told, caplog.text)


@pytest.mark.parametrize("delay_ms", [20, 60])
def test_without_a_calibration_speex_finds_an_echo_that_is_not_late(delay_ms: float) -> None:
    heard = scene(12.0, delay_ms=delay_ms)
    canceller = open_canceller("software", kind="speex")
    assert canceller is not None
    assert erle_db(heard.echo, through(canceller, heard.near, heard.far), 4.0, 12.0) > 25


def test_what_calibration_measured_reaches_the_gate() -> None:
    gate = open_canceller("half-duplex", delay_ms=60, tail_ms=200, echo_gain_db=-9.0)
    assert isinstance(gate, HalfDuplex)
    assert coupling_db(gate) == pytest.approx(-9.0)


def test_all_of_them_answer_the_same_three_calls() -> None:
    cancellers: list[Canceller] = [Aec3(), Speex(), HalfDuplex()]
    for canceller in cancellers:
        canceller.delay(80)
        canceller.reset()
    assert len({canceller.name for canceller in cancellers}) == 3


@pytest.mark.parametrize("policy", ["software", "half-duplex"])
@pytest.mark.parametrize("ms", [-5.0, 5_000.0])
def test_a_measurement_that_cannot_be_true_does_not_keep_the_device_from_starting(policy: Policy, ms: float) -> None:
    canceller = open_canceller(policy, delay_ms=ms, tail_ms=ms)
    assert canceller is not None
    heard = scene(12.0)
    assert len(canceller.process(heard.near[:320], heard.far[:320])) == 320
