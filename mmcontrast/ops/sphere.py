"""Vectors that are compared by their direction: unit length, and how much of the sphere a set of them fills."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from mmcontrast.ops.precision import at_least_float32


def l2_normalize(x: Tensor) -> Tensor:
    """Returns vectors (..., D) scaled to length 1, in float32 or wider.

    >>> l2_normalize(torch.tensor([3.0, 4.0]))
    tensor([0.6000, 0.8000])
    """
    return F.normalize(at_least_float32(x), dim=-1)


def feature_std(features: Tensor) -> Tensor:
    """Returns the standard deviation of directions, averaged over channels (SimSiam, 2011.10566, section 4).

    Args:
        features: Vectors of any length, (N, D) with N >= 2.

    Returns:
        A scalar, scaled by sqrt(D): 0 if all directions are equal, 1 if they are spread over the whole sphere.
    """
    return l2_normalize(features).std(0, correction=0).mean() * math.sqrt(features.shape[1])


def effective_rank(features: Tensor) -> Tensor:
    """Returns the exponential of the entropy of the normalized covariance spectrum (Roy and Vetterli 2007).

    Args:
        features: Vectors (N, D) with N >= 2.

    Returns:
        A scalar from 1 (all variance lies in one direction, or there is none) to min(N - 1, D).
    """
    centered = (features - features.mean(0)).double()
    gram = centered @ centered.T if len(centered) < centered.shape[1] else centered.T @ centered
    eigenvalues: Tensor = torch.linalg.eigvalsh(gram).clamp(min=0)
    fractions = eigenvalues / eigenvalues.sum().clamp(min=torch.finfo(torch.float64).tiny)
    entropy: Tensor = torch.special.entr(fractions).sum()
    return entropy.exp()


def similarities(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Computes the mean cosine of matching pairs and that of all other pairs.

    Args:
        a: Vectors (N, D) with N >= 2.
        b: Vectors (N, D); row i matches row i of ``a``.

    Returns:
        Two scalars: the mean cosine of matching pairs, and the mean cosine of the others.
    """
    cosine = l2_normalize(a) @ l2_normalize(b).T  # (N, N)
    positive, count = cosine.diagonal().sum(), len(cosine)
    return positive / count, (cosine.sum() - positive) / (count * (count - 1))
