"""Says once that an output fails, and once that it works again."""

import logging

_log = logging.getLogger("stream_detector.sinks")


class Trouble:
    """The plight of one output, told on stderr. Belongs to one thread."""

    def __init__(self, output: str) -> None:
        """All is well with `output`, which is what the sentences call it."""
        self._output = output
        self.failing = False

    def failed(self, sentence: str) -> None:
        """It does not work, and why; only the first time in a row is said."""
        if not self.failing:
            self.failing = True
            # A warning, so that it is seen; so is the good news, or the bad would stand for ever.
            _log.warning("%s: %s", self._output, sentence)

    def works(self, sentence: str = "works again") -> None:
        """It works; said only where it did not before."""
        if self.failing:
            self.failing = False
            _log.warning("%s: %s", self._output, sentence)
