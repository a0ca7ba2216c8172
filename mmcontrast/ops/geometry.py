"""Pinhole cameras and image warps, batched.

Points are (x, y) pixels with centers at integers; cameras look along +z with x to the right and y down (OpenCV);
poses are camera-to-world; lengths are meters.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def unproject(xy: Tensor, depth: Tensor, intrinsics: Tensor) -> Tensor:
    """Pixels with depth to points in the camera's frame.

    Args:
        xy: (B, N, 2) pixels.
        depth: (B, N) meters along the optical axis.
        intrinsics: (B, 3, 3).
    Returns:
        (B, N, 3) meters.
    """
    ray = torch.cat([xy, torch.ones_like(xy[..., :1])], -1) @ torch.linalg.inv(intrinsics).mT  # (B, N, 3)
    return ray * depth[..., None]


def project(point: Tensor, intrinsics: Tensor) -> tuple[Tensor, Tensor]:
    """Points in the camera's frame to pixels.

    Args:
        point: (B, N, 3) meters.
        intrinsics: (B, 3, 3).
    Returns:
        (B, N, 2) pixels, NaN for points that are not in front of the camera, and (B, N) depth in meters.
    """
    depth = point[..., 2]
    image = point @ intrinsics.mT  # (B, N, 3)
    in_front = (depth > 0)[..., None]
    return torch.where(in_front, image[..., :2] / image[..., 2:], torch.nan), depth


def transform(point: Tensor, motion: Tensor) -> Tensor:
    """Rigid motion (..., 4, 4) of points (..., N, 3)."""
    return point @ motion[..., :3, :3].mT + motion[..., None, :3, 3]


def relative_motion(pose_a: Tensor, pose_b: Tensor) -> Tensor:
    """Two camera-to-world poses (..., 4, 4) -> what takes points from camera a's frame to camera b's."""
    return torch.linalg.inv(pose_b) @ pose_a


def reproject(
    xy: Tensor, depth: Tensor, intrinsics_a: Tensor, motion: Tensor, intrinsics_b: Tensor
) -> tuple[Tensor, Tensor]:
    """Where camera b sees the points that camera a sees: depth -> camera a -> camera b -> pixel.

    Args:
        xy: (B, N, 2) pixels in a.
        depth: (B, N) meters in a; 0 where it was not measured.
        intrinsics_a, intrinsics_b: (B, 3, 3).
        motion: (B, 4, 4), or (B, N, 4, 4) where points move apart: camera a's frame to camera b's.
    Returns:
        (B, N, 2) pixels in b and (B, N) depth in b; the pixels are NaN where depth is 0 or the point is behind b.
    """
    point = unproject(xy, depth, intrinsics_a)  # (B, N, 3)
    per_point = motion.ndim == 4
    moved = transform(point[..., None, :], motion)[..., 0, :] if per_point else transform(point, motion)
    xy_b, depth_b = project(moved, intrinsics_b)
    return torch.where((depth > 0)[..., None], xy_b, torch.nan), depth_b


def inside(xy: Tensor, height: int, width: int) -> Tensor:
    """(..., 2) pixels -> (...) whether their nearest pixel lies in the image; False for NaN."""
    x, y = xy.unbind(-1)
    return (x >= -0.5) & (x < width - 0.5) & (y >= -0.5) & (y < height - 0.5)


def pixel_index(xy: Tensor, height: int, width: int) -> Tensor:
    """(..., 2) pixels -> (...) int64 y * W + x of the nearest pixel in the image; NaN counts as 0."""
    x, y = (xy.nan_to_num(0) + 0.5).floor().long().unbind(-1)
    return y.clamp(0, height - 1) * width + x.clamp(0, width - 1)


def pixel_grid(height: int, width: int, device: torch.device | str | None = None) -> Tensor:
    """All pixels of an image in row order: (H * W, 2) float."""
    y, x = torch.meshgrid(torch.arange(height, device=device), torch.arange(width, device=device), indexing="ij")
    return torch.stack([x, y], -1).flatten(0, 1).float()


def sample(image: Tensor, xy: Tensor, mode: str = "bilinear", padding: str = "border") -> Tensor:
    """Values at pixels, between centers by interpolation.

    Args:
        image: (B, D, H, W).
        xy: (B, N, 2) pixels; those outside take the border's value (or 0 with ``padding="zeros"``), NaN takes pixel 0.
        mode: "bilinear", "nearest" or "bicubic".
    Returns:
        (B, N, D) in the dtype of ``xy``: half precision cannot tell neighboring pixels apart.
    """
    height, width = image.shape[-2:]
    unit = (xy + 0.5) / xy.new_tensor([width, height]) * 2 - 1
    unit = unit.nan_to_num(-1)[:, :, None]  # (B, N, 1, 2)
    return F.grid_sample(image.to(xy.dtype), unit, mode=mode, padding_mode=padding, align_corners=False)[..., 0].mT


def to_pixels(grid: Tensor, stride: int, height: int, width: int) -> Tensor:
    """A feature grid, whose last cells may reach beyond the image, at every pixel by bilinear interpolation.

    Args:
        grid: (B, D, ceil(H / stride), ceil(W / stride)).
        stride: pixels per cell.
        height, width: of the image.
    Returns:
        (B, D, H, W) float32.
    """
    size = (grid.shape[-2] * stride, grid.shape[-1] * stride)
    return F.interpolate(grid.float(), size, mode="bilinear", align_corners=False)[..., :height, :width]


def take(image: Tensor, index: Tensor) -> Tensor:
    """Values (B, N, D) of an image (B, D, H, W) at pixels (B, N) int64 given as y * W + x."""
    flat = image.flatten(2)
    return flat.gather(2, index[:, None].expand(-1, flat.shape[1], -1)).mT


def apply_homography(homography: Tensor, xy: Tensor) -> Tensor:
    """(B, 3, 3) on (B, N, 2) pixels -> (B, N, 2); NaN beyond the horizon."""
    point = torch.cat([xy, torch.ones_like(xy[..., :1])], -1) @ homography.mT  # (B, N, 3)
    return torch.where(point[..., 2:] > 0, point[..., :2] / point[..., 2:], torch.nan)


def homography_from_corners(corners: Tensor, height: int, width: int) -> Tensor:
    """The homography that takes an image's four corner pixels to given places (the direct linear transform).

    Args:
        corners: (B, 4, 2) pixels for the corners (0, 0), (W-1, 0), (W-1, H-1), (0, H-1).
    Returns:
        (B, 3, 3), last entry 1.
    """
    w, h = width - 1, height - 1
    source = corners.new_tensor([[0, 0], [w, 0], [w, h], [0, h]])  # (4, 2)
    (x, y), (u, v) = source.T, corners.unbind(-1)  # (4,) and (B, 4)
    one, zero = torch.ones_like(x), torch.zeros_like(x)
    x, y, one, zero = (t.expand_as(u) for t in (x, y, one, zero))
    rows_u = torch.stack([x, y, one, zero, zero, zero, -u * x, -u * y], -1)  # (B, 4, 8)
    rows_v = torch.stack([zero, zero, zero, x, y, one, -v * x, -v * y], -1)
    system, target = torch.cat([rows_u, rows_v], 1).double(), torch.cat([u, v], 1).double()
    eight = torch.linalg.solve(system, target)  # (B, 8)
    return torch.cat([eight, torch.ones_like(eight[:, :1])], 1).view(-1, 3, 3).to(corners.dtype)


def thin_plate(control: Tensor, target: Tensor, xy: Tensor) -> Tensor:
    """Thin-plate spline that takes control points to targets (Bookstein 1989), evaluated at pixels.

    Args:
        control: (B, C, 2) pixels, C >= 3, not all on a line.
        target: (B, C, 2) pixels.
        xy: (B, N, 2) pixels.
    Returns:
        (B, N, 2) pixels.
    """
    scale = control.flatten(1).abs().amax(1).clamp(min=1)[:, None, None]  # numbers near 1 keep the solve well posed
    control, xy = control / scale, xy / scale
    b = len(control)
    affine = torch.cat([torch.ones_like(control[..., :1]), control], -1)  # (B, C, 3)
    top = torch.cat([_plate(control, control), affine], -1)  # (B, C, C + 3)
    bottom = torch.cat([affine.mT, affine.new_zeros(b, 3, 3)], -1)
    right = torch.cat([target, target.new_zeros(b, 3, 2)], 1).double()  # (B, C + 3, 2)
    weight = torch.linalg.solve(torch.cat([top, bottom], 1).double(), right).to(xy.dtype)
    basis = torch.cat([_plate(xy, control), torch.ones_like(xy[..., :1]), xy], -1)  # (B, N, C + 3)
    return basis @ weight


def _plate(a: Tensor, b: Tensor) -> Tensor:
    """r^2 log r between (B, N, 2) and (B, C, 2) points: (B, N, C)."""
    squared = (a[:, :, None] - b[:, None]).square().sum(-1)
    return 0.5 * squared * squared.clamp(min=1e-12).log()
