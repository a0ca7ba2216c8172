"""MoCo: a view picks its partner out of a queue of earlier keys, which come from a slowly moving encoder.

Version 1: He, Fan, Wu, Xie, Girshick, CVPR 2020, https://arxiv.org/abs/1911.05722 (algorithm 1).
Version 2: Chen, Fan, Girshick, He 2020, https://arxiv.org/abs/2003.04297: an MLP head, blur, a cosine schedule.
"""

from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from mmcontrast.encoders.base import Encoder
from mmcontrast.encoders.heads import mlp
from mmcontrast.losses.contrastive import info_nce, mutual_information_bound
from mmcontrast.methods.base import Method
from mmcontrast.ops.distributed import all_gather, apply_shuffled, own_rows
from mmcontrast.ops.momentum import Queue, ema_copy, ema_update
from mmcontrast.ops.random import random_bits
from mmcontrast.ops.sphere import l2_normalize


class MoCo(Method):
    """A query picks its key among a queue of earlier keys.

    Batch (``data.TwoViews`` makes it): ``views``, two (B, 3, H, W) float in [0, 1]; ``sample_key`` (B,) int64, the key
    by which samples are shuffled across ranks.

    Version 1 has ``head="linear", temperature=0.07``; the defaults are those of version 2.

    Args:
        encoder: f_q, the network of the queries.
        dim: Width of queries and keys.
        head: "linear" or "mlp".
        queue_size: K, the number of keys that serve as negatives; batches need not divide it.
        momentum: m, of the moving average that encodes the keys.
        temperature: Temperature of the softmax.
        symmetric: Whether each view is query once and key once, with the mean of both losses (for short schedules).
    """

    random_stream = 2001
    batch_entries: ClassVar[dict[str, str]] = {
        "views": "data.augment to TwoViews",
        "sample_key": "data.train to a dataset with keys, such as Images",
    }

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
        """Computes InfoNCE (eq. 1), and logs its bound on mutual information; in training the keys join the queue."""
        first, second = batch["views"][:2]
        pairs = [(first, second), (second, first)] if self.symmetric else [(first, second)]
        negatives = self.queue.vectors.clone()  # the queue moves on before the backward pass, which needs it as it is
        losses, all_keys = [], []
        for query_view, key_view in pairs:
            q = l2_normalize(self.head(self.encoder(query_view)))  # (B, dim)
            k = self._keys(key_view, batch["sample_key"])  # (world size * B, dim)
            losses.append(info_nce(q, own_rows(k), self.temperature, negatives))
            all_keys.append(k)
        loss = torch.stack(losses).mean()
        if self.training:
            self.queue.push(torch.cat(all_keys))
        return {"loss": loss, "mutual_information": mutual_information_bound(loss.detach(), len(negatives) + 1)}

    def after_step(self, progress: float) -> None:
        """Moves the network of the keys towards that of the queries (eq. 2)."""
        ema_update(self.key_network[0], self.encoder, self.momentum)
        ema_update(self.key_network[1], self.head, self.momentum)

    @torch.no_grad()
    def _keys(self, view: Tensor, sample_key: Tensor) -> Tensor:
        """Returns the keys of all ranks; their batch norm sees other samples than that of the queries (section 3.3)."""
        order = random_bits(all_gather(sample_key), 1, self.random_stream)[:, 0].argsort(stable=True)
        return apply_shuffled(lambda images: l2_normalize(self.key_network(images)), view, order)
