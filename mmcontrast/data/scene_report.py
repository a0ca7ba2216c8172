"""Is a scene's geometry sound?  Depth and colour of one view carried into another, as a table and as a verdict."""

import warnings
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from mmcontrast.data.scenes import Scene, Scenes, View, open_scenes
from mmcontrast.errors import InputError

UNITS = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)  # factors of the depth unit that are tried
_AGREE = 0.01  # share of depth
_STEP = 3  # every third pixel, each way


@dataclass(frozen=True)
class Reprojection:
    """View a's depth carried into view b.

    Attributes:
        inside: share of a's measured pixels that fall on measured pixels of b.
        agree: share of those whose depths differ by less than 1 %.
        millimetres: median absolute difference of depth.
        grey: mean absolute difference of grey level (0 to 255) over agreeing pixels, carried over.
        grey_same: the same at the same pixel, as if the camera had not moved.
    """

    inside: float
    agree: float
    millimetres: float
    grey: float
    grey_same: float


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
    grey_a, grey_b = (cv2.cvtColor(view.color, cv2.COLOR_RGB2GRAY).astype(np.float32) for view in (a, b))
    moved, still = grey_a[y, x] - grey_b[v, u], grey_a[y, x] - grey_b[y, x]
    return Reprojection(
        inside=float((seen > 0).sum() / max((depth > 0).sum(), 1)),
        agree=float(agree.sum() / max(len(error), 1)),
        millimetres=float(np.median(error) * 1000) if len(error) else float("nan"),
        grey=float(np.abs(moved[agree]).mean()) if agree.any() else float("nan"),
        grey_same=float(np.abs(still[agree]).mean()) if agree.any() else float("nan"),
    )


def telling_pairs(scene: Scene, count: int = 8) -> list[tuple[int, int]]:
    """Pairs of frames that tell about geometry: far apart for the depth they look at, yet with surface in common."""
    rng, candidates = np.random.default_rng(0), set()
    for a in rng.integers(len(scene), size=6 * count).tolist():
        b = (a + int(rng.integers(1, max(len(scene), 2)))) % len(scene)
        share, agreement = scene.overlap(a, b)
        if a != b and share > 0.25 and agreement > 0.5:
            known = scene.coarse[a][scene.coarse[a] > 0]
            moved = np.linalg.norm(scene.frames[a].pose[:3, 3] - scene.frames[b].pose[:3, 3])
            candidates.add((float(moved / np.median(known)), a, b))
    return [(a, b) for _, a, b in sorted(candidates, reverse=True)[:count]]


def check_geometry(scene: Scene) -> None:
    """Warns of geometry that cannot be right, and refuses scenes whose views have nothing in common.

    Raises:
        InputError: no two views overlap.
    """
    pairs = telling_pairs(scene)
    if not pairs:
        raise InputError(
            f"{scene.path}: no two views overlap.  They must show the same surface, poses must be camera-to-world in "
            f"metres; a unit of depth is taken for {scene.depth_unit:g} m"
        )
    if warning := verdict(scene, [(scene.view(a), scene.view(b)) for a, b in pairs]):
        warnings.warn(f"{scene.path}: {warning}", stacklevel=3)


def verdict(scene: Scene, pairs: list[tuple[View, View]]) -> str | None:
    """What is wrong with the geometry, in a sentence, or None."""
    rates = {f: float(np.mean([reprojection(a, b, f * scene.depth_unit).agree for a, b in pairs])) for f in UNITS}
    best = max(rates, key=lambda f: (rates[f], f == 1))
    if rates[best] > max(1.3 * rates[1.0], 0.2):
        return (
            f"{rates[1.0]:.0%} of depths agree between views with a unit of {scene.depth_unit:g} m, {rates[best]:.0%} "
            f"with {best * scene.depth_unit:g} m; the depth unit seems wrong (set depth_unit)"
        )
    if rates[1.0] < 0.01:
        return "fewer than 1 % of depths agree between views; are poses camera-to-world in metres, and of these frames?"
    if rates[1.0] < 0.2:
        return f"only {rates[1.0]:.0%} of depths agree between views; poses or intrinsics are likely wrong"
    return None


def report(scenes: Scenes, depth_unit: float | None = None, pairs: int = 8) -> list[dict[str, Any]]:
    """The reprojection table of all scenes of a folder or archive.

    Args:
        scenes: as in ``open_scenes``.
        depth_unit: metres per unit of depth; None: the layout's own.
        pairs: pairs of views per scene.
    Returns:
        Rows with ``scene``, ``a``, ``b`` (frame names) and the fields of ``Reprojection``; after each scene's, one with
        ``frames``, ``skipped`` (frame -> reason) and ``verdict`` ("sound", or what is wrong).
    """
    rows: list[dict[str, Any]] = []
    for scene in open_scenes(scenes, depth_unit):
        chosen = telling_pairs(scene, pairs)
        views = [(scene.view(a), scene.view(b)) for a, b in chosen]
        for (a, b), (view_a, view_b) in zip(chosen, views, strict=True):
            found = reprojection(view_a, view_b, scene.depth_unit)
            rows.append({"scene": scene.path, "a": scene.frames[a].name, "b": scene.frames[b].name, **vars(found)})
        wrong = verdict(scene, views) if views else "no two views overlap"
        rows.append({"scene": scene.path, "frames": len(scene), "skipped": scene.skipped, "verdict": wrong or "sound"})
    return rows


def table(rows: list[dict[str, Any]]) -> str:
    """The rows of ``report`` as text."""
    lines = []
    for row in rows:
        if "verdict" in row:
            lines.append(f"{row['scene']}: {row['frames']} usable frames, {len(row['skipped'])} not; {row['verdict']}")
            lines += [f"  {name} {reason}" for name, reason in row["skipped"].items()]
        else:
            if not lines or "->" not in lines[-1]:
                lines.append(
                    "  views               shared  depths agree  off by (mm)  grey error, carried / same pixel"
                )
            views = f"{row['a']} -> {row['b']}"
            lines.append(
                f"  {views:18}  {row['inside']:6.0%}  {row['agree']:12.0%}  {row['millimetres']:11.1f}"
                f"  {row['grey']:10.1f} / {row['grey_same']:.1f}"
            )
    return "\n".join(lines)
