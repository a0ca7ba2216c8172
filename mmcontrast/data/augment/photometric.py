"""Color jitter, grayscale, blur and solarization of a batch, with parameters of their own for every sample.

Each agrees with torchvision's function of the same name for the same parameters (``torchvision.transforms.v2
.functional``).  Brightness, contrast, saturation and grayscale are all of the form a x + b gray(x) + c, so one 3 x 3
matrix product serves whichever comes next in a sample's own order.
"""

from collections.abc import Callable

import cv2
import torch
import torch.nn.functional as F
from torch import Tensor

GRAY = (0.2989, 0.587, 0.114)  # ITU-R BT.601 luma, with torchvision's digits
BRIGHTNESS, CONTRAST, SATURATION, HUE = range(4)


def jitter(image: Tensor, order: Tensor, factors: Tensor, active: Tensor) -> Tensor:
    """Changes brightness, contrast, saturation and hue, in an order of its own for each sample.

    Args:
        image: Images in [0, 1], (B, 3, H, W).
        order: Permutations of 0 (brightness), 1 (contrast), 2 (saturation) and 3 (hue), (B, 4) int64.
        factors: Three factors >= 0, of which 1 changes nothing, and the shift of the hue in turns, (B, 4).
        active: Whether a sample is changed, (B,) bool.

    Returns:
        Changed images in [0, 1], (B, 3, H, W).
    """
    # The hue is costly and comes once: blends before it, then it, then blends after it.  Sorted by the number of
    # blends before the hue (-1 where not active), the samples that a step concerns lie next to each other.
    before, index = torch.where(active, order.argsort(1)[:, HUE], -1).sort(stable=True)
    image, order, factors = (x.index_select(0, index) for x in (image, order, factors))
    everything = slice(None)
    early, middle, late = [everything] * 3, everything, [everything] * 3
    if image.device.type == "cpu":  # elsewhere counting would wait for the device
        fewer = [int((before < count).sum()) for count in range(4)]
        early, late = [slice(n, None) for n in fewer[1:]], [slice(fewer[0], n) for n in fewer[1:]]
        middle = slice(fewer[0], None)
    slots = torch.arange(4, device=image.device)
    matrices, contrasts = _blends(order, factors, before[:, None] > slots)
    for slot, part in enumerate(early):
        _blend(image[part], matrices[part, slot], contrasts[part, slot])
    _turn_hue(image[middle], factors[middle, HUE] * (before[middle] >= 0))
    matrices, contrasts = _blends(order, factors, (before[:, None] >= 0) & (before[:, None] < slots))
    for slot, part in enumerate(late, 1):
        _blend(image[part], matrices[part, slot], contrasts[part, slot])
    return image.index_select(0, index.argsort())


def gray(image: Tensor, active: Tensor) -> Tensor:
    """Turns the active samples gray; may overwrite ``image``.

    Args:
        image: Images, (B, 3, H, W).
        active: Whether a sample is changed, (B,) bool.
    """
    return _where(active, image, lambda x: _luma(x).expand_as(x))


def shift_hue(image: Tensor, turns: Tensor) -> Tensor:
    """Returns images with the hue angle of HSV shifted; value and chroma stay.

    Args:
        image: Images in [0, 1], (B, 3, H, W).
        turns: Shifts in [-0.5, 0.5], (B,); 1 is a full circle.
    """
    return _turn_hue(image.clone(), turns)


def _turn_hue(image: Tensor, turns: Tensor) -> Tensor:
    """``shift_hue`` in place."""
    red, green, blue = image.unbind(1)  # (B, H, W)
    high = torch.maximum(torch.maximum(red, green), blue)
    low = torch.minimum(torch.minimum(red, green), blue)
    chroma = high - low
    # Sixths of a turn from red, without a case for each sector: 1 + (green + blue - red - low) / chroma, towards
    # green where that is more than blue.
    hue = (green + blue).sub_(red).sub_(low).div_(chroma.clamp(min=1e-12)).add_(1).copysign_(green - blue)  # [-3, 3]
    hue = hue.div_(6).add_(1 + turns[:, None, None]).frac_().mul_(6)  # [0, 6)
    for channel, (center, sign, offset) in enumerate(((3, 1, -1), (2, -1, 2), (4, -1, 2))):
        fraction = (hue - center).abs_().mul_(sign).add_(offset).clamp_(0, 1)
        torch.addcmul(low, chroma, fraction, out=image[:, channel])
    return image


