"""`edge-agent rehearse` from the command line to the sheet."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from edge_agent.cli import main
from edge_agent.rehearsal.asking import Answer
from edge_agent.rehearsal.questions import Question
from edge_agent.simulator import Hang, Say, SyncTwin
from edge_agent.simulator.sound import noise


@pytest.fixture
def questions(tmp_path: Path) -> Path:
    path = tmp_path / "questions.txt"
    path.write_text("# hours\nWhen do you open?\n---\nHow much is it?\n")
    return path


def test_a_sheet_is_written_and_every_step_is_told(
    twin: SyncTwin, configured: Callable[..., Path], questions: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "sheet.html"
    assert main(["rehearse", str(questions), "--config", str(configured(twin)), "--out", str(out)]) == 0
    html = out.read_text()
    for words in (
        "When do you open?",
        "How much is it?",
        "Yes.",
        "otto",
        "Kore",
        "gemini-3.8-live",
        "hours.md",
        "set_volume",
    ):
        assert words in html
    assert "test-key" not in html
    told = capsys.readouterr().out.splitlines()
    assert told == [
        "1/2  When do you open?  [0.2 s]",
        "2/2  How much is it?  [0.2 s]",
        f"{out}: 2 of 2 questions answered",
    ]


def test_a_question_without_answer_fails_the_rehearsal_and_stands_in_the_sheet(
    twin: SyncTwin, configured: Callable[..., Path], questions: Path, tmp_path: Path
) -> None:
    twin.answer(Hang())
    out = tmp_path / "sheet.html"
    assert main(["rehearse", str(questions), "--config", str(configured(twin)), "--out", str(out)]) == 1
    assert "The service said nothing for 1 s." in out.read_text()
    assert "Yes." in out.read_text()


def test_the_sheet_gets_a_name_of_its_own(
    twin: SyncTwin, configured: Callable[..., Path], questions: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["rehearse", str(questions), "--config", str(configured(twin))]) == 0
    (sheet,) = tmp_path.glob("rehearsal-20??-??-??-??????.html")
    assert "When do you open?" in sheet.read_text()


def test_long_answers_lie_beside_the_sheet(
    twin: SyncTwin, configured: Callable[..., Path], questions: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from edge_agent.rehearsal import command, sheet

    monkeypatch.setattr(command, "sounds_for", lambda *a, **k: sheet.sounds_for(*a, **k, limit=1000))
    twin.answer(Say("Long.", noise(0.5, seed=1), pace=0))
    out = tmp_path / "sheet.html"
    assert main(["rehearse", str(questions), "--config", str(configured(twin)), "--out", str(out)]) == 0
    assert sorted(path.name for path in (tmp_path / "sheet-sound").iterdir()) == ["001.wav", "002.wav"]
    assert (tmp_path / "sheet-sound/001.wav").stat().st_size == 44 + len(noise(0.5, seed=1))
    assert 'src="sheet-sound/001.wav"' in out.read_text()


def test_stopped_half_way_the_sheet_holds_what_was_answered(
    twin: SyncTwin, configured: Callable[..., Path], questions: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from edge_agent.rehearsal import command

    async def interrupted(asked: list[Question], _opening: object, answers: list[Answer], **_: object) -> None:
        answers.append(Answer(asked[0], text="Yes."))
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "_gather", interrupted)
    out = tmp_path / "sheet.html"
    assert main(["rehearse", str(questions), "--config", str(configured(twin)), "--out", str(out)]) == 1
    html = out.read_text()
    assert "1 of 2 questions were answered" in html
    assert "Not asked: stopped by hand." in html


@pytest.mark.parametrize("wrong", ["absent", "empty", "latin", "place"])
def test_what_cannot_be_used_is_said_before_anything_is_asked(
    twin: SyncTwin, configured: Callable[..., Path], questions: Path, wrong: str, capsys: pytest.CaptureFixture[str]
) -> None:
    out = questions.with_name("sheet.html")
    match wrong:
        case "absent":
            questions.unlink()
        case "empty":
            questions.write_text("# nothing\n")
        case "latin":
            questions.write_bytes("Können Sie das?".encode("latin-1"))
        case "place":
            out = questions.parent / "no-such-folder" / "sheet.html"
    assert main(["rehearse", str(questions), "--config", str(configured(twin)), "--out", str(out)]) == 2
    (told,) = capsys.readouterr().err.splitlines()
    assert str(out if wrong == "place" else questions) in told
    assert not twin.sessions
    assert not out.exists()


def test_a_wrong_persona_is_a_wrong_configuration(
    twin: SyncTwin, configured: Callable[..., Path], questions: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = configured(twin)
    (tmp_path / "otto" / "instruction.md").unlink()
    assert main(["rehearse", str(questions), "--config", str(path), "--out", str(tmp_path / "s.html")]) == 78
    assert "instruction.md" in capsys.readouterr().err
