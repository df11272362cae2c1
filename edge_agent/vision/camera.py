"""What a camera is, and how `camera.source` becomes one.

    camera = open_camera("v4l2:/dev/video0", max_px=768)     # None for "off"
    still = camera.capture()                                 # blocks; Still(jpeg, width, height, taken_at)
    camera.close()

A source is `SCHEME:REST`. Built in: `picamera2:[NUMBER]`, `v4l2:[DEVICE]`, `files:FOLDER_OR_FILE`. Further schemes come
from the entry-point group `edge_agent.devices`: an entry named like the scheme, whose object has
`open_camera(rest, *, max_px)`. Modules and plug-ins are imported only when named.

Cameras block and are used from one thread; `photographer` is the way to them from the event loop. Refused with a
`DeviceError` (fault CAMERA): an unknown scheme, a plug-in that does not load, and whatever the camera itself refuses.
"""

from __future__ import annotations

import importlib
import importlib.metadata
from dataclasses import dataclass, field
from typing import Any, Protocol

from edge_agent.errors import AgentError, DeviceError, Fault

BUILT_IN = {
    "picamera2": "edge_agent.vision.devices.picamera",
    "v4l2": "edge_agent.vision.devices.v4l2",
    "files": "edge_agent.vision.devices.stills",
}
ENTRY_POINTS = "edge_agent.devices"


@dataclass(frozen=True, slots=True)
class Still:
    """One picture: a complete JPEG, its size in pixels, and when it was taken (`time.monotonic()`, seconds)."""

    jpeg: bytes = field(repr=False)
    width: int
    height: int
    taken_at: float


class Camera(Protocol):
    """A camera that is open; one thread opens, uses and closes it."""

    name: str
    """For messages, such as `/dev/video0 (HD Webcam)`."""

    def capture(self) -> Still:
        """Take a picture now, not an older one; blocks. Raises StreamEnded when the camera must be opened anew."""

    def close(self) -> None:
        """Give the camera back."""

    # Optional: `forget()` blackens pictures that the device itself still holds; called when a visitor leaves.


def open_camera(source: str, *, max_px: int) -> Camera | None:
    """Open the camera that `source` names; None for `off`.

    Args:
        source: `SCHEME:REST`, see above.
        max_px: the longest side a still may have, pixels.

    Raises:
        DeviceError: fault CAMERA, a sentence that says what is wrong and what there is.
    """
    if source == "off":
        return None
    scheme, _, rest = source.partition(":")
    device = importlib.import_module(BUILT_IN[scheme]) if scheme in BUILT_IN else _plug_in(scheme)
    try:
        camera: Camera = device.open_camera(rest, max_px=max_px)
    except AgentError:
        raise
    except Exception as error:
        raise DeviceError(f"The camera {source} could not be opened: {error}", fault=Fault.CAMERA) from error
    return camera


def _plug_in(scheme: str) -> Any:
    found = importlib.metadata.entry_points(group=ENTRY_POINTS)
    for entry in found:
        if entry.name == scheme:
            try:
                device = entry.load()
            except Exception as error:
                sentence = f"The camera plug-in {scheme} ({entry.value}) does not load: {error}"
                raise DeviceError(sentence, fault=Fault.CAMERA) from error
            if not hasattr(device, "open_camera"):
                sentence = f"The plug-in {scheme} ({entry.value}) has no camera (no function open_camera)"
                raise DeviceError(sentence, fault=Fault.CAMERA)
            return device
    known = ", ".join([*(f"{name}:" for name in BUILT_IN), *(f"{name}:" for name in sorted({e.name for e in found}))])
    raise DeviceError(f'camera.source: no such camera "{scheme}:"; there are {known} and off', fault=Fault.CAMERA)
