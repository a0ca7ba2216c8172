"""What matching found, as an image: points of the reference, where they are, and how alike every pixel is."""

from collections.abc import Sequence

import cv2
import numpy as np

_COLORS = [(230, 60, 60), (60, 180, 75), (255, 200, 25), (70, 120, 230), (245, 130, 48), (190, 70, 220), (70, 230, 230)]
_GAP = 6


def draw_matches(
    reference: np.ndarray,
    at: Sequence[tuple[float, float]],
    image: np.ndarray,
    found: Sequence[tuple[float, float]],
    heat: np.ndarray,
) -> np.ndarray:
    """Reference, other image and heat map side by side.

    Args:
        reference: (H, W, 3) uint8.
        at: Q points of it, (x, y).
        image: (H', W', 3) uint8.
        found: where they are in it.
        heat: (H', W') in [0, 1].
    Returns:
        (max(H, H'), about W + 2 W', 3) uint8.
    """
    panels = [draw_points(reference, at), draw_points(image, found), draw_points(draw_heat(image, heat), found)]
    height = max(panel.shape[0] for panel in panels)
    gap = np.full((height, _GAP, 3), 255, np.uint8)
    padded = [
        cv2.copyMakeBorder(p, 0, height - p.shape[0], 0, 0, cv2.BORDER_CONSTANT, value=(255,) * 3) for p in panels
    ]
    return np.hstack([padded[0], gap, padded[1], gap, padded[2]])


def draw_heat(image: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """Lays (H, W) in [0, 1] over (H, W, 3) uint8, the warmer and denser the higher it is -> (H, W, 3) uint8."""
    level = (heat * 255).astype(np.uint8)
    warm = cv2.applyColorMap(level, cv2.COLORMAP_TURBO)[..., ::-1]
    dense = (0.25 + 0.55 * heat[..., None]).astype(np.float32)
    return (image + dense * (warm.astype(np.float32) - image)).astype(np.uint8)


def draw_pairs(
    reference: np.ndarray, image: np.ndarray, at: np.ndarray, found: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Dots of one color where two images show the same point; the color is the direction from the points' middle.

    Args:
        reference: (H, W, 3) uint8.
        image: (H', W', 3) uint8.
        at: (P, 2) pixels of the reference.
        found: (P, 2) pixels of the other image.
    Returns:
        Both images with dots.
    """
    x, y = (at - at.mean(0)).T if len(at) else np.zeros((2, 0))
    hue = np.rint((np.arctan2(y, x) / np.pi + 1) * 89).astype(np.uint8)  # (P,)
    full = np.full_like(hue, 255)
    colors = cv2.cvtColor(np.stack([hue, full, full], -1)[None], cv2.COLOR_HSV2RGB)[0] if len(at) else hue[:, None]
    drawn = []
    for photo, places in ((reference, at), (image, found)):
        out = photo.copy()
        radius = max(3, min(photo.shape[:2]) // 90)
        for (px, py), color in zip(places, colors, strict=True):
            center = round(float(px)), round(float(py))
            cv2.circle(out, center, radius + 1, (255, 255, 255), -1, cv2.LINE_AA)
            cv2.circle(out, center, radius, tuple(int(c) for c in color), -1, cv2.LINE_AA)
        drawn.append(out)
    return drawn[0], drawn[1]


def draw_points(image: np.ndarray, points: Sequence[tuple[float, float]]) -> np.ndarray:
    """Numbered rings around points (x, y), one color each: (H, W, 3) uint8 -> the same."""
    out = image.copy()
    radius = max(4, min(image.shape[:2]) // 40)
    for number, (x, y) in enumerate(points):
        center, color = (round(x), round(y)), _COLORS[number % len(_COLORS)]
        for ring, width in (((255, 255, 255), 4), (color, 2)):
            cv2.circle(out, center, radius, ring, width, cv2.LINE_AA)
        cv2.circle(out, center, 1, color, -1, cv2.LINE_AA)
        if len(points) > 1:
            place = (center[0] + radius + 2, center[1] - radius + 4)
            for ink, width in (((255, 255, 255), 4), (color, 2)):
                cv2.putText(out, str(number + 1), place, cv2.FONT_HERSHEY_SIMPLEX, 0.6, ink, width, cv2.LINE_AA)
    return out
