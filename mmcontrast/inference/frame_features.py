"""Frames of a video to grids of features."""

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmcontrast.encoders.base import Encoder


class FrameFeatures(nn.Module):
    """Computes the features of frames on a grid.

    Args:
        encoder: Any image encoder.
        resolution: Short side in pixels to which frames are resized first; None keeps their own.
        l2_normalize: Whether to normalize the features to unit length.
        dtype: The dtype of the features.
    """

    def __init__(
        self,
        encoder: Encoder,
        resolution: int | None = 480,
        l2_normalize: bool = True,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__()
        self.encoder, self.resolution, self.l2_normalize, self.dtype = encoder, resolution, l2_normalize, dtype

    def size(self, height: int, width: int) -> tuple[int, int]:
        """Returns the height and width to which a frame is resized: whole cells of the grid.

        At strides that divide 16 these are whole cells of 16 pixels.
        """
        scale = 1.0 if self.resolution is None else self.resolution / min(height, width)
        stride = self.encoder.stride
        cell = 16 if 16 % stride == 0 else stride
        rows, columns = (max(1, round(side * scale / cell)) for side in (height, width))
        return rows * cell, columns * cell

    def forward(self, frame: npt.NDArray[np.uint8], gray: bool = False) -> Tensor:
        """Returns the features of a frame, (h, w, D), or of several, (T, h, w, D), on the encoder's device.

        Args:
            frame: (H, W, 3) uint8, or (T, H, W, 3) for several frames.
            gray: Whether the encoder gets the luminance of the frame only.
        """
        pixels = torch.from_numpy(np.require(frame, requirements=["C", "W"])).to(self.encoder.mean.device)
        image = pixels.view(-1, *frame.shape[-3:]).permute(0, 3, 1, 2).float() / 255  # (T, 3, H, W)
        size = self.size(*frame.shape[-3:-1])
        if size != frame.shape[-3:-1]:
            image = F.interpolate(image, size, mode="bilinear", antialias=True)
        if gray:
            weights = image.new_tensor([0.299, 0.587, 0.114]).view(3, 1, 1)  # ITU-R BT.601 luma
            image = (image * weights).sum(1, keepdim=True).expand(-1, 3, -1, -1)
        grid = self.encoder.grid(image.contiguous(memory_format=torch.channels_last))  # (T, D, h, w)
        cells = grid.permute(0, 2, 3, 1).float()
        features = (F.normalize(cells, dim=-1) if self.l2_normalize else cells).contiguous().to(self.dtype)
        return features[0] if frame.ndim == 3 else features
