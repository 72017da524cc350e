"""Which hardware decodes, and the sentence where none can."""

import logging
import sys
from functools import cache

import av
from av.codec.hwaccel import HWAccel, hwdevices_available

_AUTO = {
    "linux": ("cuda", "vaapi"),
    "darwin": ("videotoolbox",),
    "win32": ("cuda", "d3d11va", "dxva2"),
}
"""What `auto` tries, best first."""

_log = logging.getLogger("stream_detector.sources")


@cache  # asked again at every reconnection; the answer, and the warning, come once
def choose_hwaccel(wanted: str) -> HWAccel | None:
    """The decoder to hand to `av.open`; None where software decodes.

    Opens the device once to see whether it works. Where it does not, software decodes, and a warning
    says so, once in the life of the program.

    Args:
        wanted: a value of `settings.HardwareDecoder`.
    """
    if wanted == "off":
        return None
    problems = []
    for name in _AUTO.get(sys.platform, ()) if wanted == "auto" else (wanted,):
        problem = _problem_with(name)
        if problem is None:
            # Streams in a codec the device does not know are decoded in software.
            return HWAccel(device_type=name, allow_software_fallback=True)
        problems.append(f"{name}: {problem}")
    _log.warning(
        "--hwaccel %s: no hardware decodes here (%s); software decodes instead",
        wanted,
        "; ".join(problems) or "none is known on this system",
    )
    return None


def _problem_with(name: str) -> str | None:
    """Why the device `name` cannot decode; None where it can."""
    if name not in hwdevices_available():
        return "the FFmpeg inside this PyAV is built without it"
    try:
        av.CodecContext.create("h264", "r", hwaccel=HWAccel(device_type=name))
    except (av.FFmpegError, NotImplementedError) as error:
        words = error.strerror if isinstance(error, av.FFmpegError) else str(error)
        return f"the device does not open ({words})"
    return None
