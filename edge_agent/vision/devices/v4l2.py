"""`v4l2:[/dev/videoN]`: a USB webcam whose own JPEGs are passed through untouched.

The camera is asked for MJPG, for the largest frame size with no side above `max_px` (its smallest if all are larger)
and for few frames a second. A still is the first good frame that was exposed after it was asked for; frames that
waited in the kernel's queue are older and are dropped. Missing Huffman tables are put in; nothing is decoded.

Device names such as /dev/video0 move when cameras are plugged in another order; those in /dev/v4l/by-id stay.

Refused with a `DeviceError`: absent (says which there are), no permission, in use (says by whom), no video capture
device, no MJPG (says which formats). `StreamEnded`: unplugged, or no good frame within `CAPTURE_S`.

The kernel is reached through `Kernel` alone, which tests replace by a webcam of their own.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import mmap
import os
import select
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

from edge_agent.errors import AgentError, DeviceError, Fault, StreamEnded
from edge_agent.vision import jpeg
from edge_agent.vision.camera import Still
from edge_agent.vision.devices import videodev
from edge_agent.vision.devices.videodev import Layout

CAPTURE_S = 2.5  # less than the photographer's deadline, so that the sentence is the camera's
BUFFERS = 3  # one being filled, one waiting, one being read
SETTLE_FRAMES = 5  # exposure needs some frames after the start
FRAME_RATE = 10  # frames a second asked for; more is USB traffic that nobody looks at
MAX_LISTED = 256  # sizes or formats that are looked at; a broken driver lists for ever


class Kernel(Protocol):
    """The system calls used here."""

    def open(self, path: str) -> int:
        """Open a device for reading and writing, not blocking."""

    def ioctl(self, fd: int, request: int, argument: bytearray) -> None:
        """Call the driver; `argument` is changed in place. OSError as the driver says."""

    def map(self, fd: int, length: int, offset: int) -> memoryview:
        """Map one of the driver's buffers."""

    def readable(self, fd: int, timeout_s: float) -> bool:
        """Wait for a frame; False when none came."""

    def close(self, fd: int) -> None:
        """Close the device."""


class Linux:
    """The real kernel."""

    def open(self, path: str) -> int:
        """Open a device for reading and writing, not blocking."""
        return os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)

    def ioctl(self, fd: int, request: int, argument: bytearray) -> None:
        """Call the driver; `argument` is changed in place. OSError as the driver says."""
        fcntl.ioctl(fd, request, argument)

    def map(self, fd: int, length: int, offset: int) -> memoryview:
        """Map one of the driver's buffers; it is unmapped when the view is gone."""
        return memoryview(mmap.mmap(fd, length, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE, offset=offset))

    def readable(self, fd: int, timeout_s: float) -> bool:
        """Wait for a frame, or for the device to vanish, which the next call then says."""
        poll = select.poll()
        poll.register(fd, select.POLLIN)
        return bool(poll.poll(timeout_s * 1000))

    def close(self, fd: int) -> None:
        """Close the device."""
        os.close(fd)


def open_camera(
    rest: str,
    *,
    max_px: int,
    kernel: Kernel | None = None,
    dev: Path = Path("/dev"),
    proc: Path = Path("/proc"),
    layout: Layout = videodev.NATIVE,
) -> V4l2Camera:
    """Open a webcam (/dev/video0 if `rest` is empty) and start it; see the module's manual for what is refused."""
    path = rest or str(dev / "video0")
    kernel = kernel or Linux()
    with _refusals(path, dev, proc):
        fd = kernel.open(path)
    try:
        with _refusals(path, dev, proc):
            return V4l2Camera(path, fd, kernel, layout=layout, max_px=max_px)
    except BaseException:
        kernel.close(fd)
        raise


