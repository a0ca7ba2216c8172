"""Colour jitter, greyscale, blur and solarisation of a batch, with parameters of their own for every sample.

Each agrees with torchvision's function of the same name for the same parameters (``torchvision.transforms.v2
.functional``).  Brightness, contrast, saturation and greyscale are all of the form a x + b grey(x) + c, so one 3 x 3
matrix product serves whichever comes next in a sample's own order.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

GREY = (0.2989, 0.587, 0.114)  # ITU-R BT.601 luma, with torchvision's digits
BRIGHTNESS, CONTRAST, SATURATION, HUE = range(4)


def jitter(image: Tensor, order: Tensor, factors: Tensor, active: Tensor) -> Tensor:
    """Brightness, contrast, saturation and hue, in each sample's own order.

    Args:
        image: (B, 3, H, W) in [0, 1].
        order: (B, 4) int64, a permutation of 0 (brightness), 1 (contrast), 2 (saturation), 3 (hue).
        factors: (B, 4), columns as numbered: three factors >= 0 where 1 changes nothing, and the hue's shift in turns.
        active: (B,) bool; other samples are left alone.
    Returns:
        (B, 3, H, W) in [0, 1].
    """
    turn = order.argsort(1)  # (B, 4): when each operation comes
    for slot in range(4):  # before the hue
        image = _blend_in_turn(image, order[:, slot], factors, active & (turn[:, HUE] > slot))
    image = _where(active & (factors[:, HUE] != 0), image, shift_hue, factors[:, HUE])
    for slot in range(4):
        image = _blend_in_turn(image, order[:, slot], factors, active & (turn[:, HUE] < slot))
    return image


def grey(image: Tensor, active: Tensor) -> Tensor:
    """Takes the colour from the active samples: (B, 3, H, W), (B,) bool -> (B, 3, H, W)."""
    return _where(active, image, lambda x: _luma(x).expand_as(x))


def shift_hue(image: Tensor, turns: Tensor) -> Tensor:
    """Turns the hue angle of HSV; value and chroma stay.

    Args:
        image: (B, 3, H, W) in [0, 1].
        turns: (B,) in [-0.5, 0.5]; 1 is a full circle.
    """
    red, green, blue = image.unbind(1)  # (B, H, W)
    high, low = image.amax(1), image.amin(1)
    chroma = high - low
    sector = torch.where(high == green, blue - red + 2 * chroma, red - green + 4 * chroma)
    sector = torch.where(high == red, green - blue, sector) / torch.where(chroma == 0, 1, chroma)  # [-1, 5]
    hue = sector / 6 + turns[:, None, None]
    hue = (hue - hue.floor()) * 6  # [0, 6)
    weights = [(hue - 3).abs() - 1, 2 - (hue - 2).abs(), 2 - (hue - 4).abs()]
    return torch.stack([low + chroma * weight.clamp_(0, 1) for weight in weights], 1)


def blur(image: Tensor, sigma: Tensor, active: Tensor, kernel: int) -> Tensor:
    """Gaussian blur with reflected borders.

    Args:
        image: (B, 3, H, W).
        sigma: (B,) standard deviation in pixels.
        active: (B,) bool; other samples are left alone.
        kernel: taps, odd.
    """

    def apply(x: Tensor, sigma: Tensor) -> Tensor:
        taps = torch.arange(kernel, device=x.device) - kernel // 2
        weight = (-0.5 * (taps / sigma[:, None]).square()).exp()  # (b, kernel)
        weight = weight / weight.sum(1, keepdim=True)
        with torch.autocast(x.device.type, enabled=False):
            return _band(weight, x.shape[2])[:, None] @ x @ _band(weight, x.shape[3])[:, None].mT

    return _where(active, image, apply, sigma)


def solarize(image: Tensor, active: Tensor) -> Tensor:
    """Inverts what is brighter than one half: (B, 3, H, W) in [0, 1], (B,) bool."""
    return _where(active, image, lambda x: torch.where(x >= 0.5, 1 - x, x))


def low_resolution(image: Tensor, active: Tensor, side: int) -> Tensor:
    """Shrinks to ``side`` pixels and enlarges again: (B, 3, H, W) in [0, 1], (B,) bool."""

    def apply(x: Tensor) -> Tensor:
        small = F.interpolate(x, (side, side), mode="bilinear", antialias=True)
        return F.interpolate(small, x.shape[2:], mode="bicubic").clamp_(0, 1)

    return _where(active, image, apply)


def _blend_in_turn(image: Tensor, operation: Tensor, factors: Tensor, active: Tensor) -> Tensor:
    def apply(x: Tensor, operation: Tensor, factor: Tensor) -> Tensor:
        zero = torch.zeros_like(factor)
        of_grey = torch.where(operation == SATURATION, 1 - factor, zero)  # (b,)
        mean = x.mean((2, 3)) @ x.new_tensor(GREY)
        offset = torch.where(operation == CONTRAST, (1 - factor) * mean, zero)
        matrix = factor[:, None, None] * torch.eye(3, device=x.device)
        matrix = matrix + of_grey[:, None, None] * x.new_tensor(GREY)  # (b, 3, 3)
        with torch.autocast(x.device.type, enabled=False):
            return torch.baddbmm(offset[:, None, None], matrix, x.flatten(2)).view_as(x).clamp_(0, 1)

    factor = factors.gather(1, operation[:, None])[:, 0]
    return _where(active & (operation != HUE), image, apply, operation, factor)


def _where(active: Tensor, image: Tensor, function: Callable[..., Tensor], *arguments: Tensor) -> Tensor:
    """``function(image, *arguments)`` for the active samples alone.

    On a CPU the others are spared the work; elsewhere picking samples out would wait for the device, so all are
    computed and selected from.
    """
    if image.device.type != "cpu":
        return torch.where(active[:, None, None, None], function(image, *arguments), image)
    chosen = active.nonzero()[:, 0]
    if len(chosen):
        image[chosen] = function(image[chosen], *[argument[chosen] for argument in arguments])
    return image


def _luma(image: Tensor) -> Tensor:
    return torch.einsum("bchw,c->bhw", image, image.new_tensor(GREY))[:, None]


def _band(weight: Tensor, length: int) -> Tensor:
    """(B, K) taps -> (B, length, length), the matrix that convolves a line with reflected borders."""
    kernel = weight.shape[1]
    taps = torch.arange(kernel, device=weight.device) - kernel // 2
    source = (torch.arange(length, device=weight.device)[:, None] + taps).abs()
    source = torch.where(source >= length, 2 * (length - 1) - source, source)  # (length, K)
    band = weight.new_zeros(len(weight), length, length)
    index = source.expand(len(weight), -1, -1)
    return band.scatter_add_(2, index, weight[:, None].expand(-1, length, -1))
