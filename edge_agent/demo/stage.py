"""The stage: the twin, the sound, and the real daemon, set up for one demonstration and certainly taken down again.

    with Stage(out, journal, files=False) as stage:
        Performance(stage).run()
        stage.measure()                 # the daemon's own figures, before it ends
    stage.evidence()                    # what the checks and the picture are made from

Setting up says in `notes` what could not be had and what stands in for it.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from edge_agent.audio.wavfile import read_wav
from edge_agent.demo.air import Air, FileAir, RoomAir
from edge_agent.demo.checks import Evidence, SessionFacts
from edge_agent.demo.daemon import Daemon, socket_path
from edge_agent.demo.journal import Journal
from edge_agent.demo.service import STILLS, Mind, still_subjects
from edge_agent.demo.settings import KEY_VARIABLE, demo_config
from edge_agent.errors import DeviceError
from edge_agent.simulator import Mark, SyncTwin
from edge_agent.simulator.voice import Ear, speak, why_deaf, why_mute

TWIN_KEY = "demo-key"


class Stage:
    """See the module's docstring.

    Args:
        out: the folder of the results.
        journal: what happens is written there.
        files: WAV files in place of a sound server.
    """

    def __init__(self, out: Path, journal: Journal, *, files: bool) -> None:
        self.journal = journal
        self.notes: list[str] = []
        self.figures: dict[str, Any] = {}
        self.status: dict[str, Any] = {}
        self.real_sound = not files
        self.session = out / "session.wav"
        self.air: Air
        self._out = out
        self._stack = contextlib.ExitStack()
        self._ear = None if why_deaf() else Ear()
        self.mind = Mind(subjects=still_subjects(), ear=self._ear)
        self._twin: SyncTwin | None = None
        self._daemon: Daemon | None = None

    def call(self, request: dict[str, Any]) -> dict[str, Any]:
        """Send a control request to the daemon; `Stop` when it refuses."""
        assert self._daemon is not None  # noqa: S101  for the type checker
        return self._daemon.call(request)

    def expect(self, name: str) -> None:
        """Tell the twin which utterance comes, for the case that it has no ear."""
        self.mind.expect(name)

    def cut(self) -> None:
        """Cut the twin's connections without a word."""
        assert self._twin is not None  # noqa: S101  for the type checker
        self._twin.drop_connections()

    def measure(self) -> None:
        """Take the daemon's figures and status."""
        self.figures = self.call({"do": "metrics"})["figures"]
        self.status = self.call({"do": "status"})

    def end(self) -> None:
        """End the daemon and complete the recording."""
        if self._daemon is not None:
            self._daemon.stop()
        self.air.finish()

    @property
    def exit_code(self) -> int | None:
        """How the daemon ended."""
        return None if self._daemon is None else self._daemon.exit_code

    def evidence(self) -> Evidence:
        """Return all that was recorded; call after `end`."""
        samples, rate = read_wav(self.session)
        sessions = [] if self._twin is None else self._twin.sessions
        return Evidence(
            entries=self.journal.entries(),
            zero=self.air.zero,
            left=samples[:, 0],
            right=samples[:, 1],
            rate=rate,
            heard=list(self.mind.heard),
            sessions=[
                SessionFacts(
                    number=record.number,
                    handle=str(record.setup.get("sessionResumption", {}).get("handle", "")),
                    violations=tuple(record.violations),
                    stray_audio=record.stray_audio,
                )
                for record in sessions
            ],
            figures=self.figures,
            understands=self.mind.understands,
            answers={turn.expected: speak(turn.answer) for turn in self.mind.heard},
            exit_code=self.exit_code,
        )

    def __enter__(self) -> Self:
        try:
            self._set_up()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def _set_up(self) -> None:
        folder = Path(tempfile.mkdtemp(prefix="edge-demo-"))
        self._stack.callback(shutil.rmtree, folder, ignore_errors=True)
        self._note_voices()
        self.air = self._open_air(folder)
        self._twin = SyncTwin(self.mind.script(), key=TWIN_KEY, on_mark=self._mark)
        self._stack.enter_context(self._twin)
        config = demo_config(
            url=self._twin.url,
            microphone=self.air.microphone,
            loudspeaker=self.air.loudspeaker,
            camera=STILLS,
            socket=socket_path(folder),
        )
        self._daemon = Daemon(
            folder,
            config,
            self.journal,
            env={**self.air.env, KEY_VARIABLE: TWIN_KEY},
            log=self._out / "daemon.log",
        )
        self._stack.enter_context(self._daemon)
        self.air.begin(self.call({"do": "status"}))

    def _open_air(self, folder: Path) -> Air:
        if self.real_sound:
            try:
                return self._stack.enter_context(RoomAir(self.session))
            except DeviceError as error:
                self.notes.append(f"No real sound: {error}. WAV files stand in for it.")
                self.real_sound = False
        return self._stack.enter_context(FileAir(folder, self.session))

    def _note_voices(self) -> None:
        if why_deaf():
            self.notes.append(f"The answers follow the script: {why_deaf()}.")
        else:
            self.notes.append("The twin understands the questions from their sound (pocketsphinx, a small grammar).")
        if why_mute():
            self.notes.append(f"{why_mute()}.")

    def _mark(self, session: int, mark: Mark) -> None:
        fields = {key: value for key, value in mark.detail.items() if key not in {"event", "t", "source"}}
        self.journal.add("twin", mark.kind, t=mark.t, who=mark.who, session=session, **fields)
