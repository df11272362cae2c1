"""Imports go down four floors, never in a circle; pure modules touch nothing outside; heavy libraries wait.

The rules are read from the source of every module, lazy imports inside functions included, so that a new module is
held to them without being listed anywhere. A module in no floor is refused: decide where it stands.
"""

from __future__ import annotations

import ast
import functools
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import edge_agent

ROOT = Path(edge_agent.__file__).parent

FLOORS: dict[str, int] = {
    "__main__": 1, "cli": 1, "run": 1, "configure": 1,
    "agent": 2, "simulator": 2, "demo": 2, "bench": 2, "doctor": 2, "rehearsal": 2, "prompting": 2, "calibrating": 2,
    "live": 3, "audio": 3, "vision": 3, "conversation": 3, "tools": 3, "ota": 3,
    "errors": 4, "config": 4, "persona": 4, "voices": 4, "prompts": 4, "panel": 4, "wake": 4, "service": 4,
}  # fmt: skip
"""Part of the program -> its floor, 1 at the top."""

STRANGERS = 3
"""The floor whose parts do not know each other; `agent` introduces them."""

PURE = [
    "errors", "config.declaring", "voices", "conversation.*", "live.protocol", "live.messages", "live.models",
    "live.setup", "live.endpoint", "live.uplink", "live.events", "live.decoding", "audio.engine", "audio.filters",
    "audio.ring", "audio.playback", "audio.cues", "audio.volume", "audio.levels", "panel.contact", "panel.patterns",
    "vision.jpeg", "tools.declare", "tools.schema", "service.verbs", "service.watchview", "tools.timers",
    "tools.walltime", "live.standard.question", "live.standard.request", "live.reading", "tools.mcp.words", "wake.log",
    "audio.calibration", "audio.calibrate.sweep", "audio.calibrate.programme", "audio.calibrate.measures",
    "audio.calibrate.proposal", "calibrating.report",
    "audio.farend", "audio.nearend", "audio.reference", "audio.bargein", "audio.company", "audio.noise", "audio.trust",
    "audio.echo.trusted", "audio.echo.canceller", "audio.echo.frames", "audio.echo.halfduplex", "audio.echopath",
]  # fmt: skip
"""Modules without a socket, thread, file or clock, so that they run in virtual time and in a replay."""

OUTSIDE = {
    "_thread", "asyncio", "concurrent", "ctypes", "datetime", "fcntl", "glob", "http", "importlib", "io", "mmap",
    "multiprocessing", "os", "pathlib", "queue", "sched", "select", "selectors", "shutil", "signal", "socket", "ssl",
    "subprocess", "sys", "tempfile", "threading", "time", "urllib", "websockets",
}  # fmt: skip

EXEMPT: dict[str, set[str]] = {
    "live.endpoint": {"urllib"},  # takes URLs apart and asks none
    "tools.timers": {"datetime"},  # the type of a time zone
    "tools.walltime": {"datetime"},  # calendar and time zones; what time it is comes in as a number
    "audio.cues": {"importlib", "pathlib"},  # its loader reads the cue table, once, before the sound starts
}

SEPARATE = {"simulator": {"live", "conversation", "audio", "agent", "demo"}}
"""The twin checks the client, so it shares none of its code: one wrong name must not pass on both sides."""

HEAVY = {
    "pyaudio", "gpiozero", "picamera2", "rich", "matplotlib", "pocketsphinx", "google", "PIL", "pytest", "jeepney",
    "python_socks", "httpx", "webrtcvad", "pymicro_features", "pymicro_wakeword", "pywebrtc_audio",
}  # fmt: skip
"""Libraries that only some modes need."""


