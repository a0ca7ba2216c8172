"""Losses between pixels: matches have one descriptor, all other pairs of pixels have different ones.

Florence, Manuelli, Tedrake, Dense Object Nets, CoRL 2018, https://arxiv.org/abs/1806.08756 (equations 1 to 3).
Every loss is a value per pair of images, (B,): the mean over a batch is the paper's one-pair step, averaged, and the
mean over ranks is the mean over the whole batch.  A pair without terms gives 0.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from mmcontrast.losses.streaming import log_sum_exp
from mmcontrast.losses.tiles import Pairs


def match_loss(a: Tensor, b: Tensor, is_match: Tensor) -> Tensor:
    """Computes the mean squared distance of matches (equation 1).

    Args:
        a: (B, N, D) descriptors of N candidate matches in the first image.
        b: (B, N, D) their descriptors in the second image.
        is_match: (B, N) bool, the candidates that count.

    Returns:
        (B,) float32.
    """
    squared = (a.float() - b.float()).square().sum(-1)  # (B, N)
    return _mean(squared, is_match)


def non_match_loss(
    anchor: Tensor,
    image_b: Tensor,
    non_match: Tensor,
    counts: Tensor,
    margin: float = 0.5,
    weight: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Computes the squared hinge of non-matches, divided by the number of active ones (equations 2 and 3).

    A non-match is active while it is nearer than the margin.  Dividing by the active ones instead of by all is the
    paper's hard-negative scaling.

    Args:
        anchor: (B, N, D) descriptors in image a.
        image_b: (B, D, H, W) descriptors of the whole image b.
        non_match: (B, N, K) int64 pixels y * W + x of b, K for each anchor.
        counts: (B, N) bool, the anchors that count.
        margin: M, in units of descriptor distance.
        weight: (B, N, K) factor of each term, see ``distance_weight``; None: 1.

    Returns:
        (B,) float32 loss and (B,) int64 number of active non-matches.
    """
    total, active = _HingeSum.apply(anchor.float(), image_b.float().flatten(2), non_match, counts, margin, weight)
    return total / active.clamp(min=1), active


class _HingeSum(torch.autograd.Function):
    """Sums and counts hinges one descriptor channel at a time, without a (B, N, K, D) tensor in either pass."""

    @staticmethod
    def forward(
        ctx: Any,
        anchor: Tensor,
        flat_b: Tensor,
        non_match: Tensor,
        counts: Tensor,
        margin: float,
        weight: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        distance = torch.zeros(non_match.shape, device=anchor.device)  # (B, N, K)
        for row, _, difference in _differences(anchor, flat_b, non_match):
            distance[row].addcmul_(difference, difference)
        distance.sqrt_()
        hinge = (margin - distance).clamp_(min=0).mul_(counts[..., None])
        active = hinge.count_nonzero((1, 2))
        pull = hinge if weight is None else hinge * weight
        loss = torch.linalg.vecdot(pull.flatten(1), hinge.flatten(1))
        # The slope of w (M - |a - b|)^2 is -2 w (M - |a - b|) (a - b) / |a - b|; at a = b it counts as 0.
        slope = (pull * -2).div_(distance.clamp_(min=1e-12))
        ctx.save_for_backward(anchor, flat_b, non_match, slope)
        ctx.mark_non_differentiable(active)
        return loss, active

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor, _: Any) -> tuple[Tensor | None, ...]:
        anchor, flat_b, non_match, slope = ctx.saved_tensors
        slope = slope * grad[:, None, None]  # (B, N, K)
        grad_a = torch.empty_like(anchor)  # (B, N, D)
        grad_b = torch.zeros_like(flat_b)  # (B, D, H W)
        for row, channel, difference in _differences(anchor, flat_b, non_match):
            difference.mul_(slope[row])  # with the sign of b
            grad_a[row, :, channel] = difference.sum(1).neg_()
            grad_b[row, channel].scatter_add_(0, non_match[row].flatten(), difference.flatten())
        return grad_a, grad_b, None, None, None, None


def _differences(anchor: Tensor, flat_b: Tensor, non_match: Tensor) -> Iterator[tuple[int, int, Tensor]]:
    """Yields (row of the batch, channel, b - a as (N, K)); each overwrites the memory of the last one."""
    for row, pixels in enumerate(non_match.flatten(1)):
        columns = anchor[row].mT.contiguous()[..., None]  # (D, N, 1)
        buffer = torch.empty(pixels.shape, device=anchor.device)  # (N K)
        for channel, plane in enumerate(flat_b[row]):
            torch.index_select(plane, 0, pixels, out=buffer)
            yield row, channel, buffer.view(non_match.shape[1:]).sub_(columns[channel])


