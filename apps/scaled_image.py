"""An image as a page displays it, and the way between its pixels and those of the user's own image."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt


class ScaledImage(NamedTuple):
    """An image that may have been reduced for the page.

    Every coordinate that a person reads, types or downloads is in pixels of the original image.

    Attributes:
        pixels: The reduced image, (h, w, 3) uint8.
        height: Height of the original image in pixels.
        width: Width of the original image in pixels.
    """

    pixels: npt.NDArray[np.uint8]
    height: int
    width: int

    def to_original(self, x: float, y: float) -> tuple[float, float]:
        """Converts a point of the reduced image to a point of the original image."""
        height, width = self.pixels.shape[:2]
        return (x + 0.5) * self.width / width - 0.5, (y + 0.5) * self.height / height - 0.5

    def to_reduced(self, x: float, y: float) -> tuple[float, float]:
        """Converts a point of the original image to a point of the reduced image."""
        height, width = self.pixels.shape[:2]
        return (x + 0.5) * width / self.width - 0.5, (y + 0.5) * height / self.height - 0.5

    def contains(self, x: float, y: float) -> bool:
        """Tells whether a point lies inside the original image."""
        return -0.5 <= x < self.width - 0.5 and -0.5 <= y < self.height - 0.5
