"""Learnable toy data, a pure function of the index, so that tests and tutorials need no download."""

from typing import Any

import torch
from torch.utils.data import Dataset

from mmcontrast.data.sampler import SampleKey
from mmcontrast.errors import InputError

COLORS = {
    "red": (200, 40, 40),
    "green": (40, 170, 60),
    "blue": (50, 70, 210),
    "yellow": (220, 210, 50),
    "purple": (140, 50, 160),
}
SHAPES = ("square", "disc", "bar", "cross")


class ToyImages(Dataset[dict[str, Any]]):
    """A colored shape at a random position on noise.

    A sample is ``image`` (3, size, size) uint8, ``label`` int, and ``sample_key`` int. Index i shows class i modulo
    the number of classes (color and shape); position, size and noise are fixed by the index, as in a folder of files.

    Args:
        length: Number of samples.
        size: Side of an image in pixels, at least 8.
    """

    classes = tuple(f"{color} {shape}" for color in COLORS for shape in SHAPES)

    def __init__(self, length: int = 256, size: int = 32) -> None:
        if length < 1 or size < 8:
            raise InputError(f"length is {length} and size {size}; wanted at least 1 sample and 8 pixels")
        self.length, self.size = length, size

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, sample_key: int | SampleKey) -> dict[str, Any]:
        sample_key = SampleKey.of(sample_key)
        if not 0 <= sample_key.index < self.length:
            raise IndexError(sample_key.index)
        label, size = sample_key.index % len(self.classes), self.size
        color, shape = self.classes[label].split()
        generator = torch.Generator().manual_seed(sample_key.index)
        radius = size * (0.2 + 0.12 * torch.rand((), generator=generator))
        center = radius + (size - 2 * radius) * torch.rand(2, 1, 1, generator=generator)
        y, x = ((torch.stack(torch.meshgrid(*[torch.arange(size)] * 2, indexing="ij")) - center) / radius).abs()
        inside = {
            "square": torch.maximum(y, x) < 0.85,
            "disc": y.square() + x.square() < 1,
            "bar": (y < 0.35) & (x < 1),
            "cross": (torch.minimum(y, x) < 0.3) & (torch.maximum(y, x) < 1),
        }[shape]  # (size, size)
        paint = torch.tensor(COLORS[color])[:, None, None]
        noise = torch.randint(0, 60, (3, size, size), generator=generator)
        image = torch.where(inside, paint, 90) + noise - 30
        return {"image": image.clamp(0, 255).to(torch.uint8), "label": label, "sample_key": sample_key.to_int()}


class ToyPairs(ToyImages):
    """The images of ``ToyImages`` with captions, whose wording changes from epoch to epoch."""

    def captions(self, index: int) -> list[str]:
        """Returns all captions of an image.

        Args:
            index: Index of the image.
        """
        name = self.classes[index % len(self.classes)]
        return [f"a {name}", f"an image of a {name}", f"there is a {name} here"]

    def __getitem__(self, sample_key: int | SampleKey) -> dict[str, Any]:
        sample = super().__getitem__(sample_key)
        captions = self.captions(SampleKey.of(sample_key).index)
        del sample["label"]
        return {**sample, "text": captions[sample["sample_key"] % len(captions)]}
