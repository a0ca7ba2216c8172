"""SigLIP: tell for each pair of an image and a caption whether they belong together.

Zhai et al., ICCV 2023, https://arxiv.org/abs/2303.15343 (algorithm 1).
"""

from typing import Any

import torch
from torch import Tensor, nn

from mmcontrast.encoders.base import Encoder, TextEncoder
from mmcontrast.encoders.heads import Head
from mmcontrast.losses.contrastive import siglip_loss
from mmcontrast.methods.clip import CLIP, matching_accuracy


class SigLIP(CLIP):
    """CLIP's towers under a sigmoid loss, with a learned bias.

    The batch is that of ``CLIP``.

    Args:
        image_encoder: The image tower.
        text_encoder: The text tower.
        dim: Width of the joint space.
        image_head: Map from the image tower to the joint space, see ``CLIP``.
        text_head: Map from the text tower to the joint space.
        temperature: Temperature at the start; it is learned.
        bias: Bias of the logits at the start (section 3.2); it is learned.
        trainable_image_layers: Number of the image tower's last layers that are trained; 0 freezes it, None trains all.
        trainable_text_layers: The same for the text tower.
        patch_dropout: Fraction of each image's patches left out in training.
        micro_batch: Number of pairs whose activations are held at a time, see ``CLIP``.
        mask_repeats: Whether pairs with equal captions are left out of each other's negatives.
    """

    def __init__(
        self,
        image_encoder: Encoder,
        text_encoder: TextEncoder,
        dim: int = 512,
        image_head: Head = "linear",
        text_head: Head = "linear",
        temperature: float = 0.1,
        bias: float = -10.0,
        trainable_image_layers: int | None = None,
        trainable_text_layers: int | None = None,
        patch_dropout: float = 0.0,
        micro_batch: int | None = None,
        mask_repeats: bool = True,
    ) -> None:
        super().__init__(
            image_encoder,
            text_encoder,
            dim,
            image_head,
            text_head,
            temperature,
            trainable_image_layers,
            trainable_text_layers,
            patch_dropout,
            micro_batch,
            mask_repeats,
        )
        self.bias = nn.Parameter(torch.tensor(bias))

    def forward(self, batch: dict[str, Any]) -> dict[str, Tensor]:
        """Computes the loss of all pairs, and logs the scale and the accuracy among 256 pairs."""
        image, text = self.embed(batch["image"], batch["tokens"])  # (B, D) each
        scale = self.log_scale.exp()
        loss = siglip_loss(image, text, scale, self.bias, self.caption_ids(batch["tokens"]))
        return {"loss": loss, "scale": scale.detach(), "accuracy": matching_accuracy(image, text)}

    def after_step(self, progress: float) -> None:
        """Leaves the scale alone: a sigmoid saturates pair by pair, and published models go beyond CLIP's 100."""
