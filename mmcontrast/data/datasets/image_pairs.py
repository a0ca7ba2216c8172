"""Pairs without depth: an image and a warp of it, or two frames of a clip and the flow between them."""

from typing import Any

import cv2
import numpy as np
from torch.utils.data import Dataset

from mmcontrast.data.datasets.view_pair import GIVEN, GIVEN_POINTS, WARPED, raw_pair
from mmcontrast.data.io.archives import Root
from mmcontrast.data.io.decode import ImageError, decode
from mmcontrast.data.io.samples import Samples
from mmcontrast.data.sampler import SampleKey
from mmcontrast.errors import InputError

_WARP, _ANCHOR = 11, 12  # streams of the sample's key


class ImagePairs(Dataset[dict[str, Any]]):
    """Plain images, each to be paired with a random warp of itself by ``FindMatches``.

    Args:
        root: folders, shards or patterns of images.
        size: (H, W) that images are cut to.
        scale: smallest share of the largest window of that shape that the random cut takes.
    """

    def __init__(self, root: Root, size: tuple[int, int] = (240, 320), scale: float = 0.5) -> None:
        self.samples, self.size, self.scale = Samples(root), (size[0], size[1]), scale

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, sample_key: int | SampleKey) -> dict[str, Any]:
        sample_key = SampleKey.of(sample_key)
        try:
            image = decode(self.samples.read(sample_key.index, "image") or b"", name=self.name(sample_key.index))
        except ImageError as error:
            return {"corrupt": str(error), "sample_key": sample_key.to_int()}
        image = random_window(image, self.size, self.scale, np.random.default_rng(sample_key.to_int()))
        return raw_pair(sample_key, image, image, source=WARPED)

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

    def __getitem__(self, sample_key: int | SampleKey) -> dict[str, Any]:
        sample_key = SampleKey.of(sample_key)
        rng, frames = np.random.default_rng(sample_key.to_int()), self.clips[sample_key.index]
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
            return {"corrupt": str(error), "sample_key": sample_key.to_int()}
        points = flow_points(images[0], images[1], self.tolerance, GIVEN_POINTS, rng)
        return raw_pair(sample_key, images[0], images[1], source=GIVEN, given=points)

    def name(self, index: int) -> str:
        """Where the sample comes from."""
        return self.samples.name(self.clips[index][0]).rpartition("/")[0]


def flow_points(
    image_a: np.ndarray, image_b: np.ndarray, tolerance: float, count: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Points that DIS optical flow follows from a to b and back to within ``tolerance`` pixels: two (P, 2)."""
    gray_a, gray_b = (cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in (image_a, image_b))
    flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    there = flow.calc(gray_a, gray_b, None)  # type: ignore[call-overload]  # (H, W, 2)
    back = flow.calc(gray_b, gray_a, None)  # type: ignore[call-overload]
    height, width = gray_a.shape
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
