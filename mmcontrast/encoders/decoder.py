"""Decoders from feature grids to images."""

import math

import torch
from torch import Tensor, nn


def upsampler(dim: int, channels: int, factor: float, width: int = 256) -> nn.Sequential:
    """Builds a decoder that enlarges grids.

    It has a 3 x 3 convolution, then doublings of the size, and a 1 x 1 convolution. A doubling repeats pixels and
    convolves them, which leaves no checkerboard as transposed convolutions do (Odena, Dumoulin and Olah 2016). Group
    norm makes the result independent of the batch.

    Args:
        dim: Number of channels of the grid.
        channels: Number of channels of the result.
        factor: Factor by which the sides grow; it is rounded up to a power of 2.
        width: Number of channels of the first layer; each doubling halves it, down to 32.

    Returns:
        A module from (B, dim, h, w) to (B, channels, s h, s w), where s is the rounded factor.
    """
    layers, channels_now = _block(dim, width), width
    for _ in range(max(0, math.ceil(math.log2(factor)))):
        narrower = max(min(32, width), channels_now // 2)
        layers += [nn.Upsample(scale_factor=2), *_block(channels_now, narrower)]
        channels_now = narrower
    return nn.Sequential(*layers, nn.Conv2d(channels_now, channels, 1))


def _block(before: int, after: int) -> list[nn.Module]:
    groups = math.gcd(after, 8)
    return [nn.Conv2d(before, after, 3, padding=1, bias=False), nn.GroupNorm(groups, after), nn.ReLU(inplace=True)]


class ChannelwiseLinear(nn.Module):
    """A linear layer over all cells of a grid, for each channel apart (Context encoders, 1604.07379, section 3.1).

    Args:
        dim: Number D of channels.
        cells: Number h * w of cells, which is fixed.
    """

    def __init__(self, dim: int, cells: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(dim, cells, cells).uniform_(-1, 1) * (3 / cells) ** 0.5)
        self.bias = nn.Parameter(torch.zeros(dim, cells))

    def forward(self, grid: Tensor) -> Tensor:
        """Mixes the cells of grids (B, D, h, w)."""
        mixed = torch.einsum("bdn,dnm->bdm", grid.flatten(2), self.weight) + self.bias
        return mixed.view_as(grid)
