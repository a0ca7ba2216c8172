"""State that follows a trained network slowly: a moving average of its weights, and a queue of its outputs."""

import copy
import math
from typing import TypeVar

import torch
from torch import Tensor, nn

from mmcontrast.errors import InputError
from mmcontrast.ops.sphere import l2_normalize

Network = TypeVar("Network", bound=nn.Module)


def ema_copy(network: Network) -> Network:
    """Returns a copy without gradients, dropout or stochastic depth, which ``ema_update`` then moves."""
    copied = copy.deepcopy(network).requires_grad_(False)
    for module in copied.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
        elif hasattr(module, "drop_prob"):  # timm's DropPath
            module.drop_prob = 0.0  # type: ignore[assignment]
    return copied


@torch.no_grad()
def ema_update(average: nn.Module, network: nn.Module, momentum: float) -> None:
    """Sets each parameter of ``average`` to ``momentum * average + (1 - momentum) * network``.

    Buffers are not changed: the batch norms of a teacher in training mode gather their own statistics.

    Args:
        average: The module to change, such as a copy by ``ema_copy``.
        network: The trained module, with the same parameters in the same order.
        momentum: Weight of the old value, in [0, 1].
    """
    torch._foreach_lerp_(list(average.parameters()), list(network.parameters()), 1 - momentum)


def cosine_momentum(start: float, progress: float) -> float:
    """Returns a momentum that rises from ``start`` to 1 along half a cosine (BYOL, 2006.07733, section 3.2).

    Args:
        start: Momentum at the beginning of training.
        progress: Fraction of the training that is done, in [0, 1].

    Returns:
        The momentum for this step.

    >>> [cosine_momentum(0.5, progress) for progress in (0, 0.5, 1)]
    [0.5, 0.75, 1.0]
    """
    return 1 - (1 - start) * (math.cos(math.pi * progress) + 1) / 2


class Queue(nn.Module):
    """The newest unit vectors, first in, first out; the size need not be a multiple of the batch size.

    Args:
        size: Number K of vectors; they are random at first.
        dim: Length D of a vector.
    """

    vectors: Tensor
    oldest: Tensor

    def __init__(self, size: int, dim: int) -> None:
        super().__init__()
        if size < 1:
            raise InputError(f"The queue size is {size}; give at least 1.")
        self.register_buffer("vectors", l2_normalize(torch.randn(size, dim)))
        self.register_buffer("oldest", torch.zeros((), dtype=torch.int64))  # row number of the oldest vector

    @torch.no_grad()
    def push(self, vectors: Tensor) -> None:
        """Replaces the oldest vectors by new ones (B, D); of more than K, by the last K."""
        size = len(self.vectors)
        vectors = vectors[-size:].to(self.vectors.dtype)
        rows = (self.oldest + torch.arange(len(vectors), device=vectors.device)) % size  # (B,)
        self.vectors.index_copy_(0, rows, vectors)
        self.oldest.add_(len(vectors)).remainder_(size)
