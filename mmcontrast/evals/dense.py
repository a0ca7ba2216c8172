"""How well descriptors find points again in another view of a posed RGB-D scene (1806.08756, section 4)."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor
from tqdm import tqdm

from mmcontrast.data.augment.find_matches import FindMatches
from mmcontrast.data.datasets.view_pair import raw_pair
from mmcontrast.data.rgbd.check import check_geometry
from mmcontrast.data.rgbd.scenes import Scene, Scenes, View, open_scenes
from mmcontrast.data.sampler import SampleKey
from mmcontrast.errors import InputError
from mmcontrast.ops.geometry import pixel_grid, pixel_index, unproject

# Share of a's surface that b sees, by class of pairs.
CLASSES = {"near": (0.75, 0.95), "middle": (0.5, 0.75), "far": (0.25, 0.5)}
THRESHOLDS = (0.05, 0.1)  # of the longer side
_AUC_UP_TO = 0.25  # of the longer side
_WINDOW = 30  # frames: tracked poses drift, and the truth with them

Describe = Callable[[np.ndarray], Tensor]


class Trials(NamedTuple):
    """By point: pixel error, meters off (NaN where b has no depth), share of pixels nearer than the truth."""

    pixels: np.ndarray
    meters: np.ndarray
    closer: np.ndarray


class EvaluationPair(NamedTuple):
    """Two views, and points of a with their places in b, both (N, 2)."""

    overlap: str
    a: View
    b: View
    depth_unit: float
    xy_a: Tensor
    xy_b: Tensor


def evaluate_dense(
    models: Mapping[str, Describe],
    scenes: Scenes,
    masked: bool = False,
    pairs: int = 20,
    points: int = 100,
    size: tuple[int, int] | None = None,
    seed: int = 0,
    progress: bool = False,
) -> dict[str, dict[str, Any]]:
    """Matches points by the nearest descriptor of the whole other image, or of its objects.

    Args:
        models: name -> (H, W, 3) uint8 -> (D, H, W) descriptors; all are tried on the same points.
        scenes: as in ``open_scenes``.
        masked: look for matches on b's objects only.
        pairs: pairs of views per class of overlap; fewer where the scenes do not have them.
        points: per pair.
        size: (H, W) that views are brought to.
        seed: decides pairs and points.
    Returns:
        By model the figures of ``summarize`` over all points, and the same under ``near``, ``middle`` and ``far``.
    Raises:
        InputError: no scene, masks asked for that are not there, views without overlap, or no pair in any class.
    Warns:
        of scenes whose geometry cannot be right, as their truth is not.
    """
    if pairs < 1 or points < 1 or (size and min(size) < 16):
        raise InputError(
            f"pairs {pairs}, points {points}, size {size}: wanted at least one pair, one point and 16 x 16 pixels"
        )
    opened = open_scenes(scenes)
    if masked and (bare := [scene.path for scene in opened if not scene.masked]):
        raise InputError(f"{bare[0]}: has no masks; leave out --masked, or add mask/NAME.png")
    check_geometry(opened)
    drawn = list(draw_pairs(opened, pairs, points, size, seed))
    if not drawn:
        raise InputError(f"{opened[0].path}: no two views share between 25 % and 95 % of their surface")
    trials: dict[str, dict[str, list[Trials]]] = {name: {} for name in models}
    for pair in tqdm(drawn, disable=not progress, unit="pair", leave=False):
        for name, describe in models.items():
            tried = match_pair(describe, pair, masked)
            trials[name].setdefault(pair.overlap, []).append(tried)
    side = max(drawn[0].a.color.shape[:2])
    return {
        name: {
            **summarize([t for some in by_class.values() for t in some], side),
            **{overlap: summarize(by_class[overlap], side) for overlap in CLASSES if overlap in by_class},
        }
        for name, by_class in trials.items()
    }


def draw_pairs(
    scenes: list[Scene], pairs: int, points: int, size: tuple[int, int] | None, seed: int
) -> Iterator[EvaluationPair]:
    """Pairs of each class of overlap, scenes in turn, at most 30 frames apart, with points that b sees too."""
    find = FindMatches(points, attempts=40 * points, relative=0.01)
    for number, (overlap, (low, high)) in enumerate(CLASSES.items()):
        rng = np.random.default_rng((seed, number))
        found, tries = 0, 0
        while found < pairs and tries < 200 * pairs:
            tries += 1
            scene = scenes[tries % len(scenes)]
            a = int(rng.integers(len(scene)))
            b = int(rng.integers(max(0, a - _WINDOW), min(len(scene), a + _WINDOW + 1)))
            if a == b or not low <= scene.overlap(a, b)[0] < high:
                continue
            view_a, view_b = scene.view(a, size), scene.view(b, size)
            xy_a, xy_b = truth(find, view_a, view_b, scene.depth_unit, SampleKey(found, number, seed))
            if len(xy_a) >= points // 4:
                found += 1
                yield EvaluationPair(overlap, view_a, view_b, scene.depth_unit, xy_a, xy_b)


def truth(find: FindMatches, a: View, b: View, depth_unit: float, sample_key: SampleKey) -> tuple[Tensor, Tensor]:
    """Points of a and their places in b, both (N, 2)."""
    sample = raw_pair(
        sample_key,
        a.color,
        b.color,
        depth=(a.depth, b.depth),
        depth_unit=depth_unit,
        mask=(a.mask, b.mask),
        intrinsics=(a.intrinsics, b.intrinsics),
        motion=np.linalg.inv(b.pose) @ a.pose,
    )
    batch = {name: torch.as_tensor(value)[None] for name, value in sample.items()}
    xy_a, xy_b, good = find.follow(batch)
    return xy_a[good][: find.matches], xy_b[good][: find.matches]


@torch.inference_mode()
def match_pair(describe: Describe, pair: EvaluationPair, masked: bool) -> Trials:
    """Finds every point of a pair in b."""
    from_a, from_b = describe(pair.a.color), describe(pair.b.color)  # (D, H, W)
    height, width = from_b.shape[1:]
    query = from_a.flatten(1)[:, pixel_index(pair.xy_a, *from_a.shape[1:])].T  # (N, D)
    target = from_b.flatten(1)  # (D, H W)
    length = target.square().sum(0)
    allowed = torch.from_numpy(pair.b.mask.reshape(-1) > 0).to(target.device) if masked else None
    place, closer = [], []
    for some, true in zip(query.split(64), pixel_index(pair.xy_b, height, width).split(64), strict=True):
        squared = torch.addmm(length.expand(len(some), -1), some, target, alpha=-2)  # (n, H W), less |query|^2
        if allowed is not None:
            squared.masked_fill_(~allowed, torch.inf)
        place.append(squared.argmin(1))
        closer.append((squared < squared.gather(1, true[:, None].to(squared.device))).float().mean(1))
    best = torch.cat(place).cpu()
    xy = pixel_grid(height, width)[best]
    depth = torch.from_numpy(pair.b.depth.astype(np.float32)).view(-1) * pair.depth_unit
    intrinsics = torch.from_numpy(pair.b.intrinsics).float()[None]
    there, wanted = (
        unproject(places[None], depth[pixel_index(places, height, width)][None], intrinsics)[0]
        for places in (xy, pair.xy_b)
    )
    meters = torch.where(depth[best] > 0, (there - wanted).norm(dim=1), torch.nan)
    pixels = (xy - pair.xy_b).norm(dim=1)
    return Trials(pixels.numpy(), meters.numpy(), torch.cat(closer).cpu().numpy())


def summarize(trials: list[Trials], side: int) -> dict[str, Any]:
    """Figures over all points of some pairs.

    Args:
        trials: of each pair.
        side: longer side of the images in pixels.
    Returns:
        ``pck@0.05``, ``pck@0.1`` (share of points within that part of the side), ``median_px``, ``mean_px``, ``auc_px``
        (area under the curve of the share of points within r, r up to a quarter of the side), ``median_3d_mm``,
        ``closer_than_truth`` (mean share of pixels whose descriptors are nearer than the true one's), ``pairs``,
        ``points``, and ``cdf``: the pixel errors at 0, 1, ..., 100 % of the points.
    """
    pixels, meters, closer = (np.concatenate(column) for column in zip(*trials, strict=True))
    limit = _AUC_UP_TO * side
    known = meters[np.isfinite(meters)]
    return {
        **{f"pck@{t:g}": float((pixels <= t * side).mean()) for t in THRESHOLDS},
        "median_px": float(np.median(pixels)),
        "mean_px": float(pixels.mean()),
        "auc_px": float((1 - pixels / limit).clip(0).mean()),
        "median_3d_mm": float(np.median(known) * 1000) if len(known) else None,
        "closer_than_truth": float(closer.mean()),
        "pairs": len(trials),
        "points": len(pixels),
        "cdf": np.percentile(pixels, np.arange(101)).round(2).tolist(),
    }


def draw_cdfs(results: Mapping[str, Mapping[str, Any]], file: Path) -> None:
    """Share of points within r pixels, one panel per class of overlap and one line per model; writes a PNG."""
    panels = [c for c in CLASSES if any(c in result for result in results.values())]
    figure = Figure(figsize=(3.6 * len(panels), 3.2), dpi=110, layout="constrained")
    for axes, overlap in zip(figure.subplots(1, len(panels), squeeze=False, sharey=True)[0], panels, strict=True):
        for name, result in results.items():
            if overlap in result:
                axes.plot(result[overlap]["cdf"], np.arange(101), label=name)
        axes.set(title=f"{overlap} pairs", xlabel="pixel error", xlim=(0, 80), ylim=(0, 100))
        axes.grid(alpha=0.3)
    figure.axes[0].set_ylabel("% of points within it")
    figure.axes[-1].legend(loc="lower right", fontsize=8)
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file)


def table(results: Mapping[str, Mapping[str, Any]]) -> str:
    """The main figures as text: one row per model and class of overlap."""
    lines = [f"{'model':16} {'pairs':8} {'pck@.05':>8} {'pck@.1':>7} {'median px':>10} {'median mm':>10} {'closer':>7}"]
    for name, result in results.items():
        for overlap in ("all", *CLASSES):
            row = result if overlap == "all" else result.get(overlap)
            if row:
                off = "-" if row["median_3d_mm"] is None else f"{row['median_3d_mm']:.0f}"
                lines.append(
                    f"{name[-16:]:16} {overlap:8} {row['pck@0.05']:8.3f} {row['pck@0.1']:7.3f} "
                    f"{row['median_px']:10.1f} {off:>10} {row['closer_than_truth']:7.3f}"
                )
    return "\n".join(lines)
