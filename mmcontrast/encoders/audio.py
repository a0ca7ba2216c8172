"""Sound waves to features: strided convolutions and a recurrent network over what they heard so far."""

from collections.abc import Sequence
from math import prod

from torch import Tensor, nn

from mmcontrast.encoders.base import Tower
from mmcontrast.encoders.heads import GlobalBatchNorm
from mmcontrast.errors import InputError


class WaveEncoder(Tower):
    """The encoder of CPC for sound (1807.03748, section 3.1): 512 channels at 100 Hz from 16 kHz, then a GRU of 256.

    Args:
        channels: of the convolutions, width of z.
        dim: of the recurrent network, width D of c.
        kernels, strides: of the convolutions; batch norm over all ranks and ReLU follow each.
    """

    def __init__(
        self,
        channels: int = 512,
        dim: int = 256,
        kernels: Sequence[int] = (10, 8, 4, 4, 4),
        strides: Sequence[int] = (5, 4, 2, 2, 2),
    ) -> None:
        super().__init__()
        if len(kernels) != len(strides):
            raise InputError(f"{len(kernels)} kernels and {len(strides)} strides; wanted as many of both")
        layers: list[nn.Module] = []
        for i, (kernel, stride) in enumerate(zip(kernels, strides, strict=True)):
            convolution = nn.Conv1d(channels if i else 1, channels, kernel, stride, kernel // 2, bias=False)
            layers += [convolution, GlobalBatchNorm(channels), nn.ReLU(inplace=True)]
        self.net = nn.Sequential(*layers)
        self.recurrent = nn.GRU(channels, dim, batch_first=True)
        self.dim, self.channels, self.stride = dim, channels, prod(strides)

    def frames(self, sound: Tensor) -> Tensor:
        """(B, samples) in [-1, 1] -> z, (B, T, channels), T about samples / stride."""
        return self.net(sound[:, None]).mT

    def context(self, frames: Tensor) -> Tensor:
        """z (B, T, channels) -> c (B, T, D); c_t has heard z_1 to z_t."""
        return self.recurrent(frames)[0]

    def forward(self, sound: Tensor) -> Tensor:
        """(B, samples) in [-1, 1] -> (B, D), the mean context."""
        return self.context(self.frames(sound)).mean(1)
