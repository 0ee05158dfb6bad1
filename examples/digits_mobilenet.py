"""A MobileNetV2 trained on real digits, and the same after pruning, distillation and quantisation-aware training.

Sandler et al., "MobileNetV2: Inverted Residuals and Linear Bottlenecks", CVPR 2018, table 2, at half width, and with
strides for pictures of 28×28 pixels. Both networks take minutes to train; they are kept in the cache.
"""

import sys
from inspect import getsource
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import onnx

from compress.compress import apply
from compress.pruning.prune import Prune
from compress.recipe import Optimize, Recipe
from compress.step import Work
from compress.training.aware import QuantizationAware
from compress.training.distill import Distill
from compress.training.retrain import Retrain
from converter.convert import convert
from edge_runtime.target import Target
from examples import digits
from examples.kept import code, kept

STAGES = (  # expansion, channels, blocks, stride of the first block
    (1, 8, 1, 1),
    (6, 16, 2, 1),
    (6, 16, 3, 2),
    (6, 32, 4, 1),
    (6, 48, 3, 1),
    (6, 80, 3, 2),
    (6, 160, 1, 1),
)
TRAINING = Retrain(epochs=8, lr=0.05, augment="shift")
STEPS = (
    Prune(amount=0.88, multiple=8, most=0.85),
    Distill(epochs=10, lr=0.002, augment="shift"),
    Optimize(),
    QuantizationAware(epochs=3),
)


def network() -> tuple[Any, tuple[Any, ...]]:
    """The network, not trained, and an example: float32[1, 1, 28, 28]."""
    import torch
    from torch import nn

    torch.manual_seed(0)

    def unit(inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> list[Any]:
        layer = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
        return [layer, nn.BatchNorm2d(outputs), nn.ReLU6()]

    class Residual(nn.Sequential):  # type: ignore[misc]
        def forward(self, x: Any) -> Any:
            return x + super().forward(x)

    layers, width = unit(1, 16, 3, 2), 16
    for expansion, channels, blocks, first in STAGES:
        for stride in (first, *[1] * (blocks - 1)):
            wide = width * expansion
            parts = unit(width, wide, 1) if expansion > 1 else []
            parts += unit(wide, wide, 3, stride, wide) + unit(wide, channels, 1)[:2]
            block = Residual if stride == 1 and width == channels else nn.Sequential
            layers.append(block(*parts))
            width = channels
    layers += [*unit(width, 640, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(640, 10)]
    return nn.Sequential(*layers).eval(), (torch.zeros(1, 1, 28, 28),)


def original() -> onnx.ModelProto:
    """The trained network, with its batch normalisation: float32[n, 1, 28, 28] to logits float32[n, 10]."""

    def make() -> onnx.ModelProto:
        module, example = network()
        start = convert(module, example=example, trainable=True)
        return TRAINING(start, Work(digits.load()[0], Target.load("rpi4"), start))

    return kept("digits-mobilenet", make, getsource(network), f"{STAGES} {TRAINING}")


def compressed(target: str = "rpi4") -> onnx.ModelProto:
    """What the steps leave of it: int8, a fifth of the channels; the activations are of the target's type."""
    source, device = original(), Target.load(target)

    def make() -> onnx.ModelProto:
        return apply(Recipe(STEPS), source, Work(digits.load()[0], device, source))

    return kept(f"digits-mobilenet-{target}", make, source, repr(STEPS), device.activation, code())
