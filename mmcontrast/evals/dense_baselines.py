"""Descriptors without learning, as baselines of learned ones."""

import cv2
import numpy as np
import torch
from torch import Tensor

from mmcontrast.encoders.base import Encoder


class DenseSift(Encoder):
    """Upright RootSIFT on a regular grid (Lowe 2004; Arandjelovic and Zisserman 2012).

    Args:
        stride: Distance between descriptors in pixels.
        size: Diameter of a keypoint in pixels; the descriptor covers about three times that.
    """

    def __init__(self, stride: int = 4, size: float = 12.0) -> None:
        super().__init__()
        self.stride, self.size, self.dim, self.image_size = stride, size, 128, 224

    def grid(self, image: Tensor) -> Tensor:
        """Maps images (B, 3, H, W) in [0, 1] to descriptors (B, 128, H / stride, W / stride) of length 1."""
        rows, columns = image.shape[2] // self.stride, image.shape[3] // self.stride
        center = (self.stride - 1) / 2
        keypoints = [
            cv2.KeyPoint(x * self.stride + center, y * self.stride + center, self.size, 0)
            for y in range(rows)
            for x in range(columns)
        ]
        sift, grids = cv2.SIFT.create(), []
        for photo in (image * 255).round().byte().permute(0, 2, 3, 1).cpu().numpy():
            _, descriptors = sift.compute(cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY), keypoints)
            root = np.sqrt(descriptors / np.maximum(descriptors.sum(1, keepdims=True), 1e-6))
            grids.append(torch.from_numpy(root).T.reshape(128, rows, columns))
        return torch.stack(grids).to(image.device)


class RandomDescriptors(Encoder):
    """A random vector for each pixel; it measures chance.

    Args:
        dim: Dimensions of the vectors.
    """

    def __init__(self, dim: int = 8) -> None:
        super().__init__()
        self.stride, self.dim, self.image_size = 1, dim, 224

    def grid(self, image: Tensor) -> Tensor:
        """Maps images (B, 3, H, W) to vectors (B, D, H, W), which depend on the image and are the same in every run."""
        seeds = [int(photo.double().sum().item() * 1e3) for photo in image]
        size = (self.dim, *image.shape[2:])
        grids = [torch.randn(size, generator=torch.Generator().manual_seed(seed)) for seed in seeds]
        return torch.stack(grids).to(image.device)
