"""Space-time correspondence as a contrastive random walk: no labels but the walk's own starting point.

Jabri, Owens and Efros, NeurIPS 2020. https://arxiv.org/abs/2006.14613
"""

from typing import Any

import torch.nn.functional as F
from torch import Tensor

from mmcontrast.encoders.base import Encoder
from mmcontrast.errors import InputError
from mmcontrast.losses.cycle import contrastive_random_walk
from mmcontrast.methods.base import Method
from mmcontrast.methods.frame_encoder import FrameEncoder, Lock
from mmcontrast.ops.random import uniform

_EDGES = 32  # stream of the sample's key


class ContrastiveRandomWalk(Method):
    """Walks from patch to patch through a clip and back.

    Batch: ``clip`` (B, T, 3, H, W) float in [0, 1] RGB, T >= 2; ``sample_key`` (B,) int64.

    Args:
        encoder: the trunk.
        dim: channels D of the embedding; None: the trunk's own features.
        patch: side in pixels of the patches that are nodes, encoded one by one, so that the border of the frame tells
            no patch its place; half of each overlaps the next (section 3.1).  None: the nodes are cells of the frame's
            grid, pooled 2 x 2: far cheaper, for networks that are trained already.
        temperature: of the softmax over cosine similarities.
        edge_dropout: share of edges left out of the walk, drawn for each clip.
        lock: "norm" keeps the trunk's batch norms fixed, "all" trains the head only.
    """

    def __init__(
        self,
        encoder: Encoder,
        dim: int | None = 128,
        patch: int | None = 64,
        temperature: float = 0.05,
        edge_dropout: float = 0.1,
        lock: Lock = "none",
    ) -> None:
        super().__init__()
        if not 0 <= edge_dropout < 1 or temperature <= 0:
            raise InputError(f"edge_dropout {edge_dropout}, temperature {temperature}: wanted [0, 1) and > 0")
        if lock == "all" and dim is None:
            raise InputError("lock='all' without a head leaves nothing to train; give dim")
        self.encoder = FrameEncoder(encoder, dim, lock=lock)
        self.patch, self.temperature, self.edge_dropout = patch, temperature, edge_dropout

    def forward(self, batch: dict[str, Any]) -> dict[str, Tensor]:
        """See the class; also gives ``returned``, the share of nodes that the longest walk comes back to."""
        clip, sample_key = batch["clip"], batch["sample_key"]
        nodes = self._nodes(clip.flatten(0, 1)).unflatten(0, clip.shape[:2])  # (B, T, N, D)
        kept = None
        if self.edge_dropout:
            frames, count = nodes.shape[1:3]
            kept = uniform(sample_key, (frames - 1) * count**2, stream=_EDGES) >= self.edge_dropout
            kept = kept.view(-1, frames - 1, count, count)
        loss, returned = contrastive_random_walk(nodes, self.temperature, kept)
        return {"loss": loss, "returned": returned}

    def _nodes(self, frames: Tensor) -> Tensor:
        """(B T, 3, H, W) -> (B T, N, D)."""
        if self.patch is None:
            return F.avg_pool2d(self.encoder.grid(frames), 2).flatten(2).mT
        patches = frames.unfold(2, self.patch, self.patch // 2).unfold(3, self.patch, self.patch // 2)
        patches = patches.permute(0, 2, 3, 1, 4, 5)  # (B T, rows, columns, 3, patch, patch)
        return self.encoder(patches.flatten(0, 2)).view(len(frames), -1, self.encoder.dim)
