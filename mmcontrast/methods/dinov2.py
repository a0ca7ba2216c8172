"""DINOv2: DINO on whole images, iBOT on hidden patches, and KoLeo to spread features out.

Oquab et al. 2023, https://arxiv.org/abs/2304.07193 (section 4).  iBOT: Zhou et al. 2022, https://arxiv.org/abs/2111.07832
"""

from typing import Any, Literal

import torch
from torch import Tensor, nn

from mmcontrast.encoders.base import Encoder
from mmcontrast.encoders.heads import PrototypeHead
from mmcontrast.encoders.vit import encode_tokens, require_tokens
from mmcontrast.losses.distill import dino_loss, ibot_loss, koleo
from mmcontrast.methods.dino import DINO, entropy
from mmcontrast.ops.momentum import cosine_momentum, ema_copy, ema_update
from mmcontrast.ops.patches import block_mask

_MASKS = 2002  # streams of random numbers, one for each large view


class DINOv2(DINO):
    """DINO on whole crops, iBOT on masked patches, and a spread of the features (KoLeo).

    Batch (``data.MultiCrop`` makes it): ``views``, two large (B, 3, S, S), then any number of small, in [0, 1].

    It needs ``sample_key`` (B,) int64 as well, which the masks are drawn from.

    Two deviations: masks are drawn per image, not a fixed half of each batch; KoLeo seeks neighbors on all ranks.

    Args:
        encoder: the student, a vision transformer (``ViT``, or ``TimmEncoder`` with a vit_* name).
        prototypes, hidden, bottleneck: of the heads for class tokens and for patches.
        mask_ratio: smallest and largest share of hidden patches in an image.
        mask_probability: of an image having hidden patches.
        patch_weight: of iBOT's loss.
        koleo_weight: of KoLeo.
        centering, student_temperature, teacher_temperature, temperature_warmup, momentum, center_momentum,
            frozen_last_layer: as in ``DINO``.
    """

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
        self.patch_head.learning.fill_(frozen_last_layer <= 0)
        self.mask_token = nn.Parameter(torch.zeros(encoder.dim))
        self.patch_center: Tensor
        self.register_buffer("patch_center", torch.zeros(prototypes))

    def forward(self, batch: dict[str, Any]) -> dict[str, Tensor]:
        """One batch -> loss, its three terms, and the teacher's entropy, 0 (one-hot) to 1 (uniform)."""
        views, sample_key = batch["views"], batch["sample_key"]
        large, small = torch.cat(views[:2]), views[2:]
        height, width = (-(-side // self.student.stride) for side in large.shape[2:])
        masks = [
            block_mask(sample_key, height, width, _MASKS + view, self.mask_ratio, self.mask_probability)
            for view in (0, 1)
        ]
        hidden = torch.cat(masks)  # (2B, N)
        places = hidden.flatten().nonzero()[:, 0]  # (M,)

        with torch.no_grad():
            prefix, patches = encode_tokens(self.teacher, large)  # type: ignore[arg-type]
            logits = self.teacher_head(prefix[:, 0])  # (2B, K)
            patch_logits = self.teacher_patch_head(patches.flatten(0, 1)[places])  # (M, K)
        whole = self._assign(logits, self.center).unflatten(0, (2, -1))  # (2, B, K)
        parts = self._assign(patch_logits, self.patch_center)

        prefix, patches = encode_tokens(self.student, large, hidden=hidden, mask_token=self.mask_token)  # type: ignore[arg-type]
        features = prefix[:, 0]  # (2B, D)
        seen = torch.cat([features, self.student(torch.cat(small))]) if small else features  # (V B, D)
        student = self.head(seen).unflatten(0, (len(views), -1))  # (V, B, K)
        dino = dino_loss(student, whole, self.student_temperature)
        weight = (1 / hidden.sum(1, keepdim=True).clamp(min=1)).expand_as(hidden).flatten()[places]  # (M,)
        patch_student = self.patch_head(patches.flatten(0, 1)[places])
        ibot = ibot_loss(patch_student, parts, weight.to(seen), len(large), self.student_temperature)
        spread = sum(koleo(view) for view in features.chunk(2)) if self.koleo_weight else features.new_zeros(())
        loss = dino + self.patch_weight * ibot + self.koleo_weight * spread
        terms = {"dino": dino.detach(), "ibot": ibot.detach(), "koleo": spread.detach()}  # type: ignore[union-attr]
        return {"loss": loss, **terms, "teacher_entropy": entropy(whole)}

    def after_step(self, progress: float) -> None:
        """As in DINO, and the same for the patches' head."""
        super().after_step(progress)
        ema_update(self.teacher_patch_head, self.patch_head, cosine_momentum(self.momentum, progress))
        self.patch_head.learning.copy_(self.head.learning)
