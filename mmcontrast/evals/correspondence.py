"""Keypoints carried between images of one class, as on PF-WILLOW (Ham et al. 2016, https://arxiv.org/abs/1511.05065)."""

import json
from collections.abc import Callable, Mapping
from itertools import permutations
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from mmcontrast.data.io.archives import Root
from mmcontrast.data.io.decode import decode
from mmcontrast.data.io.samples import Samples
from mmcontrast.errors import InputError
from mmcontrast.ops.geometry import pixel_index

THRESHOLDS = (0.05, 0.1)
Describe = Callable[[np.ndarray], Tensor]


def evaluate_correspondence(
    models: Mapping[str, Describe], root: Root, progress: bool = False
) -> dict[str, dict[str, Any]]:
    """Every ordered pair of images of a class; keypoint i of one is looked for in the whole other one.

    An image that appears in several subsets counts once, by its pixels.

    Args:
        models: name -> (H, W, 3) uint8 -> (D, H, W) descriptors.
        root: images with KEY.json ``{"keypoints": [[x, y], ...], "class": name}`` in pixels.
    Returns:
        By model ``pck@0.05`` and ``pck@0.1`` (share of keypoints within that part of the other image's longer side),
        ``pck_box@0.05`` and ``pck_box@0.1`` (of the longer side of its keypoints' box), ``per_class``, ``pairs``,
        ``points``.
    Raises:
        InputError: an image without keypoints, with keypoints outside it or more or fewer than others of its class,
            or no class with two images.
    """
    classes = _read(root)
    results = {}
    for name, describe in models.items():
        per_class: dict[str, list[np.ndarray]] = {}
        for label, images in tqdm(classes.items(), disable=not progress, unit="class", leave=False):
            described = [describe(image) for image, _ in images]
            for a, b in permutations(range(len(images)), 2):
                found = _carry(described[a], described[b], images[a][1])
                truth, shape = images[b][1], images[b][0].shape
                error = np.linalg.norm(found - truth, axis=1)
                box = max(np.ptp(truth, axis=0).max(), 1)
                per_class.setdefault(label, []).append(np.stack([error / max(shape[:2]), error / box]))  # (2, N)
        results[name] = {
            **_figures([e for errors in per_class.values() for e in errors]),
            "per_class": {label: _figures(errors) for label, errors in per_class.items()},
        }
    return results


@torch.inference_mode()
def _carry(a: Tensor, b: Tensor, points: np.ndarray) -> np.ndarray:
    """(N, 2) pixels of a -> (N, 2) pixels of b with the nearest descriptors."""
    width = b.shape[2]
    query = a.flatten(1)[:, pixel_index(torch.from_numpy(points), *a.shape[1:]).to(a.device)].T  # (N, D)
    target = b.flatten(1)
    best = torch.addmm(target.square().sum(0).expand(len(query), -1), query, target, alpha=-2).argmin(1).cpu().numpy()
    return np.stack([best % width, best // width], 1).astype(np.float32)


def _figures(errors: list[np.ndarray]) -> dict[str, Any]:
    """Relative errors (2, N) of each pair: by the image's and by the box's longer side."""
    of_image, of_box = np.concatenate(errors, 1)
    return {
        **{f"pck@{t:g}": float((of_image <= t).mean()) for t in THRESHOLDS},
        **{f"pck_box@{t:g}": float((of_box <= t).mean()) for t in THRESHOLDS},
        "pairs": len(errors),
        "points": len(of_image),
    }


def _read(root: Root) -> dict[str, list[tuple[np.ndarray, np.ndarray]]]:
    """Class -> [((H, W, 3) uint8, (N, 2) pixels)]."""
    samples, classes, seen = Samples(root), {}, set()  # type: ignore[var-annotated]
    for index in range(len(samples)):
        name = samples.name(index)
        label, points = _record(samples.text(index, "json"), name)
        image = decode(samples.read(index, "image") or b"", name=name)
        if (points < -0.5).any() or (points > np.array(image.shape[1::-1]) + 0.5).any():
            raise InputError(f"{name}: has keypoints outside its {image.shape[1]}x{image.shape[0]} pixels")
        images = classes.setdefault(label, [])
        if images and len(images[0][1]) != len(points):
            raise InputError(
                f"{name}: has {len(points)} keypoints, but the first of class {label!r} has {len(images[0][1])}"
            )
        if (content := image.tobytes()) not in seen:
            seen.add(content)
            images.append((image, points))
    if all(len(images) < 2 for images in classes.values()):
        raise InputError(f"{root}: no class has two images")
    return classes


def _record(text: str | None, name: str) -> tuple[str, np.ndarray]:
    """Class and (N, 2) pixels of an image's KEY.json."""
    if text is None:
        raise InputError(f"{name}: has no KEY.json with keypoints")
    try:
        record = json.loads(text)
        points = np.asarray(record["keypoints"], np.float32).reshape(-1, 2)
        label = str(record.get("class", "all"))
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise InputError(f'{name}: its .json wants {{"keypoints": [[x, y], ...], "class": ...}} ({error!r})') from error
    if not len(points) or not np.isfinite(points).all():
        raise InputError(f"{name}: has keypoints {points.tolist()}; wanted pixels [[x, y], ...]")
    return label, points
