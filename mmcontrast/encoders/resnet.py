"""A residual network of any widths, for models that are trained within minutes.

He, Zhang, Ren, Sun, CVPR 2016.  https://arxiv.org/abs/1512.03385
"""

from collections.abc import Sequence
from itertools import pairwise
from math import prod

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmcontrast.encoders.base import Encoder
from mmcontrast.errors import InputError

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of RGB in [0, 1]


class ResNet(Encoder):
    """A convolution of 3 x 3, followed by blocks of two convolutions with a shortcut.

    Args:
        widths: Number of channels of the stem and of each block.
        strides: Stride of the stem and of each block.
        image_size: Side in pixels to which images are resized for the pooled output.
        mean: Mean of each channel, which is subtracted.
        std: Standard deviation of each channel, by which is divided.

    Raises:
        InputError: There are not as many widths as strides, or there is no block.
    """

    def __init__(
        self,
        widths: Sequence[int] = (32, 64, 128, 256),
        strides: Sequence[int] = (2, 2, 2, 1),
        image_size: int = 32,
        mean: Sequence[float] = IMAGENET_MEAN,
        std: Sequence[float] = IMAGENET_STD,
    ) -> None:
        if len(widths) != len(strides) or len(widths) < 2:
            raise InputError(
                f"widths {tuple(widths)} and strides {tuple(strides)}: give one of each for the stem and every block."
            )
        super().__init__(mean, std)
        self.dim, self.stride, self.image_size = widths[-1], prod(strides), image_size
        self.stem = _Convolution(len(mean), widths[0], strides[0])
        self.stages = nn.ModuleList(
            _Block(a, b, stride) for (a, b), stride in zip(pairwise(widths), strides[1:], strict=True)
        )
        self.to(memory_format=torch.channels_last)

    def grid(self, image: Tensor) -> Tensor:
        """Computes features (B, D, ceil(H / stride), ceil(W / stride)) of images (B, C, H, W) in [0, 1]."""
        return self.blocks(image)[-1]

    def blocks(self, image: Tensor) -> list[Tensor]:
        """Computes the features (B, D_i, h_i, w_i) of the stem and of each block."""
        x = self.normalize(image).contiguous(memory_format=torch.channels_last)
        features = [F.relu(self.stem(x))]
        for block in self.stages:
            features.append(block(features[-1]))
        return features


class _Block(nn.Module):
    """relu(x + f(x)), where f is zero at first, so that a block begins as its shortcut (1706.02677, section 5.1)."""

    def __init__(self, width: int, out: int, stride: int) -> None:
        super().__init__()
        self.first, self.second = _Convolution(width, out, stride), _Convolution(out, out)
        nn.init.zeros_(self.second.norm.weight)
        same = width == out and stride == 1
        self.shortcut = nn.Identity() if same else _Convolution(width, out, stride, kernel=1)

    def forward(self, x: Tensor) -> Tensor:
        """Computes (B, D, ceil(H / stride), ceil(W / stride)) from (B, A, H, W)."""
        return F.relu(self.second(F.relu(self.first(x), inplace=True)) + self.shortcut(x), inplace=True)


class _Convolution(nn.Module):
    """A convolution and its batch norm."""

    def __init__(self, width: int, out: int, stride: int = 1, kernel: int = 3) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, out, kernel, stride, kernel // 2, bias=False)
        self.norm = nn.BatchNorm2d(out)
        nn.init.kaiming_normal_(self.conv.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        normalized: Tensor = self.norm(self.conv(x))
        return normalized
