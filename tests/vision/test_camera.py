"""camera.source names a built-in camera, a plug-in, or nothing."""

import importlib.metadata
import subprocess
import sys
import types
from typing import Any

import pytest

from edge_agent.errors import DeviceError, Fault
from edge_agent.vision import camera
from edge_agent.vision.camera import Still, open_camera


class Entry:
    """An entry point as importlib.metadata gives it."""

    def __init__(self, name: str, target: Any) -> None:
        self.name, self.value, self._target = name, f"{name}_plugin:device", target

    def load(self) -> Any:
        if isinstance(self._target, Exception):
            raise self._target
        return self._target


def _plug_in(monkeypatch: pytest.MonkeyPatch, target: Any) -> None:
    def entry_points(*, group: str) -> list[Entry]:
        assert group == "edge_agent.devices"
        return [Entry("telescope", target)]

    monkeypatch.setattr(importlib.metadata, "entry_points", entry_points)


def test_off_is_no_camera() -> None:
    assert open_camera("off", max_px=768) is None


def test_a_plug_in_is_found_by_its_scheme_and_gets_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    class Telescope:
        name = "telescope"

        def capture(self) -> Still:
            return Still(b"", 1, 1, 0.0)

        def close(self) -> None:
            pass

    asked: list[tuple[str, int]] = []

    def opener(rest: str, *, max_px: int) -> Telescope:
        asked.append((rest, max_px))
        return Telescope()

    _plug_in(monkeypatch, types.SimpleNamespace(open_camera=opener))
    assert isinstance(open_camera("telescope:moon:full", max_px=512), Telescope)
    assert asked == [("moon:full", 512)]


@pytest.mark.parametrize(
    ("target", "part"),
    [
        (ImportError("no lens"), r"telescope \(telescope_plugin:device\) does not load: no lens"),
        (types.SimpleNamespace(), "has no camera"),
        (types.SimpleNamespace(open_camera=lambda *_, **__: 1 / 0), "could not be opened: division by zero"),
    ],
)
def test_a_broken_plug_in_is_named(monkeypatch: pytest.MonkeyPatch, target: Any, part: str) -> None:
    _plug_in(monkeypatch, target)
    with pytest.raises(DeviceError, match=part) as refused:
        open_camera("telescope:", max_px=512)
    assert refused.value.fault == Fault.CAMERA


def test_an_unknown_scheme_says_which_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    _plug_in(monkeypatch, None)
    with pytest.raises(DeviceError, match=r'"webcam:"; there are picamera2:, v4l2:, files:, telescope: and off'):
        open_camera("webcam:0", max_px=512)


def test_no_camera_library_is_imported_before_it_is_named() -> None:
    code = (
        "import sys; from edge_agent.vision import camera, photographer; camera.open_camera('off', max_px=768); "
        "print([m for m in sys.modules if m.startswith(('edge_agent.vision.devices.', 'picamera2', 'numpy', 'PIL'))])"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert shown.stdout.strip() == "[]"


def test_every_built_in_scheme_has_its_module() -> None:
    for module in camera.BUILT_IN.values():
        assert callable(importlib.import_module(module).open_camera)
