"""Find the tools: built in, from installed packages, from files in the owner's folder, and of MCP servers.

    found = find_tools(folder=Path("/etc/edge-agent/tools"), allow=[], functions=device_tools)
    found.tools                       # name -> Tool, in the order found
    for skipped in found.skipped:     # what was not taken, and why
        log.warning("%s", skipped)

A package offers tools by the entry-point group `edge_agent.tools`: each entry is a function, a list of functions or a
module. A file `*.py` in the folder is a module. Of a module, the functions marked with `@tool` count; without any
mark, every public function defined in it.

Code in the folder runs with the daemon's rights, so the folder and each file must be the owner's own (root) and
not writable by group or others; symbolic links do not count. What is checked is what is run: a file is opened once. A
tool that is broken, doubtful, or whose name is taken is named and skipped; the others work.
"""

from __future__ import annotations

import importlib.metadata
import os
import stat
import sys
import types
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edge_agent.tools.declare import CannotDeclare, Tool, declare, options_of

GROUP = "edge_agent.tools"
MAX_TOOLS = 512  # the service refuses more declarations
MAX_FILE_BYTES = 1 << 20  # a tool file of a megabyte is a mistake


@dataclass(frozen=True, slots=True)
class Skipped:
    """Something that is no tool, and the reason."""

    source: str
    reason: str

    def __str__(self) -> str:
        return f"{self.source} was skipped: {self.reason}"


@dataclass(slots=True)
class Found:
    """The tools that may be called, and what was left out."""

    tools: dict[str, Tool] = field(default_factory=dict)
    skipped: list[Skipped] = field(default_factory=list)


def find_tools(
    *,
    folder: Path | None = None,
    allow: Sequence[str] = (),
    functions: Iterable[Callable[..., Any]] = (),
    extra: Mapping[str, Tool] | None = None,
    entry_points: Iterable[importlib.metadata.EntryPoint] | None = None,
    owner_uid: int = 0,
) -> Found:
    """Gather tools; never raises for a bad one.

    Args:
        folder: Folder with `*.py` files; an absent folder holds none.
        allow: Names that may be called; empty allows all. A name that no tool has is reported.
        functions: Built-in functions; they come first, so that nothing can take their names.
        extra: Tools that are made elsewhere, such as those of MCP servers; they come last, so that a server cannot
            take the name of one of the device's own.
        entry_points: Entries of installed packages; those of the group `edge_agent.tools` by default.
        owner_uid: User id that must own folder and files, root's 0; tests give their own.
    """
    found = Found()
    for function in functions:
        _take(found, function, "built in")
    for entry in importlib.metadata.entry_points(group=GROUP) if entry_points is None else entry_points:
        _take_entry_point(found, entry)
    if folder is not None:
        for path in _files(folder, owner_uid, found):
            _take_file(found, path, owner_uid)
    for tool in (extra or {}).values():
        _add(found, tool)
    if allow:
        missing = [name for name in allow if name not in found.tools]
        found.tools = {name: one for name, one in found.tools.items() if name in allow}
        found.skipped += [Skipped(f"{name} in tools.allow", "no tool has this name") for name in missing]
    for name in list(found.tools)[MAX_TOOLS:]:
        del found.tools[name]
        found.skipped.append(Skipped(name, f"the service takes at most {MAX_TOOLS} tools"))
    return found


def _take(found: Found, function: Any, source: str) -> None:
    if not callable(function) or isinstance(function, type):
        found.skipped.append(Skipped(source, f"{function!r} is not a function"))
        return
    try:
        tool = declare(function, source=source)
    except CannotDeclare as error:
        found.skipped.append(Skipped(source, str(error)))
        return
    _add(found, tool)


def _add(found: Found, tool: Tool) -> None:
    if tool.name in found.tools:
        other = found.tools[tool.name].source
        found.skipped.append(Skipped(f"{tool.name} from {tool.source}", f"{other} has a tool of this name already"))
        return
    found.tools[tool.name] = tool


