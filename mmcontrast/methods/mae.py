"""Masked autoencoder: encode a quarter of an image's patches, and reconstruct the rest.

He, Chen, Xie, Li, Dollar, Girshick, CVPR 2022, https://arxiv.org/abs/2111.06377.
"""

from functools import partial
from typing import Any, ClassVar

import torch
from timm.models.vision_transformer import Block
from torch import Tensor, nn

from mmcontrast.encoders.base import Encoder
from mmcontrast.encoders.vit import encode_tokens, require_tokens
from mmcontrast.errors import InputError
from mmcontrast.losses.reconstruct import masked_patches, patch_statistics
from mmcontrast.methods.base import Method
from mmcontrast.ops.patches import patchify, random_mask, sincos_positions, unpatchify


class MAE(Method):
    """An encoder of the visible patches, and a decoder that reconstructs the hidden ones.

    Batch: ``image`` (B, 3, H, W) float in [0, 1], a whole number of patches a side; ``sample_key`` (B,) int64, the key
    of the masks.

    Args:
        encoder: A vision transformer; the paper's has fixed positions, ``ViT(positions="sincos")``.
        decoder_dim: Width of the decoder.
        decoder_depth: Number of the decoder's blocks.
        decoder_heads: Number of attention heads in each of them.
        mask_ratio: Fraction of hidden patches.
        normalize: Whether each patch is reconstructed in units of its own mean and deviation.

    Raises:
        InputError: The encoder is no vision transformer, or ``mask_ratio`` is not between 0 and 1.
    """

    random_stream = 2004
    batch_entries: ClassVar[dict[str, str]] = {
        "image": "data.train to a dataset of images, such as Images",
        "sample_key": "data.train to a dataset with keys, such as Images",
    }

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
            raise InputError(f"mask_ratio is {mask_ratio}; wanted a fraction between 0 and 1, such as 0.75")
        self.vit = require_tokens(encoder, "MAE")
        self.mask_ratio, self.normalize = mask_ratio, normalize
        self.decoder = PatchDecoder(encoder.dim, 3 * encoder.stride**2, decoder_dim, decoder_depth, decoder_heads)

    @property
    def encoder(self) -> Encoder:  # type: ignore[override]
        """The encoder; outside of training it sees all patches."""
        return self.vit

    def forward(self, batch: dict[str, Any]) -> dict[str, Tensor]:
        """Computes the mean squared error on hidden patches."""
        image = batch["image"]
        prediction, hidden = self._predict(image, batch["sample_key"], self.mask_ratio)  # (B, N, P) and (B, N)
        target = patchify(self.vit.normalize(image), self.vit.stride)  # (B, N, P)
        return {"loss": masked_patches(prediction, target, hidden, self.normalize)}

    @torch.no_grad()
    def reconstruct(
        self, image: Tensor, sample_key: Tensor | None = None, mask_ratio: float | None = None
    ) -> tuple[Tensor, Tensor]:
        """Returns images as the encoder sees them, and as the decoder reconstructs them.

        Args:
            image: (B, 3, H, W) in [0, 1].
            sample_key: (B,) int64, the keys of the masks; None: 0 to B - 1.
            mask_ratio: Fraction of hidden patches; None: that of training.

        Returns:
            (B, 3, H, W) in [0, 1] twice: the image with hidden patches in gray, and with them reconstructed.  With
            ``normalize`` each reconstructed patch gets the true one's mean and deviation, as in the paper's figures.
        """
        if sample_key is None:
            sample_key = torch.arange(len(image), device=image.device)
        side, size = self.vit.stride, image.shape[2:]
        ratio = self.mask_ratio if mask_ratio is None else mask_ratio
        prediction, hidden = self._predict(image, sample_key, ratio)
        if self.normalize:
            mean, deviation = patch_statistics(patchify(self.vit.normalize(image), side))
            prediction = prediction * deviation + mean
        predicted = unpatchify(prediction, side, *size) * self.vit.std + self.vit.mean  # (B, 3, H, W)
        is_hidden = unpatchify(hidden[..., None].expand_as(prediction), side, *size)  # (B, 3, H, W)
        return torch.where(is_hidden, 0.5, image), torch.where(is_hidden, predicted.clamp(0, 1), image)

    @torch.no_grad()
    def images(self, image: Tensor, sample_key: Tensor) -> dict[str, Tensor]:
        """Returns images as they are, as the encoder sees them, and as they are reconstructed."""
        masked, whole = self.reconstruct(image, sample_key)
        return {"photograph": image, "seen": masked, "painted": whole}

    def _predict(self, image: Tensor, sample_key: Tensor, mask_ratio: float) -> tuple[Tensor, Tensor]:
        """Returns the (B, N, P) patches that the decoder predicts, and (B, N) bool, which of them were hidden."""
        height, width = (side // self.vit.stride for side in image.shape[2:])
        visible, hidden = random_mask(sample_key, height * width, mask_ratio, self.random_stream)
        prefix, patches = encode_tokens(self.vit, image, keep=visible)
        return self.decoder(prefix, patches, visible, height, width), hidden


class PatchDecoder(nn.Module):
    """A transformer that predicts all patches of an image from the tokens of the visible ones.

    Args:
        encoder_dim: Width of the encoder's tokens.
        values: Number of values of a patch.
        dim: Width of the decoder.
        depth: Number of blocks.
        heads: Number of attention heads of a block.
    """

    def __init__(self, encoder_dim: int, values: int, dim: int, depth: int, heads: int) -> None:
        super().__init__()
        self.embed = nn.Linear(encoder_dim, dim)
        self.mask_token = nn.Parameter(torch.empty(dim).normal_(std=0.02))
        norm: Any = partial(nn.LayerNorm, eps=1e-6)
        self.blocks = nn.Sequential(*(Block(dim, heads, qkv_bias=True, norm_layer=norm) for _ in range(depth)))
        self.norm, self.predict = norm(dim), nn.Linear(dim, values)
        for layer in self.modules():
            if isinstance(layer, nn.Linear):
                nn.init.xavier_uniform_(layer.weight)
                nn.init.zeros_(layer.bias)

    def forward(self, prefix: Tensor, patches: Tensor, visible: Tensor, height: int, width: int) -> Tensor:
        """Decodes the tokens of an encoder.

        Args:
            prefix: (B, P, D) class token and registers.
            patches: (B, n, D) tokens of the visible patches.
            visible: (B, n) int64, their indices among all patches.
            height: Number of rows of patches.
            width: Number of columns of patches.

        Returns:
            (B, height * width, values), all patches.
        """
        prefix, patches = self.embed(prefix), self.embed(patches)
        tokens = self.mask_token.to(patches.dtype).expand(len(patches), height * width, -1)
        tokens = tokens.scatter(1, visible[..., None].expand_as(patches), patches)
        tokens = tokens + sincos_positions(height, width, tokens.shape[2]).to(tokens)
        decoded: Tensor = self.predict(self.norm(self.blocks(torch.cat([prefix, tokens], 1))))
        return decoded[:, prefix.shape[1] :]
