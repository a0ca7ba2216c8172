"""Small labeled images with an answer: classes are colors under noise."""

from pathlib import Path

import numpy as np
from PIL import Image

COLORS = {"blue": (40, 40, 200), "green": (40, 200, 40), "red": (200, 40, 40)}


def write_colors(folder: Path, count: int, noise: float, seed: int, size: int = 8) -> Path:
    """``count`` images of each color, whose mean color strays by ``noise`` gray levels."""
    draw = np.random.default_rng(seed)
    for name, color in COLORS.items():
        (folder / name).mkdir(parents=True)
        for i in range(count):
            mean = np.array(color) + draw.normal(0, noise, 3)
            pixels = mean + draw.normal(0, 10, (size, size, 3))
            Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / name / f"{i:03d}.png")
    return folder


def image_size(file: Path) -> int:
    """The short side in pixels of an image that can be decoded."""
    with Image.open(file) as image:
        image.load()
        return min(image.size)
