import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from stream_detector import assets
from stream_detector.errors import UsageError
from stream_detector.face_detectors import FaceModel, _without_chatter
from stream_detector.faces import MediaPipeFaceFinder
from stream_detector.records import Box, FoundFace, Image

PORTRAIT_BOX = Box(173, 67, 276, 170)
"""The face in the portrait, as the full-range model draws it."""
HEAD = Box(132, 27, 316, 211)
"""The head and what is around it, in the portrait."""


@pytest.fixture(scope="module")
def portrait() -> Image:
    pixels = cv2.imread(str(assets.portrait()))
    assert pixels is not None
    return np.ascontiguousarray(pixels[..., ::-1]).astype(np.uint8)


@pytest.fixture(scope="module")
def finder() -> Iterator[MediaPipeFaceFinder]:
    with closing(MediaPipeFaceFinder()) as finder:
        yield finder


def backdrop(portrait: Image, width: int, height: int) -> Image:
    """A wall with soft shapes and the noise of a sensor."""
    noise = np.random.default_rng(0).normal(0, 3, (height, width, 3))
    wall = cv2.resize(portrait[:60, 310:380], (width, height), interpolation=cv2.INTER_CUBIC)
    return np.clip(wall + noise, 0, 255).astype(np.uint8)


def scene(portrait: Image, width: int, height: int, faces: list[Box]) -> Image:
    """The head of the portrait, pasted so that its face fills each box."""
    image = backdrop(portrait, width, height)
    head = portrait[HEAD.y0 : HEAD.y1, HEAD.x0 : HEAD.x1]
    for box in faces:
        scale = box.side_px / PORTRAIT_BOX.side_px
        side = round(HEAD.side_px * scale)
        x = box.x0 - round((PORTRAIT_BOX.x0 - HEAD.x0) * scale)
        y = box.y0 - round((PORTRAIT_BOX.y0 - HEAD.y0) * scale)
        method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        image[y : y + side, x : x + side] = cv2.resize(head, (side, side), interpolation=method)
    return image


def square(x: int, y: int, side: int) -> Box:
    return Box(x, y, x + side, y + side)


def shows(found: list[FoundFace], box: Box) -> bool:
    return any(face.box.overlap(box) > 0.4 for face in found)


@pytest.mark.parametrize("face_model", ["full-range-sparse", "short-range"])
def test_the_portrait_has_one_face_with_its_six_points_in_place(
    face_model: FaceModel, portrait: Image
) -> None:
    with closing(MediaPipeFaceFinder(face_model)) as finder:
        (face,) = finder.find(portrait)
        assert finder.face_model == face_model
    assert face.box.overlap(PORTRAIT_BOX) > 0.7
    assert 0.5 <= face.confidence <= 1.0
    right_eye, left_eye, nose, mouth, right_ear, left_ear = face.key_points
    assert right_ear[0] < right_eye[0] < nose[0] < left_eye[0] < left_ear[0]
    assert max(right_eye[1], left_eye[1]) < nose[1] < mouth[1]
    for x, y in (right_eye, left_eye, nose, mouth):
        assert face.box.x0 < x < face.box.x1
        assert face.box.y0 < y < face.box.y1


@pytest.mark.parametrize(
    "size", [(1, 1), (2, 3), (3, 2), (1, 5000), (5000, 1), (16, 16), (481, 639), (1080, 1920)]
)
def test_a_grey_picture_of_any_size_holds_no_face(finder: MediaPipeFaceFinder, size: tuple[int, int]) -> None:
    assert finder.find(np.full((*size, 3), 128, np.uint8)) == []


def test_a_face_in_an_8k_picture_is_found_in_its_pixels(finder: MediaPipeFaceFinder, portrait: Image) -> None:
    image = cv2.resize(portrait, (4320, 4320), interpolation=cv2.INTER_LINEAR)
    image = cv2.copyMakeBorder(image, 0, 0, 3360, 0, cv2.BORDER_REPLICATE)
    scale = 4320 / 512
    (face,) = finder.find(np.asarray(image, np.uint8))
    expected = Box(*(round(v * scale) for v in (173, 67, 276, 170)))
    assert face.box.overlap(Box(expected.x0 + 3360, expected.y0, expected.x1 + 3360, expected.y1)) > 0.7
    assert face.box.x0 < face.key_points[2][0] < face.box.x1


@pytest.mark.parametrize(
    ("left", "top", "right", "bottom"),
    [(200, 0, 512, 512), (0, 90, 512, 512), (0, 0, 250, 512), (0, 0, 512, 150)],
)
def test_the_box_of_a_face_cut_by_an_edge_reaches_outside_the_picture(
    finder: MediaPipeFaceFinder, portrait: Image, left: int, top: int, right: int, bottom: int
) -> None:
    (face,) = finder.find(np.ascontiguousarray(portrait[top:bottom, left:right]))
    whole = PORTRAIT_BOX
    assert face.box.overlap(Box(whole.x0 - left, whole.y0 - top, whole.x1 - left, whole.y1 - top)) > 0.7


