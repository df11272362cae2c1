"""A webcam at the kernel's edge: what it is asked, which of its frames are used, and what is said when it refuses."""

import errno
import os
import struct
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edge_agent.errors import DeviceError, Fault, StreamEnded
from edge_agent.vision import jpeg
from edge_agent.vision.devices import v4l2, videodev
from edge_agent.vision.devices.v4l2 import V4l2Camera, best_size, holders, open_camera, present
from edge_agent.vision.devices.videodev import Layout

JPEG = (Path(__file__).resolve().parents[2] / "edge_agent/demo/stills/1-red-teapot.jpg").read_bytes()
LENGTH = 64 * 1024
CAPTURE = 0x0420_0001 | 0x8000_0000
Frame = tuple[bytes, int, float]  # data, flags, exposed at


class Webcam:
    """A UVC webcam and its driver, as far as ioctl and mmap show them; time passes only while waiting for frames."""

    def __init__(self, word: int = 8, **traits: Any) -> None:
        self.layout = Layout(word)
        self.formats: list[str] = traits.get("formats", ["YUYV", "MJPG"])
        self.sizes: list[tuple[int, int]] = traits.get("sizes", [(1920, 1080), (640, 480), (320, 240), (800, 600)])
        self.node_caps: int = traits.get("caps", 0x0420_0001)
        self.errors: dict[int | str, int] = traits.get("errors", {})
        self.monotonic: bool = traits.get("monotonic", True)
        self.make: Callable[[int], tuple[bytes, int]] = traits.get("make", lambda _: (JPEG, 0))
        self.now = 100.0
        self.asked: list[int] = []
        self.size = (0, 0)
        self.memory = [bytearray(LENGTH) for _ in range(3)]
        self.empty: deque[int] = deque()
        self.full: deque[tuple[int, int, int, float]] = deque()
        self.streaming = False
        self.closed = 0
        self.unplugged = False
        self.frames = 0

    def open(self, path: str) -> int:
        if "open" in self.errors:
            raise OSError(self.errors["open"], os.strerror(self.errors["open"]), path)
        return 7

    def close(self, fd: int) -> None:
        assert fd == 7
        self.closed += 1

    def map(self, fd: int, length: int, offset: int) -> memoryview:
        assert (fd, length) == (7, LENGTH)
        return memoryview(self.memory[offset // LENGTH])

    def readable(self, fd: int, timeout_s: float) -> bool:
        assert fd == 7
        if self.unplugged or self.full:
            return True
        if not self.streaming or timeout_s < 0.1:
            self.now += timeout_s
            return False
        self.pass_time(0.1)
        return bool(self.full)

    def pass_time(self, seconds: float) -> None:
        """Ten frames a second, as long as there are empty buffers."""
        for _ in range(round(seconds * 10)):
            self.now += 0.1
            if self.empty:
                index = self.empty.popleft()
                data, flags = self.make(self.frames)
                self.frames += 1
                self.memory[index][: len(data)] = data
                self.full.append((index, len(data), flags, self.now - 0.05))

    def ioctl(self, fd: int, request: int, argument: bytearray) -> None:
        assert fd == 7
        self.asked.append(request)
        if self.unplugged:
            raise OSError(errno.ENODEV, "No such device")
        if request in self.errors:
            raise OSError(self.errors[request], os.strerror(self.errors[request]))
        argument[:] = self._answer(request, bytes(argument))

    def _answer(self, request: int, argument: bytes) -> bytes:
        index = struct.unpack_from("=I", argument)[0]
        if request == videodev.QUERYCAP:
            caps = (0, CAPTURE, self.node_caps, 0, 0, 0)
            answer = struct.pack("=16s32s32s6I", b"uvcvideo", b"HD Webcam", b"usb", *caps)
        elif request in {videodev.ENUM_FMT, videodev.ENUM_FRAMESIZES}:
            answer = self._listed(request, index, argument)
        elif request in {self.layout.QUERYBUF, self.layout.QBUF, self.layout.DQBUF}:
            answer = self._buffer(request, index, argument)
        elif request == self.layout.S_FMT:
            width, height, chosen = self.layout.format_answer(argument)
            assert chosen == videodev.MJPG
            self.size = min(self.sizes, key=lambda size: abs(size[0] - width) + abs(size[1] - height))
            answer = bytes(self.layout.format(*self.size))
        else:
            if request in {videodev.STREAMON, videodev.STREAMOFF}:
                self.streaming = request == videodev.STREAMON
            answer = argument
        return answer

    def _listed(self, request: int, index: int, argument: bytes) -> bytes:
        listed = self.formats if request == videodev.ENUM_FMT else self.sizes
        if index >= len(listed):
            raise OSError(errno.EINVAL, "Invalid argument")
        if request == videodev.ENUM_FMT:
            return struct.pack("=3I32s4s16x", index, 1, 0, b"", self.formats[index].encode())
        assert argument[4:8] == b"MJPG"
        return struct.pack("=5I24x", index, videodev.MJPG, 1, *self.sizes[index])

    def _buffer(self, request: int, index: int, argument: bytes) -> bytes:
        if request == self.layout.QUERYBUF:
            return self._filled(index, 0, 0, 0.0)
        if request == self.layout.QBUF:
            self.empty.append(index)
            return argument
        if not self.full:
            raise OSError(errno.EAGAIN, "Resource temporarily unavailable")
        return self._filled(*self.full.popleft())

    def _filled(self, index: int, used: int, flags: int, when: float) -> bytes:
        flags |= 0x2000 if self.monotonic else 0
        seconds = int(when)
        micros = round((when - seconds) * 1e6)
        values = (index, 1, used, flags, 0, seconds, micros, b"", 0, 1, index * LENGTH, LENGTH, 0, 0)
        return self.layout._buffer.pack(*values)


def _camera(webcam: Webcam, max_px: int = 768) -> V4l2Camera:
    return V4l2Camera("/dev/video0", 7, webcam, layout=webcam.layout, max_px=max_px, clock=lambda: webcam.now)


@pytest.mark.parametrize("word", [4, 8])
def test_a_still_is_the_webcams_own_jpeg_untouched(word: int) -> None:
    webcam = Webcam(word)
    camera = _camera(webcam)
    still = camera.capture()
    assert still.jpeg == JPEG
    assert (still.width, still.height) == (768, 576)
    assert webcam.size == (640, 480)
    assert camera.name == "/dev/video0 (HD Webcam)"
    camera.close()
    assert not webcam.streaming
    assert webcam.closed == 1


def test_the_first_frames_are_left_to_settle_exposure() -> None:
    webcam = Webcam(make=lambda n: (JPEG + bytes([n]), 0))
    camera = _camera(webcam)
    camera.capture()
    assert webcam.frames == v4l2.SETTLE_FRAMES + 1
    before = webcam.frames
    camera.capture()
    assert webcam.frames == before + 1


@pytest.mark.parametrize("monotonic", [True, False])
def test_frames_that_waited_since_the_last_question_are_not_shown(monotonic: bool) -> None:
    webcam = Webcam(monotonic=monotonic)
    camera = _camera(webcam)
    camera.capture()
    webcam.pass_time(3600)
    assert len(webcam.full) == 3
    old = webcam.frames
    asked = webcam.now
    still = camera.capture()
    assert webcam.frames > old
    assert still.taken_at >= asked


def test_broken_frames_are_skipped_and_counted() -> None:
    bad = [(JPEG[:500], 0), (b"", 0), (JPEG, videodev.FRAME_BROKEN)]
    webcam = Webcam(make=lambda n: bad[n - 5] if 5 <= n < 8 else (JPEG, 0))
    camera = _camera(webcam)
    assert camera.capture().jpeg == JPEG
    assert camera.broken == 3


def test_missing_huffman_tables_are_put_in() -> None:
    at, frame = 2, JPEG[:2]
    while JPEG[at + 1] != 0xDA:
        length = 2 + int.from_bytes(JPEG[at + 2 : at + 4], "big")
        frame += JPEG[at : at + length] if JPEG[at + 1] != 0xC4 else b""
        at += length
    webcam = Webcam(make=lambda _: (frame + JPEG[at:] + bytes(64), 0))
    still = _camera(webcam).capture()
    assert jpeg.inspect(still.jpeg).has_huffman_tables


def test_a_stalled_webcam_must_be_opened_anew_and_is_not_waited_for_longer_than_said() -> None:
    webcam = Webcam()
    camera = _camera(webcam)
    webcam.streaming = False
    before = webcam.now
    with pytest.raises(StreamEnded, match=r"gave no good picture for 2\.5 s") as ended:
        camera.capture()
    assert webcam.now - before == pytest.approx(v4l2.CAPTURE_S)
    assert ended.value.fault == Fault.CAMERA


def test_a_webcam_that_only_sends_rubbish_ends_too() -> None:
    webcam = Webcam(make=lambda _: (b"rubbish", 0))
    camera = _camera(webcam)
    with pytest.raises(StreamEnded):
        camera.capture()
    assert camera.broken > 5


def test_an_unplugged_webcam_ends_at_once_and_closes_without_a_word() -> None:
    webcam = Webcam()
    camera = _camera(webcam)
    camera.capture()
    webcam.unplugged = True
    with pytest.raises(StreamEnded, match="unplugged or failed"):
        camera.capture()
    camera.close()
    assert webcam.closed == 1


def test_a_visitors_frames_are_blackened_in_the_buffers() -> None:
    webcam = Webcam()
    camera = _camera(webcam)
    camera.capture()
    webcam.pass_time(5)
    assert any(any(buffer) for buffer in webcam.memory)
    camera.forget()
    assert not any(any(buffer) for buffer in webcam.memory)
    assert camera.capture().jpeg == JPEG


@pytest.mark.parametrize(
    ("sizes", "max_px", "best"),
    [
        ([(1920, 1080), (640, 480), (320, 240)], 768, (640, 480)),
        ([(1920, 1080), (640, 480), (800, 600)], 800, (800, 600)),
        ([(640, 360), (640, 480)], 640, (640, 480)),
        ([(1280, 720), (1920, 1080)], 768, (1280, 720)),
        ([], 768, (640, 480)),
    ],
)
def test_the_size_asked_for(sizes: list[tuple[int, int]], max_px: int, best: tuple[int, int]) -> None:
    assert best_size(sizes, max_px) == best


def _dev(tmp_path: Path) -> Path:
    dev = tmp_path / "dev"
    (dev / "v4l/by-id").mkdir(parents=True)
    for name in ("video0", "video1", "video10"):
        (dev / name).touch()
    (dev / "v4l/by-id/usb-HD_Webcam-video-index0").symlink_to(dev / "video0")
    return dev


def _refusal(webcam: Webcam, tmp_path: Path, max_px: int = 768) -> str:
    dev = _dev(tmp_path)
    proc = tmp_path / "proc"
    (proc / "4242/fd").mkdir(parents=True)
    (proc / "4242/comm").write_text("cheese\n")
    (proc / "4242/fd/9").symlink_to(dev / "video0")
    (proc / "1/fd").mkdir(parents=True)
    (proc / "1/comm").write_text("init\n")
    with pytest.raises(DeviceError) as refused:
        open_camera(str(dev / "video0"), max_px=max_px, kernel=webcam, dev=dev, proc=proc, layout=webcam.layout)
    assert refused.value.fault == Fault.CAMERA
    return str(refused.value)


def test_an_absent_camera_says_which_there_are(tmp_path: Path) -> None:
    sentence = _refusal(Webcam(errors={"open": errno.ENOENT}), tmp_path)
    assert "There is no camera" in sentence
    assert "usb-HD_Webcam-video-index0" in sentence
    assert sentence.index("video1,") < sentence.index("video10")


def test_a_machine_without_cameras_is_told_so(tmp_path: Path) -> None:
    assert "no /dev/video*" in present(tmp_path)


def test_no_permission_names_the_group(tmp_path: Path) -> None:
    assert "group video" in _refusal(Webcam(errors={"open": errno.EACCES}), tmp_path)


@pytest.mark.parametrize("step", ["S_FMT", "REQBUFS", "STREAMON"])
def test_a_busy_camera_says_who_holds_it_and_is_closed(tmp_path: Path, step: str) -> None:
    request = getattr(videodev, step, None) or Layout(8).S_FMT
    webcam = Webcam(errors={request: errno.EBUSY})
    assert "in use by cheese (pid 4242)" in _refusal(webcam, tmp_path)
    assert webcam.closed == 1


def test_a_busy_camera_of_another_user_is_still_busy(tmp_path: Path) -> None:
    assert holders(str(tmp_path / "video9"), tmp_path) == []


def test_a_camera_without_mjpg_says_what_it_has(tmp_path: Path) -> None:
    webcam = Webcam(formats=["YUYV", "NV12"])
    assert "gives no MJPG pictures but YUYV, NV12" in _refusal(webcam, tmp_path)
    assert webcam.closed == 1


def test_a_metadata_node_is_not_taken_for_a_camera(tmp_path: Path) -> None:
    assert "another function" in _refusal(Webcam(caps=0x04A0_0000), tmp_path)


def test_a_camera_that_is_too_large_for_the_limit_is_refused(tmp_path: Path) -> None:
    assert "1280 x 720 pixels at the smallest" in _refusal(Webcam(sizes=[(1280, 720)]), tmp_path)


def test_a_file_that_is_no_video_device_is_refused(tmp_path: Path) -> None:
    assert "not a video device" in _refusal(Webcam(errors={videodev.QUERYCAP: errno.ENOTTY}), tmp_path)


def test_any_other_failure_keeps_the_kernels_words(tmp_path: Path) -> None:
    assert "does not start: Input/output error" in _refusal(Webcam(errors={videodev.REQBUFS: errno.EIO}), tmp_path)


def test_a_webcam_without_rates_or_listed_sizes_works() -> None:
    webcam = Webcam(errors={videodev.S_PARM: errno.ENOTTY, videodev.ENUM_FRAMESIZES: errno.ENOTTY})
    assert _camera(webcam).capture().jpeg == JPEG
    assert webcam.size == (640, 480)


def test_the_real_kernel_refuses_what_is_no_camera(tmp_path: Path) -> None:
    plain = tmp_path / "video0"
    plain.write_bytes(b"")
    with pytest.raises(DeviceError, match="not a video device"):
        open_camera(str(plain), max_px=768, dev=tmp_path)
    with pytest.raises(DeviceError, match="There is no camera"):
        open_camera(str(tmp_path / "video9"), max_px=768, dev=tmp_path)


def test_holders_finds_this_very_process(tmp_path: Path) -> None:
    path = tmp_path / "video0"
    with path.open("wb"):
        assert any(f"(pid {os.getpid()})" in holder for holder in holders(str(path)))
