"""The systemd files: accepted by systemd, hardened, and saying what the daemon relies on."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

from edge_agent import config
from edge_agent.config import Config, Live
from edge_agent.errors import EXIT_CONFIG
from edge_agent.service.recorder import FILES

UNITS = Path(__file__).parent.parent / "systemd"
UNIT = UNITS / "edge-agent.service"
DROP_INS = sorted((UNITS / "drop-ins").glob("*.conf"))

ANALYZE = shutil.which("systemd-analyze")
needs_systemd = pytest.mark.skipif(ANALYZE is None, reason="systemd-analyze is not on this machine")


def settings(path: Path) -> dict[str, list[str]]:
    """Return the values of each key of a unit file, in order."""
    found: dict[str, list[str]] = {}
    section = ""
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if not line or line.startswith(("#", ";")):
            continue
        if line.startswith("["):
            section = line.strip("[]")
            continue
        assert section, f"{path.name}:{number} stands before any section"
        key, sign, value = line.partition("=")
        assert sign, f"{path.name}:{number} is neither a key nor a comment: {line}"
        assert re.fullmatch(r"[A-Z]\w*", key), f"{path.name}:{number}: {key}"
        found.setdefault(key, []).append(value)
    return found


def tmpfiles() -> dict[str, list[str]]:
    """Return mode, user and group of each path that tmpfiles takes care of."""
    lines = (UNITS / "edge-agent.tmpfiles").read_text().splitlines()
    return {line.split()[1]: line.split()[2:5] for line in lines if line and not line.startswith("#")}


@pytest.fixture
def runnable(tmp_path: Path) -> Path:
    """Return a copy of the unit that starts a program which exists here, as systemd's check wants."""
    copy = tmp_path / UNIT.name
    copy.write_text(
        UNIT.read_text().replace("/opt/edge-agent/current/bin/edge-agent", shutil.which("true") or "/bin/true")
    )
    return copy


def analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    assert ANALYZE
    environment = os.environ | {"SYSTEMD_COLORS": "0", "SYSTEMD_PAGER": "cat", "LC_ALL": "C"}
    return subprocess.run(  # noqa: PLW1510  the code is what the test looks at
        [ANALYZE, *arguments], capture_output=True, text=True, timeout=60, env=environment
    )


@needs_systemd
def test_systemd_accepts_every_line(runnable: Path) -> None:
    answer = analyze("verify", "--man=no", "--recursive-errors=no", str(runnable))
    complaints = [line for line in (answer.stdout + answer.stderr).splitlines() if runnable.name in line]
    assert not complaints
    assert answer.returncode == 0, answer.stderr


@needs_systemd
@pytest.mark.parametrize("drop_in", DROP_INS, ids=lambda path: path.stem)
@pytest.mark.parametrize("all_lines", [False, True], ids=["as it stands", "every line switched on"])
def test_systemd_accepts_every_drop_in(drop_in: Path, all_lines: bool, runnable: Path) -> None:
    text = drop_in.read_text()
    if all_lines:
        text = re.sub(r"^#(?=[A-Z]\w+=)", "", text, flags=re.MULTILINE)
    folder = runnable.with_name(f"{runnable.name}.d")
    folder.mkdir()
    (folder / drop_in.name).write_text(text)
    answer = analyze("verify", "--man=no", "--recursive-errors=no", str(runnable))
    said = answer.stdout + answer.stderr
    assert not [line for line in said.splitlines() if runnable.name in line or drop_in.name in line]
    assert answer.returncode == 0, answer.stderr


@needs_systemd
def test_the_check_would_notice_a_wrong_drop_in(runnable: Path) -> None:
    folder = runnable.with_name(f"{runnable.name}.d")
    folder.mkdir()
    (folder / "wrong.conf").write_text("[Service]\nMemoryHigh=plenty\n")
    answer = analyze("verify", "--man=no", "--recursive-errors=no", str(runnable))
    assert "wrong.conf:" in answer.stdout + answer.stderr


@needs_systemd
def test_the_check_would_notice_a_wrong_line(runnable: Path) -> None:
    runnable.write_text(runnable.read_text().replace("RestartSec=3", "RestartSec=soon"))
    answer = analyze("verify", "--man=no", "--recursive-errors=no", str(runnable))
    assert f"{runnable.name}:" in answer.stdout + answer.stderr


@needs_systemd
def test_exposure_is_at_most_two_of_ten(runnable: Path) -> None:
    answer = analyze("security", "--offline=true", "--threshold=20", "--no-pager", str(runnable))
    assert answer.returncode == 0, answer.stdout[-400:] + answer.stderr


def test_the_unit_starts_the_daemon_and_reloads_it() -> None:
    unit = settings(UNIT)
    assert unit["Type"] == ["notify"], "notify-reload makes systemd 252 drop the line"
    assert unit["ExecStart"][0].endswith("/edge-agent run")
    assert unit["ExecReload"] == ["/bin/kill -HUP $MAINPID"]


