"""Correspondences between the images of a pair, found for a whole batch on the device that trains."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mmcontrast.data.augment.pixel_sampling import draw_non_matches, draw_pixels
from mmcontrast.data.augment.warps import RandomWarp
from mmcontrast.data.datasets.view_pair import GIVEN, WARPED
from mmcontrast.errors import InputError
from mmcontrast.ops.geometry import inside, pixel_index, reproject
from mmcontrast.ops.random import uniform

_STREAM = 1  # of the sample's key


class FindMatches(nn.Module):
    """Raw pairs -> float images with matches and non-matches; the last step of an augmentation.

    Pixels are drawn on a's objects and followed into b: depth -> camera a -> camera b -> pixel.  Those without depth,
    outside b's view, on another object, or off b's surface (occluded, or wrongly measured) are dropped.  Adds

        image_a, image_b   (B, 3, H, W) float in [0, 1]
        match_a, match_b   (B, N, 2) float pixels (x, y)
        is_match           (B, N) bool; the first of each row, the rest is padding
        anchor             (B, N) bool, pixels of a that have non-matches: matches, or any object pixel of a blind pair
        non_match          (B, N, K) int64 pixels y * W + x of b

    Args:
        matches: N per pair.
        attempts: pixels to try, of which the first N good ones stay; None: 2 N.
        non_matches: K per match.
        occlusion: meters that a point may lie behind or before the surface that b sees (paper: 3 mm).
        relative: the same as a share of its depth, added; depth cameras err by about 1 % at 2 m.
        radius: pixels around a match without non-matches.
        warp: how warped pairs are made.
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
        """Raw pairs on any device -> the same with images as float and the entries above."""
        width = batch["image_a"].shape[-1]
        if 4 * self.radius >= width:
            raise InputError(f"radius {self.radius} leaves no room for non-matches in images {width} wide")
        images = {name: batch[name].float() / 255 for name in ("image_a", "image_b")}
        found: tuple[Tensor, ...] = self.follow(batch)
        warped, given = ((batch["source"] == source).nonzero()[:, 0] for source in (WARPED, GIVEN))
        if len(warped):
            image_b, *of_warp = self.warp.pairs(images["image_a"][warped], batch["sample_key"][warped], self.attempts)
            images["image_b"] = images["image_b"].index_copy(0, warped, image_b)
            found = _replace(found, warped, of_warp)
        if len(given):
            found = _replace(found, given, self._given(batch["given_a"][given], batch["given_b"][given]))
        match_a, match_b, is_match = self._first(*found)
        blind = batch["blind"][:, None]
        anchor = is_match | blind & (batch["mask_a"].flatten(1) > 0).any(1, keepdim=True)
        non_match = draw_non_matches(
            batch["mask_b"] > 0,
            batch["masked_share"],
            torch.where(is_match[..., None], match_b, -torch.inf),
            batch["sample_key"],
            self.non_matches,
            self.radius,
        )
        found_all = {"match_a": match_a, "match_b": match_b, "is_match": is_match, "anchor": anchor}
        return {**batch, **images, **found_all, "non_match": non_match}

    def follow(self, batch: dict[str, Any]) -> tuple[Tensor, Tensor, Tensor]:
        """Tries pixels of a: (B, A, 2) pixels, (B, A, 2) where b sees them, (B, A) bool whether it does."""
        height, width = batch["image_a"].shape[-2:]
        mask_a, mask_b = batch["mask_a"], batch["mask_b"]
        unit = batch["depth_unit"][:, None, None]
        meters_a, meters_b = (batch[name].float() * unit for name in ("depth_a", "depth_b"))
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
        """Known correspondences (B, P, 2), NaN where there are fewer, in place of attempts."""
        place = torch.arange(self.attempts, device=xy_a.device) % xy_a.shape[1]
        good = ~xy_a[:, place, 0].isnan() & (torch.arange(self.attempts, device=xy_a.device) < xy_a.shape[1])
        return xy_a[:, place].nan_to_num(0), xy_b[:, place].nan_to_num(0), good

    def _first(self, xy_a: Tensor, xy_b: Tensor, good: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Of (B, A) attempts the first N good ones, then others as padding."""
        order = good.logical_not().to(torch.uint8).argsort(dim=1, stable=True)[:, : self.matches]  # (B, N)
        is_match = good.gather(1, order)
        xy_a = xy_a.gather(1, order[..., None].expand(-1, -1, 2))
        xy_b = xy_b.gather(1, order[..., None].expand(-1, -1, 2))
        return xy_a, torch.where(is_match[..., None], xy_b, 0), is_match


def _replace(found: Sequence[Tensor], rows: Tensor, by: Sequence[Tensor]) -> tuple[Tensor, ...]:
    return tuple(old.index_copy(0, rows, new) for old, new in zip(found, by, strict=True))
