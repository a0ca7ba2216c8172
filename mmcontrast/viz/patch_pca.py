"""Patch features as colors: three whitened principal components of the foreground, one basis for all images.

The image of DINOv2 (Oquab et al., 2023, figure 1; https://arxiv.org/abs/2304.07193): the first component of all
patches tells the foreground, three components of the foreground's patches become red, green and blue.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from mmcontrast.errors import InputError

Region = Literal["foreground", "all"]


class Components(NamedTuple):
    """Principal components: ``mean`` (D,), ``basis`` (D, K), ``deviation`` (K,) of the data along each."""

    mean: Tensor
    basis: Tensor
    deviation: Tensor

    def __call__(self, features: Tensor) -> Tensor:
        """(..., D) -> (..., K) of variance 1."""
        return (features - self.mean) @ self.basis / self.deviation


class PatchPCA:
    """Colors of patches.

    The sign of a component is free; here its largest entry is positive, so that the same features always get the
    same colors.

    Args:
        grids: images' features, (h_i, w_i, D) each; the basis is made from all of them together.
        region: "foreground" leaves the rest black; "all" colors every patch.
    """

    def __init__(self, grids: Sequence[Tensor], region: Region = "foreground") -> None:
        if region not in ("foreground", "all"):
            raise InputError(f"region {region!r}: choose foreground or all")
        cells = torch.cat([grid.flatten(0, 1) for grid in grids])  # (N, D)
        if len(cells) < 4 or cells.shape[1] < 3:
            raise InputError(f"{len(cells)} patches of {cells.shape[1]} channels; three colors need 4 patches and 3")
        self.first = components(cells, 1)
        self.cut, self.side = -torch.inf, 1
        if region == "foreground":
            scores = self.first(cells)[:, 0]
            self.cut = otsu(scores)
            border = torch.cat([self.first(_border(grid))[:, 0] for grid in grids])
            rarer = (border > self.cut).float().mean() <= (scores > self.cut).float().mean()
            self.side = 1 if rarer else -1  # the side that is rarer at the border than elsewhere
        chosen = cells[self._is_foreground(cells)]
        self.colors = components(chosen if len(chosen) >= 4 else cells, 3)

    def _is_foreground(self, features: Tensor) -> Tensor:
        """(..., D) -> (...) bool."""
        above = self.first(features)[..., 0] > self.cut
        return above if self.side > 0 else ~above

    def mask(self, grid: Tensor) -> Tensor:
        """(h, w, D) -> (h, w) bool, the foreground."""
        return self._is_foreground(grid)

    def __call__(self, grid: Tensor) -> Tensor:
        """(h, w, D) -> (h, w, 3) in [0, 1], the background 0."""
        return (2 * self.colors(grid)).sigmoid() * self.mask(grid)[..., None]


def components(features: Tensor, count: int) -> Components:
    """The first ``count`` principal components of (N, D) features."""
    mean = features.mean(0)
    centered = (features - mean).double()
    values, vectors = torch.linalg.eigh(centered.T @ centered / len(features))  # ascending
    basis = vectors.flip(1)[:, :count]
    largest = basis.gather(0, basis.abs().argmax(0, keepdim=True))
    deviation = values.flip(0)[:count].clamp(min=1e-12).sqrt()
    return Components(mean, (basis * largest.sign()).to(mean), deviation.to(mean))


def otsu(values: Tensor) -> float:
    """The threshold that parts (N,) values into two groups of least variance (Otsu, 1979)."""
    ordered = values.double().sort().values
    below = torch.arange(1, len(ordered), device=values.device)
    sums = ordered.cumsum(0)
    low, high = sums[:-1] / below, (sums[-1] - sums[:-1]) / (len(ordered) - below)
    between = below * (len(ordered) - below) * (high - low).square()
    place = int(between.argmax())
    return float((ordered[place] + ordered[place + 1]) / 2)


def _border(grid: Tensor) -> Tensor:
    """(h, w, D) -> (N, D), the outer eighth on each side; the outermost patches alone are what padding distorts."""
    wide = max(1, min(grid.shape[:2]) // 8)
    outer = torch.ones(grid.shape[:2], dtype=torch.bool, device=grid.device)
    outer[wide:-wide, wide:-wide] = False
    return grid[outer]
