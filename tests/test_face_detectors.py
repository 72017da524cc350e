"""One detector serves many streams, and one that never answers holds nobody up."""

import threading
from collections.abc import Callable, Iterator
from contextlib import closing

import cv2
import numpy as np
import pytest

from stream_detector import assets, face_detectors
from stream_detector.face_detectors import FaceDetectors
from stream_detector.faces import MediaPipeFaceFinder, shared_detectors
from stream_detector.handoff import Closed
from stream_detector.records import FoundFace, Image

PATIENCE_S = 30.0
"""Longer than anything here takes: only a hang reaches it."""


def pictures(seed: int, size: tuple[int, int], count: int) -> list[Image]:
    """The portrait, wandering through pictures of (width, height) px."""
    pixels = cv2.imread(str(assets.portrait()))
    assert pixels is not None
    portrait = cv2.resize(np.ascontiguousarray(pixels[..., ::-1]), (280, 280))
    random = np.random.default_rng(seed)
    made = []
    for _ in range(count):
        image = np.full((size[1], size[0], 3), 90, np.uint8)
        x, y = (int(random.integers(0, side - 280)) for side in size)
        image[y : y + 280, x : x + 280] = portrait
        made.append(image)
    return made


def test_streams_that_share_one_detector_each_find_what_they_find_alone() -> None:
    streams = [pictures(1, (640, 360), 12), pictures(2, (1280, 720), 12), pictures(3, (300, 420), 12)]
    alone = []
    for images in streams:
        with closing(MediaPipeFaceFinder()) as finder:
            alone.append([finder.find(image) for image in images])
    found: dict[int, list[list[FoundFace]]] = {}
    with closing(shared_detectors("full-range-sparse", most=1)) as detectors:

        def look(number: int) -> None:
            with closing(MediaPipeFaceFinder(detectors=detectors)) as finder:
                found[number] = [finder.find(image) for image in streams[number]]

        run_together([lambda number=number: look(number) for number in range(3)])  # type: ignore[misc]
        assert detectors.count == 1
    assert all(sum(map(bool, looks)) > len(looks) / 2 for looks in alone)
    assert [found[number] for number in range(3)] == alone


def test_no_more_detectors_are_opened_than_looks_go_on_at_once() -> None:
    images = pictures(4, (640, 360), 5)
    with closing(shared_detectors("full-range-sparse", most=2)) as detectors:
        finders = [MediaPipeFaceFinder(detectors=detectors) for _ in range(6)]
        assert detectors.count == 1
        run_together([lambda finder=finder: [finder.find(i) for i in images] for finder in finders])  # type: ignore[misc]
        assert 1 <= detectors.count <= 2
    assert detectors.count == 0


@pytest.fixture
def stuck(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[threading.Event, threading.Event]]:
    """Makes a look at a picture of 7x7 px last until the second event; the first says that it began."""
    began, go_on = threading.Event(), threading.Event()
    detect = face_detectors._Detector.detect

    def slow(detector: face_detectors._Detector, image: Image) -> list[FoundFace]:
        if image.shape[:2] == (7, 7):
            began.set()
            assert go_on.wait(PATIENCE_S)
        return detect(detector, image)

    monkeypatch.setattr(face_detectors._Detector, "detect", slow)
    yield began, go_on
    go_on.set()


def test_a_look_that_never_ends_does_not_hold_up_the_other_streams(
    stuck: tuple[threading.Event, threading.Event],
) -> None:
    began, go_on = stuck
    with closing(shared_detectors("full-range-sparse", most=1)) as detectors:
        hanging = threading.Thread(target=detectors.detect, args=(np.zeros((7, 7, 3), np.uint8),))
        hanging.start()
        assert began.wait(PATIENCE_S)
        assert len(detectors.detect(pictures(5, (640, 360), 1)[0])) == 1
        assert detectors.count == 2
        go_on.set()
        hanging.join(PATIENCE_S)


def test_a_detector_in_use_when_all_are_closed_is_freed_after_its_look(
    stuck: tuple[threading.Event, threading.Event],
) -> None:
    began, go_on = stuck
    detectors = shared_detectors("full-range-sparse", most=1)
    hanging = threading.Thread(target=detectors.detect, args=(np.zeros((7, 7, 3), np.uint8),))
    hanging.start()
    assert began.wait(PATIENCE_S)
    detectors.close()
    assert detectors.count == 1
    with pytest.raises(Closed):
        detectors.detect(np.zeros((9, 9, 3), np.uint8))
    go_on.set()
    hanging.join(PATIENCE_S)
    assert detectors.count == 0


def test_detectors_of_another_kind_are_refused() -> None:
    with pytest.raises(ValueError, match="not for short-range"):
        MediaPipeFaceFinder("short-range", detectors=FaceDetectors(min_confidence=0.3))


def run_together(works: list[Callable[[], object]]) -> None:
    threads = [threading.Thread(target=work) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_S)
        assert not thread.is_alive()
