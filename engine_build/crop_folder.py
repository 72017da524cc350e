"""A folder of stored crops: filled video by video, so that a killed run goes on where it was.

FOLDER/real/youtube/c23/183_00.jpg …           the crops
FOLDER/records/real/youtube/c23/183.json       written last: this video is done
FOLDER/records/real/youtube/c23/183.npy        its landmarks
FOLDER/index.csv, landmarks.npz, problems.csv  put together from the records at the end
"""

import csv
import json
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from engine_build.crop_faces import CropPlan, choose_sights, cut_sights
from engine_build.face_crops import STORED_MARGIN
from engine_build.landmarks import POINTS, FaceMesh
from engine_build.process_jobs import ProcessDied, run_jobs
from engine_build.video_index import file_state
from engine_build.video_table import SEPARATOR, Video
from stream_detector.errors import ModelError, SourceError, StreamDetectorError, UsageError

_JPEG_QUALITY = 95
_COLUMNS = (
    *("path", "split", "clip", "identity", "time_s", "source_crop_px"),
    *("label", "method", "compression", "frame", "track"),
)


@dataclass(frozen=True, slots=True)
class CropJob:
    """One video to take crops from."""

    video: Path
    key: str
    """Its name in the folder, such as "fake/Deepfakes/c23/183_253"."""


@dataclass(frozen=True, slots=True)
class CropReport:
    """What became of the videos of a table."""

    videos: int
    """Those with at least one crop."""
    crops: int
    without_mesh: int
    """Crops in which no face mesh was found."""
    problems: tuple[tuple[str, str], ...]
    """(filepath, sentence) of videos that were left out or broke off; also in problems.csv."""


def make_crops(
    videos: Sequence[Video],
    table: Path,
    out: Path,
    plan: CropPlan,
    *,
    landmarker: Path | None,
    jobs: int,
    on_progress: Callable[[int, int], None],
) -> CropReport:
    """Take crops from every video that is in a split, except those already done in the same way.

    Args:
        table: the file the videos are listed in; their paths count from its folder.
        out: the folder, made where it is missing.
        landmarker: MediaPipe's face_landmarker.task, where meshes are wanted.
        on_progress: told how many videos are done, of how many.

    Raises:
        UsageError: no video is in a split, or `out` holds something else.
        ModelError: the landmarker cannot be opened.
        StreamDetectorError: the folder cannot be written.
    """
    wanted = [video for video in videos if video.split and video.facts.readable]
    if not wanted:
        raise UsageError(
            f"no readable video of {table} is in a split: expected train, val or test in the column split; "
            "make the table again"
        )
    out = out.absolute()
    if (out / "index.csv").exists() and not (out / "records").is_dir():
        raise UsageError(
            f"{out} has an index.csv that engine_build crops did not write; choose another --out"
        )
    work = partial(_take_crops, out=out, plan=plan, landmarker=landmarker)
    video_of = {
        CropJob(table.absolute().parent / video.filepath, key): video
        for video, key in zip(wanted, _keys(wanted), strict=True)
    }
    missing = [job for job in video_of if not _is_done(job, out, plan, landmarker)]
    done = len(video_of) - len(missing)
    on_progress(done, len(video_of))
    if missing and landmarker is not None:
        _check_landmarker(landmarker)
    problems = [(video.filepath, video.facts.problem) for video in videos if not video.facts.readable]
    try:
        out.mkdir(parents=True, exist_ok=True)
        if missing:
            (out / "index.csv").unlink(missing_ok=True)  # it is there only when all it lists is
        with closing(run_jobs(work, missing, jobs=min(jobs, max(1, len(missing))))) as results:
            for job, result in results:
                if isinstance(result, ProcessDied):
                    why = (
                        f"the process at work on {job.video} died: it crashes the decoder, or memory ran out"
                    )
                    problems.append((video_of[job].filepath, why))
                done += 1
                on_progress(done, len(video_of))
        return _assemble(video_of, out, problems, meshes=landmarker is not None)
    except OSError as error:
        raise StreamDetectorError(
            f"cannot write the crops into {out}: {error.strerror or error}; make room and run the command "
            "again, it goes on where it was"
        ) from error


def _check_landmarker(landmarker: Path) -> None:
    """Tell a wrong file before the work, not in its middle; in a process, whose chatter nobody hears.

    Raises:
        ModelError: it cannot be opened.
    """
    for _, opened in run_jobs(_open_landmarker, [landmarker], jobs=1):
        if isinstance(opened, ProcessDied):
            raise ModelError(
                f"MediaPipe crashes on {landmarker}: expected face_landmarker.task; fetch it again"
            )


def _open_landmarker(landmarker: Path) -> None:
    FaceMesh(landmarker).close()


