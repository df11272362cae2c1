"""`picamera2:[NUMBER]`: a Raspberry Pi camera through picamera2, which is imported here and nowhere else.

One YUV420 stream, at most `max_px` on its longest side in the sensor's proportions, no preview, few buffers: small
enough for a Zero 2 W. The camera settles at 30 frames a second and then idles at 3, because what costs is the running
sensor and not the still. JPEG is made in memory by picamera2's software encoder; nothing touches the disk.

Refused with a `DeviceError`: picamera2 missing or not importable, no camera, camera in use. A camera that gives no
frame for `CAPTURE_S` has stalled, which libcamera does not report; `StreamEnded` then asks to open it anew.
"""

from __future__ import annotations

import io
import time
from typing import Any

from edge_agent.errors import DeviceError, Fault, StreamEnded
from edge_agent.vision import jpeg
from edge_agent.vision.camera import Still

CAPTURE_S = 2.5  # several frames at 3 a second, and less than the photographer's deadline
SETTLE_FRAMES = 10  # exposure and white balance need 5 to 10 frames
SETTLE_US = 33_333  # 30 frames a second while settling
IDLE_US = 333_333  # 3 frames a second afterwards; a still is at most a third of a second late
QUALITY = 80  # about 20 kB at 768 x 768
ALIGN_PX = 64  # the width at which YUV420 planes need no padding


def open_camera(rest: str, *, max_px: int) -> PiCamera:
    """Open camera NUMBER (0 if left out) and let it settle, 1 to 3 s; see the module's manual for what is refused."""
    if rest and not rest.isdigit():
        raise DeviceError(f'picamera2:{rest}: "{rest}" is not a camera number such as 0', fault=Fault.CAMERA)
    number = int(rest or 0)
    library = _library()
    cameras = library.global_camera_info()
    if number >= len(cameras):
        found = ", ".join(f"{n}: {camera.get('Model', 'unknown')}" for n, camera in enumerate(cameras))
        there = f"there are {found}" if found else "none is connected; check cable and connector, then reboot"
        raise DeviceError(f"There is no Pi camera {number}: {there}", fault=Fault.CAMERA)
    name = f"Pi camera {number} ({cameras[number].get('Model', 'unknown')})"
    try:
        device = library(number)
    except (RuntimeError, OSError, IndexError) as error:
        raise DeviceError(
            f"{name} could not be opened; another program may hold it, or this user is not in the group video: {error}",
            fault=Fault.CAMERA,
        ) from error
    try:
        _start(device, max_px)
    except Exception as error:
        device.close()
        raise DeviceError(f"{name} did not start: {error}", fault=Fault.CAMERA) from error
    return PiCamera(device, name)


class PiCamera:
    """A Pi camera that runs."""

    def __init__(self, device: Any, name: str) -> None:
        self.name = name
        self._device = device

    def capture(self) -> Still:
        """Return the next frame that begins after now; StreamEnded when none comes within `CAPTURE_S`."""
        memory = io.BytesIO()
        try:
            self._device.capture_file(memory, format="jpeg", wait=CAPTURE_S)
        except TimeoutError as error:
            raise StreamEnded(f"{self.name} gave no picture for {CAPTURE_S:g} s", fault=Fault.CAMERA) from error
        taken_at = time.monotonic()
        data = memory.getvalue()
        header = jpeg.inspect(data)
        return Still(data, header.width, header.height, taken_at)

    def close(self) -> None:
        """Stop the sensor and give the camera back."""
        self._device.close()


def _library() -> Any:
    try:
        from picamera2 import Picamera2  # noqa: PLC0415  1 to 2 s and 60 MB that only its users pay
    except ImportError as error:
        raise DeviceError(
            f"picamera2 cannot be imported ({error}): apt install --no-install-recommends python3-picamera2, "
            "in a venv of /usr/bin/python3 that sees system packages",
            fault=Fault.CAMERA,
        ) from error
    except ValueError as error:
        # numpy's "dtype size changed": a newer NumPy in the venv than the one Debian's picamera2 was built against.
        raise DeviceError(
            f"picamera2 does not fit the installed NumPy ({error}): remove NumPy from the venv, the system's is right",
            fault=Fault.CAMERA,
        ) from error
    return Picamera2


def _start(device: Any, max_px: int) -> None:
    device.configure(
        device.create_video_configuration(
            main={"size": _size(device.sensor_resolution, max_px), "format": "YUV420"},
            buffer_count=3,
            display=None,
            encode=None,
            queue=False,  # a frame that waits in a queue shows the past
            controls={"FrameDurationLimits": (SETTLE_US, SETTLE_US)},
        )
    )
    device.options["quality"] = QUALITY
    device.start()
    for _ in range(SETTLE_FRAMES):
        device.capture_metadata(wait=CAPTURE_S)
    device.set_controls({"FrameDurationLimits": (IDLE_US, IDLE_US)})


def _size(sensor: tuple[int, int], max_px: int) -> tuple[int, int]:
    """Return the largest aligned size with the sensor's proportions and no side above `max_px`."""
    scale = min(1.0, max_px / max(sensor))
    width = max(ALIGN_PX, int(sensor[0] * scale) // ALIGN_PX * ALIGN_PX)
    height = max(2, round(width * sensor[1] / sensor[0]) // 2 * 2)
    return width, height