def test_a_wrong_configuration_does_not_spin_and_all_else_restarts() -> None:
    unit = settings(UNIT)
    assert unit["RestartPreventExitStatus"] == [str(EXIT_CONFIG)]
    assert unit["Restart"] == ["always"]
    assert unit["StartLimitIntervalSec"] == ["0"]
    assert float(unit["TimeoutStopSec"][0]) > 5, "SIGTERM ends the daemon within 5 s"
    assert 15 <= float(unit["WatchdogSec"][0]) <= 30


def test_the_device_waits_for_no_network_and_no_clock() -> None:
    unit = settings(UNIT)
    order = " ".join(unit.get("After", []) + unit.get("Requires", []) + unit.get("Wants", []))
    assert "network" not in order
    assert "time" not in order


def test_the_credential_has_the_name_the_configuration_expects() -> None:
    unit = settings(UNIT)
    kind, _, name = Live().credential.partition(":")
    assert kind == "file"
    assert unit["LoadCredential"] == [f"{name}:/etc/edge-agent/gemini-key"]
    assert unit["SetCredential"][0].startswith(f"{name}:"), (
        "without a default, a missing key keeps the unit from starting"
    )


@pytest.mark.parametrize("drop_in", DROP_INS, ids=lambda path: path.stem)
def test_a_drop_in_says_where_it_goes_and_its_settings_are_accepted(drop_in: Path) -> None:
    text = drop_in.read_text()
    assert "/etc/systemd/system/edge-agent.service.d/" in text
    lines = re.findall(r"^#   (.*)$", text, re.MULTILINE)
    parsed = config.parse(tomllib.loads("\n".join(lines)), source=drop_in.name)
    handed_over = {value.partition(":")[0] for value in settings(drop_in).get("LoadCredential", [])}
    named = {
        one.value.partition(":")[2]
        for one in config.settings(parsed)
        if isinstance(one.value, str) and one.value != one.default and one.value.startswith("file:")
    }
    assert named <= handed_over


@pytest.mark.parametrize("file", [UNIT, *DROP_INS], ids=lambda path: path.stem)
def test_a_missing_secret_shows_as_a_fault_instead_of_keeping_the_daemon_from_starting(file: Path) -> None:
    unit = settings(file)
    loaded = {value.partition(":")[0] for value in unit.get("LoadCredential", [])}
    assert loaded == {value.partition(":")[0] for value in unit.get("SetCredential", [])}


def test_every_secret_of_a_drop_in_is_kept_readable_by_root_alone() -> None:
    rules = tmpfiles()
    for file in DROP_INS:
        for value in settings(file).get("LoadCredential", []):
            path = value.partition(":")[2]
            assert path.endswith(".pem") or rules[path] == ["0600", "root", "root"], path


def test_recordings_fit_into_the_folder_and_the_memory_of_the_unit() -> None:
    unit = settings(UNIT)
    assert "strict" in unit["ProtectSystem"], "everything but the state folder is read-only"
    writable = Path("/var/lib") / unit["StateDirectory"][0]
    for example in (UNITS.parent / "docs/examples").glob("*.toml"):
        recorder = config.load(example).recorder
        assert not recorder.folder or Path(recorder.folder).parent == writable, example.name
    held_mb = Config().recorder.max_mb / FILES
    assert 80 + 52 + held_mb < float(unit["MemoryHigh"][0].removesuffix("M")), "daemon, MCP client, recorder"


def test_sound_pins_and_camera_can_be_opened() -> None:
    allowed = {value.partition(" ")[0] for value in settings(UNIT)["DeviceAllow"]}
    assert allowed >= {"char-alsa", "char-gpiochip", "char-video4linux", "char-media", "char-dma_heap"}
    groups = set(re.findall(r"^m edge-agent (\w+)$", (UNITS / "edge-agent.sysusers").read_text(), re.MULTILINE))
    assert groups == {"audio", "video", "gpio"}


def test_the_control_socket_lies_in_the_folder_the_unit_makes() -> None:
    unit = settings(UNIT)
    assert Path(Config().control.socket).parent == Path("/run") / unit["RuntimeDirectory"][0]
    assert unit["User"] == unit["Group"] == ["edge-agent"]


def test_the_key_file_is_readable_by_root_alone() -> None:
    rules = tmpfiles()
    assert rules["/etc/edge-agent/gemini-key"] == ["0600", "root", "root"]
    assert rules["/etc/edge-agent/tools"][1:] == ["root", "root"], "tools count only if root owns them"


@pytest.mark.skipif(shutil.which("systemd-sysusers") is None, reason="systemd-sysusers is not on this machine")
def test_sysusers_and_tmpfiles_are_read_by_systemd(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    for program, name in (("systemd-sysusers", "sysusers"), ("systemd-tmpfiles", "tmpfiles")):
        arguments = ["--create"] if name == "tmpfiles" else []
        answer = subprocess.run(
            [program, *arguments, f"--root={tmp_path}", str(UNITS / f"edge-agent.{name}")],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert answer.returncode == 0, answer.stderr
    assert "edge-agent:" in (tmp_path / "etc/passwd").read_text()
    assert (tmp_path / "etc/edge-agent/tools").is_dir()
