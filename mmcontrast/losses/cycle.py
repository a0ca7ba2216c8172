"""The contrastive random walk: a walk through the frames of a clip and back should end where it began.

Jabri, Owens, Efros, NeurIPS 2020, https://arxiv.org/abs/2006.14613 (eqs. 1, 3 and 4).
"""

import torch
from torch import Tensor

from mmcontrast.ops.sphere import l2_normalize


def contrastive_random_walk(
    features: Tensor, temperature: float, edges: tuple[Tensor, Tensor] | None = None
) -> tuple[Tensor, Tensor]:
    """Computes the cross-entropy of returning to the starting node, averaged over the walks of every length.

    Args:
        features: (B, T, N, D) nodes of T >= 2 frames.
        temperature: Temperature of the softmax over the cosines of two frames' nodes.
        edges: (B, T - 1, N, N) bool twice, the edges from frame t to t + 1 and from t + 1 to t that the walk may use;
            edge dropout (section 2.3) draws the two apart.  A node that would lose all of its edges keeps them.

    Returns:
        The scalar loss in float32 or better, and the fraction of nodes to which the longest walk returns (no gradient).
    """
    nodes = l2_normalize(features)
    scores = nodes[:, :-1] @ nodes[:, 1:].mT / temperature  # (B, T - 1, N, N)
    scores_back = scores.mT
    edges_there, edges_back = edges or (None, None)
    there, back = _transition(scores, edges_there), _transition(scores_back, edges_back)
    outward, losses = there[:, 0], []
    for t in range(scores.shape[1]):
        outward = outward @ there[:, t] if t else outward  # (B, N, N), from frame 0 to t + 1
        walk = outward
        for s in reversed(range(t + 1)):
            walk = walk @ back[:, s]
        losses.append(-(walk.diagonal(dim1=1, dim2=2) + 1e-20).log().mean())
    home = torch.arange(walk.shape[1], device=walk.device)
    return torch.stack(losses).mean(), (walk.argmax(-1) == home).to(nodes.dtype).mean()


def _transition(scores: Tensor, edges: Tensor | None) -> Tensor:
    """Returns the probabilities of moving along each edge, from the scores of all edges."""
    if edges is None:
        return scores.softmax(-1)
    allowed = edges | ~edges.any(-1, keepdim=True)
    return scores.masked_fill(~allowed, float("-inf")).softmax(-1)
