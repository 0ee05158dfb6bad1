"""ConvTranspose of any shape, and DeformConv and Col2Im, against torch."""

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812  (as everyone writes it)
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.converter.test_autodiff import against_torch, data, dims, fast, signature

TRANSPOSED = (F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d)


@settings(fast, max_examples=12)
@given(draw=st.data())
def test_conv_transpose_of_any_shape(draw: st.DataObject) -> None:
    rank = draw.draw(st.integers(1, 3))
    axis = st.integers(1, 3)
    kernel, strides, size = ([draw.draw(axis) for _ in range(rank)] for _ in range(3))
    dilations = [draw.draw(st.integers(1, 2)) for _ in range(rank)]
    reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
    pads = [draw.draw(st.integers(0, (r - 1) // 2)) for r in reach]
    spare = [draw.draw(st.integers(0, max(s, d) - 1)) for s, d in zip(strides, dilations, strict=True)]
    groups = draw.draw(axis)
    inputs, outputs = groups * draw.draw(axis), draw.draw(axis)
    feeds = data(x=(2, inputs, *size), w=(inputs, outputs, *kernel), b=(outputs * groups,))

    def torch_form(x: torch.Tensor, w: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return TRANSPOSED[rank - 1](x, w, b, strides, pads, spare, groups, dilations)

    shape = torch_form(*map(torch.tensor, feeds.values())).shape
    text = (
        f"{signature(feeds, shape)} {{ y = ConvTranspose<group = {groups}, strides = [{dims(strides)}], "
        f"dilations = [{dims(dilations)}], pads = [{dims(pads * 2)}], output_padding = [{dims(spare)}]>(x, w, b) }}"
    )
    against_torch(text, feeds, torch_form, ["x", "w", "b"])


def test_deform_conv_with_no_offset_is_a_convolution() -> None:
    feeds = data(x=(2, 4, 6, 5), w=(6, 2, 3, 3), b=(6,))
    text = (
        "g(float[2,4,6,5] x, float[6,2,3,3] w, float[6] b) => (float[2,6,3,3] y) <float[1] zero = {0}, "
        "int64[4] shape = {2,18,3,3}> { offset = Expand(zero, shape) "
        "y = DeformConv<group = 2, strides = [2,2], pads = [1,1,1,1]>(x, w, offset, b) }"
    )
    # With whole positions, one of each pair of pixels has the weight 0.
    against_torch(text, feeds, lambda x, w, b: F.conv2d(x, w, b, 2, 1, 1, 2), ["x", "w", "b"])


def test_col2im_is_fold() -> None:
    feeds = data(x=(2, 3 * 2 * 3, 6))
    shape = np.array(F.fold(torch.zeros(2, 18, 6), (5, 8), (2, 3), (1, 2), (0, 1), (2, 2)).shape)
    text = (
        f"{signature(feeds, shape)} <int64[2] image = {{5,8}}, int64[2] block = {{2,3}}> {{ "
        "y = Col2Im<dilations = [1,2], pads = [0,1,0,1], strides = [2,2]>(x, image, block) }"
    )
    against_torch(text, feeds, lambda x: F.fold(x, (5, 8), (2, 3), (1, 2), (0, 1), (2, 2)), ["x"])
