"""Finds faces in the pictures of one stream."""

import numpy as np

from stream_detector.errors import UsageError
from stream_detector.face_detectors import FaceDetectors, FaceModel
from stream_detector.records import Box, FoundFace, Image
from stream_detector.tiles import HINT_CONFIDENCE, CloserLook


class MediaPipeFaceFinder:
    """Finds faces with MediaPipe's BlazeFace (Bazarevsky et al., 2019, arXiv:1907.05047).

    Opened, used and closed by one thread. It must be closed, see `FaceDetectors`.
    """

    def __init__(
        self,
        face_model: FaceModel = "full-range-sparse",
        *,
        min_confidence: float = 0.5,
        tiles: bool = True,
        detectors: FaceDetectors | None = None,
    ) -> None:
        """Open the detector; takes about a second the first time.

        Args:
            face_model: which network draws the boxes; box sizes differ between the two.
            min_confidence: below it a detection is not reported, in [0, 1].
            tiles: also look closer at parts of large pictures, so that small faces are found too.
            detectors: used, not closed; from `shared_detectors`. None: one of its own.

        Raises:
            UsageError: an unknown face model, or a confidence outside [0, 1].
            MissingDependency: MediaPipe is not installed, or does not load.
            BackendError: MediaPipe refuses its model.
            ValueError: `detectors` are of another face model or confidence.
            Closed: `detectors` were closed.
        """
        if not 0.0 <= min_confidence <= 1.0:
            raise UsageError(
                f"a face confidence of {min_confidence} makes no sense: expected 0 to 1; choose another"
            )
        floor = min(min_confidence, HINT_CONFIDENCE) if tiles else min_confidence
        self._own = FaceDetectors(face_model, min_confidence=floor) if detectors is None else None
        self._detectors = detectors or self._own
        assert self._detectors is not None
        if (self._detectors.face_model, self._detectors.min_confidence) != (face_model, floor):
            raise ValueError(f"these detectors are not for {face_model} from a confidence of {floor} on")
        self.face_model: str = face_model
        self._look = CloserLook(min_confidence) if tiles else None
        self._detectors.warm()

    def find(self, image: Image) -> list[FoundFace]:
        """The faces in `image`, most confident first.

        Runs the network once on the whole picture and, where the picture is large, at most twice more
        on parts of it: see `tiles.CloserLook`.

        Args:
            image: (height, width, 3) uint8 RGB, any size from 1x1 on. Not kept.

        Returns:
            Boxes may reach outside the picture; each face has 6 key points in pixels of `image`.

        Raises:
            ValueError: another shape or dtype, or the finder is closed.
            MissingDependency, BackendError, Closed: as when it was opened; another detector is opened when
                others use all there are.
        """
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
            raise ValueError(f"image must be (height, width, 3) uint8, got {image.shape} {image.dtype}")
        detectors = self._detectors
        if detectors is None:
            raise ValueError("this face finder is closed")
        if self._look is None:
            faces = detectors.detect(image)
        else:
            height_px, width_px = image.shape[:2]
            faces = self._look.at(width_px, height_px, lambda part: _detect_in(detectors, image, part))
        return sorted(faces, key=lambda face: -face.confidence)

    def close(self) -> None:
        """Free native resources. Calling it twice is fine."""
        if self._own is not None:
            self._own.close()
        self._detectors = self._own = None


def shared_detectors(face_model: FaceModel, *, most: int) -> FaceDetectors:
    """For all the finders of a run that look with tiles, at the usual confidence.

    Args:
        most: how many looks can go on at the same time.
    """
    return FaceDetectors(face_model, min_confidence=HINT_CONFIDENCE, most=most)


def _detect_in(detectors: FaceDetectors, image: Image, part: Box) -> list[FoundFace]:
    found = detectors.detect(image[part.y0 : part.y1, part.x0 : part.x1])
    return [_moved(face, part.x0, part.y0) for face in found]


def _moved(face: FoundFace, dx: int, dy: int) -> FoundFace:
    """The same face, its part of the picture put back at (dx, dy)."""
    box = face.box
    return FoundFace(
        box=Box(box.x0 + dx, box.y0 + dy, box.x1 + dx, box.y1 + dy),
        confidence=face.confidence,
        key_points=tuple((x + dx, y + dy) for x, y in face.key_points),
    )
