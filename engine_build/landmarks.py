"""Face meshes of stored crops, by MediaPipe's FaceLandmarker."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from stream_detector.errors import MissingDependency, ModelError
from stream_detector.optional import load_failure, require
from stream_detector.records import Image

POINTS = 478
_FACES = 4
"""A wide crop may hold neighbours; of so many faces the one in the middle is taken."""


class FaceMesh:
    """Finds the 478 points of a face. Opened, used and closed by one thread."""

    def __init__(self, model: Path) -> None:
        """Open the landmarker.

        Args:
            model: MediaPipe's face_landmarker.task; it is not part of this program.

        Raises:
            MissingDependency: MediaPipe is not installed, or does not load.
            ModelError: the file is missing, or no face landmarker.
        """
        if not model.is_file():
            raise ModelError(
                f"cannot find {model}: expected MediaPipe's face_landmarker.task; check --landmarker"
            )
        self._mediapipe: Any = require("mediapipe", why="finding landmarks")
        tasks = self._mediapipe.tasks
        options = tasks.vision.FaceLandmarkerOptions(
            base_options=tasks.BaseOptions(model_asset_path=str(model)),
            running_mode=tasks.vision.RunningMode.IMAGE,
            num_faces=_FACES,
        )
        try:
            self._landmarker: Any = tasks.vision.FaceLandmarker.create_from_options(options)
        except OSError as error:  # libmediapipe is loaded here, not at import
            raise MissingDependency(load_failure("mediapipe", "finding landmarks", str(error))) from error
        except (RuntimeError, ValueError) as error:
            raise ModelError(
                f"MediaPipe cannot open {model} as a face landmarker: {error}; expected face_landmarker.task"
            ) from error

    def find(self, crop: Image) -> npt.NDArray[np.float32]:
        """The mesh of the face nearest the middle.

        Args:
            crop: (side, side, 3) uint8 RGB. Not kept.

        Returns:
            (478, 2) x, y in pixels of the crop; NaN where no face was found.
        """
        picture = self._mediapipe.Image(
            image_format=self._mediapipe.ImageFormat.SRGB, data=np.ascontiguousarray(crop)
        )
        height, width = crop.shape[:2]
        meshes = [
            np.array([(p.x * width, p.y * height) for p in face], np.float32)
            for face in self._landmarker.detect(picture).face_landmarks
        ]
        if not meshes:
            return np.full((POINTS, 2), np.nan, np.float32)
        middle = np.array([width, height]) / 2
        return min(meshes, key=lambda mesh: float(np.linalg.norm(mesh.mean(0) - middle)))

    def close(self) -> None:
        """Free native resources. Calling it twice is fine."""
        if self._landmarker is not None:
            self._landmarker.close()
            self._landmarker = None
