"""What about a source will hurt, one sentence each, with what to do about it."""

from stream_detector.sources.probe import SourceReport

_RATE_TOLERANCE = 0.10
_LARGE_PIXELS = 3840 * 2160
_SMALL_SIDE_PX = 240
_LONG_KEY_FRAME_INTERVAL_S = 4.0
_LATE_FIRST_FRAME_S = 2.0
_SLOW_RATE_HZ = 5.0
"""The default of --score-hz: below it each picture is scored, and the score follows more slowly."""


def advice(report: SourceReport) -> list[str]:
    """One sentence for each thing that will hurt; empty where nothing will."""
    return [*_of_breaks(report), *_of_rates(report), *_of_delay(report), *_of_pictures(report)]


def _of_breaks(report: SourceReport) -> list[str]:
    said = []
    if report.broke_off:
        said.append(f"It broke off after {report.media_s:.1f} s: {report.broke_off}.")
    if report.damaged_packets:
        said.append(
            f"Left out {report.damaged_packets} damaged packets: the recording or the network loses data."
        )
    if report.transport == "udp":
        said.append("It comes over UDP, which loses packets without saying so; use TCP if it offers it.")
    if report.jumps:
        said.append(
            f"Its time or its size jumped {report.jumps} times: all faces get new numbers at each, and begin "
            f"to warm up again."
        )
    return said


def _of_rates(report: SourceReport) -> list[str]:
    said = []
    stated_hz = None if report.facts.average_rate_hz is None else float(report.facts.average_rate_hz)
    measured_hz, arrival_hz = report.measured_rate_hz, report.arrival_rate_hz
    if report.uneven:
        said.append("The frame rate varies: scores follow the stream's own time stamps, not a frame count.")
    elif (
        measured_hz is not None
        and stated_hz is not None
        and abs(measured_hz - stated_hz) > _RATE_TOLERANCE * stated_hz
    ):
        said.append(
            f"It states {stated_hz:.2f} frames/s and its time stamps say {measured_hz:.2f}; "
            f"a camera often slows down in the dark, or sends raw pictures."
        )
    if (
        arrival_hz is not None
        and measured_hz is not None
        and arrival_hz < (1 - _RATE_TOLERANCE) * measured_hz
    ):
        said.append(
            f"Frames arrive at {arrival_hz:.2f}/s, their time stamps say {measured_hz:.2f}: it falls behind; "
            f"check the network, or take a smaller stream."
        )
    slowest_hz = min((rate for rate in (measured_hz, arrival_hz) if rate is not None), default=None)
    if slowest_hz is not None and slowest_hz < (1 - _RATE_TOLERANCE) * _SLOW_RATE_HZ:
        said.append(
            f"It gives {slowest_hz:.1f} frames/s, fewer than are scored by default: a verdict takes longer."
        )
    return said


def _of_delay(report: SourceReport) -> list[str]:
    if not report.facts.live:
        return []
    said = []
    if report.first_frame_after_s > _LATE_FIRST_FRAME_S:
        said.append(
            f"The first picture came after {report.first_frame_after_s:.1f} s, and will take as long after "
            f"every break; more frequent key frames help."
        )
    interval_s = report.key_frame_interval_s
    if interval_s is not None and interval_s > _LONG_KEY_FRAME_INTERVAL_S:
        said.append(
            f"Key frames are {interval_s:.1f} s apart: joining the stream, and recovering from lost data, "
            f"takes as long; set the camera to one key frame per second or two."
        )
    elif report.key_frames == 1 and report.media_s > _LONG_KEY_FRAME_INTERVAL_S:
        said.append(
            f"Only one key frame came in {report.media_s:.1f} s: joining the stream, and recovering from "
            f"lost data, may take longer than that; set the camera to one key frame per second or two."
        )
    if report.b_frames:
        said.append(
            "It has B-frames: pictures are held back until later ones have come; turn them off in the "
            "encoder (a baseline profile, or tune=zerolatency)."
        )
    elif report.frames_held > 1:
        said.append(f"The decoder holds {report.frames_held} pictures back, each of them delay.")
    return said


def _of_pictures(report: SourceReport) -> list[str]:
    facts, said = report.facts, list[str]()
    size, aspect = f"{facts.width_px}x{facts.height_px}", facts.pixel_aspect
    if facts.rotation_deg:
        said.append(
            f"The pictures lie on their side or head: each is turned by {facts.rotation_deg}° clockwise."
        )
    if report.interlaced:
        said.append(
            "The pictures are interlaced: moving faces have combed edges; take a progressive stream of it."
        )
    if (
        facts.colour_range == "unstated"
        and facts.pixel_format.startswith(("yuv", "nv"))
        and not _drawn(report)
    ):
        said.append(
            "It does not state its colour range: it is taken for limited; if pictures look washed out or too "
            "dark, set the range in the encoder."
        )
    if aspect != 1:
        said.append(
            f"Its pixels are not square ({aspect.numerator}:{aspect.denominator}): "
            f"faces are scored as squeezed as they are stored."
        )
    if facts.width_px * facts.height_px > _LARGE_PIXELS:
        said.append(
            f"The pictures are very large ({size}): decoding alone may take more time "
            f"than there is; use a smaller stream of the same source if it has one."
        )
    if min(facts.width_px, facts.height_px) < _SMALL_SIDE_PX:
        said.append(
            f"The pictures are very small ({size}): faces in them may have too few pixels to be scored."
        )
    return said


def _drawn(report: SourceReport) -> bool:
    """Made by a filter graph: there is no camera or encoder to set."""
    return report.transport == "lavfi"
