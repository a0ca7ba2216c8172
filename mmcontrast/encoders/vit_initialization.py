"""The first weights that papers give to a vision transformer, where they differ from those of timm."""

import math
from typing import Any, Literal

import torch
from torch import nn

Initialization = Literal["timm", "mae", "moco_v3"]


@torch.no_grad()
def initialize(net: Any, kind: Initialization) -> None:
    """Draws the weights of a transformer anew, as the code of a paper does.

    Args:
        net: A VisionTransformer of timm; its positions and registers stay as they are.
        kind: "mae" (2111.06377) or "moco_v3" (2104.02057); "timm" changes nothing.
    """
    if kind == "timm":
        return
    for name, module in net.named_modules():
        if isinstance(module, nn.Linear):
            if kind == "moco_v3" and name.endswith("qkv"):  # three matrices, each drawn by itself
                bound = math.sqrt(6 / (module.out_features // 3 + module.in_features))
                module.weight.uniform_(-bound, bound)
            else:
                nn.init.xavier_uniform_(module.weight)
            if module.bias is not None:
                module.bias.zero_()
    patches = net.patch_embed.proj
    if kind == "mae":
        nn.init.xavier_uniform_(patches.weight.view(len(patches.weight), -1))
    else:
        bound = math.sqrt(6 / (patches.weight[0].numel() + len(patches.weight)))
        patches.weight.uniform_(-bound, bound)
        patches.bias.zero_()
    if net.cls_token is not None:
        net.cls_token.normal_(std=0.02 if kind == "mae" else 1e-6)
