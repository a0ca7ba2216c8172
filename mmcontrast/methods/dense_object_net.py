"""Dense Object Nets: a descriptor per pixel that is the same wherever that point of the object is seen.

Florence, Manuelli, Tedrake, Dense Object Nets, CoRL 2018.  https://arxiv.org/abs/1806.08756
"""

from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmcontrast.encoders.base import Encoder
from mmcontrast.losses.dense import distance_weight, match_loss, non_match_loss, pixel_info_nce, triplet_loss
from mmcontrast.methods.base import Method
from mmcontrast.ops.geometry import sample, take, to_pixels


class DenseObjectNet(Method):
    """Pixels of two pictures, pulled together where they show one point and apart elsewhere.

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
    ) -> None:
        super().__init__()
        self.encoder, self.head = encoder, nn.Conv2d(encoder.dim, dim, 1)
        self.dim, self.loss, self.margin, self.temperature = dim, loss, margin, temperature
        self.unit_norm, self.distance_saturation = unit_norm or loss == "info_nce", distance_saturation

    def describe(self, image: Tensor) -> Tensor:
        """(B, 3, H, W) in [0, 1] -> (B, D, H, W) float32, a descriptor for every pixel."""
        descriptors = to_pixels(self.head(self.encoder.grid(image)), self.encoder.stride, *image.shape[-2:])
        return F.normalize(descriptors, dim=1) if self.unit_norm else descriptors

    def forward(self, batch: dict[str, Any]) -> dict[str, Tensor]:
        """One step on a batch of pairs; see the class for its entries."""
        a, b = self.describe(torch.cat([batch["image_a"], batch["image_b"]])).chunk(2)
        at_a, at_b = sample(a, batch["match_a"]), sample(b, batch["match_b"])  # (B, N, D)
        is_match, non_match = batch["is_match"], batch["non_match"]
        matches = is_match.sum(1).float().mean()
        if self.loss == "info_nce":
            at_a, at_b = F.normalize(at_a, dim=-1), F.normalize(at_b, dim=-1)  # interpolation shortens
            further = non_match[:, :, 0]  # one for each match
            x, y = further % b.shape[3], further.div(b.shape[3], rounding_mode="floor")
            others = take(b, further), torch.stack([x, y], -1)
            cell = self.encoder.stride
            loss = pixel_info_nce(at_a, at_b, batch["match_b"], is_match, self.temperature, cell, others)
            return {"loss": loss.mean(), "matches": matches}
        if self.loss == "triplet":
            at_non = take(b, non_match.flatten(1)).unflatten(1, non_match.shape[1:])  # (B, N, K, D)
            return {"loss": triplet_loss(at_a, at_b, at_non, is_match, self.margin).mean(), "matches": matches}
        weight = None
        if self.distance_saturation is not None:
            weight = distance_weight(batch["match_b"], non_match, b.shape[3], self.distance_saturation)
            weight = torch.where(is_match[..., None], weight, 1)  # a blind pair has no match to be near to
        match = match_loss(at_a, at_b, is_match)  # eq. 1
        apart, active = non_match_loss(at_a, b, non_match, batch["anchor"], self.margin, weight)  # eqs. 2 and 3
        tried = (batch["anchor"].sum() * non_match.shape[2]).clamp(min=1)
        return {
            "loss": (match + apart).mean(),
            "match": match.mean().detach(),
            "non_match": apart.mean().detach(),
            "active": active.sum() / tried,
            "matches": matches,
        }
