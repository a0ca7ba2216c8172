"""Is a scene's geometry sound?  Depth and color of one view carried into another, as a table and as a verdict."""

import copy
import textwrap
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np

from mmcontrast.data.rgbd.registration import Registration, registration
from mmcontrast.data.rgbd.scenes import Scene, Scenes, View, open_scenes
from mmcontrast.errors import InputError

UNITS = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)  # factors of the depth unit that are tried
_AGREE = 0.01  # share of depth
_GRAY = 5.0  # gray levels that noise may make
_CARRIED = 0.8  # gray error of carried pixels, in terms of that at the same pixel; 0.1 to 0.5 of sound scenes
_FITTING = 0.7  # share of the pairs of views of one place whose depths fit together coarsely; 1 of sound scenes
_NEAR = 0.015  # of the width, within which matches lie in the median once registered
_BETTER = 0.7  # of the distance without
_OTHER = 0.03  # by how much two lenses' focal lengths differ
_STEP = 3  # every third pixel, each way


@dataclass(frozen=True)
class Reprojection:
    """View a's depth carried into view b.

    Attributes:
        inside: share of a's measured pixels that fall on measured pixels of b.
        agree: share of those whose depths differ by less than 1 %.
        millimeters: median absolute difference of depth.
        gray: mean absolute difference of gray level (0 to 255) over agreeing pixels, carried over, exposure made equal.
        gray_same: the same at the same pixel, as if the camera had not moved.
    """

    inside: float
    agree: float
    millimeters: float
    gray: float
    gray_same: float


def reprojection(a: View, b: View, depth_unit: float) -> Reprojection:
    """Carries every third pixel of a, each way, into b."""
    height, width = a.depth.shape
    y, x = (v.ravel() for v in np.mgrid[:height:_STEP, :width:_STEP])
    depth = a.depth[y, x] * depth_unit
    motion = np.linalg.inv(b.pose) @ a.pose
    point = np.stack([x, y, np.ones_like(x)], 1) @ np.linalg.inv(a.intrinsics).T * depth[:, None]  # (P, 3)
    point = point @ motion[:3, :3].T + motion[:3, 3]
    front = (depth > 0) & (point[:, 2] > 0)
    xy = (point @ b.intrinsics.T)[:, :2] / np.where(front, point[:, 2], 1)[:, None]
    u, v = np.round(np.where(front[:, None], xy, -1)).clip(-1, max(height, width)).astype(int).T
    inside = front & (u >= 0) & (u < b.depth.shape[1]) & (v >= 0) & (v < b.depth.shape[0])
    x, y, u, v, z = x[inside], y[inside], u[inside], v[inside], point[inside, 2]
    seen = b.depth[v, u] * depth_unit
    error = np.abs(seen - z)[seen > 0]
    agree = (seen > 0) & (np.abs(seen - z) < _AGREE * z)
    gray_a, gray_b = (cv2.cvtColor(view.color, cv2.COLOR_RGB2GRAY).astype(np.float32) for view in (a, b))
    here = gray_a[y, x][agree]
    return Reprojection(
        inside=float((seen > 0).sum() / max((depth > 0).sum(), 1)),
        agree=float(agree.sum() / max(len(error), 1)),
        millimeters=float(np.median(error) * 1000) if len(error) else float("nan"),
        gray=_difference(here, gray_b[v, u][agree]),
        gray_same=_difference(here, gray_b[y, x][agree]),
    )


def _difference(a: np.ndarray, b: np.ndarray) -> float:
    """Mean absolute difference after a linear map of a that gives it b's mean and spread: exposures change."""
    if not len(a):
        return float("nan")
    return float(np.abs((a - a.mean()) * (b.std() / max(a.std(), 1e-6)) + b.mean() - b).mean())


def telling_pairs(scene: Scene, count: int = 8) -> list[tuple[int, int]]:
    """Pairs of frames that tell about geometry: far apart for the depth they look at, yet with surface in common."""
    candidates = set()
    for a, b, fraction, agreement in _some_pairs(scene, 6 * count):
        if fraction > 0.25 and agreement > 0.5:
            known = scene.coarse[a][scene.coarse[a] > 0]
            moved = np.linalg.norm(scene.frames[a].pose[:3, 3] - scene.frames[b].pose[:3, 3])
            candidates.add((float(moved / np.median(known)), a, b))
    return [(a, b) for _, a, b in sorted(candidates, reverse=True)[:count]]


def matching_pairs(scene: Scene, count: int = 12) -> list[tuple[View, View]]:
    """Views from different places with enough surface in common that points can be matched by their colors."""
    ranked = {
        (abs(fraction - 0.7), a, b) for a, b, fraction, _ in _some_pairs(scene, 20 * count) if 0.4 < fraction < 0.9
    }
    return [(scene.view(a), scene.view(b)) for _, a, b in sorted(ranked)[:count]]


