"""Pixels drawn from masks by the hundred thousand: anchors on objects, non-matches anywhere but at the match."""

import torch
from torch import Tensor

from mmcontrast.ops.random import words

_STREAM = 1000  # of the sample's key, and those after it
_CACHED = 1 << 16  # non-matches drawn at once: they stay in the cache


def draw_pixels(allowed: Tensor, unit: Tensor) -> Tensor:
    """Pixels drawn evenly from a mask.

    Args:
        allowed: (B, H, W) bool.
        unit: (B, N) in [0, 1).
    Returns:
        (B, N) int64 y * W + x; 0 throughout where a mask is empty.
    """
    lists = _PixelLists(allowed[:, None])
    return lists.take(unit.clone(), lists.count.new_zeros(len(unit), 1, dtype=torch.int64)).long()


def draw_non_matches(
    mask: Tensor, masked_share: Tensor, match_b: Tensor, key: Tensor, count: int, radius: float
) -> Tensor:
    """Pixels for each match that are not the match: some on the objects, the others on the background.

    A pixel within the radius of its match moves half the picture's width to the side, so that the radius stays empty
    also where an object is smaller than it.  Without background all are drawn on the objects, and the reverse.

    Args:
        mask: (B, H, W) bool, the objects of b.
        masked_share: (B,) share to draw on them.
        match_b: (B, N, 2) true pixels; infinite where there is none.
        key: (B,) int64, one per sample.
        count: K per match.
        radius: pixels, less than a quarter of the width.
    Returns:
        (B, N, K) int64 y * W + x.
    """
    (batch, _, width), n = mask.shape, match_b.shape[1]
    lists = _PixelLists(torch.stack([mask, ~mask], 1))
    k = torch.arange(count, device=mask.device)
    group = (k >= (masked_share[:, None] * count).round()).long()  # (B, K): 0 on the objects, 1 on the background
    group = torch.where(lists.count.gather(1, group) > 0, group, 1 - group)
    index = torch.empty(batch, n, count, dtype=torch.int64, device=mask.device)
    step = max(1, _CACHED // count)
    for chunk, part in enumerate(index.split(step, 1)):
        bits = words(key, -(-part[0].numel() // 2), stream=_STREAM + chunk).view(torch.int32)  # two draws a word
        unit = (bits >> 8).bitwise_and_((1 << 24) - 1).float().mul_(2.0**-24)[:, : part[0].numel()]
        pixel = lists.take(unit.reshape(part.shape), group)
        _leave_radius(pixel, match_b[:, chunk * step :][:, :step], radius, width)
        part.copy_(pixel)
    return index


def _leave_radius(index: Tensor, match_b: Tensor, radius: float, width: int) -> None:
    """Moves those of (B, N, K) pixels aside, in place, that lie within the radius of their match (B, N, 2)."""
    flat = (match_b[..., 1:].round() * width + match_b[..., :1].round()).to(index.dtype)  # (B, N, 1)
    near = (
        (index - flat).abs_() <= int((radius + 2) * (width + 1))
    ).nonzero()  # (P, 3): few are close in reading order
    row, n, k = near.unbind(1)
    pixel = index[row, n, k]
    y = pixel.div(width, rounding_mode="floor")
    x = pixel - y * width
    distance = torch.hypot(x - match_b[row, n, 0], y - match_b[row, n, 1])
    half = width // 2
    index[row, n, k] = torch.where(distance <= radius, torch.where(x < half, pixel + half, pixel - half), pixel)


class _PixelLists:
    """The pixels of (B, G, H, W) masks, one after the other in one list, so that any number can be drawn at once.

    In 32 bits throughout: these are the largest tensors of a training step.
    """

    def __init__(self, allowed: Tensor) -> None:
        flat = allowed.flatten(2)
        self.count = flat.sum(2, dtype=torch.int32)  # (B, G)
        self.size = flat.shape[2]
        place = flat.flatten().nonzero()[:, 0].int()
        self.place = torch.cat([place, place.new_zeros(1)])  # (P + 1,), in all of ``flat``
        self.start = (self.count.flatten().cumsum(0) - self.count.flatten()).view_as(self.count).int()

    def take(self, unit: Tensor, group: Tensor) -> Tensor:
        """Draws in [0, 1), overwritten, (B, [N,] K) from groups (B, K) -> int32 pixels; 0 from an empty mask."""
        shape = (len(unit), *[1] * (unit.ndim - 2), -1)
        count, start = self.count.gather(1, group).view(shape), self.start.gather(1, group).view(shape)
        row = torch.arange(len(group), device=group.device)[:, None] * self.count.shape[1]
        offset = ((row + group) * self.size).view(shape).int()
        # 24-bit draws below 1 times a count below 2^24 round to less than the count
        place = unit.mul_(count).int().add_(start)
        pixel = self.place.index_select(0, place.flatten()).view_as(unit)
        return pixel.sub_(offset).mul_(count > 0)
