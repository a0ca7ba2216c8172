"""What data sets of image pairs yield: everything that correspondences are found from, as small as it was on disk."""

from typing import Any

import numpy as np
import torch

from mmcontrast.data.sampler import SampleKey
from mmcontrast.errors import InputError

GEOMETRY, WARPED, GIVEN = 0, 1, 2  # where a pair's correspondences come from
OBJECTS = 16  # numbers of objects a pair can hold, background 0 included
GIVEN_POINTS = 2048


def raw_pair(
    sample_key: SampleKey,
    image_a: np.ndarray,
    image_b: np.ndarray,
    *,
    source: int = GEOMETRY,
    depth: tuple[np.ndarray, np.ndarray] | None = None,
    depth_unit: float = 0.001,
    mask: tuple[np.ndarray, np.ndarray] | None = None,
    intrinsics: tuple[np.ndarray, np.ndarray] | None = None,
    motion: np.ndarray | None = None,
    blind: bool = False,
    masked_share: float = 0.5,
    given: tuple[np.ndarray, np.ndarray] | None = None,
) -> dict[str, Any]:
    """One pair as ``FindMatches`` wants it; samples of all sources have the same entries, so that they mix in a batch.

    Args:
        sample_key: of the sample.
        image_a, image_b: (H, W, 3) uint8.
        source: GEOMETRY (depth and motion), WARPED (b is to be made from a by a random warp) or GIVEN (points).
        depth: of a and b, (H, W) uint16, 0 where it was not measured.
        depth_unit: meters per unit of depth.
        mask: of a and b, (H, W) uint8: 0 background, else the number of an object, the same in a and b.  None: all one.
        intrinsics: of a and b, (3, 3).
        motion: (4, 4), or (M, 4, 4) by object number: camera a's frame to camera b's, in meters; NaN for what b does
            not show.  None: no matches.
        blind: nothing matches, and all object pixels of a are non-matches of b's.
        masked_share: share of the non-matches on b's objects; the others are background.
        given: (P, 2) pixels of a and of b that match.
    Returns:
        A sample: ``image_a``, ``image_b`` (3, H, W) uint8, ``depth_a``, ``depth_b`` (H, W) uint16, ``depth_unit``,
        ``mask_a``, ``mask_b`` (H, W) uint8, ``intrinsics_a``, ``intrinsics_b`` (3, 3), ``motion`` (16, 4, 4),
        ``given_a``, ``given_b`` (2048, 2), NaN where unused, ``source``, ``blind``, ``masked_share``, ``sample_key``.
    """
    size = image_a.shape[:2]
    none = np.zeros(size, np.uint16)
    depth_a, depth_b = depth or (none, none)
    mask_a, mask_b = mask or (np.ones(size, np.uint8), np.ones(size, np.uint8))
    if (highest := max(mask_a.max(), mask_b.max())) >= OBJECTS:
        raise InputError(f"a mask holds object number {highest}; a pair can have numbers up to {OBJECTS - 1}")
    intrinsics_a, intrinsics_b = intrinsics or (np.eye(3), np.eye(3))
    motions = np.full((OBJECTS, 4, 4), np.nan, np.float32)
    if motion is not None:
        motions[: len(motion) if motion.ndim == 3 else OBJECTS] = motion
    given_a, given_b = given or (np.zeros((0, 2)), np.zeros((0, 2)))
    return {
        "image_a": _tensor(image_a).permute(2, 0, 1),
        "image_b": _tensor(image_b).permute(2, 0, 1),
        "depth_a": _tensor(depth_a),
        "depth_b": _tensor(depth_b),
        "depth_unit": torch.tensor(depth_unit, dtype=torch.float32),
        "mask_a": _tensor(mask_a),
        "mask_b": _tensor(mask_b),
        "intrinsics_a": _tensor(intrinsics_a).float(),
        "intrinsics_b": _tensor(intrinsics_b).float(),
        "motion": torch.from_numpy(motions),
        "given_a": _padded(given_a),
        "given_b": _padded(given_b),
        "source": source,
        "blind": blind,
        "masked_share": torch.tensor(masked_share, dtype=torch.float32),
        "sample_key": sample_key.to_int(),
    }


def _tensor(array: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.require(array, requirements=["C", "W"]))


def _padded(points: np.ndarray) -> torch.Tensor:
    padded = torch.full((GIVEN_POINTS, 2), torch.nan)
    padded[: len(points)] = torch.from_numpy(points[:GIVEN_POINTS]).float()
    return padded
