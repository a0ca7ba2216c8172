"""The pixels themselves as features, a baseline for learned ones."""

import torch.nn.functional as F
from torch import Tensor

from mmcontrast.encoders.base import Encoder
from mmcontrast.ops.color import rgb_to_lab


class RawPixels(Encoder):
    """An encoder that returns the values of an image; gray is zero.

    Args:
        image_size: Side in pixels to which images are resized for the pooled output.
        stride: Side in pixels of a patch of the grid.

    Attributes:
        dim: Length 3 image_size^2 of the pooled output; the grid has 3 stride^2 channels.
    """

    def __init__(self, image_size: int = 32, stride: int = 4) -> None:
        super().__init__(mean=(0.5, 0.5, 0.5))
        self.image_size, self.stride, self.dim = image_size, stride, 3 * image_size**2

    def grid(self, image: Tensor) -> Tensor:
        """Returns the patches (B, 3 stride^2, ceil(H / stride), ceil(W / stride)) of images (B, 3, H, W) in [0, 1]."""
        return F.pixel_unshuffle(_whole_cells(self.normalize(image), self.stride), self.stride)

    def forward(self, image: Tensor) -> Tensor:
        """Returns the values (B, 3 image_size^2) of images (B, 3, H, W) in [0, 1]."""
        x, size = self.normalize(image), (self.image_size, self.image_size)
        if x.shape[-2:] != size:
            x = F.interpolate(x, size, mode="bilinear", antialias=True)
        return x.flatten(1)


class LabPatches(Encoder):
    """An encoder that returns patches of pixels in the Lab color space, a baseline for tracking and matching.

    Args:
        stride: Side of a patch in pixels.
    """

    def __init__(self, stride: int = 8) -> None:
        super().__init__()
        self.stride, self.dim, self.image_size = stride, 3 * stride * stride, 224

    def grid(self, image: Tensor) -> Tensor:
        """Returns patches (B, 3 stride^2, ceil(H / stride), ceil(W / stride)) of length 6, of centered lightness."""
        lab = rgb_to_lab(_whole_cells(image, self.stride)) - image.new_tensor([50.0, 0, 0]).view(3, 1, 1)
        return 6 * F.normalize(F.pixel_unshuffle(lab, self.stride), dim=1)  # products of 36 suit temperatures near 1


def _whole_cells(image: Tensor, stride: int) -> Tensor:
    """Pads images at the right and at the bottom to a multiple of the stride."""
    return F.pad(image, (0, -image.shape[-1] % stride, 0, -image.shape[-2] % stride), mode="replicate")
