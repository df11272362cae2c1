"""A private sound server that stands in for a room: a person's voice, a microphone, a loudspeaker, all at real time.

    with SoundServer() as room:
        os.environ.update(room.env)             # or pass room.env to a child process
        with room.record(path) as recording:    # left: the person, right: the loudspeaker, sample for sample
            voice = room.play("question.wav")   # the person speaks
            voice.wait()

Inside of `room.env` the ALSA PCMs `edge_mic` and `edge_speaker` exist, so that `pyaudio:edge_mic` and
`pyaudio:edge_speaker` open as they do on a device. Set it before PyAudio is first used: PortAudio reads the ALSA
configuration once.

It is a PulseAudio of its own (`-n`, own runtime folder and socket, no autospawn, no D-Bus needed), runs as any user
including root, touches no other sound server, and ends with the process that started it, even when that is killed. One
null sink of four channels is the air; the sinks `person` and `speaker` are pairs of its channels and the microphone is
a view of its monitor, so that both sides of a recording lie on one time line and the microphone does not hear the
loudspeaker.

A listener of its own keeps the air moving in steps of 5 ms, whoever comes and goes; without it the latency changes with
each client. Measured on two busy x86 cores through PyAudio, blocks of 20 ms: they arrive every 20.0 ms (median; p99 21
to 24, most 30), the person's first sample is read 26 ms after it is in the air, sound written with two blocks held is
in the recording 4 to 9 ms later, and in 10 s nothing runs dry at blocks of 10, 20 and 40 ms. Not a bit of a sound is
changed on its way. The idle server and its listener take some 45 ms of processor time per second.

Needs the programs pulseaudio, pacat and pactl and ALSA's pulse plugin (Debian: pulseaudio, pulseaudio-utils,
libasound2-plugins). PipeWire's PulseAudio service cannot be started privately by this class.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from edge_agent.audio.wavfile import header, read_wav, resample, to_s32
from edge_agent.errors import DeviceError

RATE_HZ = 48_000
MICROPHONE, LOUDSPEAKER = "edge_mic", "edge_speaker"
"""The ALSA PCMs inside of `SoundServer.env`."""

_START_S = 10.0  # a Pi Zero 2 W under load needs about 3
_STOP_S = 3.0
_AIR_FRAME_BYTES = 16  # four channels of s32le
_PLAY_LATENCY_MS = 500  # pacat may be kept from running this long; the sound still starts at once
_RECORD_LATENCY_MS = 20
_AIR_LATENCY_MS = 5  # a listener who asks for this keeps the null sink at steps of this, whoever comes and goes
_PAIRS = {"person": "front-left,front-right", "speaker": "rear-left,rear-right"}
_ALSA_CONF = Path("/usr/share/alsa/alsa.conf")

_WATCHED = '{ read -r _; kill -s KILL -- "-$$"; } <&3 3<&- & exec 3<&- "$@"'
"""Becomes the server; a watcher in the same process group ends it when the pipe on fd 3 closes, as it does when the
owner is gone. The watcher's own membership keeps the group's number from meaning anybody else."""


class SoundServer:
    """The private sound server, running while the context lasts."""

    def __init__(self) -> None:
        self.env: dict[str, str] = {}
        """Environment of programs that shall use it; empty before `start`."""
        self._folder: Path | None = None
        self._server: subprocess.Popen[bytes] | None = None
        self._pulse: subprocess.Popen[bytes] | None = None
        self._lifeline: int | None = None
        self._children: list[Playing | Recording] = []

    def start(self) -> None:
        """Start the server and wait until its sinks exist.

        Raises:
            DeviceError: a program is missing (which to install) or the server does not come up (its last words).
        """
        _need_programs()
        self._folder = folder = Path(tempfile.mkdtemp(prefix="edge-sound-"))
        socket = folder / "native"
        self.env = {
            "ALSA_CONFIG_PATH": str(folder / "alsa.conf"),
            "PULSE_SERVER": f"unix:{socket}",
            "PULSE_CLIENTCONFIG": str(folder / "client.conf"),
            "PULSE_COOKIE": str(folder / "cookie"),
            "PULSE_RUNTIME_PATH": str(folder),
            "PULSE_STATE_PATH": str(folder),
        }
        (folder / "client.conf").write_text("autospawn = no\nenable-shm = no\n")
        (folder / "alsa.conf").write_text(_alsa_configuration(socket))
        with (folder / "log").open("wb") as log:
            theirs, self._lifeline = os.pipe()
            try:
                self._server = subprocess.Popen(
                    ["sh", "-c", f"exec 3<&0 </dev/null; {_WATCHED}", "sh", *_server_command(socket)],
                    stdin=theirs,
                    stdout=log,
                    stderr=log,
                    env={**os.environ, **self.env, "HOME": str(folder), "XDG_RUNTIME_DIR": str(folder)},
                    start_new_session=True,
                )
            finally:
                os.close(theirs)
        try:
            self._wait_ready(socket)
        except DeviceError:
            self.close()
            raise
        self._pulse = subprocess.Popen(
            ["pacat", "--record", "--device=air.monitor", *_raw_format(4, _AIR_LATENCY_MS)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=self._environment(),
        )

    def close(self) -> None:
        """End everything that was started and remove the runtime folder."""
        for child in self._children:
            child.stop()
        self._children.clear()
        if self._pulse is not None:
            _end(self._pulse)
            self._pulse = None
        if self._server is not None:
            for number in (signal.SIGTERM, signal.SIGKILL):
                try:
                    os.killpg(self._server.pid, number)
                    self._server.wait(_STOP_S)
                except ProcessLookupError:
                    break
                except subprocess.TimeoutExpired:
                    continue
            self._server.wait(_STOP_S)
            self._server = None
        if self._lifeline is not None:
            os.close(self._lifeline)
            self._lifeline = None
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None
        self.env = {}

    def play(self, sound: str | os.PathLike[str] | tuple[NDArray[np.float32], int], *, to: str = "person") -> Playing:
        """Let the person speak a WAV file, or samples and their rate; returns once the first sample is in the air.

        Args:
            sound: path of a WAV file, or (samples of shape (frames,) or (frames, 1 or 2), rate in Hz).
            to: the sink, `person` or `speaker`.

        Raises:
            DeviceError: the server is not running or does not take the sound.
            ValueError, OSError: see `read_wav`.
        """
        samples, rate = sound if isinstance(sound, tuple) else read_wav(sound)
        if samples.ndim == 1:
            samples = samples[:, None]
        left = to_s32(resample(samples, rate, RATE_HZ))
        playing = Playing(np.broadcast_to(left, (len(left), 2)), to, env=self._environment())
        self._children.append(playing)
        return playing

    def record(self, path: str | os.PathLike[str]) -> Recording:
        """Record the air into a WAV file, 48 kHz, 32 bits, left the person, right the loudspeaker.

        Returns once the first samples are there. Raises `DeviceError` when they do not come.
        """
        recording = Recording(Path(path), env=self._environment())
        self._children.append(recording)
        return recording

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _environment(self) -> dict[str, str]:
        if self._server is None or self._server.poll() is not None:
            raise DeviceError("the private sound server is not running; start it again")
        return {**os.environ, **self.env}

    def _wait_ready(self, socket: Path) -> None:
        assert self._server is not None  # noqa: S101  for the type checker
        deadline = time.monotonic() + _START_S
        while time.monotonic() < deadline and self._server.poll() is None:
            if socket.exists():
                asked = subprocess.run(
                    ["pactl", "list", "short", "sources"],
                    capture_output=True,
                    env=self._environment(),
                    timeout=_START_S,
                    check=False,
                )
                if f"\t{MICROPHONE}\t".encode() in asked.stdout:
                    return
            time.sleep(0.02)
        assert self._folder is not None  # noqa: S101  for the type checker
        last = (self._folder / "log").read_text(errors="replace").strip().splitlines()[-3:]
        raise DeviceError(f"the private sound server did not start: {' / '.join(last) or 'it said nothing'}")


class Playing:
    """A sound on its way into the air."""

    def __init__(self, left: NDArray[np.int32], sink: str, *, env: dict[str, str]) -> None:
        """Start it; see `SoundServer.play`."""
        self.seconds = len(left) / RATE_HZ
        with tempfile.TemporaryFile() as file:
            file.write(left.tobytes())
            file.seek(0)
            self._process = subprocess.Popen(
                ["pacat", "--playback", f"--device={sink}", *_raw_format(2, _PLAY_LATENCY_MS), "--verbose"],
                stdin=file,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                env=env,
            )
        assert self._process.stderr is not None  # noqa: S101  for the type checker
        said = []
        for line in self._process.stderr:
            said.append(line.decode(errors="replace").strip())
            if b"Stream started" in line or not self.seconds:
                break
        else:
            self.stop()
            raise DeviceError(f"the sound cannot be played: {' / '.join(said[-2:])}")
        self.started = time.monotonic()
        """`time.monotonic()` when the first sample was in the air, to 20 ms (measured: 6 ms late)."""
        self._drain = threading.Thread(target=self._process.stderr.read, name="pacat-messages", daemon=True)
        self._drain.start()

    def wait(self, timeout: float | None = None) -> None:
        """Wait until the last sample was played; default is the sound's length and 10 s. Raises `DeviceError`."""
        try:
            self._process.wait(self.seconds + 10 if timeout is None else timeout)
        except subprocess.TimeoutExpired:
            raise DeviceError("the sound is still playing; the sound server may hang") from None
        self.stop()

    def stop(self) -> None:
        """Fall silent at once; safe to call twice."""
        _end(self._process)
        if drain := getattr(self, "_drain", None):
            drain.join(_STOP_S)
        if self._process.stderr:
            self._process.stderr.close()


