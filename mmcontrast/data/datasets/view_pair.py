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
    masked_fraction: float = 0.5,
    given: tuple[np.ndarray, np.ndarray] | None = None,
) -> dict[str, Any]:
    """Returns one pair in the form that ``FindMatches`` reads; all sources give the same entries.

    Args:
        sample_key: Key of the sample.
        image_a: The first image, (H, W, 3) uint8.
        image_b: The second image, (H, W, 3) uint8.
        source: GEOMETRY (from depth and motion), WARPED (b becomes a random warp of a) or GIVEN (points).
        depth: Depths of a and b, (H, W) uint16, 0 where depth was not measured.
        depth_unit: Meters per unit of depth.
        mask: Masks of a and b, (H, W) uint8: 0 for the background, else the number of an object, the same in a and b.
            None stands for one object everywhere.
        intrinsics: Camera matrices of a and b, (3, 3).
        motion: Transform from the frame of camera a to that of camera b in meters, (4, 4), or (M, 4, 4) by object
            number; NaN for objects that b does not show. None stands for no matches.
        blind: If true, nothing matches, and all object pixels of a are non-matches of those of b.
        masked_fraction: Fraction of the non-matches on objects of b; the others lie on the background.
        given: Matching pixels of a and b, (P, 2) each.

    Returns:
        A sample: ``image_a``, ``image_b`` (3, H, W) uint8, ``depth_a``, ``depth_b`` (H, W) uint16, ``depth_unit``,
        ``mask_a``, ``mask_b`` (H, W) uint8, ``intrinsics_a``, ``intrinsics_b`` (3, 3), ``motion`` (16, 4, 4),
        ``given_a``, ``given_b`` (2048, 2) with NaN in unused rows, ``source``, ``blind``, ``masked_fraction`` and
        ``sample_key``.
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
        "masked_fraction": torch.tensor(masked_fraction, dtype=torch.float32),
        "sample_key": sample_key.to_int(),
    }


def _tensor(array: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.require(array, requirements=["C", "W"]))


def _padded(points: np.ndarray) -> torch.Tensor:
    padded = torch.full((GIVEN_POINTS, 2), torch.nan)
    padded[: len(points)] = torch.from_numpy(points[:GIVEN_POINTS]).float()
    return padded
