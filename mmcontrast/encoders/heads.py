"""Heads that map the output of an encoder to the space in which a loss compares."""

from itertools import pairwise
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmcontrast.errors import InputError
from mmcontrast.ops.distributed import all_reduce_sum, world_size
from mmcontrast.ops.precision import at_least_float32
from mmcontrast.ops.sphere import l2_normalize

Head = Literal["linear", "mlp", "none"]


class GlobalBatchNorm(nn.BatchNorm1d):
    """Batch norm over the batches of all ranks (SimCLR, 2002.05709, section 2.2), on any device."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalizes features (B, D) or (B, D, T).

        Raises:
            InputError: There is only one sample in training.
        """
        size = world_size()
        count = size * x.numel() // self.num_features
        if self.training and count < 2:
            raise InputError("Batch norm needs at least 2 samples in training and got 1; raise data.batch_size.")
        if not self.training or size == 1:
            return super().forward(x)
        wide = at_least_float32(x).movedim(1, -1)  # (B, [T,] D)
        mean = all_reduce_sum(wide.flatten(0, -2).sum(0)) / count
        centered = wide - mean
        variance = all_reduce_sum(centered.square().flatten(0, -2).sum(0)) / count
        self._remember(mean.detach(), variance.detach(), count)
        y = centered * (variance + self.eps).rsqrt()
        return (y if self.weight is None else y * self.weight + self.bias).to(x.dtype).movedim(-1, 1)

    def _remember(self, mean: Tensor, variance: Tensor, count: int) -> None:
        if self.running_mean is None or self.running_var is None or self.momentum is None:
            return
        self.running_mean.lerp_(mean.to(self.running_mean), self.momentum)
        self.running_var.lerp_((variance * (count / (count - 1))).to(self.running_var), self.momentum)
        if self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)


def mlp(*widths: int, norm: bool = False, final_norm: bool = False) -> nn.Sequential:
    """Builds linear layers with ReLU between them.

    Args:
        *widths: Width of the input, and of the output of each layer.
        norm: Whether batch norm over all ranks precedes each ReLU (SimCLR, MoCo v3).
        final_norm: Whether batch norm without scale and shift follows the last layer, as in the code of MoCo v3.

    Returns:
        A module from (B, first width) to (B, last width).
    """
    layers: list[nn.Module] = []
    for i, (a, b) in enumerate(pairwise(widths)):
        last = i == len(widths) - 2
        normed = final_norm if last else norm
        layers.append(nn.Linear(a, b, bias=not normed))
        if normed:
            layers.append(GlobalBatchNorm(b, affine=not last))
        if not last:
            layers.append(nn.ReLU(inplace=True))
    return nn.Sequential(*layers)


def projection(kind: Head, width: int, dim: int) -> nn.Module:
    """Builds the head of a tower of CLIP.

    Args:
        kind: "linear" is the map without bias of CLIP, "mlp" has a layer norm and a hidden layer with GELU, "none" is
            for towers that project by themselves.
        width: Width of the input.
        dim: Width of the output.

    Returns:
        A module from (B, width) to (B, dim).
    """
    if kind == "none":
        return nn.Identity()
    if kind == "linear":
        head = nn.Linear(width, dim, bias=False)
        nn.init.normal_(head.weight, std=width**-0.5)
        return head
    hidden = max(width, dim)
    return nn.Sequential(nn.LayerNorm(width), nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, dim))


class PrototypeHead(nn.Module):
    """Cosines with K learned directions after a bottleneck (DINO, 2104.14294, section 3.1 and appendix C).

    Args:
        width: Width of the input.
        prototypes: Number K of directions.
        hidden: Width of the two layers before the bottleneck.
        bottleneck: Width of the unit vectors that are compared with the prototypes.
        norm: Whether the hidden layers have batch norm, which suits convolutional networks.
    """

    def __init__(
        self, width: int, prototypes: int, hidden: int = 2048, bottleneck: int = 256, norm: bool = False
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for a, b in ((width, hidden), (hidden, hidden)):
            layers += [nn.Linear(a, b), *([GlobalBatchNorm(b)] if norm else []), nn.GELU()]
        self.mlp = nn.Sequential(*layers, nn.Linear(hidden, bottleneck))
        for layer in self.mlp:
            if isinstance(layer, nn.Linear):
                nn.init.trunc_normal_(layer.weight, std=0.02)
                nn.init.zeros_(layer.bias)
        # As torch draws a linear layer, which DINO's code leaves as it is: directions of length 3^-0.5 on average.
        self.prototypes = nn.Parameter(torch.empty(prototypes, bottleneck).uniform_(-1, 1) * bottleneck**-0.5)

    def forward(self, x: Tensor) -> Tensor:
        """Computes cosines (B, K) of inputs (B, width)."""
        directions = F.normalize(self.prototypes, dim=1)  # weight norm with its gain fixed at 1
        return F.linear(l2_normalize(self.mlp(x)).to(directions.dtype), directions)
