"""DINO: a student that sees parts of an image predicts what its own moving average says of the whole.

Caron, Touvron, Misra, Jegou, Mairal, Bojanowski, Joulin, ICCV 2021, https://arxiv.org/abs/2104.14294 (algorithm 1).
"""

import math
from itertools import groupby
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from mmcontrast.encoders.base import Encoder
from mmcontrast.encoders.heads import PrototypeHead
from mmcontrast.losses.distill import center_and_sharpen, dino_loss, sinkhorn
from mmcontrast.methods.base import Method
from mmcontrast.ops.distributed import all_reduce_sum
from mmcontrast.ops.momentum import cosine_momentum, ema_copy, ema_update


class DINO(Method):
    """A student matches a centered, sharpened teacher across crops of one image.

    Batch (``data.MultiCrop`` makes it): ``views``, two large (B, 3, S, S), then any number of small, in [0, 1].

    ``encoder`` is the teacher, which is the better one.  Deviation: schedules are fractions of the run, not epochs.

    Args:
        encoder: The student, any network that takes both sizes.
        prototypes: K, the width of the output.
        hidden: Width of the head's hidden layers.
        bottleneck: Width before the last layer.
        head_norm: Whether the head has batch norm, for convolutional networks.
        centering: What keeps the teacher from collapse: "softmax" with a center, or "sinkhorn" (DINOv2, 2304.07193).
        student_temperature: Temperature of the student.
        teacher_temperature: Temperature of the teacher at the start, and after ``temperature_warmup``.
        temperature_warmup: Fraction of the run in which that temperature rises; 30 of 100 epochs in the paper.
        momentum: Momentum of the teacher at the start; it rises to 1 along a cosine.
        center_momentum: Momentum of the center.
        frozen_last_layer: Fraction of the run in which the last layer is frozen; 1 of 100 epochs in the paper.
    """

    center: Tensor
    temperature: Tensor
    batch_entries: ClassVar[dict[str, str]] = {"views": "data.augment to MultiCrop"}

    def __init__(
        self,
        encoder: Encoder,
        prototypes: int = 65536,
        hidden: int = 2048,
        bottleneck: int = 256,
        head_norm: bool = False,
        centering: Literal["softmax", "sinkhorn"] = "softmax",
        student_temperature: float = 0.1,
        teacher_temperature: tuple[float, float] = (0.04, 0.07),
        temperature_warmup: float = 0.3,
        momentum: float = 0.996,
        center_momentum: float = 0.9,
        frozen_last_layer: float = 0.01,
    ) -> None:
        super().__init__()
        self.student, self.head = encoder, PrototypeHead(encoder.dim, prototypes, hidden, bottleneck, head_norm)
        self.teacher, self.teacher_head = ema_copy(self.student), ema_copy(self.head)
        self.centering = centering
        self.student_temperature, self.teacher_temperature = student_temperature, teacher_temperature
        self.temperature_warmup, self.momentum = temperature_warmup, momentum
        self.center_momentum, self.frozen_last_layer = center_momentum, frozen_last_layer
        self.register_buffer("center", torch.zeros(prototypes))  # c
        self.register_buffer("temperature", torch.tensor(teacher_temperature[0]))  # tau_t, as of now
        self._step_momentum: float | None = None

    @property
    def encoder(self) -> Encoder:  # type: ignore[override]
        """The teacher."""
        return self.teacher

    def forward(self, batch: dict[str, Any]) -> dict[str, Tensor]:
        """Computes the cross-entropy between teacher and student; in training the center moves.

        Args:
            batch: See the class.

        Returns:
            The scalar ``loss``, and the ``teacher_entropy`` from 0 (one-hot) to 1 (uniform).
        """
        views = batch["views"]
        large = torch.cat(views[:2])  # (2B, 3, S, S)
        with torch.no_grad():
            logits = self.teacher_head(self.teacher(large))  # (2B, K)
        targets = self._assign(logits, self.center).unflatten(0, (2, -1))  # (2, B, K)
        loss = dino_loss(self._student_logits(views), targets, self.student_temperature)
        return {"loss": loss, "teacher_entropy": relative_entropy(targets)}

    def before_step(self, progress: float) -> None:
        """Removes the last layer's gradient while it is frozen, so that an optimizer leaves it alone altogether."""
        self._step_momentum = cosine_momentum(self.momentum, progress)
        if progress < self.frozen_last_layer:
            for head in self.trained_heads():
                head.prototypes.grad = None

    def after_step(self, progress: float) -> None:
        """Moves the teacher towards the student, with the momentum of this step, and raises its temperature."""
        momentum = cosine_momentum(self.momentum, progress) if self._step_momentum is None else self._step_momentum
        ema_update(self.teacher, self.student, momentum)
        for teacher_head, head in zip(self.teacher_heads(), self.trained_heads(), strict=True):
            ema_update(teacher_head, head, momentum)
        start, end = self.teacher_temperature
        self.temperature.fill_(start + (end - start) * min(1.0, progress / max(self.temperature_warmup, 1e-9)))

    def trained_heads(self) -> list[PrototypeHead]:
        """Returns the heads of the student."""
        return [self.head]

    def teacher_heads(self) -> list[PrototypeHead]:
        """Returns the heads of the teacher, in the order of ``trained_heads``."""
        return [self.teacher_head]

    def _assign(self, logits: Tensor, center: Tensor) -> Tensor:
        """Returns the teacher's (M, K) probabilities; in training the center moves, if there is one (eq. 4)."""
        if self.centering == "sinkhorn":
            return sinkhorn(logits, self.temperature)
        probabilities = center_and_sharpen(logits, center, self.temperature)
        if self.training:
            total = all_reduce_sum(torch.cat([logits.to(center).sum(0), center.new_tensor([len(logits)])]))  # (K + 1,)
            mean = torch.where(total[-1] > 0, total[:-1] / total[-1].clamp(min=1), center)
            center.lerp_(mean, 1 - self.center_momentum)
        return probabilities

    def _student_logits(self, views: list[Tensor]) -> Tensor:
        """Returns the (V, B, K) logits of V views; those of one size go through the student together."""
        batches = [torch.cat(list(same_size)) for _, same_size in groupby(views, key=lambda view: view.shape[-1])]
        features = torch.cat([self.student(images) for images in batches])  # (V B, D)
        logits: Tensor = self.head(features).unflatten(0, (len(views), -1))
        return logits


def relative_entropy(probabilities: Tensor) -> Tensor:
    """Returns the mean entropy of distributions (..., K) as a fraction of log K."""
    entropy: Tensor = torch.special.entr(probabilities).sum(-1).mean()
    return entropy / math.log(probabilities.shape[-1])