def fitting(scene: Scene) -> tuple[int, int]:
    """Of random pairs of views into the same place: how many there are, and in how many most depths fit together."""
    agreements = [g for _, _, fraction, g in _some_pairs(scene, 60) if g > 0 and fraction / g > 0.25]
    return len(agreements), sum(agreement > 0.5 for agreement in agreements)


def _some_pairs(scene: Scene, count: int) -> Iterator[tuple[int, int, float, float]]:
    rng = np.random.default_rng(0)
    for a in rng.integers(len(scene), size=count).tolist():
        b = (a + int(rng.integers(1, max(len(scene), 2)))) % len(scene)
        if a != b:
            yield a, b, *scene.overlap(a, b)


def check_geometry(scenes: Sequence[Scene]) -> None:
    """Warns of geometry that cannot be right, and refuses scenes whose views have nothing in common.

    Whether depth is registered to color takes a second, and is asked once of each camera.

    Raises:
        InputError: no two views of a scene overlap.
    """
    cameras = set()
    for scene in scenes:
        camera = scene.intrinsics.tobytes()
        _check_geometry(scene, lenses=camera not in cameras)
        cameras.add(camera)


def _check_geometry(scene: Scene, lenses: bool) -> None:
    pairs = telling_pairs(scene)
    if not pairs:
        raise InputError(f"{scene.path}: {nothing_shared(scene)}")
    warning = verdict(scene, [(scene.view(a), scene.view(b)) for a, b in pairs])
    if lenses and warning is None:
        warning = _two_lenses(scene, registration(matching_pairs(scene), scene.depth_unit))
    if warning:
        warnings.warn(f"{scene.path}: {warning}", stacklevel=4)


def nothing_shared(scene: Scene) -> str:
    """Why no two views may overlap, with the lengths that tell of wrong units."""
    if len(scene) == 1:
        return "no two views overlap: there is one usable frame, and pairs need two"
    positions = np.stack([frame.pose[:3, 3] for frame in scene.frames])
    depth = float(np.median(scene.coarse[scene.coarse > 0]))
    apart = float(np.median(np.linalg.norm(positions - positions[0], axis=1)))
    hint = _remedy(scene)
    if not 0.02 < depth < 200:
        hint = "; the depth unit seems wrong (set depth_unit)"
    elif apart > 50 * depth:
        hint = "; the poses seem to be in another unit, or of places far from each other"
    return (
        f"no two views overlap: half of all depths are below {depth:.3g} m, half of the cameras within {apart:.3g} m "
        f"of the first, with a unit of depth of {scene.depth_unit:g} m.  Views must show one surface, poses must be "
        f"camera-to-world in meters{hint}"
    )


def verdict(scene: Scene, pairs: list[tuple[View, View]]) -> str | None:
    """What is wrong with the geometry, in a sentence, or None."""
    (height, width), (cx, cy) = scene.size, scene.intrinsics[:2, 2]
    if not (0.25 < cx / width < 0.75 and 0.25 < cy / height < 0.75):
        return (
            f"the intrinsics put the middle of the lens at ({cx:g}, {cy:g}), far from that of images of "
            f"{width}x{height}; they seem to be of another size"
        )
    by_factor = {f: [reprojection(a, b, f * scene.depth_unit) for a, b in pairs] for f in UNITS}
    rates = {factor: float(np.mean([pair.agree for pair in some])) for factor, some in by_factor.items()}
    best = max(rates, key=lambda f: (rates[f], f == 1))
    if rates[best] > max(1.3 * rates[1.0], 0.2):
        return (
            f"{rates[1.0]:.0%} of depths agree between views with a unit of {scene.depth_unit:g} m, {rates[best]:.0%} "
            f"with {best * scene.depth_unit:g} m; the depth unit seems wrong (set depth_unit), or the "
            "intrinsics are"
        )
    looking, fit = fitting(scene)
    carried = float(np.median([pair.gray / max(pair.gray_same, _GRAY) for pair in by_factor[1.0]]))
    if rates[1.0] < 0.01:
        wrong = "fewer than 1 % of depths agree between views"
    elif rates[1.0] < 0.2:
        wrong = f"only {rates[1.0]:.0%} of depths agree between views"
    elif fit < _FITTING * looking:
        wrong = f"in only {fit} of {looking} pairs of views of one place, depths fit together"
    elif carried > _CARRIED:
        wrong = f"depths agree, but colors carried from view to view err {carried:.0%} as much as those left in place"
    else:
        return None
    remedy = _remedy(scene)
    return f"{wrong}; poses (camera-to-world in meters, of these frames?) or intrinsics are likely wrong{remedy}"


