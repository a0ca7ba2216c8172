"""Semantic segmentation from frozen patch features: a linear classifier, and the votes of the nearest patches.

The linear classifier is that of DINOv2 (2304.07193, section 7.4), fitted by L-BFGS; each patch learns from the
fractions of its area that the classes cover. The other is the retrieval of Balazevic et al., Towards In-Context Scene
Understanding, 2023 (2306.01667): 30 nearest training patches, temperature 0.02. Both are upsampled bilinearly.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

from mmcontrast.data.datasets.pixel_labels import PixelLabels
from mmcontrast.encoders.base import Encoder
from mmcontrast.errors import InputError
from mmcontrast.evals.logistic import choose_C, fit_scaled
from mmcontrast.evals.results import ConfusionMatrix, EvalResult, confusion_counts
from mmcontrast.inference.cache import cache_directory, content_key, fingerprint, load_array, save_array
from mmcontrast.inference.extract import evaluating
from mmcontrast.inference.frame_features import FrameFeatures
from mmcontrast.ops.nearest import nearest

MAX_PATCHES = 200_000  # of the training images
C_SWEEP = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)

Segmenter = Callable[[Tensor], Tensor]  # patch features (h, w, D) -> scores (h, w, C)


class Patches(NamedTuple):
    """Training patches.

    Attributes:
        features: Unit vectors (N, D).
        fractions: Fractions of each patch that the classes cover (N, C).
        image_numbers: Number of the image of each patch (N,).
    """

    features: Tensor
    fractions: Tensor
    image_numbers: Tensor


class SegmentationExample(NamedTuple):
    """A test image with its true and predicted classes.

    Attributes:
        image: (H, W, 3) uint8.
        maps: Classes (H, W) by name: "truth", "linear" and "knn"; -1 for pixels that are not counted.
    """

    image: np.ndarray
    maps: dict[str, np.ndarray]


@dataclass(frozen=True, kw_only=True)
class SegmentationResult(EvalResult):
    """The figures of an evaluation of segmentation.

    Attributes:
        class_names: Names of the classes.
        examples: Some test images with their true and predicted classes.
    """

    class_names: list[str]
    examples: list[SegmentationExample]


def segmentation(
    encoder: Encoder,
    train: str | Path,
    test: str | Path | None = None,
    ignored_labels: Sequence[int] = (255,),
    held_out_fraction: float = 0.3,
    resolution: int | None = None,
    k: int = 30,
    temperature: float = 0.02,
    num_examples: int = 0,
    cache: bool | Path = False,
    progress: bool = False,
) -> SegmentationResult:
    """Measures the mean intersection over union of two segmenters that learn from patch features.

    Args:
        encoder: An encoder with a grid, evaluated on the device that it is on and left in the mode that it is in.
        train: Images with a class for every pixel; see ``PixelLabels``.
        test: Images to measure on; None takes the last ``held_out_fraction`` of ``train`` in the order of names, so
            that neighboring frames of a video are on the same side.
        ignored_labels: Classes of pixels that are not counted.
        held_out_fraction: Fraction of ``train`` to measure on without ``test``.
        resolution: Short side in pixels that images are resized to; None takes twice the encoder's size.
        k: Number of neighbors of each patch.
        temperature: Temperature of their votes.
        num_examples: Number of test images that are returned with their classes.
        cache: True stores features in the user's cache folder, a path stores them there, False stores nothing.
        progress: Whether to draw a progress bar on stderr if it is a terminal.

    Returns:
        Under ``linear`` and ``knn``: ``miou`` (the mean over the classes that are true or predicted anywhere, counted
        over all test pixels together), ``pixel_accuracy`` and ``iou`` by class (None for a class that occurs nowhere).

    Raises:
        InputError: There are no classes, or an option cannot be used.
    """
    if k < 1 or not temperature > 0 or not 0 < held_out_fraction < 1:
        raise InputError(
            f"k {k}, temperature {temperature}, held-out fraction {held_out_fraction}: wanted k >= 1, temperature > 0 "
            "and a fraction between 0 and 1"
        )
    train_data = PixelLabels(train)
    test_data = train_data if test is None else PixelLabels(test)
    num_train = len(train_data)
    if test is None:
        num_train = min(num_train - 1, round(num_train * (1 - held_out_fraction)))
    if num_train < 2:
        raise InputError(f"{train}: {len(train_data)} images are too few to learn from; give 3 or more")
    test_indices = range(num_train, len(train_data)) if test is None else range(len(test_data))
    ignored = torch.tensor(sorted(set(ignored_labels)))
    frames = FrameFeatures(encoder, resolution or 2 * encoder.image_size)
    bar = tqdm(total=num_train + len(test_indices), unit="image", disable=None if progress else True, leave=False)
    with bar, evaluating(encoder):
        patches = _training_patches(_Grids(frames, train_data, cache, bar), train_data, range(num_train), ignored)
        k = min(k, len(patches.fractions))
        linear, C = _linear_segmenter(patches, num_train, encoder.mean.device)
        segmenters = {"linear": linear, "knn": _knn_segmenter(patches, k, temperature, encoder.mean.device)}
        grids = _Grids(frames, test_data, cache, bar)
        counts, examples = _measure(segmenters, grids, test_data, test_indices, ignored, patches, num_examples)
    num_classes = patches.fractions.shape[1]
    names = train_data.classes[:num_classes] + [str(i) for i in range(len(train_data.classes), num_classes)]
    return SegmentationResult(
        metrics={name: iou_figures(count, names) for name, count in counts.items()},
        counts={
            "num_train": num_train,
            "num_test": len(test_indices),
            "num_classes": num_classes,
            "num_patches": len(patches.fractions),
        },
        settings={"C": C, "k": k, "temperature": temperature, "resolution": frames.resolution},
        confusion={name: ConfusionMatrix(count, names) for name, count in counts.items()},
        class_names=names,
        examples=examples,
    )


def iou_figures(counts: Tensor, class_names: Sequence[str]) -> dict[str, Any]:
    """Computes the mean intersection over union, the pixel accuracy and the IoU of each class.

    Args:
        counts: Pixels by true class (row) and predicted class (column), (C, C).
        class_names: Names of the classes.

    Returns:
        ``miou`` over the classes that are true or predicted anywhere, ``pixel_accuracy``, and ``iou`` by class.

    >>> iou_figures(torch.tensor([[1, 1], [0, 2]]), ["sky", "tree"])["pixel_accuracy"]
    0.75
    """
    hits = counts.diagonal().double()
    union = counts.sum(0) + counts.sum(1) - hits
    iou = hits / union  # NaN for a class that occurs nowhere
    return {
        "miou": iou.nanmean().item(),
        "pixel_accuracy": (hits.sum() / counts.sum()).item(),
        "iou": {
            name: value if total else None
            for name, value, total in zip(class_names, iou.tolist(), union.tolist(), strict=True)
        },
    }


def class_fractions(labels: Tensor, ignored: Tensor, num_classes: int, size: tuple[int, int]) -> Tensor:
    """Computes the fraction of each patch's area that each class covers.

    Args:
        labels: Classes of the pixels (H, W) int64.
        ignored: Classes that are not counted.
        num_classes: Number of classes C.
        size: Height and width (h, w) of the grid of patches.

    Returns:
        Fractions (h, w, C) float32.
    """
    known = torch.where(torch.isin(labels, ignored), num_classes, labels)
    covered = F.one_hot(known, num_classes + 1)[..., :num_classes].permute(2, 0, 1).float()  # (C, H, W)
    return F.adaptive_avg_pool2d(covered, size).permute(1, 2, 0)


class _Grids:
    """Grids of features of images, (h, w, D) on the CPU, each computed once and stored on disk."""

    def __init__(self, frames: FrameFeatures, data: PixelLabels, cache: bool | Path, bar: "tqdm[Any]") -> None:
        self.frames, self.data, self.bar = frames, data, bar
        self.folder: Path | None = None
        if cache is not False:
            key = content_key(["grids 1", fingerprint(frames.encoder), str(frames.resolution)])
            self.folder = (cache_directory() if cache is True else Path(cache)) / "grids" / key

    def __call__(self, index: int) -> Tensor:
        image = self.data.image(index)
        digest = hashlib.sha256(np.ascontiguousarray(image).data).hexdigest()
        file = self.folder / f"{digest}-{image.shape[0]}.npy" if self.folder else None
        grid = load_array(file) if file else None
        if grid is None:
            grid = self.frames(image).cpu()
            if file:
                save_array(file, grid)
        self.bar.update()
        return grid


def _training_patches(grids: _Grids, data: PixelLabels, indices: range, ignored: Tensor) -> Patches:
    """Returns all training patches that are mostly labeled, or a fixed random choice of ``MAX_PATCHES`` of them."""

    def labels(index: int) -> Tensor:
        return torch.from_numpy(data.labels(index))

    known = torch.cat([labels(index).unique() for index in indices]).unique()
    known = known[~torch.isin(known, ignored)]
    if not len(known):
        raise InputError(f"{data.name(indices[0])} and all others: every pixel is ignored")
    num_classes = max(len(data.classes), 1 + int(known.max()))
    generator = torch.Generator().manual_seed(0)
    features, fractions, image_numbers = [], [], []
    for number, index in enumerate(indices):
        grid = grids(index)
        covered = class_fractions(labels(index), ignored, num_classes, (grid.shape[0], grid.shape[1])).flatten(0, 1)
        usable = (covered.sum(1) > 0.5).nonzero()[:, 0]
        usable = usable[torch.randperm(len(usable), generator=generator)[: max(1, MAX_PATCHES // len(indices))]]
        features.append(grid.flatten(0, 1)[usable])
        fractions.append(covered[usable])
        image_numbers.append(torch.full((len(usable),), number))
    return Patches(torch.cat(features), torch.cat(fractions), torch.cat(image_numbers))


def _linear_segmenter(patches: Patches, num_train: int, device: torch.device) -> tuple[Segmenter, float]:
    """Fits a classifier to patches and returns it with its C, chosen on the last fifth of the images."""
    features, fractions = patches.features.to(device), patches.fractions.to(device)
    num_classes = fractions.shape[1]
    is_held_out = patches.image_numbers >= round(0.8 * num_train)
    if not is_held_out.any() or is_held_out.all():
        is_held_out = patches.image_numbers == patches.image_numbers.max()
    split = (~is_held_out).nonzero()[:, 0].to(device), is_held_out.nonzero()[:, 0].to(device)
    C, _ = choose_C(features, fractions, num_classes, [split], C_SWEEP)
    classifier = fit_scaled(features, fractions, num_classes, C)
    return classifier.__call__, C


def _knn_segmenter(patches: Patches, k: int, temperature: float, device: torch.device) -> Segmenter:
    """Returns the segmenter by weighted votes of the k nearest training patches."""
    features, fractions = patches.features.to(device), patches.fractions.to(device)

    def segmenter(grid: Tensor) -> Tensor:
        cosine, neighbors = nearest(grid.flatten(0, 1), features, k)  # (h w, k)
        weights = (cosine / temperature).softmax(1)
        votes: Tensor = torch.einsum("nk,nkc->nc", weights, fractions[neighbors])
        return votes.view(*grid.shape[:2], -1)

    return segmenter


def _measure(
    segmenters: dict[str, Segmenter],
    grids: _Grids,
    data: PixelLabels,
    indices: range,
    ignored: Tensor,
    patches: Patches,
    num_examples: int,
) -> tuple[dict[str, Tensor], list[SegmentationExample]]:
    """Returns the confusion counts of each segmenter, and examples that are evenly spread over the images."""
    num_classes = patches.fractions.shape[1]
    counts = {name: torch.zeros(num_classes, num_classes, dtype=torch.int64) for name in segmenters}
    example_numbers = np.linspace(0, len(indices) - 1, min(num_examples, len(indices))).round().astype(int).tolist()
    examples = []
    for number, index in enumerate(indices):
        truth = torch.from_numpy(data.labels(index))
        grid = grids(index).to(grids.frames.encoder.mean.device)  # (h, w, D)
        predicted = {name: _upsample(segmenter(grid), truth.shape) for name, segmenter in segmenters.items()}
        is_counted = ~torch.isin(truth, ignored)
        if (largest := int(truth[is_counted].max()) if is_counted.any() else 0) >= num_classes:
            raise InputError(f"{data.name(index)}: has class {largest}; the training images go up to {num_classes - 1}")
        for name, classes in predicted.items():
            counts[name] += confusion_counts(truth[is_counted], classes[is_counted], num_classes)
        if number in example_numbers:
            labelings = {"truth": truth, **predicted}
            maps = {name: torch.where(is_counted, classes, -1).numpy() for name, classes in labelings.items()}
            examples.append(SegmentationExample(data.image(index), maps))
    return counts, examples


def _upsample(scores: Tensor, size: torch.Size) -> Tensor:
    """Returns the class with the best score (h, w, C) at each pixel, (H, W) int64 on the CPU."""
    large = F.interpolate(scores.permute(2, 0, 1)[None], tuple(size), mode="bilinear", align_corners=False)
    return large[0].argmax(0).cpu()
