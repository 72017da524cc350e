"""Patterns such as 'folder/*.mp4', made into the files they match."""

import glob
import re
from collections.abc import Iterable
from pathlib import Path

from stream_detector.errors import SourceError
from stream_detector.sources.address import SourceKind, parse_address

_PATTERN = re.compile(r"[*?[]")


def expand_globs(sources: Iterable[str]) -> tuple[str, ...]:
    """`sources` with every pattern replaced by the files it matches, in the order of their names.

    Only what names a file can be a pattern, `**` for any depth of folders; a file whose own name
    holds such signs is itself.

    Raises:
        SourceError: a pattern matches no file; or a source makes no sense.
    """
    expanded: list[str] = []
    for source in sources:
        address = parse_address(source)
        if (
            address.kind is not SourceKind.FILE
            or not _PATTERN.search(address.text)
            or Path(address.text).exists()
        ):
            expanded.append(source)
            continue
        matches = glob.glob(address.text, recursive=True)  # noqa: PTH207  (a pattern from any root)
        found = sorted(path for path in matches if Path(path).is_file())
        if not found:
            raise SourceError(f"no file matches {address.shown}; check the folder and the pattern")
        expanded += [f"file:{path}" for path in found]
    return tuple(expanded)
