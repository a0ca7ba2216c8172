"""Vision transformers at any size, and the tokens of any of timm's.

Dosovitskiy et al., ICLR 2021.  https://arxiv.org/abs/2010.11929
"""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from mmcontrast.encoders.base import Encoder
from mmcontrast.encoders.deferred_compiler import timm
from mmcontrast.encoders.resnet import IMAGENET_MEAN, IMAGENET_STD
from mmcontrast.encoders.timm import TimmEncoder
from mmcontrast.encoders.timm_grid import GridRule
from mmcontrast.encoders.vit_initialization import Initialization, initialize
from mmcontrast.errors import InputError
from mmcontrast.ops.patches import sincos_positions


class ViT(TimmEncoder):
    """A vision transformer of any shape; ``TimmEncoder`` has the named ones.

    The default is ViT-S/16.  It takes images of any size: positions are interpolated.

    Args:
        image_size: side in pixels that the positions are made for.
        patch_size: side of a patch in pixels.
        dim: width.
        depth: number of blocks.
        heads: of the attention.
        positions: "learned", or "sincos": fixed sines and cosines (MAE, MoCo v3).
        registers: extra tokens (2309.16588).
        layer_scale: initial factor of each residual branch; None: no such factors.
        drop_path: rate of stochastic depth.
        pooling: the pooled face is the class token ("cls") or the mean of the patches ("mean").
        initialization: Source of the first weights: "timm", or the code of "mae" or "moco_v3".
        mean, std: normalization.
    """

    def __init__(
        self,
        image_size: int = 224,
        patch_size: int = 16,
        dim: int = 384,
        depth: int = 12,
        heads: int = 6,
        positions: Literal["learned", "sincos"] = "learned",
        registers: int = 0,
        layer_scale: float | None = None,
        drop_path: float = 0.0,
        pooling: Literal["cls", "mean"] = "cls",
        initialization: Initialization = "timm",
        mean: Sequence[float] = IMAGENET_MEAN,
        std: Sequence[float] = IMAGENET_STD,
    ) -> None:
        if image_size % patch_size or dim % heads:
            raise InputError(
                f"image_size {image_size} must be a multiple of patch_size {patch_size}, and dim {dim} of heads {heads}"
            )
        Encoder.__init__(self, mean, std)
        self.net = timm.models.VisionTransformer(
            image_size,
            patch_size,
            num_classes=0,
            global_pool="token" if pooling == "cls" else "avg",
            embed_dim=dim,
            depth=depth,
            num_heads=heads,
            reg_tokens=registers,
            init_values=layer_scale,
            drop_path_rate=drop_path,
            fc_norm=False,
            dynamic_img_size=True,
        )
        initialize(self.net, initialization)
        self.dim, self.stride, self.image_size = dim, patch_size, image_size
        self.tokens, self.levels, self.own_pooling = True, None, True
        self.rule = GridRule("tokens", dim, patch_size, pads=True)
        if positions == "sincos":
            side = image_size // patch_size
            prefix = torch.zeros(self.net.num_prefix_tokens, dim)
            fixed = torch.cat([prefix, sincos_positions(side, side, dim)])[None]  # (1, P + N, D)
            self.net.pos_embed = nn.Parameter(fixed, requires_grad=False)


def encode_tokens(
    encoder: TimmEncoder,
    image: Tensor,
    keep: Tensor | None = None,
    hidden: Tensor | None = None,
    mask_token: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """All tokens of a vision transformer, or those of a part of the patches.

    Args:
        encoder: one for which ``require_tokens`` holds.
        image: (B, 3, H, W) in [0, 1].
        keep: (B, n) int64, the patches to encode, as if the others did not exist (MAE).
        hidden: (B, N) bool, patches whose content ``mask_token`` (D,) stands in for (BEiT, iBOT).
        mask_token: (D,).
    Returns:
        (B, P, D) prefix tokens (class token, registers) and (B, n, D) patches, after the last norm.
    """
    net = encoder.net
    x = net.patch_embed(encoder._prepare(image))  # (B, h, w, D)
    if hidden is not None:
        x = torch.where(hidden.view(*x.shape[:3], 1), mask_token.to(x.dtype), x)  # type: ignore[union-attr]
    x, prefix = net._pos_embed(x), net.num_prefix_tokens  # (B, P + N, D)
    if keep is not None:
        kept = x[:, prefix:].gather(1, keep[..., None].expand(-1, -1, x.shape[2]))  # (B, n, D)
        x = torch.cat([x[:, :prefix], kept], 1)
    x = net.norm(net.blocks(net.norm_pre(x)))
    return x[:, :prefix], x[:, prefix:]


def require_tokens(encoder: Encoder, method: str) -> TimmEncoder:
    """The encoder, if it is a plain vision transformer of timm that takes any image size.

    Raises:
        InputError: it is another kind of network.
    """
    net = getattr(encoder, "net", None)
    is_plain = isinstance(net, timm.models.VisionTransformer) and net.dynamic_img_size
    if not isinstance(encoder, TimmEncoder) or not is_plain:
        raise InputError(
            f"{method} works on the tokens of a vision transformer: give ViT, or TimmEncoder with a vit_* or deit_* "
            f"name, not {type(encoder).__name__}"
        )
    return encoder
