"""MediaPipe's face detectors, opened once and lent to whoever looks."""

import math
import os
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from statistics import fmean
from typing import Any, Literal, get_args

import cv2
import numpy as np

from stream_detector import assets
from stream_detector.errors import BackendError, MissingDependency, UsageError
from stream_detector.handoff import Closed
from stream_detector.optional import load_failure, require
from stream_detector.records import Box, FoundFace, Image

FaceModel = Literal["full-range-sparse", "short-range"]
"""Full range finds faces down to a tenth of the picture's width; short range only near ones."""

_LARGEST_INPUT_PX = 1920
"""MediaPipe copies what it is given and samples 192x192 from it: beyond this side the copy costs
more than the network, and shrinking first saves two thirds of it at 8K."""
_SHRUNK_INPUT_PX = 1280
_CENTRE_BELOW_POINTS = {"full-range-sparse": 0.03, "short-range": 0.08}
"""How far the centre of a box lies below the mean of its key points, in box heights: measured on 96
portraits, give or take .02."""
_CHATTER = (
    "INFO: Created TensorFlow Lite XNNPACK delegate",
    "WARNING: All log messages before absl::InitializeLog()",
    "inference_feedback_manager.cc",
)
"""What MediaPipe writes to stderr whenever a detector opens, and no setting turns off."""
_PATIENCE_S = 1.0
"""So long a look waits for a detector that others use before one more is opened: a look takes
milliseconds, and one that never ends must not hold up the other streams."""
_stderr_lock = threading.Lock()


class FaceDetectors:
    """The detectors that the streams of a run share. Any thread may look; each look has one to itself.

    A detector is 15 MB and several threads, and remembers nothing from one picture to the next, so no
    run needs more of them than looks can go on at the same time. They must be closed: one that is left
    to the garbage collector closes itself inside whatever call is going on, which can stop for ever on
    MediaPipe's own locks.
    """

    def __init__(
        self, face_model: FaceModel = "full-range-sparse", *, min_confidence: float, most: int = 1
    ) -> None:
        """Opens none yet.

        Args:
            face_model: which network draws the boxes; box sizes differ between the two.
            min_confidence: below it a detection is not reported, in [0, 1].
            most: how many to open at most, unless those that are open answer nothing; >= 1.

        Raises:
            UsageError: an unknown face model.
        """
        if face_model not in get_args(FaceModel):
            raise UsageError(
                f"unknown face model {face_model!r}: expected {' or '.join(get_args(FaceModel))}; choose one"
            )
        self.face_model: FaceModel = face_model
        self.min_confidence = min_confidence
        self._most = most
        self._changed = threading.Condition()
        """Guards the four below."""
        self._free: list[_Detector] = []
        self._count = 0
        self._opening = 0
        self._closed = False

    @property
    def count(self) -> int:
        """How many are open, or being opened."""
        return self._count

    def warm(self) -> None:
        """Open the first, where nobody has begun to; takes about a second the first time.

        Raises:
            MissingDependency: MediaPipe is not installed, or does not load.
            BackendError: MediaPipe refuses its model.
            Closed: they were closed.
        """
        with self._changed:
            if self._count:
                return
        self._give_back(self._take())

    def detect(self, image: Image) -> list[FoundFace]:
        """One run of the network.

        Args:
            image: (height, width, 3) uint8 RGB, any size from 1x1 on. Not kept.

        Returns:
            In no order. Boxes may reach outside the picture; each face has 6 key points in pixels of
            `image`.

        Raises:
            MissingDependency, BackendError, Closed: as `warm`.
        """
        detector = self._take()
        try:
            return detector.detect(image)
        finally:
            self._give_back(detector)

    def close(self) -> None:
        """Free native resources; what is in use is freed when its look ends. Calling it twice is fine."""
        with self._changed:
            self._closed = True
            free, self._free = self._free, []
            self._count -= len(free)
            self._changed.notify_all()
        for detector in free:
            detector.close()

    def _take(self) -> "_Detector":
        with self._changed:
            while not self._closed and not self._free and self._count >= self._most:
                heard = self._changed.wait(_PATIENCE_S)
                if not heard and not self._opening:
                    break
            if self._closed:
                raise Closed
            if self._free:
                return self._free.pop()  # the newest: what it works with is still in the cache
            self._count += 1
            self._opening += 1
        opened = None
        try:
            opened = _Detector(self.face_model, self.min_confidence)
            return opened
        finally:
            with self._changed:
                self._opening -= 1
                self._count -= opened is None
                self._changed.notify_all()

    def _give_back(self, detector: "_Detector") -> None:
        with self._changed:
            if not self._closed:
                self._free.append(detector)
                self._changed.notify()
                return
            self._count -= 1
        detector.close()


