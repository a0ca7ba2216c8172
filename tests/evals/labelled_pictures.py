"""Small labelled pictures with an answer: classes are colours under noise."""

from pathlib import Path

import numpy as np
from PIL import Image

COLOURS = {"blue": (40, 40, 200), "green": (40, 200, 40), "red": (200, 40, 40)}


def write_colours(folder: Path, count: int, noise: float, seed: int, size: int = 8) -> Path:
    """``count`` pictures of each colour, whose mean colour strays by ``noise`` grey levels."""
    draw = np.random.default_rng(seed)
    for name, colour in COLOURS.items():
        (folder / name).mkdir(parents=True)
        for i in range(count):
            mean = np.array(colour) + draw.normal(0, noise, 3)
            pixels = mean + draw.normal(0, 10, (size, size, 3))
            Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / name / f"{i:03d}.png")
    return folder


def picture_size(file: Path) -> int:
    """The short side in pixels of a picture that can be decoded."""
    with Image.open(file) as picture:
        picture.load()
        return min(picture.size)
