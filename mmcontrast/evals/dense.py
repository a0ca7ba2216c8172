"""How well descriptors find points again in another view of a posed RGB-D scene (1806.08756, section 4)."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from mmcontrast.data.augment.find_matches import FindMatches
from mmcontrast.data.datasets.view_pair import raw_pair
from mmcontrast.data.rgbd.check import check_geometry
from mmcontrast.data.rgbd.scenes import Scene, Scenes, View, open_scenes
from mmcontrast.data.sampler import SampleKey
from mmcontrast.errors import InputError
from mmcontrast.evals.results import EvalResult
from mmcontrast.ops.geometry import pixel_grid, pixel_index, unproject

# Classes of pairs by the fraction of a's surface that b sees.
OVERLAPS = {"near": (0.75, 0.95), "middle": (0.5, 0.75), "far": (0.25, 0.5)}
THRESHOLDS = (0.05, 0.1)  # fractions of the longer side
AUC_LIMIT = 0.25  # fraction of the longer side
MAX_FRAMES_APART = 30  # tracked poses drift over longer times, and the truth with them

Describe = Callable[[np.ndarray], Tensor]


class PointErrors(NamedTuple):
    """Errors of matched points.

    Attributes:
        pixels: Distance from the true pixel (N,).
        meters: Distance from the true point in space (N,), NaN where b has no depth.
        closer: Fraction of b's pixels whose descriptors are closer than the true one (N,).
    """

    pixels: np.ndarray
    meters: np.ndarray
    closer: np.ndarray


class EvaluationPair(NamedTuple):
    """Two views of a scene, and points that both see.

    Attributes:
        overlap: "near", "middle" or "far".
        a: The view whose points are looked for.
        b: The other view.
        depth_unit: Meters per unit of depth.
        xy_a: Pixels (N, 2) of the points in a.
        xy_b: Pixels (N, 2) of the points in b.
    """

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
    num_pairs: int = 20,
    num_points: int = 100,
    size: tuple[int, int] | None = None,
    seed: int = 0,
    progress: bool = False,
) -> dict[str, EvalResult]:
    """Matches points to the nearest descriptor of the whole other image, or of its objects.

    Args:
        models: Functions from an image (H, W, 3) uint8 to descriptors (D, H, W), by name; all get the same points.
        scenes: The scenes; see ``open_scenes``.
        masked: Whether to look for matches only on the objects of b.
        num_pairs: Number of pairs of views per class of overlap; there are fewer if the scenes do not have them.
        num_points: Number of points per pair.
        size: Height and width that views are resized to; None keeps theirs.
        seed: Seed of the choice of pairs and points.
        progress: Whether to draw a progress bar on stderr.

    Returns:
        For each model the figures of ``summarize`` over all points, and under ``per_overlap`` over those of near,
        middle and far pairs.

    Raises:
        InputError: There is no scene, masks are missing, or no two views overlap enough.

    Warns:
        UserWarning: The geometry of a scene cannot be right, so that the true points are wrong.
    """
    if num_pairs < 1 or num_points < 1 or (size and min(size) < 16):
        raise InputError(
            f"pairs {num_pairs}, points {num_points}, size {size}: wanted at least one pair, one point and "
            "16 x 16 pixels"
        )
    opened = open_scenes(scenes)
    if masked and (bare := [scene.path for scene in opened if not scene.masked]):
        raise InputError(f"{bare[0]}: has no masks; leave out --masked, or add mask/NAME.png")
    check_geometry(opened)
    pairs = list(sample_pairs(opened, num_pairs, num_points, size, seed))
    if not pairs:
        raise InputError(f"{opened[0].path}: no two views share between 25 % and 95 % of their surface")
    errors: dict[str, dict[str, list[PointErrors]]] = {name: {} for name in models}
    for pair in tqdm(pairs, disable=not progress, unit="pair", leave=False):
        for name, describe in models.items():
            errors[name].setdefault(pair.overlap, []).append(match_pair(describe, pair, masked))
    side = max(pairs[0].a.color.shape[:2])
    return {name: _result(by_overlap, side) for name, by_overlap in errors.items()}


def _result(by_overlap: Mapping[str, list[PointErrors]], side: int) -> EvalResult:
    everything = [errors for group in by_overlap.values() for errors in group]
    per_overlap = {
        overlap: summarize(by_overlap[overlap], side) | _counts(by_overlap[overlap])
        for overlap in OVERLAPS
        if overlap in by_overlap
    }
    return EvalResult({**summarize(everything, side), "per_overlap": per_overlap}, _counts(everything))


def _counts(errors: Sequence[PointErrors]) -> dict[str, int]:
    return {"num_pairs": len(errors), "num_points": sum(len(pair.pixels) for pair in errors)}


def sample_pairs(
    scenes: list[Scene], num_pairs: int, num_points: int, size: tuple[int, int] | None, seed: int
) -> Iterator[EvaluationPair]:
    """Draws pairs of views of each class of overlap, the scenes in turn, with points that both views see.

    Args:
        scenes: The scenes.
        num_pairs: Number of pairs per class.
        num_points: Number of points per pair.
        size: Height and width that views are resized to; None keeps theirs.
        seed: Seed of the choice.

    Yields:
        The pairs; their views are at most 30 frames apart.
    """
    find = FindMatches(num_points, attempts=40 * num_points, relative=0.01)
    for number, (overlap, (low, high)) in enumerate(OVERLAPS.items()):
        rng = np.random.default_rng((seed, number))
        count, attempts = 0, 0
        while count < num_pairs and attempts < 200 * num_pairs:
            attempts += 1
            scene = scenes[attempts % len(scenes)]
            a = int(rng.integers(len(scene)))
            b = int(rng.integers(max(0, a - MAX_FRAMES_APART), min(len(scene), a + MAX_FRAMES_APART + 1)))
            if a == b or not low <= scene.overlap(a, b)[0] < high:
                continue
            view_a, view_b = scene.view(a, size), scene.view(b, size)
            sample_key = SampleKey(count, number, seed)
            xy_a, xy_b = true_matches(find, view_a, view_b, scene.depth_unit, sample_key)
            if len(xy_a) >= num_points // 4:
                count += 1
                yield EvaluationPair(overlap, view_a, view_b, scene.depth_unit, xy_a, xy_b)


def true_matches(
    find: FindMatches, a: View, b: View, depth_unit: float, sample_key: SampleKey
) -> tuple[Tensor, Tensor]:
    """Computes points that two views see, from their depth and poses.

    Args:
        find: The search for matches, which sets the number of points.
        a: One view.
        b: The other view.
        depth_unit: Meters per unit of depth.
        sample_key: The randomness of the choice.

    Returns:
        Pixels (N, 2) in a and in b.
    """
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
    xy_a, xy_b, valid = find.project(batch)
    return xy_a[valid][: find.matches], xy_b[valid][: find.matches]


@torch.inference_mode()
def match_pair(describe: Describe, pair: EvaluationPair, masked: bool) -> PointErrors:
    """Looks for every point of a pair in view b.

    Args:
        describe: A function from an image (H, W, 3) uint8 to descriptors (D, H, W).
        pair: The pair.
        masked: Whether to look only on the objects of b.

    Returns:
        The errors of the points.
    """
    from_a, from_b = describe(pair.a.color), describe(pair.b.color)  # (D, H, W)
    height, width = from_b.shape[1:]
    query = from_a.flatten(1)[:, pixel_index(pair.xy_a, *from_a.shape[1:])].T  # (N, D)
    target = from_b.flatten(1)  # (D, H W)
    squared_length = target.square().sum(0)
    allowed = torch.from_numpy(pair.b.mask.reshape(-1) > 0).to(target.device) if masked else None
    best_parts, closer = [], []
    for part, true in zip(query.split(64), pixel_index(pair.xy_b, height, width).split(64), strict=True):
        squared = torch.addmm(squared_length.expand(len(part), -1), part, target, alpha=-2)  # (n, H W), less |part|^2
        if allowed is not None:
            squared.masked_fill_(~allowed, torch.inf)
        best_parts.append(squared.argmin(1))
        closer.append((squared < squared.gather(1, true[:, None].to(squared.device))).float().mean(1))
    best = torch.cat(best_parts).cpu()
    xy = pixel_grid(height, width)[best]
    pixels = (xy - pair.xy_b).norm(dim=1)
    return PointErrors(pixels.numpy(), _meters(pair, xy).numpy(), torch.cat(closer).cpu().numpy())


def _meters(pair: EvaluationPair, xy: Tensor) -> Tensor:
    """Computes distances in space between matched pixels (N, 2) of b and the true ones; NaN where depth is missing."""
    height, width = pair.b.depth.shape
    depth = torch.from_numpy(pair.b.depth.astype(np.float32)).view(-1) * pair.depth_unit
    intrinsics = torch.from_numpy(pair.b.intrinsics).float()[None]
    matched, true = (
        unproject(pixels[None], depth[pixel_index(pixels, height, width)][None], intrinsics)[0]
        for pixels in (xy, pair.xy_b)
    )
    return torch.where(depth[pixel_index(xy, height, width)] > 0, (matched - true).norm(dim=1), torch.nan)


def summarize(errors: Sequence[PointErrors], side: int) -> dict[str, Any]:
    """Computes figures over all points of some pairs.

    Args:
        errors: The errors of each pair.
        side: Longer side of the images in pixels.

    Returns:
        ``pck@0.05`` and ``pck@0.1`` (the fraction of points within that fraction of the side), ``median_px``,
        ``mean_px``, ``auc_px`` (the area under the curve of the fraction of points within r, for r up to a quarter of
        the side), ``median_3d_mm``, ``closer_than_truth`` (the mean fraction of pixels whose descriptors are closer
        than the true one), and ``percentiles_px``: the pixel errors at 0, 1, ..., 100 % of the points.
    """
    pixels, meters, closer = (np.concatenate(part) for part in zip(*errors, strict=True))
    known = meters[np.isfinite(meters)]
    limit = AUC_LIMIT * side
    return {
        **{f"pck@{t:g}": float((pixels <= t * side).mean()) for t in THRESHOLDS},
        "median_px": float(np.median(pixels)),
        "mean_px": float(pixels.mean()),
        "auc_px": float((1 - pixels / limit).clip(0).mean()),
        "median_3d_mm": float(np.median(known) * 1000) if len(known) else None,
        "closer_than_truth": float(closer.mean()),
        "percentiles_px": np.percentile(pixels, np.arange(101)).round(2).tolist(),
    }


def table(results: Mapping[str, EvalResult]) -> str:
    """Returns the main figures as text: one row per model and class of overlap."""
    lines = [f"{'model':16} {'pairs':8} {'pck@.05':>8} {'pck@.1':>7} {'median px':>10} {'median mm':>10} {'closer':>7}"]
    for name, result in results.items():
        for overlap, row in {"all": result.metrics, **result.metrics["per_overlap"]}.items():
            millimeters = "-" if row["median_3d_mm"] is None else f"{row['median_3d_mm']:.0f}"
            lines.append(
                f"{name[-16:]:16} {overlap:8} {row['pck@0.05']:8.3f} {row['pck@0.1']:7.3f} "
                f"{row['median_px']:10.1f} {millimeters:>10} {row['closer_than_truth']:7.3f}"
            )
    return "\n".join(lines)
