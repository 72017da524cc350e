"""/metrics and /healthz, asked over real sockets."""

import contextlib
import dataclasses
import http.client
import json
import re
import socket
import threading
import time
from collections.abc import Iterator

import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from stream_detector.errors import UsageError
from stream_detector.health import RunStatus
from stream_detector.records import STAGES, EventKind, Stamps, State, StreamEvent
from stream_detector.sinks.metrics import Metrics
from stream_detector.sinks.metrics_server import MetricsServer
from tests.conftest import REPOSITORY
from tests.test_health import SEEN
from tests.test_json_lines import HEADER, SCORE

STAMPS = Stamps(0.0, 0.01, 0.02, 0.03, 0.04, 0.05, 0.11, 0.12)


class Run:
    """A run whose status the test sets, its metrics and their server."""

    def __init__(self, *, address: str = "127.0.0.1") -> None:
        self.now = RunStatus((dataclasses.replace(SEEN, dropped={"find": 3}),), turns=1, turned_ago_s=0.1)
        self.metrics = Metrics(lambda: self.now, max_frame_age_s=2.0)
        self.server = MetricsServer(
            self.metrics.registry, lambda: self.now, address=address, port=0, max_frame_age_s=2.0
        )

    def get(self, path: str) -> tuple[int, str]:
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=10)
        with contextlib.closing(connection):
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()

    def samples(self) -> dict[tuple[str, ...], float]:
        """(name, label values in order of label names) -> value."""
        status, text = self.get("/metrics")
        assert status == 200
        return {
            (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }


@pytest.fixture
def run() -> Iterator[Run]:
    run = Run()
    with run.server:
        yield run


def test_what_happened_is_counted_by_stream_stage_state_and_event(run: Run) -> None:
    run.metrics.begin(HEADER)
    fake = dataclasses.replace(SCORE, p_fake_rolling=0.9, state=State.LIKELY_FAKE, age_ms=120.0)
    for record in (SCORE, fake, dataclasses.replace(SCORE, face_id=2, p_fake=None, state=State.BLURRED)):
        run.metrics.take(record)
    run.metrics.take(StreamEvent(0, 0.0, EventKind.FACE_FOUND, 1))
    samples = run.samples()
    assert samples["stream_detector_frames_total", "0"] == 10
    assert samples["stream_detector_scores_total", "0"] == 2
    assert samples["stream_detector_dropped_total", "find", "0"] == 3
    assert samples["stream_detector_events_total", "face_found", "0"] == 1
    assert samples["stream_detector_faces", "likely_fake", "0"] == 1
    assert samples["stream_detector_faces", "blurred", "0"] == 1
    assert samples["stream_detector_faces", "likely_real", "0"] == 0
    assert samples["stream_detector_frame_age_seconds", "0"] == 0.1
    assert samples["stream_detector_stream_healthy", "0"] == 1
    assert samples["stream_detector_stream_info", "rtsp://camera/door", "0"] == 1
    assert samples["stream_detector_verdict_age_seconds_count", "0"] == 2
    assert samples["stream_detector_verdict_age_seconds_sum", "0"] == pytest.approx(0.13234)
    assert samples["stream_detector_verdict_age_seconds_bucket", "0.1", "0"] == 1
    assert samples["stream_detector_verdict_age_seconds_bucket", "0.15", "0"] == 2
    assert any(name[0] == "stream_detector_build_info" and "int8" in name for name in samples)


def test_faces_whose_alarm_holds_are_counted(run: Run) -> None:
    assert run.samples()["stream_detector_alarmed_faces", "0"] == 0
    run.now = dataclasses.replace(run.now, streams=(dataclasses.replace(SEEN, alarmed=2),))
    assert run.samples()["stream_detector_alarmed_faces", "0"] == 2


def test_each_stage_of_a_scored_frame_has_a_histogram(run: Run) -> None:
    run.metrics.take(dataclasses.replace(SCORE, stamps=STAMPS))
    samples = run.samples()
    stages = {name[1] for name in samples if name[0] == "stream_detector_stage_seconds_sum"}
    assert stages == set(STAGES)
    spent_s = [value for name, value in samples.items() if name[0] == "stream_detector_stage_seconds_sum"]
    assert sum(spent_s) == pytest.approx(0.12)


def test_a_face_that_leaves_is_no_longer_counted_however_it_left(run: Run) -> None:
    run.metrics.take(SCORE)
    run.metrics.take(dataclasses.replace(SCORE, face_id=2))
    run.metrics.take(StreamEvent(0, 1.0, EventKind.FACE_LOST, 1))
    assert run.samples()["stream_detector_faces", "warming_up", "0"] == 1
    run.metrics.take(StreamEvent(0, 1.0, EventKind.STREAM_FAILED))
    assert run.samples()["stream_detector_faces", "warming_up", "0"] == 0


def test_labels_do_not_grow_with_the_faces(run: Run) -> None:
    run.metrics.take(SCORE)
    before = len(run.samples())
    for face in range(2, 500):
        run.metrics.take(dataclasses.replace(SCORE, face_id=face))
        run.metrics.take(StreamEvent(0, 1.0, EventKind.FACE_LOST, face))
    assert len(run.samples()) == before + 1  # the counter of face_lost


def test_the_readme_names_every_metric_and_no_other(run: Run) -> None:
    run.metrics.begin(HEADER)
    run.metrics.take(dataclasses.replace(SCORE, stamps=STAMPS))
    run.metrics.take(StreamEvent(0, 0.0, EventKind.FACE_FOUND, 1))
    served = {
        re.sub(r"_(bucket|sum|count|created)$", "", name[0]).removeprefix("stream_detector_")
        for name in run.samples()
        if name[0].startswith("stream_detector_")
    } | {"output_dropped_total", "output_pending", "output_failing"}
    table = (REPOSITORY / "docs" / "unattended.md").read_text(encoding="utf-8").split("<!-- metrics -->")[1]
    cells = [row.split("|")[1] for row in table.splitlines() if row.startswith("| `")]
    assert {name.strip("` ") for cell in cells for name in cell.split(",")} == served


def test_the_figures_of_other_outputs_are_served_too() -> None:
    class Other:
        dropped, pending, failing = 7, 3, True

    metrics = Metrics(lambda: RunStatus((), 0, None), max_frame_age_s=2.0, outputs={"publish": Other()})
    text = generate_latest(metrics.registry).decode()
    assert 'stream_detector_output_dropped_total{output="publish"} 7.0' in text
    assert 'stream_detector_output_pending{output="publish"} 3.0' in text
    assert 'stream_detector_output_failing{output="publish"} 1.0' in text


def test_a_stream_that_was_ended_and_added_again_goes_on_under_its_name(run: Run) -> None:
    first = dataclasses.replace(SEEN, name="door", ended=True, frames=100, dropped={"find": 2})
    again = dataclasses.replace(SEEN, stream=1, name="door", frames=7, dropped={"find": 1})
    run.now = RunStatus((first, again), turns=1, turned_ago_s=0.1)
    for stream in (0, 1):
        run.metrics.take(dataclasses.replace(SCORE, stream=stream))
    _, text = run.get("/metrics")
    lines = [line.rpartition(" ")[0] for line in text.splitlines() if not line.startswith("#")]
    assert len(lines) == len(set(lines)), "Prometheus refuses a page that says the same twice"
    samples = run.samples()
    assert samples["stream_detector_frames_total", "door"] == 107
    assert samples["stream_detector_scores_total", "door"] == 2
    assert samples["stream_detector_dropped_total", "find", "door"] == 3
    assert samples["stream_detector_faces", "warming_up", "door"] == 1


def test_healthz_says_503_and_why_while_the_newest_frame_is_too_old(run: Run) -> None:
    status, body = run.get("/healthz")
    assert status == 200
    assert json.loads(body)["healthy"] is True
    run.now = dataclasses.replace(run.now, streams=(dataclasses.replace(SEEN, frame_age_s=7.5),))
    status, body = run.get("/healthz")
    assert status == 503
    answer = json.loads(body)
    assert "is 7.5 s old, expected at most 2 s" in answer["problems"][0]
    assert answer["streams"][0]["problem"] == answer["problems"][0]
    assert run.samples()["stream_detector_stream_healthy", "0"] == 0


def test_other_paths_and_methods_are_refused(run: Run) -> None:
    assert run.get("/")[0] == 404
    connection = http.client.HTTPConnection("127.0.0.1", run.server.port, timeout=10)
    with contextlib.closing(connection):
        connection.request("POST", "/metrics", b"x")
        assert connection.getresponse().status == 405
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", run.server.port, timeout=10)) as head:
        head.request("HEAD", "/healthz")
        answer = head.getresponse()
        assert (answer.status, answer.read()) == (200, b"")


def test_a_client_that_says_nothing_hides_the_health_from_nobody(run: Run) -> None:
    with socket.create_connection(("127.0.0.1", run.server.port)):
        began_s = time.monotonic()
        assert run.get("/healthz")[0] == 200
        assert time.monotonic() - began_s < 2.5  # the silent one is hung up on after 3 s
    # the fixture that watches threads fails this test if the thread of the silent client stays


def test_a_port_that_cannot_be_used_is_a_sentence() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        metrics = Metrics(lambda: RunStatus((), 0, None), max_frame_age_s=2.0)
        with pytest.raises(UsageError, match="is taken by another program"):
            MetricsServer(
                metrics.registry,
                lambda: RunStatus((), 0, None),
                address="127.0.0.1",
                port=port,
                max_frame_age_s=2,
            )


@pytest.mark.parametrize(
    ("address", "port", "says"),
    [
        ("127.0.0.1", 70000, "from 0 to 65535"),
        ("192.0.2.1", 0, "expected an address of this machine"),
        ("no such host", 0, "expected an address of this machine"),
    ],
)
def test_an_address_that_cannot_be_listened_on_is_a_sentence(address: str, port: int, says: str) -> None:
    metrics = Metrics(lambda: RunStatus((), 0, None), max_frame_age_s=2.0)
    with pytest.raises(UsageError, match=says):
        MetricsServer(
            metrics.registry,
            lambda: RunStatus((), 0, None),
            address=address,
            port=port,
            max_frame_age_s=2,
        )


def test_the_server_ends_with_the_run_and_gives_its_port_back() -> None:
    run = Run()
    with run.server:
        assert any(thread.name == "metrics" for thread in threading.enumerate())
    with socket.create_server(("127.0.0.1", run.server.port)):
        pass
