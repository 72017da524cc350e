"""Is a record what was written? The chain of its log, and every file that the log names."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from stream_detector.errors import UsageError
from stream_detector.evidence.chain import BrokenLog, Entry, read_chain
from stream_detector.evidence.folder import LOG_NAME, runs_in
from stream_detector.evidence.signing import signed_by

_ENDS = ("end",)


@dataclass(frozen=True, slots=True)
class Verified:
    """What was found whole."""

    log: Path
    records: int
    head: str
    """Hash of the last record: whoever wrote it down elsewhere can tell that nothing was added or taken."""
    files: int
    signed_by: tuple[str, ...]
    """The public keys whose signatures hold, each once."""
    lost: int
    """Records that the log itself says were lost, for want of room."""


def logs_of(path: Path) -> list[Path]:
    """The logs that a file, the folder of a run, or a folder of runs holds.

    Raises:
        UsageError: it holds none.
    """
    if path.is_file():
        return [path]
    if (path / LOG_NAME).is_file():
        return [path / LOG_NAME]
    logs = [run / LOG_NAME for run in runs_in(path)] if path.is_dir() else []
    if not logs:
        raise UsageError(f"cannot find a record in {path}: expected a {LOG_NAME} made by watch --record")
    return logs


def verify_log(log: Path, *, public_key: str | None = None) -> Verified:
    """Check one log, its files and its signatures.

    Args:
        public_key: the one that must have signed the end, 64 hexadecimal digits; None: none need have.

    Raises:
        BrokenLog: something is not as it was written; the sentence names the first such thing.
        UsageError: it cannot be read, or is no log.
        MissingDependency: it is signed, and what checking signatures needs is not installed.
    """
    keys: list[str] = []
    last: Entry | None = None
    files = lost = 0
    ended = signed = False
    for entry in read_chain(log):
        if entry.kind == "signature" and last is not None:
            keys.append(_signed(log, entry, last))
            at_end = last.kind in _ENDS
            if at_end and public_key is not None and keys[-1] != public_key.lower():
                sentence = f"the end is signed by {keys[-1]}, expected {public_key.lower()}"
                raise _broken(log, entry.number, last.hash, sentence)
            ended, signed = ended or at_end, signed or at_end
            last = entry
            continue
        if ended:
            raise _broken(log, entry.number, entry.hash, f"record {entry.number} comes after the end")
        last = entry
        ended = entry.kind in _ENDS
        if entry.kind == "files":
            files += _check_files(log, entry)
        if entry.kind == "lost" and isinstance(records := entry.content.get("records"), int):
            lost += records
    assert last is not None  # an empty log is refused
    if not ended:
        raise _broken(
            log,
            last.number + 1,
            last.hash,
            "the log has no end: the run was killed, still goes on, or its last records were taken away",
        )
    if public_key is not None and not signed:
        raise _broken(
            log, last.number + 1, last.hash, f"its end is not signed, expected by {public_key.lower()}"
        )
    return Verified(log, last.number + 1, last.hash, files, tuple(dict.fromkeys(keys)), lost)


def _signed(log: Path, entry: Entry, before: Entry) -> str:
    key = signed_by(entry.content, before.hash)
    if key is None:
        raise _broken(log, entry.number, before.hash, f"the signature in record {entry.number} is wrong")
    return key


def _check_files(log: Path, entry: Entry) -> int:
    folder, stated = entry.content.get("folder"), entry.content.get("files")
    where = f"record {entry.number}"
    if not isinstance(folder, str) or Path(folder).name != folder or not isinstance(stated, dict):
        raise _broken(log, entry.number, entry.hash, f"{where} names no folder of files")
    for name, said in stated.items():
        wanted = said.get("sha256") if isinstance(said, dict) else None
        if Path(name).name != name or not isinstance(wanted, str):
            raise _broken(log, entry.number, entry.hash, f"{where} names no file with its hash")
        path = log.parent / folder / name
        try:
            with path.open("rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            sentence = f"the file {folder}/{name} of {where} cannot be read: {error.strerror}"
            raise _broken(log, entry.number, entry.hash, sentence) from None
        if found != wanted:
            sentence = f"the file {folder}/{name} is not as it was written: its hash does not fit {where}"
            raise _broken(log, entry.number, entry.hash, sentence)
    return len(stated)


def _broken(log: Path, whole: int, last_hash: str, what: str) -> BrokenLog:
    return BrokenLog(
        f"{log.name}: {what}; {whole} records before are whole", whole=whole, last_hash=last_hash
    )
