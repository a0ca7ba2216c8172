"""An image as a grid of half-overlapping patches, each encoded on its own."""

from torch import Tensor

from mmcontrast.encoders.base import Encoder
from mmcontrast.errors import InputError


class PatchGrid(Encoder):
    """Encodes patches that know nothing of each other (CPC, 1807.03748, section 3.3).

    The grid has (H - patch) / step + 1 rows, and columns alike; the pooled face is its mean.

    Args:
        encoder: of one patch.
        patch: side in pixels.
        step: pixels from one patch to the next.
        image_size: side of the whole image in pixels.
    """

    def __init__(self, encoder: Encoder, patch: int = 64, step: int = 32, image_size: int = 256) -> None:
        super().__init__()  # the inner encoder normalizes
        if patch > image_size:
            raise InputError(f"patches of {patch} pixels do not fit images of {image_size}")
        self.net, self.patch, self.step = encoder, patch, step
        self.dim, self.stride, self.image_size = encoder.dim, step, image_size
        self.interpolation, self.crop = encoder.interpolation, encoder.crop

    def grid(self, image: Tensor) -> Tensor:
        """(B, 3, H, W) in [0, 1] -> (B, D, rows, columns).

        Raises:
            InputError: the image is smaller than a patch.
        """
        if min(image.shape[2:]) < self.patch:
            raise InputError(f"images of {tuple(image.shape[2:])} pixels are smaller than a patch of {self.patch}")
        cut = image.unfold(2, self.patch, self.step).unfold(3, self.patch, self.step)  # (B, 3, r, c, p, p)
        features = self.net(cut.permute(0, 2, 3, 1, 4, 5).flatten(0, 2))  # (B r c, D)
        return features.unflatten(0, (len(image), *cut.shape[2:4])).permute(0, 3, 1, 2)
