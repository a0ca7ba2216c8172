"""Losses between pixels: a match must have one descriptor, everything else another.

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
    """Mean squared distance of matches (equation 1).

    Args:
        a, b: (B, N, D) descriptors of N candidate matches.
        is_match: (B, N) bool, which of them count.
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
    """Squared hinge that pushes non-matches a margin apart, divided by how many are still inside it (equations 2, 3).

    Dividing by the active ones instead of by all is the paper's hard-negative scaling.

    Args:
        anchor: (B, N, D) descriptors in image a.
        image_b: (B, D, H, W) descriptors of the whole image b.
        non_match: (B, N, K) int64 pixels y * W + x of b, K for each anchor.
        counts: (B, N) bool, anchors that count.
        margin: M, in units of descriptor distance.
        weight: (B, N, K) factor of each term (see ``distance_weight``), or None for 1.
    Returns:
        (B,) float32 loss and (B,) int64 number of active non-matches.
    """
    total, active = _HingeSum.apply(anchor.float(), image_b.float().flatten(2), non_match, counts, margin, weight)
    return total / active.clamp(min=1), active


class _HingeSum(torch.autograd.Function):
    """Sum and count of hinges, one descriptor channel at a time: no (B, N, K, D) tensor, forward or backward."""

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
        # d/d(a - b) of w (M - |a - b|)^2 is -2 w (M - |a - b|) (a - b) / |a - b|; taken as 0 at a = b
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
    """(row of the batch, channel, b - a as (N, K)), each overwriting the last one's memory."""
    for row, pixels in enumerate(non_match.flatten(1)):
        columns = anchor[row].mT.contiguous()[..., None]  # (D, N, 1)
        buffer = torch.empty(pixels.shape, device=anchor.device)  # (N K)
        for channel, plane in enumerate(flat_b[row]):
            torch.index_select(plane, 0, pixels, out=buffer)
            yield row, channel, buffer.view(non_match.shape[1:]).sub_(columns[channel])


def distance_weight(match_b: Tensor, non_match: Tensor, width: int, saturation: float = 50.0) -> Tensor:
    """min(pixel distance to the true match, saturation) / saturation: near misses are pushed less.

    Args:
        match_b: (B, N, 2) true pixels in b.
        non_match: (B, N, K) int64 pixels y * W + x.
        width: W.
        saturation: pixels from which on the weight is 1.
    Returns:
        (B, N, K) in [0, 1].
    """
    y = non_match.div(width, rounding_mode="floor")
    distance = torch.hypot(non_match - y * width - match_b[..., :1], y - match_b[..., 1:])
    return distance.clamp(max=saturation) / saturation


def triplet_loss(anchor: Tensor, positive: Tensor, negative: Tensor, is_match: Tensor, margin: float = 0.5) -> Tensor:
    """Mean of max(0, |a - p|^2 - |a - n|^2 + M): the hinge is of the distances, not of single channels.

    Args:
        anchor, positive: (B, N, D) descriptors of matches.
        negative: (B, N, K, D) descriptors of non-matches.
        is_match: (B, N) bool, anchors that count.
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
    """InfoNCE within one pair: each matched pixel picks its partner among all matched pixels, both ways.

    The negatives are those of the pair alone, so that no two of them can show one point of the scene; matches that fall
    into one cell of b are no negatives of each other.

    Args:
        a, b: (B, N, D) unit descriptors.
        match_b: (B, N, 2) pixels of the matches in b.
        is_match: (B, N) bool.
        temperature: divides the similarities.
        cell: side of a cell in pixels; the encoder's stride is a good choice.
        others: (B, E, D) unit descriptors of further pixels of b, and the (B, E, 2) pixels, to pick from as well; those
            outside the view of a teach where not to look.
    Returns:
        (B,) float32, about log of the number of matches for descriptors that tell nothing.
    """
    losses = []
    for row, keep in enumerate(is_match):
        places = match_b[row, keep] if others is None else torch.cat([match_b[row, keep], others[1][row]])
        x, y = places.div(cell).floor().long().unbind(-1)
        ids = y * (1 << 20) + x  # (n + E,), one number per cell
        one, two = a[row, keep].float(), b[row, keep].float()  # both (n, D)
        if len(one) < 2:
            losses.append((one.sum() + two.sum()) * 0)
            continue
        count = len(one)
        if others is not None:
            two = torch.cat([two, others[0][row].float()])  # (n + E, D)
        pairs = Pairs(positive=0, row_ids=ids[:count], column_ids=ids)
        found = log_sum_exp(one, two, one.new_tensor(1 / temperature), pairs, columns=True)
        of_a = -F.logsigmoid(found.positive - found.row_max - found.row_log_sum).mean()
        of_b = -F.logsigmoid(found.positive - found.column_max[:count] - found.column_log_sum[:count]).mean()
        losses.append((of_a + of_b) / 2)
    return torch.stack(losses).float()


def _mean(value: Tensor, counts: Tensor) -> Tensor:
    """Mean over the (B, N) entries that count: (B,), 0 where none does."""
    return torch.where(counts, value, 0).sum(1) / counts.sum(1).clamp(min=1)
