"""What a wake word's files may be, and the sentence for everything else."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.config.checks import BUILT_IN_WORDS
from edge_agent.errors import ConfigError
from edge_agent.wake import WakeDetector, find, find_all, models

GOOD: dict[str, Any] = {
    "type": "micro", "version": 2, "wake_word": "Hey Museum", "author": "us", "model": "museum.tflite",
    "trained_languages": ["en"],
    "micro": {"probability_cutoff": 0.9, "feature_step_size": 10, "sliding_window_size": 5, "tensor_arena_size": 30000},
}  # fmt: skip
DATA = find("alexa").data


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A folder with a model of one's own: alexa under another name."""
    (tmp_path / "museum.tflite").write_bytes(DATA)
    return describe(tmp_path)


def describe(folder: Path, **changed: Any) -> Path:
    """Write the description with some keys changed (None: left out), those of `micro` with a `micro_` before them."""
    tree = {**GOOD, "micro": dict(GOOD["micro"])}
    for key, value in changed.items():
        table, name = (tree["micro"], key[6:]) if key.startswith("micro_") else (tree, key)
        table[name] = value
        if value is None:
            del table[name]
    path = folder / "museum.json"
    path.write_text(json.dumps(tree))
    return path


def sentence(path: Path | str) -> str:
    with pytest.raises(ConfigError) as refused:
        find(str(path))
    text = str(refused.value)
    assert "\n" not in text
    return text


@pytest.mark.parametrize("word", BUILT_IN_WORDS)
def test_every_built_in_word_is_there(word: str) -> None:
    model = find(word)
    assert model.name == word
    assert model.word.lower() == word.replace("_", " ")
    assert 0.5 < model.cutoff < 1
    assert len(repr(model)) < 200


@pytest.mark.parametrize("ending", [".json", ".tflite"])
def test_ones_own_model_by_either_of_its_files(own: Path, ending: str) -> None:
    model = find(str(own.with_suffix(ending)))
    assert (model.name, model.word, model.cutoff, model.window) == ("museum", "Hey Museum", 0.9, 5)
    assert model.data == DATA
    WakeDetector([model]).close()


def test_the_description_in_the_docs_is_accepted(own: Path) -> None:
    page = (Path(__file__).parents[2] / "docs/wake.md").read_text()
    own.write_text(page.partition("```json\n")[2].partition("```")[0])
    assert find(str(own)).word == "Hey Museum"


def test_several_words_of_both_kinds(own: Path) -> None:
    assert [model.word for model in find_all(f"okay_nabu , {own}")] == ["Okay Nabu", "Hey Museum"]
    assert find_all("") == find_all("  ") == []


def test_the_same_phrase_twice_is_refused(own: Path) -> None:
    describe(own.parent, wake_word="Alexa")
    with pytest.raises(ConfigError, match="have the phrase 'Alexa'; each may stand once"):
        find_all(f"alexa, {own}")


@pytest.mark.parametrize(
    ("changed", "part"),
    [
        ({"type": "porcupine"}, 'type = "porcupine"; allowed is "micro"'),
        ({"type": None}, 'type is missing; allowed is "micro"'),
        ({"version": 1}, "version = 1; allowed is 2"),
        ({"wake_word": ""}, 'wake_word = ""; allowed is a phrase of up to 40'),
        ({"wake_word": "a\u001b[2Jb"}, "wake_word ="),
        ({"wake_word": "x" * 41}, "wake_word ="),
        ({"wake_word": ["x"]}, "wake_word ="),
        ({"model": None}, "model is missing; allowed is the name of a .tflite file in the same folder"),
        ({"model": "../museum.tflite"}, 'model = "../museum.tflite"; allowed is'),
        ({"model": "/etc/museum.tflite"}, "model ="),
        ({"model": "museum.bin"}, "model ="),
        ({"model": "other.tflite"}, "other.tflite: no such file"),
        ({"micro": None}, "micro is missing; allowed is an object"),
        ({"micro": 3}, "micro = 3; allowed is an object"),
        ({"micro_probability_cutoff": 0.0}, "micro.probability_cutoff = 0.0; allowed is a number from 0.1 to 0.99"),
        ({"micro_probability_cutoff": 1}, "micro.probability_cutoff = 1;"),
        ({"micro_probability_cutoff": True}, "micro.probability_cutoff = true;"),
        ({"micro_probability_cutoff": float("nan")}, "micro.probability_cutoff = NaN;"),
        ({"micro_probability_cutoff": None}, "micro.probability_cutoff is missing"),
        ({"micro_sliding_window_size": 0}, "micro.sliding_window_size = 0; allowed is a whole number from 1 to 50"),
        ({"micro_sliding_window_size": 2.5}, "micro.sliding_window_size = 2.5;"),
        ({"micro_sliding_window_size": 10**30}, "micro.sliding_window_size = 1000"),
        ({"micro_feature_step_size": 20}, "micro.feature_step_size = 20; allowed is 10"),
    ],
)
def test_a_description_that_does_not_fit(own: Path, changed: dict[str, Any], part: str) -> None:
    describe(own.parent, **changed)
    text = sentence(own)
    assert text.startswith(f"{own.parent}{os.sep}")
    assert part in text


