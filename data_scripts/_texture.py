"""Random textures for the surfaces of rendered scenes."""

import cv2
import numpy as np


def random_texture(rng: np.random.Generator, side: int = 256) -> np.ndarray:
    """Returns noise of several scales between two colors, sometimes with stripes, (side, side, 3) uint8."""
    weight = np.zeros((side, side), np.float32)
    for cells in (4, 16, 64):
        noise = rng.normal(size=(cells, cells)).astype(np.float32)
        weight += cv2.resize(noise, (side, side), interpolation=cv2.INTER_CUBIC) * rng.uniform(0, 1)
    if rng.random() < 0.5:
        y, x = np.mgrid[:side, :side] / side
        angle, waves = rng.uniform(0, np.pi), rng.integers(2, 14)
        weight += 2 * np.sign(np.sin(2 * np.pi * waves * (x * np.cos(angle) + y * np.sin(angle))))
    weight = 1 / (1 + np.exp(-rng.uniform(0.5, 3) * weight))
    low, high = rng.uniform(0, 255, (2, 3))
    return (low + weight[..., None] * (high - low)).astype(np.uint8)
