"""Parameter groups (weight decay, layer decay, factors on the learning rate) and optimizers."""

import re
from collections.abc import Iterable, Mapping
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from mmcontrast.encoders.base import Tower
from mmcontrast.errors import InputError

OptimizerName = Literal["adamw", "sgd", "lars"]

# Tables and tokens that are no matrices of a layer although they have two or more dimensions.
_NO_DECAY = re.compile(
    r"pos_?emb|position|cls_token|class_embedding|class_token|mask_token|reg(ister)?_token|relative_position_bias|scale|bias"
)


def decays(name: str, parameter: Tensor) -> bool:
    """Returns whether a parameter is a matrix or convolution, and no norm, bias, scale, position or learned token."""
    return parameter.ndim >= 2 and not _NO_DECAY.search(name)


def layer_scales(module: nn.Module, decay: float) -> dict[str, float]:
    """Returns factors on the learning rate that fall by ``decay`` per block from a tower's output to its input.

    With depths 0 (stem) to L + 1 (the norm that follows the blocks), depth d gets decay^(L + 1 - d) (BEiT, 2106.08254).
    Parameters outside towers, such as heads, get 1.

    Args:
        module: The method.
        decay: Factor per block.

    Returns:
        The factors by parameter name.
    """
    scales = {name: 1.0 for name, _ in module.named_parameters()}
    for prefix, tower in module.named_modules():
        if isinstance(tower, Tower):
            ids = _with_norm_apart(tower.layer_ids())
            scales |= {
                f"{prefix}.{name}".lstrip("."): decay ** (max(ids.values()) - depth) for name, depth in ids.items()
            }
    return scales


def _with_norm_apart(ids: dict[str, int]) -> dict[str, int]:
    """Returns depths in which the norm after the last block is a layer of its own; timm counts it to that block."""
    top = max(ids.values())
    last = [name for name, depth in ids.items() if depth == top]
    after = [name for name in last if not re.search(r"\.\d+\.", name)]
    return ids | dict.fromkeys(after, top + 1) if 0 < len(after) < len(last) else ids


def parameter_groups(
    module: nn.Module,
    lr: float,
    weight_decay: float,
    layer_decay: float | None = None,
    lr_scale: Mapping[str, float] | None = None,
    decay_all: bool = False,
) -> list[dict[str, Any]]:
    """Returns the optimizer groups of the parameters that require a gradient.

    Args:
        module: The method.
        lr: Peak learning rate.
        weight_decay: Weight decay of the parameters that ``decays`` names.
        layer_decay: Factor per block, see ``layer_scales``; None: no such factor.
        lr_scale: Factors on the learning rate by prefix of parameter names; the longest prefix counts.
        decay_all: Whether all parameters decay.

    Returns:
        Groups with ``params``, ``lr``, ``weight_decay`` and, for schedules, ``lr_scale`` and ``decays``.

    Raises:
        InputError: There is nothing to train, or no parameter has one of the prefixes.
    """
    named = {name: p for name, p in module.named_parameters() if p.requires_grad}
    if not named:
        raise InputError(
            f"{type(module).__name__} has no parameter that requires a gradient, so there is nothing to train"
        )
    scales = layer_scales(module, layer_decay) if layer_decay else dict.fromkeys(named, 1.0)
    prefixes = sorted(lr_scale or {}, key=len, reverse=True)
    for prefix in prefixes:
        if not any(name.startswith(prefix) for name, _ in module.named_parameters()):
            parts = ", ".join(name for name, _ in module.named_children())
            raise InputError(
                f"lr_scale names {prefix!r}, but no parameter starts so; {type(module).__name__} has {parts}"
            )
    groups: dict[tuple[bool, float], dict[str, Any]] = {}
    for name, parameter in named.items():
        factors = [lr_scale[prefix] for prefix in prefixes if lr_scale and name.startswith(prefix)]
        scale = scales[name] * (factors[0] if factors else 1.0)
        decaying = decay_all or decays(name, parameter)
        group = groups.setdefault(
            (decaying, scale),
            {
                "params": [],
                "lr": lr * scale,
                "weight_decay": weight_decay if decaying else 0.0,
                "lr_scale": scale,
                "decays": decaying,
            },
        )
        group["params"].append(parameter)
    return list(groups.values())


def clip_each_gradient(parameters: Iterable[Tensor], limit: float) -> None:
    """Shortens the gradient of each parameter tensor to a norm of at most ``limit``, as DINO's code does."""
    gradients = [p.grad for p in parameters if p.grad is not None]
    factors = [(limit / (norm + 1e-6)).clamp(max=1.0) for norm in torch._foreach_norm(gradients)]
    torch._foreach_mul_(gradients, factors)


def build_optimizer(
    name: OptimizerName,
    groups: list[dict[str, Any]],
    lr: float,
    betas: tuple[float, float] = (0.9, 0.98),
    eps: float = 1e-8,
    momentum: float = 0.9,
    nesterov: bool = False,
    fused: bool = True,
) -> Optimizer:
    """Returns AdamW, SGD with momentum, or LARS of timm (You, Gitman and Ginsburg 2017, 1708.03888).

    LARS takes plain momentum steps for groups without weight decay (norms and biases), as in SimCLR.

    Args:
        name: "adamw", "sgd" or "lars".
        groups: Groups of ``parameter_groups``.
        lr: Learning rate.
        betas: Averaging constants of AdamW.
        eps: Smallest denominator of AdamW.
        momentum: Momentum of SGD and LARS.
        nesterov: Whether SGD takes Nesterov's steps.
        fused: Whether AdamW uses its fused kernels.
    """
    if name == "adamw":
        return torch.optim.AdamW(groups, lr=lr, betas=betas, eps=eps, fused=fused)
    if name == "sgd":
        return torch.optim.SGD(groups, lr=lr, momentum=momentum, nesterov=nesterov)
    from timm.optim.lars import Lars

    optimizer: Optimizer = Lars(groups, lr=lr, momentum=momentum)
    return optimizer
