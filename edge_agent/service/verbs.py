"""What can be asked of the running daemon: one table for the server, the command line and the docs.

A request is one JSON object on one line: `{"do": VERB, PARAMETER: VALUE, ...}`. `refusal` says in a sentence why a
request cannot be one of the table; the server sends that sentence, the command line never gets as far. Pure.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

MAX_TEXT = 8000  # characters of a typed question; a page, and well below the line limit in any alphabet


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of a verb; a whole number has bounds, a text has none."""

    name: str
    kind: type[int | str]
    help: str
    required: bool = True
    low: int = 0
    high: int = 0


@dataclass(frozen=True, slots=True)
class Verb:
    """One thing the daemon can be asked."""

    name: str
    help: str
    parameters: tuple[Parameter, ...] = ()


VERBS: dict[str, Verb] = {
    verb.name: verb
    for verb in (
        Verb("status", "What the device is doing, and why."),
        Verb("press", "Press the button and keep it pressed (a handset: lift it)."),
        Verb("release", "Let the button go (a handset: hang it up)."),
        Verb(
            "tap",
            "Press the button briefly: start a turn, or end the one that is open; a speaker listens, or stops.",
        ),
        Verb("mute", "Make the microphone deaf until `unmute`, over restarts too."),
        Verb("unmute", "Let the microphone hear again."),
        Verb(
            "volume",
            "Show the volume, or set it.",
            (Parameter("volume", int, "0 (silent) to 100", required=False, low=0, high=100),),
        ),
        Verb("ask", "Ask a question in writing; the answer is spoken.", (Parameter("text", str, "the question"),)),
        Verb(
            "say",
            "Announce something: by the model's voice when connected, by the device's own when not.",
            (Parameter("text", str, "what to say"),),
        ),
        Verb(
            "converse",
            "Say something, then listen: so that an automation can start a conversation.",
            (Parameter("text", str, "what to say first"),),
        ),
        Verb("timers", "Show the timers and alarms that are set, and those that were missed in the last day."),
        Verb("cancel", "Take back a timer or an alarm, or stop it.", (Parameter("name", str, "its name"),)),
        Verb("wake-log", "Show when a wake word was heard lately, or nearly, how surely, and what came of it."),
        Verb("look", "Take a picture and send it to the model."),
        Verb("watch", "Stream what happens, one JSON object per event, until the connection is closed."),
        Verb("metrics", "Latencies, counters and memory, as Prometheus text."),
        Verb(
            "account",
            "What talk has cost today and this month. With `used`, count what another program has used.",
            (Parameter("used", str, "JSON, as the account has it for a day", required=False),),
        ),
        Verb("record", "Write the last minutes to a file, where the flight recorder is switched on."),
        Verb("end", "End the conversation."),
    )
}


def refusal(request: Any) -> str | None:
    """Return why `request` (any decoded JSON value) cannot be done, as a sentence; None if it is well-formed."""
    if not isinstance(request, dict):
        return 'a request is a JSON object such as {"do": "status"}'
    name = request.get("do")
    if not isinstance(name, str):
        return 'the request does not say what to do; it needs "do", one of: ' + ", ".join(VERBS)
    verb = VERBS.get(name)
    if verb is None:
        close = difflib.get_close_matches(name, VERBS, n=1)
        hint = f"did you mean {close[0]}?" if close else "known are: " + ", ".join(VERBS)
        return f"unknown verb {name[:40]!r}; {hint}"
    return _parameters_refusal(verb, request)


def _parameters_refusal(verb: Verb, request: Mapping[str, Any]) -> str | None:
    known = {parameter.name: parameter for parameter in verb.parameters}
    for key in request:
        if key != "do" and key not in known:
            takes = "takes only " + ", ".join(known) if known else "takes no parameter"
            return f"{verb.name} does not know {key[:40]!r}; it {takes}"
    for parameter in verb.parameters:
        value = request.get(parameter.name)
        if value is None:
            if parameter.required:
                return f"{verb.name} needs {parameter.name!r}: {parameter.help}"
            continue
        if parameter.kind is int and (type(value) is not int or not parameter.low <= value <= parameter.high):
            return f"{parameter.name} must be a whole number from {parameter.low} to {parameter.high}"
        if parameter.kind is str and (not isinstance(value, str) or not value.strip()):
            return f"{parameter.name} must be a text that is not empty"
        if parameter.kind is str and len(value) > MAX_TEXT:
            return f"{parameter.name} has {len(value)} characters; at most {MAX_TEXT} are allowed"
    return None
