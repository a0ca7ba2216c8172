"""A student matches a teacher's assignments to prototypes; nothing is contrasted, so something must prevent collapse.

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
    """Cross-entropy of each student view against each teacher view but its own (DINO, eqs. 2 and 3).

    Args:
        student: (V, B, K) logits; its first T views are the teacher's.
        teacher: (T, B, K) probabilities.
        temperature: of the student.
    Returns:
        () the mean over pairs of views and over samples.
    """
    views, common = len(student), len(teacher)
    logits = at_least_float32(student) / temperature
    normalizer = logits.logsumexp(-1)  # (V, B)
    # Linear in the teacher: a view's sum over the teacher's views is one product with their sum.
    teacher = teacher.to(logits.dtype)
    with torch.autocast(logits.device.type, enabled=False):
        everything = torch.einsum("vbk,bk->vb", logits, teacher.sum(0))
        itself = torch.einsum("tbk,tbk->tb", logits[:common], teacher)
    total = common * normalizer.sum(0) - normalizer[:common].sum(0) - everything.sum(0) + itself.sum(0)  # (B,)
    return total.mean() / (common * (views - 1))


def ibot_loss(student: Tensor, teacher: Tensor, weight: Tensor, images: int, temperature: float) -> Tensor:
    """iBOT: cross-entropy at hidden patches (2111.07832, eq. 2).

    Args:
        student: (M, K) logits at the hidden patches of a batch.
        teacher: (M, K) probabilities there.
        weight: (M,), 1 / hidden patches of the same image.
        images: images in the batch, with or without hidden patches.
        temperature: of the student.
    Returns:
        () the sum of weighted cross-entropies over the number of images.
    """
    logits = at_least_float32(student) / temperature
    cross_entropy = logits.logsumexp(-1) - (logits * teacher).sum(-1)  # (M,)
    return (cross_entropy * weight).sum() / images


def koleo(features: Tensor) -> Tensor:
    """Kozachenko-Leonenko: spreads features out by the distance to the nearest other one (DINOv2, section 4).

    Args:
        features: (B, D); the nearest is sought among those of all ranks.
    Returns:
        () the mean of -log distance.
    Raises:
        InputError: there is one sample in all.
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
    return -(torch.linalg.vector_norm(own - everyone[nearest], dim=1) + 1e-8).log().mean()


@torch.no_grad()
def center_and_sharpen(logits: Tensor, center: Tensor, temperature: Tensor) -> Tensor:
    """The teacher's probabilities, centered and sharpened (DINO, algorithm 1): (..., K) and (K,) -> (..., K)."""
    return ((at_least_float32(logits) - center) / temperature).softmax(-1)


@torch.no_grad()
def sinkhorn(logits: Tensor, temperature: Tensor, iterations: int = 3) -> Tensor:
    """Assignments that use all prototypes alike, over the rows of all ranks (SwAV, 2006.09882, appendix A).

    Args:
        logits: (M, K); ranks may have different M.
        temperature: a () tensor.
        iterations: of making columns, then rows, sum alike.
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
