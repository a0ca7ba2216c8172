"""What sits between a tower and the space where a loss compares."""

from itertools import pairwise
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmcontrast.errors import InputError
from mmcontrast.ops.distributed import all_reduce_sum, world_size
from mmcontrast.ops.sphere import l2_normalize

Head = Literal["linear", "mlp", "none"]


class GlobalBatchNorm(nn.BatchNorm1d):
    """Batch norm with the statistics of all ranks' batches (SimCLR, 2002.05709, section 2.2), on any device."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, D) or (B, D, T) -> the same.

        Raises:
            InputError: one sample in all, in training.
        """
        size = world_size()
        count = size * x.numel() // self.num_features
        if self.training and count < 2:
            raise InputError("batch norm needs at least 2 samples in training and got 1; raise data.batch_size")
        if not self.training or size == 1:
            return super().forward(x)
        wide = x.to(torch.promote_types(x.dtype, torch.float32)).movedim(1, -1)  # (B, [T,] D)
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
    """Linear layers of these widths, ReLU between them.

    Args:
        *widths: of the input, of each layer's output.
        norm: batch norm over all ranks before each ReLU (SimCLR, MoCo v3).
        final_norm: and after the last layer, without scale and shift (MoCo v3's code; SimCLR's keeps the scale).
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
    """CLIP's bias-free "linear" map, a GELU "mlp" with layer norm, or "none" for towers that project by themselves."""
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
        width: of what comes in.
        prototypes: K.
        hidden: width of the two layers before the bottleneck.
        bottleneck: width of the unit vectors that meet the prototypes.
        norm: batch norm in the hidden layers, for convolutional networks.
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
        """(B, width) -> (B, K) cosines."""
        directions = F.normalize(self.prototypes, dim=1)  # weight norm with its gain fixed at 1
        return F.linear(l2_normalize(self.mlp(x)).to(directions.dtype), directions)
