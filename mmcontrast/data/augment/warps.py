"""Random warps of images, which give correspondences without depth."""

import torch
from torch import Tensor, nn

from mmcontrast.ops.geometry import (
    apply_homography,
    homography_from_corners,
    inside,
    pixel_grid,
    sample,
    thin_plate,
)
from mmcontrast.ops.random import uniform

_WARP, _ANCHOR = 11, 12  # streams of the sample's key


class RandomWarp(nn.Module):
    """A random homography (rotation, zoom, shift, perspective) after a random thin-plate warp.

    Args:
        angle: Largest rotation in degrees.
        zoom: Largest factor by which the size grows or shrinks.
        shift: Largest shift, as a fraction of the image.
        perspective: Largest shift of each corner, as a fraction of the image.
        bend: Largest shift of each thin-plate control point (a grid of 4 x 4), as a fraction of the image.
    """

    def __init__(
        self,
        angle: float = 30.0,
        zoom: float = 1.5,
        shift: float = 0.15,
        perspective: float = 0.1,
        bend: float = 0.04,
    ) -> None:
        super().__init__()
        self.angle, self.zoom, self.shift, self.perspective, self.bend = angle, zoom, shift, perspective, bend

    def backward_map(self, sample_key: Tensor, xy_b: Tensor, height: int, width: int) -> Tensor:
        """Returns the pixels of the original image that pixels of the warped image come from.

        Args:
            sample_key: Keys of the random draws, (B,) int64.
            xy_b: Pixels of the warped image, (B, N, 2).
            height: Height of both images.
            width: Width of both images.

        Returns:
            Pixels of the original image, (B, N, 2); NaN beyond the horizon.
        """
        u = uniform(sample_key, 4 + 8 + 32, stream=_WARP) * 2 - 1  # (B, 44) in [-1, 1)
        side = xy_b.new_tensor([width, height])
        center = (side - 1) / 2
        angle = torch.deg2rad(u[:, 0] * self.angle)
        scale = self.zoom ** u[:, 1]
        turn = torch.stack([angle.cos(), -angle.sin(), angle.sin(), angle.cos()], -1).view(-1, 2, 2)
        corners = xy_b.new_tensor([[0, 0], [width - 1, 0], [width - 1, height - 1], [0, height - 1]]) - center  # (4, 2)
        corners = (corners @ turn.mT) * scale[:, None, None] + center + u[:, None, 2:4] * self.shift * side
        corners = corners + u[:, 4:12].view(-1, 4, 2) * self.perspective * side  # (B, 4, 2)
        homography = homography_from_corners(corners, height, width)
        lattice = pixel_grid(4, 4, xy_b.device) / 3 * (side - 1)  # (16, 2)
        control = lattice.expand(len(sample_key), -1, -1)
        target = control + u[:, 12:].view(-1, 16, 2) * self.bend * side
        return apply_homography(homography, thin_plate(control, target, xy_b))

    def pairs(self, image: Tensor, sample_key: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Warps images and draws correspondences.

        Args:
            image: Images, (B, 3, H, W) float.
            sample_key: Keys of the random draws, (B,) int64.
            count: Number N of correspondences to try per image.

        Returns:
            Warped images, (B, 3, H, W), black beyond the original; pixels of ``image``, (B, N, 2); pixels of the warped
            images, (B, N, 2); whether ``image`` has that pixel, (B, N) bool.
        """
        batch, _, height, width = image.shape
        everywhere = pixel_grid(height, width, image.device).expand(batch, -1, -1)
        source = self.backward_map(sample_key, everywhere, height, width)  # (B, H W, 2)
        there = inside(source, height, width)
        warped = (sample(image, source) * there[..., None]).mT.reshape(image.shape)
        index = (uniform(sample_key, count, stream=_ANCHOR) * (height * width)).long().clamp_(max=height * width - 1)
        xy_a = source.gather(1, index[..., None].expand(-1, -1, 2))
        xy_b = everywhere.gather(1, index[..., None].expand(-1, -1, 2))
        good = there.gather(1, index)
        return warped, torch.where(good[..., None], xy_a, 0), xy_b, good
