"""The persona folder: read whole, capped, refused with sentences, and read again when it changed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent import persona as persona_module
from edge_agent.errors import ConfigError
from edge_agent.persona import Knowledge, Persona, PersonaFolder, estimate_tokens, load_persona, read_history


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "knowledge").mkdir()
    (tmp_path / "instruction.md").write_text("You are the voice of the museum.\n")
    return tmp_path


def test_a_whole_folder(folder: Path) -> None:
    (folder / "knowledge" / "b-prices.md").write_text("Free on Sundays.")
    (folder / "knowledge" / "a-hours.md").write_bytes("\ufeffÖffnet um zehn.\n".encode())
    (folder / "knowledge" / "empty.md").write_text("\n")
    (folder / "knowledge" / "draft.txt").write_text("not this")
    (folder / "greeting.txt").write_text("Welcome!\n")
    (folder / "persona.toml").write_text('voice = "Kore"\nlanguage = "de-DE"\n')
    persona = load_persona(folder)
    assert persona == Persona(
        instruction="You are the voice of the museum.",
        knowledge=(Knowledge("a-hours", "Öffnet um zehn.", 5), Knowledge("b-prices", "Free on Sundays.", 6)),
        greeting="Welcome!",
        voice="Kore",
        language="de-DE",
    )
    text = persona.compose()
    assert text.index("voice of the museum") < text.index("## a-hours\n\nÖffnet um zehn.") < text.index("## b-prices")
    assert persona.tokens >= 5 + 6 + 11


def test_the_instruction_alone_is_enough(folder: Path) -> None:
    persona = load_persona(folder)
    assert persona == Persona(instruction="You are the voice of the museum.")
    assert persona.compose() == "You are the voice of the museum."


def test_too_much_knowledge_is_refused_with_the_count_of_every_file(folder: Path) -> None:
    (folder / "knowledge" / "small.md").write_text("abc" * 10)
    (folder / "knowledge" / "large.md").write_text("abc" * 7991)
    with pytest.raises(ConfigError) as caught:
        load_persona(folder)
    assert "about 8001 tokens, more than the 8000 allowed (large.md 7991, small.md 10)" in str(caught.value)
    (folder / "persona.toml").write_text("max_knowledge_tokens = 8001")
    assert len(load_persona(folder).knowledge) == 2


@pytest.mark.parametrize(
    ("name", "data", "part"),
    [
        ("instruction.md", b" \n", "instruction.md: empty"),
        ("instruction.md", b"one\ntwo caf\xe9", "instruction.md: line 2 is not UTF-8"),
        ("knowledge/x.md", b"\xff\xfe", "x.md: line 1 is not UTF-8"),
        ("greeting.txt", b"\x80", "greeting.txt: line 1 is not UTF-8"),
        ("persona.toml", b"voice = ", "persona.toml: not TOML"),
        ("persona.toml", b"voices = 'x'", "unknown key voices; allowed are voice, language, max_knowledge_tokens"),
        ("persona.toml", b"voice = 3", "voice must be a string"),
        ("persona.toml", b"max_knowledge_tokens = true", "max_knowledge_tokens must be a whole number"),
        ("persona.toml", b"max_knowledge_tokens = -1", "must not be negative"),
    ],
)
def test_what_is_wrong_is_named(folder: Path, name: str, data: bytes, part: str) -> None:
    (folder / name).write_bytes(data)
    with pytest.raises(ConfigError) as caught:
        load_persona(folder)
    assert part in str(caught.value)
    assert str(folder) in str(caught.value)


def test_missing_things_are_named(folder: Path) -> None:
    (folder / "instruction.md").unlink()
    with pytest.raises(ConfigError, match=r"instruction\.md: missing"):
        load_persona(folder)
    with pytest.raises(ConfigError, match="no such folder"):
        load_persona(folder / "absent")
    (folder / "instruction.md").mkdir()
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        load_persona(folder)


def test_a_film_is_no_knowledge(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(persona_module, "MAX_FILE_BYTES", 1 << 20)
    (folder / "knowledge" / "film.md").write_bytes(b"x" * (2 << 20))
    with pytest.raises(ConfigError, match="larger than 1 MiB"):
        load_persona(folder)


def test_it_is_read_again_only_when_something_changed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reads = []
    real = persona_module.load_persona

    def counted(path: Path) -> Persona:
        reads.append(path)
        return real(path)

    monkeypatch.setattr(persona_module, "load_persona", counted)
    watched = PersonaFolder(folder)
    first = watched.load()
    assert watched.load() is first
    assert len(reads) == 1
    (folder / "knowledge" / "new.md").write_text("Now with a café.")
    assert [one.name for one in watched.load().knowledge] == ["new"]
    (folder / "knowledge" / "new.md").write_text("Now with a shop.")  # the same length: the time tells
    os.utime(folder / "knowledge" / "new.md", ns=(1, 1))
    assert watched.load().knowledge[0].text == "Now with a shop."
    (folder / "knowledge" / "new.md").unlink()
    assert watched.load() == first
    assert len(reads) == 4


def test_a_mistake_is_told_until_it_is_mended(folder: Path) -> None:
    watched = PersonaFolder(folder)
    good = watched.load()
    (folder / "persona.toml").write_text("nonsense")
    for _ in range(2):
        with pytest.raises(ConfigError):
            watched.load()
    (folder / "persona.toml").unlink()
    assert watched.load() == good


@pytest.mark.parametrize(
    ("text", "tokens"),
    [("", 0), ("a", 1), ("abc", 1), ("abcd", 2), ("Привет", 3), ("博物館", 3), ("😀", 2), ("abc" * 1000, 1000)],
)
def test_the_estimate(text: str, tokens: int) -> None:
    assert estimate_tokens(text) == tokens


@given(st.text(), st.text())
def test_more_text_is_never_fewer_tokens(one: str, two: str) -> None:
    both = estimate_tokens(one + two)
    assert max(estimate_tokens(one), estimate_tokens(two)) <= both <= estimate_tokens(one) + estimate_tokens(two)


def test_a_history_is_read_in_order_and_again_when_it_changed(folder: Path) -> None:
    path = folder / "history.toml"
    path.write_text('[[turn]]\nuser = "Are you real?"\n[[turn]]\nmodel = " As real as bones. "\n')
    reader = PersonaFolder(folder)
    assert reader.load().history == (("user", "Are you real?"), ("model", "As real as bones."))
    path.write_text('turn = [{ user = "Who?" }]\n')
    assert reader.load().history == (("user", "Who?"),)
    assert "Who?" not in reader.load().compose(), "it is said, not instructed"


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("[[turn]", "not TOML"),
        ("", r"\[\[turn\]\]"),
        ('[[turns]]\nuser = "a"', r"\[\[turn\]\]"),
        ("turn = 3", r"\[\[turn\]\]"),
        ('[[turn]]\nuser = "a"\n[[turn]]\nmodell = "b"', "turn 2"),
        ('[[turn]]\nuser = "a"\nmodel = "b"', "turn 1"),
        ("[[turn]]\nuser = 3", "turn 1"),
        ("turn = [[]]", "turn 1"),
        ('[[turn]]\nuser = " "', "turn 1"),
        (f'[[turn]]\nuser = "{"abc" * 4001}"', "about 4001 tokens"),
    ],
)
def test_a_history_that_cannot_be_used_is_named(folder: Path, text: str, fault: str) -> None:
    (folder / "history.toml").write_text(text)
    with pytest.raises(ConfigError, match=fault) as caught:
        load_persona(folder)
    assert str(caught.value).startswith(str(folder / "history.toml"))


def test_no_history_is_none(folder: Path) -> None:
    assert read_history(folder / "history.toml") is None
