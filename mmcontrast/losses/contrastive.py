"""InfoNCE, NT-Xent, CLIP's and SigLIP's loss as pure functions of unit vectors.

Each loss is here twice.  The function of the plain name is what methods call: it takes vectors of any float type,
accumulates in float32 or wider, also under autocast, and needs memory O(N x D) instead of O(N x N).  The function whose
name ends in ``_reference`` is the equation in a few lines of PyTorch; tests hold the two equal.

In a distributed run the vectors are those of the calling rank, equally many on each, and the negatives are those of all
ranks.  Each rank returns the mean over its own samples, so that the mean over ranks, to which DistributedDataParallel
averages the gradients, is the loss of the whole batch.  The references take the vectors of all ranks at once.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from mmcontrast.errors import InputError
from mmcontrast.losses import streamed


def info_nce(query: Tensor, key: Tensor, temperature: float | Tensor, negatives: Tensor | None = None) -> Tensor:
    """Computes InfoNCE: each query picks its key among negatives (CPC, 1807.03748, eq. 4; MoCo, 1911.05722, eq. 1).

    Args:
        query: (B, D) unit vectors.
        key: (B, D) unit vectors; key i is the positive of query i.
        temperature: Divisor of the similarities, a number or a scalar tensor.
        negatives: (K, D) unit vectors, such as a queue; None: the keys of the other samples, of all ranks.

    Returns:
        A scalar, the mean over queries of -log softmax at the positive.

    Raises:
        InputError: The shapes do not fit.
    """
    _check_pair("query", query, "key", key)
    if negatives is None:
        return streamed.info_nce(query, key, temperature)
    if negatives.ndim != 2 or negatives.shape[1] != query.shape[1]:
        raise InputError(f"negatives are {tuple(negatives.shape)}; want (K, {query.shape[1]}), as wide as the queries")
    return streamed.info_nce_with_queue(query, key, temperature, negatives)


def info_nce_reference(
    query: Tensor, key: Tensor, temperature: float | Tensor, negatives: Tensor | None = None
) -> Tensor:
    """Computes what ``info_nce`` computes, by its equation."""
    if negatives is None:
        return F.cross_entropy(query @ key.T / temperature, torch.arange(len(query), device=query.device))
    positive = (query * key).sum(1, keepdim=True)  # (B, 1)
    logits = torch.cat([positive, query @ negatives.T], 1) / temperature  # (B, 1 + K)
    return F.cross_entropy(logits, torch.zeros(len(query), dtype=torch.int64, device=query.device))


def nt_xent(a: Tensor, b: Tensor, temperature: float | Tensor) -> Tensor:
    """Computes NT-Xent: each of 2N views picks its partner among the other 2N - 1 (SimCLR, 2002.05709, eq. 1).

    Args:
        a: (B, D) unit vectors of the first views.
        b: (B, D) unit vectors of the second views.
        temperature: Divisor of the similarities, a number or a scalar tensor.

    Returns:
        A scalar, the mean over views of -log softmax at the partner.

    Raises:
        InputError: The shapes do not fit.
    """
    _check_pair("a", a, "b", b)
    return streamed.nt_xent(a, b, temperature)


def nt_xent_reference(a: Tensor, b: Tensor, temperature: float | Tensor) -> Tensor:
    """Computes what ``nt_xent`` computes, by its equation."""
    views = torch.cat([a, b])  # (2B, D)
    itself = torch.eye(len(views), dtype=torch.bool, device=a.device)
    logits = (views @ views.T / temperature).masked_fill(itself, -torch.inf)
    partner = torch.arange(len(views), device=a.device).roll(len(a))
    return F.cross_entropy(logits, partner)


def clip_loss(image: Tensor, text: Tensor, scale: float | Tensor, ids: Tensor | None = None) -> Tensor:
    """Computes CLIP's loss: images pick their texts and texts their images (2103.00020, figure 3).

    Args:
        image: (B, D) unit vectors.
        text: (B, D) unit vectors; text i is the positive of image i.
        scale: Factor of the similarities, exp(t) in the paper, a number or a scalar tensor.
        ids: (B,) integers; samples with equal ids, such as repeated captions, are not negatives of each other.

    Returns:
        A scalar, the mean of both cross-entropies.

    Raises:
        InputError: The shapes do not fit.

    >>> import torch
    >>> clip_loss(torch.eye(3), torch.eye(3), scale=1.0)
    tensor(0.5514)
    """
    _check_pair("image", image, "text", text)
    _check_ids(ids, len(image))
    return streamed.clip_loss(image, text, scale, ids)


def clip_loss_reference(image: Tensor, text: Tensor, scale: float | Tensor, ids: Tensor | None = None) -> Tensor:
    """Computes what ``clip_loss`` computes, by its equation."""
    logits = scale * image @ text.T  # (B, B)
    if ids is not None:
        logits = logits.masked_fill(_repeats(ids), -torch.inf)
    own = torch.arange(len(image), device=image.device)
    return (F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)) / 2


def siglip_loss(
    image: Tensor, text: Tensor, scale: float | Tensor, bias: float | Tensor, ids: Tensor | None = None
) -> Tensor:
    """Computes SigLIP's loss: every pair of an image and a text matches or not, independently (2303.15343, eq. 1).

    Args:
        image: (B, D) unit vectors.
        text: (B, D) unit vectors; text i belongs to image i.
        scale: Factor of the similarities, exp(t') in the paper, a number or a scalar tensor.
        bias: Added to the logits, b in the paper, a number or a scalar tensor.
        ids: (B,) integers; samples with equal ids, such as repeated captions, are not negatives of each other.

    Returns:
        A scalar, the sum over pairs divided by the number of images.

    Raises:
        InputError: The shapes do not fit.
    """
    _check_pair("image", image, "text", text)
    _check_ids(ids, len(image))
    return streamed.siglip_loss(image, text, scale, bias, ids)


def siglip_loss_reference(
    image: Tensor, text: Tensor, scale: float | Tensor, bias: float | Tensor, ids: Tensor | None = None
) -> Tensor:
    """Computes what ``siglip_loss`` computes, by its equation."""
    logits = scale * image @ text.T + bias  # (B, B)
    sign = 2 * torch.eye(len(image), device=image.device) - 1  # 1 for pairs that match, else -1
    losses = -F.logsigmoid(sign * logits)
    if ids is not None:
        losses = losses.masked_fill(_repeats(ids), 0)
    return losses.sum() / len(image)


def mutual_information_bound(loss: Tensor, candidates: int) -> Tensor:
    """Returns log N - loss, in nats, a lower bound on the mutual information of both sides (1807.03748, section 2.3).

    Args:
        loss: Scalar, an InfoNCE, NT-Xent or CLIP loss.
        candidates: Number from which each query picks, its positive included: N for ``info_nce`` and ``clip_loss`` over
            N samples, 2N - 1 for ``nt_xent``, K + 1 with K queued negatives.
    """
    return math.log(candidates) - loss


def _repeats(ids: Tensor) -> Tensor:
    """Returns (B, B) bool, the pairs of different samples with equal ids."""
    return (ids[:, None] == ids) & ~torch.eye(len(ids), dtype=torch.bool, device=ids.device)


def _check_ids(ids: Tensor | None, count: int) -> None:
    if ids is not None and (ids.shape != (count,) or ids.is_floating_point()):
        raise InputError(f"ids are {tuple(ids.shape)} {ids.dtype}; want ({count},) integers, one per sample")


def _check_pair(name_a: str, a: Tensor, name_b: str, b: Tensor) -> None:
    if a.ndim != 2 or a.shape != b.shape or len(a) == 0:
        raise InputError(
            f"{name_a} is {tuple(a.shape)} and {name_b} is {tuple(b.shape)}; want both (B, D), paired row by row"
        )
