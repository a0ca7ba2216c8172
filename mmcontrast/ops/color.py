"""sRGB and CIE Lab (D65) in torch, and the quantization of their colors."""

import torch
from torch import Tensor

# IEC 61966-2-1, linear sRGB -> XYZ; rows are divided by the white point below, so that white is (1, 1, 1).
_XYZ = torch.tensor(
    [[0.412453, 0.357580, 0.180423], [0.212671, 0.715160, 0.072169], [0.019334, 0.119193, 0.950227]],
    dtype=torch.float64,
)
_WHITE = _XYZ.sum(1, keepdim=True)
_DELTA = 6 / 29  # CIE 15: where the cube root meets its linear part


def rgb_to_lab(rgb: Tensor) -> Tensor:
    """sRGB to CIE Lab.

    Args:
        rgb: (..., 3, H, W) float in [0, 1].
    Returns:
        (..., 3, H, W): L in [0, 100], a and b in about [-110, 110].
    """
    linear = torch.where(rgb <= 0.04045, rgb / 12.92, ((rgb.clamp_min(0) + 0.055) / 1.055) ** 2.4)
    xyz = _mix(_XYZ / _WHITE, linear)
    root = torch.where(xyz > _DELTA**3, xyz.clamp_min(_DELTA**3) ** (1 / 3), xyz / (3 * _DELTA**2) + 4 / 29)
    x, y, z = root.unbind(-3)
    return torch.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], -3)


def lab_to_rgb(lab: Tensor) -> Tensor:
    """CIE Lab to sRGB, colors outside its gamut clipped: (..., 3, H, W) -> (..., 3, H, W) float in [0, 1]."""
    lightness, a, b = lab.unbind(-3)
    y = (lightness + 16) / 116
    root = torch.stack([y + a / 500, y, y - b / 200], -3)
    xyz = torch.where(root > _DELTA, root**3, 3 * _DELTA**2 * (root - 4 / 29))
    linear = _mix(torch.linalg.inv(_XYZ / _WHITE), xyz).clamp(0, 1)
    return torch.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear.clamp_min(0.0031308) ** (1 / 2.4) - 0.055)


def nearest_center(ab: Tensor, centers: Tensor) -> Tensor:
    """Quantizes colors: ab (B, 2, H, W) and centers (K, 2) -> (B, H, W) int64, the number of the nearest center."""
    pixels = ab.permute(0, 2, 3, 1)  # (B, H, W, 2)
    return (pixels @ centers.T * 2 - (centers**2).sum(1)).argmax(-1)


def kmeans(points: Tensor, clusters: int, iterations: int = 50, seed: int = 0) -> Tensor:
    """Lloyd's algorithm from k-means++ seeds, the same on every run.

    Args:
        points: (N, D), at least ``clusters`` distinct ones.
        clusters: K.
        iterations: at most so many; it stops when no center moves.
        seed: of the first centers.
    Returns:
        (K, D) centers, the largest cluster first.
    """
    generator = torch.Generator().manual_seed(seed)
    centers = points[torch.randint(len(points), (1,), generator=generator)]
    while len(centers) < clusters:
        distance = torch.cdist(points, centers).amin(1) ** 2
        centers = torch.cat([centers, points[torch.multinomial(distance, 1, generator=generator)]])
    for _ in range(iterations):
        member = torch.cdist(points, centers).argmin(1)
        counts = torch.bincount(member, minlength=clusters)
        sums = torch.zeros_like(centers).index_add(0, member, points)
        moved = torch.where(counts[:, None] > 0, sums / counts.clamp_min(1)[:, None], centers)
        still, centers = torch.equal(moved, centers), moved
        if still:
            break
    return centers[counts.argsort(descending=True, stable=True)]


def _mix(matrix: Tensor, channels: Tensor) -> Tensor:
    """A 3 x 3 matrix over the channel axis of (..., 3, H, W); no matrix product, which autocast would make bf16."""
    x, y, z = matrix.to(channels.dtype).to(channels.device).T[..., None, None]  # (3, 1, 1) each
    first, second, third = channels.split(1, -3)  # (..., 1, H, W) each
    return x * first + y * second + z * third
