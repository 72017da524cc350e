import os
import random
import socket
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import av
import pytest

from stream_detector.errors import SourceError
from stream_detector.records import Frame
from stream_detector.sources.address import parse_address
from stream_detector.sources.reader import Reader
from tests import media, servers


def _read(source: Path | str, **settings: float) -> tuple[Reader, list[Frame]]:
    reader = Reader(parse_address(str(source)), **settings)  # type: ignore[arg-type]
    with closing(reader.frames()) as frames:
        return reader, list(frames)


def _refusal(source: Path | str, **settings: float) -> str:
    """The sentence with which a source is refused: one line, and no trace of FFmpeg's own exceptions."""
    with pytest.raises(SourceError) as caught:
        _read(source, **settings)
    assert str(caught.value).isprintable()
    assert caught.value.__cause__ is None or not isinstance(caught.value.__cause__, av.FFmpegError)
    assert caught.value.__suppress_context__ or not isinstance(caught.value.__context__, av.FFmpegError)
    return str(caught.value)


def test_files_that_are_no_video_are_refused_each_with_its_own_sentence(tmp_path: Path) -> None:
    empty, text, bytes_ = tmp_path / "empty.mp4", tmp_path / "text.mp4", tmp_path / "noise.mp4"
    empty.touch()
    text.write_text("Dear diary,\n" * 50)
    bytes_.write_bytes(random.Random(0).randbytes(5000))
    assert "no such file" in _refusal(tmp_path / "missing.mp4")
    assert "no such file" in _refusal(tmp_path / "missing" / "a.mp4")
    assert "folder" in _refusal(tmp_path)
    assert "empty" in _refusal(empty)
    assert "text file" in _refusal(text)
    assert "no video FFmpeg knows" in _refusal(bytes_)
    assert "it is text" in _refusal(text.rename(tmp_path / "diary.txt"))
    text.write_text("Dear diary,\n")
    assert "cannot read" in _refusal("a" * 5000)
    assert "not a directory" in _refusal(text / "a.mp4").lower()


def test_a_file_name_that_looks_like_a_protocol_is_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    media.write_clip(tmp_path / "pipe.mkv", frames=3).rename(tmp_path / "concat:a|b.mkv")
    assert len(_read("concat:a|b.mkv")[1]) == 3


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_named_pipe_and_a_device_are_refused_and_never_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert "pipe" in _refusal(tmp_path / "pipe")
    assert "webcam:" in _refusal("/dev/null")


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX permissions")
def test_a_file_of_somebody_else_is_refused(tmp_path: Path) -> None:
    clip = media.write_clip(tmp_path / "clip.mkv", frames=2)
    clip.chmod(0)
    if os.geteuid() != 0:
        assert "permission denied" in _refusal(clip)
        return
    # Root may read everything, so somebody else must try; what it needs is imported while it still may.
    code = (
        "import os, sys\n"
        "from stream_detector.errors import SourceError\n"
        "from stream_detector.sources.files import check_file\n"
        "os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "try: check_file(sys.argv[1], 'the clip')\n"
        "except SourceError as error: print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, clip], capture_output=True, text=True, check=True, timeout=60
    )
    assert "permission denied" in done.stdout


def test_sound_is_refused_with_and_without_a_cover_picture(tmp_path: Path) -> None:
    assert "only sound" in _refusal(media.write_sound(tmp_path / "sound.m4a"))
    cover = tmp_path / "cover.png"
    av.VideoFrame.from_ndarray(media.grey(1, 64, 48)).save(cover)
    with_cover = media.write_sound_with_cover(tmp_path / "song.m4a", cover.read_bytes())
    assert "only a cover picture" in _refusal(with_cover)


