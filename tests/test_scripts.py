"""scripts/setup and scripts/test on machines that lack something: played with stand-ins for apt, Python and pytest.

Each test gets a checkout of its own whose programs write down how they were called. Nothing is downloaded or installed.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

PYTHON = """#!/bin/bash
case "$*" in
  *sys.executable*) echo "$0" ;;
  *%d.%d.%d*) echo 3.12.9 ;;
  *%d.%d*) echo 3.12 ;;
  *numpy.__version__*) echo 1.24.2 ;;
  "-m venv "*)
    echo "venv $*" >>"$CALLS"
    place=${!#}
    mkdir -p "$place/bin"
    cp "$0" "$place/bin/python"
    echo "#!$place/bin/python" >"$place/bin/pip"
    [[ $* == *--system-site-packages* ]] && sees=true
    echo "include-system-site-packages = ${sees:-false}" >"$place/pyvenv.cfg"
    ;;
  "-m pip "*)
    echo "pip $*" >>"$CALLS"
    sleep "${PIP_TAKES:-0}"
    exit "${PIP_ENDS:-0}"
    ;;
esac
"""

APT = """#!/bin/bash
echo "apt-get $*" >>"$CALLS"
[[ $1 != download ]] || touch pulseaudio_1_all.deb
exit "${APT_ENDS:-0}"
"""

DPKG_QUERY = """#!/bin/bash
[[ " $ABSENT " == *" ${!#} "* || $ABSENT == all ]] || echo installed
"""

TOOLS = (
    "bash sh awk cat chmod cp cut dirname env find flock grep head mkdir mv printf readlink rm sed sha256sum "
    "sleep tail touch tr"
)


@dataclass
class Machine:
    """A checkout and a PATH with nothing on it but what is put there."""

    root: Path
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def bin(self) -> Path:
        return self.root / "bin"

    @property
    def checkout(self) -> Path:
        return self.root / "checkout"

    @property
    def calls(self) -> list[str]:
        return (self.root / "calls").read_text().splitlines()

    def program(self, name: str, text: str) -> Path:
        path = self.bin / name
        path.write_text(text)
        path.chmod(0o755)
        return path

    def start(self, *command: str, nobody: bool = False, **environment: str) -> subprocess.Popen[str]:
        prefix = (
            [shutil.which("setpriv") or "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
            if nobody and os.geteuid() == 0
            else []
        )
        return subprocess.Popen(
            [*prefix, *command],
            cwd=self.checkout,
            env=self.environment | environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, *command: str, nobody: bool = False, **environment: str) -> tuple[int, str]:
        with self.start(*command, nobody=nobody, **environment) as process:
            text, _ = process.communicate(timeout=60)
        assert "Traceback" not in text
        assert "line " not in text, "bash's own complaint is no sentence"
        return process.returncode, text

    def setup(self, *arguments: str, nobody: bool = False, **environment: str) -> tuple[int, str]:
        return self.run("scripts/setup", *arguments, nobody=nobody, **environment)


@pytest.fixture
def machine() -> Iterator[Machine]:
    """Yield a fresh machine: all Debian packages there, a Python 3.12, no Raspberry Pi, no sudo."""
    with tempfile.TemporaryDirectory(prefix="edge-agent-machine-") as folder:
        made = Machine(Path(folder))
        (made.checkout / "scripts").mkdir(parents=True)
        made.bin.mkdir()
        for name in ("scripts/setup", "scripts/test", "pyproject.toml"):
            shutil.copy(ROOT / name, made.checkout / name)
        for tool in TOOLS.split():
            real = shutil.which(tool)
            assert real, tool
            (made.bin / tool).symlink_to(real)
        (made.root / "calls").touch()
        (made.root / "model").write_bytes(b"Something Else\0")
        python = made.program("python3.12", PYTHON)
        made.program("apt-get", APT)
        made.program("apt-cache", "#!/bin/sh\n")
        made.program("dpkg-query", DPKG_QUERY)
        made.environment = {
            "PATH": str(made.bin),
            "CALLS": str(made.root / "calls"),
            "ABSENT": "",
            "EDGE_AGENT_MODEL_FILE": str(made.root / "model"),
            "LC_ALL": "C.UTF-8",
        }
        assert python.exists()
        for path in (made.root, *made.root.rglob("*")):
            if not path.is_symlink():
                path.chmod(0o777)
        yield made


def test_a_fresh_machine_is_set_up_once(machine: Machine) -> None:
    code, text = machine.setup("demo")
    assert code == 0, text
    assert [call.split()[0] for call in machine.calls] == ["venv", "pip"]
    assert machine.calls[1].endswith("-e .[demo]")
    code, text = machine.setup("demo")
    assert (code, text) == (0, "")
    assert len(machine.calls) == 2, "nothing is done again"


def test_less_is_contained_in_more_and_more_is_added(machine: Machine) -> None:
    assert machine.setup("demo")[0] == 0
    assert machine.setup("run")[0] == 0
    assert len(machine.calls) == 2
    assert machine.setup("test")[0] == 0
    assert [call.split()[0] for call in machine.calls] == ["venv", "pip", "pip"]
    assert machine.calls[-1].endswith("-e .[demo,test]")


def test_a_changed_project_is_installed_into_the_same_environment(machine: Machine) -> None:
    assert machine.setup("test")[0] == 0
    with (machine.checkout / "pyproject.toml").open("a") as project:
        project.write("# changed\n")
    assert machine.setup("run")[0] == 0
    assert [call.split()[0] for call in machine.calls] == ["venv", "pip", "pip"]
    assert machine.calls[-1].endswith("[demo,test]"), "what was there stays"


def test_a_half_made_environment_is_made_anew(machine: Machine) -> None:
    code, text = machine.setup("run", PIP_ENDS="1")
    assert code == 1
    assert "is there a network?" in text
    assert machine.setup("run")[0] == 0
    assert [call.split()[0] for call in machine.calls] == ["venv", "pip", "venv", "pip"]


def test_a_checkout_that_was_moved_gets_a_new_environment(machine: Machine) -> None:
    assert machine.setup("run")[0] == 0
    shutil.move(machine.checkout, machine.root / "moved")
    machine.checkout.symlink_to(machine.root / "moved")
    code, text = machine.setup("run")
    assert code == 0, text
    assert [call.split()[0] for call in machine.calls] == ["venv", "pip", "venv", "pip"]


def test_two_at_once_do_the_work_once(machine: Machine) -> None:
    both = [machine.start("scripts/setup", "run", PIP_TAKES="0.5") for _ in range(2)]
    texts = [process.communicate(timeout=60)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0], texts
    assert [call.split()[0] for call in machine.calls] == ["venv", "pip"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gets as far as apt here")
def test_only_missing_packages_are_installed_and_none_removed(machine: Machine) -> None:
    code, text = machine.setup("demo", ABSENT="espeak-ng portaudio19-dev")
    assert code == 0, text
    update, install = machine.calls[:2]
    assert update == "apt-get update -qq"
    assert install.split()[-2:] == ["portaudio19-dev", "espeak-ng"]
    assert "--no-remove" in install


@pytest.mark.skipif(os.geteuid() == 0 and shutil.which("setpriv") is None, reason="needs setpriv to become nobody")
def test_without_sudo_a_sentence_names_the_command(machine: Machine) -> None:
    code, text = machine.setup("demo", nobody=True, ABSENT="espeak-ng")
    assert code == 1
    assert "there is no sudo here" in text
    assert "As root: apt-get install espeak-ng" in text


@pytest.mark.skipif(os.geteuid() == 0 and shutil.which("setpriv") is None, reason="needs setpriv to become nobody")
def test_sudo_that_asks_for_a_password_nobody_can_type(machine: Machine) -> None:
    machine.program("sudo", "#!/bin/sh\nexit 1\n")
    code, text = machine.setup("run", nobody=True, ABSENT="alsa-utils")
    assert code == 1
    assert "sudo asks for a password" in text
    assert "sudo apt-get install alsa-utils" in text


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gets as far as apt here")
def test_packages_that_cannot_be_had(machine: Machine) -> None:
    code, text = machine.setup("run", ABSENT="gcc", APT_ENDS="100")
    assert code == 1
    assert "could not be installed (is there a network?" in text
    assert "gcc" in text


def test_a_desktop_on_pipewire_keeps_its_sound_server(machine: Machine) -> None:
    machine.program(
        "dpkg-deb",
        "#!/bin/bash\nmkdir -p usr/bin usr/lib/pulse/modules usr/lib/core && touch usr/lib/core/libpulsecore-1.so\n"
        'printf "#!/bin/sh\\necho \\"\\$@\\"\\n" >usr/bin/pulseaudio && chmod +x usr/bin/pulseaudio\n',
    )
    code, text = machine.setup("demo", ABSENT="pulseaudio")  # pipewire-pulse is there, as is everything else
    assert code == 0, text
    assert [call for call in machine.calls if call.startswith("apt-get")] == ["apt-get download -qq pulseaudio"]
    unpacked = machine.checkout / ".venv/pulseaudio/usr"
    assert machine.run(".venv/bin/pulseaudio", "-n") == (0, f"--dl-search-path={unpacked}/lib/pulse/modules -n\n")


def test_no_python_in_range(machine: Machine) -> None:
    (machine.bin / "python3.12").unlink()
    machine.program("python3.13", "#!/bin/sh\necho 'pyenv: command not found' >&2; exit 127\n")
    code, text = machine.setup("run")
    assert code == 1
    assert "No Python 3.11 to 3.13 was found" in text
    assert "EDGE_AGENT_PYTHON" in text
    assert "pyenv" not in text


def test_a_named_python_that_does_not_run(machine: Machine) -> None:
    code, text = machine.setup("run", EDGE_AGENT_PYTHON="/nowhere/python3")
    assert code == 1
    assert text.strip() == (
        "setup: EDGE_AGENT_PYTHON=/nowhere/python3 is not a Python 3.11 to 3.13 that runs; name another or unset it."
    )


def test_a_system_without_apt_is_told_what_it_needs(machine: Machine) -> None:
    (machine.bin / "apt-get").unlink()
    code, text = machine.setup("run")
    assert code == 0
    assert "There is no apt-get here" in text


def test_an_unknown_word_is_a_usage_error(machine: Machine) -> None:
    code, text = machine.setup("everything")
    assert code == 2
    assert "usage: scripts/setup [run|demo|test]" in text


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gets as far as apt here")
def test_a_pi_compiles_nothing_and_keeps_its_own_numpy(machine: Machine) -> None:
    (machine.root / "model").write_bytes(b"Raspberry Pi 4 Model B Rev 1.4\0")
    machine.program("apt-cache", '#!/bin/sh\necho "$2 | 1.0 | archive"\n')
    code, text = machine.setup("demo", EDGE_AGENT_PYTHON=str(machine.bin / "python3.12"), ABSENT="all")
    assert code == 0, text
    install = machine.calls[1].split()
    assert {"python3-pyaudio", "python3-numpy", "python3-gpiozero", "python3-lgpio", "python3-picamera2"} <= set(
        install
    )
    assert not {"gcc", "portaudio19-dev", "libc6-dev"} & set(install)
    assert "--no-install-recommends" in install
    venv, pip = machine.calls[-2:]
    assert "--system-site-packages" in venv
    assert "--only-binary=:all:" in pip
    assert (machine.checkout / ".venv/constraints.txt").read_text() == "numpy==1.24.2\n"


PYTEST = """#!/bin/bash
if [[ $1 == - || $1 == -c ]]; then exec "$REAL_PYTHON" "$@"; fi
echo "$*" >>"$CALLS"
for word in "$@"; do
  case $word in --junitxml=*) report=${word#--junitxml=} ;; esac
done
if [[ -n ${PYTEST_BROKEN_OFF:-} && $* == *"-m soak"* ]]; then
  trap 'echo "soak ended" >>"$CALLS"; exit 2' INT
  echo "soak began" >>"$CALLS"
  for _ in {1..200}; do sleep 0.05; done
elif [[ -n ${PYTEST_BROKEN_OFF:-} && $* == *"-m slow"* ]]; then
  until grep -q "soak began" "$CALLS"; do sleep 0.05; done
  kill -TERM "$PPID"
  exit 2
fi
count=11 bad=${PYTEST_FAILURES:-0}
if [[ $* == *"-m slow"* || $* == *"-m sound"* || $* == *"-m soak"* || $* == *"-m study"* ]]; then
  count=3 bad=0
  if [[ -n ${PYTEST_FAILS_IN:-} && $* == *"$PYTEST_FAILS_IN"* ]]; then bad=1; fi
elif [[ -n ${PYTEST_CRASHES:-} ]]; then
  exit 3
elif [[ $* == *--last-failed* && -n ${PYTEST_AGAIN:-} ]]; then
  echo "<a><testsuite tests='${PYTEST_AGAIN}' failures='0' errors='0' skipped='0'/></a>" >"$report"
  exit 0
fi
echo "<a><testsuite tests='$count' failures='$bad' errors='0' skipped='1'/></a>" >"$report"
exit $((bad > 0))
"""


@pytest.fixture
def tested(machine: Machine) -> Machine:
    """Return a machine whose tools and tests are stand-ins as well."""
    machine.environment["REAL_PYTHON"] = sys.executable
    (machine.checkout / "scripts/setup").write_text("#!/bin/sh\n")
    (machine.checkout / ".ci").mkdir()
    shutil.copy(ROOT / ".ci/run", machine.checkout / ".ci/run")
    place = machine.checkout / ".venv/bin"
    place.mkdir(parents=True)
    for name, text in (
        ("python", PYTEST),
        ("ruff", '#!/bin/sh\necho "ruff $*" >>"$CALLS"\nexit "${RUFF_ENDS:-0}"\n'),
        ("mypy", '#!/bin/sh\necho mypy >>"$CALLS"\n'),
    ):
        (place / name).write_text(text)
        (place / name).chmod(0o755)
    return machine


def last_line(text: str) -> str:
    return text.strip().splitlines()[-1]


def test_the_closing_line_counts_every_layer(tested: Machine) -> None:
    code, text = tested.run(".ci/run")
    assert code == 0, text
    assert last_line(text).startswith("23 passed, 0 failed, 6 skipped")  # 3 tools; 10 and five times 2 tests
    assert "everyday tests   passed: 10 passed, 0 failed, 1 skipped" in text
    assert any("-m not slow and not sound" in call and "-n 2" in call for call in tested.calls)


def test_a_failing_layer_fails_the_whole_and_the_others_still_run(tested: Machine) -> None:
    code, text = tested.run("scripts/test", RUFF_ENDS="1", PYTEST_FAILURES="2")
    assert code == 1
    assert last_line(text).startswith("19 passed, 4 failed, 6 skipped")
    assert any("-m slow" in call for call in tested.calls)


def test_a_few_that_fail_beside_others_get_a_second_try_alone_and_the_table_says_so(tested: Machine) -> None:
    code, text = tested.run("scripts/test", "--fast", PYTEST_FAILURES="2", PYTEST_AGAIN="2")
    assert code == 0, text
    assert "10 passed, 0 failed, 1 skipped (2 of them only when run again, alone)" in text


def test_many_that_fail_get_no_second_try(tested: Machine) -> None:
    code, _ = tested.run("scripts/test", "--fast", PYTEST_FAILURES="4", PYTEST_AGAIN="4")
    assert code == 1
    assert not any("--last-failed" in call for call in tested.calls)


@pytest.mark.parametrize(
    ("layer", "again"),
    [
        ("-m sound and not slow", True),
        ("-m slow and not virtual", True),
        ("-m slow and virtual", False),
        ("-m study", False),
    ],
)
def test_only_what_lives_in_real_time_gets_a_second_try(tested: Machine, layer: str, again: bool) -> None:
    code, text = tested.run("scripts/test", PYTEST_FAILS_IN=layer, PYTEST_AGAIN="1")
    assert code == (0 if again else 1), text
    assert any("--last-failed" in call for call in tested.calls) == again


def test_the_long_layers_run_beside_the_slow_one_and_count_as_well(tested: Machine) -> None:
    code, text = tested.run("scripts/test")
    assert code == 0, text
    assert "soak             passed: 2 passed, 0 failed, 1 skipped (beside the others)" in text
    assert "virtual days     passed: 2 passed, 0 failed, 1 skipped" in text
    assert sum("-m slow and not virtual and not soak and not study" in call for call in tested.calls) == 1


def test_the_half_hour_can_be_left_out(tested: Machine) -> None:
    code, text = tested.run("scripts/test", "--no-soak")
    assert code == 0, text
    assert not any("-m soak" in call for call in tested.calls)
    assert "not asked for" in text


def test_who_breaks_it_off_leaves_nothing_running(tested: Machine) -> None:
    code, _ = tested.run("scripts/test", PYTEST_BROKEN_OFF="1")
    assert code == 130
    assert tested.calls[-1] == "soak ended"
    assert not any("slow and virtual" in call for call in tested.calls), "nor is anything else begun"


def test_tests_that_crash_count_as_failed(tested: Machine) -> None:
    code, text = tested.run("scripts/test", "--fast", PYTEST_CRASHES="1")
    assert code == 1
    assert last_line(text).startswith("5 passed, 1 failed, 1 skipped")
    assert not any("-m slow" in call for call in tested.calls)


def test_a_selection_reaches_the_everyday_tests_alone(tested: Machine) -> None:
    code, text = tested.run("scripts/test", "-k", "mute and not wake", "tests/audio")
    assert code == 0, text
    runs = [call for call in tested.calls if "pytest" in call]
    assert len(runs) == 1
    assert "-k mute and not wake tests/audio" in runs[0]
