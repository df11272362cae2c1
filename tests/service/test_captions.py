"""Captions: pieces become lines, and lines leave no trace unless the owner wants one."""

from __future__ import annotations

from pathlib import Path

from edge_agent.service.captions import MAX_LINE, Captions


def test_pieces_are_joined_until_the_speaker_changes() -> None:
    captions = Captions()
    assert captions.add("person", "What ti", finished=False) == "What ti"
    assert captions.add("person", "me is it?", finished=False) == "What time is it?"
    assert captions.add("device", " Ten", finished=False) == "Ten"
    assert captions.add("person", "Thanks", finished=True) == "Thanks"
    assert captions.add("person", "Bye", finished=False) == "Bye", "a finished line is not gone on with"


def test_nothing_is_written_without_a_file(tmp_path: Path) -> None:
    captions = Captions()
    captions.add("person", "secret", finished=True)
    assert list(tmp_path.iterdir()) == []


def test_lines_are_appended_to_the_owners_file(tmp_path: Path) -> None:
    path = tmp_path / "captions.txt"
    captions = Captions(path)
    captions.add("person", "What time is it?", finished=False)
    captions.add("device", "Ten o'clock.", finished=False)
    captions.end_turn()
    lines = path.read_text().splitlines()
    assert [line.split(" ", 2)[2] for line in lines] == ["person: What time is it?", "device: Ten o'clock."]


def test_a_wiped_line_is_never_written(tmp_path: Path) -> None:
    path = tmp_path / "captions.txt"
    captions = Captions(path)
    captions.add("person", "do not keep this", finished=False)
    captions.wipe()
    captions.end_turn()
    assert not path.exists()


def test_a_file_that_cannot_be_written_is_said_and_nothing_breaks(tmp_path: Path) -> None:
    captions = Captions(tmp_path / "no-folder" / "captions.txt")
    captions.add("person", "hello", finished=True)
    assert "no-folder" in captions.failure


def test_a_line_without_end_stays_bounded() -> None:
    captions = Captions()
    for _ in range(100):
        line = captions.add("device", "x" * 1000, finished=False)
    assert len(line) == MAX_LINE
