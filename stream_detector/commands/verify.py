"""Say whether records are what was written."""

import json
import sys
from pathlib import Path

from stream_detector.errors import UsageError
from stream_detector.evidence.chain import BrokenLog
from stream_detector.evidence.signing import read_public_key
from stream_detector.evidence.verifying import logs_of, verify_log


def run(path: Path, *, public_key: Path | None, as_json: bool) -> int:
    """Check every record in `path`; returns the exit code: 0 all whole, 2 where one is not.

    Raises:
        UsageError: there is no record, or the key is none.
        MissingDependency: what checking signatures needs is not installed.
    """
    code = 0
    key = None if public_key is None else read_public_key(public_key)
    for log in logs_of(path):
        shown = str(log.parent.name or log)
        try:
            found = verify_log(log, public_key=key)
        except BrokenLog as error:
            code = UsageError.exit_code
            content: dict[str, object] = {"record": shown, "whole": False, "problem": str(error)}
            content |= {"records": error.whole, "head": error.last_hash}
            sentence = f"{shown}: BROKEN: {error}"
        except UsageError as error:
            code = UsageError.exit_code
            content = {"record": shown, "whole": False, "problem": str(error), "records": 0, "head": None}
            sentence = f"{shown}: {error}"
        else:
            content = {"record": shown, "whole": True, "problem": "", "records": found.records}
            content |= {"head": found.head, "files": found.files, "lost": found.lost}
            content["signed_by"] = list(found.signed_by)
            lost = f"; {found.lost} records were lost for want of room" if found.lost else ""
            sentence = f"{shown}: whole: {found.records} records, {found.files} files, head {found.head}"
            sentence += "".join(f"; signed by {signer}" for signer in found.signed_by) + lost
        sys.stdout.write((json.dumps(content) if as_json else sentence) + "\n")
    return code
