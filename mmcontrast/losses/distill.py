"""Losses of a student that matches a teacher's assignments to prototypes, and what prevents their collapse.

DINO: Caron et al. 2021, https://arxiv.org/abs/2104.14294.  DINOv2: Oquab et al. 2023, https://arxiv.org/abs/2304.07193.
All sums are taken in fp32 at least.  In a distributed run the rows are those of the calling rank.
"""

import torch
from torch import Tensor

from mmcontrast.errors import InputError
from mmcontrast.ops.distributed import all_gather, all_reduce_max, all_reduce_sum, get_rank, world_size
from mmcontrast.ops.precision import at_least_float32
from mmcontrast.ops.sphere import l2_normalize


def dino_loss(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """Computes the cross-entropy of each student view against each teacher view but its own (DINO, eqs. 2 and 3).

    Args:
        student: (V, B, K) logits; the first T views are those of the teacher.
        teacher: (T, B, K) probabilities.
        temperature: Temperature of the student.

    Returns:
        A scalar, the mean over pairs of views and over samples.
    """
    views, common = len(student), len(teacher)
    logits = at_least_float32(student) / temperature
    normalizer = logits.logsumexp(-1)  # (V, B)
    # The loss is linear in the teacher, so that a view's sum over the teacher's views is one product with their sum.
    teacher = teacher.to(logits.dtype)
    with torch.autocast(logits.device.type, enabled=False):
        everything = torch.einsum("vbk,bk->vb", logits, teacher.sum(0))
        itself = torch.einsum("tbk,tbk->tb", logits[:common], teacher)
    total = common * normalizer.sum(0) - normalizer[:common].sum(0) - everything.sum(0) + itself.sum(0)  # (B,)
    return total.mean() / (common * (views - 1))


def ibot_loss(student: Tensor, teacher: Tensor, weight: Tensor, images: int, temperature: float) -> Tensor:
    """Computes the cross-entropy at hidden patches (iBOT, 2111.07832, eq. 2).

    Args:
        student: (M, K) logits at the hidden patches of a batch.
        teacher: (M, K) probabilities there.
        weight: (M,), 1 / number of hidden patches of the same image.
        images: Number of images in the batch, with or without hidden patches.
        temperature: Temperature of the student.

    Returns:
        A scalar, the weighted sum of cross-entropies over the number of images.
    """
    logits = at_least_float32(student) / temperature
    cross_entropy = logits.logsumexp(-1) - (logits * teacher).sum(-1)  # (M,)
    return (cross_entropy * weight).sum() / images


def koleo(features: Tensor) -> Tensor:
    """Computes the Kozachenko-Leonenko regularizer, which spreads features over the sphere (DINOv2, section 4).

    Args:
        features: (B, D) of any length; their nearest neighbors are found among the samples of all ranks.

    Returns:
        A scalar, the mean of -log distance to the nearest neighbor.

    Raises:
        InputError: There is one sample on all ranks together.
    """
    rank, size = get_rank(), world_size()
    if len(features) * size < 2:
        raise InputError("KoLeo needs at least 2 samples and got 1; raise data.batch_size or set its weight to 0")
    own = l2_normalize(features)
    everyone = all_gather(own)  # (N, D)
    with torch.no_grad(), torch.autocast(own.device.type, enabled=False):
        cosine = own @ everyone.T  # (B, N)
        cosine.diagonal(rank * len(own)).fill_(-torch.inf)
        nearest = cosine.argmax(1)
    distance: Tensor = torch.linalg.vector_norm(own - everyone[nearest], dim=1)
    return -(distance + 1e-8).log().mean()


@torch.no_grad()
def center_and_sharpen(logits: Tensor, center: Tensor, temperature: Tensor) -> Tensor:
    """Returns the teacher's probabilities, centered and sharpened (DINO, algorithm 1).

    Args:
        logits: (..., K).
        center: (K,), subtracted from the logits.
        temperature: Scalar tensor, the temperature of the teacher.

    Returns:
        (..., K) probabilities.
    """
    return ((at_least_float32(logits) - center) / temperature).softmax(-1)


@torch.no_grad()
def sinkhorn(logits: Tensor, temperature: Tensor, iterations: int = 3) -> Tensor:
    """Returns assignments that use all prototypes equally, over the rows of all ranks (SwAV, 2006.09882, appendix A).

    Args:
        logits: (M, K); ranks may have different M.
        temperature: Scalar tensor, the temperature of the teacher.
        iterations: Number of times that the columns, then the rows, are scaled to equal sums.

    Returns:
        (M, K) probabilities.
    """
    scaled = at_least_float32(logits) / temperature
    lowest = scaled.new_tensor([torch.finfo(scaled.dtype).min])
    q = (scaled - all_reduce_max(torch.cat([scaled.flatten(), lowest]).amax())).exp()
    for _ in range(iterations):
        used = all_reduce_sum(q.sum(0))  # (K,)
        q = q / used.clamp(min=torch.finfo(q.dtype).tiny)
        q = q / q.sum(1, keepdim=True).clamp(min=torch.finfo(q.dtype).tiny)
    return q
