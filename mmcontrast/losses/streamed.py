"""The contrastive losses on streaming reductions and across ranks; ``contrastive`` documents their arguments.

All of them are built from ``softplus(log-sum-exp of the negatives - positive)``, which is -log softmax at the positive.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from mmcontrast.losses.streaming import log_sum_exp, softplus_sum, two_way_loss
from mmcontrast.losses.tiles import Pairs, row_dot
from mmcontrast.ops.distributed import all_gather, all_reduce_max, all_reduce_sum, get_rank, own_rows, world_size
from mmcontrast.ops.precision import accumulation_dtype, at_least_float32


def info_nce(query: Tensor, key: Tensor, temperature: float | Tensor) -> Tensor:
    """Computes InfoNCE with the keys of all ranks as negatives."""
    first = get_rank() * len(key)
    query, key, scale = _operands(query, key, 1 / temperature)
    sums = log_sum_exp(query, all_gather(key), scale, Pairs(positive=first))
    return _cross_entropy(sums.row_max, sums.row_log_sum, sums.positive)


def info_nce_with_queue(query: Tensor, key: Tensor, temperature: float | Tensor, negatives: Tensor) -> Tensor:
    """Computes InfoNCE with the given negatives."""
    query, key = at_least_float32(query), at_least_float32(key)  # once, so that half-precision gradients add up in full
    positive = row_dot(query, key) / temperature  # (B,)
    query, negatives, scale = _operands(query, negatives, 1 / temperature)
    sums = log_sum_exp(query, negatives, scale, Pairs())
    return _cross_entropy(sums.row_max, sums.row_log_sum, positive)


def nt_xent(a: Tensor, b: Tensor, temperature: float | Tensor) -> Tensor:
    """Computes NT-Xent; on one rank the matrix of logits is symmetric, and each pair is multiplied once."""
    count, rank, size = len(a), get_rank(), world_size()
    a, b, scale = _operands(a, b, 1 / temperature)
    views = torch.cat([a, b])  # (2B, D)
    if size == 1:
        sums = log_sum_exp(views, views, scale, Pairs(positive=count, itself=0, symmetric=True))
        return _cross_entropy(sums.row_max, sums.row_log_sum, sums.positive.repeat(2))
    first, everyone = 2 * rank * count, all_gather(views)  # (world size * 2B, D)
    sums_a = log_sum_exp(a, everyone, scale, Pairs(positive=first + count, itself=first))
    sums_b = log_sum_exp(b, everyone, scale, Pairs(positive=first, itself=first + count))
    losses = [_cross_entropy(sums.row_max, sums.row_log_sum, sums.positive) for sums in (sums_a, sums_b)]
    return (losses[0] + losses[1]) / 2


def clip_loss(image: Tensor, text: Tensor, scale: float | Tensor, ids: Tensor | None) -> Tensor:
    """Computes CLIP's loss.

    Every rank multiplies its images with the texts of all; the texts' sums over images are merged across ranks, so that
    no product is computed twice and the images need not travel.
    """
    first = get_rank() * len(text)
    image, text, scale = _operands(image, text, scale)
    pairs = _pairs(first, ids)
    if world_size() == 1 and (loss := two_way_loss(image, text, scale, pairs)) is not None:
        return loss
    sums = log_sum_exp(image, all_gather(text), scale, pairs, columns=True)
    column_max, column_log_sum = _merge_over_ranks(sums.column_max, sums.column_log_sum)
    top, log_sum = torch.cat([sums.row_max, column_max]), torch.cat([sums.row_log_sum, column_log_sum])  # (2B,)
    return _cross_entropy(top, log_sum, sums.positive.repeat(2))


def siglip_loss(image: Tensor, text: Tensor, scale: float | Tensor, bias: float | Tensor, ids: Tensor | None) -> Tensor:
    """Computes SigLIP's loss.

    The texts of all ranks are gathered, not sent around a ring as in section 3.3: with tiles instead of a matrix of
    logits, world size x B x D numbers are all that this costs, little beside the towers' activations.
    """
    first = get_rank() * len(text)
    image, text, scale = _operands(image, text, scale)
    total = softplus_sum(image, all_gather(text), scale, _scalar(bias, scale), _pairs(first, ids))
    return total / len(image)


def _cross_entropy(top: Tensor, log_sum: Tensor, positive: Tensor) -> Tensor:
    """Returns the mean of log(exp(positive) + sum of negatives) - positive, all (n,)."""
    return -F.logsigmoid(positive - top - log_sum).mean().to(top.dtype)


def _merge_over_ranks(top: Tensor, log_sum: Tensor) -> tuple[Tensor, Tensor]:
    """Returns the log-sum-exps (m / world size,) of a rank's own columns over all rows, from (m,) over its own rows."""
    if world_size() == 1:
        return top, log_sum
    lowest = torch.finfo(top.dtype).min
    highest = all_reduce_max((top + log_sum).clamp(min=lowest).to(top.dtype))
    total = all_reduce_sum((log_sum + (top - highest)).exp())
    return own_rows(highest), own_rows(total).clamp(min=torch.finfo(total.dtype).tiny).log()


def _pairs(first: int, ids: Tensor | None) -> Pairs:
    if ids is None:
        return Pairs(positive=first)
    return Pairs(positive=first, row_ids=ids, column_ids=all_gather(ids))


def _operands(a: Tensor, b: Tensor, scale: float | Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Returns rows, columns and scale; the type of the scale is the one in which sums are computed."""
    dtype = torch.promote_types(accumulation_dtype(a), accumulation_dtype(b))
    # A GPU multiplies bf16 and adds in fp32; fp16 is too narrow for the slopes, and CPUs return their input's type.
    narrow = a.is_cuda and a.dtype == b.dtype == torch.bfloat16
    operands = (a, b) if narrow else (a.to(dtype), b.to(dtype))
    return *operands, _scalar(scale, a.new_empty((), dtype=dtype))


def _scalar(value: float | Tensor, like: Tensor) -> Tensor:
    """Returns a number or a tensor of one element as a scalar tensor."""
    return value.to(like).reshape(()) if isinstance(value, Tensor) else torch.full_like(like, value)
