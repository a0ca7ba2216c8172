"""Holes in images, for methods that inpaint them: masks that are True for hidden pixels."""

import torch
import torch.nn.functional as F
from torch import Tensor

from mmcontrast.ops.random import uniform


def center_hole(height: int, width: int, fraction: float = 0.25) -> Tensor:
    """Returns a rectangular hole in the center of an image, of the same shape as the image.

    Args:
        height: Height of the image in pixels.
        width: Width of the image in pixels.
        fraction: Fraction of the image's area, in (0, 1].

    Returns:
        A bool mask (1, 1, height, width).
    """
    hole = torch.zeros(1, 1, height, width, dtype=torch.bool)
    rows, columns = (max(1, round(side * fraction**0.5)) for side in (height, width))
    top, left = (height - rows) // 2, (width - columns) // 2
    hole[:, :, top : top + rows, left : left + columns] = True
    return hole


def random_region(
    sample_key: Tensor, height: int, width: int, stream: int, fraction: float = 0.25, blobs: int = 8
) -> Tensor:
    """Returns holes of arbitrary shape: the pixels at which smooth noise is lowest (the code of 1604.07379).

    Args:
        sample_key: Random keys (B,) int64, one per sample.
        height: Height of the images in pixels.
        width: Width of the images in pixels.
        stream: Random stream, see ``ops.random``.
        fraction: Fraction of the image's area.
        blobs: Cells of noise along each side; more cells make smaller pieces.

    Returns:
        A bool mask (B, 1, height, width) with round(fraction * height * width) pixels in each image.
    """
    noise = uniform(sample_key, blobs**2, stream).view(-1, 1, blobs, blobs)
    noise = F.interpolate(noise, (height, width), mode="bicubic").flatten(1)  # (B, H W)
    lowest = noise.topk(max(1, round(fraction * noise.shape[1])), 1, largest=False, sorted=False).indices
    hole = torch.zeros_like(noise, dtype=torch.bool).scatter_(1, lowest, True)
    return hole.view(-1, 1, height, width)


def border(hole: Tensor, width: int) -> Tensor:
    """Returns the pixels outside a hole that are at most ``width`` rows and columns away from it.

    Args:
        hole: Bool mask (B, 1, H, W), True in the hole.
        width: Width of the border in pixels.

    Returns:
        A bool mask (B, 1, H, W).
    """
    if width < 1:
        return torch.zeros_like(hole)
    return (F.max_pool2d(hole.float(), 2 * width + 1, 1, width) > 0) & ~hole
