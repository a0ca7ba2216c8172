"""Semantic segmentation from frozen patch features: a linear classifier, and the votes of the nearest patches.

The linear one is that of DINOv2 (2304.07193, section 7.4) with the convex L-BFGS fit of this package: a patch learns
from the shares that the classes have in it.  The other is the retrieval of Balazevic et al., Towards In-Context Scene
Understanding, 2023 (2306.01667): 30 nearest training patches, temperature 0.02.  Both are up-sampled bilinearly.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

from mmcontrast.encoders.base import Encoder
from mmcontrast.errors import InputError
from mmcontrast.evals.confusion import confusion
from mmcontrast.evals.logistic import choose_C, fit_scaled
from mmcontrast.evals.segment_data import PixelLabels
from mmcontrast.inference.cache import cache_directory, content_key, fingerprint, load_array, save_array
from mmcontrast.inference.extract import evaluating
from mmcontrast.inference.frame_features import FrameFeatures
from mmcontrast.ops.nearest import nearest
from mmcontrast.viz.confusion import draw_confusion
from mmcontrast.viz.segmentation import draw_segments

PATCHES = 200_000  # of the training images, at most
SWEEP = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
DRAWN = 4


class Patches(NamedTuple):
    """Training patches: ``features`` (N, D) unit vectors, ``shares`` (N, C) of the classes, ``image`` (N,)."""

    features: Tensor
    shares: Tensor
    image: Tensor


def segment(
    encoder: Encoder,
    train: str | Path,
    test: str | Path | None = None,
    ignore: Sequence[int] = (255,),
    held_out: float = 0.3,
    resolution: int | None = None,
    k: int = 30,
    temperature: float = 0.02,
    cache: bool | Path = False,
    progress: bool = False,
    out: Path | None = None,
) -> dict[str, Any]:
    """Mean intersection over union of two segmenters that learn from patch features.

    Args:
        encoder: any encoder with a grid, evaluated where it lies and left in the mode it was in.
        train: images with a class for every pixel; see ``PixelLabels``.
        test: the same; None: the last ``held_out`` of ``train`` in the order of names, so that neighboring frames of
            a video fall on the same side.
        ignore: class numbers of pixels that count nowhere.
        held_out: share of ``train`` that is tested on, where there is no ``test``.
        resolution: short side in pixels at which images are seen; None: twice the encoder's size.
        k: neighbors of each patch.
        temperature: of their votes.
        cache: True keeps features in the user's cache folder; or a folder of your own.
        progress: show a bar on a terminal's stderr.
        out: folder for segments.png and confusion_linear.png, confusion_knn.png.
    Returns:
        ``linear`` and ``knn``, each with "miou" (the mean over the classes that occur in the truth or are predicted, as
        counted over all test pixels together), "pixel_accuracy" and "iou" {class: IoU, None where it does not occur},
        in [0, 1]; ``C``, ``k``, ``temperature``, ``resolution``, ``n_train``, ``n_test``, ``patches``.
    Raises:
        InputError: no classes, or unusable numbers.
    """
    if k < 1 or temperature <= 0 or not 0 < held_out < 1:
        raise InputError(f"k {k}, temperature {temperature}, held out {held_out}: wanted >= 1, > 0 and within (0, 1)")
    learned = PixelLabels(train)
    tested = learned if test is None else PixelLabels(test)
    cut = len(learned) if test is not None else min(len(learned) - 1, round(len(learned) * (1 - held_out)))
    if cut < 2:
        raise InputError(f"{train}: {len(learned)} images are too few to learn from; give 3 or more")
    places = range(cut, len(learned)) if test is None else range(len(tested))
    ignored = torch.tensor(sorted(set(ignore)))
    frames = FrameFeatures(encoder, resolution or 2 * encoder.image_size)
    device = encoder.mean.device
    bar = tqdm(total=cut + len(places), unit="image", disable=None if progress else True, leave=False)
    with bar, evaluating(encoder):
        grids = _Grids(frames, learned, cache, bar)
        patches = _learn_from(grids, learned, range(cut), ignored)
        shares = patches.shares.to(device)
        classes = shares.shape[1]
        k = min(k, len(shares))
    features = patches.features.to(device)
    late = patches.image >= round(0.8 * cut)
    late = late if late.any() and not late.all() else patches.image == patches.image.max()
    split = (~late).nonzero()[:, 0].to(device), late.nonzero()[:, 0].to(device)
    C, _ = choose_C(features, shares, classes, [split], SWEEP)
    classifier = fit_scaled(features, shares, classes, C)
    counts = {name: torch.zeros(classes, classes, dtype=torch.int64) for name in ("linear", "knn")}
    drawn: list[tuple[np.ndarray, list[np.ndarray]]] = []
    shown = set(np.linspace(0, len(places) - 1, min(DRAWN, len(places))).round().astype(int).tolist())
    bar = tqdm(total=len(places), unit="image", disable=None if progress else True, leave=False)
    with bar, evaluating(encoder):
        grids = _Grids(frames, tested, cache, bar)
        for number, place in enumerate(places):
            truth = torch.from_numpy(tested.labels(place))
            grid = grids(place).to(device)  # (h, w, D)
            guesses = {
                "linear": _upsample(classifier(grid), truth.shape),
                "knn": _upsample(_retrieve(grid, features, shares, k, temperature), truth.shape),
            }
            valid = ~torch.isin(truth, ignored)
            if (worst := int(truth[valid].max()) if valid.any() else 0) >= classes:
                raise InputError(f"{tested.name(place)}: has class {worst}; the training images go up to {classes - 1}")
            for name, guess in guesses.items():
                counts[name] += confusion(truth[valid], guess[valid], classes)
            if out and number in shown:
                masked = [torch.where(valid, part, -1).numpy() for part in (truth, *guesses.values())]
                drawn.append((tested.image(place), masked))
    names = [(learned.classes + [str(i) for i in range(len(learned.classes), classes)])[i] for i in range(classes)]
    result = {name: scores(count, names) for name, count in counts.items()}
    if out:
        draw_segments(drawn, names, out / "segments.png", ("truth", "linear", "kNN"))
        for name, count in counts.items():
            title = f"{name}: mIoU {result[name]['miou']:.3f}"
            draw_confusion(count, names, out / f"confusion_{name}.png", title)
    return {
        **result,
        "C": C,
        "k": k,
        "temperature": temperature,
        "resolution": frames.resolution,
        "n_train": cut,
        "n_test": len(places),
        "patches": len(shares),
    }


def scores(counts: Tensor, names: Sequence[str]) -> dict[str, Any]:
    """(C, C) pixel counts, rows the truth -> mIoU over the classes with any pixel in truth or guess, and so on."""
    hits = counts.diagonal().double()
    union = counts.sum(0) + counts.sum(1) - hits
    iou = hits / union  # NaN where the class is nowhere
    return {
        "miou": iou.nanmean().item(),
        "pixel_accuracy": (hits.sum() / counts.sum()).item(),
        "iou": {name: None if value != value else value for name, value in zip(names, iou.tolist(), strict=True)},
    }


def class_shares(labels: Tensor, ignored: Tensor, classes: int, size: tuple[int, int]) -> Tensor:
    """(H, W) class numbers -> (h, w, C): the part of each patch's area that each class fills."""
    ids = torch.where(torch.isin(labels, ignored), classes, labels)
    filled = F.one_hot(ids, classes + 1)[..., :classes].permute(2, 0, 1).float()  # (C, H, W)
    return F.adaptive_avg_pool2d(filled, size).permute(1, 2, 0)


