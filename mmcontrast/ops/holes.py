"""Holes in images, for methods that paint them: True where a pixel is hidden."""

import torch
import torch.nn.functional as F
from torch import Tensor

from mmcontrast.ops.random import uniform


def center_hole(height: int, width: int, share: float = 0.25) -> Tensor:
    """(1, 1, height, width) bool: the middle of an image, a rectangle of its own shape and ``share`` of its area."""
    hole = torch.zeros(1, 1, height, width, dtype=torch.bool)
    rows, columns = (max(1, round(side * share**0.5)) for side in (height, width))
    top, left = (height - rows) // 2, (width - columns) // 2
    hole[:, :, top : top + rows, left : left + columns] = True
    return hole


def random_region(
    sample_key: Tensor, height: int, width: int, stream: int, share: float = 0.25, blobs: int = 8
) -> Tensor:
    """Holes of arbitrary shape: where smooth noise is low (the code of 1604.07379).

    Args:
        sample_key: (B,) int64, one per sample.
        height, width: in pixels.
        stream: see ``ops.random``.
        share: of the image's area.
        blobs: cells of noise along each side; the more, the smaller the pieces.
    Returns:
        (B, 1, height, width) bool, round(share * height * width) pixels of each image.
    """
    noise = uniform(sample_key, blobs**2, stream).view(-1, 1, blobs, blobs)
    noise = F.interpolate(noise, (height, width), mode="bicubic").flatten(1)  # (B, H W)
    lowest = noise.topk(max(1, round(share * noise.shape[1])), 1, largest=False, sorted=False).indices
    hole = torch.zeros_like(noise, dtype=torch.bool).scatter_(1, lowest, True)
    return hole.view(-1, 1, height, width)


def border(hole: Tensor, width: int) -> Tensor:
    """(B, 1, H, W) bool: pixels outside a hole that are at most ``width`` rows and columns away from it."""
    if width < 1:
        return torch.zeros_like(hole)
    return (F.max_pool2d(hole.float(), 2 * width + 1, 1, width) > 0) & ~hole
