"""Vectors compared by direction: unit length, and how much of the sphere a set of them fills."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor


def l2_normalize(x: Tensor) -> Tensor:
    """(..., D) of any precision -> (..., D) of length 1, in float32 at least."""
    return F.normalize(x.to(torch.promote_types(x.dtype, torch.float32)), dim=-1)


def feature_std(features: Tensor) -> Tensor:
    """Standard deviation of directions, averaged over channels and scaled by sqrt(D) (SimSiam, 2011.10566, section 4).

    Args:
        features: (N, D), N >= 2.
    Returns:
        () from 0, all alike, to 1, spread over the whole sphere.
    """
    return l2_normalize(features).std(0, correction=0).mean() * math.sqrt(features.shape[1])


def effective_rank(features: Tensor) -> Tensor:
    """exp of the entropy of the covariance's eigenvalues, as shares of their sum (Roy and Vetterli 2007).

    Args:
        features: (N, D), N >= 2.
    Returns:
        () from 1, one direction only, to min(N - 1, D); 1 as well for features that are all alike.
    """
    centered = (features - features.mean(0)).double()
    gram = centered @ centered.T if len(centered) < centered.shape[1] else centered.T @ centered
    share = torch.linalg.eigvalsh(gram).clamp(min=0)
    share = share / share.sum().clamp(min=torch.finfo(torch.float64).tiny)
    return torch.special.entr(share).sum().exp()


def similarities(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Mean cosine of pairs that belong together and of those that do not.

    Args:
        a, b: (N, D), N >= 2; row i of one belongs to row i of the other.
    Returns:
        () positive and () negative similarity.
    """
    cosine = l2_normalize(a) @ l2_normalize(b).T  # (N, N)
    positive, count = cosine.diagonal().sum(), len(cosine)
    return positive / count, (cosine.sum() - positive) / (count * (count - 1))
