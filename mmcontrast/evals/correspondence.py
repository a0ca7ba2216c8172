"""Keypoints transferred between images of one class, as on PF-WILLOW (Ham et al. 2016).

https://arxiv.org/abs/1511.05065
"""

from collections.abc import Callable, Mapping
from itertools import permutations
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from mmcontrast.data.datasets.keypoint_pairs import read_keypoint_images
from mmcontrast.data.io.archives import Root
from mmcontrast.evals.results import EvalResult
from mmcontrast.ops.geometry import pixel_index

THRESHOLDS = (0.05, 0.1)
Describe = Callable[[np.ndarray], Tensor]


def evaluate_correspondence(
    models: Mapping[str, Describe], root: Root, progress: bool = False
) -> dict[str, EvalResult]:
    """Measures how well descriptors find the keypoints of one image in every other image of its class.

    Keypoint i of one image is matched to the pixel of the whole other image with the nearest descriptor.

    Args:
        models: Functions from an image (H, W, 3) uint8 to descriptors (D, H, W), by name.
        root: Images with keypoints; see ``read_keypoint_images``.
        progress: Whether to draw a progress bar on stderr.

    Returns:
        For each model ``pck@0.05`` and ``pck@0.1`` (the fraction of keypoints within that fraction of the other image's
        longer side), ``pck_box@0.05`` and ``pck_box@0.1`` (of the longer side of its keypoints' box), ``per_class``.

    Raises:
        InputError: The images or keypoints cannot be used.
    """
    classes = read_keypoint_images(root)
    results = {}
    for name, describe in models.items():
        per_class: dict[str, list[np.ndarray]] = {}
        for label, images in tqdm(classes.items(), disable=not progress, unit="class", leave=False):
            descriptors = [describe(sample.image) for sample in images]
            for a, b in permutations(range(len(images)), 2):
                matched = _match(descriptors[a], descriptors[b], images[a].keypoints)
                true, shape = images[b].keypoints, images[b].image.shape
                error = np.linalg.norm(matched - true, axis=1)
                box = max(np.ptp(true, axis=0).max(), 1)
                per_class.setdefault(label, []).append(np.stack([error / max(shape[:2]), error / box]))  # (2, N)
        all_pairs = [error for errors in per_class.values() for error in errors]
        results[name] = EvalResult(
            metrics={
                **_figures(all_pairs),
                "per_class": {label: _figures(errors) | _counts(errors) for label, errors in per_class.items()},
            },
            counts={"num_classes": len(per_class), **_counts(all_pairs)},
        )
    return results


@torch.inference_mode()
def _match(a: Tensor, b: Tensor, points: np.ndarray) -> np.ndarray:
    """Returns the pixels (N, 2) of image b whose descriptors are nearest to those of points (N, 2) of image a."""
    width = b.shape[2]
    query = a.flatten(1)[:, pixel_index(torch.from_numpy(points), *a.shape[1:]).to(a.device)].T  # (N, D)
    target = b.flatten(1)
    squared = torch.addmm(target.square().sum(0).expand(len(query), -1), query, target, alpha=-2)  # less |query|^2
    best = squared.argmin(1).cpu().numpy()
    return np.stack([best % width, best // width], 1).astype(np.float32)


def _figures(errors: list[np.ndarray]) -> dict[str, Any]:
    """Computes PCK of the errors (2, N) of each pair, relative to the image's and to the box's longer side."""
    of_image, of_box = np.concatenate(errors, 1)
    return {
        **{f"pck@{t:g}": float((of_image <= t).mean()) for t in THRESHOLDS},
        **{f"pck_box@{t:g}": float((of_box <= t).mean()) for t in THRESHOLDS},
    }


def _counts(errors: list[np.ndarray]) -> dict[str, int]:
    return {"num_pairs": len(errors), "num_points": sum(error.shape[1] for error in errors)}
