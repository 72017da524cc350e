"""What one file's records come to, gathered while it is read."""

import math
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from stream_detector.records import FaceScore, Image, State
from stream_detector.scanning.file_verdict import FaceEvidence, Rule, Scored, judge_file
from stream_detector.scanning.finding import FoundFile
from stream_detector.scanning.pictures import overlaid, thumbnail
from stream_detector.scanning.results import FaceResult, FileResult, FileVerdict
from stream_detector.scanning.segments import Moment, find_segments, thinned

_POINTS = 240
"""Of a face's timeline: more than a page has pixels for."""
_FACES_WITH_PICTURE = 6
"""A crowd must not make a page of many megabytes."""


@dataclass
class _Face:
    first_s: float
    last_s: float
    scores: list[Scored] = field(default_factory=list)
    moments: list[Moment] = field(default_factory=list)
    peak: float | None = None
    alarmed: bool = False
    highest: float = -math.inf
    crop: tuple[float, Image, npt.NDArray[np.float32]] | None = None


class Gathering:
    """Takes the records of one file, in order. Belongs to one thread."""

    def __init__(self, file: FoundFile, *, rule: Rule, score_hz: float, pictures: bool) -> None:
        """Nothing was seen yet.

        Args:
            pictures: keep the crop with the highest score of each face.
        """
        self.file = file
        self._rule, self._score_hz, self._pictures = rule, score_hz, pictures
        self._faces: dict[int, _Face] = {}
        self._ticks: set[int] = set()
        self.seen_s = 0.0
        """Media time of the newest record."""

    def take(self, record: FaceScore) -> None:
        """The next record of the file."""
        face = self._faces.setdefault(record.face_id, _Face(record.pts_s, record.pts_s))
        face.last_s = self.seen_s = record.pts_s
        fake = record.state is State.LIKELY_FAKE
        face.moments.append(Moment(record.pts_s, record.p_fake_rolling, fake))
        face.alarmed |= record.alarmed
        if record.p_fake is None:
            return
        face.scores.append((record.pts_s, record.p_fake))
        self._ticks.add(math.floor(record.pts_s * self._score_hz + 1e-3))
        if record.state is not State.WARMING_UP and record.p_fake_rolling is not None:
            face.peak = max(face.peak or 0.0, record.p_fake_rolling)
        better = record.p_fake > face.highest
        if self._pictures and better and record.pixels is not None and record.evidence is not None:
            face.highest = record.p_fake
            face.crop = record.pts_s, record.pixels, record.evidence

    def result(self, *, media_s: float, problem: str | None = None) -> FileResult:
        """What it comes to.

        Args:
            media_s: media time that was looked at.
            problem: why the rest could not be read.
        """
        step_s = 1 / self._score_hz
        segments = {n: find_segments(face.moments, step_s=step_s) for n, face in self._faces.items()}
        evidence = {
            number: FaceEvidence(face.scores, suspicious=bool(segments[number]) or face.alarmed)
            for number, face in self._faces.items()
        }
        instants = max(1, math.floor(media_s * self._score_hz + 1e-3) + 1)
        share = min(1.0, len(self._ticks) / instants)
        judged = judge_file(evidence, share=share, rule=self._rule)
        shown = sorted(self._faces, key=lambda number: -self._faces[number].highest)[:_FACES_WITH_PICTURE]
        faces = []
        for number, face in sorted(self._faces.items()):
            verdict, mean = judged.faces[number]
            crop = face.crop if number in shown else None
            faces.append(
                FaceResult(
                    face=number,
                    first_s=face.first_s,
                    last_s=face.last_s,
                    verdict=verdict,
                    mean=mean,
                    peak=face.peak,
                    segments=segments[number],
                    alarmed=face.alarmed,
                    timeline=thinned(face.moments, most=_POINTS),
                    picture=None if crop is None else thumbnail(crop[1]),
                    picture_s=None if crop is None else crop[0],
                    evidence=None if crop is None else overlaid(crop[1], crop[2]),
                )
            )
        unread = problem is not None and not self._faces
        return FileResult(
            path=self.file.shown,
            size_bytes=self.file.size_bytes,
            modified_ns=self.file.modified_ns,
            verdict=FileVerdict.UNREADABLE if unread else judged.verdict,
            mean=judged.mean,
            evidence_share=share if self._faces else 0.0,
            media_s=media_s,
            faces=tuple(faces),
            problem=problem,
        )


def unreadable(file: FoundFile, problem: str) -> FileResult:
    """The row of a file that was never opened."""
    return FileResult(
        path=file.shown,
        size_bytes=file.size_bytes,
        modified_ns=file.modified_ns,
        verdict=FileVerdict.UNREADABLE,
        problem=problem,
    )
