"""Conversion between sRGB and CIE Lab (D65), and quantization of colors."""

import torch
from torch import Tensor

# Linear sRGB to XYZ (IEC 61966-2-1). The rows are divided by the white point below, so that white is (1, 1, 1).
_XYZ = torch.tensor(
    [[0.412453, 0.357580, 0.180423], [0.212671, 0.715160, 0.072169], [0.019334, 0.119193, 0.950227]],
    dtype=torch.float64,
)
_WHITE = _XYZ.sum(1, keepdim=True)
_DELTA = 6 / 29  # CIE 15: the cube root becomes linear below the cube of this


def rgb_to_lab(rgb: Tensor) -> Tensor:
    """Converts sRGB to CIE Lab.

    Args:
        rgb: Images (..., 3, H, W), float in [0, 1].

    Returns:
        Images (..., 3, H, W) with L in [0, 100], and a and b in about [-110, 110].
    """
    linear = torch.where(rgb <= 0.04045, rgb / 12.92, ((rgb.clamp_min(0) + 0.055) / 1.055) ** 2.4)
    xyz = _multiply(_XYZ / _WHITE, linear)
    root = torch.where(xyz > _DELTA**3, xyz.clamp_min(_DELTA**3) ** (1 / 3), xyz / (3 * _DELTA**2) + 4 / 29)
    x, y, z = root.unbind(-3)
    return torch.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], -3)


def lab_to_rgb(lab: Tensor) -> Tensor:
    """Converts CIE Lab to sRGB; colors outside the gamut of sRGB are clipped.

    Args:
        lab: Images (..., 3, H, W) with L in [0, 100].

    Returns:
        Images (..., 3, H, W), float in [0, 1].
    """
    lightness, a, b = lab.unbind(-3)
    y = (lightness + 16) / 116
    root = torch.stack([y + a / 500, y, y - b / 200], -3)
    xyz = torch.where(root > _DELTA, root**3, 3 * _DELTA**2 * (root - 4 / 29))
    linear = _multiply(torch.linalg.inv(_XYZ / _WHITE), xyz).clamp(0, 1)
    return torch.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear.clamp_min(0.0031308) ** (1 / 2.4) - 0.055)


def nearest_center(ab: Tensor, centers: Tensor) -> Tensor:
    """Quantizes colors.

    Args:
        ab: The a and b channels (B, 2, H, W) of Lab images.
        centers: Colors (K, 2) in ab.

    Returns:
        The number (B, H, W) int64 of the nearest center.
    """
    pixels = ab.permute(0, 2, 3, 1)  # (B, H, W, 2)
    return (pixels @ centers.T * 2 - (centers**2).sum(1)).argmax(-1)


def kmeans(points: Tensor, clusters: int, iterations: int = 50, seed: int = 0) -> Tensor:
    """Clusters points by Lloyd's algorithm from k-means++ seeds; the same seed returns the same centers.

    Args:
        points: Points (N, D), of which at least ``clusters`` differ.
        clusters: Number K of clusters.
        iterations: Largest number of iterations; the algorithm stops earlier if no center moves.
        seed: Seed of the random first centers.

    Returns:
        Centers (K, D), that of the largest cluster first.
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


def _multiply(matrix: Tensor, channels: Tensor) -> Tensor:
    """Multiplies the channels of (..., 3, H, W) by a 3 x 3 matrix, elementwise, since autocast would round a matmul."""
    x, y, z = matrix.to(channels.dtype).to(channels.device).T[..., None, None]  # (3, 1, 1) each
    first, second, third = channels.unsqueeze(-3).unbind(-4)  # (..., 1, H, W) each
    product: Tensor = x * first + y * second + z * third
    return product


def luma(rgb: Tensor) -> Tensor:
    """Returns the (..., 1, H, W) luma of (..., 3, H, W) images (ITU-R BT.601)."""
    return (rgb * rgb.new_tensor([0.299, 0.587, 0.114])[:, None, None]).sum(-3, keepdim=True)