def _remedy(scene: Scene) -> str:
    """The usual mistake that would explain it, if one does."""
    usual: dict[str, Callable[[np.ndarray], np.ndarray]] = {
        "the poses inverted, depths fit: they seem to be world-to-camera": np.linalg.inv,
        "the cameras' y and z axes turned round, depths fit: the poses seem to be OpenGL's": _opengl,
        "both of inverting and OpenGL's axes, depths fit": lambda pose: _opengl(np.linalg.inv(pose)),
    }
    most, best = 1.1 * _shared(scene), ""
    for what, change in usual.items():
        changed = copy.copy(scene)
        changed.frames = [replace(frame, pose=change(frame.pose)) for frame in scene.frames]
        looking, fit = fitting(changed)
        if looking >= 5 and fit > 0.9 * looking and (shared := _shared(changed)) > most:
            most, best = shared, f".  With {what}"
    return best


def _shared(scene: Scene) -> float:
    return float(np.mean([fraction for _, _, fraction, _ in _some_pairs(scene, 60)]))


def _opengl(pose: np.ndarray) -> np.ndarray:
    return pose @ np.diag([1.0, -1, -1, 1])


def report(scenes: Scenes, depth_unit: float | None = None, pairs: int = 8) -> list[dict[str, Any]]:
    """The reprojection table of all scenes of a folder or archive.

    Args:
        scenes: as in ``open_scenes``.
        depth_unit: meters per unit of depth; None: the layout's own.
        pairs: pairs of views per scene.
    Returns:
        Rows with ``scene``, ``a``, ``b`` (frame names) and the fields of ``Reprojection``; after each scene's, one with
        ``frames``, ``skipped`` (frame -> reason), ``verdict`` ("sound", or what is wrong), ``matches`` (how many points
        were matched by their colors) and ``match_px`` (their median distance in pixels from where depth puts them; nan
        for too few, or where patterns repeat, so that most are no matches).
    """
    rows: list[dict[str, Any]] = []
    for scene in open_scenes(scenes, depth_unit):
        chosen = telling_pairs(scene, pairs)
        views = [(scene.view(a), scene.view(b)) for a, b in chosen]
        for (a, b), (view_a, view_b) in zip(chosen, views, strict=True):
            agreement = reprojection(view_a, view_b, scene.depth_unit)
            rows.append({"scene": scene.path, "a": scene.frames[a].name, "b": scene.frames[b].name, **vars(agreement)})
        wrong = verdict(scene, views) if views else nothing_shared(scene)
        lenses = registration(matching_pairs(scene), scene.depth_unit)
        wrong = wrong or _two_lenses(scene, lenses)
        rows.append(
            {
                "scene": scene.path,
                "frames": len(scene),
                "skipped": scene.skipped,
                "verdict": wrong or "sound",
                "matches": lenses.matches,
                "match_px": lenses.error if lenses.least < 2 * _NEAR * scene.size[1] else np.nan,
            }
        )
    return rows


def _two_lenses(scene: Scene, result: Registration) -> str | None:
    """What to do where matches say that depth is not registered to color."""
    near, better = result.least < _NEAR * scene.size[1], result.least < _BETTER * result.error
    if not (near and better and abs(result.focal - 1) > _OTHER):
        return None
    (fx, _, cx), (_, fy, cy) = scene.intrinsics[:2]
    fx, fy = fx * result.focal, fy * result.focal
    return (
        f"depth does not seem to be registered to color: {result.matches} points matched by color lie "
        f"{result.error:.1f} px (median) from where depth and poses put them, {result.least:.1f} px if color's focal "
        f"length is {fx:.1f}.  If so, put color's matrix into color_intrinsics.txt, in three lines: "
        f"{fx:.1f} 0 {cx:g} / 0 {fy:.1f} {cy:g} / 0 0 1"
    )


def table(rows: list[dict[str, Any]]) -> str:
    """The rows of ``report`` as text, 80 columns wide but for long names; the columns are those of ``Reprojection``."""
    lines = []
    for row in rows:
        if "verdict" in row:
            summary = f"  {row['frames']} usable frames, {len(row['skipped'])} not; {row['verdict']}"
            if row["verdict"] == "sound" and np.isfinite(row["match_px"]):
                summary += f"; {row['matches']} points matched by color lie {row['match_px']:.1f} px from where depth "
                summary += "and poses put them (median)"
            lines.append(f"{row['scene']}:")
            lines += textwrap.wrap(summary, 80, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)
            lines += [f"    {name} {reason}" for name, reason in row["skipped"].items()]
        else:
            views = f"{row['a']} -> {row['b']}"
            if not lines or "->" not in lines[-1]:
                lines.append(f"  {'views':{len(views)}}  shared  agree  off mm   gray  in place")
            lines.append(
                f"  {views}  {row['inside']:6.0%}  {row['agree']:5.0%}  {row['millimeters']:6.1f}"
                f"  {row['gray']:5.1f}  {row['gray_same']:8.1f}"
            )
    return "\n".join(lines)
