"""How the networks of timm return a feature grid; the families differ in layout and in the image sizes they take."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from mmcontrast.encoders.deferred_compiler import timm
from mmcontrast.errors import InputError

# Families whose grid is known to be (B, D, ceil(H / stride), ceil(W / stride)) or rows of patches, at any size.
_CONVOLUTIONAL = {"efficientnet", "mobilenetv3", "regnet", "resnet"}
_TRANSFORMERS = {"eva", "vision_transformer"}


Source = Literal["tokens", "features", "intermediates"]


@dataclass(frozen=True)
class GridRule:
    """How to get the grid of a network.

    Attributes:
        source: What is read: ``tokens`` and ``features`` of ``forward_features``, or the last of the ``intermediates``.
        dim: Width D of the grid.
        stride: Pixels per cell.
        pads: Whether images must be padded to multiples of the stride.
        size: The only side of images that the network takes; 0 if it takes any.
    """

    source: Source
    dim: int
    stride: int
    pads: bool
    size: int = 0

    def prepare(self, image: Tensor) -> Tensor:
        """Resizes or pads normalized images to a size that the network takes."""
        if self.size and image.shape[-2:] != (self.size, self.size):
            return F.interpolate(image, (self.size, self.size), mode="bilinear", antialias=True)
        if not self.pads:
            return image
        right, below = -image.shape[-1] % self.stride, -image.shape[-2] % self.stride
        return F.pad(image, (0, right, 0, below), mode="replicate") if right or below else image

    def read(self, net: Any, x: Tensor) -> Tensor:
        """Computes the grid of prepared images in the layout (B, D, h, w)."""
        if self.source == "intermediates":
            return last_intermediate(net, x)
        features: Tensor = net.forward_features(x)
        if self.source == "features":
            if features.ndim != 4:
                raise ValueError("the features are no grid")
            return features.permute(0, 3, 1, 2) if getattr(net, "output_fmt", "NCHW") == "NHWC" else features
        h, w = -(-x.shape[-2] // self.stride), -(-x.shape[-1] // self.stride)
        prefix = getattr(net, "num_prefix_tokens", 0)
        if features.ndim != 3 or features.shape[1] != prefix + h * w:
            raise ValueError("the tokens are no grid")
        patches = features[:, prefix:]  # (B, h w, D), class token and registers left out
        return patches.mT.reshape(len(x), -1, h, w)


def last_intermediate(net: Any, x: Tensor) -> Tensor:
    """Returns the last feature grid (B, D, h, w) of a network of timm, normalized as its output is."""
    features: Tensor = net.forward_intermediates(x, indices=1, norm=True, intermediates_only=True)[-1]
    return features


def fit_grid(grid: Tensor, h: int, w: int) -> Tensor:
    """Cuts a grid of a padded image to h x w cells, or resamples it if it has fewer."""
    if grid.shape[-2] >= h and grid.shape[-1] >= w and (grid.shape[-2] - h) <= 1 and (grid.shape[-1] - w) <= 1:
        return grid[..., :h, :w]
    return F.interpolate(grid, (h, w), mode="bilinear", align_corners=False)


def grid_rule(net: Any, name: str, image_size: int, reduction: int, options: tuple[tuple[str, Any], ...]) -> GridRule:
    """Finds out how to get the grid of a network.

    Args:
        net: The network.
        name: Its name in timm.
        image_size: Side of the images in pixels.
        reduction: Stride of its last features.
        options: Arguments of ``timm.create_model`` with which it was built.

    Returns:
        The rule. Families that are not known to be uniform are run without memory on a few image sizes.

    Raises:
        InputError: The network has no grid.
    """
    family = type(net).__module__.rpartition(".")[2]
    if family in _CONVOLUTIONAL:
        return GridRule("features", net.num_features, reduction, pads=False)
    if family in _TRANSFORMERS and getattr(net, "dynamic_img_size", False):
        return GridRule("tokens", net.num_features, reduction, pads=True)
    return _probe(name, image_size, reduction, options)


@lru_cache(maxsize=64)
def _probe(name: str, image_size: int, reduction: int, options: tuple[tuple[str, Any], ...]) -> GridRule:
    with torch.random.fork_rng(devices=[]), torch.device("meta"), torch.no_grad():
        net = timm.create_model(name, num_classes=0, **dict(options)).eval()
        source, shape = _first_source(net, image_size, reduction)
        if not shape:
            raise InputError(f"timm's {name!r} makes no grid of features; give another network.")
        dim, side = shape[0], shape[1]
        stride = reduction if abs(side - image_size / reduction) <= 3 else round(image_size / side)
        other = _shape(net, GridRule(source, dim, stride, pads=False), image_size + stride, 2 * image_size)
        cells = -(-(image_size + stride) // stride), -(-2 * image_size // stride)
        if not other or max(abs(other[1] - cells[0]), abs(other[2] - cells[1])) > 3:
            if source == "features" and (better := _flexible_intermediate(net, image_size, reduction)):
                return better
            return GridRule(source, dim, stride, pads=False, size=image_size)
        odd = _shape(net, GridRule(source, dim, stride, pads=False), image_size + 1, image_size + 5)
        rounds_up = bool(odd) and odd[1:] == (-(-(image_size + 1) // stride), -(-(image_size + 5) // stride))
        return GridRule(source, dim, stride, pads=not rounds_up)


def _flexible_intermediate(net: Any, image_size: int, reduction: int) -> GridRule | None:
    """Returns a rule for networks whose output is resampled to one size (MobileNetV5), but whose stages are not."""
    rule = GridRule("intermediates", 0, reduction, pads=True)
    shape = _shape(net, rule, image_size + reduction, 2 * image_size)
    if not shape or shape[1:] != (image_size // reduction + 1, 2 * image_size // reduction):
        return None
    return GridRule("intermediates", shape[0], reduction, pads=True)


def _first_source(net: Any, image_size: int, reduction: int) -> tuple[Source, tuple[int, ...]]:
    """Returns the first way to get a grid at the size of the network, and its shape (D, h, w)."""
    sources: tuple[Source, ...] = ("features", "tokens", "intermediates")
    for source in sources:
        if source == "tokens" and not hasattr(net, "num_prefix_tokens"):
            continue  # the order of rows that do not say what precedes them is not known
        if shape := _shape(net, GridRule(source, net.num_features, reduction, pads=False), image_size, image_size):
            return source, shape
    return "tokens", _shape(net, GridRule("tokens", net.num_features, reduction, pads=False), image_size, image_size)


def _shape(net: Any, rule: GridRule, height: int, width: int) -> tuple[int, ...]:
    """Returns (D, h, w) of the grid of an image; () if this way or this size fails."""
    try:
        return tuple(rule.read(net, torch.empty(1, getattr(net, "in_chans", 3), height, width)).shape[1:])
    except (RuntimeError, ValueError, AssertionError, AttributeError, TypeError, IndexError, NotImplementedError):
        return ()
