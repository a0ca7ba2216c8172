"""No learning: the pixels themselves, the floor that features have to beat."""

import torch.nn.functional as F
from torch import Tensor

from mmcontrast.encoders.base import Encoder


class RawPixels(Encoder):
    """A picture's own values, grey being zero.

    Attributes:
        dim: length of the pooled face, 3 image_size^2; the grid has 3 stride^2 channels.

    Args:
        image_size: side in pixels that pictures are brought to for the pooled face.
        stride: side of a patch of the grid in pixels.
    """

    def __init__(self, image_size: int = 32, stride: int = 4) -> None:
        super().__init__(mean=(0.5, 0.5, 0.5))
        self.image_size, self.stride, self.dim = image_size, stride, 3 * image_size**2

    def grid(self, image: Tensor) -> Tensor:
        """(B, 3, H, W) in [0, 1] -> (B, 3 stride^2, ceil(H / stride), ceil(W / stride))."""
        x = self.normalize(image)
        x = F.pad(x, (0, -x.shape[-1] % self.stride, 0, -x.shape[-2] % self.stride), mode="replicate")
        return F.pixel_unshuffle(x, self.stride)

    def forward(self, image: Tensor) -> Tensor:
        """(B, 3, H, W) in [0, 1] -> (B, 3 image_size^2)."""
        x, size = self.normalize(image), (self.image_size, self.image_size)
        if x.shape[-2:] != size:
            x = F.interpolate(x, size, mode="bilinear", antialias=True)
        return x.flatten(1)
