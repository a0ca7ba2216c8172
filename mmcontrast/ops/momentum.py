"""What follows a network slowly: its moving average, and a queue of what it gave."""

import copy
import math
from typing import TypeVar

import torch
from torch import Tensor, nn

from mmcontrast.errors import InputError
from mmcontrast.ops.sphere import l2_normalize

Network = TypeVar("Network", bound=nn.Module)


def ema_copy(network: Network) -> Network:
    """A copy without gradients, dropout or stochastic depth: a teacher, to be moved by ``follow``."""
    copied = copy.deepcopy(network).requires_grad_(False)
    for module in copied.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
        elif hasattr(module, "drop_prob"):  # timm's DropPath
            module.drop_prob = 0.0  # type: ignore[assignment]
    return copied


@torch.no_grad()
def ema_update(average: nn.Module, network: nn.Module, momentum: float) -> None:
    """average <- momentum * average + (1 - momentum) * network, for all parameters at once.

    Buffers stay: batch norms of a teacher in training mode gather statistics of their own.
    """
    torch._foreach_lerp_(list(average.parameters()), list(network.parameters()), 1 - momentum)


def cosine_momentum(start: float, progress: float) -> float:
    """Momentum that rises from ``start`` to 1 along half a cosine (BYOL, 2006.07733, section 3.2)."""
    return 1 - (1 - start) * (math.cos(math.pi * progress) + 1) / 2


class Queue(nn.Module):
    """The newest ``size`` unit vectors, first in first out; batches need not divide the size.

    Args:
        size: K, vectors kept; they begin at random.
        dim: D, of a vector.
    """

    def __init__(self, size: int, dim: int) -> None:
        super().__init__()
        if size < 1:
            raise InputError(f"queue size is {size}; wanted at least 1")
        self.vectors: Tensor
        self.place: Tensor
        self.register_buffer("vectors", l2_normalize(torch.randn(size, dim)))
        self.register_buffer("place", torch.zeros((), dtype=torch.int64))  # of the oldest

    @torch.no_grad()
    def push(self, vectors: Tensor) -> None:
        """(B, D) replace the oldest; of more than K, the last K."""
        size = len(self.vectors)
        vectors = vectors[-size:].to(self.vectors.dtype)
        places = (self.place + torch.arange(len(vectors), device=vectors.device)) % size  # (B,)
        self.vectors.index_copy_(0, places, vectors)
        self.place.add_(len(vectors)).remainder_(size)
