"""What ALSA and JACK print while PortAudio looks around: kept for error sentences, not shown.

PortAudio tries every PCM of the ALSA configuration and the JACK server when it starts. Both libraries write dozens of
lines to the standard error stream about whatever is not there, which on a healthy device says nothing.

    with caught() as said:
        library.open(...)
    said.last()         # the newest message, such as "cannot find card '0'"

Works through the libraries' own hooks (`snd_lib_error_set_handler`, `jack_set_error_function`) and only where PortAudio
has loaded them; the standard error stream itself, which other threads write to, is not touched. Outside of the context
both libraries print as before.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
from collections.abc import Callable, Iterator

_KEPT = 200  # messages; a start of PortAudio on a Pi gives about 60
_ALSA_HANDLER = ctypes.CFUNCTYPE(
    None, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, *[ctypes.c_void_p] * 4
)
"""file, line, function, errno, printf format, and the first four variable arguments: on Linux's ABIs integers and
pointers travel alike in fixed and variable places, and ALSA's messages use nothing else."""
_JACK_HANDLER = ctypes.CFUNCTYPE(None, ctypes.c_char_p)


class Chatter:
    """The messages of one context, oldest first."""

    def __init__(self) -> None:
        self.messages: list[str] = []

    def last(self, *, about: str = "") -> str:
        """Return the newest message that contains `about`, else the newest one, else an empty string."""
        for message in reversed(self.messages):
            if about and about in message:
                return message
        return self.messages[-1] if self.messages else ""


@contextlib.contextmanager
def caught() -> Iterator[Chatter]:
    """Catch what ALSA and JACK would print; nested use keeps the innermost."""
    chatter = Chatter()

    def keep(text: str) -> None:
        if text.strip():
            chatter.messages.append(text.strip())
            del chatter.messages[:-_KEPT]

    # Kept alive by this frame: the libraries hold the bare addresses until `None` takes their place.
    alsa_handler = _ALSA_HANDLER(functools.partial(_alsa_message, keep))
    jack_handler = _JACK_HANDLER(lambda text: keep((text or b"").decode(errors="replace")))
    alsa, jack = _loaded("libasound.so.2"), _loaded("libjack.so.0")
    if alsa:
        alsa.snd_lib_error_set_handler(alsa_handler)
    if jack:
        jack.jack_set_error_function(jack_handler)
    try:
        yield chatter
    finally:
        if alsa:
            alsa.snd_lib_error_set_handler(None)
        if jack:
            jack.jack_set_error_function(None)


def _alsa_message(
    keep: Callable[[str], None],
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
    keep(f"{told}: {os.strerror(error)}" if error > 0 else told)


def _loaded(name: str) -> ctypes.CDLL | None:
    try:
        return ctypes.CDLL(name, mode=os.RTLD_NOLOAD)
    except OSError:
        return None
