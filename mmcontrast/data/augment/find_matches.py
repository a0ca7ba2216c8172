"""Correspondences between the images of a pair, computed for a whole batch on the device that trains."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mmcontrast.data.augment.entries import require_entries
from mmcontrast.data.augment.pixel_sampling import draw_non_matches, draw_pixels
from mmcontrast.data.augment.warps import RandomWarp
from mmcontrast.data.datasets.view_pair import GIVEN, WARPED
from mmcontrast.errors import InputError
from mmcontrast.ops.geometry import inside, pixel_index, reproject
from mmcontrast.ops.random import uniform

_STREAM = 1  # of the sample's key


class FindMatches(nn.Module):
    """A module that adds matches and non-matches to raw pairs; it is the last step of an augmentation.

    It draws pixels on the objects of a and projects them into b by depth and motion.  It drops pixels without depth,
    and those whose projection lies outside b, on another object, or off the surface that b measured (because the point
    is occluded or the depth is wrong).  It adds these entries to a batch:

        image_a, image_b   (B, 3, H, W) float in [0, 1]
        match_a, match_b   (B, N, 2) float pixels (x, y)
        is_match           (B, N) bool; the first of each row, the rest is padding
        anchor             (B, N) bool, pixels of a that have non-matches: matches, or any object pixel of a blind pair
        non_match          (B, N, K) int64 pixels y * W + x of b

    Args:
        matches: Number N of matches per pair.
        attempts: Number of pixels to try, of which the first N good ones stay; None means 2 N.
        non_matches: Number K of non-matches per match.
        occlusion: Largest distance in meters of a point from the surface that b measured (paper: 3 mm).
        relative: Tolerance to add to ``occlusion``, as a fraction of the depth; depth cameras err by about 1 % at 2 m.
        radius: Radius in pixels around a match that stays free of non-matches.
        warp: The warp that makes warped pairs; None means ``RandomWarp()``.
    """

    def __init__(
        self,
        matches: int = 2000,
        attempts: int | None = None,
        non_matches: int = 150,
        occlusion: float = 0.003,
        relative: float = 0.0,
        radius: float = 5.0,
        warp: RandomWarp | None = None,
    ) -> None:
        super().__init__()
        self.matches, self.attempts, self.non_matches = matches, attempts or 2 * matches, non_matches
        if self.attempts < matches:
            raise InputError(f"attempts {attempts} are fewer than the {matches} matches wanted")
        self.occlusion, self.relative, self.radius = occlusion, relative, radius
        self.warp = warp or RandomWarp()

    def forward(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Returns the raw pairs with images as float in [0, 1] and the entries that the class lists.

        Args:
            batch: Raw pairs, see ``raw_pair``, on any device.

        Raises:
            InputError: The batch does not hold raw pairs, or the radius leaves no room for non-matches.
        """
        require_entries(self, batch, "image_a", "image_b", "depth_a", "depth_b", "sample_key")
        width = batch["image_a"].shape[-1]
        if 4 * self.radius >= width:
            raise InputError(f"radius {self.radius} leaves no room for non-matches in images {width} wide")
        images = {name: batch[name].float() / 255 for name in ("image_a", "image_b")}
        matches: tuple[Tensor, ...] = self.project(batch)
        warped, given = ((batch["source"] == source).nonzero()[:, 0] for source in (WARPED, GIVEN))
        if len(warped):
            image_b, *of_warp = self.warp.pairs(images["image_a"][warped], batch["sample_key"][warped], self.attempts)
            images["image_b"] = images["image_b"].index_copy(0, warped, image_b)
            matches = _replace(matches, warped, of_warp)
        if len(given):
            matches = _replace(matches, given, self._given(batch["given_a"][given], batch["given_b"][given]))
        match_a, match_b, is_match = self._first(*matches)
        blind = batch["blind"][:, None]
        anchor = is_match | blind & (batch["mask_a"].flatten(1) > 0).any(1, keepdim=True)
        non_match = draw_non_matches(
            batch["mask_b"] > 0,
            batch["masked_fraction"],
            torch.where(is_match[..., None], match_b, -torch.inf),
            batch["sample_key"],
            self.non_matches,
            self.radius,
        )
        new_entries = {"match_a": match_a, "match_b": match_b, "is_match": is_match, "anchor": anchor}
        return {**batch, **images, **new_entries, "non_match": non_match}

    def project(self, batch: dict[str, Any]) -> tuple[Tensor, Tensor, Tensor]:
        """Draws pixels on the objects of a and projects them into b.

        Args:
            batch: Raw pairs.

        Returns:
            A pixels of a, (B, A, 2) as (x, y); their projections into b, (B, A, 2); whether b shows them, (B, A) bool.
        """
        height, width = batch["image_a"].shape[-2:]
        mask_a, mask_b = batch["mask_a"], batch["mask_b"]
        depth_unit = batch["depth_unit"][:, None, None]
        meters_a, meters_b = (batch[name].float() * depth_unit for name in ("depth_a", "depth_b"))
        usable = (mask_a > 0) & ((meters_a > 0) | batch["blind"][:, None, None])
        index = draw_pixels(usable, uniform(batch["sample_key"], self.attempts, stream=_STREAM))  # (B, A)
        y = index.div(width, rounding_mode="floor")
        xy = torch.stack([index - y * width, y], -1).float()  # (B, A, 2)
        identity = mask_a.flatten(1).gather(1, index).long()  # (B, A)
        motion = batch["motion"][torch.arange(len(index), device=index.device)[:, None], identity]  # (B, A, 4, 4)
        depth = meters_a.flatten(1).gather(1, index)
        xy_b, depth_b = reproject(xy, depth, batch["intrinsics_a"], motion, batch["intrinsics_b"])
        index_b = pixel_index(xy_b, height, width)
        seen = meters_b.flatten(1).gather(1, index_b)  # (B, A)
        good = inside(xy_b, height, width) & (seen > 0) & (mask_b.flatten(1).gather(1, index_b) == identity)
        good &= (depth_b - seen).abs() <= self.occlusion + self.relative * seen
        return xy, xy_b, good & usable.flatten(1).gather(1, index)

    def _given(self, xy_a: Tensor, xy_b: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Brings known correspondences (B, P, 2), NaN in unused rows, into the form that ``project`` returns."""
        index = torch.arange(self.attempts, device=xy_a.device) % xy_a.shape[1]
        good = ~xy_a[:, index, 0].isnan() & (torch.arange(self.attempts, device=xy_a.device) < xy_a.shape[1])
        return xy_a[:, index].nan_to_num(0), xy_b[:, index].nan_to_num(0), good

    def _first(self, xy_a: Tensor, xy_b: Tensor, good: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Returns the first N good attempts of (B, A), then others as padding."""
        order = good.logical_not().to(torch.uint8).argsort(dim=1, stable=True)[:, : self.matches]  # (B, N)
        is_match = good.gather(1, order)
        xy_a = xy_a.gather(1, order[..., None].expand(-1, -1, 2))
        xy_b = xy_b.gather(1, order[..., None].expand(-1, -1, 2))
        return xy_a, torch.where(is_match[..., None], xy_b, 0), is_match


def _replace(matches: Sequence[Tensor], rows: Tensor, by: Sequence[Tensor]) -> tuple[Tensor, ...]:
    return tuple(old.index_copy(0, rows, new) for old, new in zip(matches, by, strict=True))
