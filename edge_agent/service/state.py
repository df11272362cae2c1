"""What the device remembers over a restart or a power cut: one small JSON file.

    state = StateFile()                       # $STATE_DIRECTORY, else $XDG_STATE_HOME/edge-agent
    for sentence in state.load():             # what was wrong with the file, if anything
        log.warning(sentence)
    state.update(muted=True)                  # at once, in memory
    state.put("timers", {"entries": []})      # a part's own section: plain JSON, the part knows what it means
    state.section("timers")                   # a copy; {} when there is none
    error = await asyncio.to_thread(state.flush)     # on the card; an error to report, at most once in a row

Promises: after a power cut at any moment the file is the old one or the new one, whole. A file that is torn, foreign
or partly wrong never stops the device: it is kept beside as `state.json.broken`, defaults take over, and `load`
returns a sentence. Fields this version does not know are carried along, so that a newer version finds its own again
after a rollback. A section that is no object, or too large, is dropped with a sentence and hurts no other. A disk that
cannot be written (full, read-only) is one fault with one sentence; the device goes on.

`update`, `put` and the readers belong to one thread; `flush` may run in any other, and always writes the newest values.
"""

from __future__ import annotations

import copy
import json
import os
import stat
import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edge_agent.errors import AgentError, Fault, Stop

VERSION = 1
SERVICE_STATE = Path("/var/lib/edge-agent")
"""What systemd gives the service as its state folder."""
FILE_NAME = "state.json"
MAX_BYTES = 1 << 20  # a state file is a few kilobytes; anything larger is not ours
MAX_SECTION_BYTES = 1 << 16  # of JSON: 32 timers with the longest names are half of it
SECTIONS = ("budget", "timers", "handle", "mute", "calibration")
"""The parts of the program that keep values of their own here."""


@dataclass(frozen=True, slots=True)
class State:
    """The remembered values; None means never set by a person."""

    volume: int | None = None
    """Perceptual loudness, 0 to 100, as last set by a person; wins over the configuration."""
    muted: bool = False
    """The microphone is mute."""