class _Detector:
    """One of MediaPipe's. Used by one thread at a time."""

    def __init__(self, face_model: FaceModel, min_confidence: float) -> None:
        self._face_model = face_model
        self._mediapipe: Any = require("mediapipe", why="finding faces")
        self._clock_ms = 0
        model = (
            assets.full_range_face_model()
            if face_model == "full-range-sparse"
            else assets.short_range_face_model()
        )
        with _without_chatter():
            self._native: Any = self._open(model, min_confidence)
            try:
                # Some of the chatter comes with the first picture, from a thread of MediaPipe's own.
                self.detect(np.zeros((64, 64, 3), np.uint8))
            except BaseException:
                self.close()
                raise

    def close(self) -> None:
        self._native.close()

    def detect(self, image: Image) -> list[FoundFace]:
        """One run of the network; boxes in pixels of `image`."""
        height, width = image.shape[:2]
        scale = 1.0
        if max(height, width) > _LARGEST_INPUT_PX:
            scale = max(height, width) / _SHRUNK_INPUT_PX
            size = (max(1, round(width / scale)), max(1, round(height / scale)))
            image = cv2.resize(image, size, interpolation=cv2.INTER_LINEAR)  # type: ignore[assignment]
        self._clock_ms += 1  # VIDEO mode refuses a time that does not grow; media time may stand still
        picture = self._mediapipe.Image(
            image_format=self._mediapipe.ImageFormat.SRGB, data=np.ascontiguousarray(image)
        )
        result = self._native.detect_for_video(picture, self._clock_ms)
        below = _CENTRE_BELOW_POINTS[self._face_model]
        return [_found(detection, width, height, scale, below) for detection in result.detections]

    def _open(self, model: Path, min_confidence: float) -> Any:
        tasks = self._mediapipe.tasks
        options = tasks.vision.FaceDetectorOptions(
            base_options=tasks.BaseOptions(model_asset_path=str(model)),
            running_mode=tasks.vision.RunningMode.VIDEO,
            min_detection_confidence=min_confidence,
        )
        try:
            return tasks.vision.FaceDetector.create_from_options(options)
        except OSError as error:  # libmediapipe is loaded here, not at import
            raise MissingDependency(load_failure("mediapipe", "finding faces", str(error))) from error
        except (RuntimeError, ValueError) as error:
            raise BackendError(
                f"MediaPipe cannot open its face model {model.name}: {error}; "
                f"install the version this program is made for: pip install 'mediapipe==0.10.33'"
            ) from error


def _found(detection: Any, width: int, height: int, scale: float, below: float) -> FoundFace:
    """MediaPipe's record in ours, in pixels of the picture before it was shrunk by `scale`.

    MediaPipe pushes a box that begins outside the picture back to its edge, whole, by up to half a face.
    The key points stay where they are, and the box's centre lies within 2 % of its side of where their
    mean tells, so such a box is put back.

    Args:
        below: how far the centre of a box lies below the mean of the key points, in box heights.
    """
    box = detection.bounding_box
    wide, high = max(1, round(box.width * scale)), max(1, round(box.height * scale))
    points = tuple((float(p.x) * width, float(p.y) * height) for p in detection.keypoints or ())
    x0, y0 = math.floor(box.origin_x * scale), math.floor(box.origin_y * scale)
    if points and x0 <= 0:
        x0 = min(0, round(fmean(x for x, _ in points) - wide / 2))
    if points and y0 <= 0:
        y0 = min(0, round(fmean(y for _, y in points) + below * high - high / 2))
    confidence = min(1.0, max(0.0, float(detection.categories[0].score)))
    return FoundFace(Box(x0, y0, x0 + wide, y0 + high), confidence, points)


@contextmanager
def _without_chatter() -> Iterator[None]:
    """Hold back what native code writes to stderr, and pass on all of it but the known chatter.

    Redirects file descriptor 2 of the whole process for as long as the block takes, since native code
    writes past `sys.stderr`. What other threads write meanwhile arrives late, but arrives.
    """
    with _stderr_lock:
        try:
            terminal = os.dup(2)
        except OSError:  # no stderr at all: a windowed program
            yield
            return
        with tempfile.TemporaryFile() as held:
            if sys.stderr is not None:
                sys.stderr.flush()
            os.dup2(held.fileno(), 2)
            try:
                yield
            finally:
                os.dup2(terminal, 2)
                held.seek(0)
                kept = [line for line in held if not any(known.encode() in line for known in _CHATTER)]
                if kept:
                    with suppress(OSError):  # nobody may be left to read it
                        os.write(terminal, b"".join(kept))
                os.close(terminal)