@pytest.mark.parametrize(
    ("content", "part"),
    [
        (b"not json", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b"[" * 20_000, "not JSON"),
        (b"[1]", "holds no JSON object"),
        (b"{" + b" " * 65_536 + b"}", "larger than 64 kB"),
    ],
)
def test_a_description_that_is_none(own: Path, content: bytes, part: str) -> None:
    own.write_bytes(content)
    assert part in sentence(own)


def test_files_that_are_not_there_or_no_files(own: Path) -> None:
    model = own.with_suffix(".tflite")
    model.unlink()
    assert sentence(own) == f"{model}: no such file; it should be the model that its description names"
    os.mkfifo(model)
    assert "no such file" in sentence(own)
    assert "no such file; it should be a wake word's description" in sentence(own.parent / "absent.tflite")
    assert "allowed are okay_nabu, hey_jarvis, hey_mycroft, alexa, or a file" in sentence("computer")


def test_a_link_may_not_lead_out_of_the_folder(own: Path) -> None:
    inner = own.parent / "inner"
    inner.mkdir()
    (inner / "museum.tflite").symlink_to(own.with_suffix(".tflite"))
    assert "leads to another folder" in sentence(shutil.copy(own, inner))


def test_the_description_must_be_of_this_model(own: Path) -> None:
    other = own.with_name("other.tflite")
    other.write_bytes(DATA)
    shutil.copy(own, other.with_suffix(".json"))
    assert sentence(other).endswith("model = 'museum.tflite', so it does not describe other.tflite")


@pytest.mark.parametrize(
    ("data", "part"),
    [
        (b"", "not a TensorFlow Lite model"),
        (b"\0\0\0\0TFL3", "not a TensorFlow Lite model"),
        (DATA[:4] + b"TFL2" + DATA[8:], "not a TensorFlow Lite model"),
        (DATA + bytes(2_000_000), "larger than 1024 kB"),
        (DATA[: len(DATA) // 2], "damaged, or no TensorFlow Lite model"),
        (DATA[:8] + bytes(len(DATA) - 8), "it asks for operations or memory that are not there"),
    ],
)
def test_a_model_that_is_none(own: Path, data: bytes, part: str) -> None:
    model = own.with_suffix(".tflite")
    model.write_bytes(data)
    text = sentence(own)
    assert text.startswith(f"{model}: ")
    assert part in text


def test_without_the_package_it_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "_PACKAGE", "no_such_package")
    assert "type: pip install pymicro-wakeword, or leave wake.word empty" in sentence("alexa")


def test_where_no_process_can_be_started_it_is_said(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.executable", "/nowhere/python")
    assert "no process can be started to try it (No such file or directory)" in sentence(own)


def test_ones_own_model_is_not_read_again_once_it_listens(own: Path) -> None:
    detector = WakeDetector([find(str(own))])
    own.with_suffix(".tflite").write_bytes(b"")
    detector.hear(np.zeros(8_000, np.int16))
    detector.reset()
    assert detector.hear(np.zeros(8_000, np.int16)) == []


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda deep: (
            st.lists(deep) | st.dictionaries(st.sampled_from(["type", "version", "model", "micro", "wake_word"]), deep)
        ),
        max_leaves=6,
    )
)
def test_whatever_the_json_holds_it_is_refused_with_a_sentence(
    tmp_path_factory: pytest.TempPathFactory, tree: Any
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.json"
    path.write_text(json.dumps(tree))
    assert str(path) in sentence(path)
