"""Colors as distributions over bins of the ab plane (Zhang, Isola and Efros 2016, 1603.08511, section 2)."""

import itertools
from functools import cache

import torch
from torch import Tensor, nn

from mmcontrast.errors import InputError
from mmcontrast.ops.color import rgb_to_lab

_REACH = 128  # |a| and |b| of sRGB stay below


class ColorBins(nn.Module):
    """A grid of ab colors, soft targets on it, and one color back from a distribution.

    Attributes:
        centers: (Q, 2) ab; see ``gamut_bins``.

    Args:
        step: of the grid, in units of Lab.
        neighbors: K, bins that share a color.
        sigma: of the Gaussian by which they share it.
    """

    centers: Tensor
    nearest: Tensor

    def __init__(self, step: float = 10.0, neighbors: int = 5, sigma: float = 5.0) -> None:
        super().__init__()
        if step <= 0 or sigma <= 0 or neighbors < 1:
            raise InputError(f"step {step}, neighbors {neighbors}, sigma {sigma}: wanted all above 0")
        centers = gamut_bins(step)
        if neighbors > len(centers):
            raise InputError(f"neighbors is {neighbors}, but there are only {len(centers)} bins of step {step}")
        self.sigma = sigma
        side = torch.arange(-_REACH, _REACH) + 0.5
        nearest = torch.cdist(torch.cartesian_prod(side, side), centers).topk(neighbors, largest=False).indices
        self.register_buffer("centers", centers, persistent=False)
        self.register_buffer("nearest", nearest.unflatten(0, (len(side), len(side))), persistent=False)  # (a, b, K)

    def encode(self, ab: Tensor) -> tuple[Tensor, Tensor]:
        """Soft targets: each color's nearest bins, weighted by their distance from it.

        Which bins are nearest is looked up for the middle of the color's square of 1 x 1 unit; the weights are exact.

        Args:
            ab: (B, 2, H, W).
        Returns:
            (B, K, H, W) int64 bins, the nearest first, and (B, K, H, W) their weights, of sum 1.
        """
        a, b = (ab.floor().clamp(-_REACH, _REACH - 1).long() + _REACH).unbind(1)  # (B, H, W)
        index = self.nearest[a, b]  # (B, H, W, K)
        off = self.centers[index] - ab.permute(0, 2, 3, 1)[..., None, :]  # (B, H, W, K, 2)
        weight = (off.square().sum(-1) / (-2 * self.sigma**2)).softmax(-1)
        return index.permute(0, 3, 1, 2), weight.permute(0, 3, 1, 2)

    def share(self, index: Tensor, weight: Tensor) -> Tensor:
        """(B, K, H, W) bins and weights of ``encode`` -> (Q,) the share of each bin in them, of sum 1."""
        total = weight.new_zeros(len(self.centers)).index_add_(0, index.flatten(), weight.flatten())
        return total / total.sum()

    def annealed_mean(self, logits: Tensor, temperature: float = 0.38) -> Tensor:
        """One color per pixel, between the mode (temperature 0) and the mean (1) of its distribution (eq. 5).

        Args:
            logits: (B, Q, H, W).
            temperature: T.
        Returns:
            (B, 2, H, W) ab.
        """
        sharp = (logits.float() / temperature).softmax(1)
        return torch.stack([(sharp * plane[:, None, None]).sum(1) for plane in self.centers.float().unbind(1)], 1)


@cache
def gamut_bins(step: float = 10.0) -> Tensor:
    """(Q, 2) ab: the points of a grid between which the colors of sRGB lie.

    Every color is inside a square of four of them, so that soft targets interpolate.  Of step 10 there are 309 (the
    paper's list, of another conversion to Lab, has 313).
    """
    side = torch.linspace(0, 1, 256, dtype=torch.float64)
    x, y = torch.meshgrid(side, side, indexing="ij")
    # Every ab of the gamut is found on the surface of the RGB cube.
    faces = [torch.stack([torch.full_like(x, end), x, y]).roll(turn, 0) for end in (0, 1) for turn in range(3)]
    cells = (rgb_to_lab(torch.cat(faces, 1))[1:].flatten(1) / step).floor().long()  # (2, N), the lower corner
    reach = int(_REACH // step) + 1
    found = torch.zeros(2 * reach + 1, 2 * reach + 1, dtype=torch.bool)
    for right, up in itertools.product((0, 1), (0, 1)):
        found[cells[0] + reach + right, cells[1] + reach + up] = True
    return (found.nonzero() - reach) * float(step)


def rebalance(prior: Tensor, uniform: float = 0.5) -> Tensor:
    """Weights by which rare colors count more (eq. 4).

    Args:
        prior: (Q,) share of each bin in the data, of sum 1.
        uniform: lambda, how much of a uniform distribution the prior is mixed with; 1: all weights are 1.
    Returns:
        (Q,) weights w with sum over q of prior[q] w[q] = 1.
    """
    weight = 1 / ((1 - uniform) * prior + uniform / len(prior))
    return weight / (prior * weight).sum()
