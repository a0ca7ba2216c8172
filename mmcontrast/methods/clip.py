"""CLIP: match images with their captions.

Radford et al. 2021, https://arxiv.org/abs/2103.00020 (figure 3 is the algorithm box).
LiT: Zhai et al. 2022, https://arxiv.org/abs/2111.07991.  FLIP: Li et al. 2023, https://arxiv.org/abs/2212.00794.
"""

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from mmcontrast.encoders.base import Encoder, TextEncoder
from mmcontrast.encoders.heads import Head, projection
from mmcontrast.errors import InputError
from mmcontrast.losses.contrastive import clip_loss, mutual_information_bound
from mmcontrast.methods.base import Method
from mmcontrast.methods.grad_cache import embed_in_micro_batches
from mmcontrast.ops.distributed import world_size
from mmcontrast.ops.random import hash64
from mmcontrast.ops.sphere import l2_normalize


class CLIP(Method):
    """An image tower and a text tower that are trained to agree.

    Batch: ``image`` (B, 3, H, W) float in [0, 1]; ``tokens`` (B, L) int64 from ``tokenizer``.  The negatives are the
    samples of the batches of all ranks.

    Args:
        image_encoder: The image tower.
        text_encoder: The text tower.
        dim: Width of the joint space.
        image_head: Map from the image tower to the joint space: "linear", "mlp", or "none" for a tower that is ``dim``
            wide.
        text_head: Map from the text tower to the joint space, of the same kinds.
        temperature: Temperature at the start; it is learned.
        trainable_image_layers: Number of the image tower's last layers that are trained; 0 freezes it (LiT), None
            trains all.  A frozen or partly frozen tower stays in evaluation mode, batch norm included.
        trainable_text_layers: The same for the text tower.
        patch_dropout: Fraction of each image's patches left out in training (FLIP; vision transformers only).
        micro_batch: Number of pairs whose activations are held at a time; the loss still sees the whole batch
            (GradCache), at the price of a second forward pass.  A trained batch norm sees micro-batches.
        mask_repeats: Whether pairs with equal captions are left out of each other's negatives.

    Example:
        >>> import mmcontrast as mmc
        >>> clip = mmc.CLIP(mmc.TinyConv(), mmc.TinyText(), dim=8)
        >>> clip.embed_text(clip.tokenizer(["a photo of a cat", "a dog"])).shape
        torch.Size([2, 8])
    """

    batch_entries: ClassVar[dict[str, str]] = {
        "image": "data.train to ImageText, which reads images with captions",
        "tokens": "data.train to ImageText, which reads images with captions",
    }

    def __init__(
        self,
        image_encoder: Encoder,
        text_encoder: TextEncoder,
        dim: int = 512,
        image_head: Head = "linear",
        text_head: Head = "linear",
        temperature: float = 0.07,
        trainable_image_layers: int | None = None,
        trainable_text_layers: int | None = None,
        patch_dropout: float = 0.0,
        micro_batch: int | None = None,
        mask_repeats: bool = True,
    ) -> None:
        super().__init__()
        self.image_encoder, self.text_encoder = image_encoder, text_encoder
        self.tokenizer = text_encoder.tokenizer
        for head, tower in ((image_head, image_encoder), (text_head, text_encoder)):
            if head == "none" and tower.dim != dim:
                raise InputError(
                    f"{type(tower).__name__} is {tower.dim} wide, dim is {dim}: without a head they must agree"
                )
        self.image_head = projection(image_head, image_encoder.dim, dim)
        self.text_head = projection(text_head, text_encoder.dim, dim)
        self.dim, self.micro_batch, self.mask_repeats = dim, micro_batch, mask_repeats
        self.log_scale = nn.Parameter(torch.tensor(-math.log(temperature)))
        if trainable_image_layers is not None:
            image_encoder.freeze(trainable_image_layers)
        if trainable_text_layers is not None:
            text_encoder.freeze(trainable_text_layers)
        if patch_dropout:
            image_encoder.drop_patches(patch_dropout)

    @property
    def encoder(self) -> Encoder:  # type: ignore[override]
        """The image tower, for evaluations of images alone."""
        return self.image_encoder

    def embed_image(self, image: Tensor) -> Tensor:
        """Returns the (B, dim) unit vectors of images, (B, 3, H, W) float in [0, 1]."""
        return l2_normalize(self.image_head(self.image_encoder(image)))

    def embed_text(self, tokens: Tensor | str | Sequence[str]) -> Tensor:
        """Returns the (B, dim) unit vectors of captions: strings, or (B, L) int64 from ``tokenizer``."""
        if not isinstance(tokens, Tensor):
            texts = [tokens] if isinstance(tokens, str) else list(tokens)
            tokens = self.text_encoder.tokenizer(texts).to(self.log_scale.device)
        return l2_normalize(self.text_head(self.text_encoder(tokens)))

    def forward(self, batch: dict[str, Any]) -> dict[str, Tensor]:
        """Computes the symmetric cross-entropy, and logs the scale, the accuracy among 256 pairs, and log N - loss."""
        image, text = self.embed(batch["image"], batch["tokens"])  # (B, D) each
        scale = self.log_scale.exp()
        loss = clip_loss(image, text, scale, self.caption_ids(batch["tokens"]))
        bound = mutual_information_bound(loss.detach(), len(image) * world_size())
        accuracy = matching_accuracy(image, text)
        return {"loss": loss, "scale": scale.detach(), "accuracy": accuracy, "mutual_information": bound}

    def after_step(self, progress: float) -> None:
        """Keeps the scale at 100 or less (section 2.5)."""
        with torch.no_grad():
            self.log_scale.clamp_(max=math.log(100))

    def embed(self, image: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the (B, dim) unit vectors of images and of their captions, in micro-batches where asked for."""
        self.require_negatives(len(image))
        if self.micro_batch is None or len(image) <= self.micro_batch:
            return self._embed_pair(image, tokens)
        return embed_in_micro_batches(self._embed_pair, image, tokens, self.micro_batch, self)

    def caption_ids(self, tokens: Tensor) -> Tensor | None:
        """Returns (B,) int64 ids that mark equal captions, or None if repeats are not masked."""
        return caption_ids(tokens, self.text_encoder.tokenizer.pad) if self.mask_repeats else None

    def _embed_pair(self, image: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
        return self.embed_image(image), self.embed_text(tokens)


def caption_ids(tokens: Tensor, pad: int) -> Tensor:
    """Hashes captions.

    Args:
        tokens: (B, L) int64.
        pad: The id that fills short rows; it does not count.

    Returns:
        (B,) int64, equal for equal captions however far they are padded.
    """
    position = hash64(torch.arange(tokens.shape[1], device=tokens.device))
    return (hash64(tokens + position) * (tokens != pad)).sum(1)


@torch.no_grad()
def matching_accuracy(image: Tensor, text: Tensor, among: int = 256) -> Tensor:
    """Returns the fraction of this rank's first images whose nearest caption is their own.

    Args:
        image: (B, D) unit vectors of images.
        text: (B, D) unit vectors of their captions.
        among: Number of pairs to look at.
    """
    nearest = (image[:among] @ text[:among].T).argmax(1)  # (b,)
    return (nearest == torch.arange(len(nearest), device=image.device)).float().mean()