def _take_crops(job: CropJob, *, out: Path, plan: CropPlan, landmarker: Path | None) -> None:
    """One video's crops and its record; runs in a process of its own."""
    pictures, record = out / job.key, _record(job, out)
    for folder in (pictures.parent, record.parent):
        folder.mkdir(parents=True, exist_ok=True)
    record.unlink(missing_ok=True)
    for old in pictures.parent.glob(f"{_as_glob(pictures.name)}_[0-9]*.jpg"):
        if re.fullmatch(r"_\d+\.jpg", old.name[len(pictures.name) :]):
            old.unlink()
    state = file_state(job.video)
    sights = choose_sights(job.video, plan)
    rows, meshes, problem = [], [], sights.problem
    with ExitStack() as stack:
        mesh = None if landmarker is None else stack.enter_context(closing(FaceMesh(landmarker)))
        try:
            for number, face in enumerate(stack.enter_context(closing(cut_sights(job.video, sights.chosen)))):
                path = pictures.with_name(f"{pictures.name}_{number:02}.jpg")
                path.write_bytes(_jpeg(face.pixels))
                sight = face.sight
                rows.append(
                    {
                        "path": path.relative_to(out).as_posix(),
                        "time_s": round(sight.time_s, 3),
                        "source_crop_px": round(sight.box.side_px * STORED_MARGIN),
                        "frame": sight.frame,
                        "track": sight.face_id,
                    }
                )
                if mesh is not None:
                    meshes.append(mesh.find(face.pixels))
        except SourceError as error:
            problem = str(error)
    if mesh is not None:
        points = np.array(meshes, np.float16).reshape(-1, POINTS, 2)
        with record.with_suffix(".npy").open("wb") as file:
            np.save(file, points)
    content = {"made_from": _fingerprint(job, plan, landmarker, state), "problem": problem, "crops": rows}
    _write_whole(record, json.dumps(content, indent=1, ensure_ascii=False))


def _assemble(
    video_of: dict[CropJob, Video], out: Path, problems: list[tuple[str, str]], *, meshes: bool
) -> CropReport:
    """index.csv, landmarks.npz and problems.csv from the records."""
    rows, points = [], []
    counts: Counter[str] = Counter()
    for job, video in video_of.items():
        record = _record(job, out)
        if not record.is_file():  # its process died
            continue
        content = json.loads(record.read_text(encoding="utf-8"))
        problem = content["problem"] or video.facts.problem
        if problem:
            problems.append((video.filepath, problem))
        counts["videos"] += bool(content["crops"])
        about = {
            "split": video.split,
            "clip": job.key,
            "identity": SEPARATOR.join(video.identities),
            "label": video.label,
            "method": video.method,
            "compression": video.compression,
        }
        rows += [{**crop, **about, "path": f"{out.name}/{crop['path']}"} for crop in content["crops"]]
        if meshes:
            points.append(np.load(record.with_suffix(".npy")))
    lines = [[row[name] for name in _COLUMNS] for row in rows]
    landmarks = out / "landmarks.npz"
    if meshes:
        points_px = np.concatenate(points) if points else np.zeros((0, POINTS, 2), np.float16)
        counts["without mesh"] = int(np.isnan(points_px).any((1, 2)).sum())
        made = landmarks.with_suffix(".new.npz")
        np.savez(made, path=np.array([row["path"] for row in rows], np.str_), points_px=points_px)
        made.replace(landmarks)
    else:
        landmarks.unlink(missing_ok=True)
    _write_csv(out / "problems.csv", ("filepath", "problem"), problems)
    _write_csv(out / "index.csv", _COLUMNS, lines)
    return CropReport(counts["videos"], len(rows), counts["without mesh"], tuple(problems))


def _is_done(job: CropJob, out: Path, plan: CropPlan, landmarker: Path | None) -> bool:
    """Whether the folder has this video's crops, made from the same file in the same way."""
    try:
        content = json.loads(_record(job, out).read_text(encoding="utf-8"))
        made_from, crops = content["made_from"], content["crops"]
        return made_from == _fingerprint(job, plan, landmarker, file_state(job.video)) and all(
            (out / crop["path"]).is_file() for crop in crops
        )
    except (OSError, ValueError, KeyError, TypeError):  # none, or not ours: it is made again
        return False


def _fingerprint(
    job: CropJob, plan: CropPlan, landmarker: Path | None, state: tuple[int, int]
) -> dict[str, object]:
    """What the crops of a video depend on."""
    return {
        "video": os.fspath(job.video.resolve()),
        "size_bytes": state[0],
        "modified_ns": state[1],
        "landmarks": landmarker is not None,
        **asdict(plan),
    }


def _record(job: CropJob, out: Path) -> Path:
    place = out / "records" / job.key
    return place.with_name(f"{place.name}.json")


def _keys(videos: Iterable[Video]) -> list[str]:
    """A name for each video that is a safe path, and no other's."""
    taken: Counter[str] = Counter()
    keys = []
    for video in videos:
        parts = (
            "fake" if video.label else "real",
            video.method,
            video.compression,
            Path(video.filepath).stem,
        )
        key = "/".join(re.sub(r"[^\w.+-]", "_", part).lstrip(".") or "_" for part in parts if part)
        taken[key.lower()] += 1  # some file systems take A for a
        # A tilde is replaced in every part, so no other name can end like this.
        keys.append(key if taken[key.lower()] == 1 else f"{key}~{taken[key.lower()]}")
    return keys


def _as_glob(name: str) -> str:
    return re.sub(r"([*?\[])", r"[\1]", name)


def _jpeg(pixels: "np.ndarray[tuple[int, ...], np.dtype[np.uint8]]") -> bytes:
    done, coded = cv2.imencode(".jpg", pixels[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
    if not done:
        raise StreamDetectorError(f"OpenCV cannot encode a picture of {pixels.shape} as JPEG; reinstall it")
    return coded.tobytes()


def _write_csv(path: Path, columns: Sequence[str], lines: Iterable[Sequence[object]]) -> None:
    made = path.with_name(f"{path.name}.new")
    with made.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file:
        table = csv.writer(file)
        table.writerow(columns)
        table.writerows(lines)
    made.replace(path)


def _write_whole(path: Path, text: str) -> None:
    made = path.with_name(f"{path.name}.new")
    made.write_text(text, encoding="utf-8", errors="surrogateescape")
    made.replace(path)
