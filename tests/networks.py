"""Well-known architectures, small but with their real structure, for comparison with PyTorch.

Each function gives a network and the shape of one sample; every network is a classifier. Dropout is left out.
"""

import itertools
from collections.abc import Callable, Iterable

import torch
import torch.nn.functional as F  # noqa: N812  (as everyone writes it)
from torch import Tensor, nn

Network = tuple[nn.Module, tuple[int, ...]]


def conv_bn(
    i: int, o: int, kernel: int = 3, stride: int = 1, groups: int = 1, act: type[nn.Module] | None = nn.ReLU
) -> nn.Sequential:
    """Convolution, batch normalisation and an activation."""
    conv = nn.Conv2d(i, o, kernel, stride, kernel // 2, groups=groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(o), *([act()] if act else []))


class Residual(nn.Module):
    """``x + body(x)``; with a shortcut where the shape changes, and an activation behind the sum."""

    def __init__(self, body: nn.Module, shortcut: nn.Module | None = None, after: nn.Module | None = None):
        super().__init__()
        self.body, self.shortcut, self.after = body, shortcut or nn.Identity(), after or nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.after(self.shortcut(x) + self.body(x))


# ------------------------------------------------------------------------------------- the benchmark's five


def cnn() -> Network:
    """Three convolutions and a dense layer, on 32x32 pictures."""
    layers: list[nn.Module] = []
    for i, o in ((3, 32), (32, 64)):
        layers += [nn.Conv2d(i, o, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
    layers += [nn.Conv2d(64, 64, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(64 * 64, 10)]
    return nn.Sequential(*layers), (3, 32, 32)


def mlp() -> Network:
    """Four dense layers."""
    widths = (784, 512, 512, 256)
    hidden = [layer for i, o in itertools.pairwise(widths) for layer in (nn.Linear(i, o), nn.ReLU())]
    return nn.Sequential(*hidden, nn.Linear(256, 10)), (784,)


def _eights(channels: float) -> int:
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * channels else rounded


def mobilenetv2(width: float = 0.5, size: int = 96, classes: int = 10) -> Network:
    """Sandler et al. 2018, table 2: inverted residuals with linear bottlenecks."""
    plan = (
        (1, 16, 1, 1),
        (6, 24, 2, 2),
        (6, 32, 3, 2),
        (6, 64, 4, 2),
        (6, 96, 3, 1),
        (6, 160, 3, 2),
        (6, 320, 1, 1),
    )
    i = _eights(32 * width)
    layers: list[nn.Module] = [conv_bn(3, i, stride=2, act=nn.ReLU6)]
    for expand, channels, repeats, first in plan:
        o = _eights(channels * width)
        for stride in (first, *[1] * (repeats - 1)):
            wide = i * expand
            parts = [conv_bn(i, wide, 1, act=nn.ReLU6)] if expand > 1 else []
            parts += [conv_bn(wide, wide, 3, stride, wide, nn.ReLU6), conv_bn(wide, o, 1, act=None)]
            body = nn.Sequential(*parts)
            layers.append(Residual(body) if stride == 1 and i == o else body)
            i = o
    last = 1280 if width >= 0.5 else 320
    layers += [
        conv_bn(i, last, 1, act=nn.ReLU6),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(last, classes),
    ]
    return nn.Sequential(*layers), (3, size, size)


def resnet18(size: int = 64, width: int = 64, classes: int = 10) -> Network:
    """He et al. 2015, table 1: basic blocks, two a stage, behind a 7x7 stem."""
    layers: list[nn.Module] = [conv_bn(3, width, 7, 2), nn.MaxPool2d(3, 2, 1)]
    i = width
    for o, first in ((width, 1), (2 * width, 2), (4 * width, 2), (8 * width, 2)):
        for stride in (first, 1):
            body = nn.Sequential(conv_bn(i, o, 3, stride), conv_bn(o, o, act=None))
            shortcut = conv_bn(i, o, 1, stride, act=None) if stride > 1 or i != o else None
            layers.append(Residual(body, shortcut, nn.ReLU()))
            i = o
    layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(i, classes)]
    return nn.Sequential(*layers), (3, size, size)


class Attention(nn.Module):
    """Multi-head self-attention (Vaswani et al. 2017), written out."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.q, self.k, self.v, self.out = (nn.Linear(width, width) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        n, length, width = x.shape
        q, k, v = (
            f(x).view(n, length, self.heads, width // self.heads).transpose(1, 2)
            for f in (self.q, self.k, self.v)
        )
        scores = (q @ k.transpose(2, 3)) * (width // self.heads) ** -0.5
        return self.out((scores.softmax(-1) @ v).transpose(1, 2).reshape(n, length, width))


def block(width: int, heads: int, *, pre: bool = True) -> nn.Sequential:
    """A transformer block, its normalisation before each part (pre) or behind each sum (as in BERT)."""
    mix = Attention(width, heads)
    feed = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))
    if not pre:
        return nn.Sequential(*(Residual(part, after=nn.LayerNorm(width)) for part in (mix, feed)))
    return nn.Sequential(*(Residual(nn.Sequential(nn.LayerNorm(width), part)) for part in (mix, feed)))


def transformer(width: int = 128, length: int = 64) -> Network:
    """One block on 64 tokens and a dense layer over all of them."""
    return nn.Sequential(block(width, 4), nn.Flatten(), nn.Linear(width * length, 10)), (length, width)


# ---------------------------------------------------------------------------------------------- for accuracy


def lenet() -> Network:
    """LeCun et al. 1998, with average pooling and tanh."""
    return nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2), nn.Tanh(), nn.AvgPool2d(2),
        nn.Conv2d(6, 16, 5), nn.Tanh(), nn.AvgPool2d(2),
        nn.Flatten(), nn.Linear(400, 120), nn.Tanh(), nn.Linear(120, 84), nn.Tanh(), nn.Linear(84, 10),
    ), (1, 28, 28)  # fmt: skip


class SqueezeExcite(nn.Module):
    """Scales each channel by what a small network says of the channels' means (Hu et al. 2017)."""

    def __init__(self, channels: int):
        super().__init__()
        inner = _eights(channels / 4)
        self.gate = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Conv2d(channels, inner, 1), nn.ReLU(),
            nn.Conv2d(inner, channels, 1), nn.Hardsigmoid(),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gate(x)


def mobilenetv3(size: int = 64) -> Network:
    """Howard et al. 2019, table 2 (small): kernel, expansion, output, squeeze-excite, activation, stride."""
    re, hs = nn.ReLU, nn.Hardswish
    plan: Iterable[tuple[int, int, int, bool, type[nn.Module], int]] = (
        (3, 16, 16, True, re, 2), (3, 72, 24, False, re, 2), (3, 88, 24, False, re, 1), (5, 96, 40, True, hs, 2),
        (5, 240, 40, True, hs, 1), (5, 120, 48, True, hs, 1), (5, 288, 96, True, hs, 2), (5, 576, 96, True, hs, 1),
    )  # fmt: skip
    layers: list[nn.Module] = [conv_bn(3, 16, 3, 2, act=hs)]
    i = 16
    for kernel, wide, o, squeeze, act, stride in plan:
        parts = [conv_bn(i, wide, 1, act=act), conv_bn(wide, wide, kernel, stride, wide, act)]
        parts += [SqueezeExcite(wide)] if squeeze else []
        body = nn.Sequential(*parts, conv_bn(wide, o, 1, act=None))
        layers.append(Residual(body) if stride == 1 and i == o else body)
        i = o
    layers += [conv_bn(i, 576, 1, act=hs), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return nn.Sequential(*layers, nn.Linear(576, 256), hs(), nn.Linear(256, 10)), (3, size, size)


class Shuffle(nn.Module):
    """The two branches of ShuffleNetV2 (Ma et al. 2018, figure 3), and the shuffle of their channels."""

    def __init__(self, i: int, o: int, stride: int):
        super().__init__()
        self.split, half = stride == 1, o // 2
        start = half if self.split else i
        self.right = nn.Sequential(
            conv_bn(start, half, 1), conv_bn(half, half, 3, stride, half, None), conv_bn(half, half, 1)
        )
        self.left = (
            nn.Identity() if self.split else nn.Sequential(conv_bn(i, i, 3, 2, i, None), conv_bn(i, half, 1))
        )

    def forward(self, x: Tensor) -> Tensor:
        left, right = x.chunk(2, 1) if self.split else (x, x)
        y = torch.cat([self.left(left), self.right(right)], 1)
        n, c, h, w = y.shape
        return y.view(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, c, h, w)


def shufflenetv2(size: int = 64) -> Network:
    """ShuffleNetV2 x0.5 with two units a stage."""
    layers: list[nn.Module] = [conv_bn(3, 24, 3, 2), nn.MaxPool2d(3, 2, 1)]
    for i, o in ((24, 48), (48, 96), (96, 192)):
        layers += [Shuffle(i, o, 2), Shuffle(o, o, 1)]
    return nn.Sequential(
        *layers, conv_bn(192, 256, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(256, 10)
    ), (3, size, size)


class Dense(nn.Module):
    """A layer whose output is appended to its input (Huang et al. 2016)."""

    def __init__(self, i: int, growth: int):
        super().__init__()
        self.layer = nn.Sequential(
            nn.BatchNorm2d(i), nn.ReLU(), nn.Conv2d(i, 4 * growth, 1, bias=False),
            nn.BatchNorm2d(4 * growth), nn.ReLU(), nn.Conv2d(4 * growth, growth, 3, padding=1, bias=False),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x, self.layer(x)], 1)


def densenet(growth: int = 12, depth: int = 4) -> Network:
    """DenseNet-BC: three dense blocks with transitions that halve channels and size."""
    i = 2 * growth
    layers: list[nn.Module] = [nn.Conv2d(3, i, 3, padding=1, bias=False)]
    for stage in range(3):
        for _ in range(depth):
            layers.append(Dense(i, growth))
            i += growth
        layers += [nn.BatchNorm2d(i), nn.ReLU()]
        if stage < 2:
            layers += [nn.Conv2d(i, i // 2, 1, bias=False), nn.AvgPool2d(2)]
            i //= 2
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(i, 10)), (3, 32, 32)


class UNet(nn.Module):
    """Ronneberger et al. 2015: down, up by transposed convolution, skips concatenated; a class for the picture."""

    def __init__(self, widths: tuple[int, ...] = (8, 16, 32), *, resize: bool = False):
        super().__init__()
        pair: Callable[[int, int], nn.Sequential] = lambda i, o: nn.Sequential(conv_bn(i, o), conv_bn(o, o))  # noqa: E731
        self.down = nn.ModuleList(pair(i, o) for i, o in zip((3, *widths), widths, strict=False))
        steps = list(zip(widths[:0:-1], widths[-2::-1], strict=True))
        up: Callable[[int, int], nn.Module] = (
            (lambda i, o: nn.Sequential(nn.Upsample(scale_factor=2.0, mode="bilinear"), nn.Conv2d(i, o, 1)))
            if resize
            else (lambda i, o: nn.ConvTranspose2d(i, o, 2, 2))
        )
        self.up = nn.ModuleList(up(i, o) for i, o in steps)
        self.join = nn.ModuleList(pair(2 * o, o) for _, o in steps)
        self.head = nn.Conv2d(widths[0], 10, 1)

    def forward(self, x: Tensor) -> Tensor:
        kept = []
        for i, layer in enumerate(self.down):
            x = layer(F.max_pool2d(x, 2) if i else x)
            kept.append(x)
        for up, join, skip in zip(self.up, self.join, kept[-2::-1], strict=True):
            x = join(torch.cat([skip, up(x)], 1))
        return self.head(x).mean((2, 3))


def unet() -> Network:
    return UNet(), (3, 32, 32)


def unet_bilinear() -> Network:
    return UNet(resize=True), (3, 32, 32)


class ViT(nn.Module):
    """Dosovitskiy et al. 2020: patches as tokens behind a class token, learned positions."""

    def __init__(self, size: int = 32, patch: int = 8, width: int = 48, depth: int = 2):
        super().__init__()
        self.patches = nn.Conv2d(3, width, patch, patch)
        self.token = nn.Parameter(torch.randn(1, 1, width) * 0.1)
        self.positions = nn.Parameter(torch.randn(1, 1 + (size // patch) ** 2, width) * 0.1)
        self.blocks = nn.Sequential(*(block(width, 3) for _ in range(depth)), nn.LayerNorm(width))
        self.head = nn.Linear(width, 10)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.patches(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), tokens], 1) + self.positions
        return self.head(self.blocks(x)[:, 0])


def vit() -> Network:
    return ViT(), (3, 32, 32)


class Bert(nn.Module):
    """Devlin et al. 2018, tiny: two layers of width 128; the tokens come as numbers of the input's type."""

    def __init__(self, words: int = 100, length: int = 16, width: int = 128, depth: int = 2):
        super().__init__()
        self.words, self.positions = nn.Embedding(words, width), nn.Embedding(length, width)
        self.kinds, self.norm = nn.Parameter(torch.randn(width) * 0.1), nn.LayerNorm(width)
        self.layers = nn.Sequential(*(block(width, 2, pre=False) for _ in range(depth)))
        self.pool, self.head = nn.Linear(width, width), nn.Linear(width, 10)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.norm(self.words(tokens) + self.positions.weight + self.kinds)
        return self.head(torch.tanh(self.pool(self.layers(x)[:, 0])))


def bert() -> Network:
    return Bert(), (16,)


class Recurrent(nn.Module):
    """The last hidden state of a recurrent network decides."""

    def __init__(self, kind: type[nn.RNNBase], **arguments: object):
        super().__init__()
        self.body = kind(6, 16, batch_first=True, **arguments)
        self.head = nn.Linear(16 * (2 if self.body.bidirectional else 1), 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x)[0][:, -1])


def lstm() -> Network:
    return Recurrent(nn.LSTM), (12, 6)


def gru() -> Network:
    return Recurrent(nn.GRU), (12, 6)


def cnn1d() -> Network:
    """Dilated convolutions over a signal, as for a sensor."""
    return nn.Sequential(
        nn.Conv1d(6, 16, 5, padding=2), nn.BatchNorm1d(16), nn.ReLU(), nn.MaxPool1d(2),
        nn.Conv1d(16, 32, 3, padding=2, dilation=2), nn.BatchNorm1d(32), nn.ReLU(),
        nn.Conv1d(32, 32, 3, stride=2, groups=32), nn.ReLU(), nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(32, 10),
    ), (6, 50)  # fmt: skip


# ---------------------------------------------------------------------------------------------- for pruning


def vgg(width: int = 16) -> Network:
    """Simonyan and Zisserman 2014, configuration A: eight convolutions and three dense layers."""
    layers: list[nn.Module] = []
    i = 3
    for scale, repeats in ((1, 1), (2, 1), (4, 2), (8, 2), (8, 2)):
        for _ in range(repeats):
            layers += [nn.Conv2d(i, scale * width, 3, padding=1), nn.ReLU()]
            i = scale * width
        layers.append(nn.MaxPool2d(2))
    dense = (nn.Flatten(), nn.Linear(4 * i, 8 * width), nn.ReLU(), nn.Linear(8 * width, 8 * width), nn.ReLU())
    return nn.Sequential(*layers, *dense, nn.Linear(8 * width, 10)), (3, 64, 64)


def resnet50(size: int = 64, width: int = 16, repeats: tuple[int, ...] = (3, 4, 6, 3)) -> Network:
    """He et al. 2015, table 1: bottleneck blocks of 1x1, 3x3 and 1x1, four times as wide at their ends."""
    layers: list[nn.Module] = [conv_bn(3, width, 7, 2), nn.MaxPool2d(3, 2, 1)]
    i = width
    for stage, count in enumerate(repeats):
        inner = width << stage
        for k in range(count):
            stride = 2 if stage and not k else 1
            body = nn.Sequential(
                conv_bn(i, inner, 1), conv_bn(inner, inner, 3, stride), conv_bn(inner, 4 * inner, 1, act=None)
            )
            shortcut = conv_bn(i, 4 * inner, 1, stride, act=None) if not k else None
            layers.append(Residual(body, shortcut, nn.ReLU()))
            i = 4 * inner
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(i, 10)), (3, size, size)


class Branches(nn.Module):
    """What several networks say of the same input, side by side."""

    def __init__(self, *branches: nn.Module):
        super().__init__()
        self.branches = nn.ModuleList(branches)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([branch(x) for branch in self.branches], 1)


def inception(i: int, one: int, three: tuple[int, int], five: tuple[int, int], pool: int) -> Branches:
    """Szegedy et al. 2014, figure 2b: 1x1, 3x3 and 5x5 behind reductions, and a pooled branch."""
    return Branches(
        conv_bn(i, one, 1),
        nn.Sequential(conv_bn(i, three[0], 1), conv_bn(*three)),
        nn.Sequential(conv_bn(i, five[0], 1), conv_bn(*five, 5)),
        nn.Sequential(nn.MaxPool2d(3, 1, 1), conv_bn(i, pool, 1)),
    )


def googlenet() -> Network:
    """GoogLeNet's stem with local response normalisation, and three of its modules at a quarter of their width."""
    return nn.Sequential(
        conv_bn(3, 16, 7, 2), nn.MaxPool2d(3, 2, 1), nn.LocalResponseNorm(5), conv_bn(16, 48),
        inception(48, 16, (24, 32), (4, 8), 8), inception(64, 32, (32, 48), (8, 24), 16), nn.MaxPool2d(3, 2, 1),
        inception(120, 48, (24, 52), (4, 12), 16), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(128, 10),
    ), (3, 64, 64)  # fmt: skip


def squeezenet() -> Network:
    """Iandola et al. 2016: fire modules, and a convolution that classifies."""

    def fire(i: int, squeeze: int, expand: int) -> nn.Sequential:
        sides = (nn.Sequential(nn.Conv2d(squeeze, expand, k, padding=k // 2), nn.ReLU()) for k in (1, 3))
        return nn.Sequential(nn.Conv2d(i, squeeze, 1), nn.ReLU(), Branches(*sides))

    return nn.Sequential(
        nn.Conv2d(3, 32, 3, 2), nn.ReLU(), nn.MaxPool2d(3, 2), fire(32, 8, 32), fire(64, 8, 32), nn.MaxPool2d(3, 2),
        fire(64, 16, 64), fire(128, 16, 64), nn.Conv2d(128, 10, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
    ), (3, 64, 64)  # fmt: skip


class Packed(nn.Module):
    """Self-attention as ViT's code has it: queries, keys and values in one product, and PyTorch's fused operator."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads, self.qkv, self.out = heads, nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        n, length, width = x.shape
        q, k, v = self.qkv(x).reshape(n, length, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(q, k, v)
        return self.out(mixed.transpose(1, 2).reshape(n, length, width))


def vit_packed(width: int = 48, depth: int = 2) -> Network:
    """ViT with packed attention and a mean over its patches."""
    layers: list[nn.Module] = [nn.Conv2d(3, width, 8, 8), nn.Flatten(2), Swap()]
    for _ in range(depth):
        feed = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))
        layers += [Residual(nn.Sequential(nn.LayerNorm(width), part)) for part in (Packed(width, 4), feed)]
    return nn.Sequential(*layers, nn.LayerNorm(width), Mean(), nn.Linear(width, 10)), (3, 32, 32)


class Mean(nn.Module):
    """The mean over the tokens."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean(1)


class Swap(nn.Module):
    """The last two axes change places."""

    def forward(self, x: Tensor) -> Tensor:
        return x.transpose(1, 2)


def encoder(width: int = 48, length: int = 12) -> Network:
    """PyTorch's own transformer encoder layer, normalising behind each sum, as BERT does."""
    layer = nn.TransformerEncoderLayer(width, 4, 4 * width, dropout=0.0, batch_first=True)
    return nn.Sequential(layer, nn.Flatten(), nn.Linear(width * length, 10)), (length, width)
