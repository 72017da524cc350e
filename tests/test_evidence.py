"""A recorded run: whole, the same when judged again, and every change to it noticed."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import av
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.clips import encode_demo
from stream_detector.errors import UsageError
from stream_detector.evidence.chain import BrokenLog, ChainWriter, Entry, read_chain
from stream_detector.evidence.packets import PacketRing, write_clip
from stream_detector.evidence.replaying import Otherwise, replay
from stream_detector.evidence.signing import read_public_key
from stream_detector.evidence.verifying import verify_log
from stream_detector.sources.address import parse_address
from stream_detector.sources.reader import Reader
from tests.alarmed_models import write_alarmed_model
from tests.conftest import REPOSITORY
from tests.media import noise
from tests.media import write_clip as encode
from tests.test_cli import program


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clip") / "demo.mp4"
    encode_demo(path, seconds=12, rate_hz=10)
    return path


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_alarmed_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def recorded(clip: Path, model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of one recorded run with one alarm."""
    records = tmp_path_factory.mktemp("records")
    done = program("watch", str(clip), "--json", "--model", str(model), "--record", str(records))
    assert done.returncode == 0, done.stderr
    (run,) = records.iterdir()
    return run


@pytest.fixture
def copy(recorded: Path, tmp_path: Path) -> Path:
    """A copy that may be tampered with."""
    return Path(shutil.copytree(recorded, tmp_path / "run"))


def test_a_recorded_run_is_whole_and_judged_again_the_same_comes_of_it(recorded: Path) -> None:
    verified = program("verify", str(recorded))
    assert verified.returncode == 0
    said = json.loads(verified.stdout)
    assert (said["whole"], said["lost"]) == (True, 0)
    assert said["files"] > 50
    replayed = program("replay", str(recorded / "log.jsonl"))
    assert replayed.returncode == 0, replayed.stdout
    assert "60 records of faces judged again" in replayed.stdout
    assert "equal, bit for bit: verdicts, rolling scores, and 1 alarm events" in replayed.stdout


def test_other_thresholds_say_what_would_have_happened(recorded: Path) -> None:
    found = replay(
        read_chain(recorded / "log.jsonl"),
        Otherwise(low=0.1, high=0.5, half_life_s=9.0, false_alarms_per_day=9.0),
    )
    assert "at most 1 false alarm " in found.recorded_alarms[0].detail
    assert "at most 9 false alarms" in found.alarms[0].detail
    assert found.states != found.recorded_states
    refused = program("replay", str(recorded), "--low", "0.9", "--high", "0.1")
    assert refused.returncode == 2
    assert "low below high" in refused.stderr


def test_the_crops_kept_score_again_as_they_did(recorded: Path, model: Path) -> None:
    done = program("replay", str(recorded), "--crops", "--model", str(model))
    assert done.returncode == 0, done.stderr
    assert "difference of the logits: mean 0.0000, most 0.0000" in done.stdout


def test_the_clip_of_an_alarm_holds_the_packets_of_the_source_and_plays(recorded: Path, clip: Path) -> None:
    (kept,) = recorded.glob("alarm-*/clip.mkv")
    before, after = _packets(clip), _packets(kept)
    begin = before.index(after[0])
    assert before[begin : begin + len(after)] == after
    with av.open(str(kept)) as container:
        pictures = sum(1 for _ in container.decode(video=0))
    assert 60 <= pictures == len(after)  # from 5 s before the alarm to the end


def _packets(path: Path) -> list[bytes]:
    with av.open(str(path)) as container:
        return [bytes(packet) for packet in container.demux(video=0) if packet.size]


def whole_entries(log: Path) -> tuple[list[Entry], BrokenLog | None]:
    """The whole records of a log, and what is wrong behind them."""
    entries: list[Entry] = []
    try:
        for entry in read_chain(log):
            entries.append(entry)
    except BrokenLog as error:
        return entries, error
    return entries, None


