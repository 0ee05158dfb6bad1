"""Resize against torch's interpolation, with a batch that varies."""

import numpy as np
import onnxruntime
import pytest
import torch
import torch.nn.functional as F  # noqa: N812  (as everyone writes it)
from onnx import parser

from converter.autodiff import gradient_graph
from tests.converter.test_autodiff import HEADER, near


@pytest.mark.parametrize(
    ("mode", "coordinates", "arguments"),
    [
        ("nearest", "asymmetric", {"mode": "nearest"}),
        ("linear", "half_pixel", {"mode": "bilinear"}),
        ("linear", "align_corners", {"mode": "bilinear", "align_corners": True}),
        ("cubic", "half_pixel", {"mode": "bicubic"}),
    ],
)
@pytest.mark.parametrize("size", [(8, 10), (7, 3), (4, 15)])
def test_resize(mode: str, coordinates: str, arguments: dict, size: tuple[int, int]) -> None:
    text = (
        f"g(float[n,3,4,5] x) => (float[n,3,{size[0]},{size[1]}] y) <int64[2] s = {{{size[0]},{size[1]}}}> "
        f'{{ y = Resize<mode = "{mode}", coordinate_transformation_mode = "{coordinates}", axes = [2,3], '
        'nearest_mode = "floor">(x, , , s) }'
    )
    graph = gradient_graph(parser.parse_model(HEADER + text), ["x"])
    session = onnxruntime.InferenceSession(graph.SerializeToString())
    kinds = {node.op_type for node in graph.graph.node}
    whole = mode == "nearest" and not size[0] % 4 and not size[1] % 5
    assert ("AveragePool" in kinds) == whole  # which is what makes a plain upsampling fast
    for n in (2, 1):
        x = np.random.default_rng(n).standard_normal((n, 3, 4, 5))
        tensor = torch.tensor(x, requires_grad=True)
        out = F.interpolate(tensor, size=size, **arguments)
        dy = np.random.default_rng(7).standard_normal(out.shape)
        (out * torch.tensor(dy)).sum().backward()
        got = session.run(None, {"x": x.astype(np.float32), "cotangent": dy.astype(np.float32)})
        near(got[0], out.detach().numpy(), "y")
        near(got[1], tensor.grad.numpy(), "x")