class V4l2Camera:
    """A webcam that streams; one thread uses it."""

    def __init__(
        self,
        path: str,
        fd: int,
        kernel: Kernel,
        *,
        layout: Layout,
        max_px: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.broken = 0
        """Frames that were dropped because they were no whole JPEG."""
        self._path = path
        self._fd = fd
        self._kernel = kernel
        self._layout = layout
        self._clock = clock
        self._maps: list[memoryview] = []
        self._unsettled = SETTLE_FRAMES
        card, capabilities = videodev.capability(self._call(videodev.QUERYCAP, videodev.empty_capability()))
        self.name = f"{path} ({card})"
        if not capabilities & videodev.CAN_CAPTURE or not capabilities & videodev.CAN_STREAM:
            raise DeviceError(
                f"{self.name} is no camera but another function of one; try the device's other numbers",
                fault=Fault.CAMERA,
            )
        self._choose(max_px)
        self._start()

    def capture(self) -> Still:
        """Return the first good frame exposed after now; StreamEnded when none comes within `CAPTURE_S`."""
        asked = self._clock()
        queued = BUFFERS  # without times on the frames, as many may be old as fit into the queue
        while (left := asked + CAPTURE_S - self._clock()) > 0:
            if not self._kernel.readable(self._fd, left):
                break
            got = self._dequeue(asked)
            if got is None:
                continue
            frame, taken_at = got
            if taken_at is None and queued > 0:
                queued -= 1
                continue
            try:
                data = jpeg.whole(frame)
                header = jpeg.inspect(data)
            except ValueError:
                self.broken += 1
                continue
            return Still(data, header.width, header.height, self._clock() if taken_at is None else taken_at)
        raise StreamEnded(f"{self.name} gave no good picture for {CAPTURE_S:g} s", fault=Fault.CAMERA)

    def forget(self) -> None:
        """Blacken the frames that wait in the kernel's buffers: what the camera has seen up to now is gone."""
        for _ in range(BUFFERS):
            if not self._kernel.readable(self._fd, 0):
                return
            self._dequeue(float("inf"), blacken=True)

    def close(self) -> None:
        """Stop the camera and give it back."""
        with contextlib.suppress(OSError):  # it may be unplugged
            self._call(videodev.STREAMOFF, videodev.word(videodev.VIDEO_CAPTURE))
        self._maps.clear()
        self._kernel.close(self._fd)

    def _call(self, request: int, argument: bytearray) -> bytearray:
        self._kernel.ioctl(self._fd, request, argument)
        return argument

    def _choose(self, max_px: int) -> None:
        """Set format, size and rate."""
        formats = [videodev.format_answer(answer) for answer in self._listed(videodev.ENUM_FMT, videodev.format_query)]
        if "MJPG" not in formats:
            offered = ", ".join(formats) or "nothing"
            raise DeviceError(
                f"{self.name} gives no MJPG pictures but {offered}; use another webcam, or another of its devices",
                fault=Fault.CAMERA,
            )
        sizes = [
            size
            for answer in self._listed(videodev.ENUM_FRAMESIZES, videodev.size_query)
            for size in videodev.size_answer(answer)
        ]
        width, height = best_size(sizes, max_px)
        answer = self._call(self._layout.S_FMT, self._layout.format(width, height))
        width, height, chosen = self._layout.format_answer(answer)
        if chosen != videodev.MJPG:
            raise DeviceError(f"{self.name} does not switch to MJPG pictures", fault=Fault.CAMERA)
        if max(width, height) > max_px:
            raise DeviceError(
                f"{self.name} gives {width} x {height} pixels at the smallest; raise camera.max_px from {max_px}",
                fault=Fault.CAMERA,
            )
        with contextlib.suppress(OSError):  # a camera with a single rate has no call to set it
            self._call(videodev.S_PARM, videodev.frame_rate(FRAME_RATE))

    def _listed(self, request: int, query: Callable[[int], bytearray]) -> Iterator[bytearray]:
        """Yield the driver's answers for 0, 1, 2, ... until it says that there are no more."""
        for index in range(MAX_LISTED):
            try:
                yield self._call(request, query(index))
            except OSError as error:
                # The list's end; or a driver that cannot list frame sizes at all.
                if error.errno == errno.EINVAL or request == videodev.ENUM_FRAMESIZES:
                    return
                raise

    def _start(self) -> None:
        count = videodev.buffer_count(self._call(videodev.REQBUFS, videodev.buffer_request(BUFFERS)))
        for index in range(count):
            answer = self._call(self._layout.QUERYBUF, self._layout.buffer(index))
            offset, length = self._layout.buffer_place(answer)
            self._maps.append(self._kernel.map(self._fd, length, offset))
            self._call(self._layout.QBUF, self._layout.buffer(index))
        self._call(videodev.STREAMON, videodev.word(videodev.VIDEO_CAPTURE))

    def _dequeue(self, asked: float, *, blacken: bool = False) -> tuple[bytes, float | None] | None:
        """Take a frame out of the queue and give its buffer back; None when it is broken or older than `asked`."""
        try:
            answer = self._call(self._layout.DQBUF, self._layout.buffer(0))
            index, used, broken, taken_at = self._layout.buffer_frame(answer)
            wanted = self._unsettled == 0 and not broken and (taken_at is None or taken_at >= asked)
            frame = bytes(self._maps[index][:used]) if wanted else b""
            if blacken:
                self._maps[index][:] = bytes(len(self._maps[index]))
            self._call(self._layout.QBUF, self._layout.buffer(index))
        except OSError as error:
            if error.errno in {errno.EAGAIN, errno.EIO}:  # no frame after all, or one that was lost on the wire
                return None
            raise StreamEnded(f"{self.name} was unplugged or failed: {error.strerror}", fault=Fault.CAMERA) from error
        self._unsettled = max(0, self._unsettled - 1)
        self.broken += broken
        return (frame, taken_at) if wanted else None


def best_size(sizes: Sequence[tuple[int, int]], max_px: int) -> tuple[int, int]:
    """Return the largest size with no side above `max_px`; else the smallest; 640 x 480 if none is listed."""
    if not sizes:
        return 640, 480
    fitting = [size for size in sizes if max(size) <= max_px]
    if fitting:
        return max(fitting, key=lambda size: size[0] * size[1])
    return min(sizes, key=lambda size: size[0] * size[1])


def holders(path: str, proc: Path = Path("/proc")) -> list[str]:
    """Return who has a device open, as `name (pid N)`; other users' processes can be seen by root only."""
    target = os.path.realpath(path)
    found = []
    for process in sorted(proc.glob("[0-9]*"), key=lambda entry: int(entry.name)):
        try:
            if any(os.path.realpath(handle) == target for handle in (process / "fd").iterdir()):
                found.append(f"{(process / 'comm').read_text().strip()} (pid {process.name})")
        except OSError:  # ended meanwhile, or another user's
            continue
    return found


def present(dev: Path = Path("/dev")) -> str:
    """Return the video devices of this machine as a sentence's end, with their lasting names."""
    lasting: dict[str, list[str]] = {}
    for link in sorted(dev.glob("v4l/by-id/*")):
        lasting.setdefault(os.path.realpath(link), []).append(str(link))
    nodes = sorted(dev.glob("video[0-9]*"), key=lambda node: (len(node.name), node.name))
    if not nodes:
        return 'this machine has no /dev/video*; plug a webcam in, or set camera.source to "off"'
    shown = [" = ".join([str(node), *lasting.get(os.path.realpath(node), [])]) for node in nodes]
    return "there are " + ", ".join(shown)


@contextlib.contextmanager
def _refusals(path: str, dev: Path, proc: Path) -> Iterator[None]:
    """Turn the kernel's refusals into sentences."""
    try:
        yield
    except AgentError:
        raise
    except OSError as error:
        if error.errno in {errno.ENOENT, errno.ENODEV, errno.ENXIO}:
            sentence = f"There is no camera {path}: {present(dev)}"
        elif error.errno in {errno.EACCES, errno.EPERM}:
            sentence = f"No permission for {path}: add this user to the group video (usermod -aG video USER)"
        elif error.errno == errno.EBUSY:
            who = ", ".join(holders(path, proc)) or "another program (root sees which: fuser -v " + path + ")"
            sentence = f"{path} is in use by {who}; stop it first"
        elif error.errno == errno.ENOTTY:
            sentence = f"{path} is not a video device: {present(dev)}"
        else:
            sentence = f"{path} does not start: {error.strerror or error}"
        raise DeviceError(sentence, fault=Fault.CAMERA) from error
