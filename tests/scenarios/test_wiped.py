"""The visitor's end: the next visitor's connection and the device's memory hold nothing of the one before.

Visitor A speaks coded noise, types, shows a picture, and is answered in words and coded sound that is cut off by the
end. What the agent can still reach is then searched for all of it: every text, every buffer, every sound in any coding
the device uses. The same search finds everything while A is still there, so it can be believed when it finds nothing.
"""

from __future__ import annotations

import array
import asyncio
import base64
import gc
import logging
import re
import sys
import types
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from harness import Device, coded_noise, pcm, s16
from numpy.typing import NDArray

from edge_agent import agent as agent_package
from edge_agent.audio.devices import wav
from edge_agent.simulator import Hear, Say, SyncTwin

PACKAGE = Path(agent_package.__file__).parents[1]
ROOM = Path(wav.__file__)
ROOM_S = 5.0  # A's voice is in the room for this long; then it is quiet
ALIKE = 0.85  # correlation of 10 ms with the same sound; with another of this band and length it stays below 0.65
TYPED, CAPTION, SAID = "typed-by-ada-4711", "spoken-by-ada-4712", "told-to-ada-4713"
PICTURE = b"shown-by-ada-4714"
PIECE_BYTES = 32  # 16 samples: enough to be told from every other 16
WORD_BYTES = 8
LOOK_EVERY = 64  # bytes: any 3 ms of a sound are found, wherever they lie in a buffer
LONG_ENOUGH = 320  # bytes; a shorter buffer is no sound
BLOCK = 1 << 13  # samples transformed at once


