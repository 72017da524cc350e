"""One look at a stream: from a frame to crops, faces that cannot be scored, and events."""

from collections.abc import Sequence

from stream_detector.batching import Clock
from stream_detector.crops import cut_face
from stream_detector.exchange import Notice
from stream_detector.model_spec import ModelSpec
from stream_detector.quality import blurred, judge
from stream_detector.records import (
    EventKind,
    FaceCrop,
    Frame,
    Image,
    Reason,
    State,
    StreamEvent,
    TrackedFace,
    UnscoredFace,
)
from stream_detector.scene_cuts import SceneCuts
from stream_detector.settings import FACE_LOST_AFTER_S, Settings
from stream_detector.stages import FaceFinder
from stream_detector.tracks import Tracker, largest


class Look:
    """What one stream shows, look by look. Belongs to its find thread; knows no clock but media time."""

    def __init__(self, stream: int, finder: FaceFinder, spec: ModelSpec, settings: Settings) -> None:
        """Nothing was seen yet.

        Args:
            stream: position of the source on the command line.
            finder: used, not closed.
            spec: of the model that will score: crop, margin, limits of quality.

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
        self._clock = Clock(settings.effective_find_hz)
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
        """What `frame` shows: crops to score, faces that cannot be scored, events; in order."""
        items: list[FaceCrop | Notice] = []
        if self._pts_s is None:
            items.append(StreamEvent(self._stream, frame.pts_s, EventKind.STREAM_STARTED))
        self._pts_s = frame.pts_s
        image = frame.picture.rgb()
        broken, self._segment = frame.segment != self._segment, frame.segment
        if self._cuts.is_cut(image) or broken:
            items.append(StreamEvent(self._stream, frame.pts_s, EventKind.SCENE_CUT))
            items += self._lost(self._tracker.cut())
        update = self._tracker.update(frame.pts_s, self._finder.find(image))
        items += self._lost(update.lost_ids)
        for face_id in update.new_ids:
            self._face_clocks[face_id] = Clock(self._score_hz)
            items.append(StreamEvent(self._stream, frame.pts_s, EventKind.FACE_FOUND, face_id))
        if not self._tracker.faces_in_view and not self._empty:
            items.append(StreamEvent(self._stream, frame.pts_s, EventKind.NO_FACE))
        self._empty = not self._tracker.faces_in_view
        for face in largest(update.faces, self._max_faces):
            if self._face_clocks[face.face_id].due(frame.pts_s):
                items.append(self._crop(frame, image, face))
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

    def _crop(self, frame: Frame, image: Image, face: TrackedFace) -> FaceCrop | UnscoredFace:
        box = face.found.box
        why = judge(box, frame.picture.width_px, frame.picture.height_px, min_face_px=self._min_face_px)
        if why is None:
            pixels = cut_face(image, box, margin=self._margin, size_px=self._input_px)
            if not blurred(pixels, min_sharpness=self._min_sharpness):
                return FaceCrop(
                    stream=self._stream,
                    frame_index=frame.index,
                    pts_s=frame.pts_s,
                    captured_at_s=frame.captured_at_s,
                    face_id=face.face_id,
                    box=box,
                    pixels=pixels,
                )
            why = State.BLURRED
        return UnscoredFace(
            stream=self._stream,
            frame_index=frame.index,
            pts_s=frame.pts_s,
            captured_at_s=frame.captured_at_s,
            face_id=face.face_id,
            box=box,
            why=why,
        )
