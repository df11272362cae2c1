"""Whatever the service sends, in whatever order: gate, light and loudspeaker keep their promises, and peace returns."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from faults.scripts import play_scripts

MODES = ["kiosk", "speaker", "prewarm", "hook"]
TOGETHER = 50  # scripts that one device plays
EVERYDAY, ALL = 120, 10_000


@pytest.mark.parametrize("mode", MODES)
def test_a_hundred_random_scripts(tmp_path: Path, mode: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    each = EVERYDAY // len(MODES)
    begin = MODES.index(mode) * each
    assert play_scripts(tmp_path, range(begin, begin + each), mode=mode) == []


@pytest.mark.slow
@pytest.mark.virtual
@pytest.mark.timeout(900)
@pytest.mark.parametrize("part", range(20))
def test_ten_thousand_random_scripts(tmp_path: Path, part: int, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR)
    each = ALL // 20
    for begin in range(part * each, (part + 1) * each, TOGETHER):
        mode = MODES[begin // TOGETHER % len(MODES)]
        seeds = range(1_000_000 + begin, 1_000_000 + begin + TOGETHER)
        assert play_scripts(tmp_path / str(begin), seeds, mode=mode) == []
