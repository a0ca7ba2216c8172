"""MAST: a memory-augmented self-supervised tracker learns to restore a hidden color channel.

Lai, Lu, Xie, CVPR 2020, https://arxiv.org/abs/2002.07793.
"""

from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from mmcontrast.encoders.base import Encoder
from mmcontrast.methods.color_copying import ColorCopying, ab_cells
from mmcontrast.ops.color import lab_to_rgb, rgb_to_lab
from mmcontrast.ops.random import uniform


class MAST(ColorCopying):
    """Regresses a or b, hidden from the network, from reference frames within a window.

    Batch: ``clip`` (B, T, 3, H, W) float in [0, 1] RGB, of which the last frame is the target and the others are the
    references; ``sample_key`` (B,) int64, the key of the hidden channel.

    Deviations: colors are means over grid cells, where the paper samples them; the network sees Lab without the hidden
    channel as RGB, so that any network serves.

    Args:
        encoder: The trunk.
        dim: Number of channels of the embedding; None keeps the trunk's own features.
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

    def forward(self, batch: dict[str, Any]) -> dict[str, Tensor]:
        """Computes the smooth L1 loss of the hidden channel (eq. 5), and logs the mean error in units of Lab."""
        lab = rgb_to_lab(batch["clip"])  # (B, T, 3, H, W)
        visible, weight = self.hide(lab, batch["sample_key"])
        features = self.features(visible)  # (B, T, D, h, w)
        ab = ab_cells(lab, features) / 100  # (B, T, 2, h, w) in about [-1, 1]
        error = self.copied(features, ab) - ab[:, -1]
        loss = (F.smooth_l1_loss(20 * error, torch.zeros_like(error), reduction="none") * weight).mean()
        return self.with_walk({"loss": loss, "error": 100 * error.detach().abs().mean()}, features)

    def hide(self, lab: Tensor, sample_key: Tensor) -> tuple[Tensor, Tensor]:
        """Sets a or b of each clip to 0, at random.

        Args:
            lab: (B, T, 3, H, W) Lab.
            sample_key: (B,) int64, the keys of the random draws.

        Returns:
            The clips in (B, T, 3, H, W) RGB, and (B, 2, 1, 1) weights of a and b in the loss: 2 if hidden, else 0.
        """
        draw = uniform(sample_key, 1, self.random_stream)[:, 0]  # (B,)
        hidden = F.one_hot((2 * draw).long(), 2).to(lab.dtype)  # (B, 2)
        visible = 1 - F.pad(hidden, (1, 0))  # (B, 3); the lightness is always visible
        return lab_to_rgb(lab * visible[:, None, :, None, None]), 2 * hidden[..., None, None]
