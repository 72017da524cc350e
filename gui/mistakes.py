"""The sentence for an error that nobody foresaw."""

from stream_detector.sources.address import redact


def mistake(error: BaseException) -> str:
    """One sentence without secrets."""
    what = f"{type(error).__name__}: {redact(str(error))}" if str(error) else type(error).__name__
    return f"the program made a mistake ({what}); please report it with what you were doing"
