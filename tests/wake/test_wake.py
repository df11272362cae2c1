"""The table [wake] as the start and `config check` see it."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_agent.config import parse
from edge_agent.config.device import Wake
from edge_agent.errors import ConfigError
from edge_agent.wake import check, find, open_detector


def test_no_word_no_detector() -> None:
    assert open_detector(Wake()) is None
    check(Wake())


def test_words_and_sensitivity_come_from_the_settings() -> None:
    config = parse({"mode": "speaker", "wake": {"word": "okay_nabu, alexa", "sensitivity": 0.75}}, source="test")
    detector = open_detector(config.wake)
    assert detector is not None
    assert detector.words == ("Okay Nabu", "Alexa")
    assert detector._ears[0].cutoff == pytest.approx(0.7 * find("okay_nabu").cutoff)
    detector.close()


def test_a_stop_word_alone_is_a_detector_too(tmp_path: Path) -> None:
    description = Path(find("alexa").library).parent.parent / "models" / "alexa.json"
    for file in (description, description.with_suffix(".tflite")):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    detector = open_detector(Wake(stop=str(tmp_path / "alexa.json")))
    assert detector is not None
    assert detector.words == ()
    assert [ear.kind for ear in detector._ears] == ["stop"]


def test_what_is_wrong_names_file_and_key(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as refused:
        check(Wake(word=f"{tmp_path}/hal.json"), Path("config.toml"))
    assert str(refused.value).startswith(f"config.toml: wake.word: {tmp_path}/hal.json: no such file")
    with pytest.raises(ConfigError, match=r"^wake\.stop: "):
        check(Wake(stop=f"{tmp_path}/stop.tflite"))
