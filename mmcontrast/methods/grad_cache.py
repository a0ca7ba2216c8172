"""Gradient caching: a contrastive loss over a large batch, with the activations of a small one.

Gao et al. 2021, https://arxiv.org/abs/2101.06983.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

Embed = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


def embed_in_micro_batches(
    embed: Embed, first: Tensor, second: Tensor, micro_batch: int, module: nn.Module
) -> tuple[Tensor, Tensor]:
    """Embeds two paired batches, and holds the activations of one micro-batch at a time.

    Checkpointing does what the paper describes: all embeddings come first, then one loss over them all; the backward
    pass runs each micro-batch anew, with the random state of its first pass, under the gradients of its embeddings.

    Args:
        embed: Maps a micro-batch of both sides to its embeddings.
        first: (B, ...) inputs of the first side.
        second: (B, ...) inputs of the second side.
        micro_batch: Number of pairs that are embedded at once.
        module: The module that ``embed`` runs; its batch norms count every micro-batch once.

    Returns:
        (B, D) embeddings of both sides.
    """

    def contexts() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        return nullcontext(), _frozen_statistics(module)

    parts = zip(first.split(micro_batch), second.split(micro_batch), strict=True)
    pairs = [checkpoint(embed, *part, use_reentrant=False, context_fn=contexts) for part in parts]
    embedded_first, embedded_second = zip(*pairs, strict=True)
    return torch.cat(embedded_first), torch.cat(embedded_second)


@contextmanager
def _frozen_statistics(module: nn.Module) -> Iterator[None]:
    """Keeps the second pass of a checkpoint from counting a batch twice in running statistics."""
    norms = [m for m in module.modules() if isinstance(m, _BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    counts = [
        (n.num_batches_tracked, n.num_batches_tracked.clone()) for n in norms if n.num_batches_tracked is not None
    ]
    for norm in norms:
        norm.momentum = 0.0
    try:
        yield
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
        for count, before in counts:
            count.copy_(before)
