"""Masked autoencoder: see a quarter of an image's patches, make up the rest.

He, Chen, Xie, Li, Dollar, Girshick, CVPR 2022.  https://arxiv.org/abs/2111.06377
"""

from typing import Any

import torch
from timm.models.vision_transformer import Block
from torch import Tensor, nn

from mmcontrast.encoders.base import Encoder
from mmcontrast.encoders.vit import encode_tokens, require_tokens
from mmcontrast.errors import InputError
from mmcontrast.losses.reconstruct import masked_patches, patch_statistics
from mmcontrast.methods.base import Method
from mmcontrast.ops.patches import patchify, random_mask, sincos_positions, unpatchify

_MASKS = 2004  # stream of random numbers


class MAE(Method):
    """Encodes a quarter of the patches and paints the rest.

    Batch: ``image`` (B, 3, H, W) float in [0, 1], whole patches; ``sample_key`` (B,) int64.

    Args:
        encoder: a vision transformer; the paper's has fixed positions, ``ViT(positions="sincos")``.
        decoder_dim, decoder_depth, decoder_heads: of the transformer that paints.
        mask_ratio: share of hidden patches.
        normalize: paint each patch in units of its own mean and deviation.
    """

    def __init__(
        self,
        encoder: Encoder,
        decoder_dim: int = 512,
        decoder_depth: int = 8,
        decoder_heads: int = 16,
        mask_ratio: float = 0.75,
        normalize: bool = True,
    ) -> None:
        super().__init__()
        if not 0 < mask_ratio < 1:
            raise InputError(f"mask_ratio is {mask_ratio}; wanted a share between 0 and 1, such as 0.75")
        self.vit = require_tokens(encoder, "MAE")
        self.mask_ratio, self.normalize, self.decoder_dim = mask_ratio, normalize, decoder_dim
        self.embed = nn.Linear(encoder.dim, decoder_dim)
        self.mask_token = nn.Parameter(torch.empty(decoder_dim).normal_(std=0.02))
        blocks = [Block(decoder_dim, decoder_heads, qkv_bias=True) for _ in range(decoder_depth)]
        self.decoder = nn.Sequential(*blocks, nn.LayerNorm(decoder_dim), nn.Linear(decoder_dim, 3 * encoder.stride**2))
        for layer in [self.embed, *self.decoder.modules()]:
            if isinstance(layer, nn.Linear):
                nn.init.xavier_uniform_(layer.weight)
                nn.init.zeros_(layer.bias)

    @property
    def encoder(self) -> Encoder:  # type: ignore[override]
        """The encoder; nothing is hidden from it outside of training."""
        return self.vit

    def forward(self, batch: dict[str, Any]) -> dict[str, Tensor]:
        """One batch -> mean squared error on hidden patches."""
        patches = patchify(batch["image"], self.vit.stride)  # (B, N, P)
        painted, hidden = self._paint(batch["image"], batch["sample_key"], self.mask_ratio)
        return {"loss": masked_patches(painted, patches, hidden, self.normalize)}

    @torch.no_grad()
    def reconstruct(
        self, image: Tensor, key: Tensor | None = None, mask_ratio: float | None = None
    ) -> tuple[Tensor, Tensor]:
        """What the encoder sees and what the decoder makes of it.

        Args:
            image: (B, 3, H, W) in [0, 1].
            key: (B,) int64, of the masks; None: 0 to B - 1.
            mask_ratio: share of hidden patches; None: that of training.
        Returns:
            (B, 3, H, W) in [0, 1] twice: the image with hidden patches in gray, and with them painted.  With
            ``normalize`` each painted patch gets the true one's mean and deviation, as in the paper's figures.
        """
        if key is None:
            key = torch.arange(len(image), device=image.device)
        patches = patchify(image, self.vit.stride)
        painted, hidden = self._paint(image, key, self.mask_ratio if mask_ratio is None else mask_ratio)
        if self.normalize:
            mean, deviation = patch_statistics(patches)
            painted = painted * deviation + mean
        shown = [torch.where(hidden[..., None], fill, patches) for fill in (patches.new_tensor(0.5), painted)]
        seen, whole = (unpatchify(p, self.vit.stride, *image.shape[2:]).clamp(0, 1) for p in shown)
        return seen, whole

    @torch.no_grad()
    def images(self, image: Tensor, sample_key: Tensor) -> dict[str, Tensor]:
        """Images as the encoder sees them, and as they are painted."""
        seen, painted = self.reconstruct(image, sample_key)
        return {"photograph": image, "seen": seen, "painted": painted}

    def _paint(self, image: Tensor, sample_key: Tensor, mask_ratio: float) -> tuple[Tensor, Tensor]:
        """(B, N, P) painted patches, and (B, N) bool which of them were hidden."""
        height, width = (side // self.vit.stride for side in image.shape[2:])
        keep, hidden = random_mask(sample_key, height * width, mask_ratio, _MASKS)
        prefix, visible = encode_tokens(self.vit, image, keep=keep)
        prefix, visible = self.embed(prefix), self.embed(visible)
        tokens = self.mask_token.to(visible.dtype).expand(*hidden.shape, -1)  # (B, N, decoder_dim)
        tokens = tokens.scatter(1, keep[..., None].expand_as(visible), visible)
        tokens = tokens + sincos_positions(height, width, self.decoder_dim).to(tokens)
        painted = self.decoder(torch.cat([prefix, tokens], 1))
        return painted[:, prefix.shape[1] :], hidden
