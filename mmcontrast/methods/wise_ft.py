"""WiSE-FT: the weights between a zero-shot model and its fine-tuned version are robust and accurate at once.

Wortsman et al., CVPR 2022, https://arxiv.org/abs/2109.01903.
"""

import copy
from typing import TypeVar

import torch
from torch import nn

Network = TypeVar("Network", bound=nn.Module)


def wise_ft(zero_shot: Network, fine_tuned: Network, alpha: float) -> Network:
    """Returns a network with the weights (1 - alpha) * zero_shot + alpha * fine_tuned (eq. 1).

    Args:
        zero_shot: The network before fine-tuning.
        fine_tuned: The same network after fine-tuning.
        alpha: Weight of the fine-tuned network, in [0, 1].
    """
    mixed, other = copy.deepcopy(zero_shot), fine_tuned.state_dict()
    state = {k: torch.lerp(v, other[k], alpha) if v.is_floating_point() else v for k, v in mixed.state_dict().items()}
    mixed.load_state_dict(state)
    return mixed
