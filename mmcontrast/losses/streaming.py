"""Reductions over all pairs of two sets of vectors, tile by tile: memory O(N x D), never O(N x N).

A tile of the logits ``scale * a @ b.T`` is multiplied, reduced and dropped; the backward pass multiplies it again.  As
many tiles as `_KEEP` allows are kept instead.  Up to `_DENSE` logits there are no tiles but plain tensor code, as calls
count there and not products.

The positives stay out of the sums.  A softmax loss is then ``softplus(log-sum-exp of the negatives - positive)``, whose
slope at the positive is a sum of probabilities, not a difference ``p - 1`` that cancels when the softmax saturates.
"""

from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from mmcontrast.losses.tiles import Gradient, Pairs, Product, row_dot, tiles, widest

_DENSE = 2**16  # up to so many logits, and to four times as many where there is no softmax
_KEEP = 2.25  # logits kept for the backward pass, as a multiple of the operands' sizes
# Saturation makes numbers below fp32's normal range, which CPUs multiply a hundred times slower.  Nothing is lost here:
_LOWEST = -50.0  # exp of it, 2e-22, is nothing beside a sum's largest term, 1
_FAINTEST = 1e-11  # and a row of this weight nothing beside the row of the largest; their product is a normal number


class Reduced(NamedTuple):
    """The logits of the positives, and the log-sum-exp of the negatives along each axis as ``max + log_sum``.

    All of the gradient flows through ``log_sum``, none through ``max``; apart, they let ``max - positive`` be exact.
    """

    positive: Tensor  # (p,)
    row_max: Tensor  # (n,)
    row_log_sum: Tensor  # (n,)
    column_max: Tensor  # (m,), or (0,) without ``columns``
    column_log_sum: Tensor  # (m,), or (0,)


def log_sum_exp(a: Tensor, b: Tensor, scale: Tensor, pairs: Pairs, columns: bool = False) -> Reduced:
    """Computes the log-sum-exp of the negatives among the logits ``scale * a @ b.T``.

    Args:
        a: (n, D) rows.
        b: (m, D) columns.
        scale: Scalar factor of the products.
        pairs: The positives, and the pairs that are left out.
        columns: Whether to reduce along columns as well as along rows; a symmetric problem has equal sums along both.

    Returns:
        The sums along the axes, and the logits of the positives.
    """
    if _small(a, b, _DENSE):
        return _dense_log_sum_exp(a.to(scale.dtype), b.to(scale.dtype), scale, pairs, columns)
    return Reduced(*_LogSumExp.apply(a, b, scale, pairs, columns))


def softplus_sum(a: Tensor, b: Tensor, scale: Tensor, bias: Tensor, pairs: Pairs) -> Tensor:
    """Sums softplus(x) over negatives and softplus(-x) over positives, for logits ``x = scale * a @ b.T + bias``.

    Args:
        a: (n, D) rows.
        b: (m, D) columns.
        scale: Scalar factor of the products.
        bias: Scalar that is added to every logit.
        pairs: The positives, and the pairs that are left out; not symmetric.

    Returns:
        A scalar.
    """
    if _small(a, b, 4 * _DENSE):
        return _dense_softplus_sum(a.to(scale.dtype), b.to(scale.dtype), scale, bias, pairs)
    total: Tensor = _SoftplusSum.apply(a, b, scale, bias, pairs)
    return total


def two_way_loss(a: Tensor, b: Tensor, scale: Tensor, pairs: Pairs) -> Tensor | None:
    """Computes the mean of softplus(log-sum-exp of the negatives - positive) over rows and columns of a small problem.

    The result is that of ``log_sum_exp`` with columns, in the fewest calls.

    Args:
        a: (n, D) rows.
        b: (n, D) columns.
        scale: Scalar factor of the products.
        pairs: The positives, (i, i), and the pairs that are left out; not symmetric.

    Returns:
        A scalar, or None if the problem is so large that it needs tiles.
    """
    if not _small(a, b, _DENSE):
        return None
    loss: Tensor = _TwoWay.apply(a.to(scale.dtype), b.to(scale.dtype), scale, pairs)
    return loss


def _small(a: Tensor, b: Tensor, limit: int) -> bool:
    """Returns whether dense code is faster; it is not used under autocast, which would round its backward pass."""
    return len(a) * len(b) <= limit and not torch.is_autocast_enabled(a.device.type)


def _dense_log_sum_exp(a: Tensor, b: Tensor, scale: Tensor, pairs: Pairs, columns: bool) -> Reduced:
    hidden = a.new_zeros(len(a), len(b))  # (n, m)
    pairs.hide(hidden, slice(0, len(a)), slice(0, len(b)))
    negatives = torch.addmm(hidden, a * scale, b.t())  # (n, m)
    by_row, by_column = negatives.logsumexp(1), negatives.logsumexp(0) if columns else a.new_empty(0)
    no_shift = a.new_zeros(max(len(a), len(b)))
    positive = _positive_logits(a, b, scale, pairs)
    return Reduced(positive, no_shift[: len(by_row)], by_row, no_shift[: len(by_column)], by_column)


