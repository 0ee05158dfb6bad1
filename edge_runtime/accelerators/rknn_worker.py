"""What runs in the Python that has rknn-toolkit2: convert a graph, and run it in the toolkit's simulator.

Called with a request in JSON as its only argument; imports nothing of this package, which need not be installed there.
"""

import json
import sys
from typing import Any

import numpy as np

OPSET = 19
"""The newest that the toolkit reads."""


def main(request: dict[str, Any]) -> dict[str, Any]:
    """Convert `model` (an .onnx file in QDQ form, or a float one) for `platform`; simulate it on `inputs`.

    Returns:
        ``{"version": ...}``, or ``{"error": ...}`` with the step of the toolkit that refused.
    """
    from importlib import metadata

    from rknn.api import RKNN

    toolkit = RKNN(verbose=False)
    # Integers and scales stand in the graph: the toolkit takes them as they are.
    toolkit.config(target_platform=request["platform"])
    steps: dict[str, Any] = {
        "load_onnx": lambda: toolkit.load_onnx(model=readable(request["model"])),
        "build": lambda: toolkit.build(do_quantization=False),
        "export_rknn": lambda: toolkit.export_rknn(request["output"]),
    }
    if request.get("inputs"):
        steps["init_runtime"] = toolkit.init_runtime  # without a target: the simulator
    for name, step in steps.items():
        try:
            refused = "failed" if step() != 0 else ""
        except Exception as error:  # noqa: BLE001 - whatever the toolkit raises is its answer
            refused = str(error).strip().splitlines()[-1]
        if refused:
            return {"error": f"{name}: {refused}"}
    if request.get("inputs"):
        _simulate(toolkit, request["inputs"], request["outputs"])
    toolkit.release()
    return {"version": metadata.version("rknn-toolkit2")}


def readable(path: str) -> str:
    """Write the graph again, in place, for an opset that the toolkit reads and with a batch of 1.

    What opsets 20 and 21 changed in operators that both have is new types and blocked quantisation; the checker
    refuses a graph that uses any of it.
    """
    import onnx

    model = onnx.load(path)
    for entry in model.opset_import:
        if entry.domain in ("", "ai.onnx"):
            entry.version = min(entry.version, OPSET)
    for value in [*model.graph.input, *model.graph.output]:
        for dim in value.type.tensor_type.shape.dim:
            if not dim.HasField("dim_value"):
                dim.dim_value = 1
    del model.graph.value_info[:]  # they are of the batch that could vary
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)
    return path


def _simulate(toolkit: Any, inputs: str, outputs: str) -> None:
    with np.load(inputs) as given:
        samples = [given[name] for name in given.files]
    rows = []
    for k in range(len(samples[0])):
        feed = [each[k : k + 1] for each in samples]
        rows.append(toolkit.inference(inputs=feed, data_format=["nchw"] * len(feed)))
    np.savez(outputs, *[np.concatenate(column) for column in zip(*rows, strict=True)])


if __name__ == "__main__":
    said = main(json.loads(sys.argv[1]))
    sys.stdout.write("\n" + json.dumps(said) + "\n")
