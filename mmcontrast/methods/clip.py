"""CLIP and its kin: match images with their captions.

CLIP: Radford et al. 2021, https://arxiv.org/abs/2103.00020 (figure 3 is the algorithm box).
SigLIP: Zhai et al. 2023, https://arxiv.org/abs/2303.15343.  LiT: Zhai et al. 2022, https://arxiv.org/abs/2111.07991.
FLIP: Li et al. 2023, https://arxiv.org/abs/2212.00794.  GradCache: Gao et al. 2021, https://arxiv.org/abs/2101.06983.
"""

import copy
import math
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, Literal, Self

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

from mmcontrast.encoders.base import Encoder, TextEncoder, Tower
from mmcontrast.encoders.heads import Head, projection
from mmcontrast.errors import InputError
from mmcontrast.losses.contrastive import clip_loss, mutual_information_bound, siglip_loss
from mmcontrast.methods.base import Method
from mmcontrast.ops.distributed import world_size
from mmcontrast.ops.random import hash64
from mmcontrast.ops.sphere import l2_normalize


class CLIP(Method):
    """An image tower and a text tower trained to agree.

    Batch: ``image`` (B, 3, H, W) float in [0, 1]; ``tokens`` (B, L) int64 from ``tokenizer``.  The negatives are those
    of the batches of all ranks.

    Args:
        image_encoder, text_encoder: the towers.
        dim: width of the joint space.
        objective: "softmax" (CLIP) or "sigmoid" (SigLIP).
        image_head, text_head: from each tower to the joint space: "linear", "mlp", or "none" for a tower that is
            ``dim`` wide.
        temperature: at the start; None: the paper's, 0.07 for softmax and 0.1 for sigmoid.
        lock_image, lock_text: freeze the tower (LiT): no gradients, always in evaluation mode, batch norm included.
        unlock_image_layers, unlock_text_layers: train the last so many layers of a locked tower all the same; it stays
            in evaluation mode.
        patch_dropout: share of each image's patches left out while training (FLIP; vision transformers only).
        micro_batch: pairs whose activations are held at a time; the loss still sees the whole batch (GradCache), at the
            price of a second forward pass.  Batch norm, if trained, sees micro-batches.
        mask_repeats: pairs with equal captions are not each other's negatives.
    """

    def __init__(
        self,
        image_encoder: Encoder,
        text_encoder: TextEncoder,
        dim: int = 512,
        objective: Literal["softmax", "sigmoid"] = "softmax",
        image_head: Head = "linear",
        text_head: Head = "linear",
        temperature: float | None = None,
        lock_image: bool = False,
        unlock_image_layers: int = 0,
        lock_text: bool = False,
        unlock_text_layers: int = 0,
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
        self.dim, self.objective, self.micro_batch, self.mask_repeats = dim, objective, micro_batch, mask_repeats
        sigmoid = objective == "sigmoid"
        self.log_scale = nn.Parameter(torch.tensor(-math.log(temperature or (0.1 if sigmoid else 0.07))))
        self.bias = nn.Parameter(torch.tensor(-10.0)) if sigmoid else None  # SigLIP, section 3.2
        self._locked: list[Tower] = []
        if lock_image:
            self._lock(image_encoder, unlock_image_layers)
        if lock_text:
            self._lock(text_encoder, unlock_text_layers)
        if patch_dropout:
            image_encoder.drop_patches(patch_dropout)

    @property
    def encoder(self) -> Encoder:  # type: ignore[override]
        """The image tower: what evaluations of images alone use."""
        return self.image_encoder

    def embed_image(self, image: Tensor) -> Tensor:
        """(B, 3, H, W) float in [0, 1] -> (B, dim) unit vectors."""
        return l2_normalize(self.image_head(self.image_encoder(image)))

    def embed_text(self, tokens: Tensor) -> Tensor:
        """(B, L) int64 -> (B, dim) unit vectors."""
        return l2_normalize(self.text_head(self.text_encoder(tokens)))

    def forward(self, batch: dict[str, Any]) -> dict[str, Tensor]:
        """One batch -> loss, scale, accuracy among 256 pairs, and the softmax's bound on mutual information (nats)."""
        tokens = batch["tokens"]
        image, text = self._embed(batch["image"], tokens)  # (B, D) each
        scale = self.log_scale.exp()
        ids = caption_ids(tokens, self.text_encoder.tokenizer.pad) if self.mask_repeats else None
        scalars = {"scale": scale.detach(), "accuracy": _accuracy(image, text)}
        if self.bias is not None:
            return {"loss": siglip_loss(image, text, scale, self.bias, ids), **scalars}
        loss = clip_loss(image, text, scale, ids)
        bound = mutual_information_bound(loss.detach(), len(image) * world_size())
        return {"loss": loss, **scalars, "mutual_information": bound}

    def after_step(self, progress: float) -> None:
        """Keep the scale at 100 or less (CLIP, section 2.5)."""
        with torch.no_grad():
            self.log_scale.clamp_(max=math.log(100))

    def train(self, mode: bool = True) -> Self:
        """Training mode for all but the locked towers."""
        super().train(mode)
        for tower in self._locked:
            tower.eval()
        return self

    def _lock(self, tower: Tower, unlocked_layers: int) -> None:
        tower.lock(unlocked_layers)
        self._locked.append(tower.eval())

    def _embed(self, image: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Both towers, holding the activations of one micro-batch at a time.

        Checkpointing is GradCache: embeddings first, one loss over them all, then each micro-batch anew with the random
        state of its first pass, under its embeddings' gradients.
        """

        def embed(image: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
            return self.embed_image(image), self.embed_text(tokens)

        if self.micro_batch is None or len(image) <= self.micro_batch:
            return embed(image, tokens)
        contexts = lambda: (nullcontext(), _statistics_frozen(self))
        parts = zip(image.split(self.micro_batch), tokens.split(self.micro_batch), strict=True)
        pairs = [checkpoint(embed, *part, use_reentrant=False, context_fn=contexts) for part in parts]
        images, texts = zip(*pairs, strict=True)
        return torch.cat(images), torch.cat(texts)

    @classmethod
    def from_open_clip(cls, arch: str, pretrained: str | Path, **options: Any) -> Self:
        """An open_clip checkpoint.

        Args:
            arch: a name of ``open_clip.list_models()``, or a folder with open_clip_config.json.
            pretrained: a tag of ``open_clip.list_pretrained()`` or a checkpoint file.
            **options: of the constructor, such as ``lock_image``.
        Raises:
            InputError: no such architecture or no such checkpoint; nothing is ever left at random.
        """
        from mmcontrast.encoders.openclip import read_checkpoint

        image, text, scalars = read_checkpoint(arch, pretrained)
        return cls._of_towers(image, text, image.dim, scalars, {"image_head": "none", "text_head": "none", **options})

    @classmethod
    def from_hf(cls, name: str | Path, **options: Any) -> Self:
        """A CLIP or SigLIP checkpoint in the format of transformers.

        Args:
            name: model id or folder.
            **options: of the constructor, such as ``lock_image``.
        Raises:
            InputError: no such checkpoint, or of another kind of model.
        """
        from mmcontrast.encoders.hf import read_checkpoint

        image, text, projections, scalars = read_checkpoint(name)
        heads = "linear" if projections else "none"
        dim = len(projections["image_head.weight"]) if projections else image.dim
        clip = cls._of_towers(image, text, dim, scalars, {"image_head": heads, "text_head": heads, **options})
        clip.load_state_dict(projections, strict=False)
        return clip

    @classmethod
    def _of_towers(
        cls, image: Encoder, text: TextEncoder, dim: int, scalars: dict[str, Tensor], options: dict[str, Any]
    ) -> Self:
        objective = "sigmoid" if "bias" in scalars else "softmax"
        clip = cls(image, text, dim=dim, **{"objective": objective, **options})
        clip.load_state_dict({k: v.reshape(()) for k, v in scalars.items()}, strict=False)
        return clip.eval()


def caption_ids(tokens: Tensor, pad: int) -> Tensor:
    """(B, L) int64 -> (B,) int64, equal for equal captions however far they are padded."""
    position = hash64(torch.arange(tokens.shape[1], device=tokens.device))
    return (hash64(tokens + position) * (tokens != pad)).sum(1)


def wise_ft(zero_shot: CLIP, fine_tuned: CLIP, alpha: float) -> CLIP:
    """WiSE-FT (2109.01903, eq. 1): weights (1 - alpha) zero_shot + alpha fine_tuned, robust and accurate at once."""
    mixed, other = copy.deepcopy(zero_shot), fine_tuned.state_dict()
    state = {k: torch.lerp(v, other[k], alpha) if v.is_floating_point() else v for k, v in mixed.state_dict().items()}
    mixed.load_state_dict(state)
    return mixed


@torch.no_grad()
def _accuracy(image: Tensor, text: Tensor, among: int = 256) -> Tensor:
    """Share of this rank's first images whose own caption is the nearest of theirs."""
    nearest = (image[:among] @ text[:among].T).argmax(1)  # (b,)
    return (nearest == torch.arange(len(nearest), device=image.device)).float().mean()


@contextmanager
def _statistics_frozen(module: nn.Module) -> Iterator[None]:
    """The second pass of a checkpoint must not count a batch twice in the running statistics."""
    norms = [m for m in module.modules() if isinstance(m, _BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    counts = [
        (n.num_batches_tracked, n.num_batches_tracked.clone()) for n in norms if n.num_batches_tracked is not None
    ]
    for norm in norms:
        norm.momentum = 0.0
    try:
        yield
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
        for count, before in counts:
            count.copy_(before)
