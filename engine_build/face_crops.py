"""Stored face crops, read back and cut again as the detector cuts them."""

import csv
from dataclasses import dataclass, field
from pathlib import Path
from zipfile import BadZipFile

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
    """"train", "val" or "test"; one person is never in two of them."""
    clip: str
    """Which picture or video it is from: faces of one clip belong together."""
    points_px: npt.NDArray[np.float32] | None = field(repr=False)
    """(478, 2) x, y in pixels of the stored crop: MediaPipe's face mesh. None where none was stored."""
    label: int = 0
    """0 = real, 1 = fake."""
    method: str = ""
    """Where a real face is from or how a fake was made, such as "youtube" or "Deepfakes"."""
    compression: str = ""
    """ "raw", "c23" or "c40" in FaceForensics++; empty where nothing is stated."""
    identity: str = ""
    """Who is in the clip; several people are joined by a semicolon."""

    @property
    def landmarks(self) -> npt.NDArray[np.float32]:
        """The face mesh, (478, 2).

        Raises:
            ModelError: none was stored for this face.
        """
        if self.points_px is None:
            raise ModelError(
                f"{self.path} has no landmarks: they were not asked for, or no face mesh was found; make the "
                "crops with --landmarker, and leave out what has none"
            )
        return self.points_px

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
    """The faces `folder` lists in its index.csv, with the points of landmarks.npz where that exists.

    Columns: path, split, clip; and where known label, method, compression, identity. A face without a
    label is real.

    Raises:
        ModelError: the index is missing or lacks a column, or the points do not fit it.
    """
    index, points = folder / "index.csv", folder / "landmarks.npz"
    if not index.is_file():
        raise ModelError(f"cannot find {index}: expected a folder of faces with index.csv; check --faces")
    landmarks = _read_points(points) if points.is_file() else None
    with index.open(encoding="utf-8", newline="") as lines:
        rows = csv.DictReader(lines)
        missing = {"path", "split", "clip"} - set(rows.fieldnames or ())
        if missing:
            raise ModelError(f"{index} has no column {' or '.join(sorted(missing))}; make the crops again")
        return [_face(folder, row, landmarks) for row in rows]


def held_out_faces(folder: Path) -> list[StoredFace]:
    """The real faces of the split val that can be blended.

    Raises:
        ModelError: there is none, or as `read_faces`.
    """
    found = [f for f in read_faces(folder) if f.split == "val" and f.label == 0 and f.points_px is not None]
    if not found:
        raise ModelError(
            f"{folder} lists no real face of the split val with landmarks: expected some; make the crops "
            "with --landmarker"
        )
    return found


def _read_points(path: Path) -> dict[str, npt.NDArray[np.float32]]:
    """Path in the index -> (478, 2) points; NaN where no face mesh was found.

    Raises:
        ModelError: it is no file of points.
    """
    try:
        with np.load(path) as stored:
            return dict(zip((str(p) for p in stored["path"]), stored["points_px"], strict=True))
    except (OSError, ValueError, KeyError, BadZipFile) as error:
        raise ModelError(f"cannot read the landmarks in {path}: {error}; make the crops again") from error


def _face(
    folder: Path, row: dict[str, str], landmarks: dict[str, npt.NDArray[np.float32]] | None
) -> StoredFace:
    """One line of the index."""
    points = None
    if landmarks is not None:
        if row["path"] not in landmarks:
            raise ModelError(
                f"{folder / 'landmarks.npz'} has no points for {row['path']}; make it again for this index"
            )
        stored = landmarks[row["path"]]
        points = None if np.isnan(stored).any() else stored
    label = row.get("label") or "0"
    if label not in ("0", "1"):
        raise ModelError(
            f"{folder / 'index.csv'} labels {row['path']} {label!r}: expected 0 (real) or 1 (fake); "
            "correct it"
        )
    return StoredFace(
        path=folder.parent / row["path"],
        split=row["split"],
        clip=row["clip"],
        points_px=points,
        label=int(label),
        method=row.get("method") or "",
        compression=row.get("compression") or "",
        identity=row.get("identity") or "",
    )


def face_box(side_px: int) -> Box:
    """The face box in the middle of a stored crop of this side."""
    near = round(side_px / 2 * (1 - 1 / STORED_MARGIN))
    return Box(near, near, side_px - near, side_px - near)


def cut_stored(picture: Image, *, margin: float, size_px: int) -> Image:
    """A stored crop as the model sees it: (size_px, size_px, 3) uint8 RGB."""
    return cut_face(picture, face_box(picture.shape[0]), margin=margin, size_px=size_px)
