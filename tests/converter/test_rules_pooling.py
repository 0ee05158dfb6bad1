"""Pooling by norms, over the whole and over regions, against torch."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812  (as everyone writes it)
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.converter.test_autodiff import against_torch, data, dims, fast


@pytest.mark.parametrize("p", [1, 2, 3])
def test_global_lp_pool(p: int) -> None:
    text = f"g(float[2,3,4,5] x) => (float[2,3,1,1] y) {{ y = GlobalLpPool<p = {p}>(x) }}"
    against_torch(
        text, data(x=(2, 3, 4, 5)), lambda x: x.abs().pow(p).sum((2, 3), keepdim=True).pow(1 / p), ["x"]
    )


@pytest.mark.parametrize("p", [2, 3])
def test_lp_pool(p: int) -> None:
    text = (
        "g(float[2,3,6,7] x) => (float[2,3,3,3] y) "
        f"{{ y = LpPool<p = {p}, kernel_shape = [2,3], strides = [2,2]>(x) }}"
    )

    def torch_form(x: torch.Tensor) -> torch.Tensor:
        return F.avg_pool2d(x.abs().pow(p), (2, 3), 2).mul(6).pow(1 / p)

    against_torch(text, data(x=(2, 3, 6, 7)), torch_form, ["x"])


def test_global_max_pool() -> None:
    text = "g(float[2,3,4,5] x) => (float[2,3,1,1] y) { y = GlobalMaxPool(x) }"
    against_torch(text, data(x=(2, 3, 4, 5)), lambda x: x.amax((2, 3), keepdim=True), ["x"])


@settings(fast, max_examples=15)
@given(draw=st.data())
def test_max_roi_pool(draw: st.DataObject) -> None:
    """Boxes of any place and size, also turned over, outside of the image, and with corners on half pixels."""
    corner = st.integers(-6, 16).map(lambda k: k / 2)
    box = st.tuples(st.integers(0, 1), corner, corner, corner, corner)
    boxes = draw.draw(st.lists(box, min_size=1, max_size=3))
    cells = draw.draw(st.tuples(st.integers(1, 4), st.integers(1, 4)))
    scale = draw.draw(st.sampled_from([0.5, 1.0, 1.5]))
    text = (
        f"g(float[2,3,6,7] x, float[{len(boxes)},5] boxes) => (float[{len(boxes)},3,{dims(cells)}] y) "
        f"{{ y = MaxRoiPool<pooled_shape = [{dims(cells)}], spatial_scale = {scale}>(x, boxes) }}"
    )

    def torch_form(x: torch.Tensor, boxes: torch.Tensor) -> torch.Tensor:
        return torch.stack([pooled(x, entry, cells, scale) for entry in boxes.tolist()])

    feeds = data(x=(2, 3, 6, 7)) | {"boxes": np.array(boxes, np.float64)}
    against_torch(text, feeds, torch_form, ["x"])


def pooled(x: torch.Tensor, box: tuple[float, ...], cells: tuple[int, int], scale: float) -> torch.Tensor:
    """One box cell by cell, as the paper says it."""
    image = x[int(box[0])]
    spans = []
    for low, high, count, size in ((box[2], box[4], cells[0], 6), (box[1], box[3], cells[1], 7)):
        first, last = (int(np.sign(v) * np.floor(np.abs(v * scale) + 0.5)) for v in (low, high))
        step = np.float32(max(last - first + 1, 1)) / np.float32(count)
        ends = [(int(np.floor(k * step)), int(np.ceil(np.float32(k + 1) * step))) for k in range(count)]
        spans.append([(min(max(a + first, 0), size), min(max(b + first, 0), size)) for a, b in ends])
    rows = []
    for top, bottom in spans[0]:
        parts = [image[:, top:bottom, left:right].flatten(1) for left, right in spans[1]]
        rows.append(torch.stack([p.amax(1) if p.shape[1] else p.sum(1) for p in parts], 1))
    return torch.stack(rows, 1)
