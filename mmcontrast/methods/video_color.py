"""Tracking emerges by colorizing videos: copy the colors of reference frames by attention.

Vondrick, Shrivastava, Fathi, Guadarrama, Murphy, ECCV 2018, https://arxiv.org/abs/1806.09594.
"""

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from mmcontrast.encoders.base import Encoder
from mmcontrast.methods.color_copying import BinCopying
from mmcontrast.ops.color import rgb_to_lab


class VideoColor(BinCopying):
    """Predicts the quantized colors of a gray frame as a mixture of the colors of other frames.

    Batch: ``clip`` (B, T, 3, H, W) float in [0, 1] RGB, of which the last frame is the target and the others are the
    references.

    Deviations: colors are means over grid cells, so that they match the features, where the paper resizes the frames;
    the paper's five 3-D convolutions on top of the trunk are left out.

    Args:
        encoder: The trunk; it sees the luma only, also after training.
        dim: Number of channels of the embedding; None keeps the trunk's own features.
        centers: (K, 2) ab of the color bins; None: 16 clusters of everyday videos.
        temperature: Temperature of the attention.
        l2_normalize: Whether features are compared by cosine instead of by product.
        radius: Radius in cells within which a target looks; None for everywhere.
        walk_weight: Weight of the contrastive random walk's loss (2006.14613) on the same features.
        walk_temperature: Temperature of that walk.
        trainable_layers: Number of the trunk's last layers that are trained; 0 freezes it, None trains all.
    """

    def __init__(
        self,
        encoder: Encoder,
        dim: int | None = 64,
        centers: Sequence[Sequence[float]] | None = None,
        temperature: float = 1.0,
        l2_normalize: bool = False,
        radius: float | None = None,
        walk_weight: float = 0.0,
        walk_temperature: float = 0.05,
        trainable_layers: int | None = None,
    ) -> None:
        super().__init__(
            encoder, dim, True, temperature, l2_normalize, radius, walk_weight, walk_temperature, trainable_layers
        )
        self.set_centers(centers)

    def forward(self, batch: dict[str, Any]) -> dict[str, Tensor]:
        """Computes the cross-entropy of the target's color bins (eq. 3), and logs the accuracy of the likeliest."""
        features = self.features(batch["clip"])  # (B, T, D, h, w)
        return self.with_walk(self.bin_loss(features, rgb_to_lab(batch["clip"])), features)
