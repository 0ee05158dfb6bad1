"""Pooling by norms and over the whole, against torch."""

import pytest
import torch
import torch.nn.functional as F  # noqa: N812  (as everyone writes it)

from tests.converter.test_autodiff import against_torch, data


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