class _Grids:
    """Grids of images, (h, w, D) on the CPU, each computed once and kept on disk."""

    def __init__(self, frames: FrameFeatures, data: PixelLabels, cache: bool | Path, bar: tqdm) -> None:
        self.frames, self.data, self.bar, self.folder = frames, data, bar, None
        if cache is not False:
            key = content_key(["grids 1", fingerprint(frames.encoder), str(frames.resolution)])
            self.folder = (cache_directory() if cache is True else Path(cache)) / "grids" / key

    def __call__(self, place: int) -> Tensor:
        image = self.data.image(place)
        digest = hashlib.sha256(np.ascontiguousarray(image).data).hexdigest()
        file = self.folder / f"{digest}-{image.shape[0]}.npy" if self.folder else None
        grid = load_array(file) if file else None
        if grid is None:
            grid = self.frames(image).cpu()
            if file:
                save_array(file, grid)
        self.bar.update()
        return grid


def _learn_from(grids: _Grids, data: PixelLabels, places: range, ignored: Tensor) -> Patches:
    """All training patches with a class, or a fixed random choice of ``PATCHES`` of them."""
    labels = lambda place: torch.from_numpy(data.labels(place))
    known = torch.cat([labels(place).unique() for place in places]).unique()
    known = known[~torch.isin(known, ignored)]
    if not len(known):
        raise InputError(f"{data.name(places[0])} and all others: every pixel is to be ignored")
    classes = max(len(data.classes), 1 + int(known.max()))
    random = torch.Generator().manual_seed(0)
    features, shares, image = [], [], []
    for number, place in enumerate(places):
        grid = grids(place)
        share = class_shares(labels(place), ignored, classes, (grid.shape[0], grid.shape[1])).flatten(0, 1)
        chosen = (share.sum(1) > 0.5).nonzero()[:, 0]
        chosen = chosen[torch.randperm(len(chosen), generator=random)[: max(1, PATCHES // len(places))]]
        features.append(grid.flatten(0, 1)[chosen])
        shares.append(share[chosen])
        image.append(torch.full((len(chosen),), number))
    return Patches(torch.cat(features), torch.cat(shares), torch.cat(image))


def _retrieve(grid: Tensor, features: Tensor, shares: Tensor, k: int, temperature: float) -> Tensor:
    """(h, w, D) -> (h, w, C), the classes of the k nearest patches, weighted."""
    cosine, places = nearest(grid.flatten(0, 1), features, k)  # (h w, k)
    weights = (cosine / temperature).softmax(1)
    return torch.einsum("nk,nkc->nc", weights, shares[places]).unflatten(0, grid.shape[:2])


def _upsample(scores: Tensor, size: torch.Size) -> Tensor:
    """(h, w, C) -> (H, W) int64 on the CPU, the class that scores best at each pixel."""
    large = F.interpolate(scores.permute(2, 0, 1)[None], tuple(size), mode="bilinear", align_corners=False)
    return large[0].argmax(0).cpu()
