"""Pinhole cameras and image warps, for batches.

Pixels are (x, y) with their centers at integers. Cameras look along +z, with x to the right and y down (OpenCV). Poses
are camera-to-world transforms. Lengths are in meters.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def unproject(xy: Tensor, depth: Tensor, intrinsics: Tensor) -> Tensor:
    """Converts pixels with depth to points in the camera's frame.

    Args:
        xy: Pixels (B, N, 2).
        depth: Depth (B, N) along the optical axis, in meters.
        intrinsics: Camera matrices (B, 3, 3).

    Returns:
        Points (B, N, 3) in meters.
    """
    homogeneous = torch.cat([xy, torch.ones_like(xy[..., :1])], -1)
    ray: Tensor = homogeneous @ torch.linalg.inv(intrinsics).mT  # (B, N, 3)
    return ray * depth[..., None]


def project(point: Tensor, intrinsics: Tensor) -> tuple[Tensor, Tensor]:
    """Projects points in the camera's frame to pixels.

    Args:
        point: Points (B, N, 3) in meters.
        intrinsics: Camera matrices (B, 3, 3).

    Returns:
        Pixels (B, N, 2), NaN for points that are not in front of the camera, and depth (B, N) in meters.
    """
    depth = point[..., 2]
    image = point @ intrinsics.mT  # (B, N, 3)
    in_front = (depth > 0)[..., None]
    return torch.where(in_front, image[..., :2] / image[..., 2:], torch.nan), depth


def transform(point: Tensor, motion: Tensor) -> Tensor:
    """Applies rigid motions (..., 4, 4) to points (..., N, 3)."""
    return point @ motion[..., :3, :3].mT + motion[..., None, :3, 3]


def relative_motion(pose_a: Tensor, pose_b: Tensor) -> Tensor:
    """Returns the motion from the frame of camera a to that of camera b.

    Args:
        pose_a: Camera-to-world poses (..., 4, 4).
        pose_b: Camera-to-world poses (..., 4, 4).

    Returns:
        Rigid motions (..., 4, 4).
    """
    world_to_b: Tensor = torch.linalg.inv(pose_b)
    return world_to_b @ pose_a


def reproject(
    xy: Tensor, depth: Tensor, intrinsics_a: Tensor, motion: Tensor, intrinsics_b: Tensor
) -> tuple[Tensor, Tensor]:
    """Finds the pixels of camera b that show the same points as pixels of camera a.

    Args:
        xy: Pixels (B, N, 2) in a.
        depth: Depth (B, N) in a, in meters; 0 means that it was not measured.
        intrinsics_a: Camera matrices (B, 3, 3) of a.
        motion: Motion from the frame of a to that of b: (B, 4, 4), or (B, N, 4, 4) if each point moves by itself.
        intrinsics_b: Camera matrices (B, 3, 3) of b.

    Returns:
        Pixels (B, N, 2) and depth (B, N) in b. Pixels are NaN if the depth in a is 0 or the point is behind b.
    """
    point = unproject(xy, depth, intrinsics_a)  # (B, N, 3)
    per_point = motion.ndim == 4
    moved = transform(point[..., None, :], motion)[..., 0, :] if per_point else transform(point, motion)
    xy_b, depth_b = project(moved, intrinsics_b)
    return torch.where((depth > 0)[..., None], xy_b, torch.nan), depth_b


def inside(xy: Tensor, height: int, width: int) -> Tensor:
    """Tests whether points lie on an image.

    Args:
        xy: Pixels (..., 2).
        height: Height of the image.
        width: Width of the image.

    Returns:
        A bool tensor (...), False for NaN.
    """
    x, y = xy.unbind(-1)
    return (x >= -0.5) & (x < width - 0.5) & (y >= -0.5) & (y < height - 0.5)


def pixel_index(xy: Tensor, height: int, width: int) -> Tensor:
    """Returns the flat index of the nearest pixel of the image.

    Args:
        xy: Pixels (..., 2); NaN counts as 0.
        height: Height H of the image.
        width: Width W of the image.

    Returns:
        Indices y * W + x, (...) int64.
    """
    x, y = (xy.nan_to_num(0) + 0.5).floor().long().unbind(-1)
    return y.clamp(0, height - 1) * width + x.clamp(0, width - 1)


def pixel_grid(height: int, width: int, device: torch.device | str | None = None) -> Tensor:
    """Returns the (x, y) of all pixels of an image, row by row, as a float tensor (height * width, 2)."""
    y, x = torch.meshgrid(torch.arange(height, device=device), torch.arange(width, device=device), indexing="ij")
    return torch.stack([x, y], -1).flatten(0, 1).float()


def sample(image: Tensor, xy: Tensor, mode: str = "bilinear", padding: str = "border") -> Tensor:
    """Reads the values of images at points, with interpolation between pixel centers.

    Args:
        image: Images (B, D, H, W).
        xy: Pixels (B, N, 2); NaN reads pixel 0.
        mode: "bilinear", "nearest" or "bicubic".
        padding: Value of points outside the image: "border" is that of the nearest pixel, "zeros" is 0.

    Returns:
        Values (B, N, D) in the type of ``xy``, since half precision cannot tell neighboring pixels apart.
    """
    height, width = image.shape[-2:]
    normalized = (xy + 0.5) / xy.new_tensor([width, height]) * 2 - 1  # [-1, 1] over the image
    normalized = normalized.nan_to_num(-1)[:, :, None]  # (B, N, 1, 2)
    values = F.grid_sample(image.to(xy.dtype), normalized, mode=mode, padding_mode=padding, align_corners=False)
    return values[..., 0].mT


def to_pixels(grid: Tensor, stride: int, height: int, width: int) -> Tensor:
    """Interpolates a feature grid at every pixel of its image, bilinearly.

    Args:
        grid: Features (B, D, ceil(H / stride), ceil(W / stride)); the last cells may reach beyond the image.
        stride: Pixels per cell.
        height: Height H of the image.
        width: Width W of the image.

    Returns:
        Features (B, D, H, W) in float32.
    """
    size = (grid.shape[-2] * stride, grid.shape[-1] * stride)
    return F.interpolate(grid.float(), size, mode="bilinear", align_corners=False)[..., :height, :width]


def take(image: Tensor, index: Tensor) -> Tensor:
    """Reads the values of images at flat pixel indices.

    Args:
        image: Images (B, D, H, W).
        index: Indices y * W + x, (B, N) int64.

    Returns:
        Values (B, N, D).
    """
    flat = image.flatten(2)
    return flat.gather(2, index[:, None].expand(-1, flat.shape[1], -1)).mT


def apply_homography(homography: Tensor, xy: Tensor) -> Tensor:
    """Applies homographies (B, 3, 3) to pixels (B, N, 2).

    Args:
        homography: Matrices (B, 3, 3).
        xy: Pixels (B, N, 2).

    Returns:
        Pixels (B, N, 2), NaN beyond the horizon.
    """
    point = torch.cat([xy, torch.ones_like(xy[..., :1])], -1) @ homography.mT  # (B, N, 3)
    return torch.where(point[..., 2:] > 0, point[..., :2] / point[..., 2:], torch.nan)


def homography_from_corners(corners: Tensor, height: int, width: int) -> Tensor:
    """Returns the homography that maps the corners of an image to four points (direct linear transform).

    Args:
        corners: Pixels (B, 4, 2) to which (0, 0), (W - 1, 0), (W - 1, H - 1) and (0, H - 1) are mapped, in this order.
        height: Height H of the image.
        width: Width W of the image.

    Returns:
        Homographies (B, 3, 3) whose last entry is 1.
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
    """Evaluates the thin-plate spline that maps control points to targets (Bookstein 1989).

    Args:
        control: Pixels (B, C, 2) with C >= 3, not all on one line.
        target: Pixels (B, C, 2) to which the control points are mapped.
        xy: Pixels (B, N, 2) at which the spline is evaluated.

    Returns:
        Pixels (B, N, 2).
    """
    scale = control.flatten(1).abs().amax(1).clamp(min=1)[:, None, None]  # values near 1 are well conditioned
    control, xy = control / scale, xy / scale
    b = len(control)
    affine = torch.cat([torch.ones_like(control[..., :1]), control], -1)  # (B, C, 3)
    top = torch.cat([_plate(control, control), affine], -1)  # (B, C, C + 3)
    bottom = torch.cat([affine.mT, affine.new_zeros(b, 3, 3)], -1)
    right = torch.cat([target, target.new_zeros(b, 3, 2)], 1).double()  # (B, C + 3, 2)
    weight: Tensor = torch.linalg.solve(torch.cat([top, bottom], 1).double(), right).to(xy.dtype)
    basis = torch.cat([_plate(xy, control), torch.ones_like(xy[..., :1]), xy], -1)  # (B, N, C + 3)
    return basis @ weight


def _plate(a: Tensor, b: Tensor) -> Tensor:
    """Returns r^2 log r for the distances r between points (B, N, 2) and (B, C, 2), as (B, N, C)."""
    squared = (a[:, :, None] - b[:, None]).square().sum(-1)
    return 0.5 * squared * squared.clamp(min=1e-12).log()
