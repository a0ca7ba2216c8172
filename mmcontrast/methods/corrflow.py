"""CorrFlow: video colorization in which the network sees colors, but not all channels.

Lai, Xie, BMVC 2019, https://arxiv.org/abs/1905.00875.
"""

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from mmcontrast.encoders.base import Encoder
from mmcontrast.methods.color_copying import BinCopying, ColorCopying
from mmcontrast.ops.color import rgb_to_lab
from mmcontrast.ops.random import uniform


class CorrFlow(BinCopying):
    """Copies quantized colors within a window, with one of R, G and B hidden from the network.

    Batch: ``clip`` (B, T, 3, H, W) float in [0, 1] RGB, of which the last frame is the target and the others are the
    references; ``sample_key`` (B,) int64, the key of the hidden channel.

    Deviations: the references are true frames, without the paper's scheduled sampling of predicted ones; the paper's
    cycle over a long range is the contrastive random walk's, with ``walk_weight``.

    Args:
        encoder: The trunk.
        dim: Number of channels of the embedding; None keeps the trunk's own features.
        centers: (K, 2) ab of the color bins; None: 16 clusters of everyday videos.
        temperature: Temperature of the attention.
        l2_normalize: Whether features are compared by cosine instead of by product.
        radius: Radius in cells within which a target looks; None for everywhere.
        walk_weight: Weight of the contrastive random walk's loss (2006.14613) on the same features.
        walk_temperature: Temperature of that walk.
        trainable_layers: Number of the trunk's last layers that are trained; 0 freezes it, None trains all.
    """

    random_stream = 31
    batch_entries: ClassVar[dict[str, str]] = {**ColorCopying.batch_entries, "sample_key": "data.train to Clips"}

    def __init__(
        self,
        encoder: Encoder,
        dim: int | None = 64,
        centers: Sequence[Sequence[float]] | None = None,
        temperature: float = 1.0,
        l2_normalize: bool = False,
        radius: float | None = 6.0,
        walk_weight: float = 0.0,
        walk_temperature: float = 0.05,
        trainable_layers: int | None = None,
    ) -> None:
        super().__init__(
            encoder, dim, False, temperature, l2_normalize, radius, walk_weight, walk_temperature, trainable_layers
        )
        self.set_centers(centers)

    def forward(self, batch: dict[str, Any]) -> dict[str, Tensor]:
        """Computes the cross-entropy of the target's color bins, and logs the accuracy of the likeliest."""
        features = self.features(self.hide(batch["clip"], batch["sample_key"]))  # (B, T, D, h, w)
        return self.with_walk(self.bin_loss(features, rgb_to_lab(batch["clip"])), features)

    def hide(self, clip: Tensor, sample_key: Tensor) -> Tensor:
        """Sets one random channel of each clip to 0 (section 3.1).

        Args:
            clip: (B, T, 3, H, W) RGB in [0, 1].
            sample_key: (B,) int64, the keys of the random draws.

        Returns:
            (B, T, 3, H, W).
        """
        hidden = (3 * uniform(sample_key, 1, self.random_stream)).long()  # (B, 1)
        visible = (torch.arange(3, device=clip.device) != hidden).to(clip.dtype)  # (B, 3)
        return clip * visible[:, None, :, None, None]
