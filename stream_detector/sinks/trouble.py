"""Says once why an output fails, and once that it works again."""

import logging

_REASONS_TOLD = 5
"""So many different reasons are told in one plight."""

_log = logging.getLogger("stream_detector.sinks")


class Trouble:
    """The plight of one output, told on stderr. Belongs to one thread."""

    def __init__(self, output: str) -> None:
        """All is well with `output`, which is what the sentences call it."""
        self._output = output
        self.failing = False
        self._told: set[str] = set()

    def failed(self, sentence: str) -> None:
        """It does not work, and why; every reason is told once until it works again."""
        self.failing = True
        if sentence not in self._told and len(self._told) < _REASONS_TOLD:
            self._told.add(sentence)
            # A warning, so that it is seen; so is the good news, or the bad would stand for ever.
            _log.warning("%s: %s", self._output, sentence)

    def works(self, sentence: str = "works again") -> None:
        """It works; said only where it did not before."""
        if self.failing:
            self.failing = False
            self._told.clear()
            _log.warning("%s: %s", self._output, sentence)
