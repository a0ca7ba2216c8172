"""Distributions of colors over bins of the ab plane (Zhang, Isola and Efros 2016, 1603.08511, section 2)."""

import itertools
from functools import cache

import torch
from torch import Tensor, nn

from mmcontrast.errors import InputError
from mmcontrast.ops.color import rgb_to_lab

_REACH = 128  # bound of |a| and |b| of sRGB colors


class ColorBins(nn.Module):
    """A grid of ab colors: it encodes colors as soft targets and decodes distributions to colors.

    Args:
        step: Distance between bins, in units of Lab.
        neighbors: Number K of bins among which a color is divided.
        sigma: Standard deviation of the Gaussian weights of these bins, in units of Lab.

    Attributes:
        centers: The ab color (Q, 2) of each bin, see ``gamut_bins``.

    Raises:
        InputError: An argument is not above 0, or there are fewer than K bins.
    """

    centers: Tensor
    nearest: Tensor

    def __init__(self, step: float = 10.0, neighbors: int = 5, sigma: float = 5.0) -> None:
        super().__init__()
        if step <= 0 or sigma <= 0 or neighbors < 1:
            raise InputError(f"step is {step}, neighbors {neighbors}, sigma {sigma}; give values above 0.")
        centers = gamut_bins(step)
        if neighbors > len(centers):
            raise InputError(
                f"neighbors is {neighbors}, but there are only {len(centers)} bins of step {step}; give fewer."
            )
        self.sigma = sigma
        side = torch.arange(-_REACH, _REACH) + 0.5
        nearest = torch.cdist(torch.cartesian_prod(side, side), centers).topk(neighbors, largest=False).indices
        self.register_buffer("centers", centers, persistent=False)
        self.register_buffer("nearest", nearest.view(len(side), len(side), neighbors), persistent=False)  # (a, b, K)

    def encode(self, ab: Tensor) -> tuple[Tensor, Tensor]:
        """Returns soft targets: the nearest bins of each color, weighted by their distance from it.

        The nearest bins are looked up for the center of the 1 x 1 square that holds the color; the weights are exact.

        Args:
            ab: Colors (B, 2, H, W).

        Returns:
            The bins (B, K, H, W) int64, the nearest first, and their weights (B, K, H, W), which sum to 1 over K.
        """
        a, b = (ab.floor().clamp(-_REACH, _REACH - 1).long() + _REACH).unbind(1)  # (B, H, W)
        index = self.nearest[a, b]  # (B, H, W, K)
        offset = self.centers[index] - ab.permute(0, 2, 3, 1)[..., None, :]  # (B, H, W, K, 2)
        weight = (offset.square().sum(-1) / (-2 * self.sigma**2)).softmax(-1)
        return index.permute(0, 3, 1, 2), weight.permute(0, 3, 1, 2)

    def frequencies(self, index: Tensor, weight: Tensor) -> Tensor:
        """Returns how frequent each bin is.

        Args:
            index: Bins (B, K, H, W) from ``encode``.
            weight: Weights (B, K, H, W) from ``encode``.

        Returns:
            The fraction (Q,) of the total weight that each bin has; the sum is 1.
        """
        total = weight.new_zeros(len(self.centers)).index_add_(0, index.flatten(), weight.flatten())
        return total / total.sum()

    def annealed_mean(self, logits: Tensor, temperature: float = 0.38) -> Tensor:
        """Returns one color for each pixel, between the mode and the mean of its distribution (eq. 5).

        Args:
            logits: Logits (B, Q, H, W) of the bins.
            temperature: Temperature T: near 0 the color is the mode, at 1 it is the mean.

        Returns:
            Colors (B, 2, H, W) in ab.
        """
        sharp = (logits.float() / temperature).softmax(1)
        return torch.stack([(sharp * plane[:, None, None]).sum(1) for plane in self.centers.float().unbind(1)], 1)


@cache
def gamut_bins(step: float = 10.0) -> Tensor:
    """Returns the points of an ab grid that enclose the colors of sRGB.

    Every color lies in a square of four of these points, so that soft targets interpolate. For a step of 10 there are
    309 points; the paper lists 313, by another conversion to Lab.

    Args:
        step: Distance between the points, in units of Lab.

    Returns:
        Colors (Q, 2) in ab.

    >>> len(gamut_bins(10.0))
    309
    """
    side = torch.linspace(0, 1, 256, dtype=torch.float64)
    x, y = torch.meshgrid(side, side, indexing="ij")
    # The surface of the RGB cube holds every ab color of the gamut.
    faces = [torch.stack([torch.full_like(x, end), x, y]).roll(turn, 0) for end in (0, 1) for turn in range(3)]
    cells = (rgb_to_lab(torch.cat(faces, 1))[1:].flatten(1) / step).floor().long()  # (2, N), the lower corner
    reach = int(_REACH // step) + 1
    occupied = torch.zeros(2 * reach + 1, 2 * reach + 1, dtype=torch.bool)
    for right, up in itertools.product((0, 1), (0, 1)):
        occupied[cells[0] + reach + right, cells[1] + reach + up] = True
    return (occupied.nonzero() - reach) * float(step)


def rebalance(prior: Tensor, uniform: float = 0.5) -> Tensor:
    """Returns weights of the bins that are larger for rare colors (eq. 4).

    Args:
        prior: Fraction (Q,) of each bin in the data; the sum is 1.
        uniform: Weight lambda of the uniform distribution that is mixed into the prior; at 1 all weights are equal.

    Returns:
        Weights w (Q,), for which the sum of ``prior * w`` is 1.
    """
    weight = 1 / ((1 - uniform) * prior + uniform / len(prior))
    return weight / (prior * weight).sum()