def _take_entry_point(found: Found, entry: importlib.metadata.EntryPoint) -> None:
    package = entry.dist.name if entry.dist else "an installed package"
    source = f"{entry.name} of {package}"
    try:
        loaded = entry.load()
    except (Exception, SystemExit) as error:  # noqa: BLE001  other people's code may fail in any way
        found.skipped.append(Skipped(source, f"it cannot be imported: {type(error).__name__}: {error}"))
        return
    if isinstance(loaded, types.ModuleType):
        _take_module(found, loaded, source)
    else:
        for function in loaded if isinstance(loaded, (list, tuple)) else [loaded]:
            _take(found, function, source)


def _take_file(found: Found, path: Path, owner_uid: int) -> None:
    code, reason = _read_checked(path, owner_uid)
    if code is None:
        found.skipped.append(Skipped(str(path), reason))
        return
    name = f"edge_agent_tool_file_{path.stem}"
    module = types.ModuleType(name)
    module.__file__ = str(path)
    sys.modules[name] = module  # annotations are resolved through it
    try:
        exec(compile(code, str(path), "exec", dont_inherit=True), module.__dict__)  # noqa: S102  the owner's own code
    except (Exception, SystemExit) as error:  # noqa: BLE001  other people's code may fail in any way
        del sys.modules[name]
        found.skipped.append(Skipped(str(path), f"it fails when loaded: {type(error).__name__}: {error}"))
        return
    _take_module(found, module, str(path))


def _take_module(found: Found, module: types.ModuleType, source: str) -> None:
    own = [
        one
        for one in vars(module).values()
        if isinstance(one, types.FunctionType) and one.__module__ == module.__name__
    ]
    marked = [one for one in own if options_of(one) is not None]
    chosen = marked or [one for one in own if not one.__name__.startswith("_")]
    if not chosen:
        found.skipped.append(Skipped(source, "it defines no public function"))
    for function in dict.fromkeys(chosen):
        _take(found, function, source)


def _files(folder: Path, owner_uid: int, found: Found) -> Iterator[Path]:
    try:
        status = folder.lstat()
        reason = _doubt(status, owner_uid) if stat.S_ISDIR(status.st_mode) else "it is not a folder"
        names = sorted(path for path in folder.iterdir() if path.suffix == ".py") if not reason else []
    except FileNotFoundError:
        return
    except OSError as error:
        found.skipped.append(Skipped(str(folder), f"it cannot be read: {error.strerror}"))
        return
    if reason:
        found.skipped.append(Skipped(str(folder), reason))
    yield from names


def _read_checked(path: Path, owner_uid: int) -> tuple[bytes | None, str]:
    try:
        file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        link = path.is_symlink()
        return None, "it is a symbolic link; copy the file instead" if link else f"it cannot be read: {error.strerror}"
    try:
        status = os.fstat(file)
        if not stat.S_ISREG(status.st_mode):
            return None, "it is not a regular file"
        reason = _doubt(status, owner_uid)
        if not reason and status.st_size > MAX_FILE_BYTES:
            reason = f"it is larger than {MAX_FILE_BYTES >> 10} KiB"
        if reason:
            return None, reason
        with os.fdopen(file, "rb", closefd=False) as opened:
            return opened.read(), ""
    finally:
        os.close(file)


def _doubt(status: os.stat_result, owner_uid: int) -> str:
    """Return why a file or folder is not trusted; empty if it is."""
    if status.st_uid != owner_uid:
        wanted = "root" if owner_uid == 0 else f"user {owner_uid}"
        return f"it belongs to user {status.st_uid}, not to {wanted}; give it to {wanted} with chown"
    if status.st_mode & 0o022:
        return f"others than its owner may write to it (mode {stat.S_IMODE(status.st_mode):o}); use chmod go-w"
    return ""
