"""Crops and sizes of decoded images, resized with the antialiasing of PIL."""

from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F

Pixels = npt.NDArray[np.uint8]  # (H, W, 3) RGB
Interpolation = Literal["bicubic", "bilinear"]


def crop(image: Pixels, size: int, interpolation: Interpolation = "bicubic") -> Pixels:
    """Returns the center of an image whose short side is brought to ``size``.

    Args:
        image: (H, W, 3).
        size: Side of the result in pixels.
        interpolation: How the image is resized.

    Returns:
        (size, size, 3).
    """
    height, width = image.shape[:2]
    if height <= width:
        image = resize(image, size, int(size * width / height), interpolation)
    else:
        image = resize(image, int(size * height / width), size, interpolation)
    top, left = round((image.shape[0] - size) / 2), round((image.shape[1] - size) / 2)
    return image[top : top + size, left : left + size]


def squash(image: Pixels, size: int, interpolation: Interpolation = "bicubic") -> Pixels:
    """Returns all of an image as a square; its aspect ratio is not kept.

    Args:
        image: (H, W, 3).
        size: Side of the result in pixels.
        interpolation: How the image is resized.

    Returns:
        (size, size, 3).
    """
    return resize(image, size, size, interpolation)


def random_crop(
    image: Pixels,
    size: int,
    generator: np.random.Generator,
    scale: tuple[float, float] = (0.9, 1.0),
    ratio: tuple[float, float] = (3 / 4, 4 / 3),
    interpolation: Interpolation = "bicubic",
) -> Pixels:
    """Returns a region of random area and shape, resized.

    Args:
        image: (H, W, 3).
        size: Side of the result in pixels.
        generator: Source of the randomness.
        scale: Smallest and largest area, as a fraction of the image.
        ratio: Narrowest and widest shape, width / height.
        interpolation: How the region is resized.

    Returns:
        (size, size, 3).
    """
    height, width = image.shape[:2]
    for _ in range(10):
        area = height * width * generator.uniform(*scale)
        shape = np.exp(generator.uniform(np.log(ratio[0]), np.log(ratio[1])))
        w, h = round((area * shape) ** 0.5), round((area / shape) ** 0.5)
        if 0 < w <= width and 0 < h <= height:
            break
    else:  # the image itself is too long or too wide: its largest central region of an allowed shape
        w, h = min(width, round(height * ratio[1])), min(height, round(width / ratio[0]))
        top, left = (height - h) // 2, (width - w) // 2
        return resize(image[top : top + h, left : left + w], size, size, interpolation)
    top, left = generator.integers(0, height - h, endpoint=True), generator.integers(0, width - w, endpoint=True)
    return resize(image[top : top + h, left : left + w], size, size, interpolation)


def resize(image: Pixels, height: int, width: int, interpolation: Interpolation = "bicubic") -> Pixels:
    """Returns an image of another size, antialiased as PIL does it.

    Args:
        image: (H, W, 3) uint8.
        height: Height of the result in pixels.
        width: Width of the result in pixels.
        interpolation: "bicubic" or "bilinear".

    Returns:
        (height, width, 3) uint8.
    """
    if image.shape[:2] == (height, width):
        return image
    pixels = torch.from_numpy(np.require(image, requirements=("C", "W"))).permute(2, 0, 1)  # (3, H, W), channels last
    resized = F.interpolate(pixels[None], (height, width), mode=interpolation, antialias=True)
    pixels_of_size: Pixels = resized[0].permute(1, 2, 0).numpy()
    return pixels_of_size
