import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_detector.errors import SourceError
from stream_detector.sources.address import NETWORK_SCHEMES, SourceKind, parse_address, redact


@pytest.mark.parametrize(
    ("text", "kind", "inner", "live"),
    [
        ("clip.mp4", SourceKind.FILE, "clip.mp4", False),
        ("a: b.mp4", SourceKind.FILE, "a: b.mp4", False),
        ("meeting:final.mp4", SourceKind.FILE, "meeting:final.mp4", False),
        (r"C:\clips\a.mp4", SourceKind.FILE, r"C:\clips\a.mp4", False),
        ("file:clip 1.mp4", SourceKind.FILE, "clip 1.mp4", False),
        ("file:///tmp/clip%201.mp4", SourceKind.FILE, "/tmp/clip 1.mp4", False),
        ("file://localhost/tmp/a.mp4", SourceKind.FILE, "/tmp/a.mp4", False),
        ("file:///C:/a.mp4", SourceKind.FILE, "C:/a.mp4", False),
        ("rtsp://camera/stream", SourceKind.NETWORK, "rtsp://camera/stream", True),
        ("RTSP://camera/stream", SourceKind.NETWORK, "RTSP://camera/stream", True),
        ("udp://239.0.0.1:1234", SourceKind.NETWORK, "udp://239.0.0.1:1234", True),
        ("rtsp://[::1]:554/x", SourceKind.NETWORK, "rtsp://[::1]:554/x", True),
        ("https://host/live.m3u8", SourceKind.NETWORK, "https://host/live.m3u8", False),
        ("webcam:", SourceKind.WEBCAM, "0", True),
        ("webcam:1", SourceKind.WEBCAM, "1", True),
        ("webcam:/dev/video2", SourceKind.WEBCAM, "/dev/video2", True),
        ("screen:", SourceKind.SCREEN, "", True),
        ("screen:1280x720+100+50", SourceKind.SCREEN, "1280x720+100+50", True),
        ("lavfi:testsrc2=rate=5", SourceKind.LAVFI, "testsrc2=rate=5", False),
        ("demo:", SourceKind.DEMO, "", False),
        ("selftest:", SourceKind.SELFTEST, "", True),
        ("selftest:60", SourceKind.SELFTEST, "60", True),
    ],
)
def test_every_way_to_name_a_source_is_understood(
    text: str, kind: SourceKind, inner: str, live: bool
) -> None:
    address = parse_address(text)
    assert (address.kind, address.text, address.live) == (kind, inner, live)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "  ",
        "a\0b",
        "ftp://host/a.mp4",
        "rtsp:host",
        "rtsp://",
        "rtsp:///path",
        "http://?a=b",
        "rtsp://user:pw@",
        "screen:big",
        "screen:0x0+0+0",
        "demo:1",
        "selftest:0",
        "selftest:fast",
        "lavfi:",
        "file:",
        "file://server/share/a.mp4",
    ],
)
def test_what_is_no_source_is_refused_in_one_sentence(text: str) -> None:
    with pytest.raises(SourceError) as caught:
        parse_address(text)
    assert "\n" not in str(caught.value)
    assert "pw" not in str(caught.value)


def test_an_unknown_scheme_is_answered_with_the_known_ones() -> None:
    with pytest.raises(SourceError) as caught:
        parse_address("ftp://user:hunter2@host/a.mp4?key=abcd")
    assert all(scheme in str(caught.value) for scheme in (*NETWORK_SCHEMES, "webcam:", "lavfi:"))
    assert "hunter2" not in str(caught.value)
    assert "abcd" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("rtsp://user:pw@camera:554/stream", "rtsp://***@camera:554/stream"),
        ("rtsp://camera:554/stream", "rtsp://camera:554/stream"),
        ("rtsp://tokenonly@camera/stream", "rtsp://***@camera/stream"),
        ("https://host/@channel/live.m3u8", "https://host/@channel/live.m3u8"),
        ("https://host/live.m3u8?token=abc#part", "https://host/live.m3u8?***"),
        ("https://host/live.m3u8#token", "https://host/live.m3u8#***"),
        ("srt://host:9000?passphrase=0123456789", "srt://host:9000?***"),
        ("rtsp://user:p/w?x#y@z@camera/stream", "rtsp://***@camera/stream"),
        ("http://host/http://user:pw@other/x?y", "http://***@other/x?***"),
        ("Did you mean file:rtsp://user:pw@host?", "Did you mean file:rtsp://***@host?***"),
        ("at 'rtsp://user:pw@host/a': refused", "at 'rtsp://***@host/a': refused"),
        ("a rtsp://u:pw@h/x and http://h/y?z=1 too", "a rtsp://***@h/x and http://h/y?*** too"),
        ("url=rtsp%3A%2F%2Fuser%3Apw%40host", "url=rtsp://***"),
        ("user:pw@camera/stream", "***@camera/stream"),
        ("Authorization: Basic dXNlcjpwdw==", "Authorization:***"),
        ("listen passphrase=pw mode=caller", "listen passphrase=*** mode=caller"),
        ("/home/me/what?.mp4: cut off at 12:30", "/home/me/what?.mp4: cut off at 12:30"),
    ],
)
def test_redact_hides_secrets_and_leaves_the_rest_readable(text: str, shown: str) -> None:
    assert redact(text) == shown


_SECRET = st.text(st.characters(exclude_categories=["Z", "C"]), min_size=1, max_size=12).map("zq{}qz".format)
"""Any printable characters without spaces, between letters that no sentence of ours holds."""


@given(
    scheme=st.sampled_from([*NETWORK_SCHEMES, "ftp", "hls+http"]),
    user=st.text(st.characters(exclude_categories=["Z", "C"]), max_size=8),
    password=_SECRET,
    query=_SECRET,
    host=st.sampled_from(["camera", "10.0.0.1:554", "[::1]:8554"]),
    around=st.sampled_from(["{}", "cannot open '{}': refused", "file:{} is not a file", "a {} b"]),
)
def test_no_password_and_no_query_string_survives_redaction(
    scheme: str, user: str, password: str, query: str, host: str, around: str
) -> None:
    shown = redact(around.format(f"{scheme}://{user}:{password}@{host}/live?key={query}"))
    assert password not in shown
    assert query not in shown


@given(password=st.text(min_size=1, max_size=20).map("zq{}qz".format), query=_SECRET)
def test_a_parsed_address_shows_and_repeats_no_secret(password: str, query: str) -> None:
    try:
        address = parse_address(f"rtsp://user:{password}@camera/live?key={query}")
    except SourceError as error:
        said = [str(error)]
    else:
        bad = redact(f"bad word {password} or {query}", address.secrets)
        said = [address.shown, repr(address), str(address), bad]
    assert not [text for text in said if password in text or query in text]


@given(st.text(max_size=40))
def test_any_text_is_either_an_address_or_a_sentence(text: str) -> None:
    try:
        shown = parse_address(text).shown
    except SourceError as error:
        shown = str(error)
    assert shown.isprintable()
