"""The private sound server as a fixture, for tests marked `sound`.

`tests/audio/devices/conftest.py` shows how a folder takes it in: the module is loaded by its path, since the tests are
no package. `sound_server` runs for the whole session; `sound_env` also puts its variables into this process for one
test, so that PyAudio, which reads the ALSA configuration when its first stream opens, sees `edge_mic` and
`edge_speaker`.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from edge_agent.demo.soundserver import SoundServer


@pytest.fixture(scope="session")
def sound_server() -> Iterator[SoundServer]:
    """A running sound server; fails with the sentence that says what to install where it cannot run."""
    with SoundServer() as server:
        yield server


@pytest.fixture
def sound_env(sound_server: SoundServer, monkeypatch: pytest.MonkeyPatch) -> SoundServer:
    """The sound server, with its environment in `os.environ` for the length of the test."""
    for name, value in sound_server.env.items():
        monkeypatch.setenv(name, value)
    return sound_server
