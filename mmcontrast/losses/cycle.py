"""A walk through the frames of a clip and back should end where it began.

Jabri, Owens and Efros, NeurIPS 2020. https://arxiv.org/abs/2006.14613 (eqs. 1, 3 and 4).
"""

import torch
from torch import Tensor

from mmcontrast.ops.sphere import l2_normalize


def contrastive_random_walk(features: Tensor, temperature: float, kept: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Cross-entropy of returning to the starting node, over the palindromes of every length.

    Args:
        features: (B, T, N, D) nodes of T >= 2 frames.
        temperature: of the softmax over the products of two frames' nodes.
        kept: (B, T - 1, N, N) bool, edges between frames t and t + 1 that the walk may use, the same there and back;
            edge dropout (section 2.3).  A node whose edges are all dropped keeps them.
    Returns:
        The loss, a scalar in float32 or better, and the share of nodes that the longest walk returns to (no gradient).
    """
    nodes = l2_normalize(features)
    scores = nodes[:, :-1] @ nodes[:, 1:].mT / temperature  # (B, T - 1, N, N)
    ahead, back = (_transition(s, k) for s, k in ((scores, kept), (scores.mT, None if kept is None else kept.mT)))
    walk = returning = None
    losses = []
    for t in range(scores.shape[1]):
        walk = ahead[:, t] if walk is None else walk @ ahead[:, t]  # (B, N, N) from frame 0 to t + 1
        returning = walk
        for s in range(t, -1, -1):
            returning = returning @ back[:, s]
        losses.append(-(returning.diagonal(dim1=1, dim2=2) + 1e-20).log().mean())
    assert returning is not None  # T >= 2
    home = torch.arange(returning.shape[1], device=returning.device)
    return torch.stack(losses).mean(), (returning.argmax(-1) == home).to(nodes.dtype).mean()


def _transition(scores: Tensor, kept: Tensor | None) -> Tensor:
    if kept is None:
        return scores.softmax(-1)
    allowed = kept | ~kept.any(-1, keepdim=True)
    return scores.masked_fill(~allowed, float("-inf")).softmax(-1)
