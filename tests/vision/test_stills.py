"""A folder of pictures is a camera."""

import shutil
from pathlib import Path

import pytest

from edge_agent.errors import DeviceError, Fault
from edge_agent.vision.camera import open_camera

DEMO = Path(__file__).resolve().parents[2] / "edge_agent" / "demo" / "stills"


def test_the_demo_pictures_come_in_order_and_again_from_the_first() -> None:
    camera = open_camera(f"files:{DEMO}", max_px=768)
    assert camera is not None
    stills = [camera.capture() for _ in range(4)]
    names = sorted(DEMO.glob("*.jpg"))
    assert [still.jpeg for still in stills] == [names[n % len(names)].read_bytes() for n in range(4)]
    assert all((still.width, still.height) == (768, 576) for still in stills)
    assert all(len(still.jpeg) < 40 * 1024 for still in stills)
    assert stills[0].taken_at <= stills[1].taken_at
    camera.close()


def test_a_single_picture_is_always_the_same_one() -> None:
    camera = open_camera(f"files:{DEMO / '2-yellow-bicycle.jpg'}", max_px=768)
    assert camera is not None
    assert camera.capture().jpeg == camera.capture().jpeg
    assert "yellow-bicycle" in camera.name


@pytest.mark.parametrize(
    ("make", "part"),
    [
        (lambda _: "", "needs a folder"),
        (lambda folder: str(folder / "nowhere"), "does not exist"),
        (str, "holds no"),
    ],
)
def test_no_pictures_is_a_sentence(tmp_path: Path, make: object, part: str) -> None:
    with pytest.raises(DeviceError, match=part) as refused:
        open_camera(f"files:{make(tmp_path)}", max_px=768)  # type: ignore[operator]
    assert refused.value.fault == Fault.CAMERA


def test_a_broken_picture_is_named_and_the_next_one_still_comes(tmp_path: Path) -> None:
    shutil.copy(DEMO / "1-red-teapot.jpg", tmp_path / "a.jpg")
    (tmp_path / "b.jpg").write_bytes(b"GIF89a")
    camera = open_camera(f"files:{tmp_path}", max_px=768)
    assert camera is not None
    camera.capture()
    with pytest.raises(DeviceError, match=r"b\.jpg cannot be used: not a JPEG"):
        camera.capture()
    assert camera.capture().width == 768


def test_a_picture_above_the_limit_is_refused_with_both_numbers() -> None:
    with pytest.raises(DeviceError, match=r"768 x 576 pixels; shrink it to 512"):
        open_camera(f"files:{DEMO}", max_px=512)
