"""Scripts of the twin as TOML files.

    [twin]                                   # optional; every field of `script.Script` by its name
    think_s = 0.3                            # from the end of a turn to the first step
    late_tail = 3
    end_with = { close = 1011, reason = "Deadline expired before operation could complete" }

    [[turn]]                                 # rules, the first that holds answers
    when = { nth = 1 }                       # nth, session, text, history, image, kind; left out: any turn
    times = 1                                # left out: as often as it holds
    steps = [
      { hear = "what time is it" },
      { say = "It is ten o'clock.", pace = 1.0 },
    ]

Steps, one after the other; in brackets what may stand beside them:

    hear = TEXT [pieces, finished]           input transcription
    say = TEXT [SOUND]                       spoken by the local voice
    play = "file.wav" [caption, SOUND]       beside the script; .wav of any rate or .pcm (24 kHz s16le mono)
    tone = HZ, seconds = S [caption, SOUND]
    noise = SEED, seconds = S [caption, SOUND]   coded noise: a function of the seed
    text = TEXT | thought = TEXT             text parts
    wait = SECONDS
    call = NAME [args, id, CALL] | calls = [{ name, args, id }, ...] [CALL]
    complete = true [reason, generation, status, wait_for_playback]   follows by itself after the last step
    hang = true                              the turn never ends
    go_away = SECONDS [close]
    resumption = true | false                a handle, or "not resumable"
    close = CODE [reason]
    drop = true                              TCP cut without a close frame
    raw = TEXT | json = { ... }              one message as it stands
    oversized = BYTES
    truncated = true                         half a frame, then cut
    stall = SECONDS                          nothing is sent, pongs included

    SOUND: pace (1 real time, 4 burst, 0.5 slow, 0 at once), chunk_ms, parts, interrupt_after_s, captions_with_sound
    CALL:  wait, cancel_after_s, status_beside, reply = [steps]

`load` raises `ScriptError`, one sentence naming the file, the place (`turn 2, step 3`), what is wrong and what is
allowed. `examples()` names the scripts that come with the package.
"""

from __future__ import annotations

import dataclasses
import difflib
import tomllib
from collections.abc import Callable, Iterable
from importlib import resources
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

from edge_agent.errors import ConfigError
from edge_agent.simulator import script, sound
from edge_agent.simulator.script import Rule, Script, Step, When

_Table = dict[str, Any]

_SOUND = ("pace", "chunk_ms", "parts", "interrupt_after_s", "captions_with_sound")
_CALL = ("wait", "cancel_after_s", "status_beside", "reply")


class ScriptError(ConfigError):
    """A script cannot be used; the message is one sentence for a person."""


