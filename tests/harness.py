"""A whole device in one test: the real agent on real files as microphone and loudspeaker, the twin as service.

    async with Device(tmp_path, twin, microphone=coded_noise(10.0)) as device:
        await device.press()
        await device.until(state="listening")

Driven through the control socket, as a person with `edge-agent ctl` would; the button goes through gpiozero's mock
pins. Sound positions are times: `wav:` devices run at real time from one epoch, and `heard_at` finds coded noise in a
recording.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from edge_agent import config as settings
from edge_agent.agent import Agent
from edge_agent.audio.wavfile import read_wav, write_wav
from edge_agent.simulator import SyncTwin

KEY = "AIzaSyN-obodyMay_SeeThisKeyOfTheTests42"
"""The device's API key, which nothing that a test shows may contain."""

PATIENCE_S = 10.0  # for things that take milliseconds, on a machine that does other things too


def coded_noise(seconds: float, *, seed: int, rate: int = 48_000, level: float = 0.1) -> NDArray[np.float32]:
    """Noise between 300 Hz and 3.4 kHz, shape (n, 1): every stretch of it can be told from every other."""
    count = round(seconds * rate)
    spectrum = np.fft.rfft(np.random.default_rng(seed).standard_normal(count))
    frequency = np.fft.rfftfreq(count, 1 / rate)
    spectrum[(frequency < 300) | (frequency > 3400)] = 0
    noise = np.fft.irfft(spectrum, count)
    scaled: NDArray[np.float32] = (level * noise / np.sqrt(np.mean(noise**2))).astype(np.float32)
    return scaled[:, None]


