"""The packaged model with facts about faces made for the demo, so that it raises alarms."""

import shutil
from pathlib import Path

from benchmarks.alarm import stand_in_facts
from stream_detector.model_spec import read_sidecar, write_sidecar
from stream_detector.scorers.choice import packaged_models


def write_alarmed_model(folder: Path) -> Path:
    """The packaged INT8 model in `folder`: real faces about -3, fakes about 3, logits as they are."""
    packaged = next(path for path in packaged_models() if path.suffix == ".xml")
    spec = read_sidecar(packaged)
    files = [Path(shutil.copy(packaged.parent / name, folder)) for name in spec.files]
    facts = stand_in_facts(real=-3.0, fake=3.0, spread=0.5, sigma=0.8, correlation_s=0.4)
    write_sidecar(folder / packaged.name, spec.model_copy(update={"alarm": facts}), files)
    return folder / packaged.name
