"""Network in network, in the form that RotNet uses for small images.

Lin, Chen, Yan, ICLR 2014.  https://arxiv.org/abs/1312.4400; Gidaris, Singh, Komodakis, ICLR 2018, section 3.1.
https://arxiv.org/abs/1803.07728
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mmcontrast.encoders.base import Encoder
from mmcontrast.errors import InputError

_CIFAR_10 = (0.491, 0.482, 0.447), (0.247, 0.243, 0.262)


class NIN(Encoder):
    """Blocks of three convolutions, of which the last two are 1 x 1, each with batch norm and ReLU.

    The first two blocks end in a pooling of stride 2, so that the grid has stride 4.

    Args:
        width: Number of channels of a layer; the paper has 192. The first block narrows to 5/6 and then to 1/2 of it.
        depth: Number of blocks, at least 2; the paper has 3 to 5.
        image_size: Side in pixels to which images are resized for the pooled output.
        in_channels: Number of channels: 1 for gray, 2 for ab, 3 for RGB.
        mean: Mean of each channel, which is subtracted; None is that of CIFAR-10 for RGB and 0.5 for others.
        std: Standard deviation of each channel, by which is divided; None is that of CIFAR-10 for RGB and 0.25 for
            others.

    Raises:
        InputError: There are fewer than 2 blocks or 6 channels.
    """

    def __init__(
        self,
        width: int = 192,
        depth: int = 4,
        image_size: int = 32,
        in_channels: int = 3,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
    ) -> None:
        if depth < 2 or width < 6:
            raise InputError(f"depth is {depth} and width {width}; give at least 2 blocks and 6 channels.")
        usual = _CIFAR_10 if in_channels == 3 else ([0.5] * in_channels, [0.25] * in_channels)
        super().__init__(mean or usual[0], std or usual[1])
        self.dim, self.stride, self.image_size = width, 4, image_size
        first = _block(in_channels, (width, 5 * width // 6, width // 2), 5)
        second = _block(width // 2, (width, width, width), 5)
        rest = [_block(width, (width, width, width), 3) for _ in range(depth - 2)]
        pools = nn.MaxPool2d(3, 2, 1), nn.AvgPool2d(3, 2, 1)
        self.net = nn.Sequential(first.append(pools[0]), second.append(pools[1]), *rest)
        self.net.to(memory_format=torch.channels_last)

    def grid(self, image: Tensor) -> Tensor:
        """Computes features (B, D, ceil(H / 4), ceil(W / 4)) of images (B, C, H, W) in [0, 1]."""
        grid: Tensor = self.net(self._prepare(image))
        return grid

    def blocks(self, image: Tensor) -> list[Tensor]:
        """Computes the features (B, D_i, h_i, w_i) of each block, after its pooling."""
        features = [self._prepare(image)]
        for block in self.net:
            features.append(block(features[-1]))
        return features[1:]

    def _prepare(self, image: Tensor) -> Tensor:
        return self.normalize(image).contiguous(memory_format=torch.channels_last)


def _block(channels: int, widths: Sequence[int], kernel: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for width, side in zip(widths, (kernel, 1, 1), strict=True):
        layers += [
            nn.Conv2d(channels, width, side, padding=side // 2, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
        ]
        channels = width
    return nn.Sequential(*layers)
