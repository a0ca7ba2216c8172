"""Space-time correspondence as a contrastive random walk: the only label is the starting point of the walk.

Jabri, Owens, Efros, NeurIPS 2020, https://arxiv.org/abs/2006.14613.
"""

from typing import Any, ClassVar

from torch import Tensor

from mmcontrast.encoders.base import Encoder
from mmcontrast.errors import InputError
from mmcontrast.losses.cycle import contrastive_random_walk
from mmcontrast.methods.base import Method
from mmcontrast.methods.frame_encoder import FrameEncoder, pooled_nodes
from mmcontrast.ops.random import uniform


class ContrastiveRandomWalk(Method):
    """Walks from patch to patch through a clip and back, and learns to end where it began.

    Batch: ``clip`` (B, T, 3, H, W) float in [0, 1] RGB, T >= 2; ``sample_key`` (B,) int64, the key of the edge dropout.

    Args:
        encoder: The trunk.
        dim: Number of channels of the embedding; None keeps the trunk's own features.
        patch: Side in pixels of the patches that are the nodes.  They overlap by half and are encoded one by one, so
            that the border of the frame does not give away their position (section 3.1).  None: the nodes are the cells
            of the frame's grid, pooled 2 x 2; that is far cheaper and serves networks that are already trained.
        temperature: Temperature of the softmax over cosine similarities.
        edge_dropout: Fraction of edges left out of the walk, drawn for each clip, there and back apart.
        trainable_layers: Number of the trunk's last layers that are trained; 0 freezes it, None trains all.

    Raises:
        InputError: An option is out of range.
    """

    encoder: FrameEncoder
    random_stream = 32
    batch_entries: ClassVar[dict[str, str]] = {
        "clip": "data.train to Clips and data.augment to ClipAugment",
        "sample_key": "data.train to Clips",
    }

    def __init__(
        self,
        encoder: Encoder,
        dim: int | None = 128,
        patch: int | None = 64,
        temperature: float = 0.05,
        edge_dropout: float = 0.1,
        trainable_layers: int | None = None,
    ) -> None:
        super().__init__()
        if not 0 <= edge_dropout < 1 or temperature <= 0:
            raise InputError(f"edge_dropout {edge_dropout}, temperature {temperature}: wanted [0, 1) and > 0")
        self.encoder = FrameEncoder(encoder, dim, trainable_layers=trainable_layers)
        self.patch, self.temperature, self.edge_dropout = patch, temperature, edge_dropout

    def forward(self, batch: dict[str, Any]) -> dict[str, Tensor]:
        """Computes the loss of returning home, and logs the fraction of nodes to which the longest walk returns."""
        clip = batch["clip"]
        nodes = self._nodes(clip.flatten(0, 1)).unflatten(0, clip.shape[:2])  # (B, T, N, D)
        edges = None
        if self.edge_dropout:
            frames, count = nodes.shape[1:3]
            draws = uniform(batch["sample_key"], 2 * (frames - 1) * count**2, self.random_stream)
            there, back = (draws >= self.edge_dropout).view(-1, 2, frames - 1, count, count).unbind(1)
            edges = there, back
        loss, returned = contrastive_random_walk(nodes, self.temperature, edges)
        return {"loss": loss, "returned": returned}

    def _nodes(self, frames: Tensor) -> Tensor:
        """Returns the (B T, N, D) nodes of (B T, 3, H, W) frames."""
        if self.patch is None:
            return pooled_nodes(self.encoder.grid(frames))
        patches = frames.unfold(2, self.patch, self.patch // 2).unfold(3, self.patch, self.patch // 2)
        patches = patches.permute(0, 2, 3, 1, 4, 5)  # (B T, rows, columns, 3, patch, patch)
        nodes: Tensor = self.encoder(patches.flatten(0, 2))
        return nodes.view(len(frames), -1, self.encoder.dim)
