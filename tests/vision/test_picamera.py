"""The contract with picamera2, against a stand-in that knows exactly the documented calls."""
# ruff: noqa: ARG002, PLR0917  the signatures are picamera2's

import io
import sys
import types
from pathlib import Path
from typing import Any, ClassVar

import pytest

from edge_agent.errors import DeviceError, Fault, StreamEnded
from edge_agent.vision.camera import open_camera
from edge_agent.vision.devices import picamera

JPEG = (Path(__file__).resolve().parents[2] / "edge_agent/demo/stills/1-red-teapot.jpg").read_bytes()


class Picamera2:
    """picamera2's class as its manual documents it, as far as it is used; anything else is an AttributeError."""

    cameras: ClassVar[list[dict[str, Any]]] = [
        {"Model": "imx219", "Location": 2, "Rotation": 180, "Id": "/base/soc/i2c"}
    ]
    made: ClassVar[list["Picamera2"]] = []
    busy = False
    stalls = False

    @staticmethod
    def global_camera_info() -> list[dict[str, Any]]:
        return Picamera2.cameras

    def __init__(self, camera_num: int = 0, verbose_console: Any = None, tuning: Any = None) -> None:
        if Picamera2.busy:
            raise RuntimeError("Camera __init__ sequence did not complete.")
        self.camera_num = camera_num
        self.sensor_resolution = (3280, 2464)
        self.options: dict[str, Any] = {}
        self.calls: list[Any] = []
        self.config: dict[str, Any] = {}
        Picamera2.made.append(self)

    def create_video_configuration(
        self,
        main: Any = None,
        lores: Any = None,
        raw: Any = None,
        transform: Any = None,
        colour_space: Any = None,
        buffer_count: int = 6,
        controls: Any = None,
        display: str | None = "main",
        encode: str | None = "main",
        queue: bool = True,
    ) -> dict[str, Any]:
        return {"main": main, "lores": lores, "buffer_count": buffer_count, "controls": controls, "queue": queue}

    def configure(self, camera_config: dict[str, Any]) -> None:
        self.config = camera_config

    def start(self) -> None:
        self.calls.append("start")

    def set_controls(self, controls: dict[str, Any]) -> None:
        self.calls.append(controls)

    def capture_metadata(self, wait: float | None = None, signal_function: Any = None) -> dict[str, Any]:
        self.calls.append("metadata")
        return {}

    def capture_file(
        self,
        file_output: io.BytesIO,
        name: str = "main",
        format: str | None = None,  # noqa: A002  picamera2's name
        wait: float | None = None,
        signal_function: Any = None,
        exif_data: Any = None,
    ) -> None:
        assert format == "jpeg"
        assert wait is not None
        assert 0 < wait < 3
        if Picamera2.stalls:
            raise TimeoutError
        file_output.write(JPEG)

    def close(self) -> None:
        self.calls.append("close")


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> type[Picamera2]:
    module = types.ModuleType("picamera2")
    module.Picamera2 = Picamera2  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "picamera2", module)
    monkeypatch.setattr(Picamera2, "made", [])
    monkeypatch.setattr(Picamera2, "busy", False)
    monkeypatch.setattr(Picamera2, "stalls", False)
    return Picamera2


def test_one_small_yuv_stream_is_started_settled_and_slowed(library: type[Picamera2]) -> None:
    camera = open_camera("picamera2:", max_px=768)
    assert camera is not None
    device = library.made[0]
    assert device.config["main"] == {"size": (768, 576), "format": "YUV420"}
    assert device.config["lores"] is None
    assert device.config["buffer_count"] <= 3
    assert device.config["queue"] is False  # a queued frame would show the past
    fast, slow = device.config["controls"]["FrameDurationLimits"], device.calls[-1]["FrameDurationLimits"]
    assert fast[1] <= 67_000
    assert 200_000 <= slow[0] <= 500_000
    assert device.calls[:-1] == ["start", *["metadata"] * picamera.SETTLE_FRAMES]
    assert device.options["quality"] == 80
    assert "imx219" in camera.name


def test_a_still_is_the_jpeg_that_the_camera_made(library: type[Picamera2]) -> None:
    camera = open_camera("picamera2:0", max_px=768)
    assert camera is not None
    still = camera.capture()
    assert (still.jpeg, still.width, still.height) == (JPEG, 768, 576)
    camera.close()
    assert library.made[0].calls[-1] == "close"


def test_a_camera_that_stalls_must_be_opened_anew(library: type[Picamera2], monkeypatch: pytest.MonkeyPatch) -> None:
    camera = open_camera("picamera2:", max_px=768)
    assert camera is not None
    monkeypatch.setattr(library, "stalls", True)
    with pytest.raises(StreamEnded, match=r"gave no picture for 2\.5 s"):
        camera.capture()


@pytest.mark.parametrize(
    ("sensor", "max_px", "size"),
    [
        ((3280, 2464), 768, (768, 576)),
        ((4608, 2592), 768, (768, 432)),
        ((1456, 1088), 640, (640, 478)),
        ((640, 480), 2000, (640, 480)),
        ((3280, 2464), 64, (64, 48)),
    ],
)
def test_the_size_keeps_proportions_and_stays_below_the_limit(
    sensor: tuple[int, int], max_px: int, size: tuple[int, int]
) -> None:
    assert picamera._size(sensor, max_px) == size


def test_a_start_that_fails_gives_the_camera_back(library: type[Picamera2], monkeypatch: pytest.MonkeyPatch) -> None:
    def start(_self: Picamera2) -> None:
        raise OSError("Cannot allocate memory")

    monkeypatch.setattr(library, "start", start)
    with pytest.raises(DeviceError, match="did not start: Cannot allocate memory"):
        open_camera("picamera2:", max_px=768)
    assert library.made[0].calls[-1] == "close"


@pytest.mark.usefixtures("library")
@pytest.mark.parametrize(
    ("source", "change", "part"),
    [
        ("picamera2:front", {}, "not a camera number"),
        ("picamera2:1", {}, "no Pi camera 1: there are 0: imx219"),
        ("picamera2:", {"cameras": []}, "none is connected; check cable"),
        ("picamera2:", {"busy": True}, "another program may hold it"),
    ],
)
def test_no_camera_is_a_sentence(
    monkeypatch: pytest.MonkeyPatch, source: str, change: dict[str, Any], part: str
) -> None:
    for name, value in change.items():
        monkeypatch.setattr(Picamera2, name, value)
    with pytest.raises(DeviceError, match=part) as refused:
        open_camera(source, max_px=768)
    assert refused.value.fault == Fault.CAMERA


def test_a_missing_library_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "picamera2", None)
    with pytest.raises(DeviceError, match="apt install --no-install-recommends python3-picamera2"):
        open_camera("picamera2:", max_px=768)


def test_a_numpy_that_does_not_fit_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "picamera2.py").write_text("raise ValueError('numpy.dtype size changed')")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "picamera2", raising=False)
    with pytest.raises(DeviceError, match="does not fit the installed NumPy"):
        open_camera("picamera2:", max_px=768)
