"""Stored face crops of real people, cut again as the detector cuts them."""

import csv
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from stream_detector.crops import cut_face
from stream_detector.errors import ModelError
from stream_detector.records import Box, Image

STORED_MARGIN = 1.8
"""Side of a stored crop / larger side of the face box it was cut around."""


@dataclass(frozen=True, slots=True, eq=False)
class StoredFace:
    """One picture of the folder."""

    path: Path
    split: str
    """"train" or "val"; one person is never in both."""
    clip: str
    """Which picture or video it is from: faces of one clip belong together."""
    landmarks: npt.NDArray[np.float32] = field(repr=False)
    """(478, 2) x, y in pixels of the stored crop: MediaPipe's face mesh."""

    def picture(self) -> Image:
        """The stored crop, (side, side, 3) uint8 RGB.

        Raises:
            ModelError: it cannot be read, or is not square.
        """
        found = cv2.imread(str(self.path), cv2.IMREAD_COLOR)
        if found is None or found.shape[0] != found.shape[1]:
            what = "no picture" if found is None else f"{found.shape[1]}x{found.shape[0]} pixels"
            raise ModelError(
                f"cannot use {self.path}: expected a square picture, found {what}; restore the file"
            )
        return np.ascontiguousarray(found[:, :, ::-1]).astype(np.uint8, copy=False)


def read_faces(folder: Path) -> list[StoredFace]:
    """The faces `folder` lists in its index.csv (path, split, clip) with the points of landmarks.npz.

    Raises:
        ModelError: the index or the points are missing, or do not fit each other.
    """
    index, points = folder / "index.csv", folder / "landmarks.npz"
    for path in (index, points):
        if not path.is_file():
            raise ModelError(
                f"cannot find {path}: expected a folder of faces with index.csv and landmarks.npz; check "
                "--faces"
            )
    with np.load(points) as stored:
        landmarks = dict(zip((str(p) for p in stored["path"]), stored["points_px"], strict=True))
    faces = []
    with index.open(encoding="utf-8", newline="") as lines:
        for row in csv.DictReader(lines):
            if row["path"] not in landmarks:
                raise ModelError(f"{points} has no points for {row['path']}; make it again for this index")
            faces.append(
                StoredFace(folder.parent / row["path"], row["split"], row["clip"], landmarks[row["path"]])
            )
    return faces


def face_box(side_px: int) -> Box:
    """The face box in the middle of a stored crop of this side."""
    near = round(side_px / 2 * (1 - 1 / STORED_MARGIN))
    return Box(near, near, side_px - near, side_px - near)


def cut_stored(picture: Image, *, margin: float, size_px: int) -> Image:
    """A stored crop as the model sees it: (size_px, size_px, 3) uint8 RGB."""
    return cut_face(picture, face_box(picture.shape[0]), margin=margin, size_px=size_px)
