"""Images as rows of square patches: cutting, joining, position embeddings and masks."""

import math

import torch
from torch import Tensor

from mmcontrast.errors import InputError
from mmcontrast.ops.random import uniform


def patchify(image: Tensor, side: int) -> Tensor:
    """Cuts images into patches, row by row.

    Args:
        image: Images (B, C, H, W).
        side: Side of a patch in pixels.

    Returns:
        Patches (B, N, side * side * C); the pixels of a patch are in row order, channels last.

    Raises:
        InputError: The sides of the image are not multiples of ``side``.
    """
    b, c, height, width = image.shape
    if height % side or width % side:
        raise InputError(
            f"Images of {height} x {width} pixels cannot be cut into patches of {side} x {side}; resize them."
        )
    cut = image.reshape(b, c, height // side, side, width // side, side)
    return cut.permute(0, 2, 4, 3, 5, 1).flatten(3).flatten(1, 2)


def unpatchify(patches: Tensor, side: int, height: int, width: int) -> Tensor:
    """Joins patches to images; this is the inverse of ``patchify``.

    Args:
        patches: Patches (B, N, side * side * C).
        side: Side of a patch in pixels.
        height: Height of the images in pixels.
        width: Width of the images in pixels.

    Returns:
        Images (B, C, height, width).
    """
    b, channels = len(patches), patches.shape[2] // side**2
    cut = patches.reshape(b, height // side, width // side, side, side, channels)
    return cut.permute(0, 5, 1, 3, 2, 4).reshape(b, channels, height, width)


def cut(image: Tensor, top: Tensor, left: Tensor, side: int) -> Tensor:
    """Cuts squares from images at any positions.

    Args:
        image: Images (B, C, H, W).
        top: First row (B, N) int64 of each square.
        left: First column (B, N) int64 of each square.
        side: Side P of the squares in pixels.

    Returns:
        Patches (B, N, C, P, P).
    """
    along = torch.arange(side, device=image.device)
    rows, columns = top[..., None] + along, left[..., None] + along  # (B, N, P) each
    batch = torch.arange(len(image), device=image.device)[:, None, None, None]
    return image.permute(0, 2, 3, 1)[batch, rows[..., :, None], columns[..., None, :]].permute(0, 1, 4, 2, 3)


def paste(patches: Tensor, top: Tensor, left: Tensor, side: int) -> Tensor:
    """Pastes patches that do not overlap onto gray squares.

    Args:
        patches: Patches (B, N, C, P, P).
        top: First row (B, N) int64 of each patch.
        left: First column (B, N) int64 of each patch.
        side: Side of the squares in pixels.

    Returns:
        Images (B, C, side, side).
    """
    along = torch.arange(patches.shape[-1], device=patches.device)
    rows, columns = top[..., None] + along, left[..., None] + along  # (B, N, P) each
    batch = torch.arange(len(patches), device=patches.device)[:, None, None, None]
    sheet = patches.new_full((len(patches), side, side, patches.shape[2]), 0.5)
    sheet[batch, rows[..., :, None], columns[..., None, :]] = patches.permute(0, 1, 3, 4, 2)
    return sheet.permute(0, 3, 1, 2)


def standardize(patches: Tensor) -> Tensor:
    """Scales each channel of patches (..., C, P, P) to mean 0 and standard deviation 1 (0 if it is constant)."""
    deviation, mean = torch.std_mean(patches, (-2, -1), correction=0, keepdim=True)
    return (patches - mean) / (deviation + 1e-4)


def framed(image: Tensor, correct: Tensor) -> Tensor:
    """Draws frames around images: green for correct predictions, red for wrong ones.

    Args:
        image: Images (B, 3, H, W).
        correct: Bool tensor (B,).

    Returns:
        Images (B, 3, H + 2 w, W + 2 w); the frame is w = round(H / 24) pixels wide.
    """
    width = max(1, round(image.shape[2] / 24))
    colors = image.new_tensor([[0.86, 0.15, 0.15], [0.09, 0.64, 0.29]])[correct.long()]  # (B, 3)
    height, across = (side + 2 * width for side in image.shape[2:])
    sheet = colors[:, :, None, None].repeat(1, 1, height, across)
    sheet[:, :, width:-width, width:-width] = image
    return sheet


def sincos_positions(height: int, width: int, dim: int) -> Tensor:
    """Returns fixed position embeddings of a grid: sines and cosines of x and of y (MoCo v3, MAE).

    Args:
        height: Rows of the grid.
        width: Columns of the grid.
        dim: Width of an embedding.

    Returns:
        Embeddings (height * width, dim).

    Raises:
        InputError: ``dim`` is not a multiple of 4.
    """
    if dim % 4:
        raise InputError(f"The width of sine-cosine positions is {dim}; give a multiple of 4.")
    frequency = 10000 ** -(torch.arange(dim // 4, dtype=torch.float64) / (dim // 4))
    y, x = torch.meshgrid(torch.arange(height).double(), torch.arange(width).double(), indexing="ij")
    angles = [axis.flatten()[:, None] * frequency for axis in (x, y)]  # (h w, dim / 4) each
    return torch.cat([part for angle in angles for part in (angle.sin(), angle.cos())], 1).float()


def random_mask(sample_key: Tensor, patches: int, ratio: float, stream: int) -> tuple[Tensor, Tensor]:
    """Hides a random fraction of the patches of each image (MAE).

    Args:
        sample_key: Random keys (B,) int64, one per sample.
        patches: Number N of patches of an image.
        ratio: Fraction of the patches that is hidden, in (0, 1).
        stream: Random stream, see ``ops.random``.

    Returns:
        The indices (B, n) int64 of the n = round(N (1 - ratio)) visible patches in rising order, at least 1 and at most
        N - 1, and a bool mask (B, N) that is True for hidden patches.
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
    """Hides rectangles of patches in each image (BEiT, 2106.08254, algorithm 1; DINOv2).

    For each image, ``blocks`` rectangles of at least 4 patches and of aspect ratios from 0.3 to 1 / 0.3 are drawn. They
    are hidden one after the other until a fraction drawn from ``ratio`` is reached; of the last one, random patches are
    hidden, so that the number is exact.

    Args:
        sample_key: Random keys (B,) int64, one per sample.
        height: Rows of the grid.
        width: Columns of the grid.
        stream: Random stream, see ``ops.random``.
        ratio: Smallest and largest fraction of hidden patches.
        probability: Probability that an image has hidden patches.
        blocks: Number of rectangles; if they do not cover the fraction, single patches are added.

    Returns:
        A bool mask (B, height * width), True for hidden patches.
    """
    patches = height * width
    numbers = uniform(sample_key, 2 + 4 * blocks + patches, stream)
    masked, fraction = numbers[:, 0] < probability, ratio[0] + (ratio[1] - ratio[0]) * numbers[:, 1]  # (B,)
    area, shape, top, left = numbers[:, 2 : 2 + 4 * blocks].view(-1, 4, blocks).unbind(1)  # (B, R) each
    count = (fraction * patches).round().clamp(min=1)  # (B,)
    largest = (count[:, None] / 2).clamp(min=4)
    area, shape = 4 + area * (largest - 4), ((2 * shape - 1) * math.log(1 / 0.3)).exp()
    h = (area * shape).sqrt().round().clamp(1, height)
    w = (area / shape).sqrt().round().clamp(1, width)
    top, left = (top * (height - h + 1)).floor(), (left * (width - w + 1)).floor()
    y, x = torch.arange(height, device=sample_key.device)[:, None], torch.arange(width, device=sample_key.device)
    first_row, first_column, end_column, end_row = (v[:, :, None, None] for v in (top, left, left + w, top + h))
    inside = (y >= first_row) & (y < end_row) & (x >= first_column) & (x < end_column)  # (B, R, h, w)
    order = torch.where(inside.any(1), inside.int().argmax(1), blocks).flatten(1)  # (B, N) first rectangle that hides
    rank = (order + numbers[:, -patches:]).argsort(1).argsort(1)
    return (rank < count[:, None]) & masked[:, None]
