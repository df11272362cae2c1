"""`edge-agent simulate` as a person runs it."""

from __future__ import annotations

import argparse
import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from websockets.sync.client import connect

from edge_agent.simulator import command
from edge_agent.simulator.virtual import setup_of

PATH = "/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent"
RUN = (
    "import argparse, sys; from edge_agent.simulator import command; p = argparse.ArgumentParser();"
    "command.add_arguments(p); sys.exit(command.run(p.parse_args()))"
)


def parse(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    return parser.parse_args(words)


def start(*words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", RUN, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def test_it_prints_the_url_serves_shows_messages_and_ends_cleanly(tmp_path: Path) -> None:
    script = tmp_path / "s.toml"
    script.write_text("[[turn]]\nsteps = [{ tone = 300, seconds = 0.2 }]")
    process = start("--port", "0", "--key", "sesame", "--script", str(script), "--verbose")
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        found = re.match(r'live\.url = "(ws://127\.0\.0\.1:\d+)" +credential: the key "sesame"', line)
        assert found, line
        with connect(found[1] + PATH, additional_headers={"x-goog-api-key": "sesame"}, proxy=None) as ws:
            ws.send(json.dumps({"setup": setup_of()}))
            ws.recv(timeout=10)
            ws.send('{"realtimeInput":{"text":"hi"}}')
            while "turnComplete" not in str(ws.recv(timeout=10)):
                pass
        process.send_signal(signal.SIGTERM)
        shown, errors = process.communicate(timeout=20)
        assert process.returncode == 0, errors
        assert "session 1 → text text=hi" in shown
        assert "session 1 ← turnComplete" in shown
        assert errors == ""
    finally:
        process.kill()
        process.communicate()


def test_a_wrong_script_is_a_configuration_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.run(parse("--script", str(tmp_path / "none.toml"))) == 78
    assert "scripts that come with the twin: hello, interruption, rough-line" in capsys.readouterr().err


def test_what_it_cannot_serve_is_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.run(parse("--host", "0.0.0.0", "--port", "0")) == 1
    assert "give a certificate" in capsys.readouterr().err
    assert command.run(parse("--tls-cert", str(tmp_path / "no.pem"), "--port", "0")) == 1
    assert "the twin cannot serve on 127.0.0.1:0" in capsys.readouterr().err


def test_the_local_voice_takes_the_turns_no_rule_matches() -> None:
    process = start("--port", "0", "--voice")
    assert process.stdout is not None
    try:
        url = process.stdout.readline().split('"')[1]
        with connect(url + PATH + "?key=test-key", proxy=None) as ws:
            ws.send(json.dumps({"setup": setup_of(outputAudioTranscription={})}))
            ws.recv(timeout=30)
            ws.send('{"realtimeInput":{"text":"good morning"}}')
            text = ""
            while "turnComplete" not in (frame := str(ws.recv(timeout=30), "utf-8")):  # type: ignore[arg-type]
                text += json.loads(frame).get("serverContent", {}).get("outputTranscription", {}).get("text", "")
        assert text == "Good morning!"
    finally:
        process.terminate()
        process.communicate(timeout=20)


def test_a_flight_recording_is_played_before_the_script(tmp_path: Path) -> None:
    recording = tmp_path / "flight.jsonl"
    recording.write_text(
        '{"flight":1,"why":"fault 9"}\n{"t":1,"kind":"wire","dir":"up","m":{"setup":{}}}\n'
        '{"t":1,"kind":"wire","dir":"down","m":{"setupComplete":{"sessionId":"as recorded"}}}\n'
    )
    process = start("--port", "0", "--replay", str(recording))
    assert process.stdout is not None
    try:
        url = process.stdout.readline().split('"')[1]
        with connect(url + PATH + "?key=test-key", proxy=None) as ws:
            ws.send(json.dumps({"setup": setup_of()}))
            assert json.loads(ws.recv(timeout=30)) == {"setupComplete": {"sessionId": "as recorded"}}
    finally:
        process.terminate()
        _, errors = process.communicate(timeout=20)
    assert "plays 1 connection of" in errors
    assert "(fault 9)" in errors


def test_a_wrong_recording_is_a_configuration_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.run(parse("--replay", str(tmp_path / "none.jsonl"))) == 78
    assert "none.jsonl: cannot be read" in capsys.readouterr().err