def _lines(log: Path, change: Callable[[list[bytes]], list[bytes]]) -> None:
    log.write_bytes(b"".join(change(log.read_bytes().splitlines(keepends=True))))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            lambda ls: [*ls[:9], ls[9].replace(b'"pts_s":', b'"pts_s": ', 1), *ls[10:]],
            "record 9 is not as it",
        ),
        (lambda ls: [*ls[:-1], ls[-1].replace(b'"frames":', b'"frames":1')], "is not as it was written"),
        (lambda ls: [*ls[:9], *ls[10:]], "record 9 is missing or not in its place: record 10 stands there"),
        (lambda ls: [*ls[:9], ls[10], ls[9], *ls[11:]], "record 9 is missing or not in its place: record 10"),
        (lambda ls: [*ls[:-1], ls[-1][:40]], "is cut short within record"),
        (lambda ls: ls[:-1], "the log has no end"),
        (lambda ls: [*ls, ls[-1]], "missing or not in its place"),
        (lambda ls: [*ls[:9], b"x" * (1 << 21) + b"\n", *ls[10:]], "line 10 is longer than any record"),
        (lambda ls: [], "is empty"),
    ],
    ids=["byte", "last byte", "removed", "swapped", "torn", "tail", "repeated", "long", "empty"],
)
def test_every_change_to_the_log_is_named(
    copy: Path, change: Callable[[list[bytes]], list[bytes]], sentence: str
) -> None:
    _lines(copy / "log.jsonl", change)
    with pytest.raises(UsageError, match=sentence):
        verify_log(copy / "log.jsonl")
    done = program("verify", str(copy))
    assert done.returncode == 2
    assert sentence.split(":")[0] in json.loads(done.stdout)["problem"]


def test_a_file_that_was_changed_or_taken_away_is_named(copy: Path) -> None:
    crop = next(copy.glob("alarm-*/face-*.png"))
    content = bytearray(crop.read_bytes())
    content[-20] ^= 1
    crop.write_bytes(content)
    with pytest.raises(BrokenLog, match=f"{crop.name} is not as it was written"):
        verify_log(copy / "log.jsonl")
    crop.unlink()
    with pytest.raises(BrokenLog, match=f"{crop.name} of record .* cannot be read"):
        verify_log(copy / "log.jsonl")


def test_a_log_of_a_newer_program_is_refused(tmp_path: Path) -> None:
    with ChainWriter(tmp_path / "log.jsonl") as chain:
        chain.append("header", {"schema": 2})
    with pytest.raises(UsageError, match="has schema 2, this program knows 1"):
        verify_log(tmp_path / "log.jsonl")


def test_cut_at_any_byte_a_log_is_valid_up_to_the_last_whole_record(recorded: Path, tmp_path: Path) -> None:
    content = (recorded / "log.jsonl").read_bytes()
    log = tmp_path / "log.jsonl"
    for at in random.Random(6).sample(range(1, len(content)), 200):
        log.write_bytes(content[:at])
        whole = content[:at].count(b"\n")
        entries, error = whole_entries(log)
        assert error is None or error.whole == whole
        assert len(entries) == whole
        if whole:
            assert replay(entries, Otherwise()).first_difference == ""


@pytest.mark.parametrize("after", [3, 20, 45])
def test_a_recording_that_is_killed_keeps_every_whole_record(
    clip: Path, model: Path, tmp_path: Path, after: int
) -> None:
    command = [sys.executable, "-m", "stream_detector", "watch", str(clip), "--json", "--realtime"]
    command += ["--model", str(model), "--record", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=REPOSITORY) as process:
        assert process.stdout is not None
        for _ in range(after):
            process.stdout.readline()
        time.sleep(0.1)  # what was said a moment ago has been written
        process.send_signal(signal.SIGKILL)
        process.stdout.read()
    (run,) = tmp_path.iterdir()
    with pytest.raises(BrokenLog, match=r"no end|cut short"):
        verify_log(run / "log.jsonl")
    entries, error = whole_entries(run / "log.jsonl")
    assert error is None or error.whole == len(entries)
    assert len(entries) >= after
    assert replay(entries, Otherwise()).first_difference == ""


