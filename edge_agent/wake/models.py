"""Wake words by name or file: found, read and checked before anything is run.

    find("okay_nabu")                        # a Model that comes with pymicro-wakeword
    find("/etc/edge-agent/wake/museum.json") # one's own: microWakeWord's description, version 2, the .tflite beside it
    find("/etc/edge-agent/wake/museum.tflite")               # the same, by its other half
    find_all("okay_nabu, /etc/edge-agent/wake/museum.json")  # a setting: several with commas; "" gives none

A description is a JSON object:

    {"type": "micro", "version": 2, "wake_word": "Hey Museum", "model": "museum.tflite",
     "micro": {"probability_cutoff": 0.9, "feature_step_size": 10, "sliding_window_size": 5}}

Other keys that microWakeWord writes (author, website, trained_languages, tensor_arena_size, ...) are passed over.
One's own model is tried in a child process before it is believed, so `find` blocks for 0.1 s or more: call it before
the event loop runs, or in a thread. Refused, in one sentence with file, fault and what is allowed: everything else.
"""

from __future__ import annotations

import importlib.util
import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edge_agent.config.checks import BUILT_IN_WORDS, split_words
from edge_agent.errors import ConfigError
from edge_agent.wake import tflite

MAX_DESCRIPTION = 64 * 1024  # bytes; the known ones have 400
MAX_MODEL = 1024 * 1024  # bytes; the known ones have 50 to 80 thousand, and a processor to spare for ten times that
MIN_MODEL = 1024  # bytes; less holds no network
STEP_MS = 10  # between features: what the front end gives
CUTOFFS = (0.1, 0.99)  # below, every noise fires; above, nothing can, as scores end at 255/256
WINDOWS = (1, 50)  # scores averaged, of 30 ms each as a rule: up to 1.5 s
PHRASE = 40  # characters of a phrase, which is shown in a table

_PACKAGE = "pymicro_wakeword"


@dataclass(frozen=True, slots=True)
class Model:
    """A wake word that was found to be usable.

    Attributes:
        name: as it stands in the settings: of a built-in word, else the stem of the file's name.
        word: the phrase people say, for logs and tables.
        cutoff: a mean score above this is a hit, by the model's own makers; 0 to 1.
        window: over how many scores the mean goes.
        data: the content of the .tflite file.
        library: the TensorFlow Lite library that runs it.
    """

    name: str
    word: str
    cutoff: float
    window: int
    data: bytes = field(repr=False)
    library: Path = field(repr=False)


def find(word: str) -> Model:
    """Return the model of a built-in word, or of a path that ends in .json or .tflite.

    Raises:
        ConfigError: one sentence: the file, what is wrong with it, what is allowed.
    """
    folder, library = _package()
    if word in BUILT_IN_WORDS:
        return _read(folder / "models" / f"{word}.json", library)
    path = Path(word)
    if path.suffix not in {".json", ".tflite"}:
        allowed = f"{', '.join(BUILT_IN_WORDS)}, or a file that ends in .json or .tflite"
        raise ConfigError(f"{word[:60]}: no such wake word; allowed are {allowed}")
    model = _read(path.with_suffix(".json"), library, only=path.name if path.suffix == ".tflite" else "")
    try:
        tflite.trial(library, model.data)
    except tflite.Unusable as error:
        raise ConfigError(f"{path.with_suffix('.tflite')}: {error}") from None
    except OSError as error:
        raise ConfigError(f"{path}: no process can be started to try it ({error.strerror})") from None
    return model


def find_all(words: str) -> list[Model]:
    """Return the models of a setting's value: names and paths, several with commas; none of "".

    Raises:
        ConfigError: one of them cannot be used, or two have the same phrase.
    """
    models = [find(word) for word in split_words(words)]
    phrases = [model.word for model in models]
    for phrase in phrases:
        if phrases.count(phrase) > 1:
            raise ConfigError(f"two of the wake words {words[:60]} have the phrase {phrase!r}; each may stand once")
    return models


