"""A decoded picture that becomes upright RGB only when somebody looks."""

import math
import struct
import threading
from typing import cast

import av
import cv2
import numpy as np
from av.sidedata.sidedata import SideData, SideDataContainer
from av.video.reformatter import VideoReformatter

from stream_detector.errors import SourceError
from stream_detector.records import Image, Reason

_KNOWN_MATRICES = frozenset({0, 1, 4, 5, 6, 7, 9})
"""AVColorSpace values that swscale converts; every other one makes it refuse the frame."""
_BT2020_CONSTANT_LUMINANCE, _BT2020 = 10, 9
_UNSPECIFIED_MATRIX, _UNSPECIFIED_RANGE = 2, 0
_KNOWN_RANGES = frozenset({1, 2})
_FULL_RANGE = 2
_TURNS = {1: cv2.ROTATE_90_CLOCKWISE, 2: cv2.ROTATE_180, 3: cv2.ROTATE_90_COUNTERCLOCKWISE}


class RgbConverter:
    """Converts decoded frames to full-range RGB. Any thread may use it; one at a time gets in.

    The stream's own matrix (BT.601, BT.709, BT.2020) and range count. Where it states none, YUV is
    taken for limited range and BT.601, as FFmpeg and OpenCV do, so that the model sees the colours
    that frames extracted with those tools have.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._reformatter = VideoReformatter()

    def convert(self, frame: av.VideoFrame) -> Image:
        """`frame` as (height, width, 3) uint8 RGB, contiguous, not rotated.

        Raises:
            SourceError: FFmpeg cannot convert this pixel format.
        """
        with self._lock:
            if frame.colorspace == _BT2020_CONSTANT_LUMINANCE:
                frame.colorspace = _BT2020
            elif frame.colorspace not in _KNOWN_MATRICES:
                frame.colorspace = _UNSPECIFIED_MATRIX
            if frame.color_range not in _KNOWN_RANGES:
                frame.color_range = _UNSPECIFIED_RANGE
            try:
                # One thread: swscale's own threads cost more than the 0.3 ms a 720p picture takes.
                converted = self._reformatter.reformat(
                    frame, format="rgb24", dst_color_range=_FULL_RANGE, threads=1
                )
            except av.FFmpegError as error:
                raise SourceError(
                    f"cannot convert a {frame.width}x{frame.height} picture from {frame.format.name} to RGB: "
                    f"{error.strerror}; record it in a common format such as yuv420p",
                    Reason.UNSUPPORTED,
                ) from error
        return np.ascontiguousarray(converted.to_ndarray(), dtype=np.uint8)


class DecodedPicture:
    """A `records.Picture` over a frame of FFmpeg. A frame nobody looks at is never converted."""

    def __init__(self, frame: av.VideoFrame, converter: RgbConverter) -> None:
        """Takes over `frame`: nobody else may use it from now on."""
        self._mirrored, self._quarter_turns = _orientation(frame)
        self.rotation_deg = 90 * self._quarter_turns
        """Clockwise turn that makes the decoded picture upright: 0, 90, 180 or 270."""
        sideways = self._quarter_turns % 2 == 1
        self.width_px = frame.height if sideways else frame.width
        self.height_px = frame.width if sideways else frame.height
        self._converter = converter
        self._lock = threading.Lock()
        self._frame: av.VideoFrame | None = frame
        self._rgb: Image | None = None

    def rgb(self) -> Image:
        """The upright picture, (height_px, width_px, 3) uint8 RGB, not writeable.

        Any thread may call it; the second call costs nothing.

        Raises:
            SourceError: FFmpeg cannot convert this pixel format.
        """
        with self._lock:
            if self._rgb is None:
                assert self._frame is not None
                self._rgb = self._upright(self._converter.convert(self._frame))
                self._rgb.flags.writeable = False
                self._frame = None  # gives the decoder its buffer back
            return self._rgb

    def _upright(self, image: Image) -> Image:
        if self._mirrored:
            image = np.asarray(cv2.flip(image, 1), dtype=np.uint8)
        if self._quarter_turns:
            image = np.asarray(cv2.rotate(image, _TURNS[self._quarter_turns]), dtype=np.uint8)
        return image


def _orientation(frame: av.VideoFrame) -> tuple[bool, int]:
    """How to make `frame` upright: mirror it left to right first, then turn it by n quarters clockwise.

    The display matrix maps (x, y) to (a x + c y, b x + d y), y pointing down; together the two
    express all eight EXIF orientations. A slanted one goes to the nearest quarter.
    """
    # Not frame.side_data: that makes frame and container hold each other, and hundreds of pictures then
    # wait in memory for Python's cycle collector.
    side_data = SideDataContainer(frame)  # type: ignore[call-arg]  # the stub lacks its argument
    matrix = cast(SideData | None, side_data.get("DISPLAYMATRIX"))
    if matrix is None:
        return False, 0
    a, b, _, c, d = struct.unpack_from("=5i", bytes(matrix))
    mirrored = a * d - b * c < 0
    if mirrored:
        a, b = -a, -b
    return mirrored, round(math.atan2(b, a) / (math.pi / 2)) % 4
