"""Dense Object Nets: a descriptor per pixel that is the same wherever that point of the object is seen.

Florence, Manuelli, Tedrake, CoRL 2018, https://arxiv.org/abs/1806.08756.
"""

from collections.abc import Callable
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmcontrast.encoders.base import Encoder
from mmcontrast.errors import InputError
from mmcontrast.losses.dense import distance_weight, match_loss, non_match_loss, pixel_info_nce, triplet_loss
from mmcontrast.methods.base import Method
from mmcontrast.ops.geometry import sample, to_pixels

_SOURCE = "data.train to ScenePairs and data.augment to PairAugment or FindMatches, which pair the pixels of two images"


class DenseObjectNet(Method):
    """Pulls pixels of two images together where they show one point, and pushes them apart elsewhere.

    Batch (``data.FindMatches`` makes it): ``image_a``, ``image_b`` (B, 3, H, W) float in [0, 1]; ``match_a``,
    ``match_b`` (B, N, 2) pixels (x, y); ``is_match`` (B, N) bool; ``anchor`` (B, N) bool, the pixels of a that have
    non-matches; ``non_match`` (B, N, K) int64 pixels y * W + x of b.  In a blind pair no pixel matches and every anchor
    counts.

    Each pair has its own mean and its own count of hard negatives, and the loss is the mean over pairs: the paper's
    steps on one pair, averaged.

    Args:
        encoder: The network, of stride 8 in the paper; its grid is interpolated to full size.
        dim: D, the width of a descriptor.
        loss: "contrastive" (the paper's), "triplet" or "info_nce", see ``LOSSES``; the last two learn from pairs with
            matches only.
        margin: M, of the contrastive and triplet losses.
        unit_norm: Whether descriptors have length 1; with "info_nce" they always have.
        temperature: Temperature of "info_nce".
        distance_saturation: Distance in pixels from the match below which non-matches weigh less; None: all weigh 1.
        trainable_layers: Number of the encoder's last layers that are trained; 0 freezes it, None trains all.  A frozen
            or partly frozen encoder stays in evaluation mode, since few pairs have poor batch statistics.

    Raises:
        InputError: There is no such loss.
    """

    batch_entries: ClassVar[dict[str, str]] = dict.fromkeys(
        ("image_a", "image_b", "match_a", "match_b", "is_match", "anchor", "non_match"), _SOURCE
    )

    def __init__(
        self,
        encoder: Encoder,
        dim: int = 3,
        loss: Literal["contrastive", "triplet", "info_nce"] = "contrastive",
        margin: float = 0.5,
        unit_norm: bool = False,
        temperature: float = 0.07,
        distance_saturation: float | None = None,
        trainable_layers: int | None = None,
    ) -> None:
        super().__init__()
        if loss not in LOSSES:
            raise InputError(f"loss is {loss!r}; choose {', '.join(LOSSES)}")
        self.encoder, self.head = encoder, nn.Conv2d(encoder.dim, dim, 1)
        self.dim, self.loss, self.margin, self.temperature = dim, loss, margin, temperature
        self.unit_norm, self.distance_saturation = unit_norm or loss == "info_nce", distance_saturation
        if trainable_layers is not None:
            encoder.freeze(trainable_layers)

    def describe(self, image: Tensor) -> Tensor:
        """Returns a descriptor for every pixel, (B, D, H, W) float32, of images (B, 3, H, W) in [0, 1]."""
        return self.at_all_pixels(self.head(self.encoder.grid(image)), *image.shape[-2:])

    def forward(self, batch: dict[str, Any]) -> dict[str, Tensor]:
        """Computes the chosen loss of a batch of pairs, and logs its terms and the mean number of matches."""
        both = torch.cat([batch["image_a"], batch["image_b"]])
        a, b = self.head(self.encoder.grid(both)).float().chunk(2)  # (B, D, h, w) each
        return LOSSES[self.loss](self, a, b, batch) | {"matches": batch["is_match"].sum(1).float().mean()}

    def at_all_pixels(self, grid: Tensor, height: int, width: int) -> Tensor:
        """Returns the (B, D, H, W) descriptors of all pixels, from grids (B, D, h, w)."""
        descriptors = to_pixels(grid, self.encoder.stride, height, width)
        return F.normalize(descriptors, dim=1) if self.unit_norm else descriptors

    def at_pixels(self, grid: Tensor, xy: Tensor) -> Tensor:
        """Returns the (B, N, D) descriptors at pixels (B, N, 2), from grids (B, D, h, w)."""
        descriptors = sample(grid, (xy + 0.5) / self.encoder.stride - 0.5)
        return F.normalize(descriptors, dim=-1) if self.unit_norm else descriptors


