"""Pixels drawn from masks by the hundred thousand: anchors on objects, non-matches anywhere but at the match."""

import torch
from torch import Tensor

from mmcontrast.ops.random import random_bits

_STREAM = 1000  # of the sample's key
_DRAWS = 1 << 16  # pixels drawn for an image


def draw_pixels(allowed: Tensor, uniform_draw: Tensor) -> Tensor:
    """Draws pixels uniformly from masks.

    Args:
        allowed: Masks, (B, H, W) bool.
        uniform_draw: Uniform random numbers in [0, 1), (B, N).

    Returns:
        Pixels y * W + x, (B, N) int64; all are 0 for an empty mask.
    """
    lists = _PixelLists(allowed[:, None])
    return lists.take(uniform_draw.clone(), lists.count.new_zeros(len(uniform_draw), 1, dtype=torch.int64)).long()


def draw_non_matches(
    mask: Tensor, masked_fraction: Tensor, match_b: Tensor, sample_key: Tensor, count: int, radius: float
) -> Tensor:
    """Draws non-matches for each match: some on the objects, the others on the background.

    Of more than 65,536 pixels the first 65,536 are drawn and then taken again, in rows of K, for further matches.
    A pixel within the radius of its match moves half the image's width to the side, so that the radius stays empty
    also where an object is smaller than it.  Without background all are drawn on the objects, and the reverse.

    Args:
        mask: Masks of the objects of b, (B, H, W) bool.
        masked_fraction: Fraction of the non-matches to draw on the objects, (B,).
        match_b: Pixels (x, y) of the matches in b, (B, N, 2); infinite where there is no match.
        sample_key: Keys of the random draws, (B,) int64.
        count: Number K of non-matches per match.
        radius: Radius in pixels, less than a quarter of the width.

    Returns:
        Pixels y * W + x of b, (B, N, K) int64.
    """
    (batch, _, width), n = mask.shape, match_b.shape[1]
    lists = _PixelLists(torch.stack([mask, ~mask], 1))
    k = torch.arange(count, device=mask.device)
    group = (k >= (masked_fraction[:, None] * count).round()).long()  # (B, K): 0 on the objects, 1 on the background
    group = torch.where(lists.count.gather(1, group) > 0, group, 1 - group)
    rows = min(n, max(1, _DRAWS // count))
    bits = random_bits(sample_key, -(-rows * count // 2), _STREAM).view(torch.int32)[
        :, : rows * count
    ]  # two draws a word
    uniform_draw = (bits >> 8).bitwise_and_((1 << 24) - 1).float().mul_(2.0**-24)
    drawn = lists.take(uniform_draw.reshape(batch, rows, count), group)
    index = torch.empty(batch, n, count, dtype=torch.int64, device=mask.device)
    for some, matches in zip(index.split(rows, 1), match_b.split(rows, 1), strict=True):
        pixel = drawn[:, : some.shape[1]].clone()
        _leave_radius(pixel, matches, radius, width)
        some.copy_(pixel)
    return index


def _leave_radius(index: Tensor, match_b: Tensor, radius: float, width: int) -> None:
    """Moves pixels (B, N, K) aside, in place, that lie within the radius of their match (B, N, 2)."""
    flat = (match_b[..., 1:].round() * width + match_b[..., :1].round()).to(index.dtype)  # (B, N, 1)
    reach = int((radius + 2) * (width + 1))  # only pixels close in reading order can be
    near = ((index - flat).abs_() <= reach).flatten().nonzero()[:, 0]  # (P,): few
    match = match_b.flatten(0, 1)[near.div(index.shape[2], rounding_mode="floor")]  # (P, 2)
    pixel = index.view(-1)[near]
    y = pixel.div(width, rounding_mode="floor")
    x = pixel - y * width
    half = width // 2
    aside = torch.where(x < half, pixel + half, pixel - half)
    close = torch.hypot(x - match[:, 0], y - match[:, 1]) <= radius
    index.view(-1)[near] = torch.where(close, aside, pixel)


class _PixelLists:
    """The pixels of (B, G, H, W) masks in one list, from which any number can be drawn at once.

    In 32 bits throughout: these are the largest tensors of a training step.
    """

    def __init__(self, allowed: Tensor) -> None:
        flat = allowed.flatten(2)
        self.count = flat.sum(2, dtype=torch.int32)  # (B, G)
        self.size = flat.shape[2]
        index = flat.flatten().nonzero()[:, 0].int()
        self.pixel_index = torch.cat([index, index.new_zeros(1)])  # (P + 1,), in all of ``flat``
        self.start = (self.count.flatten().cumsum(0) - self.count.flatten()).view_as(self.count).int()

    def take(self, uniform_draw: Tensor, group: Tensor) -> Tensor:
        """Returns int32 pixels from uniform numbers (B, [N,] K), which it overwrites, and groups (B, K)."""
        shape = (len(uniform_draw), *[1] * (uniform_draw.ndim - 2), -1)
        count, start = self.count.gather(1, group).view(shape), self.start.gather(1, group).view(shape)
        row = torch.arange(len(group), device=group.device)[:, None] * self.count.shape[1]
        offset = ((row + group) * self.size).view(shape).int()
        # 24-bit draws below 1 times a count below 2^24 round to less than the count
        index = uniform_draw.mul_(count.float()).int().add_(start)
        pixel = self.pixel_index.index_select(0, index.flatten()).view_as(uniform_draw)
        return pixel.sub_(offset).mul_((count > 0).int())
