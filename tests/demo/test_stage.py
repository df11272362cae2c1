"""Where no sound server can be had, WAV files stand in for it, and the demonstration says so."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pytest

from edge_agent.demo import stage
from edge_agent.demo.air import FileAir
from edge_agent.demo.daemon import Daemon
from edge_agent.demo.journal import Journal
from edge_agent.demo.stage import Stage
from edge_agent.errors import Stop


@pytest.fixture
def deaf(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without pocketsphinx: nothing to load."""
    monkeypatch.setattr(stage, "why_deaf", lambda: "pocketsphinx is not installed")


@pytest.mark.usefixtures("deaf")
def test_without_a_sound_server_files_stand_in_and_it_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    monkeypatch.setattr(Daemon, "start", lambda _: (_ for _ in ()).throw(Stop("far enough")))
    one = Stage(tmp_path, Journal(), files=False)
    with pytest.raises(Stop, match="far enough"), one:
        pass
    assert isinstance(one.air, FileAir)
    assert not one.real_sound
    assert any("pulseaudio" in note and "WAV files stand in" in note for note in one.notes)


@pytest.mark.usefixtures("deaf")
def test_without_an_ear_it_says_that_the_answers_follow_the_script(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Daemon, "start", lambda _: (_ for _ in ()).throw(Stop("far enough")))
    one = Stage(tmp_path, Journal(), files=True)
    with pytest.raises(Stop, match="far enough"), one:
        pass
    assert not one.mind.understands
    assert "The answers follow the script: pocketsphinx is not installed." in one.notes


@pytest.mark.usefixtures("deaf")
def test_a_stage_that_cannot_be_set_up_leaves_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "mkdtemp", lambda **_: str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(Daemon, "start", lambda _: (_ for _ in ()).throw(Stop("far enough")))
    with pytest.raises(Stop, match="far enough"), Stage(tmp_path, Journal(), files=True):
        pass
    assert not (tmp_path / "temporary").exists()
