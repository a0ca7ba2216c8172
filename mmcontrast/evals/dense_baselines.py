"""Descriptors without learning, which learned ones have to beat."""

import cv2
import numpy as np
import torch
from torch import Tensor

from mmcontrast.encoders.base import Encoder


class DenseSift(Encoder):
    """Upright RootSIFT on a lattice (Lowe 2004; Arandjelovic and Zisserman 2012).

    Args:
        stride: pixels between descriptors.
        size: diameter of a keypoint in pixels; the descriptor sees about three times that.
    """

    def __init__(self, stride: int = 4, size: float = 12.0) -> None:
        super().__init__()
        self.stride, self.size, self.dim, self.image_size = stride, size, 128, 224

    def grid(self, image: Tensor) -> Tensor:
        """(B, 3, H, W) in [0, 1] -> (B, 128, H / stride, W / stride)."""
        rows, columns = image.shape[2] // self.stride, image.shape[3] // self.stride
        center = (self.stride - 1) / 2
        points = [
            cv2.KeyPoint(x * self.stride + center, y * self.stride + center, self.size, 0)
            for y in range(rows)
            for x in range(columns)
        ]
        sift, grids = cv2.SIFT.create(), []
        for photo in (image * 255).round().byte().permute(0, 2, 3, 1).cpu().numpy():
            _, found = sift.compute(cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY), points)
            root = np.sqrt(found / np.maximum(found.sum(1, keepdims=True), 1e-6))
            grids.append(torch.from_numpy(root).T.reshape(128, rows, columns))
        return torch.stack(grids).to(image.device)


class RandomDescriptors(Encoder):
    """Another random vector at every pixel: what chance gives."""

    def __init__(self, dim: int = 8) -> None:
        super().__init__()
        self.stride, self.dim, self.image_size = 1, dim, 224

    def grid(self, image: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, D, H, W), different for every image, the same in every run."""
        seeds = [int(photo.double().sum().item() * 1e3) for photo in image]
        size = (self.dim, *image.shape[2:])
        draws = [torch.randn(size, generator=torch.Generator().manual_seed(seed)) for seed in seeds]
        return torch.stack(draws).to(image.device)
