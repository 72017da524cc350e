"""How FFmpeg is asked to open each kind of source."""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field

import av

from stream_detector.errors import SourceError
from stream_detector.records import Reason
from stream_detector.sources.address import SourceAddress, SourceKind
from stream_detector.sources.files import check_file

_LOCAL_PROTOCOLS = "file,crypto,data"
_NETWORK_PROTOCOLS = {
    "rtsp": "rtsp,rtp,srtp,udp,tcp,http,https,tls",
    "rtsps": "rtsps,rtsp,rtp,srtp,udp,tcp,http,https,tls",
    "http": "http,https,httpproxy,tcp,tls,crypto,data",
    "https": "http,https,httpproxy,tcp,tls,crypto,data",
    "rtmp": "rtmp,rtmpt,ffrtmphttp,http,https,tcp,tls",
    "rtmps": "rtmps,rtmpts,ffrtmphttp,http,https,tcp,tls",
    "srt": "srt,udp",
    "udp": "udp,rtp",
    "tcp": "tcp",
}
"""What each kind of address needs, and no more. Never `file`: a playlist from the net must not read local
files. Nor the other way round: a local playlist must not open connections nobody asked for."""
_OPEN_QUICKLY = {"fpsprobesize": "0", "probesize": "32"}
"""An RTSP server says which codec it sends before the first packet. Looking at more of them only measures
the frame rate, takes 2 s at 15 frames/s, and would keep a camera that came back from being seen."""
_READ_NOTHING_AHEAD = {"probesize": "32", "analyzeduration": "0", "fflags": "nobuffer"}
"""Otherwise the first pictures of a screen or camera are a second old before anybody sees them."""
_SCREEN_RATE_HZ = "30"


@dataclass(frozen=True, slots=True)
class Opening:
    """What `av.open` is told."""

    url: str = field(repr=False)
    """Secrets included."""
    format: str | None
    """FFmpeg's demuxer or device; None where the data themselves tell."""
    options: Mapping[str, str]


def openings(
    address: SourceAddress,
    *,
    open_timeout_s: float,
    read_timeout_s: float,
    platform: str = sys.platform,
    environment: Mapping[str, str] = os.environ,
) -> list[Opening]:
    """The ways to open `address`, best first: the next one is tried when FFmpeg refuses one.

    Raises:
        SourceError: it cannot work: no such file, no display.
    """
    match address.kind:
        case SourceKind.FILE:
            check_file(address.text, address.shown)
            options = {"protocol_whitelist": _LOCAL_PROTOCOLS}
            # With its prefix a name that holds a colon is not taken for a protocol.
            return [Opening(f"file:{address.text}", None, options)]
        case SourceKind.NETWORK:
            return [_network(address, max(open_timeout_s, read_timeout_s))]
        case SourceKind.WEBCAM:
            return _webcam(address, platform)
        case SourceKind.SCREEN:
            return [_screen(address, platform, environment)]
        case SourceKind.LAVFI:
            return [Opening(address.text, "lavfi", {})]
        case SourceKind.DEMO | SourceKind.SELFTEST:
            raise ValueError(f"{address.shown} is drawn by the program, not opened with FFmpeg")


def _network(address: SourceAddress, timeout_s: float) -> Opening:
    scheme = address.text.partition("://")[0].lower()
    options = {"protocol_whitelist": _NETWORK_PROTOCOLS[scheme]}
    wait_us = str(round(timeout_s * 1e6))
    if scheme in ("rtsp", "rtsps"):
        options |= _OPEN_QUICKLY | {"rtsp_transport": address.transport.value, "timeout": wait_us}
    elif scheme in ("http", "https", "tcp"):
        options |= {"rw_timeout": wait_us}  # rtmp's `timeout` would make it wait for a caller instead
    elif scheme in ("udp", "srt"):
        options |= {"timeout": wait_us}
    return Opening(address.text, None, options)


def _webcam(address: SourceAddress, platform: str) -> list[Opening]:
    """MJPEG first: many cameras give raw pictures at 5 per second only."""
    number = address.text if address.text.isdecimal() else None
    if platform == "darwin":
        options = _READ_NOTHING_AHEAD | {"framerate": "30"}
        return [
            Opening(address.text, "avfoundation", options),
            Opening(address.text, "avfoundation", _READ_NOTHING_AHEAD),
        ]
    if platform == "win32":
        name = address.text if number is None else _camera_name(int(number), address.shown)
        device = f"video={name}"
        return [
            Opening(device, "dshow", _READ_NOTHING_AHEAD | {"vcodec": "mjpeg"}),
            Opening(device, "dshow", _READ_NOTHING_AHEAD),
        ]
    device = address.text if number is None else f"/dev/video{number}"
    return [
        Opening(device, "v4l2", _READ_NOTHING_AHEAD | {"input_format": "mjpeg"}),
        Opening(device, "v4l2", _READ_NOTHING_AHEAD),
    ]


def _camera_name(number: int, shown: str) -> str:
    """DirectShow knows cameras by name only."""
    try:
        found = av.enumerate_input_devices("dshow")
    except (av.FFmpegError, ValueError) as error:
        raise SourceError(
            f"cannot open {shown}: Windows lists no cameras; write webcam:NAME", Reason.UNREACHABLE
        ) from error
    names = [device.name for device in found if "video" in device.media_types]
    if number >= len(names):
        raise SourceError(
            f"cannot open {shown}: found {len(names)} cameras ({', '.join(names)}); count from 0",
            Reason.UNREACHABLE,
        )
    return names[number]


def _screen(address: SourceAddress, platform: str, environment: Mapping[str, str]) -> Opening:
    size, *corner = address.text.split("+") if address.text else ("",)
    options = _READ_NOTHING_AHEAD | {"framerate": _SCREEN_RATE_HZ}
    if platform == "darwin":
        if size:
            raise SourceError(
                f"cannot open {address.shown}: on macOS only the whole screen can be read; write screen:",
                Reason.UNSUPPORTED,
            )
        return Opening("Capture screen 0", "avfoundation", options)
    if size:
        options |= {"video_size": size}
    if platform == "win32":
        if corner:
            options |= {"offset_x": corner[0], "offset_y": corner[1]}
        return Opening("desktop", "gdigrab", options)
    display = environment.get("DISPLAY")
    if not display:
        raise SourceError(
            f"cannot open {address.shown}: no X display here (DISPLAY is not set); "
            f"run it inside a desktop session",
            Reason.UNSUPPORTED,
        )
    return Opening(f"{display}+{','.join(corner)}" if corner else display, "x11grab", options)
