"""What the device remembers: whole after a kill at any step, tolerant of any file, one sentence for a dead disk."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.errors import Fault
from edge_agent.service import state
from edge_agent.service.state import (
    MAX_SECTION_BYTES,
    State,
    StateFile,
    default_folder,
    write_atomically,
)

_KILLED_WRITER = """
import os, pathlib, sys
from edge_agent.service import state
folder, fatal = pathlib.Path(sys.argv[1]), int(sys.argv[2])
step = 0
def deadly(call, torn=False):
    def wrapped(*args, **kwargs):
        global step
        step += 1
        if step == fatal:
            if torn:
                call(args[0], bytes(args[1])[: len(args[1]) // 2])
            os._exit(9)
        return call(*args, **kwargs)
    return wrapped
os.open, os.fsync, os.replace, os.close = map(deadly, (os.open, os.fsync, os.replace, os.close))
os.write = deadly(os.write, torn=True)
file = state.StateFile(folder)
assert file.load() == [], "the old file is whole"
file.update(volume=77, muted=True)
file.flush()
print(step)
"""


def _write_and_die(folder: Path, fatal: int) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", _KILLED_WRITER, str(folder), str(fatal)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def test_a_kill_at_any_step_leaves_the_old_file_or_the_new_one(tmp_path: Path) -> None:
    old, new = State(volume=12, muted=False), State(volume=77, muted=True)
    results = []
    for fatal in range(1, 40):
        first = StateFile(tmp_path)
        first.load()
        first.update(volume=12, muted=False)
        assert first.flush() is None
        outcome = _write_and_die(tmp_path, fatal)
        after = StateFile(tmp_path)
        assert after.load() == [], f"torn after a kill at step {fatal}"
        results.append(after.state)
        if outcome.returncode == 0:
            break
        assert outcome.returncode == 9, outcome.stderr
    assert outcome.returncode == 0, "some step count lets the writer finish"
    assert set(results) == {old, new}
    assert results == sorted(results, key=[old, new].index), "once the new one is there it stays"
    assert len(results) > 7, "open, write, fsync, close, rename, open, fsync, close are all steps"


def test_volume_and_mute_survive_a_restart(tmp_path: Path) -> None:
    first = StateFile(tmp_path / "made" / "when-missing")
    assert first.load() == []
    first.update(muted=True)
    first.update(volume=30)
    assert first.flush() is None
    second = StateFile(tmp_path / "made" / "when-missing")
    assert second.load() == []
    assert second.state == State(volume=30, muted=True)
    assert second.path.stat().st_mode & 0o777 == 0o600


def test_nothing_changed_means_nothing_written(tmp_path: Path) -> None:
    file = StateFile(tmp_path)
    file.load()
    file.update(muted=False)
    assert file.flush() is None
    assert not file.path.exists(), "an SD card is spared"


@given(st.binary(max_size=200))
def test_any_bytes_are_survived(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    folder = tmp_path_factory.mktemp("state")
    (folder / "state.json").write_bytes(data)
    file = StateFile(folder)
    sentences = file.load()
    assert file.state == State() or sentences == []
    file.update(volume=1, muted=True)
    assert file.flush() is None
    again = StateFile(folder)
    assert again.load() == []
    assert again.state == State(volume=1, muted=True)


def test_a_torn_file_is_kept_aside_and_named(tmp_path: Path) -> None:
    (tmp_path / "state.json").write_text('{"version": 1, "vol')
    file = StateFile(tmp_path)
    (sentence,) = file.load()
    assert "state.json.broken" in sentence
    assert (tmp_path / "state.json.broken").read_text() == '{"version": 1, "vol'
    assert file.state == State()


def test_an_enormous_file_is_not_read_whole(tmp_path: Path) -> None:
    (tmp_path / "state.json").write_bytes(b"[" * (2 << 20))
    (sentence,) = StateFile(tmp_path).load()
    assert "not a state file" in sentence


def test_fields_of_a_newer_version_survive_this_one(tmp_path: Path) -> None:
    (tmp_path / "state.json").write_text('{"version": 3, "volume": 5, "muted": true, "glow": {"day": 1.5}}')
    file = StateFile(tmp_path)
    assert file.load() == []
    assert file.state == State(volume=5, muted=True)
    file.update(volume=6)
    assert file.flush() is None
    tree = json.loads((tmp_path / "state.json").read_text())
    assert tree == {"glow": {"day": 1.5}, "version": 3, "volume": 6, "muted": True}


def test_sections_survive_a_restart_beside_volume_and_mute(tmp_path: Path) -> None:
    first = StateFile(tmp_path)
    first.load()
    assert first.section("timers") == {}
    value = {"entries": [{"name": "Ei", "due": 1.5}]}
    first.put("timers", value)
    value["entries"].clear()
    first.section("timers")["entries"].clear()
    first.put("budget", {"day": 2})
    first.update(volume=4)
    assert first.flush() is None
    second = StateFile(tmp_path)
    assert second.load() == []
    assert second.section("timers") == {"entries": [{"name": "Ei", "due": 1.5}]}, "nobody else holds its parts"
    assert second.section("budget") == {"day": 2}
    assert second.section("handle") == {}
    assert second.state == State(volume=4)


def test_an_empty_section_leaves_nothing_behind(tmp_path: Path) -> None:
    file = StateFile(tmp_path)
    file.load()
    file.put("handle", {"handle": "h"})
    file.flush()
    file.put("handle", {})
    file.flush()
    assert "handle" not in file.path.read_text()
    written = file.path.stat().st_mtime_ns
    file.put("handle", {})
    file.flush()
    assert file.path.stat().st_mtime_ns == written, "nothing changed, nothing written"


@pytest.mark.parametrize("broken", ["[1]", '"x"', "3", "null", '{"x": "' + "y" * MAX_SECTION_BYTES + '"}'])
def test_a_broken_section_is_dropped_alone(tmp_path: Path, broken: str) -> None:
    (tmp_path / "state.json").write_text(f'{{"volume": 5, "timers": {broken}, "budget": {{"day": 1}}, "new": 1}}')
    file = StateFile(tmp_path)
    (sentence,) = file.load()
    assert "the section timers" in sentence
    assert "starts empty" in sentence
    assert file.section("timers") == {}
    assert file.section("budget") == {"day": 1}
    assert file.state.volume == 5
    file.put("timers", {"entries": []})
    assert file.flush() is None
    tree = json.loads(file.path.read_text())
    assert (tree["timers"], tree["budget"], tree["new"]) == ({"entries": []}, {"day": 1}, 1)


def test_what_would_spoil_the_file_is_refused(tmp_path: Path) -> None:
    file = StateFile(tmp_path)
    file.load()
    file.put("timers", {"kept": True})
    with pytest.raises(ValueError, match="at most 65536"):
        file.put("timers", {"x": "y" * MAX_SECTION_BYTES})
    with pytest.raises(ValueError, match="JSON"):
        file.put("timers", {"x": float("nan")})
    with pytest.raises(TypeError):
        file.put("timers", {"x": b"y"})
    for call in (lambda: file.put("volume", {}), lambda: file.section("volume")):
        with pytest.raises(ValueError, match="no section 'volume'; known are budget, timers, handle"):
            call()
    assert file.section("timers") == {"kept": True}


def test_wrong_values_are_named_and_a_doubtful_mute_stays_mute(tmp_path: Path) -> None:
    (tmp_path / "state.json").write_text('{"version": 1, "volume": 300, "muted": "yes"}')
    file = StateFile(tmp_path)
    volume, muted = file.load()
    assert "volume = 300" in volume
    assert "muted = 'yes'" in muted
    assert file.state == State(volume=None, muted=True)


def test_a_dead_disk_is_one_fault_until_it_works_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = StateFile(tmp_path)
    file.load()

    def read_only(*_args: object, **_kwargs: object) -> int:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    with monkeypatch.context() as broken:
        broken.setattr(os, "open", read_only)
        file.update(muted=True)
        error = file.flush()
        assert error is not None
        assert error.fault is Fault.STORAGE
        assert "Read-only file system" in str(error)
        file.update(volume=3)
        assert file.flush() is None, "said once"
        assert file.failed
    assert file.flush() is None, "the disk is back, and what was owed is written"
    assert not file.failed
    after = StateFile(tmp_path)
    after.load()
    assert after.state == State(volume=3, muted=True)


def test_flushes_from_several_threads_end_with_the_newest_values(tmp_path: Path) -> None:
    file = StateFile(tmp_path)
    file.load()
    threads = []
    for volume in range(20):
        file.update(volume=volume)
        threads.append(threading.Thread(target=file.flush))
        threads[-1].start()
    for thread in threads:
        thread.join()
    after = StateFile(tmp_path)
    assert after.load() == []
    assert after.state.volume == 19


@pytest.mark.parametrize(
    ("environment", "folder"),
    [
        ({"STATE_DIRECTORY": "/var/lib/edge-agent", "XDG_STATE_HOME": "/x"}, "/var/lib/edge-agent"),
        ({"STATE_DIRECTORY": "/a:/b"}, "/a"),
        ({"XDG_STATE_HOME": "/x", "HOME": "/h"}, "/x/edge-agent"),
        ({"XDG_STATE_HOME": "relative", "HOME": "/h"}, "/h/.local/state/edge-agent"),
        ({"HOME": "/h"}, "/h/.local/state/edge-agent"),
    ],
)
def test_where_it_lies(environment: dict[str, str], folder: str) -> None:
    assert default_folder(environment) == Path(folder)


def test_the_data_is_on_the_disk_before_its_name_and_the_name_before_success(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a power cut may forget is only what was not flushed; a kill alone cannot show that."""
    done = []
    fsync, replace = os.fsync, os.replace

    def recorded_fsync(file: int) -> None:
        done.append("flush " + Path(f"/proc/self/fd/{file}").readlink().name)
        fsync(file)

    def recorded_replace(source: Path, target: Path) -> None:
        done.append("rename")
        replace(source, target)

    monkeypatch.setattr(os, "fsync", recorded_fsync)
    monkeypatch.setattr(os, "replace", recorded_replace)
    write_atomically(tmp_path / "state.json", b"{}")
    assert done == ["flush .state.json.new", "rename", f"flush {tmp_path.name}"]


def test_a_leftover_of_a_crash_does_not_stand_in_the_way(tmp_path: Path) -> None:
    (tmp_path / ".f.new").write_text("half")
    write_atomically(tmp_path / "f", b"whole")
    assert (tmp_path / "f").read_bytes() == b"whole"
    assert [entry.name for entry in tmp_path.iterdir()] == ["f"]


def test_programs_beside_the_daemon_find_the_services_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state, "SERVICE_STATE", tmp_path)
    assert state.device_folder() == tmp_path
    monkeypatch.setenv("STATE_DIRECTORY", "/elsewhere")
    assert state.device_folder() == Path("/elsewhere")
    monkeypatch.delenv("STATE_DIRECTORY")
    monkeypatch.setattr(state, "SERVICE_STATE", tmp_path / "none")
    assert state.device_folder() == state.default_folder()
