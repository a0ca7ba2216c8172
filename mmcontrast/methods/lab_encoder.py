"""The encoders that colorization methods train: networks that see a part of an image's Lab colors."""

from typing import Literal

import torch
from torch import Tensor

from mmcontrast.encoders.base import Encoder
from mmcontrast.errors import InputError
from mmcontrast.ops.color import rgb_to_lab

Part = Literal["lightness", "color"]


class LabEncoder(Encoder):
    """Shows an encoder the lightness or the colors of an image, also after training.

    Args:
        net: Any encoder of 1 channel for the lightness (or of 3, which see it three times), of 2 for the colors.
        part: "lightness" for L or "color" for ab; both are scaled to [0, 1].

    Raises:
        InputError: The encoder has another number of channels.
    """

    def __init__(self, net: Encoder, part: Part) -> None:
        super().__init__()  # the inner encoder normalizes
        wanted = (1, 3) if part == "lightness" else (2,)
        self.net, self.part, self.channels = net, part, len(net.mean)
        if self.channels not in wanted:
            raise InputError(
                f"the encoder of the {part} has {self.channels} channels; wanted {' or '.join(map(str, wanted))} "
                "(in_channels of TimmEncoder and TinyConv)"
            )
        self.dim, self.stride, self.image_size = net.dim, net.stride, net.image_size
        self.interpolation, self.crop = net.interpolation, net.crop

    def see(self, lab: Tensor) -> Tensor:
        """Returns what the network sees of Lab images (B, 3, H, W): (B, C, H, W) in [0, 1]."""
        if self.part == "lightness":
            return (lab[:, :1] / 100).expand(-1, self.channels, -1, -1)
        return lab[:, 1:] / 220 + 0.5

    def lab_grid(self, lab: Tensor) -> Tensor:
        """Returns the (B, D, h, w) grid of Lab images (B, 3, H, W)."""
        return self.net.grid(self.see(lab))

    def grid(self, image: Tensor) -> Tensor:
        """Returns the (B, D, h, w) grid of RGB images (B, 3, H, W) in [0, 1]."""
        return self.lab_grid(rgb_to_lab(image))

    def forward(self, image: Tensor) -> Tensor:
        """Returns the (B, D) pooled output of RGB images (B, 3, H, W) in [0, 1]."""
        pooled: Tensor = self.net(self.see(rgb_to_lab(image)))
        return pooled

    def blocks(self, image: Tensor) -> list[Tensor]:
        """Returns the (B, D_i, h_i, w_i) output of each block, for RGB images (B, 3, H, W) in [0, 1]."""
        return self.net.blocks(self.see(rgb_to_lab(image)))

    def attention(self, image: Tensor) -> Tensor:
        """Returns the (B, heads, h, w) attention of the last block, for RGB images (B, 3, H, W) in [0, 1]."""
        return self.net.attention(self.see(rgb_to_lab(image)))


class ConcatEncoder(Encoder):
    """Two encoders side by side, their features concatenated, block by block.

    Args:
        first: The first encoder.
        second: The second encoder, of the same stride and number of blocks.

    Raises:
        InputError: The encoders have different strides.
    """

    def __init__(self, first: LabEncoder, second: LabEncoder) -> None:
        super().__init__()
        if first.stride != second.stride:
            raise InputError(f"the two encoders have strides {first.stride} and {second.stride}; wanted equal ones")
        self.first, self.second = first, second
        self.dim, self.stride = first.dim + second.dim, first.stride
        self.image_size, self.interpolation, self.crop = first.image_size, first.interpolation, first.crop

    def grid(self, image: Tensor) -> Tensor:
        """Returns the (B, D_1 + D_2, h, w) grid of RGB images (B, 3, H, W) in [0, 1]."""
        lab = rgb_to_lab(image)
        return torch.cat([self.first.lab_grid(lab), self.second.lab_grid(lab)], 1)

    def forward(self, image: Tensor) -> Tensor:
        """Returns the (B, D_1 + D_2) pooled output of RGB images (B, 3, H, W) in [0, 1]."""
        return torch.cat([self.first(image), self.second(image)], 1)

    def blocks(self, image: Tensor) -> list[Tensor]:
        """Returns the (B, D_1i + D_2i, h_i, w_i) output of each block, for RGB images (B, 3, H, W) in [0, 1]."""
        pairs = zip(self.first.blocks(image), self.second.blocks(image), strict=True)
        return [torch.cat(pair, 1) for pair in pairs]