def blur(image: Tensor, sigma: Tensor, active: Tensor, kernel: int) -> Tensor:
    """Blurs the active samples by a Gaussian with reflected borders; may overwrite ``image``.

    Args:
        image: Images, (B, 3, H, W).
        sigma: Standard deviations in pixels, (B,).
        active: Whether a sample is changed, (B,) bool.
        kernel: Number of taps, odd.
    """
    taps = torch.arange(kernel, device=image.device) - kernel // 2
    weight = (-0.5 * (taps / sigma[:, None]).square()).exp()  # (B, kernel)
    weight = weight / weight.sum(1, keepdim=True)
    weight = weight * (weight > 1e-8)  # subnormal numbers would slow the products a hundredfold
    if image.device.type == "cpu":
        return _filter(image, weight, active)
    return torch.where(active[:, None, None, None], _products(image, weight), image)


def solarize(image: Tensor, active: Tensor) -> Tensor:
    """Inverts the values above one half in the active samples; may overwrite ``image``.

    Args:
        image: Images in [0, 1], (B, 3, H, W).
        active: Whether a sample is changed, (B,) bool.
    """
    return _where(active, image, lambda x: 0.5 - (x - 0.5).abs())


def low_resolution(image: Tensor, active: Tensor, side: int) -> Tensor:
    """Shrinks the active samples and enlarges them again; may overwrite ``image``.

    Args:
        image: Images in [0, 1], (B, 3, H, W).
        active: Whether a sample is changed, (B,) bool.
        side: Side of the small images in pixels.
    """

    def apply(x: Tensor) -> Tensor:
        small = F.interpolate(x, (side, side), mode="bilinear", antialias=True)
        return F.interpolate(small, x.shape[2:], mode="bicubic").clamp_(0, 1)

    return _where(active, image, apply)


def _products(image: Tensor, weight: Tensor) -> Tensor:
    """Filters images by (B, K) taps along both sides, as two matrix products."""
    with torch.autocast(image.device.type, enabled=False):
        return _band(weight, image.shape[2])[:, None] @ image @ _band(weight, image.shape[3])[:, None].mT


def _filter(image: Tensor, weight: Tensor, active: Tensor) -> Tensor:
    """Filters the active samples in place by (B, K) taps along both sides, with OpenCV."""
    planes, taps = image.numpy(), weight.numpy()
    for i in active.nonzero()[:, 0].tolist():
        for plane in planes[i]:
            cv2.sepFilter2D(plane, -1, taps[i], taps[i], plane, borderType=cv2.BORDER_REFLECT_101)
    return image


def _blends(order: Tensor, factors: Tensor, active: Tensor) -> tuple[Tensor, Tensor]:
    """Returns (B, 4, 3, 3) matrices and (B, 4) fractions of the mean luma for the four slots of ``_blend``.

    Where a slot is not active, as the hue's never is, they leave an image as it is.
    """
    factor = torch.where(active, factors.gather(1, order), 1)  # (B, 4)
    rest, eye, luma = 1 - factor, torch.eye(3, device=factor.device), factor.new_tensor(GRAY)
    matrix = factor[..., None, None] * eye + (rest * (order == SATURATION))[..., None, None] * luma
    return matrix, rest * (order == CONTRAST)


def _blend(image: Tensor, matrix: Tensor, contrast: Tensor) -> None:
    """Multiplies images by (B, 3, 3) matrices, adds (B,) fractions of their mean luma, and clamps, in place."""
    offset = contrast * (image.mean((2, 3)) @ image.new_tensor(GRAY))
    with torch.autocast(image.device.type, enabled=False):
        blended = torch.baddbmm(offset[:, None, None], matrix, image.flatten(2)).view_as(image)
    torch.clamp(blended, 0, 1, out=image)


def _where(active: Tensor, image: Tensor, function: Callable[..., Tensor], *arguments: Tensor) -> Tensor:
    """Applies ``function(image, *arguments)`` to the active samples only.

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
    red, green, blue = image.split(1, 1)  # (B, 1, H, W); three sums are faster here than a product of three columns
    luma: Tensor = (GRAY[0] * red).add_(green, alpha=GRAY[1]).add_(blue, alpha=GRAY[2])
    return luma


def _band(weight: Tensor, length: int) -> Tensor:
    """Returns matrices (B, length, length) that convolve a line, with reflected borders, by (B, K) taps."""
    kernel = weight.shape[1]
    taps = torch.arange(kernel, device=weight.device) - kernel // 2
    source = (torch.arange(length, device=weight.device)[:, None] + taps).abs()
    source = torch.where(source >= length, 2 * (length - 1) - source, source)  # (length, K)
    band = weight.new_zeros(len(weight), length, length)
    index = source.expand(len(weight), -1, -1)
    return band.scatter_add_(2, index, weight[:, None].expand(-1, length, -1))
