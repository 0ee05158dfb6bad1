"""A training step of onnxruntime-training, one for each line on standard input; runs in its own environment.

Arguments: the inference model, a .npz with "x" and "y", and a folder for its artefacts. It answers "ready" and then
the milliseconds of each step. Its package imports PyTorch when it is imported whole; the parts used here do not.
"""

import sys
import time
import types
from pathlib import Path

import numpy as np
import onnx
import onnxruntime


def main(model_path: str, data_path: str, folder: str) -> None:
    """Build the step's artefacts and serve steps."""
    package = types.ModuleType("onnxruntime.training")
    package.__path__ = [str(Path(onnxruntime.__file__).parent / "training")]
    sys.modules["onnxruntime.training"] = package
    import onnxruntime.training.artifacts as artifacts
    from onnxruntime.training.api import CheckpointState, Module, Optimizer

    model = onnx.load(model_path)
    statistics = _train_batch_norms(model.graph)
    _give_moments(model.graph)
    names = [t.name for t in model.graph.initializer if t.data_type == onnx.TensorProto.FLOAT]
    weights = [name for name in names if name not in statistics and _size(model, name) > 1]
    artifacts.generate_artifacts(
        model,
        requires_grad=weights,
        frozen_params=[name for name in names if name not in weights],
        loss=artifacts.LossType.CrossEntropyLoss,
        optimizer=artifacts.OptimType.SGD,
        artifact_directory=folder,
    )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    state = CheckpointState.load_checkpoint(f"{folder}/checkpoint")
    module = Module(f"{folder}/training_model.onnx", state, device="cpu", session_options=options)
    optimizer = Optimizer(f"{folder}/optimizer_model.onnx", module)
    optimizer.set_learning_rate(0.01)
    module.train()
    data = np.load(data_path)
    x, y = data["x"], data["y"]
    print("ready", flush=True)
    for _ in sys.stdin:
        began = time.perf_counter_ns()
        module(x, y)
        optimizer.step()
        module.lazy_reset_grad()
        print((time.perf_counter_ns() - began) / 1e6, flush=True)


def _train_batch_norms(graph: onnx.GraphProto) -> set[str]:
    """Set them to training mode; returns the names of their running statistics."""
    statistics: set[str] = set()
    for k, node in enumerate(graph.node):
        if node.op_type == "BatchNormalization":
            statistics.update(node.input[3:5])
            kept = [a for a in node.attribute if a.name != "training_mode"]
            del node.attribute[:]
            node.attribute.extend([*kept, onnx.helper.make_attribute("training_mode", 1)])
            del node.output[1:]
            node.output.extend([f"running_mean_{k}", f"running_var_{k}"])
    return statistics


def _give_moments(graph: onnx.GraphProto) -> None:
    """Let layer normalisations give the moments, which their gradient there reads."""
    for k, node in enumerate(graph.node):
        if node.op_type == "LayerNormalization":
            del node.output[1:]
            node.output.extend([f"moment_mean_{k}", f"moment_inverse_{k}"])


def _size(model: onnx.ModelProto, name: str) -> int:
    tensor = next(t for t in model.graph.initializer if t.name == name)
    return int(np.prod(tensor.dims))


if __name__ == "__main__":
    main(*sys.argv[1:])
