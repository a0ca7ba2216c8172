"""Do color and depth look through one lens?  Points matched by color, against where depth and poses put them.

Cameras with two lenses give depth images of another focal length than the color images'.  A data set that pairs
them pixel by pixel (7-Scenes does) has true matches that are off by more, the further a point moves.
"""

from collections.abc import Iterable
from typing import NamedTuple

import cv2
import numpy as np
import torch

from mmcontrast.data.rgbd.scenes import View
from mmcontrast.ops.geometry import reproject

_RATIO = 0.7  # of the distances to the best and to the second-best match, less than Lowe's 0.8: few, but right
_LEAST = 50  # matches that a median is taken of
_SCALES = np.geomspace(0.7, 1.4, 141)  # focal lengths that are tried, in terms of the scene's: steps of half a per cent


class Registration(NamedTuple):
    """Where matches lie.

    Attributes:
        matches: how many there are.
        error: their median distance in pixels from where depth, pose and intrinsics put them; nan for too few.
        focal: the focal length of color, in terms of the scene's, that brings them nearest.
        least: their median distance with that.
    """

    matches: int
    error: float
    focal: float
    least: float


def registration(pairs: Iterable[tuple[View, View]], depth_unit: float) -> Registration:
    """SIFT matches (Lowe 2004) between views, mutual and distinct, against their depths.

    Args:
        pairs: of views with much surface in common.
        depth_unit: meters per unit of depth.
    """
    matches = [_Matches(a, b, depth_unit) for a, b in pairs]
    count = sum(len(some.xy_a) for some in matches)
    errors = {1.0: _median(matches, 1.0)} | {float(scale): _median(matches, float(scale)) for scale in _SCALES}
    if not count or not np.isfinite(errors[1.0]):
        return Registration(count, float("nan"), 1.0, float("nan"))
    best = min(errors, key=lambda scale: errors[scale])
    return Registration(count, errors[1.0], best, errors[best])


class _Matches:
    def __init__(self, a: View, b: View, depth_unit: float) -> None:
        self.intrinsics, self.depth = a.intrinsics, a.depth * depth_unit
        self.motion = np.linalg.inv(b.pose) @ a.pose
        self.xy_a, self.xy_b = _sift_matches(a.color, b.color)  # (n, 2) each

    def errors(self, scale: float) -> np.ndarray:
        """Distances in pixels, of the matches with a depth, if color has the focal length times ``scale``."""
        camera = self.intrinsics.copy()
        camera[[0, 1], [0, 1]] *= scale
        center = camera[:2, 2]
        x, y = np.round((self.xy_a - center) / scale + center).astype(int).T  # where depth sees them
        inside = (x >= 0) & (y >= 0) & (x < self.depth.shape[1]) & (y < self.depth.shape[0])
        depth = np.where(inside, self.depth[y * inside, x * inside], 0)
        at, depths, lens, motion = (torch.from_numpy(x)[None] for x in (self.xy_a, depth, camera, self.motion))
        projected = reproject(at, depths, lens, motion, lens)[0][0].numpy()  # (n, 2), NaN where it has none
        distance: np.ndarray = np.linalg.norm(projected - self.xy_b, axis=1)
        return np.asarray(distance[~np.isnan(distance)])


def _median(matches: list[_Matches], scale: float) -> float:
    errors = np.concatenate([np.empty(0), *(some.errors(scale) for some in matches)])
    return float(np.median(errors)) if len(errors) >= _LEAST else float("inf")


def _sift_matches(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(n, 2) pixels of a and of b."""
    sift, matcher = cv2.SIFT_create(), cv2.BFMatcher()  # type: ignore[attr-defined]
    (points_a, descriptors_a), (points_b, descriptors_b) = (sift.detectAndCompute(image, None) for image in (a, b))
    if len(points_a) < 2 or len(points_b) < 2:
        return np.empty((0, 2)), np.empty((0, 2))
    back = {match.queryIdx: match.trainIdx for match in matcher.match(descriptors_b, descriptors_a)}
    nearest = matcher.knnMatch(descriptors_a, descriptors_b, k=2)
    chosen = [m for m, second in nearest if m.distance < _RATIO * second.distance and back[m.trainIdx] == m.queryIdx]
    xy_a, xy_b = [points_a[m.queryIdx].pt for m in chosen], [points_b[m.trainIdx].pt for m in chosen]
    return np.array(xy_a).reshape(-1, 2), np.array(xy_b).reshape(-1, 2)
