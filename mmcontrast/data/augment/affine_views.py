"""Random affine maps of the views of a pair, applied before the correspondences are computed."""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmcontrast.data.augment.entries import require_entries
from mmcontrast.data.augment.find_matches import FindMatches
from mmcontrast.errors import InputError
from mmcontrast.ops.geometry import apply_homography, pixel_grid
from mmcontrast.ops.random import uniform

_STREAM = 40  # of the sample's key


class AffineViews(nn.Module):
    """An augmentation of raw pairs that zooms, rotates and stretches both views, as if other cameras had taken them.

    An affine map A of the pixels is a camera of intrinsics A K: images, depths, masks and intrinsics change together,
    and every correspondence stays true.  Both views are mapped about a point that both show, which keeps its position.

    Args:
        zoom: Smallest and largest magnification of both views.
        apart: Largest factor, up or down, between the magnification of a view and that of the pair; at least 1.
        stretch: Largest factor, up or down, by which the height of a view grows against its width, as if a higher or a
            lower camera had taken it; at least 1.
        turn: Largest rotation in the image plane, in degrees in either direction.
    """

    def __init__(
        self,
        zoom: tuple[float, float] = (1.0, 2.0),
        apart: float = 1.15,
        stretch: float = 1.2,
        turn: float = 15.0,
    ) -> None:
        super().__init__()
        if not (0 < zoom[0] <= zoom[1] and apart >= 1 and stretch >= 1):
            raise InputError(
                f"zoom is {tuple(zoom)}, apart {apart}, stretch {stretch}; wanted 0 < zoom[0] <= zoom[1], and factors "
                "from 1 on"
            )
        self.zoom, self.apart, self.stretch, self.turn = zoom, apart, stretch, math.radians(turn)
        self.find = FindMatches(matches=1, attempts=256)

    def forward(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Returns the raw pairs with changed views of the same size.

        Args:
            batch: Raw pairs, see ``raw_pair``, on any device.

        Returns:
            The batch with changed images, depths, masks, intrinsics and known correspondences.  Depths are float, in
            the unit that they had.

        Raises:
            InputError: The batch does not hold raw pairs.
        """
        require_entries(self, batch, "image_a", "image_b", "depth_a", "depth_b", "sample_key")
        height, width = batch["image_a"].shape[-2:]
        u = uniform(batch["sample_key"], 7, stream=_STREAM)  # (B, 7)
        both = _between(self.zoom[0], self.zoom[1], u[:, 0])
        centers = self._shared_points(batch)
        changed = dict(batch)
        for side, center, draw in zip("ab", centers, (u[:, 1:4], u[:, 4:7]), strict=True):
            scale = both * _between(1 / self.apart, self.apart, draw[:, 0])
            affine = _about(
                center, scale, _between(1 / self.stretch, self.stretch, draw[:, 1]), (2 * draw[:, 2] - 1) * self.turn
            )
            source = apply_homography(
                torch.linalg.inv(affine), pixel_grid(height, width, u.device).expand(len(u), -1, -1)
            )
            image, depth, mask = (batch[f"{name}_{side}"] for name in ("image", "depth", "mask"))
            changed[f"image_{side}"] = _pick(image, source, "bilinear").round_().to(torch.uint8)
            changed[f"depth_{side}"] = _pick(depth[:, None], source, "nearest")[:, 0]
            changed[f"mask_{side}"] = _pick(mask[:, None], source, "nearest")[:, 0].to(torch.uint8)
            changed[f"intrinsics_{side}"] = affine @ batch[f"intrinsics_{side}"]
            changed[f"given_{side}"] = apply_homography(affine, batch[f"given_{side}"])
        return changed

    def _shared_points(self, batch: dict[str, Any]) -> tuple[Tensor, Tensor]:
        """Returns a pixel of a and the same point in b, (B, 2) each; the center for pairs without a shared point."""
        height, width = batch["image_a"].shape[-2:]
        *positions, good = self.find.project(batch)  # (B, A, 2) twice, (B, A)
        first = good.to(torch.uint8).argmax(1)[:, None, None].expand(-1, 1, 2)
        middle = positions[0].new_tensor([(width - 1) / 2, (height - 1) / 2])
        a, b = (torch.where(good.any(1)[:, None], xy.gather(1, first)[:, 0], middle) for xy in positions)
        return a, b


def _between(low: float, high: float, u: Tensor) -> Tensor:
    """Returns numbers in [low, high] whose logarithm is uniform, from uniform numbers in [0, 1)."""
    return low * (high / low) ** u


def _about(center: Tensor, scale: Tensor, stretch: Tensor, turn: Tensor) -> Tensor:
    """Returns (B, 3, 3) affine maps about center (B, 2) that stretch the height, then rotate, then scale."""
    cosine, sine = scale * turn.cos(), scale * turn.sin()
    linear = torch.stack([cosine, -sine * stretch, sine, cosine * stretch], 1).view(-1, 2, 2)
    shift = center - (linear @ center[..., None])[..., 0]
    bottom = linear.new_tensor([0, 0, 1]).expand(len(linear), 1, 3)
    return torch.cat([torch.cat([linear, shift[..., None]], 2), bottom], 1)


def _pick(image: Tensor, source: Tensor, mode: str) -> Tensor:
    """Samples (B, C, H, W) at pixels (B, H W, 2), as float; bilinear repeats the border, nearest pads with 0."""
    height, width = image.shape[-2:]
    normalized = (source + 0.5) / source.new_tensor([width, height]) * 2 - 1
    padding = "border" if mode == "bilinear" else "zeros"
    grid = normalized.view(-1, height, width, 2)
    return F.grid_sample(image.float(), grid, mode=mode, padding_mode=padding, align_corners=False)