@functools.cache
def _modules() -> dict[str, ast.Module]:
    """Every module of the package by its dotted name without `edge_agent.`; a package by its folder's name."""
    found = {}
    for path in sorted(ROOT.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        if name:
            found[name] = ast.parse(path.read_text(), filename=str(path))
    return found


def _statements(tree: ast.AST) -> Iterator[ast.AST]:
    """Every node except those under `if TYPE_CHECKING:`."""
    yield tree
    for child in ast.iter_child_nodes(tree):
        if isinstance(child, ast.If) and ast.unparse(child.test).endswith("TYPE_CHECKING"):
            for other in child.orelse:
                yield from _statements(other)
        else:
            yield from _statements(child)


@functools.cache
def _imports(module: str) -> frozenset[str]:
    """Absolute names of what a module imports: `edge_agent.audio.ring`, `asyncio`, ..."""
    found = set()
    for node in _statements(_modules()[module]):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: relative import; name the module in full"
            source = node.module or ""
            for alias in node.names:
                inner = f"{source}.{alias.name}".removeprefix("edge_agent.")
                found.add(f"{source}.{alias.name}" if inner in _modules() else source)
    return frozenset(found)


def _ours(module: str) -> set[str]:
    """The modules of this package that a module imports."""
    names = {name.removeprefix("edge_agent.") for name in _imports(module) if name.startswith("edge_agent.")}
    return {name for name in names if name in _modules()} - {module}


def _part(module: str) -> str:
    return module.partition(".")[0]


def _is_pure(module: str) -> bool:
    return any(module == one or (one.endswith(".*") and module.startswith(one[:-1])) for one in PURE)


_ALL = sorted(_modules())
_PURE = [module for module in _ALL if _is_pure(module)]


@pytest.mark.parametrize("module", _ALL)
def test_every_module_stands_on_a_floor_and_imports_only_downwards(module: str) -> None:
    part = _part(module)
    assert part in FLOORS, f"{part} stands on no floor; decide which, and name it in FLOORS"
    for other in _ours(module):
        above = FLOORS[_part(other)] < FLOORS[part]
        assert not above, f"{module} (floor {FLOORS[part]}) imports {other} from above (floor {FLOORS[_part(other)]})"


@pytest.mark.parametrize("module", [module for module in _ALL if FLOORS.get(_part(module)) == STRANGERS])
def test_the_trades_do_not_know_each_other(module: str) -> None:
    strangers = [
        other for other in _ours(module) if FLOORS[_part(other)] == STRANGERS and _part(other) != _part(module)
    ]
    assert not strangers, f"{module} imports {strangers}; agent alone introduces the trades to each other"


@pytest.mark.parametrize("part", SEPARATE)
def test_the_twin_shares_no_code_with_what_it_checks(part: str) -> None:
    for module in _ALL:
        if _part(module) == part:
            shared = {other for other in _ours(module) if _part(other) in SEPARATE[part]}
            assert not shared, f"{module} imports {shared}"


def test_there_is_no_circle() -> None:
    done: set[str] = set()

    def visit(module: str, way: tuple[str, ...]) -> None:
        assert module not in way, "a circle: " + " -> ".join((*way[way.index(module) :], module))
        if module not in done:
            for other in sorted(_ours(module)):
                visit(other, (*way, module))
            done.add(module)

    for module in _ALL:
        visit(module, ())


@pytest.mark.parametrize("module", _PURE)
def test_a_pure_module_touches_nothing_outside(module: str) -> None:
    touched = {name.partition(".")[0] for name in _imports(module)} & OUTSIDE - EXEMPT.get(module, set())
    assert not touched, f"{module} is pure and imports {sorted(touched)}"
    for node in _statements(_modules()[module]):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id not in {"open", "print", "input", "exec", "eval"}, f"{module} calls {node.func.id}"


@pytest.mark.parametrize("module", _PURE)
def test_a_pure_module_leans_on_pure_modules_only(module: str) -> None:
    impure = [other for other in _ours(module) if not _is_pure(other) and not _only_docstring(other)]
    assert not impure, f"{module} is pure and imports {impure}"


def _only_docstring(module: str) -> bool:
    return all(isinstance(node, ast.Expr) for node in _modules()[module].body)


def test_the_lists_above_name_what_exists() -> None:
    for one in PURE:
        assert any(module == one or module.startswith(one.rstrip("*")) for module in _ALL), f"PURE names {one}: gone?"
    for module, allowed in EXEMPT.items():
        used = {name.partition(".")[0] for name in _imports(module)}
        assert allowed <= used, f"EXEMPT allows {module} what it does not use"


def _loaded_by(*modules: str) -> set[str]:
    """The top-level packages in memory after importing modules in a fresh interpreter."""
    lines = [*(f"import edge_agent.{module}" for module in modules), "import sys", "print(*sys.modules)"]
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return {name.partition(".")[0] for name in done.stdout.split()}


def test_the_daemon_starts_without_what_its_mode_does_not_use() -> None:
    """Hardware and drawing libraries are imported by the one module, or in the one function, that needs them."""
    parts = {"agent", "live", "conversation", "tools", "service", "persona", "prompts", "panel", "wake", "config"}
    leaves = ("audio.devices.", "vision.devices.", "panel.pins", "tools.command", "service.dbus")
    modules = [one for one in _ALL if _part(one) in parts and not one.startswith(leaves)]
    modules += [one for one in _ALL if _part(one) in {"audio", "vision"} and not one.startswith(leaves)]
    heavy = _loaded_by(*modules) & HEAVY
    assert not heavy, f"{sorted(heavy)} would be in the memory of every daemon"


@pytest.mark.skipif("cli" not in _modules(), reason="the command line is not there yet")
def test_a_command_is_quick_because_the_command_line_imports_on_use() -> None:
    slow = _loaded_by("cli") & (HEAVY | {"numpy", "websockets", "asyncio"})
    assert not slow, f"every command would wait for {sorted(slow)}"


def test_ctl_needs_neither_numpy_nor_an_event_loop() -> None:
    slow = _loaded_by("service.ctl", "service.config_command") & (HEAVY | {"numpy", "websockets", "asyncio", "msgspec"})
    assert not slow