def contrastive(net: DenseObjectNet, a: Tensor, b: Tensor, batch: dict[str, Any]) -> dict[str, Tensor]:
    """Computes the paper's loss: matches have distance 0, non-matches a margin (equations 1 to 3).

    Args:
        net: The network with its options.
        a: (B, D, h, w) descriptors of the first images.
        b: (B, D, h, w) descriptors of the second images.
        batch: Matches and non-matches, see ``DenseObjectNet``.

    Returns:
        The scalar ``loss``, its terms ``match`` and ``non_match``, and the fraction of ``active`` non-matches.
    """
    height, width = batch["image_a"].shape[-2:]
    is_match, anchor, non_match = batch["is_match"], batch["anchor"], batch["non_match"]
    at_a, at_b = net.at_pixels(a, batch["match_a"]), net.at_pixels(b, batch["match_b"])  # (B, N, D)
    weight = None
    if net.distance_saturation is not None:
        weight = distance_weight(batch["match_b"], non_match, width, net.distance_saturation)
        weight = torch.where(is_match[..., None], weight, 1)  # a blind pair has no match to be near to
    match = match_loss(at_a, at_b, is_match)
    apart, active = non_match_loss(at_a, net.at_all_pixels(b, height, width), non_match, anchor, net.margin, weight)
    return {
        "loss": (match + apart).mean(),
        "match": match.mean().detach(),
        "non_match": apart.mean().detach(),
        "active": active.sum() / (anchor.sum() * non_match.shape[2]).clamp(min=1),
    }


def triplet(net: DenseObjectNet, a: Tensor, b: Tensor, batch: dict[str, Any]) -> dict[str, Tensor]:
    """Computes the triplet loss: a match is nearer than each non-match by a margin.

    Args:
        net: The network with its options.
        a: (B, D, h, w) descriptors of the first images.
        b: (B, D, h, w) descriptors of the second images.
        batch: Matches and non-matches, see ``DenseObjectNet``.

    Returns:
        The scalar ``loss``.
    """
    at_a, at_b = net.at_pixels(a, batch["match_a"]), net.at_pixels(b, batch["match_b"])  # (B, N, D)
    non_match = batch["non_match"]
    pixels = _xy(non_match.flatten(1), batch["image_a"].shape[-1])
    at_non_match = net.at_pixels(b, pixels).unflatten(1, non_match.shape[1:])  # (B, N, K, D)
    return {"loss": triplet_loss(at_a, at_b, at_non_match, batch["is_match"], net.margin).mean()}


def info_nce(net: DenseObjectNet, a: Tensor, b: Tensor, batch: dict[str, Any]) -> dict[str, Tensor]:
    """Computes InfoNCE: a pixel picks its match among all matches and one non-match of each.

    Args:
        net: The network with its options.
        a: (B, D, h, w) descriptors of the first images.
        b: (B, D, h, w) descriptors of the second images.
        batch: Matches and non-matches, see ``DenseObjectNet``.

    Returns:
        The scalar ``loss``.
    """
    at_a, at_b = net.at_pixels(a, batch["match_a"]), net.at_pixels(b, batch["match_b"])  # (B, N, D)
    pixels = _xy(batch["non_match"][:, :, 0], batch["image_a"].shape[-1])  # (B, N, 2)
    others = net.at_pixels(b, pixels), pixels
    cell = net.encoder.stride
    loss = pixel_info_nce(at_a, at_b, batch["match_b"], batch["is_match"], net.temperature, cell, others)
    return {"loss": loss.mean()}


LOSSES: dict[str, Callable[[DenseObjectNet, Tensor, Tensor, dict[str, Any]], dict[str, Tensor]]] = {
    "contrastive": contrastive,
    "triplet": triplet,
    "info_nce": info_nce,
}


def _xy(index: Tensor, width: int) -> Tensor:
    """Returns (x, y) of pixels y * W + x."""
    return torch.stack([index % width, index.div(width, rounding_mode="floor")], -1)
