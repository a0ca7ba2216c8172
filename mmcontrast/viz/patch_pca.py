"""Patch features as colors: three whitened principal components of the foreground, one basis for all images.

As in DINOv2 (Oquab et al., 2023, figure 1; https://arxiv.org/abs/2304.07193), the first component of all patches
separates the foreground, and three components of the foreground's patches become red, green and blue.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from mmcontrast.errors import InputError

Region = Literal["foreground", "all"]


class Components(NamedTuple):
    """Principal components.

    Attributes:
        mean: Mean of the data (D,).
        basis: Directions (D, K) of length 1.
        deviation: Standard deviation of the data along each direction (K,).
    """

    mean: Tensor
    basis: Tensor
    deviation: Tensor

    def __call__(self, features: Tensor) -> Tensor:
        """Returns the components (..., K) of features (..., D), scaled to variance 1."""
        return (features - self.mean) @ self.basis / self.deviation


class PatchPCA:
    """Colors of patches, from one basis for several images.

    The sign of a component is arbitrary; the largest entry of each direction is positive here, so that the same
    features always get the same colors.

    Args:
        grids: Features of the images (h_i, w_i, D).
        region: "foreground" leaves other patches black; "all" colors every patch.

    Raises:
        InputError: The region is unknown, or there are too few patches or channels.
    """

    def __init__(self, grids: Sequence[Tensor], region: Region = "foreground") -> None:
        if region not in ("foreground", "all"):
            raise InputError(f"region {region!r}: choose foreground or all")
        cells = torch.cat([grid.flatten(0, 1) for grid in grids])  # (N, D)
        if len(cells) < 4 or cells.shape[1] < 3:
            raise InputError(f"{len(cells)} patches of {cells.shape[1]} channels; three colors need 4 patches and 3")
        self.first = components(cells, 1)
        self.threshold, self.sign = -torch.inf, 1
        if region == "foreground":
            scores = self.first(cells)[:, 0]
            self.threshold = otsu(scores)
            border = torch.cat([self.first(_border(grid))[:, 0] for grid in grids])
            is_rarer = (border > self.threshold).float().mean() <= (scores > self.threshold).float().mean()
            self.sign = 1 if is_rarer else -1  # the foreground is rarer at the border than elsewhere
        foreground = cells[self._is_foreground(cells)]
        self.colors = components(foreground if len(foreground) >= 4 else cells, 3)

    def _is_foreground(self, features: Tensor) -> Tensor:
        """Tells which features (..., D) belong to the foreground, (...) bool."""
        above = self.first(features)[..., 0] > self.threshold
        return above if self.sign > 0 else ~above

    def mask(self, grid: Tensor) -> Tensor:
        """Returns the foreground (h, w) bool of features (h, w, D)."""
        return self._is_foreground(grid)

    def __call__(self, grid: Tensor) -> Tensor:
        """Returns the colors (h, w, 3) in [0, 1] of features (h, w, D); the background is 0."""
        return (2 * self.colors(grid)).sigmoid() * self.mask(grid)[..., None]


def components(features: Tensor, count: int) -> Components:
    """Computes the first principal components of features.

    Args:
        features: (N, D).
        count: Number of components K.

    Returns:
        The components.
    """
    mean = features.mean(0)
    centered = (features - mean).double()
    values, vectors = torch.linalg.eigh(centered.T @ centered / len(features))  # ascending
    basis = vectors.flip(1)[:, :count]
    largest = basis.gather(0, basis.abs().argmax(0, keepdim=True))
    deviation = values.flip(0)[:count].clamp(min=1e-12).sqrt()
    return Components(mean, (basis * largest.sign()).to(mean), deviation.to(mean))


def otsu(values: Tensor) -> float:
    """Computes the threshold that divides values into two groups of smallest variance (Otsu, 1979).

    Args:
        values: (N,).

    Returns:
        The threshold.
    """
    ordered = values.double().sort().values
    below = torch.arange(1, len(ordered), device=values.device)
    sums = ordered.cumsum(0)
    low, high = sums[:-1] / below, (sums[-1] - sums[:-1]) / (len(ordered) - below)
    between = below * (len(ordered) - below) * (high - low).square()
    index = int(between.argmax())
    return float((ordered[index] + ordered[index + 1]) / 2)


def _border(grid: Tensor) -> Tensor:
    """Returns the patches (N, D) in the outer eighth of a grid (h, w, D) on each side."""
    width = max(1, min(grid.shape[:2]) // 8)
    outer = torch.ones(grid.shape[:2], dtype=torch.bool, device=grid.device)
    outer[width:-width, width:-width] = False
    return grid[outer]
