"""Ctrl-C, SIGTERM and SIGHUP as flags that a command looks at between two records."""

import os
import signal
import threading
import time
from types import FrameType, TracebackType
from typing import Self

INTERRUPTED = 130
"""What a shell expects after Ctrl-C: 128 + SIGINT."""
_LAST_RESORT_S = 20.0
"""A signal ends the process after this long, also where it is stuck in writing to somebody who does
not read. Longer than any orderly end takes."""


class Signals:
    """Turns SIGINT and SIGTERM, and SIGHUP if asked, into flags while it is entered. For the main thread.

    A handler that raised could cut a JSON line in two. A second Ctrl-C ends the process at once.
    """

    def __init__(self, *, hang_up: bool = False, last_resort: bool = True) -> None:
        """Changes nothing yet.

        Args:
            hang_up: SIGHUP is a flag too; otherwise it ends the process, as ever.
            last_resort: end the process anyway where it does not end by itself; not for work that may
                rightly take longer to come to a point where it can be left.
        """
        self._last_resort = last_resort
        self.interrupted = False
        self.terminated = False
        self._hang_up = hang_up
        self._hung_up = False

    def __enter__(self) -> Self:
        self._before = {
            signal.SIGINT: signal.signal(signal.SIGINT, self._interrupt),
            signal.SIGTERM: signal.signal(signal.SIGTERM, self._terminate),
        }
        if self._hang_up and hasattr(signal, "SIGHUP"):
            self._before[signal.SIGHUP] = signal.signal(signal.SIGHUP, self._note_hang_up)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def take_hang_up(self) -> bool:
        """Whether SIGHUP came since the last call."""
        came, self._hung_up = self._hung_up, False
        return came

    def _note_hang_up(self, _number: int, _frame: FrameType | None) -> None:
        self._hung_up = True

    def _interrupt(self, _number: int, _frame: FrameType | None) -> None:
        if self.interrupted:
            os._exit(INTERRUPTED)
        self.interrupted = True
        self._end_anyway(INTERRUPTED)

    def _terminate(self, _number: int, _frame: FrameType | None) -> None:
        if not self.terminated:
            self.terminated = True
            self._end_anyway(0)

    def _end_anyway(self, code: int) -> None:
        def wait_and_end() -> None:
            time.sleep(_LAST_RESORT_S)
            os._exit(code)

        if self._last_resort:
            threading.Thread(target=wait_and_end, name="last resort", daemon=True).start()