def s16(sound: NDArray[np.floating[Any]], *, rate: int, to_rate: int) -> bytes:
    """Band-limited sound at another rate as s16le mono, by way of its spectrum."""
    mono = sound[:, 0] if sound.ndim == 2 else sound
    count = round(len(mono) * to_rate / rate)
    spectrum = np.fft.rfft(mono)[: count // 2 + 1]
    out = np.fft.irfft(np.pad(spectrum, (0, count // 2 + 1 - len(spectrum))), count) * count / len(mono)
    return np.clip(np.rint(out * 32767), -32768, 32767).astype("<i2").tobytes()


def coded_answer(seconds: float, *, seed: int) -> bytes:
    """Coded noise as the service sends an answer: 24 kHz s16le."""
    return s16(coded_noise(seconds, seed=seed), rate=48_000, to_rate=24_000)


def pcm(data: bytes | bytearray) -> NDArray[np.float64]:
    """s16le as float."""
    return np.frombuffer(bytes(data), "<i2").astype(np.float64) / 32768


def find(needle: NDArray[np.floating[Any]], hay: NDArray[np.floating[Any]]) -> tuple[int, float]:
    """Where `needle` stands best in `hay`, and the normalised correlation there (1.0: the same but for loudness)."""
    size = 1 << (len(needle) + len(hay)).bit_length()
    cross = np.fft.irfft(np.fft.rfft(hay, size) * np.conj(np.fft.rfft(needle, size)), size)[
        : len(hay) - len(needle) + 1
    ]
    energy = np.concatenate([[0.0], np.cumsum(np.asarray(hay, np.float64) ** 2)])
    window = np.sqrt(np.maximum(energy[len(needle) :] - energy[: -len(needle)], 1e-12))
    score = cross / (window * np.sqrt(np.sum(np.asarray(needle, np.float64) ** 2)) + 1e-12)
    best = int(np.argmax(score))
    return best, float(score[best])


def steps(
    recorded: NDArray[np.floating[Any]], original: NDArray[np.floating[Any]], rate: int, *, every_s: float = 0.5
) -> list[tuple[int, float]]:
    """Lay pieces of `recorded` over `original`: for each its offset in samples, and the correlation."""
    width = round(every_s * rate)
    laid = []
    for start in range(0, len(recorded) - width + 1, width):
        at, score = find(recorded[start : start + width], original)
        laid.append((at - start, score))
    return laid


def own_tools(folder: Path, text: str) -> Path:
    """Write a module of tools into `folder`/tools, as its owner may have it; returns `folder`."""
    tools = folder / "tools"
    tools.mkdir(parents=True, mode=0o755)
    path = tools / "some.py"
    path.write_text(text)
    path.chmod(0o644)
    return folder


async def control(socket: str, verb: str, **parameters: Any) -> dict[str, Any]:
    """One request over a control socket, and its answer."""
    reader, writer = await asyncio.open_unix_connection(socket)
    try:
        writer.write(json.dumps({"do": verb, **parameters}).encode() + b"\n")
        answer: dict[str, Any] = json.loads(await reader.readline())
        return answer
    finally:
        writer.close()
        await writer.wait_closed()


class Device:
    """One running agent; `tables` are of the configuration, laid over a quiet kiosk.

    `ssl_context` says whom to trust where the twin speaks TLS.
    """

    def __init__(
        self,
        folder: Path,
        twin: SyncTwin | None,
        *,
        microphone: NDArray[np.float32] | None = None,
        ssl_context: ssl.SSLContext | None = None,
        **tables: Any,
    ) -> None:
        self._ssl_context = ssl_context
        self.folder = folder
        self.spoken = folder / "mic.wav"
        self.heard = folder / "speaker.wav"
        key = folder / "key"
        if not key.exists():
            key.write_text(KEY)
            key.chmod(0o600)
        if twin is not None and key.read_text() == KEY:
            twin.twin.key = KEY
        if microphone is not None:
            write_wav(self.spoken, microphone, 48_000)
        tree: dict[str, Any] = {
            "mode": "kiosk",
            "live": {"url": twin.url if twin else "ws://127.0.0.1:9", "credential": f"file:{key}"},
            "audio": {
                "input": f"wav:{self.spoken}" if microphone is not None else "silence:",
                "output": f"wav:{self.heard}",
                "mic_gain_db": 0.0,
                "mic_channel": "left",
                "cues": False,
                "volume": 100,
                "echo": "off",  # people say noise, and nothing comes back
            },
            "conversation": {"voice_detector": "service"},  # noise is no speech to a detector
            "panel": {"pins": "mock"},
            "tools": {"folder": str(folder / "no-tools")},
            "control": {"socket": str(folder / "c.sock")},
        }
        for name, table in tables.items():
            tree[name] = {**tree[name], **table} if isinstance(table, dict) and name in tree else table
        self.tree = tree
        self.events: list[dict[str, Any]] = []
        self._reader: asyncio.StreamReader | None = None

    async def __aenter__(self) -> Self:
        self.agent = Agent(settings.parse(self.tree, source="test"), ssl_context=self._ssl_context)
        self._run = asyncio.create_task(self.agent.run())
        socket = Path(self.tree["control"]["socket"])
        await self._wait(lambda: socket.exists() or self._run.done())
        if self._run.done():
            self._run.result()
        self._watch_task = asyncio.create_task(self._watch())
        await self.until(lambda status: status["state"] != "starting")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.quit()

    async def quit(self) -> int:
        """End it as SIGTERM does; returns the exit code."""
        self.agent.stop()
        code = await asyncio.wait_for(self._run, 5.0)
        self._watch_task.cancel()
        await asyncio.wait([self._watch_task])
        return code

    async def ask(self, verb: str, **parameters: Any) -> dict[str, Any]:
        """One request over the control socket; a refusal is an error."""
        answer = await self.try_to(verb, **parameters)
        assert answer["ok"], answer
        return answer

    async def try_to(self, verb: str, **parameters: Any) -> dict[str, Any]:
        """One request over the control socket, refused or not."""
        return await control(self.tree["control"]["socket"], verb, **parameters)

    async def status(self) -> dict[str, Any]:
        return await self.ask("status")

    async def press(self) -> dict[str, Any]:
        return await self.ask("press")

    async def release(self) -> dict[str, Any]:
        return await self.ask("release")

    async def hold(self, seconds: float) -> None:
        """Press, talk that long, release."""
        await self.press()
        await asyncio.sleep(seconds)
        await self.release()

    async def until(
        self, condition: Callable[[dict[str, Any]], bool] | None = None, within_s: float = PATIENCE_S, **wanted: Any
    ) -> dict[str, Any]:
        """Wait for a status."""
        end = time.monotonic() + within_s
        while True:
            status = await self.status()
            if all(status[key] == value for key, value in wanted.items()) and (condition is None or condition(status)):
                return status
            assert time.monotonic() < end, f"never saw {wanted or condition}; now {status}"
            await asyncio.sleep(0.02)

    async def event(self, event: str, within_s: float = PATIENCE_S, **wanted: Any) -> dict[str, Any]:
        """Wait for a watch event, also a past one."""

        def found() -> dict[str, Any] | None:
            for one in self.events:
                if one.get("event") == event and all(one.get(key) == value for key, value in wanted.items()):
                    return one
            return None

        await self._wait(lambda: found() is not None, within_s)
        one = found()
        assert one is not None
        return one

    def played(self) -> tuple[NDArray[np.float32], int]:
        """What a listener would have heard so far: left channel, and the rate."""
        samples, rate = read_wav(self.heard)
        return samples[:, 0], rate

    async def _watch(self) -> None:
        reader, writer = await asyncio.open_unix_connection(self.tree["control"]["socket"], limit=1 << 20)
        try:
            writer.write(b'{"do":"watch"}\n')
            while line := await reader.readline():
                self.events.append(json.loads(line))
        finally:
            writer.close()

    async def _wait(self, condition: Callable[[], bool], within_s: float = PATIENCE_S) -> None:
        end = time.monotonic() + within_s
        while not condition():
            assert time.monotonic() < end, "waited in vain"
            await asyncio.sleep(0.01)
