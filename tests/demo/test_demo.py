"""The whole demonstration, as a newcomer runs it: it plays, judges itself, leaves its files and nothing running."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from edge_agent.audio.wavfile import read_wav
from edge_agent.demo.listening import levels

FILES = ("session.wav", "timeline.png", "events.jsonl", "latency.md", "latency.json", "daemon.log")


def demo(*words: str, out: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "edge_agent", "demo", "--plain", "--out", str(out), *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "HOME": str(out.parent)},
    )


def children(out: Path) -> list[str]:
    """Command lines of daemons that were started by a demonstration below a folder."""
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            environment = path.read_bytes()
            line = (path.parent / "cmdline").read_bytes()
        except OSError:
            continue
        if f"HOME={out.parent}".encode() in environment and b"edge-demo-" in line:
            found.append(line.decode(errors="replace"))
    return found


def check_results(out: Path) -> None:
    for name in FILES:
        assert (out / name).stat().st_size > 0, name
    events = [json.loads(line) for line in (out / "events.jsonl").read_text().splitlines()]
    assert [event["t"] for event in events] == sorted(event["t"] for event in events)
    assert {event["from"] for event in events} == {"person", "device", "twin", "demo"}
    samples, rate = read_wav(out / "session.wav")
    assert (rate, samples.shape[1]) == (48_000, 2)
    person, device = (levels(samples[:, channel], rate, 0.1) for channel in (0, 1))
    for event in events:
        if event["event"] == "says":
            first, last = (int(t * 10) for t in (event["t"], event["t"] + event["seconds"]))
            assert person[first : last + 1].max() > -35, event["text"]
        if event["event"] == "state" and event["state"] == "speaking":
            first = int(event["t"] * 10)
            assert device[first : first + 10].max() > -35
    spoken = np.zeros(len(person), bool)
    for event in events:
        if event["event"] == "says":
            spoken[int(event["t"] * 10) - 1 : int((event["t"] + event["seconds"]) * 10) + 2] = True
    assert person[~spoken].max() < -60, "the visitor is heard where she did not speak"
    picture = (out / "timeline.png").read_bytes()
    width, height = (int.from_bytes(picture[at : at + 4], "big") for at in (16, 20))
    assert (width, height) == (2400, 1500)
    table = json.loads((out / "latency.json").read_text())
    assert {row["name"] for row in table["rows"] if row["count"]} >= {"press_to_light", "interrupt_to_silence"}


@pytest.mark.slow
@pytest.mark.sound
def test_the_demonstration_on_real_sound(tmp_path: Path) -> None:
    out = tmp_path / "out"
    process = demo(out=out)
    said, complaints = process.communicate(timeout=110)
    assert process.returncode == 0, said + complaints
    assert "✗" not in said
    assert "WAV files stand in" not in said
    check_results(out)
    assert children(out) == []


@pytest.mark.slow
def test_the_demonstration_on_files(tmp_path: Path) -> None:
    out = tmp_path / "out"
    process = demo("--fast", out=out)
    said, complaints = process.communicate(timeout=110)
    assert process.returncode == 0, said + complaints
    check_results(out)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_whatever_ends_the_demonstration_ends_its_daemon(tmp_path: Path, number: signal.Signals) -> None:
    if number is signal.SIGKILL and not shutil.which("setpriv"):
        pytest.skip("without setpriv nothing can end the child of a killed parent")
    out = tmp_path / "out"
    process = demo("--fast", out=out)
    until = time.monotonic() + 30
    while not children(out) and time.monotonic() < until and process.poll() is None:
        time.sleep(0.05)
    (line,) = children(out)
    folder = Path(line.split("\0")[line.split("\0").index("--config") + 1]).parent
    process.send_signal(number)
    process.communicate(timeout=30)
    until = time.monotonic() + 10
    while children(out) and time.monotonic() < until:
        time.sleep(0.05)
    assert children(out) == []
    if number is signal.SIGKILL:
        shutil.rmtree(folder)  # nobody was left to do it
    assert not folder.exists()
    assert process.returncode == (-number if number is signal.SIGKILL else 1)
