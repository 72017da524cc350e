"""What of a run shall be recorded."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class RecordOptions:
    """What to keep, and where."""

    folder: Path
    faces: bool = True
    """Pictures and clips too, not only scores."""
    keep_days: float | None = None
    """Runs whose log was written to longer ago are removed; None: none is."""
    most_bytes: int | None = None
    """All runs together may take no more; None: as the disk has."""
    sign_key: Path | None = None
    """Ed25519 private key in PEM; None: nothing is signed."""
