"""Contrastive predictive coding: from what has been seen, tell the true future from others.

Van den Oord, Li, Vinyals 2018.  https://arxiv.org/abs/1807.03748
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmcontrast.encoders.audio import WaveEncoder
from mmcontrast.encoders.base import Encoder
from mmcontrast.errors import InputError
from mmcontrast.losses.contrastive import info_nce, mutual_information_bound
from mmcontrast.methods.base import Method
from mmcontrast.ops.distributed import world_size


class CPC(Method):
    """CPC for images: rows of patches predict the rows below (section 3.3).

    Batch: ``image`` (B, 3, H, W) float in [0, 1].  Negatives are all other patches of the batches of all ranks.

    Args:
        encoder: ``PatchGrid``, so that no patch has seen another.
        context_layers: masked convolutions over the rows above (PixelCNN style); each sees one row more.
        steps: k, the rows below a row that it predicts; the next one overlaps it by half.
    """

    def __init__(self, encoder: Encoder, context_layers: int = 4, steps: Sequence[int] = (1, 2, 3, 4, 5)) -> None:
        super().__init__()
        self.encoder = encoder
        self.context = nn.ModuleList(_RowsAbove(encoder.dim) for _ in range(context_layers))
        self.future = FuturePredictionHead(encoder.dim, encoder.dim, steps)

    def forward(self, batch: dict[str, Any]) -> dict[str, Tensor]:
        """One batch -> loss (eq. 4), accuracy, and the bound on mutual information (nats)."""
        z = self.encoder.grid(batch["image"])  # (B, D, rows, columns)
        c = z
        for layer in self.context:
            c = layer(c)
        return self.future(z.permute(0, 2, 3, 1), c.permute(0, 2, 3, 1))


class SoundCPC(Method):
    """CPC for sound: what was heard predicts the next 12 frames (section 3.1).

    Batch: ``sound`` (B, samples) float in [-1, 1].  Negatives are all other frames of the batches of all ranks.

    Args:
        encoder: convolutions and a recurrent network.
        steps: number of frames to look ahead, 10 ms each in the paper.
    """

    encoder: WaveEncoder  # type: ignore[assignment]

    def __init__(self, encoder: WaveEncoder, steps: int = 12) -> None:
        super().__init__()
        self.encoder = encoder
        self.future = FuturePredictionHead(encoder.dim, encoder.channels, range(1, steps + 1))

    def forward(self, batch: dict[str, Any]) -> dict[str, Tensor]:
        """One batch -> loss (eq. 4), accuracy, and the bound on mutual information (nats)."""
        z = self.encoder.frames(batch["sound"])  # (B, T, channels)
        return self.future(z[:, :, None], self.encoder.context(z)[:, :, None])


class FuturePredictionHead(nn.Module):
    """The log-bilinear scores z_{t+k}^T W_k c_t (eq. 3), and the loss that they are good for.

    Args:
        context_dim, dim: widths of c and z.
        steps: the k.
    """

    def __init__(self, context_dim: int, dim: int, steps: Sequence[int]) -> None:
        super().__init__()
        self.steps = list(steps)
        self.predict = nn.ModuleList(nn.Linear(context_dim, dim, bias=False) for _ in self.steps)  # W_k

    def forward(self, z: Tensor, c: Tensor) -> dict[str, Tensor]:
        """(B, T, S, dim) and (B, T, S, context_dim), time along T -> loss, accuracy and bound, means over k.

        Raises:
            InputError: T is not longer than the longest step.
        """
        length = z.shape[1]
        if length <= max(self.steps):
            raise InputError(
                f"there are {length} rows or frames, and steps up to {max(self.steps)} need more; "
                "give larger images, longer sounds or fewer steps"
            )
        losses, hits, bounds = [], [], []
        for k, predict in zip(self.steps, self.predict, strict=True):
            guess = predict(c[:, :-k]).flatten(0, 2)  # (B (T - k) S, dim)
            truth = z[:, k:].flatten(0, 2)
            losses.append(info_nce(guess, truth, 1.0))
            hits.append(_accuracy(guess, truth))
            bounds.append(mutual_information_bound(losses[-1].detach(), len(truth) * world_size()))
        mean = lambda values: torch.stack(values).mean()
        return {"loss": mean(losses), "accuracy": mean(hits), "mutual_information": mean(bounds)}


class _RowsAbove(nn.Module):
    """A residual convolution over a row and the one above, three columns wide."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.convolution, self.mix = nn.Conv2d(dim, dim, (2, 3)), nn.Conv2d(dim, dim, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, D, rows, columns) -> the same; row i depends on rows i - 1 and i."""
        above = F.pad(x, (1, 1, 1, 0))
        return x + self.mix(F.relu(self.convolution(above)))


@torch.no_grad()
def _accuracy(guess: Tensor, truth: Tensor, among: int = 256) -> Tensor:
    """Share of the first guesses that score their own truth highest among those."""
    best = (guess[:among] @ truth[:among].T).argmax(1)
    return (best == torch.arange(len(best), device=best.device)).float().mean()
