"""The Python twin of the benchmark against runtimes: frozen backbones in OpenVINO and ONNX Runtime, over standard input.

Reads one JSON command a line and answers one JSON line; the first line it writes are versions.

    {"work": "load", "model": "vit_b16.in21k_ft_in1k", "batch": 8}     random weights, exported to ONNX and compiled
    {"work": "forward", "runtime": "openvino"}                         pooled features of a batch; `openvino_f32`, `onnxruntime`
    {"work": "free"}

Times are seconds of one call, without warming up, by the clock and of the processor. Every runtime has OMP_NUM_THREADS threads, one stream, and the latency
hint or what corresponds to it; shapes are fixed. `openvino` is its default, which on a processor with AVX512-BF16 or AMX
computes in bf16; `openvino_f32` asks for f32 by the hint INFERENCE_PRECISION_HINT. A load says what precision each
compiled model reports, and the smallest cosine of its features to PyTorch's.
"""

import gc
import json
import os
import pathlib
import sys
import tempfile
import time

import numpy as np
import onnxruntime
import openvino
import torch
import transformers

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "tests/reference"))
import backbones  # noqa: E402

backbones.ATTENTION = "eager"  # what an exporter takes apart
THREADS = int(os.environ.get("OMP_NUM_THREADS", "2"))


class Features(torch.nn.Module):
    """Images to the features that the benchmark of backbones takes."""

    def __init__(self, model_id, size):
        super().__init__()
        self.reference = backbones.FULL[model_id][1](size)
        self.model, self.clip = self.reference.model, model_id.startswith("clip")
        backbones.published_like(self.model)
        backbones.running_statistics(self.model, lambda: backbones.images(2, size))

    def forward(self, images):
        if self.reference.tokens is None:
            return self.reference.pooled(images)
        if self.clip:
            return self.model.vision_model(images).pooler_output
        tokens = self.reference.tokens(images)
        return tokens[:, 0] if self.reference.default == "cls" else tokens.mean(1)


class Loaded:
    def __init__(self, command):
        torch.manual_seed(0)
        size = command.get("size", 224)
        self.images = np.random.default_rng(0).standard_normal((command["batch"], 3, size, size), dtype=np.float32)
        model = Features(command["model"], size).eval()
        images = torch.from_numpy(self.images)
        with torch.inference_mode():
            expected = model(images).numpy()
        with tempfile.TemporaryDirectory() as folder:
            path = str(pathlib.Path(folder) / "model.onnx")
            torch.onnx.export(model, (images,), path, input_names=["images"], output_names=["features"], verbose=False)
            del model
            gc.collect()
            self.runs = {"openvino": self.openvino(path, {}), "onnxruntime": self.onnxruntime(path)}
            self.runs["openvino_f32"] = self.openvino(path, {"INFERENCE_PRECISION_HINT": "f32"})
        self.facts = {name: {"cosine": cosine(run(), expected)} for name, run in self.runs.items()}
        for name, precision in self.precisions.items():
            self.facts[name]["precision"] = precision

    precisions = {}

    def openvino(self, path, options):
        core = openvino.Core()
        options = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": THREADS, "NUM_STREAMS": 1, **options}
        compiled = core.compile_model(core.read_model(path), "CPU", options)
        name = "openvino_f32" if "INFERENCE_PRECISION_HINT" in options else "openvino"
        self.precisions = {**self.precisions, name: compiled.get_property("INFERENCE_PRECISION_HINT").to_string()}
        request = compiled.create_infer_request()
        return lambda: request.infer({0: self.images}, share_inputs=True)[0]

    def onnxruntime(self, path):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = THREADS, 1
        # Idle threads would otherwise turn in a loop while the others are measured.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        return lambda: session.run(None, {"images": self.images})[0]

    def forward(self, command):
        start, busy = time.perf_counter(), time.process_time()
        features = self.runs[command["runtime"]]()
        seconds, busy = time.perf_counter() - start, time.process_time() - busy
        return {"seconds": seconds, "processor": busy, "features": list(features.shape)}


def cosine(a, b):
    return float(((a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)).min())


def main():
    # What libraries print goes to standard error, where nobody takes it for an answer.
    answers, sys.stdout = sys.stdout, sys.stderr
    torch.set_num_threads(THREADS)
    tell = lambda answer: print(json.dumps(answer), file=answers, flush=True)
    tell({"Python": sys.version.split()[0], "openvino": openvino.__version__.split("-")[0],
          "onnxruntime": onnxruntime.__version__, "torch": torch.__version__, "transformers": transformers.__version__})
    loaded = None
    for line in sys.stdin:
        command = json.loads(line)
        if command["work"] == "forward":
            tell(loaded.forward(command))
            continue
        loaded = None
        gc.collect()
        if command["work"] == "load":
            loaded = Loaded(command)
            tell(loaded.facts)
        else:
            tell({})


if __name__ == "__main__":
    main()
