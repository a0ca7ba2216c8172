"""What sits between a tower and the space where a loss compares."""

from itertools import pairwise
from typing import Literal

from torch import nn

Head = Literal["linear", "mlp", "none"]


def mlp(*widths: int, norm: bool = False) -> nn.Sequential:
    """Linear layers of these widths, ReLU between them; ``norm`` adds batch norm before each ReLU (SimCLR, MoCo v3)."""
    layers: list[nn.Module] = []
    for i, (a, b) in enumerate(pairwise(widths)):
        last = i == len(widths) - 2
        layers.append(nn.Linear(a, b, bias=last or not norm))
        if not last:
            layers += [nn.BatchNorm1d(b), nn.ReLU(inplace=True)] if norm else [nn.ReLU(inplace=True)]
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
