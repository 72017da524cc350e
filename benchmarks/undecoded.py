"""What it does to verdicts that files have pictures left undecoded, see `SparseDecoding`."""

from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import av
import numpy as np

from engine_build.calibrate import probabilities
from engine_build.degrade import Motion
from engine_build.face_crops import StoredFace, cut_stored, held_out_faces
from engine_build.filmed_faces import CRF, FACES_PX, Floats, before_the_camera
from engine_build.self_blend import self_blend
from stream_detector import assets
from stream_detector.optional import require
from stream_detector.records import Image
from stream_detector.scorers.openvino_scorer import OpenVinoScorer
from stream_detector.stages import Scorer

_FRAMES = 30
_LOOKS = (5, 10, 15, 20)
"""Frames that are looked at where all are decoded: a fifth of a second apart at 25 frames a second."""
_FACE_MODEL = "full-range-sparse"


def measure_undecoded(faces: Path, *, draws: int) -> dict[str, Any]:
    """Score held-out faces and self-blends of them, filmed with x264's defaults, in both ways.

    Each look takes the first picture there is at its time or after. A face and its blend share motion,
    size and compression.

    Args:
        faces: crops as `engine_build train` takes them; the split "val" is used.
        draws: of the bootstrap over faces.

    Raises:
        ModelError: there are no such faces, or a picture cannot be read.
    """
    held_out = held_out_faces(faces)
    scorer = OpenVinoScorer(assets.xception_int8(), max_batch=1)
    try:
        clips = [_both_ways(scorer, face, number) for number, face in enumerate(held_out)]
        name = scorer.spec.name
    finally:
        scorer.close()
    # (faces, real and fake, all and sparse): mean logit of a clip
    logit = np.array([[logits for logits, _ in pair] for pair in clips])
    rng = np.random.default_rng(0)
    drawn = [_auc_change(logit[rng.integers(len(logit), size=len(logit))]) for _ in range(draws)]
    p = probabilities(logit)
    return {
        "model": name,
        "faces": len(held_out),
        "decoded_share": float(np.mean([share for pair in clips for _, share in pair])),
        "rows": [
            {
                "decoded": decoded,
                "auc": _auc(logit[:, :, way]),
                "p_real": float(p[:, 0, way].mean()),
                "p_fake": float(p[:, 1, way].mean()),
            }
            for way, decoded in enumerate(("all", "what others are decoded from"))
        ],
        "auc_change": _auc_change(logit),
        "auc_change_95": [float(each) for each in np.quantile(drawn, [0.025, 0.975])],
    }


def undecoded_table(result: dict[str, Any]) -> str:
    """The figures as Markdown."""
    lines = [
        "| pictures decoded | AUC per clip | mean p of real clips | of fake clips |",
        "|---|--:|--:|--:|",
    ]
    lines += [
        f"| {row['decoded']} | {row['auc']:.3f} | {row['p_real']:.3f} | {row['p_fake']:.3f} |"
        for row in result["rows"]
    ]
    low, high = result["auc_change_95"]
    return "\n".join(lines) + (
        f"\n\n{result['faces']} held-out faces and a self-blend of each, filmed with B-frames (x264's "
        f"defaults, CRF {CRF[0]} to {CRF[1]}); {result['decoded_share']:.0%} of the pictures were decoded in "
        f"the second way. Change of the AUC: {result['auc_change']:+.4f} [{low:+.4f}, {high:+.4f}]. "
        f"{result['model']} in INT8."
    )


def _both_ways(scorer: Scorer, face: StoredFace, number: int) -> list[tuple[list[float], float]]:
    """Of the real clip and of the fake one: its mean logit with all pictures and without those that are
    left out, and the share of the pictures that stay."""
    rng = np.random.default_rng([31, number])
    low, high = np.log(FACES_PX)
    face_px = round(float(np.exp(rng.uniform(low, high))))
    crf = int(rng.integers(CRF[0], CRF[1] + 1))
    motion = Motion.drawn(rng)
    picture = face.picture()
    found = []
    for shown in (picture, self_blend(picture, face.landmarks, rng)):
        packets = _filmed(shown, face_px=face_px, crf=crf, motion=motion)
        everything, sparse = _decoded(packets, "DEFAULT"), _decoded(packets, "NONREF")
        ways = [_mean_logit(scorer, pictures) for pictures in (everything, sparse)]
        found.append((ways, len(sparse) / len(everything)))
    return found


def _filmed(picture: Image, *, face_px: int, crf: int, motion: Motion) -> list["av.Packet[Any]"]:
    pictures = before_the_camera(picture, face_px=face_px, motion=motion, count=_FRAMES)
    encoder = av.CodecContext.create("libx264", "w")
    encoder.height, encoder.width = pictures[0].shape[:2]
    encoder.pix_fmt = "yuv420p"
    encoder.time_base = Fraction(1, 25)
    encoder.options = {"crf": str(crf)}
    packets: list[av.Packet[Any]] = []
    for number, each in enumerate(pictures):
        frame = av.VideoFrame.from_ndarray(each, format="rgb24")
        frame.pts = number
        packets += encoder.encode(frame)
    return packets + encoder.encode(None)


def _decoded(packets: list["av.Packet[Any]"], skip: Literal["DEFAULT", "NONREF"]) -> dict[int, Image]:
    """Frame number -> picture."""
    decoder = av.CodecContext.create("h264", "r")
    decoder.skip_frame = skip
    frames = [frame for packet in packets for frame in decoder.decode(packet)]
    frames += decoder.decode(None)
    return {
        frame.pts: np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)
        for frame in frames
        if frame.pts is not None
    }


def _mean_logit(scorer: Scorer, pictures: dict[int, Image]) -> float:
    size_px, margin = scorer.spec.contract.input_px, scorer.spec.margin(_FACE_MODEL)
    logits = []
    for look in _LOOKS:
        seen = pictures[min(number for number in pictures if number >= look)]
        crop = cut_stored(seen, margin=margin, size_px=size_px)
        logits.append(float(scorer.score(crop[None]).logit[0]))
    return float(np.mean(logits))


def _auc(logit: Floats) -> float:
    """Of (faces, 2): real, fake."""
    metrics = require("sklearn.metrics", why="measuring an AUC", extra="build")
    return float(metrics.roc_auc_score(np.tile([0, 1], len(logit)), logit.ravel()))


def _auc_change(logit: Floats) -> float:
    return _auc(logit[:, :, 1]) - _auc(logit[:, :, 0])
