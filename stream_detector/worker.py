"""A named thread that forwards its end, and its error, to whoever reads its output."""

import threading
from collections.abc import Callable
from types import TracebackType
from typing import Protocol, Self

from stream_detector.errors import ShutdownError
from stream_detector.handoff import Closed


class Output(Protocol):
    """Where a worker says how it ended: a `Handoff`, or one end of an exchange."""

    def close(self, error: BaseException | None = None) -> None:
        """Nothing more will come; `error` says why, None for the ordinary end."""


class Worker:
    """A named thread that runs `work` and closes `output` when it ends, however it ends."""

    def __init__(self, name: str, work: Callable[[], None], output: Output) -> None:
        """A worker that has not started; `with` starts it.

        Args:
            name: shown in thread dumps and in errors.
            work: runs until it is done, or raises `handoff.Closed` when nobody listens any more.
            output: closed, with the error if there was one, when `work` ends.
        """
        self._work = work
        self._output = output
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Start the thread. Once only."""
        self._thread.start()

    @property
    def ended(self) -> bool:
        """Whether the thread was started and has ended."""
        return self._thread.ident is not None and not self._thread.is_alive()

    def join(self, timeout_s: float) -> None:
        """Wait for the thread to end; a worker that never started has ended.

        Raises:
            ShutdownError: it still runs after `timeout_s` seconds.
        """
        if self._thread.ident is None:
            return
        self._thread.join(timeout_s)
        if self._thread.is_alive():
            raise ShutdownError(
                f"thread {self._thread.name!r} still runs {timeout_s:g} s after it was told to stop; "
                f"please report this with the source you were watching"
            )

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._output.close()
        self.join(timeout_s=10.0)

    def _run(self) -> None:
        try:
            self._work()
        except Closed:
            self._output.close()
        except BaseException as error:  # noqa: BLE001  (forwarded: raised again where the result is read)
            self._output.close(error)
        else:
            self._output.close()
