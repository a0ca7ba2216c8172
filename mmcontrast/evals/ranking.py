"""Accuracy and recall among the first k, with ties counted as what a random order of the tied would give.

A model that scores everything alike therefore gets chance, never 100 %.
"""

import torch
from torch import Tensor

TIE = 1e-6  # cosines closer than this are equal: the same vectors multiplied in another block differ by less


def hit_probability(better: Tensor, tied: Tensor, positives: Tensor, k: int) -> Tensor:
    """Chance that the first k hold a positive, when candidates with equal scores come in random order.

    With n wrong and p right candidates tied at the best positive's score and m = k - better places left for them,
    it is 1 - C(n, m) / C(n + p, m).

    Args:
        better: (N,) wrong candidates that score above the best positive.
        tied: (N,) wrong candidates that score the same as the best positive.
        positives: (N,) positives that score the same as the best positive, at least 1.
    Returns:
        (N,) float64 in [0, 1].
    """
    missed = torch.ones(better.shape, dtype=torch.float64, device=better.device)
    for place in range(k):
        open_ = place < k - better  # (N,)
        still_wrong = (tied - place).clamp(min=0).double() / (tied + positives - place).clamp(min=1)
        missed = torch.where(open_, missed * still_wrong, missed)
    return 1 - missed


def topk_hits(scores: Tensor, target: Tensor, k: int, tolerance: float = TIE) -> Tensor:
    """(N, C) scores and (N,) right classes -> (N,) chance in [0, 1] that the right class is among the first k."""
    best = scores.gather(1, target[:, None])  # (N, 1)
    better = (scores > best + tolerance).sum(1)
    tied = ((scores - best).abs() <= tolerance).sum(1) - 1
    return hit_probability(better, tied, torch.ones_like(tied), k)


def recall_at(
    queries: Tensor,
    candidates: Tensor,
    query_group: Tensor,
    candidate_group: Tensor,
    ks: tuple[int, ...] = (1, 5, 10),
    tolerance: float = TIE,
    cells: int = 1 << 24,
) -> dict[int, float]:
    """Share of queries that find a candidate of their own group among the first k by inner product.

    Scores are made a block of queries at a time, ``cells`` of them at once (64 MB), never the whole matrix.

    Args:
        queries: (N, D) unit vectors.
        candidates: (M, D) unit vectors.
        query_group: (N,) int64; each query's group has at least one candidate.
        candidate_group: (M,) int64.
    Returns:
        {k: recall in [0, 1]}.
    """
    found = dict.fromkeys(ks, 0.0)
    rows = max(1, cells // len(candidates))
    for query, group in zip(queries.split(rows), query_group.split(rows), strict=True):
        scores = query @ candidates.T  # (b, M)
        positive = group[:, None] == candidate_group  # (b, M)
        best = scores.masked_fill(~positive, -torch.inf).amax(1, keepdim=True)  # (b, 1)
        tied = (scores - best).abs() <= tolerance
        wrong_better = ((scores > best + tolerance) & ~positive).sum(1)
        for k in ks:
            hits = hit_probability(wrong_better, (tied & ~positive).sum(1), (tied & positive).sum(1), k)
            found[k] += hits.sum().item()
    return {k: total / len(queries) for k, total in found.items()}