def test_an_mp4_cut_off_before_its_index_is_refused_and_says_so(tmp_path: Path) -> None:
    clip = media.write_clip(tmp_path / "clip.mp4", paint=media.noise)
    clip.write_bytes(clip.read_bytes()[: clip.stat().st_size // 2])
    assert "without its index" in _refusal(clip)


@pytest.mark.parametrize("name", ["clip.mp4", "clip.mkv", "clip.ts", "clip.avi"])
def test_a_truncated_file_plays_what_there_is(tmp_path: Path, name: str) -> None:
    options = {"movflags": "faststart"} if name.endswith("mp4") else None
    codec = "mpeg4" if name.endswith("avi") else "libx264"
    clip = media.write_clip(tmp_path / name, paint=media.noise, codec=codec, muxer_options=options)
    clip.write_bytes(clip.read_bytes()[: clip.stat().st_size * 6 // 10])
    _, frames = _read(clip)
    assert 8 <= len(frames) < 30
    assert all(frame.picture.rgb().shape == (48, 64, 3) for frame in frames)


@pytest.mark.parametrize(
    ("codec", "pixel_format"), [("mjpeg", "yuvj420p"), ("ffv1", "yuv420p"), ("libx264", "yuv420p")]
)
def test_damaged_packets_are_skipped_and_counted(tmp_path: Path, codec: str, pixel_format: str) -> None:
    clip = media.write_clip(
        tmp_path / "bad.mkv", paint=media.noise, codec=codec, pixel_format=pixel_format, damaged={10, 11, 20}
    )
    reader, frames = _read(clip)
    assert len(frames) + reader.damaged_packets == 30
    assert reader.damaged_packets >= 3
    assert [frame.pts_s for frame in frames][-1] == pytest.approx(29 / 25, abs=0.01)


def test_a_file_of_damaged_packets_only_is_refused_with_their_number(tmp_path: Path) -> None:
    clip = media.write_clip(
        tmp_path / "bad.mkv",
        paint=media.noise,
        codec="mjpeg",
        pixel_format="yuvj420p",
        damaged=range(30),
    )
    assert "30 damaged packets" in _refusal(clip)


def test_pictures_of_absurd_size_are_refused_before_they_take_memory(tmp_path: Path) -> None:
    clip = media.write_clip(tmp_path / "huge.avi", frames=2, codec="rawvideo", pixel_format="yuv420p")
    whole = bytearray(clip.read_bytes())
    at = whole.index(b"strf") + 8 + 4
    whole[at : at + 8] = (16000).to_bytes(4, "little") + (10000).to_bytes(4, "little")
    clip.write_bytes(whole)
    assert "16000x10000" in _refusal(clip)


def test_a_graph_that_cannot_be_built_or_shows_nothing_is_refused() -> None:
    assert "graph" in _refusal("lavfi:no_such_filter")
    assert "only sound" in _refusal("lavfi:sine=duration=1")
    assert "could be decoded" in _refusal("lavfi:testsrc2=duration=0")


@pytest.mark.parametrize("scheme", ["rtsp", "http", "rtmp", "tcp"])
def test_a_closed_port_is_refused(scheme: str) -> None:
    sentence = _refusal(f"{scheme}://user:hunter2@127.0.0.1:{servers.closed_port()}/x?token=abcd")
    assert "refused" in sentence
    assert "hunter2" not in sentence
    assert "abcd" not in sentence


@pytest.mark.parametrize("scheme", ["rtsp", "http"])
def test_a_wrong_password_is_named_and_never_shown(scheme: str) -> None:
    with servers.serving(servers.unauthorized) as server:
        sentence = _refusal(f"{scheme}://user:hunter2@127.0.0.1:{server.port}/x?token=abcd")
    assert "password" in sentence
    assert "hunter2" not in sentence
    assert "abcd" not in sentence


@pytest.mark.parametrize("scheme", ["rtsp", "http", "rtmp", "tcp"])
def test_a_silent_server_is_a_time_out(scheme: str) -> None:
    with servers.serving(servers.silent) as server:
        sentence = _refusal(
            f"{scheme}://user:hunter2@127.0.0.1:{server.port}/x", open_timeout_s=0.5, read_timeout_s=0.5
        )
    assert "time-out" in sentence
    assert "hunter2" not in sentence


@pytest.mark.parametrize("scheme", ["rtsp", "http", "rtmp"])
def test_a_server_that_talks_nonsense_is_refused(scheme: str) -> None:
    with servers.serving(servers.garbage) as server:
        sentence = _refusal(
            f"{scheme}://user:hunter2@127.0.0.1:{server.port}/x", open_timeout_s=2.0, read_timeout_s=2.0
        )
    assert sentence.startswith(("cannot", "time-out"))
    assert "hunter2" not in sentence


def test_a_missing_page_and_an_unknown_host_are_refused() -> None:
    with servers.serving(servers.files({})) as server:
        assert "404" in _refusal(f"http://127.0.0.1:{server.port}/none.mp4")
    assert "cannot reach" in _refusal("rtsp://no-such-host.invalid/x", open_timeout_s=5.0)


def test_a_playlist_from_the_net_cannot_read_local_files(tmp_path: Path) -> None:
    clip = media.write_clip(tmp_path / "a.ts", muxer="mpegts")
    playlist = f"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:1.2,\nfile://{clip}\n#EXT-X-ENDLIST\n".encode()
    with servers.serving(servers.files({"/l.m3u8": playlist})) as server:
        _refusal(f"http://127.0.0.1:{server.port}/l.m3u8", open_timeout_s=2.0, read_timeout_s=2.0)


def test_a_local_playlist_opens_no_connection(tmp_path: Path) -> None:
    with servers.serving(servers.files({})) as server:
        playlist = tmp_path / "l.m3u8"
        playlist.write_text(
            f"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:1.2,\nhttp://127.0.0.1:{server.port}/a.ts\n"
            "#EXT-X-ENDLIST\n"
        )
        _refusal(playlist)
        with socket.create_connection(("127.0.0.1", server.port)):
            pass  # the one connection that shows the server counts
    assert server.connections <= 1


@pytest.mark.parametrize(
    ("name", "codec"), [("a.mp4", "libx264"), ("a.mkv", "libx264"), ("a.ts", "mpeg2video")]
)
def test_mutated_files_give_frames_or_a_sentence_and_nothing_else(
    tmp_path: Path, name: str, codec: str
) -> None:
    whole = media.write_clip(tmp_path / name, paint=media.noise, codec=codec, frames=10).read_bytes()
    rng = random.Random(name)
    read = refused = 0
    for case in range(50):
        mutated = bytearray(whole)
        # Every other time the mutations fall where the headers are.
        reach = len(mutated) if case % 2 else min(len(mutated), 1500)
        for _ in range(rng.randrange(1, 30)):
            mutated[rng.randrange(reach)] = rng.randrange(256)
        if case % 5 == 0:
            del mutated[rng.randrange(len(mutated)) :]
        path = tmp_path / f"{case}{Path(name).suffix}"
        path.write_bytes(mutated)
        sentence = ""
        try:
            for frame in _read(path)[1][:3]:
                frame.picture.rgb()
        except SourceError as error:
            sentence = str(error)
        assert sentence.isprintable()
        refused += bool(sentence)
        read += not sentence
    assert read > 0
    assert refused + read == 50
