"""What a long command is doing, how far it is, and how long it will take."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)


class Steps:
    """Is told what happens, and keeps it to itself. One thread at a time."""

    def begin(self, name: str, total: int | None = None) -> None:
        """The next step starts.

        Args:
            total: how many things it will do; None where that is not known beforehand.
        """

    def advance(self, count: int = 1) -> None:
        """`count` more things of the step are done."""


SILENT = Steps()


class _ShownSteps(Steps):
    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._task = progress.add_task("starting", total=None)

    def begin(self, name: str, total: int | None = None) -> None:
        self._progress.reset(self._task, description=name, total=total)

    def advance(self, count: int = 1) -> None:
        self._progress.advance(self._task, count)


def progress_bar() -> Progress:
    """What every long command shows on stderr: the name of what it does, a bar, how many of how many, the
    time taken and the time left."""
    columns = (
        *(SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()),
        *(TimeElapsedColumn(), TextColumn("left:"), TimeRemainingColumn()),
    )
    return Progress(*columns, console=Console(stderr=True))


@contextmanager
def shown_steps() -> Iterator[Steps]:
    """Steps that stderr shows, see `progress_bar`."""
    with progress_bar() as progress:
        yield _ShownSteps(progress)
