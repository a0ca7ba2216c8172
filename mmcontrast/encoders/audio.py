"""Features of sound waves: strided convolutions and a recurrent network."""

from collections.abc import Sequence
from math import prod

from torch import Tensor, nn

from mmcontrast.encoders.base import Tower
from mmcontrast.encoders.heads import GlobalBatchNorm
from mmcontrast.errors import InputError


class WaveEncoder(Tower):
    """The encoder of CPC for sound (1807.03748, section 3.1): 512 channels at 100 Hz from 16 kHz, then a GRU of 256.

    Args:
        channels: Number of channels of the convolutions, which is the width of z.
        dim: Width D of the recurrent network and its output c.
        kernels: Kernel size of each convolution; batch norm over all ranks and ReLU follow each.
        strides: Stride of each convolution.

    Raises:
        InputError: There are not as many kernels as strides.
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
            raise InputError(f"There are {len(kernels)} kernels and {len(strides)} strides; give as many of both.")
        layers: list[nn.Module] = []
        for i, (kernel, stride) in enumerate(zip(kernels, strides, strict=True)):
            convolution = nn.Conv1d(channels if i else 1, channels, kernel, stride, kernel // 2, bias=False)
            layers += [convolution, GlobalBatchNorm(channels), nn.ReLU(inplace=True)]
        self.net = nn.Sequential(*layers)
        self.recurrent = nn.GRU(channels, dim, batch_first=True)
        self.dim, self.channels, self.stride = dim, channels, prod(strides)

    def frames(self, sound: Tensor) -> Tensor:
        """Computes z (B, T, channels) of sounds (B, samples) in [-1, 1]; T is about samples / stride."""
        z: Tensor = self.net(sound[:, None]).mT
        return z

    def context(self, frames: Tensor) -> Tensor:
        """Computes c (B, T, D) from z (B, T, channels); c_t depends on z_1 to z_t."""
        c: Tensor = self.recurrent(frames)[0]
        return c

    def forward(self, sound: Tensor) -> Tensor:
        """Computes the mean context (B, D) of sounds (B, samples) in [-1, 1]."""
        return self.context(self.frames(sound)).mean(1)
