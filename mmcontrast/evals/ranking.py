"""Accuracy and recall among the first k, where ties count as the mean over random orders of the tied candidates.

A model that gives all candidates the same score therefore reaches chance, never 100 %.
"""

import torch
from torch import Tensor

# Cosines that differ by less are equal: products of the same vectors in another block differ by less than this.
TIE = 1e-6


def hit_probability(better: Tensor, tied: Tensor, positives: Tensor, k: int) -> Tensor:
    """Computes the probability that the first k candidates hold a positive if ties are ordered at random.

    With n wrong and p right candidates tied at the best positive's score, and m = k - better ranks left for them, the
    probability is 1 - C(n, m) / C(n + p, m).

    Args:
        better: Number of wrong candidates that score above the best positive (N,).
        tied: Number of wrong candidates that score the same as the best positive (N,).
        positives: Number of positives that score the same as the best positive (N,), at least 1.
        k: Number of ranks that count.

    Returns:
        Probabilities (N,) float64.
    """
    missed = torch.ones(better.shape, dtype=torch.float64, device=better.device)
    for rank in range(k):
        is_free = rank < k - better  # (N,)
        still_wrong = (tied - rank).clamp(min=0).double() / (tied + positives - rank).clamp(min=1)
        missed = torch.where(is_free, missed * still_wrong, missed)
    return 1 - missed


def topk_hits(scores: Tensor, target: Tensor, k: int, tolerance: float = TIE) -> Tensor:
    """Computes the probability that the true class is among the k best scores.

    Args:
        scores: Scores of the classes (N, C).
        target: True classes (N,) int64.
        k: Number of ranks that count.
        tolerance: Scores that differ by no more than this are tied.

    Returns:
        Probabilities (N,) float64; 0 or 1 where there is no tie.

    >>> topk_hits(torch.tensor([[3.0, 2.0, 1.0]]), torch.tensor([1]), k=2)
    tensor([1.], dtype=torch.float64)
    """
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
    """Computes the fraction of queries with a candidate of their own group among the k nearest.

    The matrix of scores is computed for a block of queries at a time.

    Args:
        queries: Unit vectors (N, D).
        candidates: Unit vectors (M, D).
        query_group: Groups of the queries (N,) int64; each group has at least one candidate.
        candidate_group: Groups of the candidates (M,) int64.
        ks: Numbers of ranks that count.
        tolerance: Scores that differ by no more than this are tied.
        cells: Number of scores that are held at once; the default needs 64 MB.

    Returns:
        Recall in [0, 1] by k.
    """
    hits = dict.fromkeys(ks, 0.0)
    rows = max(1, cells // len(candidates))
    for query, group in zip(queries.split(rows), query_group.split(rows), strict=True):
        scores = query @ candidates.T  # (b, M)
        positive = group[:, None] == candidate_group  # (b, M)
        best = scores.masked_fill(~positive, -torch.inf).amax(1, keepdim=True)  # (b, 1)
        tied = (scores - best).abs() <= tolerance
        better = ((scores > best + tolerance) & ~positive).sum(1)
        for k in ks:
            hit = hit_probability(better, (tied & ~positive).sum(1), (tied & positive).sum(1), k)
            hits[k] += hit.sum().item()
    return {k: total / len(queries) for k, total in hits.items()}
