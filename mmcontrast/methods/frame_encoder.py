"""What video methods train: a network's grid, seen in gray or color, projected to an embedding."""

from typing import Literal, Self

import torch
from torch import Tensor, nn

from mmcontrast.encoders.base import Encoder

Lock = Literal["none", "norm", "all"]


class FrameEncoder(Encoder):
    """A trunk with a linear head, of images in color or in gray.

    Args:
        trunk: any encoder with a grid, of 1 or 3 channels.
        dim: channels of the embedding, by a 1 x 1 convolution; None: the trunk's own features.
        gray: the trunk sees the luminance only, also after training.
        lock: "norm" keeps the trunk's batch norms in evaluation mode, "all" the whole trunk as it is.
    """

    def __init__(self, trunk: Encoder, dim: int | None = None, gray: bool = False, lock: Lock = "none") -> None:
        super().__init__()
        self.trunk, self.gray, self.locked = trunk, gray, lock
        self.dim, self.stride, self.image_size = dim or trunk.dim, trunk.stride, trunk.image_size
        self.channels = len(trunk.mean)
        self.head: nn.Module = nn.Identity()
        if dim:
            self.head = nn.Conv2d(trunk.dim, dim, 1, bias=False)
            # starts as the trunk's own features, or as a projection that nearly keeps angles
            (nn.init.dirac_ if dim == trunk.dim else nn.init.orthogonal_)(self.head.weight)
        if lock == "all":
            trunk.requires_grad_(False)
        self.train()  # a trainer may leave the modes as they are

    def train(self, mode: bool = True) -> Self:
        """Locked parts stay in evaluation mode."""
        super().train(mode)
        if self.locked == "all":
            self.trunk.eval()
        elif self.locked == "norm":
            for module in self.trunk.modules():
                if isinstance(module, nn.modules.batchnorm._BatchNorm):
                    module.eval()
        return self

    def grid(self, image: Tensor) -> Tensor:
        """(B, 3, H, W) RGB in [0, 1] -> (B, D, ceil(H / stride), ceil(W / stride))."""
        if self.gray:
            weights = image.new_tensor([0.299, 0.587, 0.114]).view(3, 1, 1)  # ITU-R BT.601 luma
            image = (image * weights).sum(1, keepdim=True).expand(-1, self.channels, -1, -1)
        with torch.set_grad_enabled(torch.is_grad_enabled() and self.locked != "all"):
            features = self.trunk.grid(image)
        return self.head(features)
