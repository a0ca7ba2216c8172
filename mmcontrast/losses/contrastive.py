"""InfoNCE, NT-Xent, CLIP and SigLIP as pure functions on one streaming core.

All take unit vectors of any float type, accumulate in fp32 (float64 if given float64), also under autocast, and use
memory O(N x D).  In a distributed run the vectors are those of the calling rank, as many on each; the negatives are
those of all ranks.  Each rank returns the mean over its own samples, so that the mean over ranks, which is what
DistributedDataParallel makes of the gradients, is the loss of the whole batch.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from mmcontrast.errors import InputError
from mmcontrast.losses.streaming import log_sum_exp, row_dot, softplus_sum, two_way_loss
from mmcontrast.losses.tiles import Pairs
from mmcontrast.ops.distributed import all_gather, all_reduce_max, all_reduce_sum, get_rank, world_size
from mmcontrast.ops.precision import accumulation_dtype, at_least_float32


def info_nce(query: Tensor, key: Tensor, temperature: float | Tensor, negatives: Tensor | None = None) -> Tensor:
    """InfoNCE: each query picks its key among negatives (CPC, arXiv:1807.03748, eq. 4; MoCo, arXiv:1911.05722, eq. 1).

    Args:
        query: (B, D) unit vectors.
        key: (B, D) unit vectors; key i is the positive of query i.
        temperature: divides the similarities; a number or a () tensor.
        negatives: (K, D) unit vectors, a queue.  None: the other samples' keys, of all ranks.
    Returns:
        () the mean over queries of -log softmax at the positive.
    Raises:
        InputError: the shapes do not fit.
    """
    _check_pair("query", query, "key", key)
    if negatives is not None and (negatives.ndim != 2 or negatives.shape[1] != query.shape[1]):
        raise InputError(f"negatives are {tuple(negatives.shape)}; want (K, {query.shape[1]}), as wide as the queries")
    if negatives is None:
        first = get_rank() * len(key)
        query, key, scale = _operands(query, key, 1 / temperature)
        found = log_sum_exp(query, all_gather(key), scale, Pairs(positive=first))
        return _cross_entropy(found.row_max, found.row_log_sum, found.positive)
    query, key = at_least_float32(query), at_least_float32(key)
    positive = row_dot(query, key) / temperature  # (B,)
    query, negatives, scale = _operands(query, negatives, 1 / temperature)
    found = log_sum_exp(query, negatives, scale, Pairs())
    return _cross_entropy(found.row_max, found.row_log_sum, positive)


def nt_xent(a: Tensor, b: Tensor, temperature: float | Tensor) -> Tensor:
    """NT-Xent: each of 2N views picks its partner among the other 2N - 1 (SimCLR, arXiv:2002.05709, eq. 1).

    Args:
        a: (B, D) unit vectors, the first views.
        b: (B, D) unit vectors, the second views.
        temperature: divides the similarities; a number or a () tensor.
    Returns:
        () the mean over views of -log softmax at the partner.
    Raises:
        InputError: the shapes do not fit.
    """
    _check_pair("a", a, "b", b)
    count, rank, size = len(a), get_rank(), world_size()
    a, b, scale = _operands(a, b, 1 / temperature)
    views = torch.cat([a, b])  # (2B, D)
    if size == 1:
        found = log_sum_exp(views, views, scale, Pairs(positive=count, itself=0, symmetric=True))
        return _cross_entropy(found.row_max, found.row_log_sum, found.positive.repeat(2))
    first, everyone = 2 * rank * count, all_gather(views)  # (size * 2B, D)
    one = log_sum_exp(a, everyone, scale, Pairs(positive=first + count, itself=first))
    two = log_sum_exp(b, everyone, scale, Pairs(positive=first, itself=first + count))
    losses = [_cross_entropy(found.row_max, found.row_log_sum, found.positive) for found in (one, two)]
    return (losses[0] + losses[1]) / 2


def clip_loss(image: Tensor, text: Tensor, scale: float | Tensor, ids: Tensor | None = None) -> Tensor:
    """CLIP: images pick their texts and texts their images (arXiv:2103.00020, figure 3).

    Every rank multiplies its images with the texts of all; the texts' sums over images are merged across ranks, so that
    no product is computed twice and the images need not travel.

    Args:
        image: (B, D) unit vectors.
        text: (B, D) unit vectors; text i is the positive of image i.
        scale: multiplies the similarities, exp(t) in the paper; a number or a () tensor.
        ids: (B,) integers; samples of equal id, such as repeated captions, are no negatives of each other.
    Returns:
        () half the sum of the two mean cross-entropies.
    Raises:
        InputError: the shapes do not fit.
    """
    _check_pair("image", image, "text", text)
    first = get_rank() * len(text)
    image, text, scale = _operands(image, text, scale)
    pairs = _pairs(first, ids, len(image))
    if world_size() == 1 and (loss := two_way_loss(image, text, scale, pairs)) is not None:
        return loss
    found = log_sum_exp(image, all_gather(text), scale, pairs, columns=True)
    column_max, column_log_sum = _merge_over_ranks(found.column_max, found.column_log_sum)
    top, log_sum = torch.cat([found.row_max, column_max]), torch.cat([found.row_log_sum, column_log_sum])  # (2B,)
    return _cross_entropy(top, log_sum, found.positive.repeat(2))


def siglip_loss(
    image: Tensor, text: Tensor, scale: float | Tensor, bias: float | Tensor, ids: Tensor | None = None
) -> Tensor:
    """SigLIP: every pair of an image and a text is matched or not, independently (arXiv:2303.15343, eq. 1).

    The texts of all ranks are gathered, not sent around a ring as in section 3.3: with tiles instead of a matrix of
    logits, world x B x D numbers are all that this costs, little beside the towers' activations.

    Args:
        image: (B, D) unit vectors.
        text: (B, D) unit vectors; text i belongs to image i.
        scale: multiplies the similarities, exp(t') in the paper; a number or a () tensor.
        bias: added to the logits, b in the paper; a number or a () tensor.
        ids: (B,) integers; samples of equal id, such as repeated captions, are no negatives of each other.
    Returns:
        () the sum over pairs divided by the number of images.
    Raises:
        InputError: the shapes do not fit.
    """
    _check_pair("image", image, "text", text)
    first = get_rank() * len(text)
    image, text, scale = _operands(image, text, scale)
    total = softplus_sum(image, all_gather(text), scale, _scalar(bias, scale), _pairs(first, ids, len(image)))
    return total / len(image)


def mutual_information_bound(loss: Tensor, candidates: int) -> Tensor:
    """Lower bound log N - L, in nats, on the mutual information of the two sides (arXiv:1807.03748, section 2.3).

    Args:
        loss: () an InfoNCE, NT-Xent or CLIP loss.
        candidates: what each query picks from, its positive included: N for `info_nce` and `clip_loss` over N samples,
            2N - 1 for `nt_xent`, K + 1 with K queued negatives.
    """
    return math.log(candidates) - loss


def _cross_entropy(top: Tensor, log_sum: Tensor, positive: Tensor) -> Tensor:
    """Mean of log(exp(positive) + sum of negatives) - positive, all (n,)."""
    return -F.logsigmoid(positive - top - log_sum).mean().to(top.dtype)


def _merge_over_ranks(top: Tensor, log_sum: Tensor) -> tuple[Tensor, Tensor]:
    """Each rank's log-sum-exps over its own rows, (m,) -> those of its own columns over all rows, (m / world,)."""
    rank, size = get_rank(), world_size()
    if size == 1:
        return top, log_sum
    lowest = torch.finfo(top.dtype).min
    highest = all_reduce_max((top + log_sum).clamp(min=lowest).to(top.dtype))
    total = all_reduce_sum((log_sum + (top - highest)).exp())
    own = slice(rank * len(top) // size, (rank + 1) * len(top) // size)
    return highest[own], total[own].clamp(min=torch.finfo(total.dtype).tiny).log()


def _pairs(first: int, ids: Tensor | None, count: int) -> Pairs:
    if ids is None:
        return Pairs(positive=first)
    if ids.shape != (count,) or ids.is_floating_point():
        raise InputError(f"ids are {tuple(ids.shape)} {ids.dtype}; want ({count},) integers, one per sample")
    return Pairs(positive=first, row_ids=ids, column_ids=all_gather(ids))


def _check_pair(name_a: str, a: Tensor, name_b: str, b: Tensor) -> None:
    if a.ndim != 2 or a.shape != b.shape or len(a) == 0:
        raise InputError(
            f"{name_a} is {tuple(a.shape)} and {name_b} is {tuple(b.shape)}; want both (B, D), paired row by row"
        )


def _operands(a: Tensor, b: Tensor, scale: float | Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Rows, columns and scale; the scale's dtype is what the sums are taken in."""
    dtype = torch.promote_types(accumulation_dtype(a), accumulation_dtype(b))
    # A GPU multiplies bf16 and adds in fp32; fp16 is too narrow for the slopes, and CPUs return what they were given.
    as_given = a.is_cuda and a.dtype == b.dtype == torch.bfloat16
    operands = (a, b) if as_given else (a.to(dtype), b.to(dtype))
    return *operands, _scalar(scale, a.new_empty((), dtype=dtype))


def _scalar(value: float | Tensor, like: Tensor) -> Tensor:
    """A number or a tensor of one element as a () tensor."""
    return value.to(like).reshape(()) if isinstance(value, Tensor) else torch.full_like(like, value)
