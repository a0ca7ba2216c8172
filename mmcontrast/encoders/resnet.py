"""A residual network of any widths, for what must train within minutes.

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
    """A convolution of 3 x 3, then blocks of two, each around a shortcut.

    Args:
        widths: channels of the stem and of each block.
        strides: of the stem and of each block.
        image_size: side in pixels that images are brought to for the pooled face.
        mean, std: normalization, per channel; ImageNet's if not given.
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
                f"widths {tuple(widths)} and strides {tuple(strides)}: wanted one of each for the stem and every block"
            )
        super().__init__(mean, std)
        self.dim, self.stride, self.image_size = widths[-1], prod(strides), image_size
        self.stem = _Convolution(len(mean), widths[0], strides[0])
        self.stages = nn.ModuleList(
            _Block(a, b, stride) for (a, b), stride in zip(pairwise(widths), strides[1:], strict=True)
        )
        self.to(memory_format=torch.channels_last)

    def grid(self, image: Tensor) -> Tensor:
        """(B, C, H, W) in [0, 1] -> (B, D, ceil(H / stride), ceil(W / stride))."""
        return self.blocks(image)[-1]

    def blocks(self, image: Tensor) -> list[Tensor]:
        """(B, C, H, W) in [0, 1] -> the stem and each block, (B, D_i, h_i, w_i)."""
        x = self.normalize(image).contiguous(memory_format=torch.channels_last)
        found = [F.relu(self.stem(x))]
        for block in self.stages:
            found.append(block(found[-1]))
        return found


class _Block(nn.Module):
    """relu(x + f(x)); f begins as zero, so that a block begins as its shortcut (1706.02677, section 5.1)."""

    def __init__(self, width: int, out: int, stride: int) -> None:
        super().__init__()
        self.first, self.second = _Convolution(width, out, stride), _Convolution(out, out)
        nn.init.zeros_(self.second.norm.weight)
        same = width == out and stride == 1
        self.shortcut = nn.Identity() if same else _Convolution(width, out, stride, kernel=1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, A, H, W) -> (B, D, ceil(H / stride), ceil(W / stride))."""
        return F.relu(self.second(F.relu(self.first(x), inplace=True)) + self.shortcut(x), inplace=True)


class _Convolution(nn.Module):
    def __init__(self, width: int, out: int, stride: int = 1, kernel: int = 3) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, out, kernel, stride, kernel // 2, bias=False)
        self.norm = nn.BatchNorm2d(out)
        nn.init.kaiming_normal_(self.conv.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.conv(x))
