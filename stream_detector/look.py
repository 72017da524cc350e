"""One look at a stream: from a frame to crops, faces that cannot be scored, and events."""

import time
from collections.abc import Callable, Sequence

import numpy as np

from stream_detector.batching import Clock
from stream_detector.crops import cut_face
from stream_detector.errors import SourceError
from stream_detector.exchange import Notice
from stream_detector.model_spec import ModelSpec
from stream_detector.quality import judge, sharpness, turn
from stream_detector.records import (
    Box,
    EventKind,
    FaceCrop,
    FaceQuality,
    Frame,
    Image,
    Reason,
    Region,
    Sighting,
    State,
    StreamEvent,
    TrackedFace,
    UnscoredFace,
)
from stream_detector.scene_cuts import SceneCuts
from stream_detector.settings import FACE_LOST_AFTER_S, StreamSettings
from stream_detector.stages import FaceFinder
from stream_detector.tracks import Tracker, largest


class Look:
    """What one stream shows, look by look. Belongs to its find thread; decides by media time alone."""

    def __init__(
        self,
        stream: int,
        finder: FaceFinder,
        spec: ModelSpec,
        settings: StreamSettings,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Nothing was seen yet.

        Args:
            stream: its number in the run.
            finder: used, not closed.
            spec: of the model that will score: crop, margin, limits of quality.
            clock: for the stamps of the ledger.

        Raises:
            ModelError: the model was never measured with this face model.
        """
        self._stream = stream
        self._finder = finder
        self._margin = spec.margin(finder.face_model)
        self._input_px = spec.contract.input_px
        self._min_face_px = settings.min_face_px or spec.quality.min_face_px
        self._min_sharpness = spec.quality.min_sharpness
        self._max_faces = settings.max_faces
        self._score_hz = settings.score_hz
        self._region = settings.crop
        self._called = repr(settings.name) if settings.name else str(stream)
        self._now_s = clock
        self._clock = Clock(settings.find_hz)
        self._face_clocks: dict[int, Clock] = {}
        self._tracker = Tracker(FACE_LOST_AFTER_S)
        self._cuts = SceneCuts()
        self._pts_s: float | None = None
        self._segment = 0
        self._empty = False

    def due(self, frame: Frame) -> bool:
        """Whether to look at this frame at all."""
        return self._clock.due(frame.pts_s) or frame.segment != self._segment

    def at(self, frame: Frame) -> list[FaceCrop | Notice]:
        """What `frame` shows: crops to score, faces that cannot be scored, events; in order.

        Raises:
            SourceError: the region to look at does not lie inside the picture, or FFmpeg cannot convert it.
        """
        taken_at_s = self._now_s()
        items: list[FaceCrop | Notice] = []
        if self._pts_s is None:
            items.append(StreamEvent(self._stream, frame.pts_s, EventKind.STREAM_STARTED))
        self._pts_s = frame.pts_s
        image = self._looked_at(frame.picture.rgb())
        broken, self._segment = frame.segment != self._segment, frame.segment
        if self._cuts.is_cut(image) or broken:
            items.append(StreamEvent(self._stream, frame.pts_s, EventKind.SCENE_CUT))
            items += self._lost(self._tracker.cut())
        found = self._finder.find(image)
        found_at_s = self._now_s()
        update = self._tracker.update(frame.pts_s, found)
        items += self._lost(update.lost_ids)
        for face_id in update.new_ids:
            self._face_clocks[face_id] = Clock(self._score_hz)
            items.append(StreamEvent(self._stream, frame.pts_s, EventKind.FACE_FOUND, face_id))
        if not self._tracker.faces_in_view and not self._empty:
            items.append(StreamEvent(self._stream, frame.pts_s, EventKind.NO_FACE))
        self._empty = not self._tracker.faces_in_view
        for face in largest(update.faces, self._max_faces):
            if self._face_clocks[face.face_id].due(frame.pts_s):
                items.append(self._crop(frame, image, face, taken_at_s, found_at_s))
        return items

    def end(self, event: EventKind, detail: str = "", reason: Reason | None = None) -> list[Notice]:
        """The last notices of the stream."""
        return [
            *self._lost(self._tracker.cut()),
            StreamEvent(self._stream, self._pts_s, event, detail=detail, reason=reason),
        ]

    def _lost(self, face_ids: Sequence[int]) -> list[Notice]:
        for face_id in face_ids:
            del self._face_clocks[face_id]
        return [StreamEvent(self._stream, self._pts_s, EventKind.FACE_LOST, i) for i in face_ids]

    def _looked_at(self, picture: Image) -> Image:
        region = self._region
        if region is None:
            return picture
        height_px, width_px = picture.shape[:2]
        if region.x0 + region.width_px > width_px or region.y0 + region.height_px > height_px:
            raise SourceError(
                f"cannot look at the region {region} of stream {self._called}: its pictures are "
                f"{width_px}x{height_px}; choose a crop that lies inside"
            )
        # Contiguous, because MediaPipe takes no view.
        return np.ascontiguousarray(
            picture[region.y0 : region.y0 + region.height_px, region.x0 : region.x0 + region.width_px]
        )

    def _crop(
        self, frame: Frame, image: Image, face: TrackedFace, taken_at_s: float, found_at_s: float
    ) -> FaceCrop | UnscoredFace:
        box = face.found.box
        shown = box if self._region is None else _moved(box, self._region)
        height_px, width_px = image.shape[:2]
        why = judge(box, width_px, height_px, min_face_px=self._min_face_px)
        if why is None:
            pixels = cut_face(image, box, margin=self._margin, size_px=self._input_px)
            sharp = sharpness(pixels)
            if sharp >= self._min_sharpness:
                sighting = Sighting(
                    packet_at_s=frame.captured_at_s if frame.packet_at_s is None else frame.packet_at_s,
                    taken_at_s=taken_at_s,
                    found_at_s=found_at_s,
                    queued_at_s=self._now_s(),
                    painted_at_s=frame.painted_at_s,
                )
                return FaceCrop(
                    stream=self._stream,
                    frame_index=frame.index,
                    pts_s=frame.pts_s,
                    captured_at_s=frame.captured_at_s,
                    face_id=face.face_id,
                    box=shown,
                    pixels=pixels,
                    sighting=sighting,
                    quality=FaceQuality(box.side_px, sharp, turn(face.found.key_points)),
                )
            why = State.BLURRED
        return UnscoredFace(
            stream=self._stream,
            frame_index=frame.index,
            pts_s=frame.pts_s,
            captured_at_s=frame.captured_at_s,
            face_id=face.face_id,
            box=shown,
            why=why,
        )


def _moved(box: Box, region: Region) -> Box:
    """A box inside `region` as it lies in the whole picture."""
    return Box(box.x0 + region.x0, box.y0 + region.y0, box.x1 + region.x0, box.y1 + region.y0)
