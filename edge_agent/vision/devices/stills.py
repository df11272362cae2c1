"""`files:FOLDER`: the JPEGs of a folder as a camera, for demo, tests and rehearsals.

Each capture is the next picture in the order of the names, from the first again after the last; `files:PICTURE.jpg` is
always the same one. The folder is listed once, when opened. Refused with a `DeviceError` that names the file: nothing
there, not a whole JPEG, larger than `camera.max_px` (a picture is sent as it is; nothing here can shrink it).
"""

from __future__ import annotations

import time
from pathlib import Path

from edge_agent.errors import DeviceError, Fault
from edge_agent.vision import jpeg
from edge_agent.vision.camera import Still

_SUFFIXES = {".jpg", ".jpeg"}


def open_camera(rest: str, *, max_px: int) -> StillsCamera:
    """Open a folder of JPEGs or a single one; see the module's manual for what is refused."""
    if not rest:
        raise DeviceError("files: needs a folder or a picture, such as files:/home/pi/stills", fault=Fault.CAMERA)
    path = Path(rest).expanduser()
    try:
        if path.is_dir():
            pictures = sorted(entry for entry in path.iterdir() if entry.suffix.lower() in _SUFFIXES)
        else:
            pictures = [path] if path.exists() else []
    except OSError as error:
        raise DeviceError(f"{path} cannot be read: {error.strerror}", fault=Fault.CAMERA) from error
    if not pictures:
        what = "holds no *.jpg" if path.is_dir() else "does not exist"
        raise DeviceError(f"{path} {what}; camera.source = files: needs a folder with JPEGs", fault=Fault.CAMERA)
    camera = StillsCamera(pictures, max_px)
    camera.check()
    return camera


class StillsCamera:
    """Pictures from disk, one after the other."""

    def __init__(self, pictures: list[Path], max_px: int) -> None:
        self.name = f"pictures in {pictures[0].parent}" if len(pictures) > 1 else str(pictures[0])
        self._pictures = pictures
        self._max_px = max_px
        self._next = 0

    def check(self) -> None:
        """Read the next picture without counting it; DeviceError when it cannot be used."""
        self._read(self._pictures[self._next])

    def capture(self) -> Still:
        """Return the next picture; DeviceError names a file that cannot be used, and the one after it comes next."""
        picture = self._pictures[self._next]
        self._next = (self._next + 1) % len(self._pictures)
        return self._read(picture)

    def close(self) -> None:
        """Nothing is held open."""

    def _read(self, picture: Path) -> Still:
        try:
            data = picture.read_bytes()
            header = jpeg.inspect(data)
        except OSError as error:
            raise DeviceError(f"{picture} cannot be read: {error.strerror}", fault=Fault.CAMERA) from error
        except ValueError as error:
            raise DeviceError(f"{picture} cannot be used: {error}", fault=Fault.CAMERA) from error
        if max(header.width, header.height) > self._max_px:
            raise DeviceError(
                f"{picture} is {header.width} x {header.height} pixels; "
                f"shrink it to {self._max_px} on the longest side, or raise camera.max_px",
                fault=Fault.CAMERA,
            )
        return Still(data, header.width, header.height, time.monotonic())
