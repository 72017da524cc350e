"""The faces of one video, found as the detector finds them and cut for storing.

    decode --> look, 10 times a second --> tracks --> the looks to keep
    decode again --------------------------------------> cut those

Twice, because which track is seen longest, and for how long, is known only at the end, and a long video
does not fit into memory.
"""

from collections import defaultdict
from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from engine_build.face_crops import STORED_MARGIN
from stream_detector.batching import Clock
from stream_detector.crops import cut_face
from stream_detector.errors import SourceError, UsageError
from stream_detector.faces import MediaPipeFaceFinder
from stream_detector.quality import judge
from stream_detector.records import Box, Image
from stream_detector.scene_cuts import SceneCuts
from stream_detector.settings import FACE_LOST_AFTER_S
from stream_detector.sources.address import parse_address
from stream_detector.sources.reader import Reader
from stream_detector.tracks import Tracker

STORED_PX = 400
"""Side of a stored crop."""
Whose = Literal["main", "all"]


@dataclass(frozen=True, slots=True)
class CropPlan:
    """Which faces of a video are kept."""

    frames: int = 16
    """Crops of each face, spread evenly over the time in which it is fit to be scored."""
    faces: Whose = "main"
    """The face seen longest, or all. A fake shows one changed face; the others in it are real."""
    min_face_px: int = 40
    """Smallest larger side of a face box that is kept."""
    find_hz: float = 10.0
    """Face searches per second of media time, as the detector's own default."""

    def __post_init__(self) -> None:
        if self.frames < 1 or self.min_face_px < 1 or not 0 < self.find_hz <= 120:
            raise UsageError(
                f"cannot keep {self.frames} frames of faces of {self.min_face_px} px at {self.find_hz:g} "
                "searches per second: expected 1 or more, 1 or more, and up to 120; choose others"
            )


@dataclass(frozen=True, slots=True)
class Sight:
    """One face in one frame."""

    frame: int
    """0-based number of the frame."""
    time_s: float
    """Media time."""
    face_id: int
    """Its track's."""
    box: Box


@dataclass(frozen=True, slots=True, eq=False)
class CutFace:
    """One face, cut."""

    sight: Sight
    pixels: Image = field(repr=False)
    """(STORED_PX, STORED_PX, 3) uint8 RGB: `STORED_MARGIN` times the larger side of the box."""


@dataclass(frozen=True, slots=True)
class Sights:
    """Which faces of a video to keep, and what was wrong with it."""

    chosen: tuple[Sight, ...]
    """In the order of frames; of one frame in the order of tracks."""
    problem: str
    """One sentence where there is no face, or the video broke off; else empty."""


def choose_sights(video: Path, plan: CropPlan) -> Sights:
    """Look for faces in a video, follow them, and choose the looks to keep.

    A damaged video counts as far as it can be decoded. Opens and closes all it needs in the calling thread.

    Raises:
        MissingDependency: MediaPipe is not installed, or does not load.
        BackendError: MediaPipe refuses its model.
    """
    seen: dict[int, list[Sight]] = defaultdict(list)
    fit: dict[int, list[Sight]] = defaultdict(list)
    tracker, cuts, clock = Tracker(FACE_LOST_AFTER_S), SceneCuts(), Clock(plan.find_hz)
    problem = ""
    segment = 0
    with closing(MediaPipeFaceFinder()) as finder, closing(_reader(video).frames()) as frames:
        try:
            for frame in frames:
                broken, segment = frame.segment != segment, frame.segment
                if not clock.due(frame.pts_s) and not broken:
                    continue
                image = frame.picture.rgb()
                if cuts.is_cut(image) or broken:
                    tracker.cut()
                for face in tracker.update(frame.pts_s, finder.find(image)).faces:
                    sight = Sight(frame.index, frame.pts_s, face.face_id, face.found.box)
                    seen[face.face_id].append(sight)
                    height_px, width_px = image.shape[:2]
                    if judge(sight.box, width_px, height_px, min_face_px=plan.min_face_px) is None:
                        fit[face.face_id].append(sight)
        except SourceError as error:
            problem = str(error)
    tracks = sorted(fit, key=lambda face_id: (-len(seen[face_id]), face_id))
    if not tracks and not problem:
        problem = (
            f"no face of {plan.min_face_px} px or more was found in {video}"
            if not seen
            else f"the faces in {video} are smaller than {plan.min_face_px} px or cut off"
        )
    kept = [
        fit[face_id][number]
        for face_id in (tracks[:1] if plan.faces == "main" else tracks)
        for number in spread(len(fit[face_id]), plan.frames)
    ]
    return Sights(tuple(sorted(kept, key=lambda sight: (sight.frame, sight.face_id))), problem)


def cut_sights(video: Path, sights: tuple[Sight, ...]) -> Generator[CutFace]:
    """Decode the video again and cut the chosen faces, in their order.

    Raises:
        SourceError: the video cannot be read as far as before.
    """
    by_frame: dict[int, list[Sight]] = defaultdict(list)
    for sight in sights:
        by_frame[sight.frame].append(sight)
    if not by_frame:
        return
    with closing(_reader(video).frames()) as frames:
        for frame in frames:
            for sight in by_frame.pop(frame.index, ()):
                yield CutFace(
                    sight,
                    cut_face(frame.picture.rgb(), sight.box, margin=STORED_MARGIN, size_px=STORED_PX),
                )
            if not by_frame:
                return
    raise SourceError(
        f"{video} ended at another frame than before: expected the same file; leave it alone and try again"
    )


def spread(count: int, wanted: int) -> list[int]:
    """At most `wanted` of the numbers 0 … count - 1, evenly spread, rising."""
    if count <= wanted:
        return list(range(count))
    return [(2 * turn + 1) * count // (2 * wanted) for turn in range(wanted)]


def _reader(video: Path) -> Reader:
    # One thread: the processes share the processors, and damage then shows the same in both passes.
    return Reader(parse_address(str(video.absolute())), threads=1)
