"""The folder of sounds: what is kept is found again, whole or not at all."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest

from edge_agent.prompts import Sentence
from edge_agent.prompts.sounds import keep, languages_of, recording, sources, wav_of
from edge_agent.service.state import write_atomically

SAID = {"text": "Time is up.", "voice": "Kore", "model": "gemini-3.8-live", "at": "2026-11-22T10:00:00+01:00"}


def test_what_is_kept_is_found_with_its_note(tmp_path: Path) -> None:
    path = keep(tmp_path, "timer_over", "en", b"RIFF...", **SAID)
    assert path == wav_of(tmp_path, "timer_over", "en") == tmp_path / "en" / "recorded" / "timer_over.wav"
    assert path.read_bytes() == b"RIFF..."
    found = recording(tmp_path, "timer_over", "en")
    assert found is not None
    assert (found.text, found.voice, found.model, found.at) == tuple(SAID.values())
    assert recording(tmp_path, "timer_over", "de") is None
    assert sorted(one.name for one in path.parent.iterdir()) == ["timer_over.json", "timer_over.wav"]


def test_another_user_may_read_what_is_kept(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        path = keep(tmp_path / "new" / "place", "timer_over", "en", b"RIFF...", **SAID)
    finally:
        os.umask(before)
    for one in (path, path.with_suffix(".json")):
        assert stat.S_IMODE(one.stat().st_mode) == 0o644
    for folder in (path.parent, path.parent.parent, tmp_path / "new" / "place", tmp_path / "new"):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o755


def test_a_new_recording_whose_note_was_not_written_any_more_counts_as_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep(tmp_path, "timer_over", "en", b"old", **SAID)
    count = 0

    def power_cut(path: Path, data: bytes, *, mode: int) -> None:
        nonlocal count
        count += 1
        if count == 2:
            raise OSError(5, "Input/output error")
        write_atomically(path, data, mode=mode)

    monkeypatch.setattr("edge_agent.prompts.sounds.write_atomically", power_cut)
    with pytest.raises(OSError, match="Input/output"):
        keep(tmp_path, "timer_over", "en", b"new", **SAID | {"text": "Bye."})
    assert recording(tmp_path, "timer_over", "en") is None, "the old words would be told of the new sound"


@pytest.mark.parametrize("wrong", ["no note", "no JSON", "a list", "a key less", "a number", "no sound"])
def test_what_is_not_whole_is_no_recording(tmp_path: Path, wrong: str) -> None:
    path = keep(tmp_path, "timer_over", "en", b"RIFF...", **SAID)
    note = path.with_suffix(".json")
    tree = json.loads(note.read_text())
    match wrong:
        case "no note":
            note.unlink()
        case "no JSON":
            note.write_bytes(b"\xff{")
        case "a list":
            note.write_text("[1, 2]")
        case "a key less":
            del tree["voice"]
            note.write_text(json.dumps(tree))
        case "a number":
            note.write_text(json.dumps(tree | {"voice": 3}))
        case "no sound":
            path.unlink()
    assert recording(tmp_path, "timer_over", "en") is None
    assert not list(sources("timer_over", Sentence("Time is up.", "en"), "en", [tmp_path]))


@pytest.mark.parametrize(
    ("asked", "written", "expected"),
    [
        ("de_AT", "de", ["de-AT", "de"]),
        ("de-AT", "de-AT", ["de-AT"]),
        ("sv", "en", ["sv", "en"]),
        ("en", "en", ["en"]),
        ("../../etc", "en", ["en"]),
        ("", "en", ["en"]),
    ],
)
def test_the_languages_whose_own_sounds_go(asked: str, written: str, expected: list[str]) -> None:
    assert languages_of(Sentence("Time is up.", written), asked) == expected
