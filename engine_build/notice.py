"""NOTICE.md of the packaged assets: where each file is from, its licence, its hash."""

from pathlib import Path

from engine_build.about import About
from stream_detector.errors import ModelError
from stream_detector.model_spec import file_sha256

_MEDIAPIPE = (
    "Google MediaPipe, as in the wheel mediapipe 0.10.21, mediapipe/modules/face_detection | Apache-2.0"
)
_OTHERS = {
    "astronaut.png": "portrait of Eileen Collins by NASA, as scikit-image ships it | public domain",
    "face_detection_full_range_sparse.tflite": _MEDIAPIPE,
    "face_detection_short_range.tflite": _MEDIAPIPE,
}
"""File -> source and licence, of what is not made here."""
_WITHOUT_HASH = {"__init__.py", "NOTICE.md", "MODEL_CARD.md"}


def notice(folder: Path, about: About, checkpoint_sha256: str) -> str:
    """The text for the files that lie in `folder`.

    Raises:
        ModelError: it holds a file whose source nobody stated.
    """
    rows = []
    for path in sorted(p for p in folder.iterdir() if p.is_file() and p.name not in _WITHOUT_HASH):
        if path.name.startswith("xception-"):
            source = f"{about.name}, made by engine_build from {checkpoint_sha256[:12]}… | see below"
        elif path.name in _OTHERS:
            source = _OTHERS[path.name]
        else:
            raise ModelError(f"{path} has no stated source; add it to engine_build/notice.py, or remove it")
        rows.append(f"| {path.name} | {source} | `{file_sha256(path)}` |")
    return f"""# Notice: the files packaged here

The code of this project is under Apache-2.0; the files below have terms of their own.

| file | source | licence | sha256 |
|---|---|---|---|
{chr(10).join(rows)}

## The model

Trained on {about.trained_on}.

Terms: {about.terms}.

MODEL_CARD.md states what was measured, and the limits.
"""
