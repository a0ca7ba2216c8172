"""MoCo v3: no queue, a predictor on the queries, and what makes vision transformers train stably.

Chen, Xie, He, ICCV 2021, https://arxiv.org/abs/2104.02057 (algorithm 1).
"""

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from mmcontrast.encoders.base import Encoder
from mmcontrast.encoders.heads import mlp
from mmcontrast.losses.contrastive import info_nce, mutual_information_bound
from mmcontrast.methods.base import Method
from mmcontrast.ops.distributed import world_size
from mmcontrast.ops.momentum import cosine_momentum, ema_copy, ema_update
from mmcontrast.ops.sphere import l2_normalize


class MoCoV3(Method):
    """Two views predict each other's keys, which come from a slowly moving encoder.

    Batch (``data.TwoViews`` makes it): ``views``, two (B, 3, H, W) float in [0, 1].  The negatives are the samples of
    the batches of all ranks.

    Args:
        encoder: The network, a vision transformer or a ResNet.
        dim: Width of queries and keys.
        hidden: Width of the hidden layers of projector and predictor.
        projector_layers: Number of layers of the projector; None: 3 for vision transformers, 2 for other networks.
        temperature: Temperature of the softmax; None: 0.2 for vision transformers, 1.0 for other networks.
        momentum: m at the start; it rises to 1 along a cosine.
        freeze_patches: Whether a transformer's patch embedding stays as it was drawn (section 4.3).
    """

    batch_entries: ClassVar[dict[str, str]] = {"views": "data.augment to TwoViews"}

    def __init__(
        self,
        encoder: Encoder,
        dim: int = 256,
        hidden: int = 4096,
        projector_layers: int | None = None,
        temperature: float | None = None,
        momentum: float = 0.99,
        freeze_patches: bool = True,
    ) -> None:
        super().__init__()
        patch_embedding = getattr(getattr(encoder, "net", None), "patch_embed", None)
        transformer = patch_embedding is not None
        if freeze_patches and patch_embedding is not None:
            patch_embedding.requires_grad_(False)
        self.encoder, self.momentum = encoder, momentum
        self.temperature = temperature or (0.2 if transformer else 1.0)
        widths = [hidden] * ((projector_layers or (3 if transformer else 2)) - 1)
        self.projector = mlp(encoder.dim, *widths, dim, norm=True, final_norm=True)
        self.predictor = mlp(dim, hidden, dim, norm=True, final_norm=transformer)
        if not transformer:  # the predictor of a ResNet ends without batch norm, and without a bias too
            self.predictor[-1] = nn.Linear(hidden, dim, bias=False)
        self.key_network = ema_copy(nn.Sequential(encoder, self.projector))

    def forward(self, batch: dict[str, Any]) -> dict[str, Tensor]:
        """Computes the symmetric loss, and logs its bound on mutual information in nats."""
        first, second = batch["views"][:2]
        self.require_negatives(len(first))
        q1, q2 = self._query(first), self._query(second)  # (B, dim) each; batch norm sees one view at a time
        with torch.no_grad():
            k1, k2 = l2_normalize(self.key_network(first)), l2_normalize(self.key_network(second))
        cross_entropy = (info_nce(q1, k2, self.temperature) + info_nce(q2, k1, self.temperature)) / 2
        bound = mutual_information_bound(cross_entropy.detach(), len(q1) * world_size())
        return {"loss": 4 * self.temperature * cross_entropy, "mutual_information": bound}  # 2 tau for each direction

    def after_step(self, progress: float) -> None:
        """Moves the network of the keys towards that of the queries."""
        momentum = cosine_momentum(self.momentum, progress)
        ema_update(self.key_network[0], self.encoder, momentum)
        ema_update(self.key_network[1], self.projector, momentum)

    def _query(self, view: Tensor) -> Tensor:
        """Returns the (B, dim) queries of one view."""
        return l2_normalize(self.predictor(self.projector(self.encoder(view))))
