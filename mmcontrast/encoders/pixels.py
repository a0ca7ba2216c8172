"""No learning: the pixels themselves, the floor that features have to beat."""

import torch.nn.functional as F
from torch import Tensor

from mmcontrast.encoders.base import Encoder
from mmcontrast.ops.color import rgb_to_lab


class RawPixels(Encoder):
    """An image's own values, gray being zero.

    Attributes:
        dim: length of the pooled face, 3 image_size^2; the grid has 3 stride^2 channels.

    Args:
        image_size: side in pixels that images are brought to for the pooled face.
        stride: side of a patch of the grid in pixels.
    """

    def __init__(self, image_size: int = 32, stride: int = 4) -> None:
        super().__init__(mean=(0.5, 0.5, 0.5))
        self.image_size, self.stride, self.dim = image_size, stride, 3 * image_size**2

    def grid(self, image: Tensor) -> Tensor:
        """(B, 3, H, W) in [0, 1] -> (B, 3 stride^2, ceil(H / stride), ceil(W / stride))."""
        return F.pixel_unshuffle(_whole_cells(self.normalize(image), self.stride), self.stride)

    def forward(self, image: Tensor) -> Tensor:
        """(B, 3, H, W) in [0, 1] -> (B, 3 image_size^2)."""
        x, size = self.normalize(image), (self.image_size, self.image_size)
        if x.shape[-2:] != size:
            x = F.interpolate(x, size, mode="bilinear", antialias=True)
        return x.flatten(1)


class LabPatches(Encoder):
    """The Lab values of a patch of pixels: what tracking and matching have to beat.

    Args:
        stride: side of a patch in pixels.
    """

    def __init__(self, stride: int = 8) -> None:
        super().__init__()
        self.stride, self.dim, self.image_size = stride, 3 * stride * stride, 224

    def grid(self, image: Tensor) -> Tensor:
        """(B, 3, H, W) in [0, 1] -> (B, 3 stride^2, ceil(H / stride), ceil(W / stride)): L centered, length 6."""
        lab = rgb_to_lab(_whole_cells(image, self.stride)) - image.new_tensor([50.0, 0, 0]).view(3, 1, 1)
        return 6 * F.normalize(F.pixel_unshuffle(lab, self.stride), dim=1)  # products of 36 suit temperatures near 1


def _whole_cells(image: Tensor, stride: int) -> Tensor:
    """Padded at the right and below to a multiple of the stride."""
    return F.pad(image, (0, -image.shape[-1] % stride, 0, -image.shape[-2] % stride), mode="replicate")