def _package() -> tuple[Path, Path]:
    """Return where pymicro-wakeword lies, and its TensorFlow Lite library, without importing it."""
    found = importlib.util.find_spec(_PACKAGE)
    places = found.submodule_search_locations if found else None
    for place in places or ():
        for library in sorted(Path(place).glob("lib/*tensorflowlite_c.*")):
            return Path(place), library
    raise ConfigError(
        "Wake words need the package pymicro-wakeword, which is missing or has no library for this machine; "
        "type: pip install pymicro-wakeword, or leave wake.word empty."
    )


def _read(path: Path, library: Path, *, only: str = "") -> Model:
    """Read a description and its model, and check both as far as that goes without running anything."""
    content = _content(path, MAX_DESCRIPTION, "it should be a wake word's description")
    try:
        tree = json.loads(content.decode("utf-8"))
    except (ValueError, RecursionError):
        raise ConfigError(f"{path}: not JSON; it should be a wake word's description") from None
    if not isinstance(tree, dict):
        raise ConfigError(f"{path}: holds no JSON object; it should be a wake word's description")
    _must(path, tree, "type", '"micro"', tree.get("type") == "micro")
    _must(path, tree, "version", "2", tree.get("version") == 2)
    word = tree.get("wake_word")
    readable = isinstance(word, str) and 0 < len(word.strip()) <= PHRASE and word.isprintable()
    _must(path, tree, "wake_word", f"a phrase of up to {PHRASE} characters", readable)
    micro = tree.get("micro")
    _must(path, tree, "micro", "an object", isinstance(micro, dict))
    where = f"{path}: micro."
    cutoff = _number(where, micro, "probability_cutoff", CUTOFFS)
    window = _number(where, micro, "sliding_window_size", WINDOWS, whole=True)
    _number(where, micro, "feature_step_size", (STEP_MS, STEP_MS), whole=True)
    return Model(path.stem, str(word).strip(), cutoff, int(window), _model(path, tree, only), library)


def _model(path: Path, tree: dict[str, Any], only: str) -> bytes:
    """Return the content of the file that a description names."""
    name = tree.get("model")
    allowed = "the name of a .tflite file in the same folder"
    plain = isinstance(name, str) and name.isprintable() and name.endswith(".tflite") and Path(name).name == name
    _must(path, tree, "model", allowed, plain)
    file = path.parent / str(name)
    if file.resolve().parent != path.parent.resolve():
        raise ConfigError(f"{path}: model = {name!r} leads to another folder; allowed is {allowed}")
    if only and only != name:
        raise ConfigError(f"{path}: model = {name!r}, so it does not describe {only}")
    data = _content(file, MAX_MODEL, "it should be the model that its description names")
    if len(data) < MIN_MODEL or data[4:8] != b"TFL3":
        raise ConfigError(f"{file}: not a TensorFlow Lite model")
    return data


def _content(path: Path, most: int, purpose: str) -> bytes:
    """Return the content of a plain file of at most `most` bytes."""
    if not path.is_file():  # a pipe or a device could keep the reader for ever
        raise ConfigError(f"{path}: no such file; {purpose}")
    try:
        with path.open("rb") as file:
            data = file.read(most + 1)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}); {purpose}") from None
    if len(data) > most:
        raise ConfigError(f"{path}: larger than {most // 1024} kB, the most that is allowed; {purpose}")
    return data


def _must(path: Path, tree: dict[str, Any], key: str, allowed: str, fine: bool) -> None:
    if not fine:
        given = f"{key} = {_shown(tree[key])}" if key in tree else f"{key} is missing"
        raise ConfigError(f"{path}: {given}; allowed is {allowed}")


def _number(where: str, table: Any, key: str, bounds: tuple[float, float], *, whole: bool = False) -> float:
    value = table.get(key)
    low, high = bounds
    fine = type(value) is int or (type(value) is float and not whole and math.isfinite(value))
    if not fine or not low <= value <= high:
        given = f"{key} = {_shown(value)}" if key in table else f"{key} is missing"
        kind = f"{low:g}" if low == high else f"a {'whole ' if whole else ''}number from {low:g} to {high:g}"
        raise ConfigError(f"{where}{given}; allowed is {kind}")
    return float(value)


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=True)
    return text if len(text) <= 60 else text[:57] + "..."  # a line of a terminal
