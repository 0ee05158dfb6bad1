"""MobileNetV2 with its real ImageNet weights, real photographs for it, and the same network made smaller on them.

    littoral convert examples.mobilenetv2:model -o mobilenetv2.onnx

`compressed` needs no labels: the last layers work at a third of their positions, the channels that matter least go,
and what is left is refitted on photographs and becomes int8. That takes minutes; the result is kept in the cache.
"""

import sys
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import onnx

from compress.compress import apply
from compress.pruning.perforate import Perforate
from compress.pruning.prune import Prune
from compress.recipe import Optimize, Recipe
from compress.step import Work
from compress.suited import suited
from converter.convert import convert
from edge_runtime.bundle import Preprocess
from edge_runtime.target import Target
from examples import photographs as pictures
from examples.kept import code, kept

PREPROCESS = Preprocess(resize=256, crop=224, mean=(123.675, 116.28, 103.53), std=(58.395, 57.12, 57.375))
STAGES = (  # expansion, channels, blocks, stride of the first block
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
PHOTOGRAPHS = 284  # that `training` knows
STEPS = (
    Optimize(),
    Perforate(every=3),
    Prune(
        amount=0.04,
        multiple=8,
        budget="instructions",
        prices="xnnpack-int8",
        importance="reconstruction",
        allocation="sensitivity",
        samples=216,
    ),
)

photographs = partial(pictures.labelled, PREPROCESS)
crops = partial(pictures.crops, PREPROCESS)
calibration = partial(pictures.calibration, PREPROCESS)
training = partial(pictures.training, PREPROCESS)


def network() -> Any:
    """The untrained network, a torch.nn.Module: float32[n, 3, 224, 224] to logits float32[n, 1000]."""
    import torch
    from torch import nn

    def unit(inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> Any:
        layer = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
        return nn.Sequential(layer, nn.BatchNorm2d(outputs), nn.ReLU6())

    class Block(nn.Module):  # type: ignore[misc]
        def __init__(self, inputs: int, outputs: int, expansion: int, stride: int) -> None:
            super().__init__()
            wide = inputs * expansion
            self.residual = stride == 1 and inputs == outputs
            expand = [unit(inputs, wide, 1)] if expansion > 1 else []
            project = [nn.Conv2d(wide, outputs, 1, bias=False), nn.BatchNorm2d(outputs)]
            self.conv = nn.Sequential(*expand, unit(wide, wide, 3, stride, wide), *project)

        def forward(self, x: Any) -> Any:
            return x + self.conv(x) if self.residual else self.conv(x)

    class MobileNetV2(nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            layers, width = [unit(3, 32, 3, 2)], 32
            for expansion, channels, blocks, stride in STAGES:
                for k in range(blocks):
                    layers.append(Block(width, channels, expansion, stride if k == 0 else 1))
                    width = channels
            self.features = nn.Sequential(*layers, unit(width, 1280, 1))
            self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(1280, 1000))

        def forward(self, x: Any) -> Any:
            return self.classifier(torch.mean(self.features(x), dim=(2, 3)))

    return MobileNetV2()


def model() -> tuple[Any, tuple[Any, ...]]:
    """The network in evaluation mode, and an example input: float32[1, 3, 224, 224]."""
    import torch

    made = network()
    (weights,) = pictures.assets.find("mobilenetv2")
    made.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
    return made.eval(), (torch.zeros(1, 3, 224, 224),)


def pruned() -> onnx.ModelProto:
    """The network with a seventh less work, still float: float32[n, 3, 224, 224] to float32[n, 1000]."""
    source = convert("examples.mobilenetv2:model")

    def make() -> onnx.ModelProto:
        return apply(Recipe(STEPS), source, Work(training(), Target.load("rpi4"), source))

    return kept("mobilenetv2-pruned", make, source, repr(STEPS))


def compressed(target: str = "rpi4") -> onnx.ModelProto:
    """What the steps leave of it, in int8; the activations are of the target's type."""
    source, device = pruned(), Target.load(target)

    def make() -> onnx.ModelProto:
        return apply(suited(source)[0], source, Work(training(PHOTOGRAPHS), device, source))

    return kept(f"mobilenetv2-{target}", make, source, device.activation, code())
