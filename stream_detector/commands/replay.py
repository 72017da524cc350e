"""Judge a recorded run again, and say whether the same comes of it, or what other thresholds would say."""

import sys
from collections.abc import Sequence
from pathlib import Path

from stream_detector.errors import UsageError
from stream_detector.evidence.chain import BrokenLog, Entry, read_chain
from stream_detector.evidence.replaying import Otherwise, Replay, replay
from stream_detector.evidence.verifying import logs_of
from stream_detector.records import State, StreamEvent


def run(path: Path, otherwise: Otherwise) -> int:
    """Judge a log again; returns 0 where the same comes of it, or where other thresholds were asked for.

    Raises:
        UsageError: there is no log, or what it holds makes no sense.
    """
    (log,) = only_log(logs_of(path))
    entries, cut = whole_records(log)
    found = replay(entries, otherwise)
    lines = [f"{found.scores} records of faces judged again"]
    if cut:
        lines.append(cut)
    if found.skipped:
        lines.append(f"{found.skipped} records of faces that were in view before the recording: left out")
    if found.until:
        lines.append(found.until)
    if otherwise:
        lines += _what_would_be(found)
        code = 0
    elif found.first_difference:
        lines.append(f"DIFFERENT: {found.first_difference}")
        code = 1
    else:
        lines.append(f"equal, bit for bit: verdicts, rolling scores, and {len(found.alarms)} alarm events")
        code = 0
    sys.stdout.write("\n".join(lines) + "\n")
    return code


def whole_records(log: Path) -> tuple[list[Entry], str]:
    """The whole records of a log, and a sentence where it is broken, else nothing.

    Raises:
        BrokenLog: not even its first record is whole.
        UsageError: it is no log.
    """
    entries: list[Entry] = []
    try:
        for entry in read_chain(log):
            entries.append(entry)
    except BrokenLog as error:
        if not entries:
            raise
        return entries, f"the log is broken: {error}"
    return entries, ""


def only_log(logs: Sequence[Path]) -> Sequence[Path]:
    """The one log there is.

    Raises:
        UsageError: there are several.
    """
    if len(logs) > 1:
        raise UsageError(f"there are {len(logs)} records: name one of them, such as {logs[-1].parent}")
    return logs


def _what_would_be(found: Replay) -> list[str]:
    lines = [f"{'state':<14}{'recorded':>10}{'now':>10}"]
    for state in State:
        was, now = found.recorded_states.get(state, 0), found.states.get(state, 0)
        if was or now:
            lines.append(f"{state:<14}{was:>10}{now:>10}")
    lines.append(f"alarms recorded: {_alarms(found.recorded_alarms)}")
    lines.append(f"alarms now: {_alarms(found.alarms)}")
    return lines


def _alarms(events: Sequence[StreamEvent]) -> str:
    told = [
        f"{event.event} stream {event.stream} face {event.face_id} at {event.pts_s or 0.0:.1f} s"
        for event in events
    ]
    return "; ".join(told) or "none"
