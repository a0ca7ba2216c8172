"""Images as grids of overlapping patches, of which each is encoded on its own."""

from torch import Tensor

from mmcontrast.encoders.base import Encoder
from mmcontrast.errors import InputError


class PatchGrid(Encoder):
    """An encoder that computes each cell of its grid from one patch alone (CPC, 1807.03748, section 3.3).

    The grid has (H - patch) // step + 1 rows and (W - patch) // step + 1 columns; the pooled output is its mean.

    Args:
        encoder: Encoder of one patch.
        patch: Side of a patch in pixels.
        step: Distance in pixels from one patch to the next.
        image_size: Side in pixels to which images are resized.

    Raises:
        InputError: The patches are larger than the images.
    """

    def __init__(self, encoder: Encoder, patch: int = 64, step: int = 32, image_size: int = 256) -> None:
        super().__init__()  # the inner encoder normalizes
        if patch > image_size:
            raise InputError(f"Patches of {patch} pixels do not fit images of {image_size}; give smaller patches.")
        self.net, self.patch, self.step = encoder, patch, step
        self.dim, self.stride, self.image_size = encoder.dim, step, image_size
        self.interpolation, self.crop = encoder.interpolation, encoder.crop

    def grid(self, image: Tensor) -> Tensor:
        """Computes the features of all patches.

        Args:
            image: Images (B, 3, H, W) in [0, 1].

        Returns:
            Features (B, D, rows, columns).

        Raises:
            InputError: The images are smaller than a patch.
        """
        if min(image.shape[2:]) < self.patch:
            raise InputError(f"Images of {tuple(image.shape[2:])} pixels are smaller than a patch of {self.patch}.")
        patches = image.unfold(2, self.patch, self.step).unfold(3, self.patch, self.step)  # (B, 3, r, c, p, p)
        features = self.net(patches.permute(0, 2, 3, 1, 4, 5).flatten(0, 2))  # (B r c, D)
        grid: Tensor = features.view(len(image), *patches.shape[2:4], -1).permute(0, 3, 1, 2)
        return grid
