"""Correspondences without depth: a picture and a warp of it, or two frames of a clip and the flow between them."""

from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from mmcontrast.data.archives import Root
from mmcontrast.data.decode import ImageError, decode
from mmcontrast.data.raw_pairs import GIVEN, GIVEN_POINTS, WARPED, raw_pair
from mmcontrast.data.sampler import Key
from mmcontrast.data.samples import Samples
from mmcontrast.errors import InputError
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
        angle: largest rotation in degrees.
        zoom: largest factor of size, either way.
        shift: largest shift as a share of the picture.
        perspective: largest move of each corner as a share of the picture.
        bend: largest move of each thin-plate control point (a grid of 4 x 4) as a share of the picture.
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

    def backward_map(self, key: Tensor, xy_b: Tensor, height: int, width: int) -> Tensor:
        """Where the pixels of the warped picture come from.

        Args:
            key: (B,) int64, one per sample.
            xy_b: (B, N, 2) pixels of the warped picture.
            height, width: of both pictures.
        Returns:
            (B, N, 2) pixels of the picture itself; NaN beyond the horizon.
        """
        u = uniform(key, 4 + 8 + 32, stream=_WARP) * 2 - 1  # (B, 44) in [-1, 1)
        side = xy_b.new_tensor([width, height])
        centre = (side - 1) / 2
        angle = torch.deg2rad(u[:, 0] * self.angle)
        scale = self.zoom ** u[:, 1]
        turn = torch.stack([angle.cos(), -angle.sin(), angle.sin(), angle.cos()], -1).view(-1, 2, 2)
        corners = xy_b.new_tensor([[0, 0], [width - 1, 0], [width - 1, height - 1], [0, height - 1]]) - centre  # (4, 2)
        corners = (corners @ turn.mT) * scale[:, None, None] + centre + u[:, None, 2:4] * self.shift * side
        corners = corners + u[:, 4:12].view(-1, 4, 2) * self.perspective * side  # (B, 4, 2)
        homography = homography_from_corners(corners, height, width)
        lattice = pixel_grid(4, 4, xy_b.device) / 3 * (side - 1)  # (16, 2)
        control = lattice.expand(len(key), -1, -1)
        target = control + u[:, 12:].view(-1, 16, 2) * self.bend * side
        return apply_homography(homography, thin_plate(control, target, xy_b))

    def pairs(self, image: Tensor, key: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Warps pictures and draws correspondences.

        Args:
            image: (B, 3, H, W) float.
            key: (B,) int64, one per sample.
            count: N correspondences per picture to try.
        Returns:
            (B, 3, H, W) warped, black where the picture ends; (B, N, 2) pixels of ``image``; (B, N, 2) pixels of the
            warped picture; (B, N) bool whether ``image`` has that pixel.
        """
        batch, _, height, width = image.shape
        everywhere = pixel_grid(height, width, image.device).expand(batch, -1, -1)
        source = self.backward_map(key, everywhere, height, width)  # (B, H W, 2)
        there = inside(source, height, width)
        warped = (sample(image, source) * there[..., None]).mT.reshape(image.shape)
        index = (uniform(key, count, stream=_ANCHOR) * (height * width)).long().clamp_(max=height * width - 1)
        xy_a = source.gather(1, index[..., None].expand(-1, -1, 2))
        xy_b = everywhere.gather(1, index[..., None].expand(-1, -1, 2))
        good = there.gather(1, index)
        return warped, torch.where(good[..., None], xy_a, 0), xy_b, good


class PicturePairs(Dataset[dict[str, Any]]):
    """Plain pictures, each to be paired with a random warp of itself by ``FindMatches``.

    Args:
        root: folders, shards or patterns of pictures.
        size: (H, W) that pictures are cut to.
        scale: smallest share of the largest window of that shape that the random cut takes.
    """

    def __init__(self, root: Root, size: tuple[int, int] = (240, 320), scale: float = 0.5) -> None:
        self.samples, self.size, self.scale = Samples(root), (size[0], size[1]), scale

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, key: int | Key) -> dict[str, Any]:
        key = Key.of(key)
        try:
            image = decode(self.samples.read(key.index, "image") or b"", name=self.name(key.index))
        except ImageError as error:
            return {"corrupt": str(error), "key": key.fold()}
        image = random_window(image, self.size, self.scale, np.random.default_rng(key.fold()))
        return raw_pair(key, image, image, source=WARPED)

    def name(self, index: int) -> str:
        """Where the sample comes from."""
        return self.samples.name(index)


class FlowPairs(Dataset[dict[str, Any]]):
    """Two frames of a clip, with the correspondences that optical flow finds between them.

    The flow is DIS (Kroeger et al. 2016, https://arxiv.org/abs/1603.03590) both ways; a point counts where going there
    and back returns to it.

    Args:
        root: folders of frames or shards of them, one folder a clip, frames in the order of their names.
        size: (H, W) that frames are brought to.
        gap: smallest and largest number of frames between the two.
        tolerance: pixels by which there and back may miss.
    """

    def __init__(
        self,
        root: Root,
        size: tuple[int, int] = (240, 320),
        gap: tuple[int, int] = (1, 4),
        tolerance: float = 1.0,
    ) -> None:
        self.samples, self.size, self.gap, self.tolerance = Samples(root), (size[0], size[1]), gap, tolerance
        clips: dict[str, list[int]] = {}
        for index in sorted(range(len(self.samples)), key=self.samples.name):
            clips.setdefault(self.samples.name(index).rpartition("/")[0], []).append(index)
        self.clips = [frames for frames in clips.values() if len(frames) > gap[0]]
        if not self.clips:
            raise InputError(f"{root}: no folder has two frames {gap[0]} apart")

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, key: int | Key) -> dict[str, Any]:
        key = Key.of(key)
        rng, frames = np.random.default_rng(key.fold()), self.clips[key.index]
        gap = int(rng.integers(self.gap[0], min(self.gap[1], len(frames) - 1), endpoint=True))
        first = int(rng.integers(len(frames) - gap))
        order = (frames[first], frames[first + gap]) if rng.random() < 0.5 else (frames[first + gap], frames[first])
        try:
            images = [
                cv2.resize(
                    decode(self.samples.read(i, "image") or b"", name=self.samples.name(i)),
                    self.size[::-1],
                    interpolation=cv2.INTER_AREA,
                )
                for i in order
            ]
        except ImageError as error:
            return {"corrupt": str(error), "key": key.fold()}
        points = flow_points(images[0], images[1], self.tolerance, GIVEN_POINTS, rng)
        return raw_pair(key, images[0], images[1], source=GIVEN, given=points)

    def name(self, index: int) -> str:
        """Where the sample comes from."""
        return self.samples.name(self.clips[index][0]).rpartition("/")[0]


def flow_points(
    image_a: np.ndarray, image_b: np.ndarray, tolerance: float, count: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Points that DIS optical flow follows from a to b and back to within ``tolerance`` pixels: two (P, 2)."""
    grey_a, grey_b = (cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in (image_a, image_b))
    flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    there = flow.calc(grey_a, grey_b, None)  # type: ignore[call-overload]  # (H, W, 2)
    back = flow.calc(grey_b, grey_a, None)  # type: ignore[call-overload]
    height, width = grey_a.shape
    xy_a = rng.integers((width, height), size=(2 * count, 2))
    moved = there[xy_a[:, 1], xy_a[:, 0]]
    xy_b = xy_a + moved
    x, y = np.round(xy_b).astype(int).T
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    returned = moved + back[np.clip(y, 0, height - 1), np.clip(x, 0, width - 1)]
    good = inside & (np.hypot(*returned.T) <= tolerance)
    return xy_a[good][:count].astype(np.float32), xy_b[good][:count].astype(np.float32)


def random_window(image: np.ndarray, size: tuple[int, int], scale: float, rng: np.random.Generator) -> np.ndarray:
    """(H, W, 3) -> size: a window of the wanted shape, at random place and scale."""
    height, width = image.shape[:2]
    factor = min(height / size[0], width / size[1]) * rng.uniform(scale, 1)
    h, w = max(1, int(size[0] * factor)), max(1, int(size[1] * factor))
    top, left = int(rng.integers(height - h + 1)), int(rng.integers(width - w + 1))
    window = image[top : top + h, left : left + w]
    return cv2.resize(window, size[::-1], interpolation=cv2.INTER_AREA if factor > 1 else cv2.INTER_LINEAR)
