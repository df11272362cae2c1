"""Where tools come from, and which are not trusted."""

from __future__ import annotations

import importlib.metadata
import os
import sys
import types
from dataclasses import replace
from pathlib import Path

import pytest

from edge_agent.tools.declare import declare
from edge_agent.tools.registry import MAX_TOOLS, Found, find_tools

_ME = os.geteuid()

_WEATHER = '''
import math
from pathlib import Path
from edge_agent.tools.declare import tool

def _private() -> str:
    """Not a tool."""

def weather(place: str) -> str:
    """Tell the weather.

    Args:
        place: Where.
    """
    return f"sunny in {place}"
'''


def ping() -> str:
    """Ping."""
    return "pong"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "tools"
    path.mkdir(mode=0o755)
    return path


def _write(folder: Path, name: str, text: str, mode: int = 0o644) -> Path:
    path = folder / name
    path.write_text(text)
    path.chmod(mode)
    return path


def _find(folder: Path) -> Found:
    return find_tools(folder=folder, entry_points=[], owner_uid=_ME)


def _entry(value: str, name: str = "entry") -> importlib.metadata.EntryPoint:
    return importlib.metadata.EntryPoint(name=name, value=value, group="edge_agent.tools")


def test_a_file_in_the_folder_is_a_tool(folder: Path) -> None:
    _write(folder, "weather.py", _WEATHER)
    _write(folder, "notes.txt", "not python")
    found = _find(folder)
    assert list(found.tools) == ["weather"], "neither imports nor private functions count"
    assert found.skipped == []
    assert found.tools["weather"].function(place="Rome") == "sunny in Rome"
    assert found.tools["weather"].source == str(folder / "weather.py")


def test_marked_functions_alone_count_where_any_is_marked(folder: Path) -> None:
    marked = '\n@tool(name="forecast")\ndef later() -> str:\n    """Tell the forecast."""\n    return "rain"\n'
    _write(folder, "weather.py", _WEATHER + marked)
    assert list(_find(folder).tools) == ["forecast"]


def test_a_broken_file_is_named_and_the_others_work(folder: Path) -> None:
    _write(folder, "a_syntax.py", "def broken(:\n")
    _write(folder, "b_import.py", "import a_module_that_does_not_exist\n")
    _write(folder, "c_exit.py", "raise SystemExit(3)\n")
    _write(folder, "d_empty.py", "")
    _write(folder, "e_untyped.py", 'def f(x):\n    """Do."""\n')
    _write(folder, "f_zero.py", "1 / 0\n")
    _write(folder, "weather.py", _WEATHER)
    found = _find(folder)
    assert list(found.tools) == ["weather"]
    reasons = {Path(skipped.source).name: skipped.reason for skipped in found.skipped}
    assert "SyntaxError" in reasons["a_syntax.py"]
    assert "a_module_that_does_not_exist" in reasons["b_import.py"]
    assert "SystemExit: 3" in reasons["c_exit.py"]
    assert "no public function" in reasons["d_empty.py"]
    assert "parameter x has no annotation" in reasons["e_untyped.py"]
    assert "ZeroDivisionError" in reasons["f_zero.py"]
    assert str(found.skipped[0]).startswith(f"{folder}/a_syntax.py was skipped: ")
    assert "edge_agent_tool_file_f_zero" not in sys.modules


@pytest.mark.parametrize("mode", [0o664, 0o646])
def test_a_file_that_others_may_write_is_never_run(folder: Path, mode: int) -> None:
    _write(folder, "weather.py", _WEATHER, mode)
    found = _find(folder)
    assert found.tools == {}
    assert f"mode {mode:o}" in found.skipped[0].reason


def test_a_folder_that_others_may_write_is_never_read(folder: Path) -> None:
    _write(folder, "weather.py", _WEATHER)
    folder.chmod(0o777)
    found = _find(folder)
    assert found.tools == {}
    assert found.skipped[0].source == str(folder)


def test_another_owner_is_not_trusted(folder: Path) -> None:
    _write(folder, "weather.py", _WEATHER)
    found = find_tools(folder=folder, entry_points=[], owner_uid=_ME + 1)
    assert found.tools == {}
    assert f"belongs to user {_ME}, not to" in found.skipped[0].reason


@pytest.mark.skipif(_ME != 0, reason="only root can give a file away")
def test_roots_folder_with_somebody_elses_file(folder: Path) -> None:
    path = _write(folder, "weather.py", _WEATHER)
    os.chown(path, 1234, 1234)
    found = find_tools(folder=folder, entry_points=[])
    assert found.tools == {}
    assert "belongs to user 1234, not to root" in found.skipped[0].reason


