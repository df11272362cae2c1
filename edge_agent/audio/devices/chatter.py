"""What ALSA and JACK print while PortAudio works: kept for error sentences and counts, not shown.

PortAudio tries every PCM of the ALSA configuration and the JACK server when it starts. Both libraries write dozens of
lines to the standard error stream about whatever is not there, which on a healthy device says nothing; later ALSA
writes a line for each xrun.

    with caught() as said:
        library.open(...)
    said.last()                         # the newest message, such as "cannot find card '0'"
    said.take("underrun occurred")      # how many there were since the last call

Works through the libraries' own hooks (`snd_lib_error_set_handler`, `jack_set_error_function`) and only where PortAudio
has loaded them; the standard error stream itself, which other threads write to, is not touched. Contexts may overlap,
and each gets all messages of its time. Outside of them both libraries print as before.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
from collections.abc import Iterator
from typing import Any

_KEPT = 200  # messages; a start of PortAudio on a Pi gives about 60
_ALSA_HANDLER = ctypes.CFUNCTYPE(
    None, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, *[ctypes.c_void_p] * 4
)
"""file, line, function, errno, printf format, and the first four variable arguments: on Linux's ABIs integers and
pointers travel alike in fixed and variable places, and ALSA's messages use nothing else."""
_JACK_HANDLER = ctypes.CFUNCTYPE(None, ctypes.c_char_p)


class Chatter:
    """The messages of one context, oldest first, the newest 200."""

    def __init__(self) -> None:
        self.messages: list[str] = []

    def last(self, *, about: str = "") -> str:
        """Return the newest message that contains `about`, else the newest one, else an empty string."""
        for message in reversed(self.messages):
            if about and about in message:
                return message
        return self.messages[-1] if self.messages else ""

    def take(self, text: str) -> int:
        """Return how many messages contain `text`, and forget them."""
        if not self.messages:
            return 0
        before = len(self.messages)
        self.messages = [message for message in self.messages if text not in message]
        return before - len(self.messages)


@contextlib.contextmanager
def caught() -> Iterator[Chatter]:
    """Catch what ALSA and JACK would print."""
    chatter = Chatter()
    _open.append(chatter)
    _hook(_ALSA_KEEPER, _JACK_KEEPER)
    try:
        yield chatter
    finally:
        _open.remove(chatter)
        if not _open:
            _hook(None, None)


_open: list[Chatter] = []


def _keep(text: str) -> None:
    if text.strip():
        for chatter in _open:
            chatter.messages.append(text.strip())
            del chatter.messages[:-_KEPT]


def _hook(alsa_handler: Any, jack_handler: Any) -> None:
    if alsa := _loaded("libasound.so.2"):
        alsa.snd_lib_error_set_handler(alsa_handler)
    if jack := _loaded("libjack.so.0"):
        jack.jack_set_error_function(jack_handler)


def _alsa_message(
    _file: bytes | None,
    _line: int,
    _function: bytes | None,
    error: int,
    form: bytes | None,
    *arguments: int | None,
) -> None:
    buffer = ctypes.create_string_buffer(512)
    ctypes.CDLL(None).snprintf(
        buffer, ctypes.c_size_t(len(buffer)), form or b"", *[ctypes.c_void_p(value) for value in arguments]
    )
    told = buffer.value.decode(errors="replace")
    _keep(f"{told}: {os.strerror(error)}" if error > 0 else told)


def _loaded(name: str) -> ctypes.CDLL | None:
    try:
        return ctypes.CDLL(name, mode=os.RTLD_NOLOAD)
    except OSError:
        return None


# Made once and for ever: the libraries hold their bare addresses.
_ALSA_KEEPER = _ALSA_HANDLER(_alsa_message)
_JACK_KEEPER = _JACK_HANDLER(lambda text: _keep((text or b"").decode(errors="replace")))