class Recording:
    """A recording of the air, running while the context lasts."""

    def __init__(self, path: Path, *, env: dict[str, str]) -> None:
        """Start it; see `SoundServer.record`."""
        self.path = path
        self.frames = 0
        """Frames in the file so far."""
        self.started = float("inf")
        """`time.monotonic()` at sample 0: the earliest arrival of any sample, minus its place. Some 20 ms late."""
        self._process = subprocess.Popen(
            ["pacat", "--record", "--device=air.monitor", *_raw_format(4, _RECORD_LATENCY_MS)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=env,
        )
        self._file = path.open("wb")
        self._file.write(header(0, rate=RATE_HZ, channels=2, bits=32))
        self._flowing = threading.Event()
        self._thread = threading.Thread(target=self._pump, name="sound-recording", daemon=True)
        self._thread.start()
        if not self._flowing.wait(_START_S):
            self.stop()
            raise DeviceError("the private sound server gives no sound to record; start it again")

    def stop(self) -> None:
        """End the recording and finish the file; safe to call twice."""
        _end(self._process)
        self._thread.join(_STOP_S)
        if not self._file.closed:
            self._file.seek(0)
            self._file.write(header(self.frames, rate=RATE_HZ, channels=2, bits=32))
            self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _pump(self) -> None:
        assert self._process.stdout is not None  # noqa: S101  for the type checker
        with self._process.stdout as pipe:
            rest = b""
            while data := os.read(pipe.fileno(), 1 << 16):
                arrived = time.monotonic()
                data = rest + data
                whole = len(data) // _AIR_FRAME_BYTES * _AIR_FRAME_BYTES
                rest = data[whole:]
                air = np.frombuffer(data[:whole], np.int32).reshape(-1, 4)
                self.frames += len(air)
                self.started = min(self.started, arrived - self.frames / RATE_HZ)
                self._file.write(np.ascontiguousarray(air[:, [0, 2]]).tobytes())
                self._flowing.set()


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.terminate()
    try:
        process.wait(_STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _need_programs() -> None:
    missing = [program for program in ("pulseaudio", "pacat", "pactl", "sh") if shutil.which(program) is None]
    if missing:
        raise DeviceError(
            f"a private sound server needs {' and '.join(missing)}; install them: "
            "apt install pulseaudio pulseaudio-utils libasound2-plugins, or use wav: devices"
        )
    if not any(Path("/usr/lib").glob("**/alsa-lib/libasound_module_pcm_pulse.so")):
        raise DeviceError(
            "a private sound server needs ALSA's pulse plugin; install it: apt install libasound2-plugins, "
            "or use wav: devices"
        )


def _server_command(socket: Path) -> list[str]:
    air = f"rate={RATE_HZ} format=s32le channels=4 channel_map={','.join(_PAIRS.values())}"
    modules = [
        f"module-null-sink sink_name=air {air} norewinds=1"
    ]  # fixed latency: nothing already in the air is undone
    plain = "channels=2 channel_map=front-left,front-right remix=no"
    modules += [
        f"module-remap-sink sink_name={name} master=air {plain} master_channel_map={pair}"
        for name, pair in _PAIRS.items()
    ]
    modules.append(
        f"module-remap-source source_name={MICROPHONE} master=air.monitor {plain} master_channel_map={_PAIRS['person']}"
    )
    modules.append(f"module-native-protocol-unix socket={socket} auth-anonymous=1 auth-cookie-enabled=0")
    loads = [word for module in modules for word in ("-L", module)]
    quiet = ["--daemonize=no", "--use-pid-file=no", "--exit-idle-time=-1", "--disable-shm=yes", "--log-target=stderr"]
    return ["pulseaudio", "-n", *quiet, "--realtime=no", "--high-priority=no", *loads]


def _alsa_configuration(socket: Path) -> str:
    include = f"<{_ALSA_CONF}>\n" if _ALSA_CONF.exists() else ""
    return include + "".join(
        f'pcm.{pcm} {{\n    type pulse\n    server "unix:{socket}"\n    device "{device}"\n}}\n'
        for pcm, device in ((MICROPHONE, MICROPHONE), (LOUDSPEAKER, "speaker"))
    )


def _raw_format(channels: int, latency_ms: int) -> list[str]:
    return [
        "--raw",
        "--format=s32le",
        f"--rate={RATE_HZ}",
        f"--channels={channels}",
        f"--channel-map={','.join(list(_PAIRS.values())[: channels // 2])}",
        f"--latency-msec={latency_ms}",
        "--no-remix",
    ]
