"""Images as rows of square patches: cutting, joining, positions, and which of them to hide."""

import math

import torch
from torch import Tensor

from mmcontrast.errors import InputError
from mmcontrast.ops.random import uniform


def patchify(image: Tensor, side: int) -> Tensor:
    """(B, C, H, W) -> (B, N, side * side * C), patches row by row, their pixels row by row, channels last.

    Raises:
        InputError: the image is no whole number of patches.
    """
    b, c, height, width = image.shape
    if height % side or width % side:
        raise InputError(f"images of {height} x {width} pixels are no whole number of {side} x {side} patches")
    cut = image.reshape(b, c, height // side, side, width // side, side)
    return cut.permute(0, 2, 4, 3, 5, 1).flatten(3).flatten(1, 2)


def unpatchify(patches: Tensor, side: int, height: int, width: int) -> Tensor:
    """(B, N, side * side * C) -> (B, C, height, width) in pixels; undoes ``patchify``."""
    b, channels = len(patches), patches.shape[2] // side**2
    cut = patches.reshape(b, height // side, width // side, side, side, channels)
    return cut.permute(0, 5, 1, 3, 2, 4).reshape(b, channels, height, width)


def cut(image: Tensor, top: Tensor, left: Tensor, side: int) -> Tensor:
    """Squares anywhere in images, all at once.

    Args:
        image: (B, C, H, W).
        top, left: (B, N) int64, the first row and column of each square.
        side: P, in pixels.
    Returns:
        (B, N, C, P, P).
    """
    along = torch.arange(side, device=image.device)
    rows, columns = top[..., None] + along, left[..., None] + along  # (B, N, P) each
    batch = torch.arange(len(image), device=image.device)[:, None, None, None]
    return image.permute(0, 2, 3, 1)[batch, rows[..., :, None], columns[..., None, :]].permute(0, 1, 4, 2, 3)


def paste(patches: Tensor, top: Tensor, left: Tensor, side: int) -> Tensor:
    """(B, N, C, P, P) patches at the first rows and columns (B, N), no two overlapping -> (B, C, side, side) on gray"""
    along = torch.arange(patches.shape[-1], device=patches.device)
    rows, columns = top[..., None] + along, left[..., None] + along  # (B, N, P) each
    batch = torch.arange(len(patches), device=patches.device)[:, None, None, None]
    sheet = patches.new_full((len(patches), side, side, patches.shape[2]), 0.5)
    sheet[batch, rows[..., :, None], columns[..., None, :]] = patches.permute(0, 1, 3, 4, 2)
    return sheet.permute(0, 3, 1, 2)


def standardize(patches: Tensor) -> Tensor:
    """(..., C, P, P) -> the same, each channel of each patch of mean 0 and deviation 1 (0 where it is flat)."""
    deviation, mean = torch.std_mean(patches, (-2, -1), correction=0, keepdim=True)
    return (patches - mean) / (deviation + 1e-4)


def framed(image: Tensor, right: Tensor) -> Tensor:
    """(B, 3, H, W) in a green frame where ``right`` (B,) is True, in a red one elsewhere: a little larger."""
    width = max(1, round(image.shape[2] / 24))
    colors = image.new_tensor([[0.86, 0.15, 0.15], [0.09, 0.64, 0.29]])[right.long()]  # (B, 3)
    height, across = (side + 2 * width for side in image.shape[2:])
    sheet = colors[:, :, None, None].repeat(1, 1, height, across)
    sheet[:, :, width:-width, width:-width] = image
    return sheet


def sincos_positions(height: int, width: int, dim: int) -> Tensor:
    """Fixed positions of a grid: (height * width, dim), sines and cosines of x and of y (MoCo v3, MAE).

    Raises:
        InputError: dim is no multiple of 4.
    """
    if dim % 4:
        raise InputError(f"fixed sine-cosine positions need a width divisible by 4, not {dim}")
    frequency = 10000 ** -(torch.arange(dim // 4, dtype=torch.float64) / (dim // 4))
    y, x = torch.meshgrid(torch.arange(height).double(), torch.arange(width).double(), indexing="ij")
    angles = [axis.flatten()[:, None] * frequency for axis in (x, y)]  # (h w, dim / 4) each
    return torch.cat([part for angle in angles for part in (angle.sin(), angle.cos())], 1).float()


def random_mask(sample_key: Tensor, patches: int, ratio: float, stream: int) -> tuple[Tensor, Tensor]:
    """Hides a random share of each image's patches (MAE).

    Args:
        sample_key: (B,) int64, one per sample.
        patches: N, of an image.
        ratio: share to hide, in (0, 1).
        stream: see ``ops.random``.
    Returns:
        (B, n) int64, the n = round(N (1 - ratio)) patches to keep, at least 1 and at most N - 1, in rising order; and
        (B, N) bool, those that are hidden.
    """
    count = min(max(round(patches * (1 - ratio)), 1), patches - 1)
    keep = uniform(sample_key, patches, stream).argsort(1)[:, :count].sort(1).values  # (B, n)
    hidden = torch.ones(len(sample_key), patches, dtype=torch.bool, device=sample_key.device).scatter_(1, keep, False)
    return keep, hidden


def block_mask(
    sample_key: Tensor,
    height: int,
    width: int,
    stream: int,
    ratio: tuple[float, float] = (0.1, 0.5),
    probability: float = 0.5,
    blocks: int = 12,
) -> Tensor:
    """Hides rectangles of patches (BEiT, 2106.08254, algorithm 1; DINOv2), all images at once.

    Each image draws ``blocks`` rectangles, of at least 4 patches and of shapes 0.3 to 1 / 0.3, and hides them one
    after the other until a share drawn from ``ratio`` is hidden; a random part of the last one fits it exactly.

    Args:
        sample_key: (B,) int64, one per sample.
        height, width: of the grid, in patches.
        stream: see ``ops.random``.
        ratio: smallest and largest share of hidden patches.
        probability: that an image has any hidden.
        blocks: rectangles to draw; if they do not cover the share, single patches fill it.
    Returns:
        (B, height * width) bool, True where hidden.
    """
    patches = height * width
    numbers = uniform(sample_key, 2 + 4 * blocks + patches, stream)
    masked, share = numbers[:, 0] < probability, ratio[0] + (ratio[1] - ratio[0]) * numbers[:, 1]  # (B,)
    area, shape, top, left = numbers[:, 2 : 2 + 4 * blocks].unflatten(1, (4, blocks)).unbind(1)  # (B, R) each
    count = (share * patches).round().clamp(min=1)  # (B,)
    most = (count[:, None] / 2).clamp(min=4)
    area, shape = 4 + area * (most - 4), ((2 * shape - 1) * math.log(1 / 0.3)).exp()
    h = (area * shape).sqrt().round().clamp(1, height)
    w = (area / shape).sqrt().round().clamp(1, width)
    top, left = (top * (height - h + 1)).floor(), (left * (width - w + 1)).floor()
    y, x = torch.arange(height, device=sample_key.device)[:, None], torch.arange(width, device=sample_key.device)
    corner, low, right, bottom = (v[:, :, None, None] for v in (top, left, left + w, top + h))
    inside = (y >= corner) & (y < bottom) & (x >= low) & (x < right)  # (B, R, h, w)
    order = torch.where(inside.any(1), inside.int().argmax(1), blocks).flatten(1)  # (B, N) first rectangle that hides
    rank = (order + numbers[:, -patches:]).argsort(1).argsort(1)
    return (rank < count[:, None]) & masked[:, None]
