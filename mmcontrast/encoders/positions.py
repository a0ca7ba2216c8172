"""Position embeddings at other image sizes, as the code of DINO and DINOv2 interpolates them."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from mmcontrast.encoders.deferred_compiler import timm


def resample_positions(positions: Tensor, height: int, width: int, prefix: int) -> Tensor:
    """Interpolates position embeddings without antialiasing, as DINO (2104.14294) and DINOv2 (2304.07193) do.

    Args:
        positions: Embeddings (1, P + N, D) of P prefix tokens and of a square grid of N cells.
        height: Rows of the new grid.
        width: Columns of the new grid.
        prefix: Number P of prefix tokens with embeddings.

    Returns:
        Embeddings (1, P + height * width, D).
    """
    side = math.isqrt(positions.shape[1] - prefix)
    if (height, width) == (side, side):
        return positions
    grid = positions[:, prefix:].float().unflatten(1, (side, side)).permute(0, 3, 1, 2)
    # Their code adds 0.1 to both sides, lest the floor of a product be too small; the scale is part of the result.
    scale = (height + 0.1) / side, (width + 0.1) / side
    grid = F.interpolate(grid, scale_factor=scale, mode="bicubic", antialias=False)
    assert grid.shape[-2:] == (height, width)
    return torch.cat([positions[:, :prefix], grid.flatten(2).mT.to(positions.dtype)], 1)


class DinoVisionTransformer(timm.models.VisionTransformer):
    """A vision transformer of timm that interpolates its position embeddings by ``resample_positions``."""

    def _pos_embed(self, x: Tensor) -> Tensor:
        """Adds position embeddings to patches (B, h, w, D) and puts the prefix tokens before them."""
        prefix = 0 if self.no_embed_class else self.num_prefix_tokens
        assert self.pos_embed is not None
        positions = resample_positions(self.pos_embed, x.shape[1], x.shape[2], prefix)
        tokens = [t.expand(len(x), -1, -1) for t in (self.cls_token, self.reg_token) if t is not None]
        patches = x.flatten(1, 2)
        if self.no_embed_class:
            x = torch.cat([*tokens, patches + positions], 1)
        else:
            x = torch.cat([*tokens, patches], 1) + positions
        dropped: Tensor = self.pos_drop(x)
        return dropped
