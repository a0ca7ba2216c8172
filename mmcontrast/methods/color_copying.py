"""The shared part of methods that track by copying colors: attention from a target frame to its references.

Vondrick et al., ECCV 2018, https://arxiv.org/abs/1806.09594 (eqs. 1 and 2).
"""

from collections.abc import Sequence
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from mmcontrast.encoders.base import Encoder
from mmcontrast.errors import InputError
from mmcontrast.losses.cycle import contrastive_random_walk
from mmcontrast.methods.base import Method
from mmcontrast.methods.frame_encoder import FrameEncoder, pooled_nodes
from mmcontrast.ops.affinity import Window, attend
from mmcontrast.ops.color import nearest_center

# 16 clusters of ab in everyday videos, by data_scripts/color_clusters.py; largest first.
CENTERS = (
    (1.1, 0.0), (3.9, 8.7), (-5.2, 2.8), (0.0, -9.3), (20.0, 29.8), (17.7, 12.9), (6.0, 24.1), (-8.4, 16.8),
    (0.2, -22.9), (15.4, -6.4), (-15.6, 34.3), (17.4, 49.0), (43.7, 27.6), (-18.8, -17.5), (32.3, -71.8), (25.2, -35.6),
)  # fmt: skip


class ColorCopying(Method):
    """A frame encoder, and the attention by which a target frame copies colors from its references.

    Args:
        encoder: The trunk.
        dim: Number of channels of the embedding; None keeps the trunk's own features.
        gray: Whether the trunk sees the luma only, also after training.
        temperature: Temperature of the attention.
        l2_normalize: Whether features are compared by cosine instead of by product.
        radius: Radius in cells within which a target looks; None for everywhere.
        walk_weight: Weight of the contrastive random walk's loss (2006.14613) on the same features.
        walk_temperature: Temperature of that walk.
        trainable_layers: Number of the trunk's last layers that are trained; 0 freezes it, None trains all.

    Raises:
        InputError: An option is out of range.
    """

    encoder: FrameEncoder
    batch_entries: ClassVar[dict[str, str]] = {"clip": "data.train to Clips and data.augment to ClipAugment"}

    def __init__(
        self,
        encoder: Encoder,
        dim: int | None,
        gray: bool,
        temperature: float,
        l2_normalize: bool,
        radius: float | None,
        walk_weight: float,
        walk_temperature: float,
        trainable_layers: int | None,
    ) -> None:
        super().__init__()
        if temperature <= 0 or walk_weight < 0:
            raise InputError(
                f"temperature {temperature}, walk_weight {walk_weight}: wanted temperature > 0 and walk_weight >= 0"
            )
        self.encoder = FrameEncoder(encoder, dim, gray, trainable_layers)
        self.temperature, self.l2_normalize = temperature, l2_normalize
        self.window = None if radius is None else Window(radius)
        self.walk_weight, self.walk_temperature = walk_weight, walk_temperature

    def features(self, clip: Tensor) -> Tensor:
        """Returns the (B, T, D, h, w) features of clips, (B, T, 3, H, W) RGB in [0, 1]."""
        features = self.encoder.grid(clip.flatten(0, 1)).unflatten(0, clip.shape[:2])
        return F.normalize(features, dim=2) if self.l2_normalize else features

    def copied(self, features: Tensor, values: Tensor) -> Tensor:
        """Copies values of the reference frames to the target frame by attention (eqs. 1 and 2).

        Args:
            features: (B, T, D, h, w) of all frames; the last one is the target.
            values: (B, T, C, h, w) of all frames; those of the last one are not used.

        Returns:
            (B, C, h, w) values of the target frame.
        """
        return attend(features[:, -1], features[:, :-1], values[:, :-1], self.temperature, window=self.window)

    def with_walk(self, out: dict[str, Tensor], features: Tensor) -> dict[str, Tensor]:
        """Adds the contrastive random walk's loss to the output of ``forward``, if it has a weight."""
        if not self.walk_weight:
            return out
        nodes = pooled_nodes(features.flatten(0, 1)).unflatten(0, features.shape[:2])  # (B, T, N, D)
        walk, returned = contrastive_random_walk(nodes, self.walk_temperature)
        return out | {"loss": out["loss"] + self.walk_weight * walk, "returned": returned}


class BinCopying(ColorCopying):
    """Color copying whose values are quantized colors.

    Attributes:
        centers: (K, 2) ab of the color bins.
    """

    centers: Tensor

    def set_centers(self, centers: Sequence[Sequence[float]] | None) -> None:
        """Sets the (K, 2) ab of the color bins; None: 16 clusters of everyday videos."""
        self.register_buffer("centers", torch.tensor(centers or CENTERS, dtype=torch.float32), persistent=False)

    def bin_loss(self, features: Tensor, lab: Tensor) -> dict[str, Tensor]:
        """Computes the cross-entropy of the copied color bins of the target frame (eq. 3).

        Args:
            features: (B, T, D, h, w) of all frames; the last one is the target.
            lab: (B, T, 3, H, W) colors of all frames.

        Returns:
            The scalar ``loss`` and the ``accuracy`` of the likeliest bins.
        """
        bins = nearest_center(ab_cells(lab, features).flatten(0, 1), self.centers).unflatten(0, lab.shape[:2])
        one_hot = F.one_hot(bins, len(self.centers)).permute(0, 1, 4, 2, 3).to(lab.dtype)  # (B, T, K, h, w)
        copied = self.copied(features, one_hot)
        loss = F.nll_loss(copied.clamp_min(1e-6).log(), bins[:, -1])
        return {"loss": loss, "accuracy": (copied.argmax(1) == bins[:, -1]).to(lab.dtype).mean()}


def ab_cells(lab: Tensor, features: Tensor) -> Tensor:
    """Returns the (B, T, 2, h, w) mean ab of the grid cells of (B, T, D, h, w) features, from (B, T, 3, H, W) Lab."""
    height, width = features.shape[-2:]
    cells = F.adaptive_avg_pool2d(lab[:, :, 1:].flatten(0, 1), (height, width))
    by_frame: Tensor = cells.unflatten(0, lab.shape[:2])
    return by_frame
