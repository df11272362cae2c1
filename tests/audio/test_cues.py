"""Sound cues come from a table an owner may replace; a wrong table is explained."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edge_agent.audio.cues import NAMES, RATE, load_cues
from edge_agent.errors import ConfigError


def test_every_cue_of_the_device_has_a_sound() -> None:
    cues = load_cues()
    assert set(cues) == set(NAMES)
    for name, sound in cues.items():
        assert sound.dtype == np.float32
        assert 0.03 * RATE < len(sound) < 0.7 * RATE, name
        assert 0.03 < np.abs(sound).max() < 0.5, name
        assert abs(sound[0]) < 0.01, name
        assert abs(sound[-1]) < 0.01, name


def test_cues_can_be_told_apart() -> None:
    cues = load_cues()
    for name in NAMES:
        for other in NAMES:
            if name < other:
                assert len(cues[name]) != len(cues[other]) or not np.allclose(cues[name], cues[other], atol=0.05)


def test_a_tone_has_its_pitch_length_and_level(tmp_path: Path) -> None:
    path = tmp_path / "cues.toml"
    path.write_text("listen = [{ freq_hz = 1000, ms = 100, level_db = -20 }, { freq_hz = 0, ms = 50 }]\n")
    sound = load_cues(path)["listen"]
    assert len(sound) == 3_600
    assert np.abs(sound).max() == pytest.approx(0.1, rel=0.01)
    assert np.argmax(np.abs(np.fft.rfft(sound[:2_400]))) * RATE / 2_400 == pytest.approx(1_000)
    assert not sound[2_400:].any()


def test_an_owners_file_replaces_only_what_it_names(tmp_path: Path) -> None:
    path = tmp_path / "cues.toml"
    path.write_text("wait = []\n")
    cues = load_cues(path)
    assert len(cues["wait"]) == 0
    assert np.array_equal(cues["done"], load_cues()["done"])


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("listn = []", "unknown cue listn; did you mean listen"),
        ("zzz = []", "allowed are listen, done"),
        ("listen = 3", "must be a list of tones"),
        ("listen = [3]", "listen, tone 1 must be a table"),
        ("listen = [{ freq_hz = 440 }]", "tone 1: ms is missing"),
        ("listen = [{ ms = 440 }]", "freq_hz is missing"),
        ("listen = [{ freq_hz = 440, ms = 9, pan = 1 }]", "unknown key pan; allowed are freq_hz, ms"),
        ("listen = [{ freq_hz = 20000, ms = 9 }]", "freq_hz = 20000: allowed is a number from 0 to 11000"),
        ("listen = [{ freq_hz = 5, ms = 9 }]", "allowed is 0 (a rest) or 20"),
        ("listen = [{ freq_hz = true, ms = 9 }]", "freq_hz = True"),
        ("listen = [" + "{ freq_hz = 440, ms = 5000 }," * 3 + "]", "lasts 15000 ms; at most 10000"),
        ("listen = [", "not TOML"),
    ],
)
def test_a_wrong_table_is_explained(tmp_path: Path, text: str, sentence: str) -> None:
    path = tmp_path / "cues.toml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_cues(path)
    assert sentence in str(caught.value)
    assert str(path) in str(caught.value)


def test_a_missing_or_unreadable_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file"):
        load_cues(tmp_path / "none.toml")
    with pytest.raises(ConfigError, match="cannot be read"):
        load_cues(tmp_path)
