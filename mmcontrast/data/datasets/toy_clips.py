"""Learnable toy videos, each a pure function of its index."""

from typing import Any

import torch
import torch.nn.functional as F
from torch.utils.data import Dataset

from mmcontrast.data.sampler import SampleKey
from mmcontrast.errors import InputError


class ToyClips(Dataset[dict[str, Any]]):
    """A data set of clips in which a colored texture drifts and a colored square moves over it.

    A sample is ``clip`` (frames, 3, size, size) uint8 and ``sample_key`` int.

    Args:
        length: Number of videos.
        frames: Number T of frames, at least 2.
        size: Side in pixels, a multiple of 4.
    """

    def __init__(self, length: int = 256, frames: int = 3, size: int = 32) -> None:
        if length < 1 or frames < 2 or size < 8 or size % 4:
            raise InputError(f"length {length}, frames {frames}, size {size}: wanted >= 1, >= 2 and a multiple of 4")
        self.length, self.frames, self.size = length, frames, size

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, sample_key: int | SampleKey) -> dict[str, Any]:
        sample_key = SampleKey.of(sample_key)
        if not 0 <= sample_key.index < self.length:
            raise IndexError(sample_key.index)
        generator = torch.Generator().manual_seed(sample_key.index)
        cells, side = self.size // 4, self.size // 2
        ground = F.interpolate(torch.rand(1, 3, cells, cells, generator=generator), scale_factor=4)[0]
        square = F.interpolate(torch.rand(1, 3, side // 4, side // 4, generator=generator), size=(side, side))[0]
        drift, step = torch.randint(-2, 3, (2, 2), generator=generator).tolist()
        start = torch.randint(0, self.size, (2,), generator=generator).tolist()
        frames = []
        for t in range(self.frames):
            frame = ground.roll((drift[0] * t, drift[1] * t), (1, 2)).clone()
            top, left = ((start[i] + step[i] * t) % (self.size - side) for i in range(2))
            frame[:, top : top + side, left : left + side] = square
            frames.append(frame)
        return {"clip": (torch.stack(frames) * 255).round().to(torch.uint8), "sample_key": sample_key.to_int()}
