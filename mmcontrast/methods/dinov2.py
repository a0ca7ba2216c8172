"""DINOv2: DINO on whole images, iBOT on hidden patches, and KoLeo to spread the features.

Oquab et al. 2023, https://arxiv.org/abs/2304.07193 (section 4).  iBOT: Zhou et al. 2022, https://arxiv.org/abs/2111.07832.
"""

from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from mmcontrast.encoders.base import Encoder
from mmcontrast.encoders.heads import PrototypeHead
from mmcontrast.encoders.vit import encode_tokens, require_tokens
from mmcontrast.losses.distill import dino_loss, ibot_loss, koleo
from mmcontrast.methods.dino import DINO, relative_entropy
from mmcontrast.ops.momentum import ema_copy
from mmcontrast.ops.patches import block_mask


class DINOv2(DINO):
    """DINO on whole crops, iBOT on hidden patches, and KoLeo on the features.

    Batch (``data.MultiCrop`` makes it): ``views``, two large (B, 3, S, S), then any number of small, in [0, 1];
    ``sample_key`` (B,) int64, the key of the masks.

    Two deviations: masks are drawn per image, not for a fixed half of each batch; KoLeo finds the nearest neighbors
    among the samples of all ranks.

    Args:
        encoder: The student, a vision transformer (``ViT``, or ``TimmEncoder`` with a vit_* name).
        prototypes: K, the width of the output of both heads, that of class tokens and that of patches.
        hidden: Width of the heads' hidden layers.
        bottleneck: Width before the last layers.
        centering: What keeps the teacher from collapse, see ``DINO``.
        mask_ratio: Smallest and largest fraction of hidden patches in an image.
        mask_probability: Probability that an image has hidden patches.
        patch_weight: Weight of iBOT's loss.
        koleo_weight: Weight of KoLeo.
        student_temperature: Temperature of the student.
        teacher_temperature: Temperature of the teacher at the start, and after ``temperature_warmup``.
        temperature_warmup: Fraction of the run in which that temperature rises.
        momentum: Momentum of the teacher at the start; it rises to 1 along a cosine.
        center_momentum: Momentum of the centers.
        frozen_last_layer: Fraction of the run in which the last layers are frozen.
    """

    patch_center: Tensor
    random_stream = 2002  # and 2003, one stream for each large view
    batch_entries: ClassVar[dict[str, str]] = {
        "views": "data.augment to MultiCrop",
        "sample_key": "data.train to a dataset with keys, such as Images",
    }

    def __init__(
        self,
        encoder: Encoder,
        prototypes: int = 65536,
        hidden: int = 2048,
        bottleneck: int = 256,
        centering: Literal["sinkhorn", "softmax"] = "sinkhorn",
        mask_ratio: tuple[float, float] = (0.1, 0.5),
        mask_probability: float = 0.5,
        patch_weight: float = 1.0,
        koleo_weight: float = 0.1,
        student_temperature: float = 0.1,
        teacher_temperature: tuple[float, float] = (0.04, 0.07),
        temperature_warmup: float = 0.3,
        momentum: float = 0.992,
        center_momentum: float = 0.9,
        frozen_last_layer: float = 0.01,
    ) -> None:
        super().__init__(
            require_tokens(encoder, "DINOv2"),
            prototypes,
            hidden,
            bottleneck,
            centering=centering,
            student_temperature=student_temperature,
            teacher_temperature=teacher_temperature,
            temperature_warmup=temperature_warmup,
            momentum=momentum,
            center_momentum=center_momentum,
            frozen_last_layer=frozen_last_layer,
        )
        self.mask_ratio, self.mask_probability = mask_ratio, mask_probability
        self.patch_weight, self.koleo_weight = patch_weight, koleo_weight
        self.patch_head = PrototypeHead(encoder.dim, prototypes, hidden, bottleneck)
        self.teacher_patch_head = ema_copy(self.patch_head)
        self.mask_token = nn.Parameter(torch.zeros(encoder.dim))
        self.register_buffer("patch_center", torch.zeros(prototypes))

    def forward(self, batch: dict[str, Any]) -> dict[str, Tensor]:
        """Computes the weighted sum of DINO, iBOT and KoLeo; in training the centers move.

        Args:
            batch: See the class.

        Returns:
            The scalar ``loss``, its terms ``dino``, ``ibot`` and ``koleo``, and the ``teacher_entropy`` in [0, 1].
        """
        views = batch["views"]
        large, small = torch.cat(views[:2]), views[2:]
        hidden = self._masks(large, batch["sample_key"])  # (2B, N)
        index = hidden.flatten().nonzero()[:, 0]  # (M,) of the hidden patches
        class_targets, patch_targets = self._teacher_targets(large, index)  # (2, B, K) and (M, K)

        tokens, patches = encode_tokens(self.student, large, hidden=hidden, mask_token=self.mask_token)  # type: ignore[arg-type]
        features = tokens[:, 0]  # (2B, D)
        all_features = torch.cat([features, self.student(torch.cat(small))]) if small else features  # (V B, D)
        class_logits = self.head(all_features).unflatten(0, (len(views), -1))  # (V, B, K)
        patch_logits = self.patch_head(patches.flatten(0, 1)[index])  # (M, K)

        dino = dino_loss(class_logits, class_targets, self.student_temperature)
        weight = (1 / hidden.sum(1, keepdim=True).clamp(min=1)).expand_as(hidden).flatten()[index]  # (M,)
        ibot = ibot_loss(patch_logits, patch_targets, weight.to(features), len(large), self.student_temperature)
        koleo_term = features.new_zeros(())
        if self.koleo_weight:
            koleo_term = torch.stack([koleo(view) for view in features.chunk(2)]).sum()
        loss = dino + self.patch_weight * ibot + self.koleo_weight * koleo_term
        terms = {"dino": dino.detach(), "ibot": ibot.detach(), "koleo": koleo_term.detach()}
        return {"loss": loss, **terms, "teacher_entropy": relative_entropy(class_targets)}

    def trained_heads(self) -> list[PrototypeHead]:
        """Returns the heads of the student, for class tokens and for patches."""
        return [self.head, self.patch_head]

    def teacher_heads(self) -> list[PrototypeHead]:
        """Returns the heads of the teacher, in the order of ``trained_heads``."""
        return [self.teacher_head, self.teacher_patch_head]

    def _masks(self, large: Tensor, sample_key: Tensor) -> Tensor:
        """Returns (2B, N) bool, the hidden patches of the large views."""
        height, width = (-(-side // self.student.stride) for side in large.shape[2:])
        ratio, probability, stream = self.mask_ratio, self.mask_probability, self.random_stream
        masks = [block_mask(sample_key, height, width, stream + view, ratio, probability) for view in (0, 1)]
        return torch.cat(masks)

    def _teacher_targets(self, large: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the teacher's (2, B, K) probabilities for whole views and (M, K) for the hidden patches."""
        with torch.no_grad():
            tokens, patches = encode_tokens(self.teacher, large)  # type: ignore[arg-type]
            class_logits = self.teacher_head(tokens[:, 0])  # (2B, K)
            patch_logits = self.teacher_patch_head(patches.flatten(0, 1)[index])  # (M, K)
        class_targets = self._assign(class_logits, self.center).unflatten(0, (2, -1))
        return class_targets, self._assign(patch_logits, self.patch_center)