def _dense_softplus_sum(a: Tensor, b: Tensor, scale: Tensor, bias: Tensor, pairs: Pairs) -> Tensor:
    everything = slice(0, len(a)), slice(0, len(b))
    sign = a.new_ones(len(a), len(b))  # (n, m)
    for view, _ in pairs.positives(sign, *everything):
        view.fill_(-1)
    terms = F.softplus(torch.addmm(bias, a * scale, b.t()) * sign)  # (n, m)
    if pairs.row_ids is not None and pairs.column_ids is not None:
        terms = terms.masked_fill((pairs.row_ids[:, None] == pairs.column_ids) & (sign > 0), 0)
    return terms.sum()


class _TwoWay(torch.autograd.Function):
    """The small problem of ``two_way_loss``; its forward pass computes the gradient as well."""

    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor, scale: Tensor, pairs: Pairs) -> Tensor:
        everything = slice(0, len(a)), slice(0, len(b))
        logits = torch.mm(a, b.t()).mul_(scale)  # (n, n)
        pairs.hide(logits, *everything)
        sums = torch.stack([logits.logsumexp(1), logits.logsumexp(0)])  # (2, n)
        excess = sums - _positive_logits(a, b, scale, pairs)  # (2, n)
        if any(ctx.needs_input_grad):
            weight = (excess.sigmoid() / (2 * len(a))).to(scale.dtype)  # (2, n)
            slope = (logits - sums[0, :, None]).exp_().mul_(weight[0, :, None])  # (n, n)
            slope.addcmul_(logits.sub_(sums[1]).exp_(), weight[1])
            slope.diagonal().copy_(-weight.sum(0))
            by_a, by_b = torch.mm(slope, b), torch.mm(slope.t(), a)  # (n, D) each
            by_scale = (by_a * a).sum()
            ctx.save_for_backward(by_a.mul_(scale), by_b.mul_(scale), by_scale)
        return F.softplus(excess).mean().to(scale.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        return *(saved * grad for saved in ctx.saved_tensors), None


class _LogSumExp(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor, scale: Tensor, pairs: Pairs, columns: bool) -> tuple[Tensor, ...]:
        n, m, dtype = len(a), len(b), scale.dtype
        bounded = _bounded(a, b, scale)
        lowest = 0.0 if bounded else torch.finfo(dtype).min
        row_max = torch.full((n,), lowest, dtype=dtype, device=a.device)
        column_max = torch.full((m if columns else 0,), lowest, dtype=dtype, device=a.device)
        row_sum, column_sum = torch.zeros_like(row_max), torch.zeros_like(column_max)
        product = Product(a, b, scale, dtype)
        # The rows of a symmetric problem were joined from two sets, so the caller holds them twice already.
        operands = a.numel() // 8 if pairs.symmetric else a.numel() + b.numel()
        room = int(_KEEP * operands) if any(ctx.needs_input_grad) else 0
        stored: list[Tensor] = []
        with _no_autocast(a):
            for r, c in tiles(n, m, pairs.symmetric, a.device):
                size = (r.stop - r.start, c.stop - c.start)
                room -= size[0] * size[1]
                tile = product.logits(r, c, out=row_max.new_empty(size) if room >= 0 else None)
                if room >= 0:
                    stored.append(tile)
                pairs.hide(tile, r, c)
                axes = [(row_max[r], row_sum[r], 1)]
                if columns:
                    axes.append((column_max[c], column_sum[c], 0))
                elif pairs.symmetric and r != c:
                    axes.append((row_max[c], row_sum[c], 0))
                if bounded:
                    tile.exp_()
                for top, total, dim in axes:
                    if bounded:
                        total += tile.sum(dim)
                    else:
                        _accumulate(top, total, tile, product.buffer("scratch", r, c), dim)
        ctx.save_for_backward(a, b, scale, row_max, row_sum, column_max, column_sum, *stored)
        ctx.pairs, ctx.columns, ctx.bounded = pairs, columns, bounded
        ctx.mark_non_differentiable(row_max, column_max)
        row_log_sum, column_log_sum = row_sum.to(widest(a)).log(), column_sum.to(widest(a)).log()
        return _positive_logits(a, b, scale, pairs), row_max, row_log_sum, column_max, column_log_sum

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        a, b, scale, row_max, row_sum, column_max, column_sum, *stored = ctx.saved_tensors
        pairs: Pairs = ctx.pairs
        grads = (grads[0], grads[2], grads[4])  # of the positives, the rows' and the columns' log-sums
        peak = torch.cat([x.abs() for x in grads]).max().clamp(min=torch.finfo(grads[0].dtype).tiny)
        at_positive, by_row, by_column = (F.hardshrink(x / peak, _FAINTEST).to(scale.dtype) for x in grads)
        # A sum is 0 where a row or column has no negatives; its gradient is 0 too.
        tiny = torch.finfo(scale.dtype).tiny
        row_weight, column_weight = by_row / row_sum.clamp(min=tiny), by_column / column_sum.clamp(min=tiny)
        if pairs.symmetric:
            column_max, column_weight = row_max, row_weight
        both = ctx.columns or pairs.symmetric
        product = Product(a, b, scale, scale.dtype)
        gradient = Gradient(a, b, scale, ctx.needs_input_grad, pairs.symmetric, scale.dtype)
        with _no_autocast(a):
            for index, (r, c) in enumerate(tiles(len(a), len(b), pairs.symmetric, a.device)):
                if index < len(stored):
                    tile = stored[index]
                else:
                    tile = product.logits(r, c)
                    pairs.hide(tile, r, c)
                    if ctx.bounded:
                        tile.exp_()
                slope = product.buffer("slope", r, c)
                if ctx.bounded:
                    torch.mul(tile, row_weight[r, None], out=slope)
                    if both:
                        slope.addcmul_(tile, column_weight[c])
                else:
                    _exp(tile, row_max[r, None], slope).mul_(row_weight[r, None])
                    if both:
                        slope += _exp(tile, column_max[c], product.buffer("scratch", r, c)).mul_(column_weight[c])
                for view, which in pairs.positives(slope, r, c):
                    view.copy_(at_positive[which])
                gradient.add(slope, r, c)
        return *gradient.finish(peak), None, None


def _bounded(a: Tensor, b: Tensor, scale: Tensor) -> bool:
    """Returns whether no two logits differ by more than -_LOWEST, so that exponentials need no shift by a maximum.

    That holds for unit vectors at a scale of up to 25.  On a GPU the answer would cost a wait, so it is always no.
    """
    if a.device.type != "cpu":
        return False
    longest = [torch.linalg.vector_norm(x, dim=1).max() for x in (a, b)]
    return bool(2 * scale.abs() * longest[0] * longest[1] <= -_LOWEST)


def _positive_logits(a: Tensor, b: Tensor, scale: Tensor, pairs: Pairs) -> Tensor:
    """Returns the (p,) positives in float64: all slopes of a saturated row inherit the error of its positive."""
    if pairs.positive is None:
        return a.new_empty(0)
    count = min(len(a), len(b) - pairs.positive)
    partners = b[pairs.positive : pairs.positive + count]
    parts = [row_dot(x, y) for x, y in zip(a[:count].split(512), partners.split(512), strict=True)]
    return (parts[0] if len(parts) == 1 else torch.cat(parts)) * scale


def _accumulate(top: Tensor, total: Tensor, logits: Tensor, scratch: Tensor, dim: int) -> None:
    """Adds a tile's (R, C) logits to a running maximum and a running sum of exp(logit - maximum)."""
    new_top = torch.maximum(top, logits.amax(dim))
    total.mul_((top - new_top).exp_()).add_(_exp(logits, new_top.unsqueeze(dim), scratch).sum(dim))
    top.copy_(new_top)


def _exp(logits: Tensor, top: Tensor, out: Tensor) -> Tensor:
    return torch.sub(logits, top, out=out).clamp_(min=_LOWEST).exp_()


class _SoftplusSum(torch.autograd.Function):
    """The terms do not depend on each other, so that the forward pass can compute the gradient as well."""

    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor, scale: Tensor, bias: Tensor, pairs: Pairs) -> Tensor:
        dtype = scale.dtype
        row_loss = torch.zeros(len(a), dtype=dtype, device=a.device)
        row_slope = torch.zeros_like(row_loss)
        product = Product(a, b, scale, dtype)
        gradient = Gradient(a, b, scale, ctx.needs_input_grad, False, dtype)
        with _no_autocast(a):
            for r, c in tiles(len(a), len(b), False, a.device):
                logits = product.logits(r, c).add_(bias)
                positives = [(view.clone(), which) for view, which in pairs.positives(logits, r, c)]
                pairs.hide(logits, r, c)
                row_loss[r] += F.softplus(logits).sum(1)
                for x, which in positives:
                    row_loss[which] += F.softplus(-x)
                if not any(ctx.needs_input_grad):
                    continue
                slope = logits.sigmoid_()
                for (view, _), (x, _) in zip(pairs.positives(slope, r, c), positives, strict=True):
                    view.copy_(-torch.sigmoid(-x))
                row_slope[r] += slope.sum(1)
                gradient.add(slope, r, c)
        by_a, by_b, by_scale = gradient.finish(torch.ones_like(scale))
        ctx.save_for_backward(by_a, by_b, by_scale, row_slope.sum() if ctx.needs_input_grad[3] else None)
        return row_loss.sum()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        return *(None if saved is None else saved * grad for saved in ctx.saved_tensors), None


def _no_autocast(x: Tensor) -> AbstractContextManager[object]:
    device = x.device.type
    return torch.autocast(device, enabled=False) if torch.is_autocast_enabled(device) else nullcontext()
