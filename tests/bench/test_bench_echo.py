"""The cost of the cancellers is measured for every kind, and a missing library is a row that says so."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_agent.bench import echo


def test_every_canceller_is_measured_at_every_block_length(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    rows, pure = echo.measure(tmp_path, runs=1)
    *hot, paced = rows
    assert [row.what for row in hot] == [
        f"echo canceller {kind}, {ms} ms blocks" for kind in echo.KINDS for ms in echo.BLOCKS_MS
    ]
    assert all(row.values["runs"] == 1 and row.values["cpu_ms_per_s"] > 0 for row in rows)
    assert pure.hot == hot[0].values["cpu_ms_per_s"]
    assert pure.paced == paced.values["cpu_ms_per_s"]


def test_a_canceller_that_cannot_be_loaded_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pywebrtc_audio.py").write_text("raise ImportError('not on this machine')\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    rows, pure = echo.measure(tmp_path, runs=1)
    assert rows[0].verdict == "not measured here"
    assert "pywebrtc-audio" in rows[0].note
    assert len(rows) == 1 + 2 * len(echo.BLOCKS_MS)
    assert (pure.hot, pure.paced) == (0.0, 0.0)
