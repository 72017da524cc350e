"""What the route of a frame may cost, counted: pictures converted, networks run, bytes and calls of Python.

No clock is read. Each count is the same on every machine, and fails when somebody makes the route wasteful:
converts what nobody looks at, copies a picture once more, scores a face twice, or works per pixel in Python.
"""

import io
import subprocess
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

import stream_detector.look
from stream_detector.alarm_design import design_alarm
from stream_detector.exchange import Work
from stream_detector.face_detectors import FaceDetectors
from stream_detector.faces import MediaPipeFaceFinder
from stream_detector.judging import Judge
from stream_detector.ledger import Ledger
from stream_detector.look import Look
from stream_detector.model_spec import ModelSpec
from stream_detector.pipeline import Pipeline
from stream_detector.records import FaceCrop, FaceScore, Frame, Image, Scores
from stream_detector.scorers.choice import choose_scorer
from stream_detector.settings import Settings, StreamSettings, make_settings
from stream_detector.sinks.json_lines import JsonLines
from stream_detector.sources.address import parse_address
from stream_detector.sources.picture import RgbConverter
from stream_detector.sources.reader import Reader
from stream_detector.sources.selftest import demo_pictures
from stream_detector.stages import Scorer
from stream_detector.verdict import Verdicts
from tests.media import write_clip
from tests.test_house_rules import HEAVY

RATE_HZ, SECONDS = 30, 4


