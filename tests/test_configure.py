"""`edge-agent config check` as a person types it: what the model cannot do is one line and code 78."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_agent.cli import main


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ('[live]\nthinking = "low"', "thinking level"),
        ('[live]\nvoice = "Pick"', "did you mean Puck"),
        ("[vad]\nsilence_ms = 400", "[vad]"),
        ('[conversation]\nprompts = "gr"', "no sentences in 'gr' (conversation.prompts); there are de, en, es,"),
        ('[conversation]\nprompts = "../evil"', 'conversation.prompts = "../evil": allowed is a BCP-47 code'),
        ('[live]\nmodel = "gemini-3.5-live-translate-preview"\ntranslate_to = "en"', 'mode = "speaker"'),
    ],
)
def test_a_wish_that_the_model_refuses_is_found_before_anybody_presses(
    settings: str,
    named: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    path = tmp_path / "config.toml"
    path.write_text(settings)
    assert main(["config", "check", "--config", str(path)]) == 78
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert not caplog.text, "told once"
    assert captured.err.startswith(f"{path}: ")
    assert named in captured.err


def test_a_file_of_sentences_that_would_stop_the_device_is_found_before(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "config.toml"
    path.write_text(f'[conversation]\nprompts = "sv"\nprompts_folder = "{tmp_path}"')
    (tmp_path / "sv.toml").write_text("muted = 3")
    assert main(["config", "check", "--config", str(path)]) == 78
    assert "sv.toml: muted must be a text" in capsys.readouterr().err
    (tmp_path / "sv.toml").unlink()
    (tmp_path / "sv").mkdir()
    assert main(["config", "check", "--config", str(path)]) == 0, "sounds alone are a language too"


def test_a_configuration_that_can_be_done_is_fine(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "config.toml"
    path.write_text('mode = "speaker"\n[live]\ngoogle_search = true\n[vad]\nsilence_ms = 600')
    assert main(["config", "check", "--config", str(path)]) == 0
    assert "fine, 3 settings differ" in capsys.readouterr().out
