"""Contrastive predictive coding: tell the true future from others by what has been observed.

Van den Oord, Li, Vinyals 2018, https://arxiv.org/abs/1807.03748.
"""

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmcontrast.encoders.audio import WaveEncoder
from mmcontrast.encoders.base import Encoder
from mmcontrast.errors import InputError
from mmcontrast.losses.contrastive import info_nce, mutual_information_bound
from mmcontrast.methods.base import Method
from mmcontrast.methods.clip import matching_accuracy
from mmcontrast.ops.distributed import world_size


class CPC(Method):
    """CPC for images: rows of patches predict the rows below (section 3.3).

    Batch: ``image`` (B, 3, H, W) float in [0, 1].  The negatives are all other patches of the batches of all ranks.

    Args:
        encoder: A ``PatchGrid``, so that no patch depends on another.
        context_layers: Number of masked convolutions over the rows above (PixelCNN style); each adds one row.
        steps: k, the rows below a row that it predicts; the next row overlaps it by half.
    """

    batch_entries: ClassVar[dict[str, str]] = {"image": "data.train to a dataset of images, such as Images"}

    def __init__(self, encoder: Encoder, context_layers: int = 4, steps: Sequence[int] = (1, 2, 3, 4, 5)) -> None:
        super().__init__()
        self.encoder = encoder
        self.context = nn.ModuleList(_RowsAbove(encoder.dim) for _ in range(context_layers))
        self.future = FuturePredictionHead(encoder.dim, encoder.dim, steps)

    def forward(self, batch: dict[str, Any]) -> dict[str, Tensor]:
        """Computes InfoNCE (eq. 4), and logs the accuracy and the bound on mutual information in nats."""
        z = self.encoder.grid(batch["image"])  # (B, D, rows, columns)
        c = z
        for layer in self.context:
            c = layer(c)
        out: dict[str, Tensor] = self.future(z.permute(0, 2, 3, 1), c.permute(0, 2, 3, 1))
        return out


class SoundCPC(Method):
    """CPC for sound: the past predicts the next 12 frames (section 3.1).

    Batch: ``sound`` (B, samples) float in [-1, 1].  The negatives are all other frames of the batches of all ranks.

    Args:
        encoder: Convolutions and a recurrent network.
        steps: Number of frames to look ahead, 10 ms each in the paper.
    """

    encoder: WaveEncoder  # type: ignore[assignment]
    batch_entries: ClassVar[dict[str, str]] = {"sound": "data.train to Sounds"}

    def __init__(self, encoder: WaveEncoder, steps: int = 12) -> None:
        super().__init__()
        self.encoder = encoder
        self.future = FuturePredictionHead(encoder.dim, encoder.channels, range(1, steps + 1))

    def forward(self, batch: dict[str, Any]) -> dict[str, Tensor]:
        """Computes InfoNCE (eq. 4), and logs the accuracy and the bound on mutual information in nats."""
        z = self.encoder.frames(batch["sound"])  # (B, T, channels)
        out: dict[str, Tensor] = self.future(z[:, :, None], self.encoder.context(z)[:, :, None])
        return out


class FuturePredictionHead(nn.Module):
    """The log-bilinear scores z_{t+k}^T W_k c_t (eq. 3), and the loss on them.

    Args:
        context_dim: Width of the contexts c.
        dim: Width of the observations z.
        steps: The k, numbers of steps to look ahead.
    """

    def __init__(self, context_dim: int, dim: int, steps: Sequence[int]) -> None:
        super().__init__()
        self.steps = list(steps)
        self.predict = nn.ModuleList(nn.Linear(context_dim, dim, bias=False) for _ in self.steps)  # W_k

    def forward(self, z: Tensor, c: Tensor) -> dict[str, Tensor]:
        """Scores the contexts against the observations k steps later.

        Args:
            z: (B, T, S, dim) observations, with time along T.
            c: (B, T, S, context_dim) contexts.

        Returns:
            The scalars ``loss``, ``accuracy`` and ``mutual_information``, each the mean over k.

        Raises:
            InputError: T is not larger than the largest k.
        """
        length = z.shape[1]
        if length <= max(self.steps):
            raise InputError(
                f"there are {length} rows or frames, and steps up to {max(self.steps)} need more; "
                "give larger images, longer sounds or fewer steps"
            )
        losses, accuracies, bounds = [], [], []
        for k, predict in zip(self.steps, self.predict, strict=True):
            prediction = predict(c[:, :-k]).flatten(0, 2)  # (B (T - k) S, dim)
            target = z[:, k:].flatten(0, 2)
            losses.append(info_nce(prediction, target, 1.0))
            accuracies.append(matching_accuracy(prediction, target))
            bounds.append(mutual_information_bound(losses[-1].detach(), len(target) * world_size()))
        scalars = {"loss": losses, "accuracy": accuracies, "mutual_information": bounds}
        return {name: torch.stack(values).mean() for name, values in scalars.items()}


class _RowsAbove(nn.Module):
    """A residual convolution over a row and the one above, three columns wide."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.convolution, self.pointwise = nn.Conv2d(dim, dim, (2, 3)), nn.Conv2d(dim, dim, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Maps (B, D, rows, columns) to the same shape; row i depends on rows i - 1 and i."""
        above = F.pad(x, (1, 1, 1, 0))
        residual: Tensor = self.pointwise(F.relu(self.convolution(above)))
        return x + residual
