"""The wake word: says in which block a person said it. Models of microWakeWord, run by pymicro-wakeword's library.

    models = find_all(config.wake.word)              # before the loop runs: reads files, tries one's own models
    detector = WakeDetector(models, stop=None, sensitivity=0.5)
    for heard in detector.hear(block):               # in the sound thread, once per block, on echo-cancelled sound
        ...                                          # Heard("Okay Nabu", 0.91, fired=True, kind="wake", ago=120)
    detector.reset()                                 # after mute: what was heard before cannot fire any more
    detector = open_detector(config.wake)            # all of it from the settings; None where they name no word
    check(config.wake, file)                         # what `config check` and the start ask

In: (n,) int16 at 16 kHz, blocks of any length; what is cut differently gives the same. Out: hits, and near misses for
the log (`WakeLog`).

- A hit is a mean score above the cutoff; `sensitivity` moves the cutoff by `cutoff_for`. One utterance is one hit:
  after it no word of its kind fires for 1 s, and its own not before its score has fallen below the near line.
- A near miss is an approach that rose above half of the cutoff and fell again without a hit; told once, when it has
  fallen, and of one word at most once a second.
- "wake" and "stop" do not wait for each other: "okay nabu, stop" is two hits.
- A model that fails while it runs is dropped with a line in the log; sound goes on.

Costs on one x86-64 core: 2 ms of processor per second of sound with one word, 3 to 4 ms with three; 4 MB of memory.
Nothing of the sound is kept beyond 1.5 s, and that only as what a model remembers.

`models` says what a file must look like, `tflite` how models are run and tried.
"""

from __future__ import annotations

from pathlib import Path

from edge_agent.config.device import Wake
from edge_agent.errors import ConfigError
from edge_agent.wake.detector import Heard, Kind, WakeDetector, cutoff_for
from edge_agent.wake.log import Entry, Outcome, WakeLog
from edge_agent.wake.models import Model, find, find_all

__all__ = [
    "Entry",
    "Heard",
    "Kind",
    "Model",
    "Outcome",
    "WakeDetector",
    "WakeLog",
    "check",
    "cutoff_for",
    "find",
    "find_all",
    "open_detector",
]


def open_detector(settings: Wake) -> WakeDetector | None:
    """Return a detector for the table [wake]; None where it names no word. May block for some 0.1 s for each own model.

    Raises:
        ConfigError: one sentence, beginning with the key.
    """
    words = _models("wake.word", settings.word)
    stop = _models("wake.stop", settings.stop)
    if not words and not stop:
        return None
    return WakeDetector(words, stop=stop[0] if stop else None, sensitivity=settings.sensitivity)


def check(settings: Wake, file: Path | None = None) -> None:
    """Open a detector as the start would, and close it. Blocks as `open_detector` does.

    Args:
        settings: what is checked.
        file: where it was read; the sentence then begins with it.

    Raises:
        ConfigError: a word cannot be used; one sentence.
    """
    try:
        detector = open_detector(settings)
    except ConfigError as error:
        raise ConfigError(f"{file}: {error}" if file is not None else str(error)) from error
    if detector is not None:
        detector.close()


def _models(key: str, value: str) -> list[Model]:
    try:
        return find_all(value)
    except ConfigError as error:
        raise ConfigError(f"{key}: {error}") from error
