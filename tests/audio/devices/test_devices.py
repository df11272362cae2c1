"""Device strings: what opens, what is refused, and plug-ins."""

from __future__ import annotations

import importlib.metadata
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_agent.audio import devices
from edge_agent.audio.devices import open_input, open_output
from edge_agent.audio.devices.quiet import ClockedInput, ClockedOutput
from edge_agent.errors import DeviceError, Fault, StreamEnded


@pytest.fixture
def plug_in(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    """A package that adds the schemes `toy:` and `gone:`."""
    module = types.ModuleType("toy_devices")
    monkeypatch.setitem(sys.modules, "toy_devices", module)
    group = devices.ENTRY_POINT_GROUP
    entries = importlib.metadata.EntryPoints(
        [
            importlib.metadata.EntryPoint("toy", "toy_devices", group),
            importlib.metadata.EntryPoint("gone", "package_that_is_gone:devices", group),
            importlib.metadata.EntryPoint("null", "toy_devices", group),
        ]
    )
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda *, group: entries.select(group=group))
    return module


@pytest.mark.parametrize("text", ["mic:", "edge_mic", "", "off", "null:"])
def test_an_unknown_microphone_is_answered_with_the_allowed_ones(text: str) -> None:
    with pytest.raises(DeviceError) as caught:
        open_input(text, block_frames=960, epoch=0.0)
    told = f'"{text}" is not a microphone; allowed are pyaudio:NAME, alsa:PCM, wav:PATH, room:FILE.toml, silence:'
    assert str(caught.value) == told
    assert caught.value.fault is Fault.MICROPHONE


def test_an_unknown_loudspeaker_is_answered_with_the_allowed_ones(plug_in: types.ModuleType) -> None:
    assert plug_in
    with pytest.raises(DeviceError) as caught:
        open_output("silence:", block_frames=960, epoch=0.0)
    assert str(caught.value).endswith(
        "allowed are pyaudio:NAME, alsa:PCM, wav:PATH, room:FILE.toml, null:, gone:, toy:"
    )
    assert caught.value.fault is Fault.LOUDSPEAKER


def test_a_plug_in_opens_its_own_scheme(plug_in: types.ModuleType) -> None:
    seen: list[Any] = []
    opened = ClockedInput("toy", epoch=0.0)

    def toy_input(rest: str, *, block_frames: int, epoch: float) -> ClockedInput:
        seen.append((rest, block_frames, epoch))
        return opened

    plug_in.open_input = toy_input  # type: ignore[attr-defined]
    assert open_input("toy:a:b", block_frames=480, epoch=3.5) is opened
    assert seen == [("a:b", 480, 3.5)]
    with pytest.raises(DeviceError, match='"toy" has no loudspeaker') as caught:
        open_output("toy:", block_frames=480, epoch=3.5)
    assert caught.value.fault is Fault.LOUDSPEAKER


def test_a_plug_in_that_cannot_be_imported_is_named(plug_in: types.ModuleType) -> None:
    assert plug_in
    with pytest.raises(DeviceError, match=r'plug-in "gone" \(package_that_is_gone:devices\)') as caught:
        open_input("gone:", block_frames=960, epoch=0.0)
    assert "ModuleNotFoundError" in str(caught.value)
    assert caught.value.fault is Fault.MICROPHONE


def test_a_plug_in_that_fails_to_open_is_named(plug_in: types.ModuleType) -> None:
    def broken(rest: str, *, block_frames: int, epoch: float) -> None:
        raise RuntimeError(f"no {rest}, {block_frames}, {epoch}")

    plug_in.open_output = broken  # type: ignore[attr-defined]
    with pytest.raises(DeviceError, match='plug-in "toy" cannot open "toy:x": no x, 960'):
        open_output("toy:x", block_frames=960, epoch=0.0)


def test_a_plug_in_cannot_replace_a_built_in_scheme(plug_in: types.ModuleType) -> None:
    assert plug_in
    assert isinstance(open_output("null:", block_frames=960, epoch=0.0), ClockedOutput)


def test_silence_and_null_take_no_rest() -> None:
    with pytest.raises(DeviceError, match='write "silence:" alone'):
        open_input("silence:x", block_frames=960, epoch=0.0)
    with pytest.raises(DeviceError, match='write "null:" alone'):
        open_output("null:x", block_frames=960, epoch=0.0)


def test_silence_is_paced_and_silent() -> None:
    now = [5.0]

    def sleep(seconds: float) -> None:
        now[0] += seconds

    device = ClockedInput("silence:", epoch=5.0, clock=lambda: now[0], sleep=sleep)
    block = np.ones((480, 2), dtype=np.int32)
    for _ in range(100):
        assert device.read(block) == 0
        assert not block.any()
    assert now[0] == pytest.approx(6.0)
    device.close()


def test_listing_offers_what_needs_no_hardware() -> None:
    found = devices.listing()
    assert found.inputs[-1] == "silence:"
    assert found.outputs[-1] == "null:"
    assert all(":" in name for name in found.inputs + found.outputs)


def test_a_backend_that_is_not_installed_lists_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setitem(sys.modules, "pyaudio", None)
    assert devices.listing() == (["silence:"], ["null:"])


def test_a_dead_stream_can_be_told_from_a_missing_device() -> None:
    assert not issubclass(StreamEnded, DeviceError)
