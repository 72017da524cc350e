"""Smooth random warps: of masks, of faces."""

from dataclasses import dataclass
from typing import Any, Self

import cv2
import numpy as np
import numpy.typing as npt

_Plane = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Warp:
    """Where each pixel of a warped picture comes from."""

    dx: _Plane
    """(side, side): so many pixels to the right of its place."""
    dy: _Plane
    """(side, side): so many pixels below it."""

    @classmethod
    def drawn(cls, side: int, rng: np.random.Generator, *, cells: int, reach: float) -> Self:
        """A random one.

        Args:
            side: of the pictures, in pixels.
            rng: decides.
            cells: so many shifts along each side are drawn, and what lies between follows smoothly.
            reach: standard deviation of a shift, in sides of the picture.
        """
        dx, dy = (
            cv2.resize(
                rng.normal(0, reach * side, (cells, cells)).astype(np.float32),
                (side, side),
                interpolation=cv2.INTER_CUBIC,
            )
            for _ in range(2)
        )
        return cls(np.asarray(dx, np.float32), np.asarray(dy, np.float32))

    def applied(self, picture: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """(side, side) or (side, side, 3), uint8 or float32 -> the same; what comes from outside is 0."""
        return self._mapped(picture, cv2.BORDER_CONSTANT)

    def applied_mirroring(self, picture: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """The same, but what comes from outside is what a mirror at the rim shows."""
        return self._mapped(picture, cv2.BORDER_REFLECT_101)

    def _mapped(self, picture: npt.NDArray[Any], border: int) -> npt.NDArray[Any]:
        y, x = np.mgrid[0 : self.dx.shape[0], 0 : self.dx.shape[1]].astype(np.float32)
        mapped = cv2.remap(picture, x + self.dx, y + self.dy, cv2.INTER_LINEAR, borderMode=border)
        return np.asarray(mapped, picture.dtype)