def distance_weight(match_b: Tensor, non_match: Tensor, width: int, saturation: float = 50.0) -> Tensor:
    """Returns min(pixel distance to the true match, saturation) / saturation, which pushes near misses less.

    Args:
        match_b: (B, N, 2) true pixels (x, y) in b.
        non_match: (B, N, K) int64 pixels y * W + x.
        width: W, the width of the image in pixels.
        saturation: Distance in pixels from which on the weight is 1.

    Returns:
        (B, N, K) in [0, 1].
    """
    y = non_match.div(width, rounding_mode="floor")
    distance = torch.hypot(non_match - y * width - match_b[..., :1], y - match_b[..., 1:])
    return distance.clamp(max=saturation) / saturation


def triplet_loss(anchor: Tensor, positive: Tensor, negative: Tensor, is_match: Tensor, margin: float = 0.5) -> Tensor:
    """Computes the mean of max(0, |a - p|^2 - |a - n|^2 + M), a hinge of distances and not of single channels.

    Args:
        anchor: (B, N, D) descriptors of matches in the first image.
        positive: (B, N, D) their descriptors in the second image.
        negative: (B, N, K, D) descriptors of non-matches.
        is_match: (B, N) bool, the anchors that count.
        margin: M, in units of squared distance.

    Returns:
        (B,) float32.
    """
    near = (anchor.float() - positive.float()).square().sum(-1)  # (B, N)
    far = (anchor.float()[:, :, None] - negative.float()).square().sum(-1)  # (B, N, K)
    return _mean((near[..., None] - far + margin).clamp(min=0).mean(-1), is_match)


def pixel_info_nce(
    a: Tensor,
    b: Tensor,
    match_b: Tensor,
    is_match: Tensor,
    temperature: float = 0.07,
    cell: int = 8,
    others: tuple[Tensor, Tensor] | None = None,
) -> Tensor:
    """Computes InfoNCE within each pair: a matched pixel picks its partner among all matched pixels, both ways.

    The negatives are pixels of the same pair, so that no two of them show one point of the scene; matches that fall
    into one cell of b are not negatives of each other.

    Args:
        a: (B, N, D) unit descriptors of matches in the first image.
        b: (B, N, D) their unit descriptors in the second image.
        match_b: (B, N, 2) pixels (x, y) of the matches in b.
        is_match: (B, N) bool, the matches that count.
        temperature: Divisor of the similarities.
        cell: Side of a cell in pixels; the encoder's stride is a good choice.
        others: (B, E, D) unit descriptors and (B, E, 2) pixels of further points of b, which serve as negatives too.

    Returns:
        (B,) float32; descriptors that are all alike have about the logarithm of the number of matches.
    """
    losses = []
    for row, keep in enumerate(is_match):
        pixels = match_b[row, keep] if others is None else torch.cat([match_b[row, keep], others[1][row]])
        x, y = pixels.div(cell).floor().long().unbind(-1)
        ids = y * (1 << 20) + x  # (n + E,), one number per cell
        one, two = a[row, keep].float(), b[row, keep].float()  # both (n, D)
        if len(one) < 2:
            losses.append((one.sum() + two.sum()) * 0)
            continue
        count = len(one)
        if others is not None:
            two = torch.cat([two, others[0][row].float()])  # (n + E, D)
        pairs = Pairs(positive=0, row_ids=ids[:count], column_ids=ids)
        sums = log_sum_exp(one, two, one.new_tensor(1 / temperature), pairs, columns=True)
        of_a = -F.logsigmoid(sums.positive - sums.row_max - sums.row_log_sum).mean()
        of_b = -F.logsigmoid(sums.positive - sums.column_max[:count] - sums.column_log_sum[:count]).mean()
        losses.append((of_a + of_b) / 2)
    return torch.stack(losses).float()


def _mean(value: Tensor, counts: Tensor) -> Tensor:
    """Returns the (B,) means over the (B, N) entries that count, 0 if there are none."""
    return torch.where(counts, value, 0).sum(1) / counts.sum(1).clamp(min=1)
