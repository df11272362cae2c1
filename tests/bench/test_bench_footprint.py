"""What the parts of full-duplex talk add to memory is measured, and a missing library is a row that says so."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_agent.bench import footprint


def test_every_part_has_its_own_megabytes_and_a_missing_one_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pywebrtc_audio.py").write_text("raise ImportError('not on this machine')\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    rows = footprint.measure(tmp_path)
    assert [row.what for row in rows] == [f"memory added: {name}" for name in footprint.PARTS.values()]
    missing, *found = rows
    assert missing.verdict == "not measured here"
    assert "pywebrtc-audio" in missing.note
    assert all(row.verdict == "no budget" and "MB" in row.figure for row in found)
    assert found[-1].values["added_mb"] > 1  # the wake word's library and model