def test_a_face_of_100_px_in_a_720p_picture_is_found_at_once(
    finder: MediaPipeFaceFinder, portrait: Image
) -> None:
    for x, y in ((120, 100), (600, 310), (1080, 540)):
        box = square(x, y, 100)
        assert shows(finder.find(scene(portrait, 1280, 720, [box])), box)


def test_a_face_of_40_px_in_a_1080p_picture_is_found_within_ten_looks(portrait: Image) -> None:
    boxes = [square(x, y, 40) for x, y in ((100, 100), (940, 520), (1780, 960), (500, 800), (1400, 300))]
    found = 0
    for box in boxes:
        image = scene(portrait, 1920, 1080, [box])
        with closing(MediaPipeFaceFinder()) as finder, closing(MediaPipeFaceFinder(tiles=False)) as plain:
            looks = [shows(finder.find(image), box) for _ in range(10)]
            assert not shows(plain.find(image), box)
        found += any(looks)
    assert found == len(boxes)


def test_a_small_face_once_found_is_seen_again_at_most_looks(portrait: Image) -> None:
    box = square(940, 520, 48)
    image = scene(portrait, 1920, 1080, [box])
    with closing(MediaPipeFaceFinder()) as finder:
        looks = [shows(finder.find(image), box) for _ in range(24)]
    seen = looks[looks.index(True) :]
    assert sum(seen) >= 0.6 * len(seen)


def test_twenty_faces_at_once_are_found_each_once(portrait: Image) -> None:
    boxes = [square(150 + 384 * column, 93 + 270 * row, 84) for column in range(5) for row in range(4)]
    image = scene(portrait, 1920, 1080, boxes)
    seen: set[Box] = set()
    with closing(MediaPipeFaceFinder()) as finder:
        for _ in range(10):
            found = finder.find(image)
            assert len(found) <= len(boxes)
            assert all(sum(face.box.overlap(box) > 0.4 for face in found) <= 1 for box in boxes)
            seen |= {box for box in boxes if shows(found, box)}
            assert [f.confidence for f in found] == sorted((f.confidence for f in found), reverse=True)
    assert len(seen) == len(boxes)


@pytest.mark.parametrize("clip", ["book", "hungry", "sister"])
def test_a_person_before_a_camera_is_one_face_at_every_look(
    finder: MediaPipeFaceFinder, research_data: Path, clip: str
) -> None:
    with av.open(str(research_data / "clips" / f"{clip}.mkv")) as container:
        frames = [frame.to_ndarray(format="rgb24").astype(np.uint8) for frame in container.decode(video=0)][
            ::3
        ]
    counts = [len(finder.find(frame)) for frame in frames]
    assert len(counts) > 10
    assert set(counts) == {1}


def test_pictures_of_changing_size_and_read_only_ones_can_follow_each_other(
    finder: MediaPipeFaceFinder, portrait: Image
) -> None:
    frozen = portrait.copy()
    frozen.flags.writeable = False
    for image in (frozen, portrait[::2, ::2], portrait[40:240, 100:340], frozen):
        assert len(finder.find(image)) == 1


def test_what_is_no_rgb_picture_is_refused(finder: MediaPipeFaceFinder) -> None:
    for wrong in (np.zeros((9, 9), np.uint8), np.zeros((9, 9, 4), np.uint8), np.zeros((0, 9, 3), np.uint8)):
        with pytest.raises(ValueError, match=r"must be \(height, width, 3\) uint8"):
            finder.find(wrong)
    with pytest.raises(ValueError, match="float64"):
        finder.find(np.zeros((9, 9, 3)))  # type: ignore[arg-type]


def test_closing_twice_is_fine_and_a_closed_finder_says_so(portrait: Image) -> None:
    finder = MediaPipeFaceFinder()
    finder.close()
    finder.close()
    with pytest.raises(ValueError, match="closed"):
        finder.find(portrait)


def test_an_unknown_face_model_or_confidence_is_refused_with_what_is_known() -> None:
    with pytest.raises(UsageError, match="full-range-sparse or short-range"):
        MediaPipeFaceFinder("haar")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="0 to 1"):
        MediaPipeFaceFinder(min_confidence=1.5)


def test_opening_a_finder_writes_nothing_to_the_terminal() -> None:
    code = (
        "from stream_detector.faces import MediaPipeFaceFinder\n"
        "import numpy as np\n"
        "finder = MediaPipeFaceFinder()\n"
        "finder.find(np.zeros((720, 1280, 3), np.uint8))\n"
        "finder.close()\n"
    )
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, timeout=120
    )
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")


def test_a_program_without_stderr_can_open_a_finder() -> None:
    code = (
        "import os, sys\n"
        "os.close(2)\n"
        "sys.stderr = None\n"
        "from stream_detector.faces import MediaPipeFaceFinder\n"
        "MediaPipeFaceFinder().close()\n"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=120).returncode == 0


def test_what_others_write_while_a_finder_opens_still_arrives(capfd: pytest.CaptureFixture[str]) -> None:
    with _without_chatter():
        os.write(2, b"the disk is full\nINFO: Created TensorFlow Lite XNNPACK delegate for CPU.\n")
    os.write(2, b"and so on\n")
    assert capfd.readouterr().err == "the disk is full\nand so on\n"
