"""Augmentation of pairs whose correspondences follow the images."""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmcontrast.data.augment import photometric
from mmcontrast.data.augment.affine_views import AffineViews
from mmcontrast.data.augment.find_matches import FindMatches
from mmcontrast.errors import InputError
from mmcontrast.ops.random import uniform

_FLIP, _VIEW = 20, 30  # streams of the sample's key
_TILES = (6, 8)  # random colors of a new background


class PairAugment(nn.Module):
    """An augmentation of pairs: matches, random backgrounds behind the objects, color jitter and mirroring.

    Args:
        find: The module that adds matches; None means ``FindMatches()``.
        flip: Probability of mirroring both images and their matches left to right.
        jitter: Strengths of brightness, contrast, saturation and hue, which are drawn for each image separately.
        background: Probability of a random background behind the objects of an image (paper: 0.5); images without
            masks keep their background.
        views: The change of the views before matches are computed; None leaves the views alone.
    """

    def __init__(
        self,
        find: FindMatches | None = None,
        flip: float = 0.5,
        jitter: Sequence[float] = (0.3, 0.3, 0.3, 0.05),
        background: float = 0.5,
        views: AffineViews | None = None,
    ) -> None:
        super().__init__()
        if len(jitter) != 4 or min(jitter) < 0 or jitter[3] > 0.5:
            raise InputError(f"jitter is {tuple(jitter)}; wanted four strengths >= 0, the last (hue) at most 0.5")
        self.find, self.flip, self.jitter, self.background = find or FindMatches(), flip, tuple(jitter), background
        self.views = views

    def forward(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Returns the augmented pairs with the entries that ``FindMatches`` adds.

        Args:
            batch: Raw pairs, see ``raw_pair``, on any device.

        Returns:
            The batch with augmented images and their matches; masks and depths are not mirrored.
        """
        batch = self.find(batch if self.views is None else self.views(batch))
        for view, side in enumerate("ab"):
            u = uniform(batch["sample_key"], 10 + 3 * _TILES[0] * _TILES[1], stream=_VIEW + view)  # (B, 154)
            image = self._on_background(batch[f"image_{side}"], batch[f"mask_{side}"] > 0, u[:, 0], u[:, 10:])
            if any(self.jitter):
                center, strength = u.new_tensor([1, 1, 1, 0]), u.new_tensor(self.jitter)
                factors = (center + (2 * u[:, 1:5] - 1) * strength).maximum((center - 1) / 2)
                image = photometric.jitter(image, u[:, 5:9].argsort(1), factors, u[:, 0] >= 0)
            batch[f"image_{side}"] = image
        return mirror(batch, uniform(batch["sample_key"], 1, stream=_FLIP)[:, 0] < self.flip)

    def _on_background(self, image: Tensor, mask: Tensor, chance: Tensor, colors: Tensor) -> Tensor:
        tiles = colors.view(-1, 3, *_TILES)
        backdrop = F.interpolate(tiles, image.shape[2:], mode="bicubic", align_corners=False).clamp(0, 1)
        keep = mask | (chance >= self.background)[:, None, None]
        return torch.where(keep[:, None], image, backdrop)


def mirror(batch: dict[str, Any], flip: Tensor) -> dict[str, Any]:
    """Returns the batch with some pairs mirrored left to right: both images, their matches and non-matches.

    Args:
        batch: Pairs with the entries that ``FindMatches`` adds.
        flip: Whether a pair is mirrored, (B,) bool.
    """
    width = batch["image_a"].shape[3]
    flipped = dict(batch)
    for side in "ab":
        image, xy = batch[f"image_{side}"], batch[f"match_{side}"]
        flipped[f"image_{side}"] = torch.where(flip[:, None, None, None], image.flip(3), image)
        x = torch.where(flip[:, None], width - 1 - xy[..., 0], xy[..., 0])
        flipped[f"match_{side}"] = torch.stack([x, xy[..., 1]], -1)
    x = batch["non_match"] % width
    aside = (width - 1 - 2 * x) * flip[:, None, None]
    return {**flipped, "non_match": batch["non_match"] + aside}
