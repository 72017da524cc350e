"""The packaged network in plain torch: what peers run, and what a GPU does without TensorRT."""

from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
import torch
from onnx import numpy_helper

from engine_build.xception import Xception
from stream_detector import assets
from stream_detector.model_spec import Precision, read_sidecar
from stream_detector.records import Image, Scores


def packaged_network() -> Xception:
    """The packaged weights in torch, FP32, BatchNorms folded."""
    stored = {
        tensor.name: torch.from_numpy(numpy_helper.to_array(tensor).astype(np.float32))
        for tensor in onnx.load(str(assets.xception_fp16())).graph.initializer
    }
    network = Xception(rows=1).folded()
    network.load_state_dict({name: stored[name] for name in network.state_dict()})
    return network.eval()


class TorchScorer:
    """A `Scorer` on torch: FP32 on the CPU; on CUDA FP16, channels last, one CUDA graph per batch size."""

    max_batch = best_batch = 64

    def __init__(self, device: Literal["cpu", "cuda"], model: Path | None = None) -> None:
        """Load the packaged weights. `model`: whose sidecar to carry; None: the packaged FP16 file's."""
        self.spec = read_sidecar(model or assets.xception_fp16())
        self.backend = f"torch-{device}"
        self._device = torch.device(device)
        self._type = torch.float16 if device == "cuda" else torch.float32
        self.precision: Precision = "fp16" if device == "cuda" else "fp32"
        network = packaged_network().to(self._device, self._type)
        self._network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._graphs: dict[int, tuple[Any, torch.Tensor, tuple[torch.Tensor, torch.Tensor]]] = {}

    def score(self, faces: Image) -> Scores:
        """Logit and evidence map of each crop, copied from and to the host; see `stages.Scorer`."""
        given = torch.from_numpy(faces)
        with torch.inference_mode():
            if self._device.type == "cpu":
                logit, evidence = self._run(given)
            else:
                graph, held, (logit, evidence) = self._graph(len(faces))
                held.copy_(given, non_blocking=True)
                graph.replay()
            return Scores(logit=logit.float().cpu().numpy(), evidence=evidence.float().cpu().numpy())

    def close(self) -> None:
        """Free the network. Calling it twice is fine."""
        self._graphs.clear()

    def _run(self, faces: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        scaled = (faces.to(self._type) - 127.5) / 127.5
        found: tuple[torch.Tensor, torch.Tensor] = self._network(scaled.permute(0, 3, 1, 2))
        return found

    def _graph(self, faces: int) -> tuple[Any, torch.Tensor, tuple[torch.Tensor, torch.Tensor]]:
        if faces not in self._graphs:
            size = self.spec.contract.input_px
            held = torch.zeros((faces, size, size, 3), dtype=torch.uint8, device=self._device)
            aside = torch.cuda.Stream()  # type: ignore[no-untyped-call]
            with torch.cuda.stream(aside), torch.inference_mode():  # cuDNN chooses its kernels here
                for _ in range(3):
                    self._run(held)
            torch.cuda.current_stream().wait_stream(aside)
            graph = torch.cuda.CUDAGraph()
            with torch.inference_mode(), torch.cuda.graph(graph):
                found = self._run(held)
            self._graphs[faces] = graph, held, found
        return self._graphs[faces]


class TorchCudaScorer(TorchScorer):
    """On an NVIDIA GPU; also measured without the copies."""

    def __init__(self) -> None:
        """Load the packaged weights."""
        super().__init__("cuda")

    def replay(self, faces: int) -> None:
        """Score so many faces that lie on the GPU already, and wait for the end."""
        self._graph(faces)[0].replay()
        torch.cuda.synchronize()
