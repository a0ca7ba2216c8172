"""Clips made of still images that move."""

from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
import torch
from torch.utils.data import Dataset

from mmcontrast.data.io.archives import Root
from mmcontrast.data.io.decode import ImageError, decode
from mmcontrast.data.io.samples import Samples
from mmcontrast.data.sampler import SampleKey
from mmcontrast.errors import InputError


class MovingCrops(Dataset[dict[str, Any]]):
    """A data set of clips that it makes from still images, for training with few videos.

    A camera drifts, turns and zooms over an image that bends like cloth, while a piece of another image moves in
    front of it along a path of its own, and the light changes.  Samples have the form of those of ``Clips``.

    Args:
        root: Images: a folder, a .tar, .tar.gz or .zip file, a pattern, or several.
        frames: Number T of frames in a clip, at least 2.
        size: Side of the square in pixels.
        shift: Largest shift from the first to the last frame, as a fraction of the side.
        angle: Largest rotation in degrees.
        zoom: Largest factor by which the size grows or shrinks.
        bend: Largest shift by bending, as a fraction of the side.
        pasted: Probability of a moving piece in front.
        light: Largest change of brightness and contrast, as a fraction.
    """

    def __init__(
        self,
        root: Root,
        frames: int = 4,
        size: int = 256,
        shift: float = 0.25,
        angle: float = 15.0,
        zoom: float = 1.25,
        bend: float = 0.04,
        pasted: float = 0.8,
        light: float = 0.15,
    ) -> None:
        if frames < 2 or zoom < 1 or min(shift, angle, bend, light) < 0 or not 0 <= pasted <= 1:
            raise InputError(f"frames {frames}, zoom {zoom}: wanted frames >= 2, zoom >= 1 and no negative motion")
        self.samples = Samples(root)
        self.frames, self.size = frames, size
        self.motion, self.pasted, self.light = (shift, angle, zoom, bend), pasted, light

    def __len__(self) -> int:
        return len(self.samples)

    def name(self, index: int) -> str:
        """Returns the name of a sample, which says where its image comes from."""
        return self.samples.name(index)

    def __getitem__(self, sample_key: int | SampleKey) -> dict[str, Any]:
        sample_key = SampleKey.of(sample_key)
        if not 0 <= sample_key.index < len(self):
            raise IndexError(sample_key.index)
        generator = np.random.default_rng(sample_key.to_int())
        try:
            ground = self._image(sample_key.index)
            front = self._image(int(generator.integers(len(self)))) if generator.random() < self.pasted else None
        except ImageError as error:
            return {"corrupt": str(error), "sample_key": sample_key.to_int()}
        clip = np.stack(list(_moving(ground, self.frames, self.size, self.motion, 1.0, generator)))
        if front is not None:
            alpha = _blob(front.shape[0], front.shape[1], generator)
            layer = np.dstack([front, alpha])  # (H, W, 4)
            pieces = _moving(layer, self.frames, self.size, self.motion, 2.0, generator)
            for t, piece in enumerate(pieces):
                cover = piece[..., 3:].astype(np.float32) / 255
                clip[t] = (clip[t] * (1 - cover) + piece[..., :3] * cover).astype(np.uint8)
        clip = _relight(clip, self.light, generator)
        return {"clip": torch.from_numpy(clip).permute(0, 3, 1, 2).contiguous(), "sample_key": sample_key.to_int()}

    def _image(self, index: int) -> np.ndarray:
        data = self.samples.read(index, "image")
        assert data is not None  # every sample has an image
        return decode(data, at_least=self.size, name=self.samples.name(index))


def _moving(
    image: np.ndarray,
    frames: int,
    size: int,
    motion: tuple[float, float, float, float],
    speed: float,
    generator: np.random.Generator,
) -> Iterator[np.ndarray]:
    """Yields views (size, size, C) of an image (H, W, C) by a camera that moves smoothly."""
    shift, angle, zoom, bend = (motion[0] * speed, motion[1] * speed, motion[2], motion[3])
    height, width = image.shape[:2]
    y, x = (np.indices((size, size), dtype=np.float32) - (size - 1) / 2) / size  # (size, size) in [-0.5, 0.5]
    base = min(height, width) * generator.uniform(0.6, 0.95)  # pixels of the image across the view
    center = np.array([width, height]) / 2 + generator.uniform(-0.5, 0.5, 2) * (np.array([width, height]) - base)
    step = generator.uniform(-shift, shift, 2) * base
    turn = np.deg2rad(generator.uniform(-angle, angle))
    growth = zoom ** generator.uniform(-1, 1)
    waves = generator.uniform(-bend, bend, (4, 4, 2)).astype(np.float32)
    field = cv2.resize(waves, (size, size), interpolation=cv2.INTER_CUBIC)  # (size, size, 2)
    for progress in np.linspace(0, 1, frames):
        cosine, sine = np.cos(turn * progress), np.sin(turn * progress)
        u, v = x + field[..., 0] * progress, y + field[..., 1] * progress
        side = base * growth**progress
        map_x = center[0] + step[0] * progress + (cosine * u - sine * v) * side
        map_y = center[1] + step[1] * progress + (sine * u + cosine * v) * side
        border = cv2.BORDER_CONSTANT if image.shape[2] == 4 else cv2.BORDER_REFLECT_101
        yield cv2.remap(image, map_x.astype(np.float32), map_y.astype(np.float32), cv2.INTER_LINEAR, borderMode=border)


def _blob(height: int, width: int, generator: np.random.Generator) -> np.ndarray:
    """Returns a mask (height, width) uint8 of a random rounded shape, 255 inside."""
    angles = np.linspace(0, 2 * np.pi, 12, endpoint=False)
    radii = min(height, width) * generator.uniform(0.12, 0.34) * generator.uniform(0.7, 1.3, 12)
    center = np.array([width, height]) * generator.uniform(0.35, 0.65, 2)
    corners = center + radii[:, None] * np.stack([np.cos(angles), np.sin(angles)], 1)
    mask = cv2.fillPoly(np.zeros((height, width), np.uint8), [corners.astype(np.int32)], 255)
    return cv2.GaussianBlur(mask, (0, 0), 1.5)


def _relight(clip: np.ndarray, light: float, generator: np.random.Generator) -> np.ndarray:
    """Changes brightness and contrast smoothly along a clip (T, H, W, 3)."""
    ends = generator.uniform(-light, light, (2, 2))
    steps = np.linspace(0, 1, len(clip))[:, None, None, None]
    gain, offset = (1 + ends[0, i] + (ends[1, i] - ends[0, i]) * steps for i in range(2))
    relit: np.ndarray = ((clip - 128.0) * gain + 128 * offset).clip(0, 255).astype(np.uint8)
    return relit
