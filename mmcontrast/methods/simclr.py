"""SimCLR: two views of an image agree, views of different images do not.

Chen, Kornblith, Norouzi, Hinton, ICML 2020, https://arxiv.org/abs/2002.05709 (algorithm 1).
Version 2 (2006.10029) has a wider encoder and a third layer in the head.
"""

from typing import Any, ClassVar

import torch
from torch import Tensor

from mmcontrast.encoders.base import Encoder
from mmcontrast.encoders.heads import mlp
from mmcontrast.losses.contrastive import mutual_information_bound, nt_xent
from mmcontrast.methods.base import Method
from mmcontrast.ops.distributed import world_size
from mmcontrast.ops.sphere import l2_normalize


class SimCLR(Method):
    """Two views of an image pick each other among all views of the batch.

    Batch (``data.TwoViews`` makes it): ``views``, two (B, 3, H, W) float in [0, 1].  The negatives are the samples of
    the batches of all ranks.

    Args:
        encoder: f, the network.  Its batch norm counts per rank; ``trainer.sync_batchnorm`` joins the ranks, as in the
            paper.
        dim: Width of z, in which views are compared.
        head_layers: Number of layers of the head g: 2, or 3 as in version 2.
        hidden: Width of the head's hidden layers; None: the encoder's.
        temperature: Temperature of the softmax; 0.1 for ImageNet, 0.5 for CIFAR-10 in the paper.

    Example:
        >>> import mmcontrast as mmc, torch
        >>> method = mmc.SimCLR(mmc.TinyConv(), dim=8)
        >>> out = method({"views": [torch.rand(4, 3, 16, 16), torch.rand(4, 3, 16, 16)]})
        >>> sorted(out)
        ['loss', 'mutual_information']
    """

    batch_entries: ClassVar[dict[str, str]] = {"views": "data.augment to TwoViews"}

    def __init__(
        self,
        encoder: Encoder,
        dim: int = 128,
        head_layers: int = 2,
        hidden: int | None = None,
        temperature: float = 0.1,
    ) -> None:
        super().__init__()
        self.encoder, self.temperature = encoder, temperature
        widths = [hidden or encoder.dim] * (head_layers - 1)
        self.head = mlp(encoder.dim, *widths, dim, norm=True, final_norm=True)

    def forward(self, batch: dict[str, Any]) -> dict[str, Tensor]:
        """Computes NT-Xent (eq. 1), and logs its bound on mutual information in nats."""
        first, second = batch["views"][:2]
        self.require_negatives(len(first))
        z1, z2 = l2_normalize(self.head(self.encoder(torch.cat([first, second])))).chunk(2)  # (B, dim) each
        loss = nt_xent(z1, z2, self.temperature)
        candidates = 2 * len(z1) * world_size() - 1
        return {"loss": loss, "mutual_information": mutual_information_bound(loss.detach(), candidates)}
