"""Dense Object Nets: a descriptor per pixel that is the same wherever that point of the object is seen.

Florence, Manuelli, Tedrake, Dense Object Nets, CoRL 2018.  https://arxiv.org/abs/1806.08756
"""

from typing import Any, Literal, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmcontrast.encoders.base import Encoder
from mmcontrast.losses.dense import distance_weight, match_loss, non_match_loss, pixel_info_nce, triplet_loss
from mmcontrast.methods.base import Method
from mmcontrast.ops.geometry import sample, to_pixels


class DenseObjectNet(Method):
    """Pixels of two images, pulled together where they show one point and apart elsewhere.

    Batch (``data.FindMatches`` makes it): ``image_a``, ``image_b`` (B, 3, H, W) float in [0, 1]; ``match_a``,
    ``match_b`` (B, N, 2) pixels (x, y); ``is_match`` (B, N) bool; ``anchor`` (B, N) bool, pixels of a with non-matches;
    ``non_match`` (B, N, K) int64 pixels y * W + x of b.  In a blind pair no pixel matches and every anchor counts.

    Each pair has its own mean and its own count of hard negatives, and the loss is the mean over pairs: the paper's
    steps on one pair, averaged.

    Args:
        encoder: of stride 8 in the paper; its grid is brought to full size by bilinear interpolation.
        dim: D, width of a descriptor.
        loss: "contrastive" (the paper's), "triplet" or "info_nce" (one non-match for each match, shared by all); the
            last two learn from pairs with matches only.
        margin: M, of the contrastive and triplet losses.
        unit_norm: descriptors of length 1; "info_nce" has them always.
        temperature: of "info_nce".
        distance_saturation: pixels from the match up to which non-matches weigh less; None: all weigh the same.
        unlock_layers: train only the encoder's last so many layers and keep it in evaluation mode, batch norm included:
            steps of few pairs have poor statistics.  None: train all of it.
    """

    def __init__(
        self,
        encoder: Encoder,
        dim: int = 3,
        loss: Literal["contrastive", "triplet", "info_nce"] = "contrastive",
        margin: float = 0.5,
        unit_norm: bool = False,
        temperature: float = 0.07,
        distance_saturation: float | None = None,
        unlock_layers: int | None = None,
    ) -> None:
        super().__init__()
        self.encoder, self.head = encoder, nn.Conv2d(encoder.dim, dim, 1)
        self.dim, self.loss, self.margin, self.temperature = dim, loss, margin, temperature
        self.unit_norm, self.distance_saturation = unit_norm or loss == "info_nce", distance_saturation
        self.locked = unlock_layers is not None
        if unlock_layers is not None:
            encoder.lock(unlock_layers)
        self.train()

    def train(self, mode: bool = True) -> Self:
        """Training mode, but for a locked encoder."""
        super().train(mode)
        self.encoder.train(mode and not self.locked)
        return self

    def describe(self, image: Tensor) -> Tensor:
        """(B, 3, H, W) in [0, 1] -> (B, D, H, W) float32, a descriptor for every pixel."""
        return self._everywhere(self.head(self.encoder.grid(image)), *image.shape[-2:])

    def forward(self, batch: dict[str, Any]) -> dict[str, Tensor]:
        """One step on a batch of pairs; see the class for its entries."""
        both = torch.cat([batch["image_a"], batch["image_b"]])
        height, width = both.shape[-2:]
        a, b = self.head(self.encoder.grid(both)).float().chunk(2)  # (B, D, h, w) each
        at_a, at_b = self._at(a, batch["match_a"]), self._at(b, batch["match_b"])  # (B, N, D)
        is_match, non_match = batch["is_match"], batch["non_match"]
        matches = is_match.sum(1).float().mean()
        if self.loss == "info_nce":
            further = _pixels(non_match[:, :, 0], width)  # one for each match
            others = self._at(b, further), further
            cell = self.encoder.stride
            loss = pixel_info_nce(at_a, at_b, batch["match_b"], is_match, self.temperature, cell, others)
            return {"loss": loss.mean(), "matches": matches}
        if self.loss == "triplet":
            at_non = self._at(b, _pixels(non_match.flatten(1), width)).unflatten(1, non_match.shape[1:])  # (B, N, K, D)
            return {"loss": triplet_loss(at_a, at_b, at_non, is_match, self.margin).mean(), "matches": matches}
        weight = None
        if self.distance_saturation is not None:
            weight = distance_weight(batch["match_b"], non_match, width, self.distance_saturation)
            weight = torch.where(is_match[..., None], weight, 1)  # a blind pair has no match to be near to
        match = match_loss(at_a, at_b, is_match)  # eq. 1
        everywhere = self._everywhere(b, height, width)  # (B, D, H, W)
        apart, active = non_match_loss(at_a, everywhere, non_match, batch["anchor"], self.margin, weight)  # eqs. 2, 3
        tried = (batch["anchor"].sum() * non_match.shape[2]).clamp(min=1)
        return {
            "loss": (match + apart).mean(),
            "match": match.mean().detach(),
            "non_match": apart.mean().detach(),
            "active": active.sum() / tried,
            "matches": matches,
        }

    def _everywhere(self, grid: Tensor, height: int, width: int) -> Tensor:
        """(B, D, h, w) -> (B, D, H, W)."""
        descriptors = to_pixels(grid, self.encoder.stride, height, width)
        return F.normalize(descriptors, dim=1) if self.unit_norm else descriptors

    def _at(self, grid: Tensor, xy: Tensor) -> Tensor:
        """The same at pixels (B, N, 2) only: (B, N, D)."""
        found = sample(grid, (xy + 0.5) / self.encoder.stride - 0.5)
        return F.normalize(found, dim=-1) if self.unit_norm else found


def _pixels(index: Tensor, width: int) -> Tensor:
    """y * W + x -> (x, y)."""
    return torch.stack([index % width, index.div(width, rounding_mode="floor")], -1)