def test_links_fifos_and_folders_are_no_tools(folder: Path, tmp_path: Path) -> None:
    _write(tmp_path, "weather.py", _WEATHER)
    (folder / "link.py").symlink_to(tmp_path / "weather.py")
    os.mkfifo(folder / "pipe.py")
    (folder / "sub.py").mkdir()
    _write(folder, "huge.py", "#" * (2 << 20))
    found = _find(folder)
    assert found.tools == {}
    reasons = {Path(skipped.source).name: skipped.reason for skipped in found.skipped}
    assert "symbolic link" in reasons["link.py"]
    assert "not a regular file" in reasons["pipe.py"]
    assert "not a regular file" in reasons["sub.py"]
    assert "larger than 1024 KiB" in reasons["huge.py"]


def test_a_linked_folder_is_not_followed(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(folder)
    _write(folder, "weather.py", _WEATHER)
    assert _find(tmp_path / "link").tools == {}


def test_an_absent_folder_holds_no_tools(tmp_path: Path) -> None:
    found = _find(tmp_path / "absent")
    assert (found.tools, found.skipped) == ({}, [])


def test_names_are_taken_once_and_the_device_comes_first(folder: Path) -> None:
    _write(folder, "ping.py", 'def ping() -> str:\n    """Ping."""\n')
    found = find_tools(folder=folder, functions=[ping], entry_points=[], owner_uid=_ME)
    assert found.tools["ping"].source == "built in"
    assert "built in has a tool of this name already" in found.skipped[0].reason


def test_packages_offer_functions_lists_and_modules(monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("a_package_of_tools")
    exec(compile(_WEATHER, "x", "exec", dont_inherit=True), module.__dict__)  # noqa: S102
    module.__dict__["several"] = [ping]
    monkeypatch.setitem(sys.modules, "a_package_of_tools", module)
    entries = [
        _entry("a_package_of_tools"),
        _entry("a_package_of_tools:several"),
        _entry("a_package_of_tools:absent", "gone"),
        _entry("a_package_of_tools:math", "module"),
        _entry("a_package_of_tools:__name__", "text"),
        _entry("a_package_of_tools:Path", "class"),
    ]
    found = find_tools(entry_points=entries)
    assert list(found.tools) == ["weather", "ping"]
    assert [skipped.source for skipped in found.skipped] == [
        "gone of an installed package",
        "module of an installed package",
        "text of an installed package",
        "class of an installed package",
    ]


def test_the_allow_list_decides_and_names_what_is_missing(folder: Path) -> None:
    _write(folder, "weather.py", _WEATHER)
    found = find_tools(folder=folder, functions=[ping], allow=["weather", "wether"], entry_points=[], owner_uid=_ME)
    assert list(found.tools) == ["weather"]
    assert str(found.skipped[0]) == "wether in tools.allow was skipped: no tool has this name"


def test_the_service_takes_no_more_than_512(folder: Path) -> None:
    lines = [f'def tool_{number}() -> str:\n    """Do."""\n' for number in range(MAX_TOOLS + 1)]
    _write(folder, "many.py", "\n".join(lines))
    found = _find(folder)
    assert len(found.tools) == MAX_TOOLS
    assert found.skipped[0].source == f"tool_{MAX_TOOLS}"


def test_installed_packages_are_asked_by_default() -> None:
    assert find_tools(functions=[ping]).tools["ping"].source == "built in"


def test_tools_made_elsewhere_come_last_and_take_nobodys_name(folder: Path) -> None:
    _write(folder, "weather.py", _WEATHER)
    served = {name: replace(declare(ping), name=name, source="mcp home") for name in ("ping", "weather", "lamp")}
    found = find_tools(folder=folder, functions=[ping], extra=served, entry_points=[], owner_uid=_ME)
    assert {name: one.source == "mcp home" for name, one in found.tools.items()} == {
        "ping": False, "weather": False, "lamp": True,
    }  # fmt: skip
    assert [str(one) for one in found.skipped] == [
        "ping from mcp home was skipped: built in has a tool of this name already",
        f"weather from mcp home was skipped: {folder / 'weather.py'} has a tool of this name already",
    ]
    chosen = find_tools(functions=[ping], extra=served, allow=["lamp"], entry_points=[], owner_uid=_ME)
    assert list(chosen.tools) == ["lamp"]