class StateFile:
    """The file and the values in memory.

    Args:
        folder: Where the file lies; `default_folder()` when None.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.path = (default_folder() if folder is None else folder) / FILE_NAME
        self._state = State()
        self._sections: dict[str, dict[str, Any]] = {}
        self._foreign: dict[str, Any] = {}
        self._version = VERSION
        self._changes = 0
        self._written = 0
        self._writing = threading.Lock()
        self._failed = False

    @property
    def state(self) -> State:
        """The values in force."""
        return self._state

    @property
    def failed(self) -> bool:
        """True while the last attempt to write failed."""
        return self._failed

    def load(self) -> list[str]:
        """Read the file; return a sentence for everything that was wrong with it. Never raises."""
        self._state, self._sections, self._foreign, self._version = State(), {}, {}, VERSION
        try:
            with self.path.open("rb") as file:
                data = file.read(MAX_BYTES + 1)
        except FileNotFoundError:
            return []
        except OSError as error:
            return [f"{self.path} cannot be read ({error.strerror}); the device starts with default volume, not muted"]
        try:
            tree = json.loads(data.decode()) if len(data) <= MAX_BYTES else None
        except (ValueError, RecursionError):
            tree = None
        if not isinstance(tree, dict):
            return [self._set_aside("is not a state file of this program")]
        return self._adopt(tree)

    def update(self, **changes: Any) -> State:
        """Change values in memory (names of `State`); `flush` brings them to the disk."""
        changed = replace(self._state, **changes)
        if changed != self._state:
            self._state = changed
            self._changes += 1
        return changed

    def section(self, name: str) -> dict[str, Any]:
        """Return a copy of a section (one of `SECTIONS`); empty if it was never put, or was dropped as broken."""
        return copy.deepcopy(self._sections[_known(name)]) if _known(name) in self._sections else {}

    def put(self, name: str, value: dict[str, Any]) -> None:
        """Set a section (one of `SECTIONS`) in memory; an empty value removes it. `flush` brings it to the disk.

        Raises:
            ValueError: no such section, or `value` is not plain JSON, or longer than `MAX_SECTION_BYTES`.
            TypeError: it holds something JSON has no word for.
        """
        text = json.dumps(value, allow_nan=False)
        if len(text) > MAX_SECTION_BYTES:
            msg = f"the section {name} would have {len(text)} bytes; at most {MAX_SECTION_BYTES} are allowed"
            raise ValueError(msg)
        if value == self._sections.get(_known(name), {}):
            return
        others = {key: section for key, section in self._sections.items() if key != name}
        # A new dictionary each time: `flush` may be reading the old one in another thread.
        self._sections = {**others, name: json.loads(text)} if value else others
        self._changes += 1

    def flush(self) -> AgentError | None:
        """Write what changed since the last flush; blocks for as long as the disk takes.

        Returns:
            The error to report when writing fails and did not fail the time before; None otherwise.
        """
        with self._writing:
            changes = self._changes
            if changes == self._written:
                return None
            own = {"version": self._version, "volume": self._state.volume, "muted": self._state.muted}
            tree = {**self._foreign, **own, **self._sections}
            try:
                write_atomically(self.path, json.dumps(tree, indent=1).encode() + b"\n")
            except OSError as error:
                first, self._failed = not self._failed, True
                sentence = (
                    f"{self.path} cannot be written ({error.strerror}): volume, mute, timers and budgets "
                    "will be forgotten at a restart. Free space or make the folder writable."
                )
                return Stop(sentence, fault=Fault.STORAGE) if first else None
            self._written, self._failed = changes, False
            return None

    def _adopt(self, tree: dict[str, Any]) -> list[str]:
        sentences = []
        volume, muted = tree.get("volume"), tree.get("muted", False)
        if volume is not None and (type(volume) is not int or not 0 <= volume <= 100):
            sentences.append(
                f"{self.path}: volume = {volume!r} is not a number from 0 to 100; the configured one is used"
            )
            volume = None
        if type(muted) is not bool:
            sentences.append(f"{self.path}: muted = {muted!r} is neither true nor false; the device starts muted")
            muted = True
        version = tree.get("version", VERSION)
        self._version = max(version, VERSION) if type(version) is int else VERSION
        self._state = State(volume=volume, muted=muted)
        for name in SECTIONS:
            section = tree.get(name, {})
            if not isinstance(section, dict):
                sentences.append(f"{self.path}: the section {name} is not an object; it starts empty")
            elif len(json.dumps(section)) > MAX_SECTION_BYTES:
                sentences.append(
                    f"{self.path}: the section {name} has more than {MAX_SECTION_BYTES} bytes; it starts empty"
                )
            elif section:
                self._sections[name] = section
        own = {"version", "volume", "muted", *SECTIONS}
        self._foreign = {key: value for key, value in tree.items() if key not in own}
        return sentences

    def _set_aside(self, reason: str) -> str:
        aside = self.path.with_name(self.path.name + ".broken")
        try:
            self.path.replace(aside)
        except OSError as error:
            kept = f"could not be set aside ({error.strerror})"
        else:
            kept = f"was set aside as {aside.name}"
        return f"{self.path} {reason}; it {kept} and the device starts with default volume, not muted"


def _known(name: str) -> str:
    if name not in SECTIONS:
        msg = f"the state file has no section {name!r}; known are {', '.join(SECTIONS)}"
        raise ValueError(msg)
    return name


def default_folder(environment: Mapping[str, str] | None = None) -> Path:
    """Return the folder of the state file: $STATE_DIRECTORY, else $XDG_STATE_HOME/edge-agent, else ~/.local/state."""
    variables = os.environ if environment is None else environment
    given = variables.get("STATE_DIRECTORY", "").partition(":")[0]  # systemd joins several with colons
    if given:
        return Path(given)
    base = variables.get("XDG_STATE_HOME", "")
    # The XDG rule: a relative path is invalid and ignored.
    folder = Path(base) if base.startswith("/") else Path(variables.get("HOME") or Path.home()) / ".local" / "state"
    return folder / "edge-agent"


def device_folder() -> Path:
    """Return the folder of this machine's device, for programs beside the daemon: the service's, where there is one."""
    if os.environ.get("STATE_DIRECTORY"):
        return default_folder()
    return SERVICE_STATE if SERVICE_STATE.is_dir() else default_folder()


def give(path: Path, uid: int, gid: int) -> None:
    """Let somebody else than root own what root has just written: that file itself, and nothing a link leads to.

    Raises:
        Stop: somebody else has put another file, or a link, in its place.
    """
    if os.geteuid() != 0:
        return
    try:
        file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise Stop(f"{path} was replaced while it was written ({error.strerror}); look who else writes there") from None
    try:
        found = os.fstat(file)
        if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1:
            raise Stop(f"{path} is no file of its own any more; look who else writes there")
        os.fchown(file, uid, gid)
    finally:
        os.close(file)


def write_atomically(path: Path, data: bytes, *, mode: int = 0o600) -> None:
    """Replace `path` by `data` so that a power cut leaves the old content or the new, never a mixture.

    Writes beside it, flushes to the disk, renames, flushes the folder. The folder is made when missing.

    Raises:
        OSError: nothing was replaced; the old file is whole.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
    beside = path.with_name(
        f".{path.name}.new"
    )  # one fixed name: a crash leaves at most one such file, reused next time
    beside.unlink(missing_ok=True)
    file = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(file, view) :]
        os.fsync(file)
    finally:
        os.close(file)
    os.replace(beside, path)  # noqa: PTH105  one named system call per step; the crash test counts them
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
