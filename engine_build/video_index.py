"""Reads every video of a data set to its end, and tabulates what it finds."""

import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

from engine_build.dataset import Entry
from engine_build.process_jobs import ProcessDied, run_jobs
from engine_build.splits import Clip
from engine_build.video_table import Video, VideoFacts, read_table, relative_path, write_table
from stream_detector.errors import SourceError
from stream_detector.sources.address import parse_address
from stream_detector.sources.reader import Reader

_SAVE_EVERY_S = 5.0
"""What a kill may cost."""
_SHORTER = 0.9
"""A video that ends before this part of its stated length has been cut off."""
_SHORTER_BY_S = 0.5


def index_videos(
    entries: Sequence[Entry], table: Path, *, jobs: int, on_progress: Callable[[int, int], None]
) -> list[Video]:
    """Read all videos, except those the table, or an unfinished one beside it, has readable and unchanged.

    Progress is kept in TABLE.part, so that a killed run goes on where it was. The caller writes the
    table itself and then calls `forget_progress`.

    Args:
        on_progress: told how many are done, of how many.

    Returns:
        One row per entry, in their order, without splits.

    Raises:
        SourceError: the existing table makes no sense.
        StreamDetectorError: progress cannot be written.
    """
    part = _part(table)
    known: dict[str, VideoFacts] = {}
    for path in (table, part):
        if path.exists():
            known |= {video.filepath: video.facts for video in read_table(path)}
    facts: dict[Path, VideoFacts] = {}
    for entry in entries:
        kept = known.get(relative_path(entry.path, table))
        # What could not be read is tried again: the disk may have been away, or memory short.
        if (
            kept is not None
            and kept.readable
            and (kept.size_bytes, kept.modified_ns) == file_state(entry.path)
        ):
            facts[entry.path] = kept
    saved_at_s = time.monotonic()
    on_progress(len(facts), len(entries))
    missing = [entry.path for entry in entries if entry.path not in facts]
    with closing(run_jobs(read_facts, missing, jobs=min(jobs, max(1, len(missing))))) as results:
        for path, found in results:
            facts[path] = _crashed(path) if isinstance(found, ProcessDied) else found
            on_progress(len(facts), len(entries))
            if time.monotonic() - saved_at_s > _SAVE_EVERY_S:
                write_table([_row(e, table, facts[e.path]) for e in entries if e.path in facts], part)
                saved_at_s = time.monotonic()
    return [_row(entry, table, facts[entry.path]) for entry in entries]


def forget_progress(table: Path) -> None:
    """Remove what `index_videos` kept for a table that is now written."""
    _part(table).unlink(missing_ok=True)


def read_facts(path: Path) -> VideoFacts:
    """Decode a video to its end; a damaged or missing one is described, not raised.

    Opens and closes it in the calling thread.
    """
    size_bytes, modified_ns = file_state(path)
    reader = Reader(parse_address(str(path.absolute())), threads=1)
    frames, last_s, problem = 0, 0.0, ""
    try:
        with closing(reader.frames()) as pictures:
            for frame in pictures:
                frames, last_s = frames + 1, frame.pts_s
    except SourceError as error:
        problem = str(error)
    about = reader.facts
    if about is None:
        return VideoFacts(size_bytes, modified_ns, problem=problem)
    rate_hz = about.average_rate_hz
    duration_s = last_s + (float(1 / rate_hz) if rate_hz else 0.0)
    stated_s = about.duration_s or 0.0
    if not problem and reader.damaged_packets:
        problem = f"{reader.damaged_packets} damaged packets were left out"
    elif not problem and duration_s < min(_SHORTER * stated_s, stated_s - _SHORTER_BY_S):
        problem = f"it breaks off after {duration_s:.1f} s of the {stated_s:.1f} s it states"
    return VideoFacts(
        size_bytes=size_bytes,
        modified_ns=modified_ns,
        frames=frames,
        width_px=about.width_px,
        height_px=about.height_px,
        rate_hz=rate_hz,
        duration_s=round(duration_s, 3),
        problem=problem,
    )


def as_clip(video: Video) -> Clip:
    """A row as `splits` sees it."""
    return Clip(video.filepath, video.label, video.identities, f"{video.method} {video.compression}")


def file_state(path: Path) -> tuple[int, int]:
    """Size in bytes and time of the last change in nanoseconds; zeros where there is no such file."""
    try:
        found = path.stat()
    except (OSError, ValueError):
        return 0, 0
    return found.st_size, found.st_mtime_ns


def _part(table: Path) -> Path:
    return table.with_name(f"{table.name}.part")


def _crashed(path: Path) -> VideoFacts:
    problem = f"the process that read {path} died: the file crashes the decoder, or memory ran out"
    return VideoFacts(*file_state(path), problem=problem)


def _row(entry: Entry, table: Path, facts: VideoFacts) -> Video:
    return Video(
        filepath=relative_path(entry.path, table),
        label=entry.label,
        method=entry.method,
        compression=entry.compression,
        identities=entry.identities,
        facts=facts,
    )
