"""The encoder that video methods train: the grid of a network, projected to an embedding."""

import torch.nn.functional as F
from torch import Tensor, nn

from mmcontrast.encoders.base import Encoder
from mmcontrast.errors import InputError
from mmcontrast.ops.color import luma


class FrameEncoder(Encoder):
    """A trunk with a linear head, for images in color or in gray.

    Args:
        trunk: Any encoder with a grid, of 1 or 3 channels.
        dim: Number of channels of the embedding, made by a 1 x 1 convolution; None keeps the trunk's own features.
        gray: Whether the trunk sees the luma only, also after training.
        trainable_layers: Number of the trunk's last layers that are trained; 0 freezes it, None trains all.

    Raises:
        InputError: The trunk is frozen and there is no head to train.
    """

    def __init__(
        self, trunk: Encoder, dim: int | None = None, gray: bool = False, trainable_layers: int | None = None
    ) -> None:
        super().__init__()
        if trainable_layers == 0 and dim is None:
            raise InputError("trainable_layers=0 without a head leaves nothing to train; give dim")
        self.trunk, self.gray = trunk, gray
        self.dim, self.stride, self.image_size = dim or trunk.dim, trunk.stride, trunk.image_size
        self.channels = len(trunk.mean)
        self.head: nn.Module = nn.Identity()
        if dim:
            self.head = nn.Conv2d(trunk.dim, dim, 1, bias=False)
            # The head starts as the identity, or as a projection that nearly keeps angles.
            (nn.init.dirac_ if dim == trunk.dim else nn.init.orthogonal_)(self.head.weight)
        if trainable_layers is not None:
            trunk.freeze(trainable_layers)

    def grid(self, image: Tensor) -> Tensor:
        """Returns the (B, D, ceil(H / stride), ceil(W / stride)) embedding of images, (B, 3, H, W) RGB in [0, 1]."""
        if self.gray:
            image = luma(image).expand(-1, self.channels, -1, -1)
        embedding: Tensor = self.head(self.trunk.grid(image))
        return embedding


def pooled_nodes(grid: Tensor) -> Tensor:
    """Returns the (B, N, D) cells of grids, (B, D, h, w), pooled 2 x 2, as the nodes of a random walk."""
    return F.avg_pool2d(grid, 2).flatten(2).mT
