"""Random regions of a batch of images, resampled together: every sample has its own, and none needs a loop."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

ATTEMPTS = 10


def random_boxes(
    uniform: Tensor, height: int, width: int, scale: tuple[float, float], ratio: tuple[float, float]
) -> Tensor:
    """Regions of random area and shape, distributed as torchvision's ``RandomResizedCrop`` draws them.

    Area is uniform in ``scale``, log(width / height) uniform in log ``ratio``; the first of ten attempts that lies
    inside is taken, else the largest central region of an allowed shape.

    Args:
        uniform: (B, 22) in [0, 1).
        height: of the images, in pixels.
        width: of the images, in pixels.
        scale: smallest and largest area, as a fraction of the image.
        ratio: narrowest and widest shape, width / height.
    Returns:
        (B, 4) float32 whole numbers: top, left, height, width.
    """
    area = height * width * (scale[0] + (scale[1] - scale[0]) * uniform[:, :ATTEMPTS])  # (B, 10)
    low, high = math.log(ratio[0]), math.log(ratio[1])
    shape = (low + (high - low) * uniform[:, ATTEMPTS : 2 * ATTEMPTS]).exp()
    w, h = (area * shape).sqrt().round(), (area / shape).sqrt().round()
    inside = (w <= width) & (h <= height) & (w > 0) & (h > 0)
    first = inside.int().argmax(1, keepdim=True)
    h, w, found = h.gather(1, first), w.gather(1, first), inside.any(1, keepdim=True)  # (B, 1)
    h_most, w_most = min(height, round(width / ratio[0])), min(width, round(height * ratio[1]))
    place = uniform[:, 2 * ATTEMPTS :]
    top = torch.where(found, (place[:, :1] * (height - h + 1)).floor(), (height - h_most) // 2)
    left = torch.where(found, (place[:, 1:] * (width - w + 1)).floor(), (width - w_most) // 2)
    return torch.cat([top, left, torch.where(found, h, h_most), torch.where(found, w, w_most)], 1)


def resample(image: Tensor, boxes: Tensor, flip: Tensor, size: int) -> Tensor:
    """Regions -> squares, antialiased bilinear: what torchvision's ``resized_crop`` gives.

    Args:
        image: (B, C, H, W) float.
        boxes: (B, 4) top, left, height, width.
        flip: (B,) bool, mirrors left and right.
        size: side S of the result in pixels.
    Returns:
        (B, C, S, S).
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
    """Regions no larger than the result, where the antialiased triangle is plain interpolation of four pixels."""
    top, left, height, width = boxes[..., None].unbind(1)  # (B, 1)
    y = _places(top, height, torch.zeros_like(flip), size)  # (B, S)
    x = _places(left, width, flip, size)
    y = y.clamp(top + 0.5, top + height - 0.5).mul(2 / image.shape[2]).sub(1)  # nothing from outside the region
    x = x.clamp(left + 0.5, left + width - 0.5).mul(2 / image.shape[3]).sub(1)
    grid = torch.stack(torch.broadcast_tensors(x[:, None], y[..., None]), -1)  # (B, S, S, 2)
    with torch.autocast(image.device.type, enabled=False):
        return F.grid_sample(image, grid, padding_mode="border", align_corners=False)


def _products(image: Tensor, boxes: Tensor, flip: Tensor, size: int) -> Tensor:
    """Regions of any size, as two matrix products."""
    top, left, height, width = boxes.unbind(1)
    rows = _weights(top, height, torch.zeros_like(flip), image.shape[2], size)  # (B, S, H)
    columns = _weights(left, width, flip, image.shape[3], size)  # (B, S, W)
    with torch.autocast(image.device.type, enabled=False):
        narrow = torch.bmm(image.flatten(1, 2), columns.mT).unflatten(1, image.shape[1:3])  # (B, C, H, S)
        return rows[:, None] @ narrow


def _weights(start: Tensor, length: Tensor, flip: Tensor, inputs: int, outputs: int) -> Tensor:
    """(B, outputs, inputs): a triangle around each output's place, as wide as a step where the region shrinks."""
    start, length = start[:, None], length[:, None]  # (B, 1)
    step = length / outputs  # input pixels per output pixel
    place = _places(start, length, flip, outputs)  # (B, S)
    pixel = torch.arange(inputs, device=start.device) + 0.5  # (H,)
    weight = (pixel - place[..., None]).abs_().div_(-step.clamp(min=1)[..., None]).add_(1).clamp_(min=0)
    inside = (pixel > start) & (pixel < start + length)  # (B, H)
    weight = weight.mul_(inside[:, None].float())
    return weight.div_(weight.sum(2, keepdim=True))


def _places(start: Tensor, length: Tensor, flip: Tensor, outputs: int) -> Tensor:
    """(B, 1), (B, 1), (B,) bool -> (B, outputs), where the outputs' centers lie in the image, from its edge."""
    place = torch.arange(outputs, device=start.device) + 0.5  # (S,)
    return torch.where(flip[:, None], outputs - place, place) * (length / outputs) + start
