"""Masks, points and colors of a frame to soft labels on a grid, and back to pixels."""

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from mmcontrast.errors import InputError
from mmcontrast.ops.color import lab_to_rgb, rgb_to_lab
from mmcontrast.ops.geometry import sample

MAX_OBJECTS = 254
Frame = npt.NDArray[np.uint8]
Array = npt.NDArray[Any]


def check_size(image: Array, height: int, width: int, name: str) -> None:
    """Refuses a mask or image (H, W, ...) of another size than the video.

    Raises:
        InputError: The sizes differ; the message names both.
    """
    if image.shape[:2] != (height, width):
        raise InputError(
            f"{name}: is {image.shape[1]}x{image.shape[0]}, the video is {width}x{height}; wanted equal sizes"
        )


def check_mask(mask: Array, height: int, width: int, name: str = "mask") -> Array:
    """Returns the object ids of a mask, ascending, without 0.

    Raises:
        InputError: The mask is not (H, W) integers or bool, has another size than the video, is empty, or has more than
            254 objects.
    """
    if not isinstance(mask, np.ndarray):
        raise InputError(f"{name}: is a {type(mask).__name__}; wanted an array (H, W) of object ids")
    if mask.ndim != 2 or mask.dtype.kind not in "iub":
        raise InputError(f"{name}: has shape {mask.shape} and type {mask.dtype}; wanted (H, W) object ids, 0 elsewhere")
    check_size(mask, height, width, name)
    ids = np.unique(mask)
    if ids[0] < 0 or ids[-1] > 255:
        raise InputError(f"{name}: has ids from {ids[0]} to {ids[-1]}; wanted 0 for background and 1 to 255")
    ids = ids[ids > 0]
    if not len(ids):
        raise InputError(f"{name}: is empty, every pixel is 0; wanted at least one object")
    if len(ids) > MAX_OBJECTS:
        raise InputError(f"{name}: has {len(ids)} objects; at most {MAX_OBJECTS} can be tracked at once")
    return ids


def mask_to_labels(mask: Array, ids: Array, grid: tuple[int, int], device: torch.device) -> Tensor:
    """Returns the fraction of each cell that is background and each object.

    Args:
        mask: (H, W) object ids.
        ids: The ids, without 0.
        grid: Height and width of the grid.
        device: Where to compute.

    Returns:
        (h, w, 1 + objects).
    """
    on_device = torch.from_numpy(mask.astype(np.uint8)).to(device)
    planes = [F.adaptive_avg_pool2d((on_device == i).float()[None], grid)[0] for i in (0, *ids.tolist())]  # (h, w) each
    return torch.stack(planes, -1)


def labels_to_mask(labels: Tensor, ids: Array, height: int, width: int, stretch: bool) -> Tensor:
    """Returns the id of the strongest label at each pixel; one plane at a time is resized.

    Args:
        labels: (h, w, 1 + objects).
        ids: The ids of the objects.
        height: Height of the mask in pixels.
        width: Width of the mask in pixels.
        stretch: Whether each label is stretched to [0, 1] over the frame first.

    Returns:
        (H, W) uint8.
    """
    best = labels.new_full((height, width), -1)
    mask = torch.zeros(height, width, dtype=torch.uint8, device=labels.device)
    for channel, number in enumerate((0, *ids.tolist())):
        plane = F.interpolate(labels[None, None, ..., channel], (height, width), mode="bilinear")[0, 0]
        if stretch:
            plane = stretched(plane[..., None])[..., 0]
        stronger = plane > best
        best, mask = torch.where(stronger, plane, best), mask.masked_fill(stronger, number)
    return mask


def stretched(labels: Tensor) -> Tensor:
    """Returns labels (h, w, C), each stretched to [0, 1] over the frame; labels of 0 everywhere stay so."""
    low, high = labels.amin((0, 1)), labels.amax((0, 1))  # (C,)
    return torch.where(high > 0, (labels - low) / (high - low + 1e-12), labels)


def check_points(points: Any, height: int, width: int) -> npt.NDArray[np.float32]:
    """Returns points as (N, 2) float32.

    Raises:
        InputError: They are not one or more pairs of finite (x, y) inside the frame.
    """
    try:
        xy = np.asarray(points, dtype=np.float32)
    except (ValueError, TypeError):
        raise InputError(f"points {points!r}: wanted pairs of pixels such as [(120, 80), (200, 95)]") from None
    if xy.ndim != 2 or xy.shape[1] != 2 or not len(xy):
        raise InputError(f"points have shape {xy.shape}; wanted (N, 2), N >= 1, as (x, y) in pixels")
    inside = ((xy >= -0.5) & (xy <= np.array([width, height]) - 0.5)).all(1)  # NaN is outside
    if not inside.all():
        outside = "; ".join(f"{x:g},{y:g}" for x, y in xy[~inside])
        raise InputError(
            f"points outside the frame of {width}x{height}: {outside}; x goes to {width - 1}, y to {height - 1}"
        )
    return xy


