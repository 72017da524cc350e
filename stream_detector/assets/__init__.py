"""Where the packaged files lie: one function for each."""

from pathlib import Path

_HERE = Path(__file__).parent


def full_range_face_model() -> Path:
    """MediaPipe's sparse full-range BlazeFace."""
    return _HERE / "face_detection_full_range_sparse.tflite"


def short_range_face_model() -> Path:
    """MediaPipe's short-range BlazeFace."""
    return _HERE / "face_detection_short_range.tflite"


def portrait() -> Path:
    """Eileen Collins, NASA's photograph, 512x512: the actress of the demo."""
    return _HERE / "astronaut.png"


def xception_int8() -> Path:
    """The packaged model, INT8 for OpenVINO; its sidecar and weights lie beside it."""
    return _HERE / "xception-int8.xml"


def xception_fp16() -> Path:
    """The packaged model, FP16 ONNX: the source of every other precision."""
    return _HERE / "xception-fp16.onnx"
