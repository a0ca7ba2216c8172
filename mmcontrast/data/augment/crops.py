"""Random regions of a batch of images: each sample has a region of its own, and all are resampled together."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

ATTEMPTS = 10


def random_boxes(
    uniform: Tensor, height: int, width: int, scale: tuple[float, float], ratio: tuple[float, float]
) -> Tensor:
    """Returns regions of random area and shape, distributed as torchvision's ``RandomResizedCrop`` draws them.

    The area is uniform in ``scale``, and log(width / height) is uniform in log ``ratio``.  The first of ten attempts
    that lies inside the image wins; without one, the region is the largest central one of an allowed shape.

    Args:
        uniform: Uniform random numbers in [0, 1), (B, 22).
        height: Height of the images in pixels.
        width: Width of the images in pixels.
        scale: Smallest and largest area, as a fraction of the image.
        ratio: Smallest and largest width / height.

    Returns:
        Top, left, height and width in whole pixels, (B, 4) float32.
    """
    area = height * width * (scale[0] + (scale[1] - scale[0]) * uniform[:, :ATTEMPTS])  # (B, 10)
    low, high = math.log(ratio[0]), math.log(ratio[1])
    shape = (low + (high - low) * uniform[:, ATTEMPTS : 2 * ATTEMPTS]).exp()
    w, h = (area * shape).sqrt().round(), (area / shape).sqrt().round()
    inside = (w <= width) & (h <= height) & (w > 0) & (h > 0)
    first = inside.int().argmax(1, keepdim=True)
    h, w, is_valid = h.gather(1, first), w.gather(1, first), inside.any(1, keepdim=True)  # (B, 1)
    h_max, w_max = min(height, round(width / ratio[0])), min(width, round(height * ratio[1]))
    offset = uniform[:, 2 * ATTEMPTS :]
    top = torch.where(is_valid, (offset[:, :1] * (height - h + 1)).floor(), (height - h_max) // 2)
    left = torch.where(is_valid, (offset[:, 1:] * (width - w + 1)).floor(), (width - w_max) // 2)
    return torch.cat([top, left, torch.where(is_valid, h, h_max), torch.where(is_valid, w, w_max)], 1)


def resample(image: Tensor, boxes: Tensor, flip: Tensor, size: int) -> Tensor:
    """Returns regions resampled to squares, antialiased bilinear, as torchvision's ``resized_crop`` does.

    Args:
        image: Images, (B, C, H, W) float.
        boxes: Top, left, height and width of the regions in pixels, (B, 4).
        flip: Whether a region is mirrored left to right, (B,) bool.
        size: Side S of the squares in pixels.

    Returns:
        Resampled regions, (B, C, S, S).
    """
    if max(image.shape[2:]) <= size:
        return _enlarge(image, boxes, flip, size)
    grows = (boxes[:, 2:] <= size).all(1)  # (B,)
    if image.device.type != "cpu":  # picking samples out would wait for the device
        drawn = (image, boxes, flip, size)
        return torch.where(grows[:, None, None, None], _enlarge(*drawn), _products(*drawn))
    result = image.new_empty(*image.shape[:2], size, size)
    for chosen, method in ((grows.nonzero()[:, 0], _enlarge), ((~grows).nonzero()[:, 0], _products)):
        if len(chosen):
            result[chosen] = method(image[chosen], boxes[chosen], flip[chosen], size)
    return result


def _enlarge(image: Tensor, boxes: Tensor, flip: Tensor, size: int) -> Tensor:
    """Resamples regions no larger than the result, for which antialiasing equals plain bilinear interpolation."""
    top, left, height, width = boxes[..., None].unbind(1)  # (B, 1)
    y = _centers(top, height, torch.zeros_like(flip), size)  # (B, S)
    x = _centers(left, width, flip, size)
    y = y.clamp(top + 0.5, top + height - 0.5).mul(2 / image.shape[2]).sub(1)  # nothing from outside the region
    x = x.clamp(left + 0.5, left + width - 0.5).mul(2 / image.shape[3]).sub(1)
    grid = torch.stack(torch.broadcast_tensors(x[:, None], y[..., None]), -1)  # (B, S, S, 2)
    with torch.autocast(image.device.type, enabled=False):
        return F.grid_sample(image, grid, padding_mode="border", align_corners=False)


def _products(image: Tensor, boxes: Tensor, flip: Tensor, size: int) -> Tensor:
    """Resamples regions of any size by two matrix products."""
    top, left, height, width = boxes.unbind(1)
    rows = _weights(top, height, torch.zeros_like(flip), image.shape[2], size)  # (B, S, H)
    columns = _weights(left, width, flip, image.shape[3], size)  # (B, S, W)
    with torch.autocast(image.device.type, enabled=False):
        narrow: Tensor = torch.bmm(image.flatten(1, 2), columns.mT).unflatten(1, image.shape[1:3])  # (B, C, H, S)
        return rows[:, None] @ narrow


def _weights(start: Tensor, length: Tensor, flip: Tensor, inputs: int, outputs: int) -> Tensor:
    """Returns (B, outputs, inputs) triangle weights around each output's center, widened where regions shrink."""
    start, length = start[:, None], length[:, None]  # (B, 1)
    step = length / outputs  # input pixels per output pixel
    center = _centers(start, length, flip, outputs)  # (B, S)
    pixel = torch.arange(inputs, device=start.device) + 0.5  # (H,)
    weight = (pixel - center[..., None]).abs_().div_(-step.clamp(min=1)[..., None]).add_(1).clamp_(min=0)
    inside = (pixel > start) & (pixel < start + length)  # (B, H)
    weight = weight.mul_(inside[:, None].float())
    return weight.div_(weight.sum(2, keepdim=True))


def _centers(start: Tensor, length: Tensor, flip: Tensor, outputs: int) -> Tensor:
    """Returns the centers of the output pixels, (B, outputs), in input pixels from the edge of the image."""
    center = torch.arange(outputs, device=start.device) + 0.5  # (S,)
    return torch.where(flip[:, None], outputs - center, center) * (length / outputs) + start
