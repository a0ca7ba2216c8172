"""From an encoder's grid back to something of an image's size."""

import math

import torch
from torch import Tensor, nn


def upsampler(dim: int, channels: int, factor: float, width: int = 256) -> nn.Sequential:
    """A decoder: (B, dim, h, w) -> (B, channels, s h, s w), s the power of 2 that reaches ``factor``.

    A 3 x 3 convolution, then doublings of size, each by nearest neighbors and a 3 x 3 convolution (no checkerboard,
    unlike transposed convolutions: Odena, Dumoulin and Olah 2016), then a 1 x 1 convolution.  Group norm, so that a
    image is decoded alike in any batch.

    Args:
        dim: channels of the grid.
        channels: of the result.
        factor: by which the sides grow, at least.
        width: channels of the first layer; each doubling of size halves them, down to 32.
    """
    layers, inside = _block(dim, width), width
    for _ in range(max(0, math.ceil(math.log2(factor)))):
        narrower = max(min(32, width), inside // 2)
        layers += [nn.Upsample(scale_factor=2), *_block(inside, narrower)]
        inside = narrower
    return nn.Sequential(*layers, nn.Conv2d(inside, channels, 1))


def _block(before: int, after: int) -> list[nn.Module]:
    groups = math.gcd(after, 8)
    return [nn.Conv2d(before, after, 3, padding=1, bias=False), nn.GroupNorm(groups, after), nn.ReLU(inplace=True)]


class ChannelwiseLinear(nn.Module):
    """Lets every cell of a grid reach every other, within each channel (Context encoders, 1604.07379, section 3.1).

    Args:
        dim: channels D.
        cells: h * w, which is fixed.
    """

    def __init__(self, dim: int, cells: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(dim, cells, cells).uniform_(-1, 1) * (3 / cells) ** 0.5)
        self.bias = nn.Parameter(torch.zeros(dim, cells))

    def forward(self, grid: Tensor) -> Tensor:
        """(B, D, h, w) -> (B, D, h, w)."""
        mixed = torch.einsum("bdn,dnm->bdm", grid.flatten(2), self.weight) + self.bias
        return mixed.view_as(grid)
