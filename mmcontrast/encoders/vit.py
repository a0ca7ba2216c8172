"""Vision transformers of any shape, and access to the tokens of those of timm.

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
    """A vision transformer of any shape; ``TimmEncoder`` has those with a name.

    The default is ViT-S/16. Images may have any size, since position embeddings are interpolated.

    Args:
        image_size: Side in pixels of the images that the position embeddings are for.
        patch_size: Side of a patch in pixels.
        dim: Width D of a token.
        depth: Number of blocks.
        heads: Number of attention heads.
        positions: Position embeddings: "learned", or fixed sines and cosines ("sincos", as in MAE and MoCo v3).
        registers: Number of register tokens (2309.16588).
        layer_scale: Initial factor of each residual branch; None leaves the factors out.
        drop_path: Rate of stochastic depth.
        pooling: Pooled output: the class token ("cls") or the mean of the patches ("mean").
        initialization: Source of the first weights: "timm", or the code of "mae" or "moco_v3".
        mean: Mean of each channel, which is subtracted.
        std: Standard deviation of each channel, by which is divided.

    Raises:
        InputError: ``image_size`` is not a multiple of ``patch_size``, or ``dim`` not of ``heads``.
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
    """Computes all tokens of a vision transformer, or those of some patches.

    Args:
        encoder: An encoder that ``require_tokens`` accepts.
        image: Images (B, 3, H, W) in [0, 1].
        keep: Indices (B, n) int64 of the patches that are encoded; the others are left out (MAE).
        hidden: Bool mask (B, N) of the patches that ``mask_token`` replaces (BEiT, iBOT).
        mask_token: Token (D,) that replaces hidden patches.

    Returns:
        The prefix tokens (B, P, D), which are the class token and registers, and the patches (B, n, D), after the last
        norm.
    """
    net = encoder.net
    x = net.patch_embed(encoder._prepare(image))  # (B, h, w, D)
    if hidden is not None:
        x = torch.where(hidden.view(*x.shape[:3], 1), mask_token.to(x.dtype), x)  # type: ignore[union-attr]
    x, prefix = net._pos_embed(x), net.num_prefix_tokens  # (B, P + N, D)
    if keep is not None:
        visible = x[:, prefix:].gather(1, keep[..., None].expand(-1, -1, x.shape[2]))  # (B, n, D)
        x = torch.cat([x[:, :prefix], visible], 1)
    x = net.norm(net.blocks(net.norm_pre(x)))
    return x[:, :prefix], x[:, prefix:]


def require_tokens(encoder: Encoder, method: str) -> TimmEncoder:
    """Checks that an encoder is a plain vision transformer of timm that takes any image size.

    Args:
        encoder: The encoder.
        method: Name of the method that needs tokens, for the message.

    Returns:
        The encoder.

    Raises:
        InputError: It is another kind of network.
    """
    net = getattr(encoder, "net", None)
    is_plain = isinstance(net, timm.models.VisionTransformer) and net.dynamic_img_size
    if not isinstance(encoder, TimmEncoder) or not is_plain:
        raise InputError(
            f"{method} works on the tokens of a vision transformer: give ViT, or TimmEncoder with a vit_* or deit_* "
            f"name, not {type(encoder).__name__}"
        )
    return encoder