def load(path: Path) -> Script:
    """Read a script file; files it plays are looked for beside it."""
    try:
        tree = tomllib.loads(path.read_bytes().decode())
    except FileNotFoundError:
        names = ", ".join(sorted(examples()))
        raise ScriptError(f"{path}: no such script; scripts that come with the twin: {names}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ScriptError(f"{path}: cannot be read: {error}") from None
    except tomllib.TOMLDecodeError as error:
        raise ScriptError(f"{path}: not TOML: {error}") from None
    return parse(tree, source=str(path), folder=path.parent)


def examples() -> dict[str, Path]:
    """Return the scripts that come with the package, by name."""
    folder = Path(str(resources.files("edge_agent.simulator") / "scripts"))
    return {path.stem: path for path in sorted(folder.glob("*.toml"))}


def find(name: str) -> Path:
    """Return the path of a script given as a file or by the name of an example."""
    return examples().get(name, Path(name))


def parse(tree: _Table, *, source: str, folder: Path = Path()) -> Script:
    """Build a script from a parsed TOML tree; see `load` for the errors."""
    return _Reader(source, folder).whole(tree)


@dataclasses.dataclass(frozen=True, slots=True)
class _Kind:
    """One kind of step: the type of its own value, what may stand beside it, what it becomes."""

    value: Any
    make: Callable[[_Reader, Any, _Table, str], Step]
    beside: tuple[str, ...] = ()


class _Reader:
    """Reads one file and knows its name for the sentences."""

    def __init__(self, source: str, folder: Path) -> None:
        self._source = source
        self._folder = folder

    def error(self, where: str, sentence: str) -> ScriptError:
        """Make the error for a place in the file."""
        return ScriptError(f"{self._source}: {where}: {sentence}")

    def whole(self, tree: _Table) -> Script:
        """Build the script."""
        for key in tree:
            if key not in {"twin", "turn"}:
                raise self.error(key, _unknown(key, ("twin", "turn")))
        twin = self.table(tree.get("twin", {}), "twin")
        turns = tree.get("turn", [])
        if not isinstance(turns, list):
            raise self.error("turn", "write [[turn]], with two brackets")
        values = dict(twin)
        for key in ("end_with", "end_before_setup"):
            if key in values:
                step = self.step(values[key], f"twin.{key}")
                if not isinstance(step, script.End):
                    raise self.error(f"twin.{key}", 'must be { close = CODE, reason = "..." }')
                values[key] = step
        fields = self.fields(Script, values, "twin", without=("rules", "brain"))
        if turns:
            fields["rules"] = tuple(self.rule(turn, f"turn {n}") for n, turn in enumerate(turns, 1))
        return Script(**fields)

    def rule(self, turn: Any, where: str) -> Rule:
        """Build one [[turn]]."""
        table = self.table(turn, where)
        self.known(table, ("when", "times", "steps"), where)
        when = When(**self.fields(When, self.table(table.get("when", {}), f"{where}, when"), f"{where}, when"))
        times = table.get("times")
        if times is not None:
            self.value(int, times, f"{where}, times")
        if "steps" not in table:
            raise self.error(where, "has no steps")
        return Rule(self.steps(table["steps"], where), when, times)

    def steps(self, items: Any, where: str) -> tuple[Step, ...]:
        """Build a list of steps."""
        if not isinstance(items, list):
            raise self.error(where, "steps must be a list of tables")
        return tuple(self.step(item, f"{where}, step {n}") for n, item in enumerate(items, 1))

    def step(self, item: Any, where: str) -> Step:
        """Build one step."""
        table = dict(self.table(item, where))
        name = next((name for name in _KINDS if name in table), None)
        if name is None:
            found = next(iter(table), "")
            raise self.error(where, _unknown(found, _KINDS) if found else "is empty")
        kind = _KINDS[name]
        value = table.pop(name)
        self.known(table, kind.beside, where)
        return kind.make(self, self.value(kind.value, value, f"{where}, {name}"), table, where)

    def table(self, item: Any, where: str) -> _Table:
        """Return a table, or say that it is none."""
        if not isinstance(item, dict):
            raise self.error(where, f"must be a table, not {_shown(item)}")
        return item

    def known(self, table: _Table, names: Iterable[str], where: str) -> None:
        """Refuse keys that do not belong here."""
        for key in table:
            if key not in names:
                raise self.error(where, _unknown(key, names))

    def fields(self, cls: type[Any], table: _Table, where: str, *, without: tuple[str, ...] = ()) -> _Table:
        """Check a table against the fields of a dataclass and return it."""
        hints = get_type_hints(cls)
        names = [field.name for field in dataclasses.fields(cls) if field.name not in without]
        self.known(table, names, where)
        return {key: self.value(hints[key], value, f"{where}, {key}") for key, value in table.items()}

    def value(self, hint: Any, value: Any, where: str) -> Any:
        """Check one value against its type."""
        if isinstance(value, int) and not isinstance(value, bool) and _allows(hint, float) and not _allows(hint, int):
            value = float(value)
        if not _allows_value(hint, value):
            raise self.error(where, f"is {_shown(value)}, allowed is {_allowed(hint)}")
        return value

    def say(self, text: str, pcm: bytes | None, table: _Table, where: str) -> script.Say:
        """Build a `Say` from the options of SOUND."""
        options = {key: table[key] for key in _SOUND if key in table}
        say = script.Say(text, pcm, **self.fields(script.Say, options, where))
        if say.pace < 0 or say.chunk_ms < 1 or say.parts < 1:
            raise self.error(where, "pace must be 0 or more, chunk_ms and parts 1 or more")
        return say

    def seconds(self, table: _Table, where: str) -> float:
        """Return the length that tone and noise need."""
        if "seconds" not in table:
            raise self.error(where, "needs seconds")
        seconds = self.value(float, table["seconds"], f"{where}, seconds")
        if not 0 < seconds <= 600:
            raise self.error(where, f"seconds is {seconds:g}, allowed is more than 0, at most 600")
        return float(seconds)

    def caption(self, table: _Table, where: str) -> str:
        """Return the caption that may stand beside a sound."""
        return str(self.value(str, table.get("caption", ""), f"{where}, caption"))

    def file(self, name: str, table: _Table, where: str) -> script.Say:
        """Build a `Say` from a sound file."""
        try:
            pcm = sound.read_pcm(self._folder / name)
        except OSError as error:
            raise self.error(where, f"{self._folder / name} cannot be read: {error.strerror}") from None
        except ValueError as error:
            raise self.error(where, str(error)) from None
        return self.say(self.caption(table, where), pcm, table, where)

    def call(self, calls: list[Any], table: _Table, where: str) -> script.Call:
        """Build a `Call`."""
        made = []
        for n, item in enumerate(calls, 1):
            place = f"{where}, call {n}" if len(calls) > 1 else where
            entry = {"name": "", **self.table(item, place)}
            made.append(script.FunctionCall(**self.fields(script.FunctionCall, entry, place)))
            if not made[-1].name:
                raise self.error(place, "needs a name")
        options: _Table = {key: table[key] for key in ("wait", "cancel_after_s", "status_beside") if key in table}
        reply = self.steps(table["reply"], f"{where}, reply") if "reply" in table else ()
        return script.Call(tuple(made), reply=reply, **self.fields(script.Call, options, where))

    def one_call(self, name: str, table: _Table, where: str) -> script.Call:
        """Build a `Call` of a single function."""
        entry: _Table = {"name": name, **{key: table[key] for key in ("args", "id") if key in table}}
        return self.call([entry], table, where)

    def plain(self, cls: Callable[..., Step], table: _Table, where: str, **given: Any) -> Step:
        """Build a step whose options are its fields."""
        return cls(**given, **self.fields(cls, table, where))  # type: ignore[arg-type]  # the step classes


def _true(reader: _Reader, value: bool, where: str, step: Step) -> Step:
    if not value:
        raise reader.error(where, "must be true, or be left out")
    return step


_KINDS: dict[str, _Kind] = {
    "hear": _Kind(str, lambda r, v, t, w: r.plain(script.Hear, t, w, text=v), ("pieces", "finished")),
    "say": _Kind(str, lambda r, v, t, w: r.say(v, None, t, w), _SOUND),
    "play": _Kind(str, lambda r, v, t, w: r.file(v, t, w), ("caption", *_SOUND)),
    "tone": _Kind(
        float,
        lambda r, v, t, w: r.say(r.caption(t, w), sound.tone(r.seconds(t, w), hz=v), t, w),
        ("seconds", "caption", *_SOUND),
    ),
    "noise": _Kind(
        int,
        lambda r, v, t, w: r.say(r.caption(t, w), sound.noise(r.seconds(t, w), seed=v), t, w),
        ("seconds", "caption", *_SOUND),
    ),
    "text": _Kind(str, lambda _, v, __, ___: script.Text(v)),
    "thought": _Kind(str, lambda _, v, __, ___: script.Text(v, thought=True)),
    "call": _Kind(str, lambda r, v, t, w: r.one_call(v, t, w), ("args", "id", *_CALL)),
    "calls": _Kind(list, lambda r, v, t, w: r.call(v, t, w), _CALL),
    "wait": _Kind(float, lambda _, v, __, ___: script.Wait(v)),
    "complete": _Kind(
        bool,
        lambda r, v, t, w: _true(r, v, w, r.plain(script.Complete, t, w)),
        ("reason", "generation", "status", "wait_for_playback"),
    ),
    "hang": _Kind(bool, lambda r, v, _, w: _true(r, v, w, script.Hang())),
    "go_away": _Kind(float, lambda r, v, t, w: r.plain(script.GoAway, t, w, time_left_s=v), ("close",)),
    "resumption": _Kind(bool, lambda _, v, __, ___: script.Resumption(v)),
    "close": _Kind(int, lambda r, v, t, w: r.plain(script.End, t, w, code=v), ("reason",)),
    "drop": _Kind(bool, lambda r, v, _, w: _true(r, v, w, script.Drop())),
    "raw": _Kind(str, lambda _, v, __, ___: script.Raw(v)),
    "json": _Kind(dict, lambda _, v, __, ___: script.Raw(v)),
    "oversized": _Kind(int, lambda _, v, __, ___: script.Oversized(v)),
    "truncated": _Kind(bool, lambda r, v, _, w: _true(r, v, w, script.Truncated())),
    "stall": _Kind(float, lambda _, v, __, ___: script.Stall(v)),
}


def _choices(hint: Any) -> tuple[Any, ...]:
    """Return the members of a union, or the type alone."""
    if get_origin(hint) is Literal or not get_args(hint) or get_origin(hint) in {dict, tuple, list}:
        return (hint,)
    return tuple(choice for member in get_args(hint) for choice in _choices(member))


def _plain(hint: Any) -> Any:
    return get_origin(hint) or hint


def _allows(hint: Any, cls: type) -> bool:
    return any(_plain(choice) is cls for choice in _choices(hint))


def _allows_value(hint: Any, value: Any) -> bool:
    for choice in _choices(hint):
        if get_origin(choice) is Literal:
            if value in get_args(choice):
                return True
        elif isinstance(_plain(choice), type) and type(value) is _plain(choice):
            return True
    return False


def _allowed(hint: Any) -> str:
    names = {int: "a whole number", float: "a number", str: "a string", bool: "true or false"}
    names |= {dict: "a table", list: "a list"}
    words: list[str] = []
    for choice in _choices(hint):
        if get_origin(choice) is Literal:
            words += [f'"{value}"' for value in get_args(choice)]
        elif choice is not type(None):
            words.append(names.get(_plain(choice), "a table"))
    return " or ".join(words)


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    text = f'"{value}"' if isinstance(value, str) else str(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _unknown(key: str, names: Iterable[str]) -> str:
    close = difflib.get_close_matches(key, list(names), n=1)
    hint = f"did you mean {close[0]}?" if close else "allowed are " + ", ".join(names)
    return f"unknown key {key}; {hint}"