def write_film(path: Path, width_px: int, height_px: int, *, columns: int = 1) -> Path:
    """The demo as a clip of 4 s at 30 frames/s, `columns` x `columns` times: as many faces."""
    tile = (width_px // columns, height_px // columns)
    pictures = demo_pictures(tile, Fraction(RATE_HZ))

    def paint(index: int, width_px: int, height_px: int) -> Image:
        return np.tile(next(pictures), (columns, columns, 1))

    return write_clip(
        path,
        frames=RATE_HZ * SECONDS,
        width_px=width_px,
        height_px=height_px,
        rate_hz=RATE_HZ,
        paint=paint,
        options={"preset": "veryfast"},
    )


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """640x360, one face."""
    return write_film(tmp_path_factory.mktemp("film") / "small.mp4", 640, 360)


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """1280x720, one face."""
    return write_film(tmp_path_factory.mktemp("film") / "large.mp4", 1280, 720)


@pytest.fixture(scope="module")
def crowded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """1280x720, four faces."""
    return write_film(tmp_path_factory.mktemp("film") / "crowded.mp4", 1280, 720, columns=2)


@pytest.fixture(scope="module")
def scorer() -> Iterator[Scorer]:
    """The packaged model."""
    with closing(choose_scorer(model=None, backend="auto", precision="auto", max_batch=8)) as opened:
        yield opened


@dataclass
class Counted:
    """What a run did, and how often."""

    converted: int = 0
    """Pictures made RGB."""
    looks: int = 0
    networks: int = 0
    """Runs of the network that finds faces."""
    cut: int = 0
    """Faces cut out of a picture."""
    batches: list[int] = field(default_factory=list)
    """Faces in each."""
    models: int = 0
    """Opened."""
    frames: int = 0
    scores: int = 0


class CountingScorer:
    """The scorer it wraps, which notes the size of each batch."""

    def __init__(self, scorer: Scorer, batches: list[int]) -> None:
        self._scorer, self._batches = scorer, batches
        self.spec, self.max_batch, self.best_batch = scorer.spec, scorer.max_batch, scorer.best_batch
        self.backend, self.precision = scorer.backend, scorer.precision

    def score(self, faces: Image) -> Scores:
        self._batches.append(len(faces))
        return self._scorer.score(faces)

    def close(self) -> None:
        """The test closes the scorer it wraps."""


@pytest.fixture
def counted_run(monkeypatch: pytest.MonkeyPatch, scorer: Scorer) -> Callable[..., Counted]:
    """Runs the program on clips, as fast as it goes, and counts."""
    counted = Counted()

    def counting(owner: object, name: str, what: str) -> None:
        work = getattr(owner, name)

        def counted_work(*args: object, **options: object) -> object:
            setattr(counted, what, getattr(counted, what) + 1)
            return work(*args, **options)

        monkeypatch.setattr(owner, name, counted_work)

    counting(RgbConverter, "convert", "converted")
    counting(Look, "at", "looks")
    counting(FaceDetectors, "detect", "networks")
    counting(stream_detector.look, "cut_face", "cut")

    def open_scorer(settings: Settings) -> Scorer:
        counted.models += 1
        return CountingScorer(scorer, counted.batches)

    def run(*clips: Path, score_hz: float) -> Counted:
        settings = make_settings(sources=tuple(map(str, clips)), score_hz=score_hz)
        with Pipeline(settings, open_scorer=open_scorer) as pipeline:
            for record in pipeline.records():
                counted.scores += isinstance(record, FaceScore) and record.p_fake is not None
            counted.frames = pipeline.summary().frames
        return counted

    return run


class Calls:
    """Counts the calls that the thread which enters it makes, of functions in Python and in C."""

    def __init__(self) -> None:
        self.count = 0

    def __enter__(self) -> "Calls":
        def note(frame: object, event: str, arg: object) -> None:
            self.count += event in ("call", "c_call")

        sys.setprofile(note)
        return self

    def __exit__(self, *_: object) -> None:
        sys.setprofile(None)


@pytest.mark.parametrize(("score_hz", "looks_hz"), [(1.0, 4), (5.0, 5)])
def test_a_frame_that_nobody_looks_at_is_never_converted(
    small: Path, counted_run: Callable[..., Counted], score_hz: float, looks_hz: int
) -> None:
    counted = counted_run(small, score_hz=score_hz)
    assert counted.looks <= counted.frames < RATE_HZ * SECONDS
    assert counted.looks == looks_hz * SECONDS
    assert 0 < counted.converted <= counted.looks


def test_a_small_picture_costs_one_run_of_the_face_network_a_look(
    small: Path, counted_run: Callable[..., Counted]
) -> None:
    counted = counted_run(small, score_hz=5.0)
    assert 0 < counted.networks <= counted.looks


def test_a_large_picture_with_a_large_face_costs_half_as_much_again_at_most(
    large: Path, counted_run: Callable[..., Counted]
) -> None:
    counted = counted_run(large, score_hz=5.0)
    # Two tiles in eight looks, and a closer look at a hint or two. Were the face taken for a small one it
    # would be more than two a look.
    assert counted.looks < counted.networks <= 1.5 * counted.looks


@pytest.mark.parametrize(("film", "faces"), [("small", 1), ("crowded", 4)])
def test_a_face_is_cut_out_and_scored_once_for_each_score_that_is_due(
    film: str, faces: int, counted_run: Callable[..., Counted], request: pytest.FixtureRequest
) -> None:
    counted = counted_run(request.getfixturevalue(film), score_hz=5.0)
    assert counted.cut == sum(counted.batches) == counted.scores == 5 * SECONDS * faces


def test_two_streams_share_one_model(small: Path, counted_run: Callable[..., Counted]) -> None:
    counted = counted_run(small, small, score_hz=1.0)
    assert counted.models == 1
    assert sum(counted.batches) == counted.scores == 2 * SECONDS


@dataclass
class Looked:
    """What one look took."""

    calls: int
    peak_bytes: int
    """Of the memory it allocated, most at once; PyAV's and MediaPipe's own is not in it."""
    crops: list[FaceCrop]


def looks_at(clip: Path, spec: ModelSpec) -> list[Looked]:
    """Every look at `clip`, at 2 scores a second; the first, which also allocates what stays, left out."""
    looked = []
    with closing(MediaPipeFaceFinder()) as finder:
        look = Look(0, finder, spec, StreamSettings(url="a", score_hz=2))  # every other look, none is due
        with closing(Reader(parse_address(str(clip))).frames()) as frames:
            for frame in frames:
                if look.due(frame):
                    looked.append(_one_look(look, frame))
    return looked[1:]


@pytest.fixture(scope="module")
def looks(small: Path, large: Path, scorer: Scorer) -> dict[str, list[Looked]]:
    """The looks at both films."""
    return {"small": looks_at(small, scorer.spec), "large": looks_at(large, scorer.spec)}


def _one_look(look: Look, frame: Frame) -> Looked:
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        with Calls() as calls:
            items = look.at(frame)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    return Looked(calls.count, peak - before, [item for item in items if isinstance(item, FaceCrop)])


def test_a_look_holds_no_other_copy_of_the_whole_picture(looks: dict[str, list[Looked]]) -> None:
    # A tile is the most it copies: 0.6 of the picture.
    assert max(looked.peak_bytes for looked in looks["large"]) < 1280 * 720 * 3


@pytest.mark.parametrize("film", ["small", "large"])
def test_the_calls_of_a_look_are_few_and_do_not_grow_with_time(
    film: str, looks: dict[str, list[Looked]]
) -> None:
    # 340 and 380 without a face due, and 420 to 660 with one and a tile where measured, most of them of
    # MediaPipe's wrapper; work per row of pixels would add as many again, per pixel a thousand times more.
    seen = looks[film]
    assert max(each.calls for each in seen if not each.crops) < 800
    assert max(each.calls for each in seen) < 1500
    # Eight looks are one round of tiles.
    assert sum(each.calls for each in seen[-8:]) <= 1.2 * sum(each.calls for each in seen[:8])


def test_a_frame_that_nobody_looks_at_costs_few_calls(small: Path) -> None:
    with closing(Reader(parse_address(str(small))).frames()) as frames:
        next(frames)
        with Calls() as calls:
            count = sum(1 for _ in frames)
    assert count == RATE_HZ * SECONDS - 1
    # 118 where measured. It is paid for every frame of every stream, and holds the interpreter lock.
    assert calls.count / count < 200


class Table:
    """The score thread's part of the route, from a batch to lines of JSON, without its thread."""

    def __init__(self, scorer: Scorer) -> None:
        spec = scorer.spec
        assert spec.alarm is not None
        self.verdicts = Verdicts(
            half_life_s=1.0,
            band=spec.band,
            alarm_of={0: design_alarm(spec.alarm, 1.0)},
            calibration=spec.calibration,
            max_turn=spec.quality.max_turn,
        )
        ledger = Ledger()
        ledger.begin(0, name=None, source="a", drops=dict.fromkeys(("decode", "find", "score"), lambda: 0))
        self._judge = Judge(scorer, self.verdicts, ledger)
        self.lines = io.StringIO()
        self._sink = JsonLines(self.lines)

    def calls_for(self, *crops: FaceCrop) -> int:
        """Calls made for one batch."""
        with Calls() as calls:
            for record in self._judge.records(Work(list(enumerate(crops)), [])):
                self._sink.take(record)
        return calls.count


@pytest.fixture(scope="module")
def crop(looks: dict[str, list[Looked]]) -> FaceCrop:
    """A face of a film."""
    return next(crop for looked in looks["small"] for crop in looked.crops)


def faces(crop: FaceCrop, count: int, pts_s: float) -> list[FaceCrop]:
    """So many faces in one frame."""
    return [replace(crop, face_id=number, pts_s=pts_s) for number in range(1, count + 1)]


def test_the_calls_of_a_score_are_few_and_do_not_grow_with_time(crop: FaceCrop, scorer: Scorer) -> None:
    table = Table(scorer)
    calls = [table.calls_for(*faces(crop, 1, index / 5)) for index in range(150)]
    assert table.lines.getvalue().count('"type":"score"') == 150
    # 210 where measured: stamps, calibration, two rolling scores, the alarm's evidence, one line of JSON.
    assert max(calls[5:]) < 400
    assert sum(calls[-20:]) <= 1.1 * sum(calls[5:25])


def test_the_calls_of_a_face_do_not_grow_with_the_faces_beside_it(crop: FaceCrop, scorer: Scorer) -> None:
    table = Table(scorer)
    first_s = 0.0
    calls = {}
    for count in (1, 4, 8):
        for index in range(5):
            calls[count] = table.calls_for(*faces(crop, count, first_s + index / 5))
        first_s += 10
    a_face = (calls[4] - calls[1]) / 3
    assert (calls[8] - calls[4]) / 4 <= 1.1 * a_face
    assert calls[1] <= 3 * a_face  # what a batch costs by itself is shared by its faces


def test_crops_are_copied_once_on_their_way_into_the_model(crop: FaceCrop, scorer: Scorer) -> None:
    table = Table(scorer)
    table.calls_for(*faces(crop, 8, 0.0))
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        table.calls_for(*faces(crop, 8, 0.2))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # As float32 they would take four times as much.
    assert peak - before < 1.5 * 8 * crop.pixels.nbytes


@pytest.mark.parametrize("words", ["--help", "watch --help", "--version"])
def test_help_and_version_load_no_heavy_package(words: str) -> None:
    code = (
        "import sys; from stream_detector.commands.app import main; sys.argv[1:] = sys.argv[1].split()\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        f"sys.stderr.write(repr([m for m in {HEAVY!r} if m in sys.modules]))"
    )
    done = subprocess.run([sys.executable, "-c", code, words], capture_output=True, text=True, timeout=60)
    assert done.stdout
    assert done.stderr == "[]"
