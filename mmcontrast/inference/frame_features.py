"""Frames of a video to grids of features."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmcontrast.encoders.base import Encoder


class FrameFeatures(nn.Module):
    """Frames to features on a grid.

    Args:
        encoder: any encoder with a grid.
        resolution: short side in pixels that frames are brought to first; None keeps theirs.
        unit: bring the features to unit length.
        dtype: of the features.
    """

    def __init__(
        self,
        encoder: Encoder,
        resolution: int | None = 480,
        unit: bool = True,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__()
        self.encoder, self.resolution, self.unit, self.dtype = encoder, resolution, unit, dtype

    def size(self, height: int, width: int) -> tuple[int, int]:
        """Size in pixels at which a frame is seen: whole cells, at strides up to 16 whole 16-pixel cells."""
        scale = 1.0 if self.resolution is None else self.resolution / min(height, width)
        stride = self.encoder.stride
        cell = 16 if 16 % stride == 0 else stride
        rows, columns = (max(1, round(side * scale / cell)) for side in (height, width))
        return rows * cell, columns * cell

    def forward(self, frame: np.ndarray, gray: bool = False) -> Tensor:
        """(H, W, 3) uint8 -> (h, w, D) on the encoder's device.

        Args:
            frame: an image.
            gray: let the encoder see its luminance only.
        """
        pixels = torch.from_numpy(np.require(frame, requirements=["C", "W"])).to(self.encoder.mean.device)
        image = pixels.permute(2, 0, 1)[None].float() / 255  # (1, 3, H, W)
        size = self.size(*frame.shape[:2])
        if size != frame.shape[:2]:
            image = F.interpolate(image, size, mode="bilinear", antialias=True)
        if gray:
            weights = image.new_tensor([0.299, 0.587, 0.114]).view(3, 1, 1)  # ITU-R BT.601 luma
            image = (image * weights).sum(1, keepdim=True).expand(-1, 3, -1, -1)
        grid = self.encoder.grid(image.contiguous(memory_format=torch.channels_last))  # (1, D, h, w)
        cells = grid[0].permute(1, 2, 0).float()
        return (F.normalize(cells, dim=-1) if self.unit else cells).contiguous().to(self.dtype)
