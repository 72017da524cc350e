"""A scan as CSV and JSON files."""

import csv
import io
import os
import tempfile
from pathlib import Path

from stream_detector.errors import OutputError, UsageError
from stream_detector.scanning.results import ScanReport

CSV_FIELDS = (
    "path",
    "verdict",
    "mean",
    "low",
    "high",
    "level",
    "scores",
    "worth",
    "evidence_share",
    "media_s",
    "faces",
    "fake_s",
    "segments",
    "problem",
)
_STARTS_A_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def as_json(report: ScanReport) -> str:
    """All of it but the pictures; the schema is `ScanReport`'s, see docs/scan.md."""
    pictures = {"files": {"__all__": {"faces": {"__all__": {"picture", "evidence", "picture_s"}}}}}
    return report.model_dump_json(indent=1, exclude=pictures) + "\n"


def as_csv(report: ScanReport) -> str:
    """One row per file. A name that a spreadsheet would take for a formula gets a ' in front."""
    out = io.StringIO(newline="")
    writer = csv.DictWriter(out, CSV_FIELDS, lineterminator="\r\n")
    writer.writeheader()
    for file in report.files:
        mean, segments = file.mean, [segment for _, segment in file.segments]
        writer.writerow(
            {
                "path": f"'{file.path}" if file.path.startswith(_STARTS_A_FORMULA) else file.path,
                "verdict": file.verdict.value,
                **({} if mean is None else _mean_fields(mean.model_dump())),
                "evidence_share": f"{file.evidence_share:.3f}",
                "media_s": f"{file.media_s:.3f}",
                "faces": len(file.faces),
                "fake_s": f"{sum(segment.end_s - segment.start_s for segment in segments):.1f}",
                "segments": " ".join(f"{s.start_s:.1f}-{s.end_s:.1f}" for s in segments),
                "problem": file.problem or "",
            }
        )
    return out.getvalue()


def _mean_fields(mean: dict[str, float]) -> dict[str, str]:
    named = {"value": "mean", "low": "low", "high": "high", "level": "level", "worth": "worth"}
    fields = {name: f"{mean[key]:.4f}" for key, name in named.items()}
    return fields | {"scores": f"{mean['scores']:.0f}"}


def check_writable(option: str, path: Path) -> None:
    """Refuse, before hours of work, a file that could not be written after it.

    Raises:
        UsageError: it is a folder, its folder does not exist, or is not ours to write in.
    """
    if path.is_dir():
        raise UsageError(f"cannot write {option} {path}: it is a folder; name a file in it")
    try:
        with tempfile.TemporaryFile(dir=path.parent):
            pass
        if path.exists():
            path.open("ab").close()
    except OSError as error:
        raise UsageError(
            f"cannot write {option} {path}: {error.strerror}; choose a folder that exists and is yours"
        ) from error


def write_whole(path: Path, text: str) -> None:
    """Write `path` as a whole or not at all.

    Raises:
        OutputError: there is no room for it.
    """
    try:
        if path.exists() and not path.is_file():  # /dev/stdout and its like cannot be replaced
            path.write_text(text, encoding="utf-8", errors="surrogateescape", newline="")
            return
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:50]}.")
        try:
            with open(handle, "w", encoding="utf-8", errors="surrogateescape", newline="") as file:  # noqa: PTH123
                file.write(text)
            Path(name).chmod(0o666 & ~_umask())
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror}; make room, and start again") from error


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