class Trace:
    """What A leaves behind, as it may lie in memory.

    Args:
        voice: A's voice as the device captured it, 16 kHz s16le.
        answer: the answer as the service sent it, 24 kHz s16le.
        handles: resumption handles of A's conversation.
    """

    def __init__(self, voice: bytes, answer: bytes, handles: list[str]) -> None:
        self.texts = {"typed text": TYPED, "caption": CAPTION, "answer's caption": SAID}
        self.texts |= {f"handle {number}": handle for number, handle in enumerate(handles)}
        self._words = {"voice": _Words(voice), "answer": _Words(answer)}
        self._sounds = {
            (name, rate): _spectrum(pcm(s16(pcm(sound), rate=own, to_rate=rate)))
            for name, sound, own in (("voice", voice, 16_000), ("answer", answer[: 48_000 * 15], 24_000))
            for rate in (own, 48_000)
        }

    def in_text(self, text: str) -> Iterator[str]:
        """Names of the marks in a text."""
        yield from (name for name, mark in self.texts.items() if mark in text)

    def in_bytes(self, data: bytes) -> Iterator[str]:
        """Names of the marks in a buffer: texts, picture and sound, plain or in base64 within a message."""
        yield from (name for name, mark in self.texts.items() if mark.encode() in data)
        if PICTURE in data:
            yield "picture"
        yield from (name for name, words in self._words.items() if len(data) >= LONG_ENOUGH and words.in_bytes(data))
        if b'"data":"' in data:
            for coded in re.findall(rb"[A-Za-z0-9+/]{400,}", data):
                yield from (f"{name} in a message" for name in self.in_bytes(base64.b64decode(coded + b"==")))

    def in_array(self, values: NDArray[np.generic]) -> Iterator[str]:
        """Names of the sounds in an array of samples that were filtered or resampled since they came."""
        if values.dtype.kind not in "fi" or values.dtype == np.int16 or values.size < 480 or values.ndim > 2:
            return
        samples = (values if values.ndim == 1 else values[:, 0]).astype(np.float64)
        windows = samples[: len(samples) // 480 * 480].reshape(-1, 480)
        lively = windows[windows.std(axis=1) > 1e-3 * np.max(np.abs(samples), initial=1e-9)]
        for window in lively[len(lively) // 2 :][:1]:
            for (name, rate), spectrum in self._sounds.items():
                if np.all(np.isfinite(window)) and _likeness(window, spectrum) > ALIKE:
                    yield f"{name} at {rate} Hz"


class _Words:
    """Every four samples of a sound in order, so that pieces of it are found in a buffer at one glance.

    Args:
        sound: s16le; its silence is left out, which is found everywhere.
    """

    def __init__(self, sound: bytes) -> None:
        self._sound = sound
        samples = np.frombuffer(sound, "<i2")
        words = np.lib.stride_tricks.sliding_window_view(samples, WORD_BYTES // 2)
        lively = words.std(axis=1) > 50
        self._sorted = np.sort(np.ascontiguousarray(words[lively]).view("<u8")[:, 0])

    def in_bytes(self, data: bytes) -> bool:
        """Tell whether a piece of the sound lies in a buffer, at an even or an odd place."""
        for shift in (0, 1):
            count = (len(data) - shift) // LOOK_EVERY
            every = np.frombuffer(data, np.uint8, count * LOOK_EVERY, shift).reshape(count, LOOK_EVERY)
            words = np.ascontiguousarray(every[:, :WORD_BYTES]).view("<u8")[:, 0]
            places = np.minimum(np.searchsorted(self._sorted, words), len(self._sorted) - 1)
            for place in np.flatnonzero(self._sorted[places] == words):
                at = min(shift + int(place) * LOOK_EVERY, len(data) - PIECE_BYTES)
                if data[at : at + PIECE_BYTES] in self._sound:
                    return True
        return False


class _Spectrum(NamedTuple):
    """A sound prepared for finding pieces of 480 samples in it: the spectra of its blocks, which overlap by a piece."""

    blocks: NDArray[np.complex128]
    energy: NDArray[np.float64]


def _spectrum(sound: NDArray[np.float64]) -> _Spectrum:
    padded = np.pad(sound, (0, BLOCK))
    blocks = np.lib.stride_tricks.sliding_window_view(padded, BLOCK)[: len(sound) : BLOCK - 479]
    sums = np.concatenate([[0.0], np.cumsum(sound**2)])
    return _Spectrum(np.fft.rfft(blocks), np.sqrt(np.maximum(sums[480:] - sums[:-480], 1e-9)))


def _likeness(window: NDArray[np.float64], of: _Spectrum) -> float:
    cross = np.fft.irfft(of.blocks * np.conj(np.fft.rfft(window, BLOCK)), BLOCK)[:, : BLOCK - 479]
    return float(np.max(cross.ravel()[: len(of.energy)] / of.energy) / np.sqrt(np.sum(window**2)))


def reachable(agent: object) -> Iterator[object]:
    """Every object the device can reach: from the agent, its modules, its threads, tasks and timers.

    Not followed: the event loop and other programs' modules, which lead to the test itself, and the `wav:` devices,
    which stand for the room and what is heard in it.
    """
    loop = asyncio.get_running_loop()
    closed = {id(vars(module)) for module in sys.modules.values()} | {id(loop)}
    todo = [agent, *_roots(loop)]
    seen: dict[int, object] = {}  # holds the objects, so that no id is given twice
    while todo:
        one = todo.pop()
        if id(one) in seen or id(one) in closed or _is_outside(one):
            continue
        seen[id(one)] = one
        yield one
        todo.extend(gc.get_referents(one))
        if isinstance(one, np.ndarray) and one.base is not None:
            todo.append(one.base)
        if isinstance(one, memoryview) and one.obj is not None:
            todo.append(one.obj)


def _roots(loop: asyncio.AbstractEventLoop) -> Iterator[object]:
    for name, module in list(sys.modules.items()):
        if name.startswith("edge_agent.") and not name.startswith("edge_agent.simulator"):
            yield from vars(module).values()
    for frame in sys._current_frames().values():
        step: types.FrameType | None = frame
        while step is not None:
            if _of_the_device(step.f_code.co_filename):
                yield from step.f_locals.values()
            step = step.f_back
    for task in asyncio.all_tasks():
        code = getattr(task.get_coro(), "cr_code", None)
        if code is not None and _of_the_device(code.co_filename):
            yield task
    for handle in [*vars(loop)["_ready"], *vars(loop)["_scheduled"]]:  # there is no public way to the timers
        if getattr(handle._callback, "__module__", "").startswith("edge_agent"):
            yield handle


def _of_the_device(filename: str) -> bool:
    path = Path(filename)
    return path.is_relative_to(PACKAGE) and "simulator" not in path.parts and path != ROOM


def _is_outside(one: object) -> bool:
    if isinstance(one, (types.ModuleType, types.CodeType, type, Trace, Device, SyncTwin)):
        return True
    if isinstance(one, types.CoroutineType):
        return not _of_the_device(one.cr_code.co_filename) and "asyncio" not in one.cr_code.co_filename
    module = type(one).__module__
    return module == wav.__name__ or module.startswith(("edge_agent.simulator", "_pytest", "harness"))


def left_of(trace: Trace, agent: object) -> dict[str, str]:
    """What is found of A: name of the mark -> where."""
    gc.collect()
    found: dict[str, str] = {}
    for one in reachable(agent):
        names: Iterator[str] = iter(())
        if isinstance(one, str):
            names = trace.in_text(one)
        elif isinstance(one, (bytes, bytearray)):
            names = trace.in_bytes(bytes(one))
        elif isinstance(one, array.array):
            names = trace.in_bytes(one.tobytes())
        elif isinstance(one, np.ndarray) and one.dtype != object:
            names = chain(trace.in_bytes(one.tobytes()), trace.in_array(one))
        for name in names:
            owners = [type(owner).__qualname__ for owner in gc.get_referrers(one) if owner is not one][:3]
            found.setdefault(name, f"{type(one).__name__} of {len(one)} in {owners}")  # type: ignore[arg-type]
    return found


def picture(folder: Path) -> Path:
    """What A shows: a still that can be told from every other by a comment in the JPEG."""
    folder.mkdir()
    jpeg = plain(folder)
    comment = b"\xff\xfe" + (len(PICTURE) + 2).to_bytes(2, "big") + PICTURE
    (folder / "still.jpg").write_bytes(jpeg[:2] + comment + jpeg[2:])
    return folder


def plain(folder: Path) -> bytes:
    """What B shows in the same place: the still without the comment."""
    jpeg = min((PACKAGE / "demo" / "stills").glob("*.jpg")).read_bytes()
    (folder / "still.jpg").write_bytes(jpeg)
    return jpeg


def test_the_next_visitor_finds_nothing_of_the_one_before(
    tmp_path: Path, twin: SyncTwin, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    voice, quiet = coded_noise(ROOM_S, seed=31), np.zeros((48_000 * 60, 1), np.float32)
    answer = s16(coded_noise(60.0, seed=32), rate=48_000, to_rate=24_000)
    short = s16(coded_noise(0.3, seed=33), rate=48_000, to_rate=24_000)
    stills = picture(tmp_path / "stills")
    twin.answer(Say(text=f"First {SAID}.", sound=short, pace=0))
    twin.answer(Hear(CAPTION), Say(text=SAID, sound=answer, pace=0))

    async def story() -> None:
        async with Device(
            tmp_path, twin, microphone=np.concatenate([voice, quiet]), camera={"source": f"files:{stills}"}
        ) as device:
            await device.ask("ask", text=TYPED)
            await device.until(state="speaking")
            await device.until(state="idle")
            await device.hold(1.0)
            await device.until(state="speaking")
            first = twin.sessions[0]
            assert first.texts == [TYPED]
            assert any(PICTURE in image for image in first.images)
            await device.until(lambda status: status["capture_s"] > ROOM_S + 0.5)
            ring = device.agent.talk.ring
            captured = ring.read(ring.oldest, ring.written)
            assert len(first.audio_turns[0]) > 32_000
            assert first.audio_turns[0][16_000:20_000] in captured
            trace = Trace(captured, answer, first.handles)
            there = left_of(trace, device.agent)
            assert {"voice", "answer", f"handle {len(first.handles) - 1}", "answer's caption"} <= set(there)
            assert (await device.status())["state"] == "speaking", "the end should come in mid-answer"

            await device.ask("end")
            await device.until(connected=False)
            await asyncio.to_thread(twin.wait_for, lambda t: t.sessions[0].closed)
            await asyncio.sleep(0.5)  # the socket's own end, and the last blocks of sound
            assert left_of(trace, device.agent) == {}

            plain(stills)
            await device.hold(0.6)
            await device.until(state="speaking")
            await device.until(state="idle")
            assert left_of(trace, device.agent) == {}
            second = twin.sessions[1]
            assert "handle" not in second.setup.get("sessionResumption", {})
            assert not second.resumed_from
            assert not second.texts
            assert second.images
            assert not any(PICTURE in image for image in second.images)
            assert not set(trace.in_text(str(second.setup)))
            assert not set(trace.in_bytes(bytes(second.audio))), "A's voice in B's turn"
            assert not first.violations + second.violations

    asyncio.run(story())
    for record in caplog.records:
        told = record.getMessage()
        assert not [mark for mark in (TYPED, CAPTION, SAID, PICTURE.decode()) if mark in told], told