def test_a_full_folder_ends_the_recording_and_not_the_run(clip: Path, model: Path, tmp_path: Path) -> None:
    words = ["--record", str(tmp_path), "--no-faces", "--max-disk", "0.02"]
    done = program("watch", str(clip), "--json", "--model", str(model), *words)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) > 60
    assert done.stderr.count("have reached --max-disk") == 1
    (run,) = tmp_path.iterdir()
    assert [path.name for path in run.iterdir()] == ["log.jsonl"]
    verified = verify_log(run / "log.jsonl")
    assert verified.lost > 20
    assert (run / "log.jsonl").stat().st_size < 25_000


def test_a_disk_that_takes_no_more_ends_the_recording_and_not_the_run(
    clip: Path, model: Path, tmp_path: Path
) -> None:
    code = (
        "import resource, sys\n"
        "from stream_detector.commands.app import main\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000))\n"
        "sys.exit(main())"
    )
    words = ["watch", str(clip), "--json", "--model", str(model), "--record", str(tmp_path), "--no-faces"]
    done = subprocess.run(
        [sys.executable, "-c", code, *words], capture_output=True, text=True, cwd=REPOSITORY, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert '"type":"summary"' in done.stdout.splitlines()[-1]
    assert done.stderr.count("the run goes on") == 1
    (run,) = tmp_path.iterdir()
    entries, error = whole_entries(run / "log.jsonl")
    assert error is None, "a record that did not fit leaves no torn line"
    assert 0 < sum(entry.kind == "score" for entry in entries) < 60
    kinds = {entry.kind for entry in entries}
    assert "lost" in kinds or "end" not in kinds


def test_without_faces_scores_are_kept_and_no_picture(clip: Path, model: Path, tmp_path: Path) -> None:
    done = program(
        "watch", str(clip), "--json", "--model", str(model), "--record", str(tmp_path), "--no-faces"
    )
    assert done.returncode == 0, done.stderr
    kept = {path.suffix for path in tmp_path.rglob("*") if path.is_file()}
    assert kept == {".jsonl", ".json"}


def test_old_records_are_removed_whole_and_nothing_else(
    recorded: Path, clip: Path, model: Path, tmp_path: Path
) -> None:
    old = Path(shutil.copytree(recorded, tmp_path / "20200101T000000Z"))
    (tmp_path / "notes.txt").write_text("mine")
    long_ago_s = time.time() - 10 * 86400
    os.utime(old / "log.jsonl", (long_ago_s, long_ago_s))
    words = ["--record", str(tmp_path), "--keep-days", "7", "--duration", "1"]
    done = program("watch", str(clip), "--json", "--model", str(model), *words)
    assert done.returncode == 0, done.stderr
    assert "removed the record 20200101T000000Z" in done.stderr
    assert not old.exists()
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_no_password_gets_into_a_record(tmp_path: Path) -> None:
    source = "rtsp://somebody:hunter2@127.0.0.1:9/x?token=s3cret"
    done = program("watch", source, "--json", "--give-up-after", "0", "--record", str(tmp_path))
    assert done.returncode == 3
    (log,) = tmp_path.glob("*/log.jsonl")
    content = log.read_text()
    assert "127.0.0.1:9" in content
    assert "hunter2" not in content
    assert "s3cret" not in content


def test_a_folder_that_cannot_be_used_is_said_before_anything_is_watched(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    done = program("watch", "demo:", "--json", "--record", str(tmp_path / "taken"))
    assert done.returncode == 2
    assert "cannot record in" in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize(
    "words",
    [("--no-faces",), ("--keep-days", "3"), ("--record", "x", "--max-disk", "0")],
    ids=lambda w: w[-1],
)
def test_options_that_make_no_sense_are_refused(words: tuple[str, ...]) -> None:
    done = program("watch", "demo:", *words)
    assert done.returncode == 2
    assert "make no sense" in done.stderr.replace("makes", "make")


def test_a_signed_record_names_its_signer_and_no_other(clip: Path, model: Path, tmp_path: Path) -> None:
    for name in ("mine", "other"):
        private, public = tmp_path / f"{name}.pem", tmp_path / f"{name}.pub"
        subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", str(private)], check=True)
        subprocess.run(["openssl", "pkey", "-in", str(private), "-pubout", "-out", str(public)], check=True)
    records = tmp_path / "records"
    words = ["--record", str(records), "--no-faces", "--sign-key", str(tmp_path / "mine.pem")]
    done = program("watch", str(clip), "--json", "--model", str(model), *words)
    assert done.returncode == 0, done.stderr
    (log,) = records.glob("*/log.jsonl")
    key = read_public_key(tmp_path / "mine.pub")
    assert verify_log(log, public_key=key).signed_by == (key,)
    assert program("verify", str(records), "--public-key", str(tmp_path / "mine.pub")).returncode == 0
    other = program("verify", str(records), "--public-key", str(tmp_path / "other.pub"))
    assert other.returncode == 2
    assert f"the end is signed by {key}, expected" in other.stdout
    secret = (tmp_path / "mine.pem").read_text().splitlines()[1]
    assert secret not in log.read_text()
    # A chain written anew by somebody else fits in itself, but for what was signed.
    kinds = [(entry.kind, dict(entry.content)) for entry in read_chain(log)]
    forged = log.with_name("forged.jsonl")  # beside the files it names
    with ChainWriter(forged) as chain:
        for kind, content in kinds:
            chain.append(kind, content | {"detail": "nothing happened"} if kind == "event" else content)
    with pytest.raises(BrokenLog, match=r"the signature in record \d+ is wrong"):
        verify_log(forged)
    refused = program("watch", "demo:", "--record", str(records), "--sign-key", str(tmp_path / "mine.pub"))
    assert refused.returncode == 2
    assert "openssl genpkey" in refused.stderr


def test_a_ring_of_packets_begins_with_a_key_frame_and_stays_within_its_bounds(tmp_path: Path) -> None:
    source = encode(
        tmp_path / "a.mp4", frames=200, width_px=128, height_px=96, paint=noise, options={"g": "25"}
    )
    ring = PacketRing(3.0, most_bytes=1 << 20)
    for _ in Reader(parse_address(str(source)), packet_sink=ring).frames():
        pass
    newest_s = ring.newest_s()
    assert newest_s is not None
    whole = ring.clip(0.0, newest_s)
    assert whole is not None
    assert whole.packets[0].key
    held_s = newest_s - whole.packets[0].time_s
    small = sum(len(packet.data) for packet in whole.packets) <= 1 << 20
    assert small
    assert held_s <= 4.0
    part = ring.clip(newest_s - 0.5, newest_s - 0.2)
    assert part is not None
    assert part.packets[0].key
    assert part.packets[0].time_s <= newest_s - 0.5
    write_clip(tmp_path / "part.mkv", part)
    assert _packets(tmp_path / "part.mkv") == [packet.data for packet in part.packets]


def test_a_ring_that_was_never_told_to_reach_back_keeps_nothing(tmp_path: Path) -> None:
    ring = PacketRing()
    for _ in Reader(parse_address(str(encode(tmp_path / "a.mp4"))), packet_sink=ring).frames():
        pass
    assert ring.newest_s() is None


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=400))
def test_no_bytes_make_verify_or_replay_crash(content: bytes) -> None:
    with TemporaryDirectory() as folder:
        log = Path(folder, "log.jsonl")
        log.write_bytes(content)
        with pytest.raises(UsageError):
            verify_log(log)
        with pytest.raises(UsageError):
            replay(read_chain(log), Otherwise())


_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
_FIELDS = st.dictionaries(
    st.sampled_from(
        ["stream", "pts_s", "face", "event", "state", "logit", "judging", "files", "folder", "box"]
    ),
    _JSON,
)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(["score", "event", "stream", "files", "lost", "end", "x"]), _FIELDS),
        max_size=4,
    )
)
def test_a_log_written_by_hand_with_hashes_that_fit_crashes_nothing(
    records: list[tuple[str, dict[str, object]]],
) -> None:
    with TemporaryDirectory() as folder:
        log = Path(folder, "log.jsonl")
        judging = {
            "band": {"low": 0.3, "high": 0.7, "source": ""},
            "calibration": None,
            "max_turn": None,
            "alarm_facts": None,
            "streams": {},
        }
        with ChainWriter(log) as chain:
            chain.append("header", {"schema": 1, "judging": judging})
            for kind, content in records:
                chain.append(kind, content)
        for check in (lambda: verify_log(log), lambda: replay(read_chain(log), Otherwise())):
            with suppress(UsageError):
                check()
