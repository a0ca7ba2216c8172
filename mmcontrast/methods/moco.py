"""MoCo: a view picks its partner out of a queue of earlier keys, which a slowly moving encoder made.

Version 1: He, Fan, Wu, Xie, Girshick, CVPR 2020, https://arxiv.org/abs/1911.05722 (algorithm 1).
Version 2: Chen, Fan, Girshick, He 2020, https://arxiv.org/abs/2003.04297: an MLP head, blur, a cosine schedule.
"""

from typing import Any, Literal

import torch
from torch import Tensor, nn

from mmcontrast.encoders.base import Encoder
from mmcontrast.encoders.heads import mlp
from mmcontrast.losses.contrastive import info_nce, mutual_information_bound
from mmcontrast.methods.base import Method
from mmcontrast.ops.distributed import all_gather, get_rank, world_size
from mmcontrast.ops.momentum import Queue, ema_copy, ema_update
from mmcontrast.ops.random import random_bits
from mmcontrast.ops.sphere import l2_normalize

_SHUFFLE = 2001  # stream of random numbers


class MoCo(Method):
    """A query finds its key among a queue of earlier keys from a slowly moving encoder.

    Batch (``data.TwoViews`` makes it): ``views``, two (B, 3, H, W) float in [0, 1]; ``sample_key`` (B,) int64.

    Version 1 has ``head="linear", temperature=0.07``; the defaults are version 2's.

    Args:
        encoder: f_q.
        dim: width of queries and keys.
        head: "linear" or "mlp".
        queue_size: K, keys kept as negatives; batches need not divide it.
        momentum: m, of the key encoder.
        temperature: tau.
        symmetric: each view is query once and key once, and the loss their mean (MoCo v3, for short schedules).
    """

    def __init__(
        self,
        encoder: Encoder,
        dim: int = 128,
        head: Literal["linear", "mlp"] = "mlp",
        queue_size: int = 65536,
        momentum: float = 0.999,
        temperature: float = 0.2,
        symmetric: bool = False,
    ) -> None:
        super().__init__()
        self.encoder, self.momentum, self.temperature, self.symmetric = encoder, momentum, temperature, symmetric
        self.head = mlp(*[encoder.dim] * (2 if head == "mlp" else 1), dim)
        self.key_network = ema_copy(nn.Sequential(encoder, self.head))
        self.queue = Queue(queue_size, dim)

    def forward(self, batch: dict[str, Any]) -> dict[str, Tensor]:
        """One batch -> loss (eq. 1) and the bound on mutual information (nats); in training the keys join the queue."""
        first, second = batch["views"][:2]
        pairs = [(first, second), (second, first)] if self.symmetric else [(first, second)]
        losses, keys = zip(*(self._contrast(q, k, batch["sample_key"]) for q, k in pairs), strict=True)
        loss = torch.stack(losses).mean()
        if self.training:
            self.queue.push(torch.cat(keys))
        bound = mutual_information_bound(loss.detach(), len(self.queue.vectors) + 1)
        return {"loss": loss, "mutual_information": bound}

    def after_step(self, progress: float) -> None:
        """The key encoder follows (eq. 2)."""
        ema_update(self.key_network[0], self.encoder, self.momentum)
        ema_update(self.key_network[1], self.head, self.momentum)

    def _contrast(self, query_view: Tensor, key_view: Tensor, sample_key: Tensor) -> tuple[Tensor, Tensor]:
        """The loss of this rank's queries, and the keys of all ranks, (world * B, dim)."""
        q = l2_normalize(self.head(self.encoder(query_view)))  # (B, dim)
        k = self._keys(key_view, sample_key)
        own = k[get_rank() * len(q) :][: len(q)]
        # The queue moves on before the backward pass, which needs it as it is now.
        return info_nce(q, own, self.temperature, negatives=self.queue.vectors.clone()), k

    @torch.no_grad()
    def _keys(self, view: Tensor, sample_key: Tensor) -> Tensor:
        """Keys of all ranks, in their order; batch norm sees samples of other ranks than the queries' does (3.3)."""
        rank, size = get_rank(), world_size()
        if size == 1:
            return l2_normalize(self.key_network(view))
        order = random_bits(all_gather(sample_key), 1, _SHUFFLE)[:, 0].argsort(stable=True)  # alike on all ranks
        mine = order.chunk(size)[rank]
        shuffled = all_gather(l2_normalize(self.key_network(all_gather(view)[mine])))
        return torch.empty_like(shuffled).index_copy_(0, order, shuffled)