def points_to_labels(
    points: Array, frame: tuple[int, int], grid: tuple[int, int], device: torch.device, sigma: float = 0.5
) -> Tensor:
    """Returns a Gaussian around each point, 1 at its highest cell.

    Args:
        points: (N, 2) pixels.
        frame: Height and width of the frame in pixels.
        grid: Height and width of the grid.
        device: Where to compute.
        sigma: Standard deviation of the Gaussian in cells.

    Returns:
        (h, w, N).
    """
    h, w = grid
    xy = torch.from_numpy(points).to(device, torch.float32)
    x = (xy[:, 0] + 0.5) * (w / frame[1]) - 0.5
    y = (xy[:, 1] + 0.5) * (h / frame[0]) - 0.5
    dx = torch.arange(w, device=device)[:, None] - x  # (w, N)
    dy = torch.arange(h, device=device)[:, None] - y  # (h, N)
    maps = torch.exp(-(dy[:, None] ** 2 + dx[None] ** 2) / (2 * sigma**2))  # (h, w, N)
    return maps / maps.amax((0, 1))


def labels_to_points(labels: Tensor, frame: tuple[int, int], reach: int = 2) -> tuple[Tensor, Tensor]:
    """Returns the position of each label's peak, and the peak.

    Args:
        labels: (h, w, N).
        frame: Height and width of the frame in pixels.
        reach: The position is the mean over this number of cells to each side of the highest one.

    Returns:
        (N, 2) pixels (x, y), and the peaks (N,) in [0, 1].
    """
    h, w, n = labels.shape
    peak, cell = labels.flatten(0, 1).max(0)  # (N,)
    row, column = cell // w, cell % w
    offsets = torch.arange(-reach, reach + 1, device=labels.device)
    rows, columns = row + offsets[:, None], column + offsets[:, None]  # (K, N)
    near_rows, near_columns = rows.clamp(0, h - 1), columns.clamp(0, w - 1)
    weights = labels[near_rows[:, None], near_columns[None], torch.arange(n, device=labels.device)]  # (K, K, N)
    inside = ((rows == near_rows)[:, None] & (columns == near_columns)[None]).to(weights.dtype)
    weights = weights * inside + 1e-12
    y = (weights * rows[:, None]).sum((0, 1)) / weights.sum((0, 1))
    x = (weights * columns[None]).sum((0, 1)) / weights.sum((0, 1))
    xy = torch.stack([(x + 0.5) * (frame[1] / w) - 0.5, (y + 0.5) * (frame[0] / h) - 0.5], 1)
    high = xy.new_tensor([frame[1] - 1, frame[0] - 1])
    return torch.minimum(xy.clamp_min(0), high), peak.clamp(0, 1)


def cycle_errors(first: Tensor, features: Tensor, first_xy: Tensor, xy: Tensor, frame: tuple[int, int]) -> Tensor:
    """Returns how far a point is from its start after its nearest neighbor in the first frame is looked up.

    Args:
        first: (h, w, D) features of the first frame.
        features: (h, w, D) features of the frame.
        first_xy: (N, 2) points of the first frame in pixels.
        xy: (N, 2) the same points of the frame in pixels.
        frame: Height and width of the frames in pixels.

    Returns:
        (N,) distances in cells.
    """
    h, w, _ = first.shape
    scale = xy.new_tensor([w / frame[1], h / frame[0]])
    start, end = ((points + 0.5) * scale - 0.5 for points in (first_xy, xy))  # in cells
    descriptors = sample(features.float().permute(2, 0, 1)[None], end[None])[0]  # (N, D)
    cell = (descriptors @ F.normalize(first.float(), dim=2).flatten(0, 1).T).argmax(1)
    errors: Tensor = torch.linalg.vector_norm(torch.stack([cell % w, cell // w], 1) - start, dim=1)
    return errors


def color_to_labels(frame: Frame, grid: tuple[int, int], device: torch.device) -> Tensor:
    """Returns the mean ab of each cell, (h, w, 2), of a frame (H, W, 3) uint8 RGB."""
    rgb = torch.from_numpy(np.require(frame, requirements=["C", "W"])).to(device).permute(2, 0, 1).float() / 255
    return F.adaptive_avg_pool2d(rgb_to_lab(rgb)[1:], grid).permute(1, 2, 0).contiguous()


def labels_to_color(labels: Tensor, frame: Frame) -> Tensor:
    """Returns a frame in color.

    Args:
        labels: (h, w, 2), ab of each cell.
        frame: (H, W, 3) uint8, whose lightness the result has.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    rgb = torch.from_numpy(np.require(frame, requirements=["C", "W"])).to(labels.device).permute(2, 0, 1).float() / 255
    ab = F.interpolate(labels.permute(2, 0, 1)[None], frame.shape[:2], mode="bicubic")[0]
    rgb = lab_to_rgb(torch.cat([rgb_to_lab(rgb)[:1], ab]))
    return (rgb * 255).round().to(torch.uint8).permute(1, 2, 0)
