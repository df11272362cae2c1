"""Speak the device's own sentences without a network, through espeak-ng.

`speak` blocks for a tenth of a second or more: call it in a thread. The sentences spoken last are kept, so that what is
said often costs nothing the next time. A device without espeak-ng shows its faults by light alone; the log says so
once.
"""

from __future__ import annotations

import io
import logging
import subprocess
import threading
import wave
from collections import OrderedDict
from typing import NamedTuple

log = logging.getLogger(__name__)

DEADLINE_S = 5.0  # a Zero 2 W speaks the longest sentence in about one
KEPT_BYTES = 2_000_000  # some nine sentences at 22 kHz; all of one language are 7 MB
_WORDS_PER_MINUTE = 150  # slower than espeak's 175: heard once, by people who did not expect it

_kept: OrderedDict[tuple[str, str], Speech] = OrderedDict()
_guard = threading.Lock()
_complained: set[str] = set()


class Speech(NamedTuple):
    """Sound of a sentence: signed 16-bit little-endian mono, and its rate in Hz."""

    pcm: bytes
    rate: int


def speak(text: str, language: str) -> Speech | None:
    """Return the sound of a sentence; None if it cannot be spoken (the log says why, once for each reason).

    Args:
        text: What to say.
        language: Code of espeak-ng's voice, such as `de`; an unknown one is spoken by the English voice.
    """
    key = (text, language)
    with _guard:
        if key in _kept:
            _kept.move_to_end(key)
            return _kept[key]
    try:
        speech = _synthesize(text, language)
    except _Silent as reason:
        _complain(str(reason))
        return None
    with _guard:
        _kept[key] = speech
        while sum(len(one.pcm) for one in _kept.values()) > KEPT_BYTES:
            _kept.popitem(last=False)
    return speech


def forget() -> None:
    """Drop everything that was kept; the next sentence is spoken anew, and complaints are made again."""
    with _guard:
        _kept.clear()
        _complained.clear()


class _Silent(Exception):
    """The sentence cannot be spoken; the message says why and what to do."""


def _synthesize(text: str, language: str) -> Speech:
    command = ["espeak-ng", "--stdin", "--stdout", "-b", "1", "-s", str(_WORDS_PER_MINUTE), "-v", language]
    try:
        done = subprocess.run(command, input=text.encode(), capture_output=True, timeout=DEADLINE_S, check=False)
    except FileNotFoundError:
        raise _Silent("espeak-ng is missing; the device's own sentences stay silent (apt install espeak-ng)") from None
    except subprocess.TimeoutExpired:
        raise _Silent(f"espeak-ng took longer than {DEADLINE_S:g} s; this sentence stays silent") from None
    except OSError as error:
        raise _Silent(f"espeak-ng cannot be started: {error}") from None
    if done.returncode != 0:
        reason = done.stderr.decode(errors="replace").strip().partition("\n")[0] or f"exit code {done.returncode}"
        if language == "en":
            raise _Silent(f"espeak-ng failed: {reason}")
        _complain(f"espeak-ng cannot speak {language!r} ({reason}); its English voice is used")
        return _synthesize(text, "en")
    return _decoded(done.stdout)


def _decoded(wav: bytes) -> Speech:
    try:
        with wave.open(io.BytesIO(wav)) as sound:
            if (sound.getnchannels(), sound.getsampwidth()) != (1, 2):
                raise _Silent("espeak-ng gave sound that is not 16-bit mono")
            # The header, written before the length was known, promises more than came; what is there is read.
            pcm = sound.readframes(len(wav) // 2)
            return Speech(pcm[: len(pcm) // 2 * 2], sound.getframerate())
    except (wave.Error, EOFError) as error:
        raise _Silent(f"espeak-ng gave no WAV sound: {error}") from None


def _complain(sentence: str) -> None:
    with _guard:
        if sentence in _complained:
            return
        _complained.add(sentence)
    log.warning("%s", sentence)
